//! What a decrypting pull does not transfer a second time: within a run, after an interrupted one, and from snapshot to
//! snapshot. Source: `docs/spec/sync.md` C.2 W1 to W3.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use farhold_crypto::sha256;
use farhold_format::manifest::{Manifest, VERIFY_STATE};
use farhold_sync::SyncOptions;
use farhold_types::Digest;
use serde_json::json;

use crate::encrypted::{CHUNK, add_encrypted, contents, expected, manifest_of, options_with, run, unsign};
use crate::support::{MemorySource, MemoryTarget, content, encode, lost};

const FIRST: &str = "vm/1/2026-01-01T10:00:00Z";
const SECOND: &str = "vm/1/2026-01-02T10:00:00Z";
const IMAGE: &[u64] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
/// Distinct chunks of the image and the two of the files beside it.
const ALL: usize = 12;

struct Job {
    source: Arc<MemorySource>,
    target: Arc<MemoryTarget>,
    dir: tempfile::TempDir,
}

impl Job {
    /// A job with notes, whose source has one snapshot encrypted with key 1.
    fn new() -> Self {
        let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
        add_encrypted(&source, FIRST, 1, IMAGE);
        Self { source, target, dir: tempfile::tempdir().unwrap() }
    }

    fn options(&self) -> SyncOptions {
        SyncOptions { state_dir: Some(self.dir.path().to_owned()), ..options_with(&[1]) }
    }

    /// Pulls with `options` and returns how many chunks were asked for.
    async fn pull_with(&self, options: SyncOptions) -> usize {
        self.source.chunk_requests();
        run(options, &self.source, &self.target).await.report();
        self.source.chunk_requests()
    }

    async fn pull(&self) -> usize {
        self.pull_with(self.options()).await
    }

    /// Pulls over a connection that breaks for good at this chunk.
    async fn pull_until(&self, number: usize) {
        self.source.chunk_requests();
        self.source.set_chunk_fault(move |_, count| (number <= count).then(lost));
        assert!(run(self.options(), &self.source, &self.target).await.result.is_err());
        self.source.clear_faults();
        assert!(self.target.finished().is_empty());
    }

    fn lose(&self, seed: u64) {
        assert!(self.target.store.chunks.lock().unwrap().remove(&plain_digest(seed)).is_some());
    }

    /// Replaces a chunk of the target by a sound blob with other content.
    fn damage(&self, seed: u64) {
        let wrong = encode(&content(seed + 1000, CHUNK));
        assert!(self.target.store.chunks.lock().unwrap().insert(plain_digest(seed), wrong).is_some());
    }
}

fn plain_digest(seed: u64) -> Digest {
    sha256(&content(seed, CHUNK))
}

#[tokio::test]
async fn a_second_identical_snapshot_transfers_no_chunk() {
    let job = Job::new();
    assert_eq!(job.pull().await, ALL);
    add_encrypted(&job.source, SECOND, 1, IMAGE);
    assert_eq!(job.pull().await, 0);
    assert_eq!(contents(&job.target, SECOND), expected(IMAGE));
}

#[tokio::test]
async fn only_what_changed_since_the_last_run_is_transferred_also_when_the_older_snapshot_is_gone() {
    let job = Job::new();
    unsign(&job.source, FIRST);
    job.pull().await;
    job.source.remove("", FIRST);
    let image = [1, 2, 30, 4, 1, 5, 6, 40, 7];
    add_encrypted(&job.source, SECOND, 1, &image);
    assert_eq!(job.pull().await, 2);
    assert_eq!(contents(&job.target, SECOND), expected(&image));
    // What only the first one had is forgotten: its chunks are not in the newest snapshot.
    let third = "vm/1/2026-01-03T10:00:00Z";
    add_encrypted(&job.source, third, 1, &[8, 9, 1]);
    assert_eq!(job.pull().await, 2);
    assert_eq!(contents(&job.target, third), expected(&[8, 9, 1]));
}

#[tokio::test]
async fn without_notes_everything_comes_again_but_within_a_run_nothing_does() {
    let job = Job::new();
    add_encrypted(&job.source, SECOND, 1, IMAGE);
    assert_eq!(job.pull_with(options_with(&[1])).await, ALL, "both snapshots in one run");
    let third = "vm/1/2026-01-03T10:00:00Z";
    add_encrypted(&job.source, third, 1, IMAGE);
    assert_eq!(job.pull_with(options_with(&[1])).await, ALL);
    assert_eq!(contents(&job.target, third), expected(IMAGE));
}

#[tokio::test]
async fn notes_of_another_job_or_key_are_not_used() {
    let job = Job::new();
    job.pull().await;
    add_encrypted(&job.source, SECOND, 1, IMAGE);
    let other = MemoryTarget::new();
    let job = Job { target: other, ..job };
    // The same chunks are in no snapshot of this group and not in this store, whatever the notes say.
    assert_eq!(job.pull().await, ALL);
    let third = "vm/1/2026-01-03T10:00:00Z";
    add_encrypted(&job.source, third, 1, IMAGE);
    assert_eq!(job.pull_with(SyncOptions { job: "another".into(), ..job.options() }).await, ALL);
    let fourth = "vm/1/2026-01-04T10:00:00Z";
    add_encrypted(&job.source, fourth, 2, IMAGE);
    let decryption_keys = options_with(&[1, 2]).decryption_keys;
    assert_eq!(job.pull_with(SyncOptions { decryption_keys, ..job.options() }).await, ALL);
    assert_eq!(contents(&job.target, fourth), expected(IMAGE));
}

#[tokio::test]
async fn a_chunk_that_was_lost_since_is_fetched_again() {
    let job = Job::new();
    job.pull().await;
    job.lose(3);
    add_encrypted(&job.source, SECOND, 1, IMAGE);
    assert_eq!(job.pull().await, 1);
    assert_eq!(contents(&job.target, SECOND), expected(IMAGE));
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_decrypting_pull_goes_on_where_it_stopped() {
    for stopped_at in [1, 5, 9] {
        let job = Job::new();
        job.pull_until(stopped_at).await;
        let rest = job.pull().await;
        assert!(rest <= ALL - stopped_at, "stopped at {stopped_at}, {rest} more");
        assert_eq!(contents(&job.target, FIRST), expected(IMAGE), "stopped at {stopped_at}");
    }
}

#[tokio::test(start_paused = true)]
async fn noted_chunks_are_looked_at_before_they_are_relied_on() {
    let job = Job::new();
    job.pull_until(10).await;
    job.lose(2);
    job.damage(5);
    assert_eq!(job.pull().await, ALL - 10 + 2);
    assert_eq!(contents(&job.target, FIRST), expected(IMAGE));
}

/// Notes that the copy of a snapshot failed its verification, and changes its manifest.
fn fail_verification(job: &Job, what: &str, change: impl FnOnce(&mut Manifest)) {
    job.target.edit("", what, |files| {
        let mut manifest = Manifest::from_blob(&files["index.json.blob"]).unwrap();
        let upid = "UPID:host:00000001:00000001:00000001:65000000:verify:store:root@pam:";
        manifest.unprotected.insert(VERIFY_STATE.into(), json!({ "state": "failed", "upid": upid }));
        change(&mut manifest);
        let raw = manifest.to_blob(&mut farhold_format::blob::BlobEncoder::new()).unwrap();
        files.insert("index.json.blob".into(), raw.into());
    });
}

#[tokio::test]
async fn chunks_of_a_newest_snapshot_that_failed_verification_are_looked_at() {
    let job = Job::new();
    job.pull().await;
    fail_verification(&job, FIRST, |_| {});
    job.damage(4);
    add_encrypted(&job.source, SECOND, 1, IMAGE);
    assert_eq!(job.pull().await, 1, "only the damaged one is fetched");
    assert_eq!(contents(&job.target, SECOND), expected(IMAGE));
}

#[tokio::test]
async fn a_decrypted_copy_that_failed_verification_is_made_again_with_what_is_sound() {
    let job = Job::new();
    job.pull().await;
    fail_verification(&job, FIRST, |_| {});
    job.lose(4);
    job.damage(5);
    let mut options = job.options();
    options.selection.resync_corrupt = true;
    assert_eq!(job.pull_with(options).await, 2);
    assert_eq!(contents(&job.target, FIRST), expected(IMAGE));
    assert!(manifest_of(&job.target, FIRST).verify_state().is_none(), "what was found belongs to the bad copy");
}

#[tokio::test]
async fn a_bad_copy_of_another_backup_is_not_replaced() {
    let job = Job::new();
    job.pull().await;
    fail_verification(&job, FIRST, |manifest| manifest.set_sync_source_signature(Digest([7; 32])));
    let before = job.target.finished();
    let mut options = job.options();
    options.selection.resync_corrupt = true;
    assert!(run(options, &job.source, &job.target).await.refusal().contains("content differs"));
    assert_eq!(job.target.finished(), before);
}

#[tokio::test]
async fn many_chunks_come_at_once_and_the_index_is_in_order_all_the_same() {
    let job = Job::new();
    let image: Vec<u64> = (0..200).map(|i| i * 7 % 150).collect();
    add_encrypted(&job.source, SECOND, 1, &image);
    let options = SyncOptions { budget_bytes: 16 << 20, sessions_per_archive: 4, ..options_with(&[1]) };
    job.pull_with(options).await;
    assert_eq!(contents(&job.target, SECOND), expected(&image));
    assert!(1 < job.source.counts.most_open.load(Ordering::SeqCst), "over several sessions");
}

#[tokio::test]
async fn two_snapshots_with_different_keys_in_one_group_are_both_decrypted() {
    let job = Job::new();
    let third = "vm/1/2026-01-03T10:00:00Z";
    add_encrypted(&job.source, SECOND, 2, IMAGE);
    add_encrypted(&job.source, third, 1, IMAGE);
    let decryption_keys = options_with(&[1, 2]).decryption_keys;
    assert_eq!(job.pull_with(SyncOptions { decryption_keys, ..job.options() }).await, 2 * ALL);
    for what in [FIRST, SECOND, third] {
        assert_eq!(contents(&job.target, what), expected(IMAGE), "{what}");
    }
}
