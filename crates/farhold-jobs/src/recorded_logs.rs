//! Verification, prune and garbage collection of the recorded store against recorded task logs: whole logs line by line,
//! the states that verification leaves, and what a prune keeps.
//!
//! What differs on purpose: ours names the namespace of every snapshot and group, and every bad chunk where it is found.
//! Not compared: times, speeds, and notifications, which have tests of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use farhold_datastore::Datastore;
use farhold_settings::{Entries, SettingsError};
use farhold_tasks::job_state::JobKey;
use farhold_types::{Authid, MAX_NAMESPACE_DEPTH, Namespace, PruneJob, VerifyJob, VerifyState};

use crate::gc::{GcPermit, start_gc};
use crate::prune::run_prune_job;
use crate::store_jobs::JobPermit;
use crate::testing::TestServer;
use crate::verify_job::run_verify_job;

/// A chunk of encrypted images, which was damaged by hand before some of the recordings.
const BAD_CHUNK: &str = "4f7df7c5aa547cbcd62954ad8b73130cf2f6d3cac074c75c2800065df947b50a";

fn golden(name: &str) -> tar::Archive<zstd::Decoder<'static, std::io::BufReader<fs::File>>> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden")).join(name);
    tar::Archive::new(zstd::Decoder::new(fs::File::open(path).unwrap()).unwrap())
}

/// Returns the lines of the recorded log whose UPID has this ending, without times.
fn recorded(ending: &str) -> Vec<String> {
    let mut logs = all_recorded();
    let names: Vec<_> = logs.keys().filter(|name| name.ends_with(ending)).cloned().collect();
    assert_eq!(names.len(), 1, "{ending}");
    logs.remove(&names[0]).unwrap()
}

/// Returns all recorded logs of verifications, prunes and collections, without times, by UPID.
fn all_recorded() -> BTreeMap<String, Vec<String>> {
    let mut logs = BTreeMap::new();
    for entry in golden("tasks.tar.zst").entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        let kind = name.split(':').nth(6).unwrap_or_default();
        if !["garbage_collection", "verify", "verificationjob", "prune", "prunejob"].contains(&kind) {
            continue;
        }
        let mut text = String::new();
        std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
        logs.insert(name, text.lines().map(without_time).filter(|line| !is_notification(line)).collect());
    }
    logs
}

fn without_time(line: &str) -> String {
    line.split_once(": ").map_or(line, |(_, text)| text).to_owned()
}

fn is_notification(line: &str) -> bool {
    line.starts_with("queued notification (")
}

/// Leaves away what no two runs have alike: speeds, the time of the cut-off, and where the store lies.
fn comparable(line: &str, store: &Path) -> String {
    let line = line.replace(&store.display().to_string(), "BASE");
    let line = line.replace("/srv/pbs/store1", "BASE").replace("/srv/pbs/local", "BASE");
    let line = match line.split_once(" in ") {
        Some((amounts, rest)) if amounts.starts_with("  verified") => {
            // Ours counts the content of a chunk once for each index, the reference's as often as the index names it.
            format!("{} {}", amounts.split('/').next().unwrap(), &rest[rest.rfind('(').unwrap()..])
        }
        _ => line,
    };
    match line.split_once("minimum access time is ") {
        Some((before, _)) => before.to_owned(),
        None => line,
    }
}

/// Leaves away namespaces, which only ours names.
fn without_namespaces(line: &str) -> String {
    let mut line = line.to_owned();
    while let Some(start) = line.find("ns/") {
        let end = start + 3 + line[start + 3..].find('/').unwrap() + 1;
        line.replace_range(start..end, "");
    }
    line
}

/// The recorded store, as `store1` of a server.
struct Bench {
    server: TestServer,
    store: Datastore,
}

impl Bench {
    fn new(name: &str) -> Self {
        let server = TestServer::new();
        let place = server.store_path(name);
        let folder = place.parent().unwrap();
        fs::create_dir_all(folder).unwrap();
        golden("golden.tar.zst").unpack(folder).unwrap();
        fs::rename(folder.join("golden"), &place).unwrap();
        let store = server.configure_datastore(name);
        Self { server, store }
    }

    /// Damages the chunk that was damaged in the recordings.
    fn damage_chunk(&self) {
        let mut content = fs::read(self.chunk()).unwrap();
        *content.last_mut().unwrap() ^= 1;
        fs::write(self.chunk(), content).unwrap();
    }

    /// Leaves the store as a verification leaves it that found the damage.
    fn set_chunk_aside(&self) {
        fs::rename(self.chunk(), self.chunk().with_extension("0.bad")).unwrap();
    }

    fn chunk(&self) -> std::path::PathBuf {
        self.server.store_path("store1").join(".chunks").join(&BAD_CHUNK[..4]).join(BAD_CHUNK)
    }

    async fn log(&self, upid: &str) -> Vec<String> {
        self.server.log_of(upid).await.into_iter().filter(|line| !is_notification(line)).collect()
    }

    async fn verify(&self, id: &str, schedule: Option<&str>, change: impl FnOnce(&mut VerifyJob)) -> Vec<String> {
        let mut job = VerifyJob::new(id.parse().unwrap(), "store1".parse().unwrap());
        change(&mut job);
        let insert = |jobs: &mut Entries<_>| jobs.insert(job);
        self.server.app.settings.verify_jobs().edit::<_, SettingsError>(None, insert).unwrap();
        let permit = JobPermit::of(&self.server.app, &Authid::root(), &id.parse().unwrap()).unwrap();
        let key = JobKey::new("verificationjob", id).unwrap();
        let start = schedule.map(|schedule| self.server.scheduled(&key, schedule));
        let upid = run_verify_job(&self.server.app, permit, start).await.unwrap();
        self.log(upid.as_str()).await
    }

    async fn collect(&self) -> Vec<String> {
        let acl = self.server.app.acl().unwrap();
        let permit = GcPermit::of(&acl, &Authid::root(), self.store.name()).unwrap();
        let upid = start_gc(&self.server.app, &permit, None).await.unwrap();
        self.log(upid.as_str()).await
    }

    /// Returns the paths of all snapshots with the state that their manifests note.
    fn states(&self) -> BTreeMap<String, Option<VerifyState>> {
        let mut states = BTreeMap::new();
        for ns in self.store.namespaces(&Namespace::root(), MAX_NAMESPACE_DEPTH).unwrap() {
            for info in self.store.groups(&ns).unwrap() {
                for found in self.store.snapshots(&ns, &info.group).unwrap() {
                    let snapshot = info.group.at(found.time);
                    let manifest = self.store.read_manifest(&ns, &snapshot).unwrap().0;
                    states.insert(format!("{ns}:{snapshot}"), manifest.verify_state().map(|state| state.state));
                }
            }
        }
        states
    }

    #[track_caller]
    fn assert_alike(&self, ours: &[String], recorded: &[String]) {
        let place = self.server.store_path(self.store.name().as_str());
        let all = |lines: &[String]| lines.iter().map(|line| comparable(line, &place)).collect::<Vec<_>>();
        let ours: Vec<_> = all(ours).iter().map(|line| without_namespaces(line)).collect();
        let recorded = all(recorded);
        for (number, (ours, recorded)) in ours.iter().zip(&recorded).enumerate() {
            assert_eq!(ours, recorded, "line {number}");
        }
        assert_eq!(ours.len(), recorded.len(), "{ours:#?}");
    }
}

#[tokio::test]
async fn a_sound_store_is_verified_as_recorded_and_then_skipped() {
    let bench = Bench::new("store1");
    let ours = bench.verify("v-1", Some("*:0/1"), |job| job.ignore_verified = Some(false)).await;
    bench.assert_alike(&ours, &recorded(r"6B0353D4:verificationjob:store1\x3av\x2d1:root@pam:"));
    let states = bench.states();
    assert_eq!(states.len(), 24);
    assert!(states.values().all(|state| *state == Some(VerifyState::Ok)), "{states:?}");

    let mut ours = bench.verify("v-2", None, |_| {}).await;
    assert_eq!(ours.remove(0), "Starting datastore verify job 'store1:v-2'");
    bench.assert_alike(&ours, &recorded("verify:store1:root@pam:"));
}

#[tokio::test]
async fn a_damaged_chunk_is_found_in_every_snapshot_as_recorded() {
    let bench = Bench::new("store1");
    bench.damage_chunk();
    let mut ours = bench.verify("vvv", None, |job| job.ignore_verified = Some(false)).await;
    for named in
        [format!("chunk {BAD_CHUNK} of 'drive-scsi0.img.fidx' is bad"), format!("corrupt chunk {BAD_CHUNK} renamed")]
    {
        let at = ours.iter().position(|line| line.starts_with(&named));
        ours.remove(at.unwrap());
    }
    bench.assert_alike(&ours, &recorded(r"verificationjob:store1\x3avvv:root@pam:"));
    let failed: Vec<_> =
        bench.states().into_iter().filter(|(_, state)| *state == Some(VerifyState::Failed)).map(|(at, _)| at).collect();
    assert_eq!(
        failed,
        [":vm/200/2026-01-01T10:00:00Z", ":vm/200/2026-01-02T10:00:00Z", ":vm/202/2026-01-01T10:00:00Z"]
    );
}

#[tokio::test]
async fn garbage_is_collected_as_recorded() {
    let bench = Bench::new("store1");
    bench.set_chunk_aside();
    let ours = bench.collect().await;
    let recorded = recorded("6B035F36:garbage_collection:store1:root@pam:");
    // Missing chunks are told by the threads that touch, at no certain place.
    let split = |lines: &[String]| lines.iter().cloned().partition::<Vec<_>, _>(|line| line.starts_with("warning: "));
    let ((our_warnings, ours), (warnings, recorded)) = (split(&ours), split(&recorded));
    bench.assert_alike(&ours, &recorded);
    assert_eq!(our_warnings.len(), 1);
    let without_index = |line: &str| line.split(", required by").next().unwrap().to_owned();
    assert_eq!(without_index(&our_warnings[0]), without_index(&warnings[0]));
}

#[tokio::test]
async fn a_prune_job_keeps_what_the_recorded_one_kept() {
    let bench = Bench::new("local");
    for other in ["ct", "vm", "ns"] {
        fs::remove_dir_all(bench.server.store_path("local").join(other)).unwrap();
    }
    let first = Path::new("host/web1/2026-01-01T10:00:00Z");
    fs::remove_file(bench.server.store_path("local").join(first).join(".protected")).unwrap();
    let mut job = PruneJob::new("p-1".parse().unwrap(), "local".parse().unwrap(), "minutely".to_owned());
    job.keep.last = Some(1);
    bench.server.app.settings.prune_jobs().edit::<_, SettingsError>(None, |jobs| jobs.insert(job)).unwrap();
    let permit = JobPermit::of(&bench.server.app, &Authid::root(), &"p-1".parse().unwrap()).unwrap();
    let start = bench.server.scheduled(&JobKey::new("prunejob", "p-1").unwrap(), "minutely");
    let upid = run_prune_job(&bench.server.app, permit, Some(start)).await.unwrap();
    let ours = bench.log(upid.as_str()).await;
    bench.assert_alike(&ours, &recorded("6B035410:prunejob:local:root@pam:"));
    let kept: Vec<_> = bench.states().into_keys().collect();
    assert_eq!(kept, [":host/enc1/2026-01-01T10:00:00Z", ":host/web1/2026-01-03T10:00:00Z"]);
}

/// Returns what kind of line this is: everything that names something is left away.
fn shape(line: &str) -> String {
    let line = line.replace(" local", " store1");
    let is_name =
        |word: &str| ["idx", "blob"].iter().any(|end| word.ends_with(end)) || ["B", "KiB", "MiB"].contains(&word);
    let is_word =
        |word: &&str| !is_name(word) && word.chars().all(|c| c.is_ascii_alphabetic() || ".,-:()[]%".contains(c));
    let words = |text: &str| text.split(' ').map(|word| if is_word(&word) { word } else { "#" }.to_owned()).collect();
    let words: Vec<String> = words(&line);
    words.join(" ")
}

/// Recorded lines of runs that end early, with the test that shows them.
const ELSEWHERE: [(&str, &str); 4] = [
    ("TASK ERROR: Server shutdown requested - aborting task", "gc::tests"),
    ("TASK ERROR: abort requested - aborting task", "gc::tests, verify::scope_tests"),
    ("TASK ERROR: marking used chunks failed: abort requested - aborting task", "gc::tests"),
    ("TASK ERROR: verification failed - job aborted", "verify::scope_tests"),
];

#[tokio::test]
async fn every_recorded_line_of_upkeep_is_one_that_we_write() {
    let bench = Bench::new("store1");
    let mut ours: BTreeSet<String> = ELSEWHERE.iter().map(|(line, _)| shape(line)).collect();
    let mut write = |lines: Vec<String>| ours.extend(lines.iter().map(|line| shape(&without_namespaces(line))));
    write(bench.verify("v-1", Some("*:0/1"), |_| {}).await);
    bench.damage_chunk();
    write(bench.verify("v-2", None, |job| job.ignore_verified = Some(false)).await);
    write(bench.verify("v-3", None, |_| {}).await);
    write(bench.collect().await);
    let keep = farhold_types::KeepOptions { last: Some(1), ..Default::default() };
    let mut job = PruneJob::new("p-1".parse().unwrap(), "store1".parse().unwrap(), "minutely".to_owned());
    (job.keep, job.ns) = (keep, Some("location_a".parse().unwrap()));
    bench.server.app.settings.prune_jobs().edit::<_, SettingsError>(None, |jobs| jobs.insert(job.clone())).unwrap();
    let mut whole = job.clone();
    (whole.ns, whole.id) = (None, "p-2".parse().unwrap());
    bench.server.app.settings.prune_jobs().edit::<_, SettingsError>(None, |jobs| jobs.insert(whole)).unwrap();
    for id in ["p-1", "p-2"] {
        let permit = JobPermit::of(&bench.server.app, &Authid::root(), &id.parse().unwrap()).unwrap();
        let start = bench.server.scheduled(&JobKey::new("prunejob", id).unwrap(), "minutely");
        let upid = run_prune_job(&bench.server.app, permit, Some(start)).await.unwrap();
        write(bench.log(upid.as_str()).await);
    }
    let logs = all_recorded();
    assert_eq!(logs.len(), 15, "every recorded log is examined");
    let wrong: Vec<_> = logs.values().flatten().filter(|line| !ours.contains(&shape(line))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}\nours: {ours:#?}");
}
