//! Backups into a server in memory and back: what is sent, what is not, and what stays behind when something fails.

#![expect(clippy::unwrap_used, reason = "a test may end with a panic")]

mod backups;
mod failures;
mod memory;
mod restores;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use farhold_backup::{
    BackupArchive, BackupError, BackupRequest, BackupSummary, Event, Observer, Protection, RestoreError,
    RestoreRequest, RestoreTarget, backup_into, restore_from,
};
use farhold_crypto::{CryptConfig, EncryptionKey};
use farhold_format::chunker::ChunkSize;
use farhold_testkit::SeededRandomness;
use farhold_types::{Epoch, Snapshot};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use memory::Server;

const MIB: usize = 1 << 20;

fn key(byte: u8) -> Arc<CryptConfig> {
    Arc::new(CryptConfig::new(EncryptionKey::new([byte; 32])))
}

/// Content that does not compress. (Encrypted zeros: the cipher is fast also in debug builds.)
fn noise(seed: u8, length: usize) -> Vec<u8> {
    let mut content = vec![0; length];
    key(seed).encrypt_in_place(&[0; 16], &mut content).unwrap();
    content
}

/// One machine that is backed up, again and again.
struct Machine {
    folder: TempDir,
    server: Server,
    protection: Protection,
    time: i64,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Machine {
    fn new(protection: Protection) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, server: Server::default(), protection, time: 1_700_000_000, events: Arc::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.path(name), content).unwrap();
    }

    fn observer(&self) -> Observer {
        self.events.lock().unwrap().clear();
        let events = Arc::clone(&self.events);
        Observer::new(move |event| events.lock().unwrap().push(event.clone()))
    }

    fn warnings(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        events
            .iter()
            .filter_map(|e| if let Event::Warning { text, .. } = e { Some(text.clone()) } else { None })
            .collect()
    }

    fn request(&mut self, archives: &[&str]) -> BackupRequest {
        self.time += 60;
        let snapshot = self.snapshot();
        let archive = |text: &&str| {
            let (name, file) = text.split_once(':').unwrap();
            let text = format!("{name}:{}", self.path(file).display());
            BackupArchive::parse(&text, || panic!("no standard input")).unwrap()
        };
        let mut request = BackupRequest::new(snapshot, archives.iter().map(archive).collect());
        request.protection = self.protection.clone();
        request.chunk_size = ChunkSize::from_kib(64).unwrap();
        request
    }

    /// Returns the newest snapshot.
    fn snapshot(&self) -> Snapshot {
        "host/machine".parse::<farhold_types::Group>().unwrap().at(Epoch(self.time))
    }

    async fn run(&self, request: BackupRequest) -> Result<BackupSummary, BackupError> {
        let session = self.server.open(&request.snapshot);
        let randomness = Arc::new(SeededRandomness::new(9));
        backup_into(session, request.open()?, randomness, self.observer(), CancellationToken::new()).await
    }

    /// Backs up archives such as `disk.img:disk`, where the source is a file of this machine.
    async fn back_up(&mut self, archives: &[&str]) -> Result<BackupSummary, BackupError> {
        let request = self.request(archives);
        self.run(request).await
    }

    async fn restore_with(
        &self,
        archive: &str,
        target: RestoreTarget,
        key: Option<Arc<CryptConfig>>,
    ) -> Result<u64, RestoreError> {
        let snapshot = self.snapshot();
        let mut request = RestoreRequest::new(snapshot.clone(), archive, target);
        request.key = key;
        let reader = self.server.read(&snapshot);
        let summary = restore_from(reader, request, self.observer(), CancellationToken::new()).await?;
        Ok(summary.size_bytes)
    }

    /// Restores to a new file and returns its path.
    async fn restore(&self, archive: &str) -> Result<PathBuf, RestoreError> {
        let target = self.path("restored");
        if target.exists() {
            std::fs::remove_file(&target).unwrap();
        }
        let key = self.protection.key().cloned();
        let size_bytes = self.restore_with(archive, RestoreTarget::NewFile(target.clone()), key).await?;
        assert_eq!(std::fs::metadata(&target).unwrap().len(), size_bytes);
        Ok(target)
    }

    /// Restores to a writer and returns what it got.
    async fn restore_in_order(&self, archive: &str) -> Result<Vec<u8>, RestoreError> {
        let sink = Sink::default();
        let key = self.protection.key().cloned();
        self.restore_with(archive, RestoreTarget::Writer(Box::new(sink.clone())), key).await?;
        Ok(std::mem::take(&mut *sink.0.lock().unwrap()))
    }
}

fn is_same(path: &Path, content: &[u8]) -> bool {
    std::fs::read(path).unwrap() == content
}

/// A writer whose content can be looked at.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
