//! Traffic-control rules, of the side that serves and of the side that pulls. Source:
//! `docs/spec/schedules-and-tasks.md` 5.
//!
//! Times are only compared with what a limit makes impossible, however fast or slow the machine is.

use std::time::{Duration, Instant};

use farhold_datastore::Datastore;

use crate::content::{Content, add_snapshot, assert_same};
use crate::pair::{Account, Pair};

/// Only a fault reaches it; at 1 KiB/s a run would take more than an hour.
const PATIENCE: Duration = Duration::from_secs(120);

/// Four groups with 2 MiB together, none of which another one has.
fn fill(store: &Datastore) {
    for group in 0..4u64 {
        let seeds: Vec<u64> = (group * 100 + 1..group * 100 + 9).collect();
        let archive = ("a.pxar.didx", Content::Chunks(&seeds, 65_536));
        add_snapshot(store, "", &format!("vm/{}/2026-01-01T10:00:00Z", group + 1), &[archive]);
    }
}

async fn pair() -> Pair {
    let pair = Pair::new(Account::Token, fill).await;
    pair.target.run(&["sync-job", "update", "pull", "--worker-threads", "4"]).await.ok();
    pair
}

/// Returns the seconds that a pull took, which must have worked.
async fn pulled(pair: &Pair) -> f64 {
    let begin = Instant::now();
    tokio::time::timeout(PATIENCE, pair.pull()).await.expect("no such limit holds").ok();
    assert_same(&pair.source_store(), &pair.target_store());
    begin.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_for_a_user_holds_for_all_its_reader_sessions_together() {
    let pair = pair().await;
    let rule = ["traffic-control", "create", "pulls", "--network", "127.0.0.0/8", "--rate-out", "1MiB"];
    // A small bucket, so that what the time before the run leaves in it does not matter.
    let rule = [&rule[..], &["--burst-out", "64KiB"]].concat();
    // Rules with users win, and a token counts as its user.
    pair.source.run(&[&rule[..], &["--users", "sync@pbs"]].concat()).await.ok();
    pair.source.run(&["traffic-control", "create", "free", "--network", "127.0.0.1/32"]).await.ok();
    let took = pulled(&pair).await;
    assert!(1.8 <= took, "{took} s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_for_somebody_else_limits_nothing_and_one_that_is_removed_frees_who_waits() {
    let pair = pair().await;
    let rule = ["traffic-control", "create", "others", "--network", "0.0.0.0/0", "--rate-out", "1KiB"];
    pair.source.run(&[&rule[..], &["--users", "other@pbs"]].concat()).await.ok();
    pulled(&pair).await;

    let pair = self::pair().await;
    let slow = ["traffic-control", "create", "slow", "--network", "127.0.0.0/8", "--rate-out", "16KiB"];
    pair.source.run(&slow).await.ok();
    let removal = async {
        // The first bytes of content are on their way.
        pair.carried(64 << 10).await;
        pair.source.run(&["traffic-control", "remove", "slow"]).await.ok();
    };
    let (_, ()) = tokio::join!(pulled(&pair), removal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_keeps_to_the_rules_of_its_own_server_only_if_it_says_so() {
    let pair = pair().await;
    let rule = ["traffic-control", "create", "office", "--network", "127.0.0.0/8", "--rate-in", "1KiB"];
    // A small bucket, so that a change of the rate or the time before the run gives nothing that matters.
    let rule = [&rule[..], &["--burst-in", "64KiB"]].concat();
    pair.target.run(&[&rule[..], &["--users", "root@pam"]].concat()).await.ok();
    pulled(&pair).await;

    let pair = self::pair().await;
    pair.target.run(&[&rule[..], &["--users", "root@pam"]].concat()).await.ok();
    pair.target.run(&["job-options", "update", "sync", "pull", "--traffic-control", "true"]).await.ok();
    pair.target.run(&["traffic-control", "update", "office", "--rate-in", "1MiB"]).await.ok();
    let took = pulled(&pair).await;
    assert!(1.8 <= took, "{took} s");
}
