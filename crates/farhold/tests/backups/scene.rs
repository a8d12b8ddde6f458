//! A server with the store `tank`, a relay before it, and a client; and backups to send.

use std::time::{Duration, Instant};

use bytes::Bytes;
use farhold_client::{BackupSession, BackupSessionOptions, Client, ClientConfig, ClientError, Credentials, WriterId};
use farhold_crypto::{Sha256, sha256};
use farhold_format::blob::{BlobEncoder, Compression};
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_testkit::relay::{Relay, RelayOptions, start};
use farhold_types::{ArchiveName, CryptMode, DatastoreName, Digest, Group, Namespace, Role, Secret, Snapshot};
use futures::future::try_join_all;

use crate::content::noise;
use crate::process::Process;
use crate::site::Site;

/// How long a test waits for something that happens at once. Only a fault reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

pub const ACCOUNT: &str = "sync@pbs!t1";

pub struct Scene {
    pub site: Site,
    pub relay: Relay,
    pub client: Client,
    /// The server, if it is a process of its own.
    process: Option<Process>,
}

impl Scene {
    /// The server is in this process, as far away as `one_way_delay` tells.
    pub async fn new(one_way_delay: Duration) -> Self {
        let (mut site, relay, secret) = Self::prepare(one_way_delay).await;
        site.listen().await;
        relay.set_target(format!("127.0.0.1:{}", site.port()).parse().unwrap());
        let client = client(&relay, ACCOUNT, &secret, &site.fingerprint());
        Self { site, relay, client, process: None }
    }

    /// The server is a process that can be killed.
    pub async fn with_process() -> Self {
        let (site, relay, secret) = Self::prepare(Duration::ZERO).await;
        let (process, address, fingerprint) = Process::server(&site.root());
        relay.set_target(address.parse().unwrap());
        let client = client(&relay, ACCOUNT, &secret, &fingerprint);
        Self { site, relay, client, process: Some(process) }
    }

    async fn prepare(one_way_delay: Duration) -> (Site, Relay, String) {
        let site = Site::new();
        site.add_store("tank");
        site.add_user("sync@pbs", "a password");
        let secret = site.add_token(ACCOUNT);
        for account in ["sync@pbs", ACCOUNT] {
            site.grant("/datastore/tank", account, Role::DatastoreAdmin);
        }
        let listen = "127.0.0.1:0".parse().unwrap();
        let nowhere = "127.0.0.1:1".parse().unwrap();
        let relay =
            start(RelayOptions { listen, target: nowhere, one_way_delay, window_bytes: 1 << 20 }).await.unwrap();
        (site, relay, secret)
    }

    /// Returns a client of another account with this role on a path.
    pub fn other_client(&self, token: &str, path: &str, role: Role) -> Client {
        let userid = token.split('!').next().unwrap();
        self.site.add_user(userid, "a password");
        let secret = self.site.add_token(token);
        for account in [userid, token] {
            self.site.grant(path, account, role);
        }
        client(&self.relay, token, &secret, &self.site.fingerprint())
    }

    /// Kills the server's process and starts it again.
    pub fn restart(&mut self) {
        self.process.take().unwrap().kill();
        let (process, address, _) = Process::server(&self.site.root());
        self.process = Some(process);
        self.relay.set_target(address.parse().unwrap());
    }

    pub async fn open(&self, snapshot: &str) -> Result<BackupSession, ClientError> {
        self.open_in("", snapshot).await
    }

    pub async fn open_in(&self, ns: &str, snapshot: &str) -> Result<BackupSession, ClientError> {
        let options = BackupSessionOptions::default();
        self.client.open_backup(&store(), &ns.parse().unwrap(), &snapshot.parse().unwrap(), options).await
    }

    /// Opens a session as soon as the server has cleaned up after the last one.
    pub async fn open_when_free(&self, snapshot: &str) -> BackupSession {
        let begin = Instant::now();
        loop {
            match self.open(snapshot).await {
                Ok(session) => return session,
                Err(error) => assert!(begin.elapsed() < PATIENCE && error.status() == Some(400), "{error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Returns the times of the finished snapshots of a group, and of the unfinished ones.
    pub async fn snapshots(&self, group: &str) -> (Vec<i64>, Vec<i64>) {
        let group: Group = group.parse().unwrap();
        let listed = self.client.snapshots(&store(), &Namespace::root(), &group).await.unwrap();
        let (finished, unfinished): (Vec<_>, Vec<_>) = listed.items.iter().partition(|item| item.is_finished());
        let times = |items: Vec<&farhold_types::SnapshotItem>| {
            let mut times: Vec<i64> = items.iter().map(|item| item.backup_time.0).collect();
            times.sort_unstable();
            times
        };
        (times(finished), times(unfinished))
    }

    /// Waits until something is so.
    pub async fn until(&self, what: &str, mut is_so: impl AsyncFnMut(&Self) -> bool) {
        let begin = Instant::now();
        while !is_so(self).await {
            assert!(begin.elapsed() < PATIENCE, "{what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Returns whether nothing at all lies in the store for a group, not even an owner.
    pub fn has_no_trace_of(&self, group: &str) -> bool {
        !self.site.store_path("tank").join(group).exists()
    }
}

fn client(relay: &Relay, account: &str, secret: &str, fingerprint: &str) -> Client {
    let credentials = Credentials::new(account.parse().unwrap(), Secret::new(secret));
    let mut config = ClientConfig::new("127.0.0.1", credentials);
    config.port = relay.address().port();
    config.fingerprint = Some(fingerprint.parse().unwrap());
    Client::new(config).unwrap()
}

pub fn store() -> DatastoreName {
    "tank".parse().unwrap()
}

/// A chunk as it is sent.
#[derive(Clone)]
pub struct Chunk {
    pub digest: Digest,
    pub plain_bytes: u64,
    pub encoded: Bytes,
}

/// Returns a chunk of noise.
pub fn chunk(seed: u64, bytes: usize) -> Chunk {
    let plain = noise(seed, bytes);
    let encoded = BlobEncoder::new().encode(&plain, Compression::Off, None).unwrap().into();
    Chunk { digest: sha256(&plain), plain_bytes: bytes as u64, encoded }
}

/// An archive that is sent through one writer.
pub struct Archive {
    pub name: ArchiveName,
    pub chunks: Vec<Chunk>,
}

impl Archive {
    /// Returns a dynamic archive of noise.
    pub fn dynamic(seeds: std::ops::Range<u64>, chunk_bytes: usize) -> Self {
        Self { name: "root.pxar.didx".parse().unwrap(), chunks: seeds.map(|seed| chunk(seed, chunk_bytes)).collect() }
    }

    /// Returns a fixed archive of noise.
    pub fn fixed(seeds: impl IntoIterator<Item = u64>) -> Self {
        let chunks = seeds.into_iter().map(|seed| chunk(seed, 4 << 20)).collect();
        Self { name: "drive-scsi0.img.fidx".parse().unwrap(), chunks }
    }

    pub fn size(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.plain_bytes).sum()
    }

    /// Returns what is appended: each digest with the position of its first byte.
    pub fn entries(&self) -> Vec<(Digest, u64)> {
        let mut start = 0;
        let entry = |chunk: &Chunk| {
            let entry = (chunk.digest, start);
            start += chunk.plain_bytes;
            entry
        };
        self.chunks.iter().map(entry).collect()
    }

    /// Returns the checksum of its index. Source: `docs/spec/wire-protocol.md` 5.3.
    pub fn checksum(&self) -> Digest {
        let (mut hash, mut end) = (Sha256::new(), 0_u64);
        for chunk in &self.chunks {
            end += chunk.plain_bytes;
            if self.name.as_str().ends_with(".didx") {
                hash.update(&end.to_le_bytes());
            }
            hash.update(chunk.digest.as_bytes());
        }
        hash.finish()
    }

    pub async fn create(&self, session: &BackupSession) -> Result<WriterId, ClientError> {
        if self.name.as_str().ends_with(".didx") {
            session.create_dynamic(&self.name).await
        } else {
            session.create_fixed(&self.name, Some(self.size()), None).await
        }
    }

    /// Sends all chunks at once.
    pub async fn upload(&self, session: &BackupSession, writer: WriterId) -> Result<(), ClientError> {
        let upload = |chunk: &Chunk| {
            let (session, chunk) = (session.clone(), chunk.clone());
            async move { session.upload_chunk(writer, &chunk.digest, chunk.plain_bytes, chunk.encoded).await }
        };
        try_join_all(self.chunks.iter().map(upload)).await.map(|_| ())
    }

    pub async fn close(&self, session: &BackupSession, writer: WriterId) -> Result<(), ClientError> {
        session.close_writer(writer, self.chunks.len() as u64, self.size(), &self.checksum()).await
    }

    /// Returns a manifest that lists only this archive, as it is sent.
    pub fn manifest(&self, snapshot: &Snapshot) -> Bytes {
        let mut manifest = Manifest::new(snapshot);
        let (name, size_bytes, checksum) = (self.name.clone(), self.size(), self.checksum());
        manifest.files.push(ManifestFile { name, crypt_mode: CryptMode::None, size_bytes, checksum });
        manifest.to_blob(&mut BlobEncoder::new()).unwrap().into()
    }
}

/// How far a backup goes, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Opened,
    Created,
    Uploaded,
    Appended,
    Closed,
    Described,
    Finished,
}

impl Step {
    pub const ALL: [Self; 7] =
        [Self::Opened, Self::Created, Self::Uploaded, Self::Appended, Self::Closed, Self::Described, Self::Finished];
}

/// Writes one archive up to a step.
pub async fn write(session: &BackupSession, archive: &Archive, last: Step) -> Result<(), ClientError> {
    if last == Step::Opened {
        return Ok(());
    }
    let writer = archive.create(session).await?;
    if Step::Uploaded <= last {
        archive.upload(session, writer).await?;
    }
    if Step::Appended <= last {
        session.append(writer, &archive.entries()).await?;
    }
    if Step::Closed <= last {
        archive.close(session, writer).await?;
    }
    if Step::Described <= last {
        session.blob(&ArchiveName::manifest(), archive.manifest(session.snapshot())).await?;
    }
    if Step::Finished <= last {
        session.finish().await?;
    }
    Ok(())
}
