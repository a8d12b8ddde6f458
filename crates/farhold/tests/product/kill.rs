//! Processes that die in the middle of a pull, at either end, and what the next run makes of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use farhold_types::Digest;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::content::{Content, add_snapshot, assert_no_leftovers, assert_same, snapshots};
use crate::peer::Peer;
use crate::process::{Process, printed, program};
use crate::scratch::scratch;
use crate::site::Site;

/// Chunks of the snapshot that is pulled when the process dies.
const CHUNKS: u64 = 200;

/// How long a test waits for something that happens at once. Only a fault reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A remote with a small snapshot and a larger one, both of one group.
struct Stage {
    peer: Peer,
    address: std::net::SocketAddr,
    folder: tempfile::TempDir,
}

impl Stage {
    async fn new() -> Self {
        let folder = scratch();
        let store = crate::hostile::empty_store(&folder.path().join("source"));
        add_snapshot(
            &store,
            "",
            "host/first/2026-01-01T10:00:00Z",
            &[("root.pxar.didx", Content::Chunks(&[1000], 3000))],
        );
        add_snapshot(
            &store,
            "",
            "vm/100/2026-01-01T10:00:00Z",
            &[("qemu-server.conf.blob", Content::Blob(b"cores: 1"))],
        );
        let seeds: Vec<u64> = (0..CHUNKS).collect();
        let archives = [
            ("qemu-server.conf.blob", Content::Blob(b"cores: 2")),
            ("drive-scsi0.img.fidx", Content::Chunks(&seeds, 65_536)),
        ];
        add_snapshot(&store, "", "vm/100/2026-01-02T10:00:00Z", &archives);
        let peer = Peer::new(store);
        let address = peer.listen().await;
        Self { peer, address, folder }
    }

    fn source(&self) -> std::path::PathBuf {
        self.folder.path().join("source")
    }

    /// Returns a server with an empty store and a job that pulls from the remote.
    async fn site(&self) -> Site {
        let site = Site::new();
        site.add_store("local");
        let (port, fingerprint) = (self.address.port().to_string(), self.peer.fingerprint().to_string());
        let create = ["remote", "create", "pbs2", "--host", "127.0.0.1", "--port", &port, "--auth-id", "sync@pbs!t1"];
        let secret = ["--password", "any-secret", "--fingerprint", &fingerprint];
        site.run(&[&create[..], &secret[..]].concat()).await.ok();
        let job =
            ["sync-job", "create", "pbs2-local", "--remote", "pbs2", "--remote-store", "tank", "--store", "local"];
        site.run(&job).await.ok();
        site
    }
}

fn noted(site: &Site) -> BTreeSet<Digest> {
    let notes = crate::site::files(&site.root().join("lib/farhold/sync"), &[]);
    let is_journal = |path: &Path| path.iter().any(|part| part == "journals");
    let digests = notes.iter().filter(|(path, _)| is_journal(path)).filter_map(|(_, note)| note.get(40..));
    digests.flat_map(|raw| raw.as_chunks::<32>().0.iter().map(|bytes| Digest(*bytes)).collect::<Vec<_>>()).collect()
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn stored(store: &Path) -> usize {
    let folders = fs::read_dir(store.join(".chunks")).unwrap().flatten();
    let folders = folders.filter(|folder| folder.file_name().len() == 4);
    folders.map(|folder| fs::read_dir(folder.path()).unwrap().count()).sum()
}

/// Asserts that nothing is left of a killed process once another one has worked in the store.
fn assert_nothing_left(site: &Site, store: &Path) {
    let staging = store.join(".chunks/.farhold-tmp");
    let staged = fs::read_dir(&staging).map(|found| found.count()).unwrap_or(0);
    assert_eq!(staged, 0, "{} is not empty", staging.display());
    // Killed between the end of a snapshot and its note, the mark that it was begun stays; it is believed only beside an
    // unfinished directory.
    let (marks, notes): (Vec<_>, Vec<_>) =
        site.notes().into_iter().partition(|path| path.iter().any(|part| part == "begun"));
    assert!(notes.is_empty() && marks.len() <= 1, "notes are left over: {notes:?} {marks:?}");
    for folder in ["etc", "lib"] {
        for path in crate::site::files(&site.root().join(folder), &[]).keys() {
            let name = path.to_str().unwrap();
            assert!(!name.contains("tmp") && !name.contains("~"), "{folder}/{name} is left over");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_that_is_killed_anywhere_is_finished_by_the_next_without_fetching_again() {
    let stage = Stage::new().await;
    for after in [0, 1, 40, 120, 199, 202] {
        let site = stage.site().await;
        let store = site.store_path("local");
        stage.peer.delay_chunks(Duration::from_millis(60));
        stage.peer.take_log();
        let mut process = Process::spawn(program(&site.root(), &["sync-job", "run", "pbs2-local"]));
        until("chunks arrive", || {
            let is_done = process.0.try_wait().unwrap().is_some();
            is_done || after <= stored(&store)
        })
        .await;
        process.kill();
        stage.peer.delay_chunks(Duration::ZERO);
        let first: BTreeSet<Digest> = stage.peer.take_chunks().into_iter().collect();
        let noted = noted(&site);
        let finished = snapshots(&store);
        for (path, content) in &finished {
            if finished.contains_key(&format!("{}/index.json.blob", path.rsplit_once('/').unwrap().0)) {
                assert!(snapshots(&stage.source())[path] == *content, "killed after {after}: {path}");
            }
        }
        if (40..=120).contains(&after) {
            assert!(after <= noted.len() + 40, "killed after {after}: only {} chunks are noted", noted.len());
        }

        let output = program(&site.root(), &["sync-job", "run", "pbs2-local"]).output().unwrap();
        assert!(output.status.success(), "killed after {after}: {}", printed(&output));
        assert_same(&stage.source(), &store);
        assert_nothing_left(&site, &store);
        let second: BTreeSet<Digest> = stage.peer.take_chunks().into_iter().collect();
        let again = second.intersection(&noted).count();
        assert_eq!(again, 0, "killed after {after}: noted chunks were fetched again");
        assert!(second.len() + noted.len() <= 2 + usize::try_from(CHUNKS).unwrap(), "killed after {after}");
        assert!(usize::try_from(CHUNKS).unwrap() < first.len() + second.len(), "killed after {after}");

        let output = program(&site.root(), &["sync-job", "run", "pbs2-local"]).output().unwrap();
        assert!(printed(&output).contains("found no new data to pull"), "{}", printed(&output));
        assert!(stage.peer.take_chunks().is_empty(), "the third run fetches nothing");
    }
}

/// Starts the job in a daemon, sends it SIGTERM while chunks arrive and returns how the task ended.
async fn stop_daemon(stage: &Stage, site: &Site) -> String {
    let store = site.store_path("local");
    let (mut daemon, ..) = Process::server(&site.root());
    let run = ["sync-job", "run", "pbs2-local", "--output-format", "json"];
    let output = program(&site.root(), &run).output().unwrap();
    assert!(output.status.success(), "{}", printed(&output));
    until("chunks arrive", || 20 <= stored(&store)).await;
    kill(Pid::from_raw(daemon.0.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let mut status = None;
    until("the daemon stops", || {
        status = daemon.0.try_wait().unwrap();
        status.is_some()
    })
    .await;
    assert!(status.unwrap().success(), "{status:?}");
    assert_no_leftovers(&store);
    stage.peer.delay_chunks(Duration::ZERO);
    stage.peer.take_log();
    let tasks = site.run(&["task", "list", "--all", "true", "--output-format", "json"]).await.ok();
    let tasks: serde_json::Value = serde_json::from_str(&tasks).unwrap();
    tasks[0]["status"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_told_to_stop_lets_a_pull_end_that_is_nearly_done() {
    let stage = Stage::new().await;
    let site = stage.site().await;
    stage.peer.delay_chunks(Duration::from_millis(200));
    assert_eq!(stop_daemon(&stage, &site).await, "OK");
    assert_same(&stage.source(), &site.store_path("local"));
    assert_nothing_left(&site, &site.store_path("local"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_told_to_stop_aborts_a_long_pull_and_the_next_run_goes_on_there() {
    let stage = Stage::new().await;
    let site = stage.site().await;
    stage.peer.delay_chunks(Duration::from_secs(4));
    let status = stop_daemon(&stage, &site).await;
    assert!(status.contains("aborted"), "the task ended with '{status}'");
    let noted = noted(&site);
    assert!(20 <= noted.len());
    site.run(&["sync-job", "run", "pbs2-local"]).await.ok();
    assert!(stage.peer.take_chunks().iter().all(|digest| !noted.contains(digest)), "noted chunks were fetched again");
    assert_same(&stage.source(), &site.store_path("local"));
    assert_nothing_left(&site, &site.store_path("local"));
}
