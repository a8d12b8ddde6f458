//! Pulls between real datastores, with the recorded store as the source.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use farhold_datastore::{Datastore, OpenOptions};
use farhold_sync::{
    GroupEvent, LocalSource, LocalTarget, LogNames, LogRenderer, Source, SyncError, SyncEvent, SyncOptions, SyncReport,
    Unrestricted, closing, summary,
};
use farhold_testkit::SeededRandomness;
use farhold_types::{Authid, Clock, Epoch, Namespace};
use tokio_util::sync::CancellationToken;

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Epoch {
        Epoch(1_800_000_000)
    }
}

fn golden_path(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden")).join(name)
}

struct Stores {
    dir: tempfile::TempDir,
    source: Datastore,
    target: Datastore,
}

fn open_options(name: &str, base: &Path, locks: &Path) -> OpenOptions {
    let randomness = Arc::new(SeededRandomness::new(name.len() as u64));
    OpenOptions::local(name.parse().unwrap(), base, locks, Arc::new(FixedClock), randomness)
}

impl Stores {
    /// The recorded store, and an empty one.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let packed = fs::File::open(golden_path("golden.tar.zst")).unwrap();
        tar::Archive::new(zstd::Decoder::new(packed).unwrap()).unpack(dir.path()).unwrap();
        let locks = dir.path().join("locks");
        let source = Datastore::open(open_options("golden", &dir.path().join("golden"), &locks)).unwrap();
        // Folders of chunks are made on demand; 65,536 of them would make the tests slow.
        fs::create_dir_all(dir.path().join("target/.chunks")).unwrap();
        let target = Datastore::open(open_options("target", &dir.path().join("target"), &locks)).unwrap();
        Self { dir, source, target }
    }

    fn source_dir(&self) -> PathBuf {
        self.dir.path().join("golden")
    }

    fn target_dir(&self) -> PathBuf {
        self.dir.path().join("target")
    }

    fn options(&self) -> SyncOptions {
        let mut options = SyncOptions::new("rsrc:golden:dst3::golden-pull", "sync@pbs!t1".parse().unwrap());
        options.state_dir = Some(self.dir.path().join("state"));
        options
    }

    async fn pull(&self, options: SyncOptions) -> Run {
        self.pull_until(options, CancellationToken::new(), usize::MAX).await
    }

    /// Pulls; cancels after so many events.
    async fn pull_until(&self, options: SyncOptions, cancel: CancellationToken, stop_after: usize) -> Run {
        let source = Arc::new(LocalSource::new(self.source.clone(), Arc::new(|_: &Namespace, _: &Authid| true)));
        let target = LocalTarget::open(self.target.clone()).unwrap();
        let names = LogNames {
            remote: Some("rsrc".parse().unwrap()),
            source_store: "golden".parse().unwrap(),
            target_store: "dst3".parse().unwrap(),
        };
        let mut log = names.opening(&options.job).to_vec();
        let job = options.job.clone();
        let state =
            Arc::new((Mutex::new((LogRenderer::new(names, options.worker_threads), Vec::new())), AtomicUsize::new(0)));
        let events = {
            let (state, cancel) = (state.clone(), cancel.clone());
            move |event: &SyncEvent| {
                let (renderer, lines) = &mut *state.0.lock().unwrap();
                lines.extend(renderer.render(event).into_iter().map(|line| line.text));
                if matches!(event, SyncEvent::Group { event: GroupEvent::ChunkStored { .. }, .. }) {
                    return;
                }
                if state.1.fetch_add(1, Ordering::SeqCst) == stop_after {
                    cancel.cancel();
                }
            }
        };
        let result =
            farhold_sync::run(options, source, Arc::new(target), Arc::new(Unrestricted), Arc::new(events), cancel)
                .await;
        log.append(&mut state.0.lock().unwrap().1);
        if let Ok(report) = &result {
            log.extend([summary(report), closing(&job)]);
        }
        Run { result, log }
    }
}

struct Run {
    result: Result<SyncReport, SyncError>,
    log: Vec<String>,
}

/// All files of snapshots, and the owners of groups. Protection is local and never copied.
fn tree(base: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(base: &Path, dir: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = entry.file_name().into_string().unwrap();
            if entry.file_type().unwrap().is_dir() {
                if name != ".chunks" {
                    walk(base, &path, found);
                }
            } else if !name.starts_with('.') {
                let key = path.strip_prefix(base).unwrap().to_str().unwrap().to_owned();
                found.insert(key, fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(base, base, &mut found);
    found
}

fn chunks(base: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for folder in fs::read_dir(base.join(".chunks")).unwrap().map(Result::unwrap) {
        if !folder.file_type().unwrap().is_dir() {
            continue;
        }
        for file in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
            if let Some(name) = file.file_name().to_str().filter(|name| name.len() == 64) {
                found.insert(name.to_owned(), fs::read(file.path()).unwrap());
            }
        }
    }
    found
}

/// Lines of a recorded log up to its end line, without times; rates and running counts removed.
fn comparable(lines: impl IntoIterator<Item = String>) -> Vec<String> {
    lines
        .into_iter()
        .map(|line| {
            let line = match line.find(" (average rate") {
                Some(at) => line[..at].to_owned(),
                None => line,
            };
            let is_rate = line.contains(": downloaded ") || line.ends_with("/s)");
            let line = if is_rate { line.split(" (").next().unwrap().to_owned() } else { line };
            match line.find(", current progress") {
                Some(at) => line[..at].to_owned(),
                None => line,
            }
        })
        .collect()
}

/// The parts of a log, sorted: the order of namespaces with names of equal length is not specified.
fn by_namespace(lines: Vec<String>) -> Vec<Vec<String>> {
    let end = lines.iter().position(|line| line.starts_with("Summary")).unwrap();
    let mut parts: Vec<_> = lines[..end].split(|line| line == "----").map(<[String]>::to_vec).collect();
    parts.sort();
    parts.push(lines[end..].to_vec());
    parts
}

fn recorded(name: &str) -> Vec<String> {
    let text = fs::read_to_string(golden_path("task-logs").join(name)).unwrap();
    let texts = text.lines().map(|line| line.split_once(": ").unwrap().1.to_owned());
    comparable(texts.take_while(|line| !line.starts_with("queued notification")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_recorded_store_comes_over_identical_with_the_recorded_log() {
    let stores = Stores::new();
    let run = stores.pull(stores.options()).await;
    run.result.unwrap();
    assert_eq!(tree(&stores.source_dir()), tree(&stores.target_dir()));
    let (from, to) = (chunks(&stores.source_dir()), chunks(&stores.target_dir()));
    assert!(to.iter().all(|(name, chunk)| from[name] == *chunk) && 10 < to.len());
    assert_eq!(by_namespace(comparable(run.log)), by_namespace(recorded("pull-golden-store.log")));
    // Again: nothing is fetched.
    let run = stores.pull(stores.options()).await;
    let report = run.result.unwrap();
    assert_eq!((report.chunks, report.changed_snapshots), (0, 0));
    assert!(run.log.contains(&"Summary: sync job found no new data to pull".to_owned()));
    assert_eq!(tree(&stores.source_dir()), tree(&stores.target_dir()));
    assert!(!stores.target_dir().join("host/web1/2026-01-01T10:00:00Z/.protected").exists(), "protection is local");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapped_anchor_comes_over_with_the_recorded_log() {
    let stores = Stores::new();
    let mut options = stores.options();
    options.source_anchor = "location_a/department_x".parse().unwrap();
    options.target_anchor = "location_a_dep_x".parse().unwrap();
    options.job = "rsrc:golden:dst:location_a_dep_x:jnsp".into();
    let run = stores.pull(options).await;
    run.result.unwrap();
    let ours: Vec<_> = comparable(run.log).iter().map(|line| line.replace("'dst3'", "'dst'")).collect();
    assert_eq!(ours, recorded("pull-namespace-mapping.log"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_workers_copy_the_same() {
    let stores = Stores::new();
    let mut options = stores.options();
    options.worker_threads = 4;
    let run = stores.pull(options).await;
    run.result.unwrap();
    assert_eq!(tree(&stores.source_dir()), tree(&stores.target_dir()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_note_comes_over_and_local_protection_stays() {
    let stores = Stores::new();
    stores.pull(stores.options()).await.result.unwrap();
    let newest = "host/web1/2026-01-03T10:00:00Z";
    let snapshot = newest.parse().unwrap();
    let root = Namespace::root();
    fs::write(stores.target_dir().join(newest).join(".protected"), "").unwrap();
    fs::write(stores.target_dir().join(newest).join("stray.blob"), "x").unwrap();
    stores.source.set_snapshot_notes(&root, &snapshot, "changed").unwrap();
    let run = stores.pull(stores.options()).await;
    let report = run.result.unwrap();
    assert_eq!((report.chunks, report.changed_snapshots), (0, 1));
    assert!(stores.target_dir().join(newest).join(".protected").exists());
    assert!(!stores.target_dir().join(newest).join("stray.blob").exists());
    assert_eq!(tree(&stores.source_dir()), tree(&stores.target_dir()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_stopped_anywhere_is_finished_by_the_next() {
    for stop_after in (0..60).step_by(7) {
        let stores = Stores::new();
        let cancel = CancellationToken::new();
        let run = stores.pull_until(stores.options(), cancel.clone(), stop_after).await;
        assert!(matches!(run.result, Err(SyncError::Cancelled)), "{stop_after}: {:?}", run.result);
        let source = tree(&stores.source_dir());
        let visible = tree(&stores.target_dir());
        assert!(visible.iter().all(|(name, content)| source.get(name) == Some(content)), "{stop_after}");
        stores.pull(stores.options()).await.result.unwrap();
        assert_eq!(tree(&stores.source_dir()), tree(&stores.target_dir()), "{stop_after}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_damage_of_the_newest_snapshot_is_repaired() {
    for file in ["index.json.blob", "etc.pxar.didx", "catalog.pcat1.didx"] {
        let stores = Stores::new();
        stores.pull(stores.options()).await.result.unwrap();
        let newest = "host/web1/2026-01-03T10:00:00Z";
        let path = stores.target_dir().join(newest).join(file);
        let content = fs::read(&path).unwrap();
        fs::write(&path, &content[..content.len() / 2]).unwrap();
        if file != "index.json.blob" {
            // Seen only when the manifests differ.
            stores.source.set_snapshot_notes(&Namespace::root(), &newest.parse().unwrap(), "changed").unwrap();
        }
        stores.pull(stores.options()).await.result.unwrap();
        assert_eq!(tree(&stores.source_dir()), tree(&stores.target_dir()), "{file}");
    }
}

#[tokio::test]
async fn a_missing_source_anchor_is_an_error_before_anything_else() {
    let stores = Stores::new();
    let mut options = stores.options();
    options.source_anchor = "no/such".parse().unwrap();
    let run = stores.pull(options).await;
    assert!(matches!(run.result, Err(SyncError::Namespaces(_))), "{:?}", run.result);
}

#[tokio::test]
async fn a_source_shows_only_groups_that_the_owner_may_read() {
    let stores = Stores::new();
    let nobody = LocalSource::new(stores.source.clone(), Arc::new(|_: &Namespace, _: &Authid| false));
    assert!(nobody.groups(&Namespace::root()).await.unwrap().items.is_empty());
    let snapshot = "host/web1/2026-01-03T10:00:00Z".parse().unwrap();
    assert!(nobody.open(&Namespace::root(), &snapshot).await.is_err());
}
