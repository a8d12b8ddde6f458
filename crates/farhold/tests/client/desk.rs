//! A machine that is backed up, and the server it is backed up to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use farhold::system::SystemRandomness;
use farhold_backup::{
    BackupArchive, BackupError, BackupPlace, BackupRequest, BackupSummary, Observer, OpenBackup, Protection,
    RestoreError, RestoreRequest, RestoreTarget, backup, restore,
};
use farhold_client::{Client, ClientConfig, Credentials};
use farhold_crypto::{CryptConfig, EncryptionKey};
use farhold_format::manifest::Manifest;
use farhold_types::{Epoch, Group, Namespace, Role, Secret, Snapshot};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::process::Process;
use crate::scratch::scratch;
use crate::site::Site;

pub const MIB: usize = 1 << 20;
pub const STORE: &str = "tank";
pub const ACCOUNT: &str = "saver@pbs!t1";

pub fn key(byte: u8) -> Arc<CryptConfig> {
    Arc::new(CryptConfig::new(EncryptionKey::new([byte; 32])))
}

/// The server, the machine with its files, and the connection between them.
pub struct Desk {
    pub site: Site,
    pub process: Option<Process>,
    pub address: String,
    pub fingerprint: String,
    pub secret: String,
    pub client: Client,
    pub folder: TempDir,
    pub protection: Protection,
    pub time: i64,
}

impl Desk {
    /// The server runs in this process.
    pub async fn new(protection: Protection) -> Self {
        let (mut site, secret) = prepared();
        site.listen().await;
        let address = format!("127.0.0.1:{}", site.port());
        let fingerprint = site.fingerprint();
        Self::at(site, None, address, fingerprint, secret, protection)
    }

    /// The server is a process that can be killed.
    pub fn with_process(protection: Protection) -> Self {
        let (site, secret) = prepared();
        let (process, address, fingerprint) = Process::server(&site.root());
        Self::at(site, Some(process), address, fingerprint, secret, protection)
    }

    fn at(
        site: Site,
        process: Option<Process>,
        address: String,
        fingerprint: String,
        secret: String,
        protection: Protection,
    ) -> Self {
        let client = client(&address, &fingerprint, &secret);
        let folder = scratch();
        Self { site, process, address, fingerprint, secret, client, folder, protection, time: 1_700_000_000 }
    }

    /// Starts the server's process again.
    pub fn restart_server(&mut self) {
        let (process, address, fingerprint) = Process::server(&self.site.root());
        self.client = client(&address, &fingerprint, &self.secret);
        (self.process, self.address) = (Some(process), address);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    pub fn group() -> Group {
        "host/desk".parse().unwrap()
    }

    /// Returns the newest snapshot.
    pub fn snapshot(&self) -> Snapshot {
        Self::group().at(Epoch(self.time))
    }

    /// Opens archives such as `disk.img:disk` for the next snapshot.
    pub fn open(&mut self, archives: &[&str]) -> OpenBackup {
        self.time += 60;
        let archive = |text: &&str| {
            let (name, file) = text.split_once(':').unwrap();
            let text = format!("{name}:{}", self.path(file).display());
            BackupArchive::parse(&text, || panic!("no standard input")).unwrap()
        };
        let mut request = BackupRequest::new(self.snapshot(), archives.iter().map(archive).collect());
        request.protection = self.protection.clone();
        request.open().unwrap()
    }

    pub async fn send(&self, open: OpenBackup) -> Result<BackupSummary, BackupError> {
        let place = BackupPlace { store: STORE.parse().unwrap(), ns: Namespace::root(), no_cache: false };
        let (randomness, cancel) = (Arc::new(SystemRandomness), CancellationToken::new());
        backup(&self.client, &place, open, randomness, Observer::silent(), cancel).await
    }

    pub async fn back_up(&mut self, archives: &[&str]) -> Result<BackupSummary, BackupError> {
        let open = self.open(archives);
        self.send(open).await
    }

    /// Restores an archive of the newest snapshot to a new file.
    pub async fn restore(&self, archive: &str, target: &Path) -> Result<u64, RestoreError> {
        self.restore_from(STORE, self.snapshot(), archive, target).await
    }

    async fn restore_from(
        &self,
        store: &str,
        snapshot: Snapshot,
        archive: &str,
        target: &Path,
    ) -> Result<u64, RestoreError> {
        let mut request = RestoreRequest::new(snapshot, archive, RestoreTarget::NewFile(target.to_owned()));
        request.key = self.protection.key().cloned();
        let (store, ns) = (store.parse().unwrap(), Namespace::root());
        let cancel = CancellationToken::new();
        Ok(restore(&self.client, &store, &ns, request, Observer::silent(), cancel).await?.size_bytes)
    }

    /// Restores an archive of the newest snapshot and returns its content.
    pub async fn restored(&self, archive: &str) -> Vec<u8> {
        self.restored_from(STORE, &self.snapshot().to_string(), archive).await
    }

    /// Restores an archive and returns its content.
    pub async fn restored_from(&self, store: &str, snapshot: &str, archive: &str) -> Vec<u8> {
        let target = self.path("restored");
        let size_bytes = self.restore_from(store, snapshot.parse().unwrap(), archive, &target).await.unwrap();
        let content = fs::read(&target).unwrap();
        fs::remove_file(&target).unwrap();
        assert_eq!(content.len() as u64, size_bytes);
        content
    }

    pub fn group_folder(&self) -> PathBuf {
        self.site.store_path(STORE).join("host/desk")
    }

    /// Returns the folders of the snapshots, finished or not.
    pub fn snapshot_folders(&self) -> BTreeSet<String> {
        let Ok(entries) = fs::read_dir(self.group_folder()) else { return BTreeSet::new() };
        let folders = entries.map(Result::unwrap).filter(|entry| entry.file_type().unwrap().is_dir());
        folders.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }

    /// Returns the digests of all chunks in the store.
    pub fn chunks(&self) -> BTreeSet<String> {
        let folders = fs::read_dir(self.site.store_path(STORE).join(".chunks")).unwrap();
        let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Returns the manifest of the newest snapshot as it is stored.
    pub fn manifest(&self) -> Manifest {
        let time = Epoch(self.time).to_string();
        Manifest::from_blob(&fs::read(self.group_folder().join(time).join("index.json.blob")).unwrap()).unwrap()
    }
}

fn prepared() -> (Site, String) {
    let site = Site::new();
    site.add_store(STORE);
    site.add_user("saver@pbs", "a password");
    let secret = site.add_token(ACCOUNT);
    for account in ["saver@pbs", ACCOUNT] {
        site.grant("/datastore/tank", account, Role::DatastoreBackup);
    }
    (site, secret)
}

fn client(address: &str, fingerprint: &str, secret: &str) -> Client {
    let credentials = Credentials::new(ACCOUNT.parse().unwrap(), Secret::new(secret));
    let (host, port) = address.rsplit_once(':').unwrap();
    let mut config = ClientConfig::new(host, credentials);
    config.port = port.parse().unwrap();
    config.fingerprint = Some(fingerprint.parse().unwrap());
    Client::new(config).unwrap()
}

/// Returns an error, its causes and its hint.
pub fn told(error: &(dyn std::error::Error + 'static), hint: Option<&str>) -> String {
    let chain = std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string);
    format!("{}\nhint: {}", chain.collect::<Vec<_>>().join(": "), hint.unwrap_or("none"))
}
