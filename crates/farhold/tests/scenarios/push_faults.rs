//! Lines that break and servers that die in the middle of a push.
//!
//! Source: `docs/spec/sync.md` 10.3, 12, C.2 W25 and W29.

use farhold_types::Role;

use crate::content;
use crate::pair::{add_disk, stored_bytes, until};
use crate::process::{Process, program};
use crate::push::assert_pushed;
use crate::push_pair::PushPair;

const SNAPSHOT: &str = "vm/100/2026-01-01T10:00:00Z";
/// Where a server notes what it is receiving.
const OPEN_BACKUPS: &str = "lib/farhold/open-backups";

fn job(pair: &PushPair) -> Process {
    Process::spawn(program(&pair.near.root(), &["sync-job", "run", "push"]))
}

/// Waits until the relay has carried so many bytes to the far server.
async fn carried(pair: &PushPair, bytes: u64) {
    until("bytes are carried", || bytes <= pair.relay.statistics().up_bytes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_84_a_connection_lost_in_the_middle_leaves_nothing_and_the_run_completes() {
    let pair = PushPair::new(|store| add_disk(store, SNAPSHOT, 64)).await;
    let (log, ()) = tokio::join!(pair.pushed(), async {
        carried(&pair, 32 << 20).await;
        assert_ne!(pair.relay.cut_all(), 0);
    });
    assert!(log.contains("TASK OK"), "{log}");
    assert_pushed(&pair.near_store(), &pair.far_store());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_84_what_a_killed_source_left_unfinished_disappears_and_the_next_run_completes() {
    let pair = PushPair::new(|store| add_disk(store, SNAPSHOT, 64)).await;
    let run = job(&pair);
    carried(&pair, 32 << 20).await;
    assert!(pair.far_store().join(SNAPSHOT).exists());
    run.kill();
    until("the unfinished snapshot disappears", || !pair.far_store().join("vm/100").exists()).await;
    assert!(content::tree(&pair.far_store()).is_empty());
    assert!(stored_bytes(&pair.far_store()) != 0, "chunks stay until garbage collection");
    let log = pair.pushed().await;
    assert!(log.contains("TASK OK"), "{log}");
    assert_pushed(&pair.near_store(), &pair.far_store());
}

/// Both ends are killed in the middle of a push, then the far one comes back.
async fn killed() -> PushPair {
    let mut pair = PushPair::with_process(|store| add_disk(store, SNAPSHOT, 64)).await;
    let run = job(&pair);
    carried(&pair, 32 << 20).await;
    pair.kill_far();
    run.kill();
    let place = pair.far_store().join(SNAPSHOT);
    assert!(place.exists() && !place.join("index.json.blob").exists(), "the far server left something unfinished");
    // The reference does not tidy up when it starts, so neither may this one.
    std::fs::remove_dir_all(pair.far.root().join(OPEN_BACKUPS)).unwrap();
    pair.start_far();
    pair
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_79a_a_snapshot_that_a_killed_target_left_unfinished_is_pushed_by_the_next_run() {
    let pair = killed().await;
    let log = pair.pushed().await;
    assert!(log.contains("removed an unfinished snapshot of that time from remote\n"), "{log}");
    assert!(log.contains("TASK OK"), "{log}");
    assert_pushed(&pair.near_store(), &pair.far_store());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_11_a_run_that_may_not_remove_an_unfinished_snapshot_says_so() {
    const OPERATOR: &str = "op@pbs";
    let pair = killed().await;
    pair.near.add_user(OPERATOR, "a password");
    pair.near.grant("/datastore/local", OPERATOR, Role::DatastoreReader);
    pair.near.grant("/remote/pbs2/tank", OPERATOR, Role::RemoteSyncPushOperator);
    pair.update(&["--owner", OPERATOR]).await;
    let before = content::tree(&pair.far_store());
    let log = pair.push().await.failed();
    assert!(log.contains("missing Remote.DatastorePrune on /remote/pbs2/tank"), "{log}");
    assert!(log.contains("Failed to push group vm/100 to remote!"), "{log}");
    assert_eq!(content::tree(&pair.far_store()), before);
    // With the right it is pushed.
    pair.near.grant("/remote/pbs2/tank", OPERATOR, Role::RemoteDatastorePowerUser);
    let log = pair.pushed().await;
    assert!(log.contains("TASK OK"), "{log}");
    assert_pushed(&pair.near_store(), &pair.far_store());
}
