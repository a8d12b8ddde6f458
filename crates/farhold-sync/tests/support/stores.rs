//! Real datastores with the recorded ones as sources, and the recorded task logs.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use farhold_datastore::{Datastore, OpenOptions};
use farhold_sync::{
    GroupEvent, LocalSource, LocalTarget, LogNames, LogRenderer, SyncError, SyncEvent, SyncOptions, SyncReport,
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

pub fn golden_path(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden")).join(name)
}

/// A recorded store as the source, and an empty one.
pub struct Stores {
    pub dir: tempfile::TempDir,
    name: &'static str,
    pub source: Datastore,
    pub target: Datastore,
    /// Names that the log shows for source and target.
    pub names: LogNames,
}

/// Unpacks the recorded store `name` into a folder of that name.
pub fn unpack(name: &str, dir: &Path) {
    let packed = fs::File::open(golden_path(&format!("{name}.tar.zst"))).unwrap();
    tar::Archive::new(zstd::Decoder::new(packed).unwrap()).unpack(dir).unwrap();
}

pub fn open_options(name: &str, base: &Path, locks: &Path) -> OpenOptions {
    let randomness = Arc::new(SeededRandomness::new(name.len() as u64));
    OpenOptions::local(name.parse().unwrap(), base, locks, Arc::new(FixedClock), randomness)
}

impl Stores {
    pub fn new() -> Self {
        Self::of("golden", ["rsrc", "golden", "dst3"])
    }

    /// `names`: what the log calls remote, source and target.
    pub fn of(name: &'static str, names: [&str; 3]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        unpack(name, dir.path());
        let locks = dir.path().join("locks");
        let source = Datastore::open(open_options(name, &dir.path().join(name), &locks)).unwrap();
        // Folders of chunks are made on demand; 65,536 of them would make the tests slow.
        fs::create_dir_all(dir.path().join("target/.chunks")).unwrap();
        let target = Datastore::open(open_options("target", &dir.path().join("target"), &locks)).unwrap();
        let names = LogNames {
            direction: farhold_types::SyncDirection::Pull,
            remote: Some(names[0].parse().unwrap()),
            source_store: names[1].parse().unwrap(),
            target_store: names[2].parse().unwrap(),
        };
        Self { dir, name, source, target, names }
    }

    pub fn source_dir(&self) -> PathBuf {
        self.dir.path().join(self.name)
    }

    pub fn target_dir(&self) -> PathBuf {
        self.dir.path().join("target")
    }

    pub fn options(&self) -> SyncOptions {
        let mut options = SyncOptions::new("rsrc:golden:dst3::golden-pull", "sync@pbs!t1".parse().unwrap());
        options.state_dir = Some(self.dir.path().join("state"));
        options
    }

    pub async fn pull(&self, options: SyncOptions) -> Run {
        self.pull_until(options, CancellationToken::new(), usize::MAX).await
    }

    /// Pulls; cancels after so many events.
    pub async fn pull_until(&self, options: SyncOptions, cancel: CancellationToken, stop_after: usize) -> Run {
        let source = Arc::new(LocalSource::new(self.source.clone(), Arc::new(|_: &Namespace, _: &Authid| true)));
        let target = LocalTarget::open(self.target.clone()).unwrap();
        let names = self.names.clone();
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
            log.extend([summary(farhold_types::SyncDirection::Pull, report), closing(&job)]);
        }
        Run { result, log }
    }
}

pub struct Run {
    pub result: Result<SyncReport, SyncError>,
    pub log: Vec<String>,
}

/// All files of snapshots, and the owners of groups. Protection is local and never copied.
pub fn tree(base: &Path) -> BTreeMap<String, Vec<u8>> {
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

pub fn chunks(base: &Path) -> BTreeMap<String, Vec<u8>> {
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
pub fn comparable(lines: impl IntoIterator<Item = String>) -> Vec<String> {
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
pub fn by_namespace(lines: Vec<String>) -> Vec<Vec<String>> {
    let end = lines.iter().position(|line| line.starts_with("Summary")).unwrap();
    let mut parts: Vec<_> = lines[..end].split(|line| line == "----").map(<[String]>::to_vec).collect();
    parts.sort();
    parts.push(lines[end..].to_vec());
    parts
}

pub fn recorded(name: &str) -> Vec<String> {
    let text = fs::read_to_string(golden_path("task-logs").join(name)).unwrap();
    // Those that the command line printed have no times.
    let untimed = |line: &'_ str| line.split_once("+00:00: ").map_or(line, |(_, text)| text).to_owned();
    let texts = text.lines().map(untimed);
    comparable(texts.take_while(|line| !line.starts_with("queued notification")))
}
