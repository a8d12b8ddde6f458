//! A store on disk that has what a source in memory has, and ways to damage it.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use farhold_datastore::verify::{ReadOrder, VerifyOptions};
use farhold_datastore::{Datastore, OpenOptions};
use farhold_sync::repair::{RepairEnds, RepairError, RepairEvent, RepairOptions, RepairReach, RepairReport, repair};
use farhold_sync::{DEFAULT_PATIENCE, LocalTarget, SyncOptions, Unrestricted};
use farhold_types::{Digest, Namespace, Snapshot, SyncLevel, VerifyState};
use tokio_util::sync::CancellationToken;

use crate::stores::open_options;
use crate::support::{Log, MemorySource, Shared, ns, options, snapshot};

pub const UPID: &str = "UPID:pbs:00000001:00000001:00000001:69000000:repair:target:root@pam:";
const EARLIER: &str = "UPID:pbs:00000001:00000001:00000001:68000000:verify:target:root@pam:";
pub const ONE: &str = "vm/1/2026-01-01T10:00:00Z";
pub const TWO: &str = "vm/1/2026-01-02T10:00:00Z";

pub struct Bench {
    pub source: Arc<MemorySource>,
    pub store: Datastore,
    pub dir: tempfile::TempDir,
    /// What the last run told, as debug texts.
    pub told: Vec<String>,
    /// Does something when the run tells something.
    pub hook: Option<Hook>,
}

pub type Hook = Arc<dyn Fn(&RepairEvent<'_>) + Send + Sync>;

pub fn repair_options() -> RepairOptions {
    let one = NonZero::<usize>::MIN;
    RepairOptions {
        anchor: Namespace::root(),
        max_depth: None,
        source_anchor: Namespace::root(),
        groups: Vec::new(),
        owner: None,
        keys: Vec::new(),
        reach: RepairReach::Suspects,
        verify: VerifyOptions { readers: one, workers: one, order: ReadOrder::Index },
        is_dry: false,
        patience: DEFAULT_PATIENCE,
        pause_seed: 1,
    }
}

impl Bench {
    /// Returns an empty source and an empty store.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("target/.chunks")).unwrap();
        let locks = dir.path().join("locks");
        // A flush of the whole disk takes its time.
        let options =
            OpenOptions { sync_level: SyncLevel::None, ..open_options("target", &dir.path().join("target"), &locks) };
        let store = Datastore::open(options).unwrap();
        Self { source: Arc::new(MemorySource::new()), store, dir, told: Vec::new(), hook: None }
    }

    /// Copies what the source has.
    pub async fn pull(&self) {
        self.pull_with(options()).await;
    }

    pub async fn pull_with(&self, options: SyncOptions) {
        let target = Arc::new(LocalTarget::open(self.store.clone()).unwrap());
        let (source, log) = (Arc::new(Shared(self.source.clone())), Log::new(1));
        let cancel = CancellationToken::new();
        farhold_sync::run(options, source, target, Arc::new(Unrestricted), log, cancel).await.unwrap();
        self.source.chunk_requests();
        self.source.counts.opened.store(0, std::sync::atomic::Ordering::SeqCst);
    }

    pub fn base(&self) -> PathBuf {
        self.dir.path().join("target")
    }

    pub fn chunk(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.base().join(".chunks").join(&name[..4]).join(name)
    }

    pub fn file(&self, what: &str, file: &str) -> PathBuf {
        self.base().join(what).join(file)
    }

    /// Notes that an earlier verification failed.
    pub fn mark_failed(&self, what: &str) {
        let state = serde_json::json!({ "state": "failed", "upid": EARLIER });
        let set = |unprotected: &mut serde_json::Map<String, serde_json::Value>| {
            unprotected.insert("verify_state".into(), state);
        };
        self.store.update_manifest(&Namespace::root(), &snapshot(what), set).unwrap();
    }

    pub fn state(&self, what: &str) -> Option<(VerifyState, String)> {
        let (manifest, _) = self.store.read_manifest(&Namespace::root(), &snapshot(what)).unwrap();
        manifest.verify_state().map(|item| (item.state, item.upid))
    }

    pub fn is_ok(&self, what: &str) -> bool {
        self.state(what) == Some((VerifyState::Ok, UPID.to_owned()))
    }

    pub async fn repair(&mut self) -> RepairReport {
        self.run(repair_options()).await.unwrap()
    }

    pub async fn run(&mut self, options: RepairOptions) -> Result<RepairReport, RepairError> {
        self.run_until(options, CancellationToken::new()).await
    }

    pub async fn run_until(
        &mut self,
        options: RepairOptions,
        cancel: CancellationToken,
    ) -> Result<RepairReport, RepairError> {
        let told = Arc::new(Mutex::new(Vec::new()));
        let (sink, hook) = (told.clone(), self.hook.clone());
        let events = Arc::new(move |event: &RepairEvent<'_>| {
            sink.lock().unwrap().push(format!("{event:?}"));
            if let Some(hook) = &hook {
                hook(event);
            }
        });
        let source = Arc::new(Shared(self.source.clone()));
        let ends = RepairEnds { store: self.store.clone(), source, may_mend: Arc::new(|_: &Namespace| true) };
        let outcome = repair(options, ends, UPID.parse().unwrap(), events, cancel).await;
        self.told = told.lock().unwrap().clone();
        outcome
    }

    pub fn has_told(&self, text: &str) -> bool {
        self.told.iter().any(|line| line.contains(text))
    }

    /// All files of the store but its locks.
    pub fn content(&self) -> Vec<(PathBuf, Vec<u8>)> {
        fn walk(dir: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
            let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
            entries.sort();
            for path in entries {
                if path.is_dir() {
                    walk(&path, found);
                } else {
                    found.push((path.clone(), fs::read(&path).unwrap()));
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.base(), &mut found);
        found.retain(|(path, _)| !path.ends_with(".lock"));
        found
    }
}

pub fn flip(path: &Path) {
    let mut content = fs::read(path).unwrap();
    let at = content.len() - 3;
    content[at] ^= 4;
    fs::write(path, content).unwrap();
}

pub fn root_snapshot(what: &str) -> (Namespace, Snapshot) {
    (ns(""), snapshot(what))
}
