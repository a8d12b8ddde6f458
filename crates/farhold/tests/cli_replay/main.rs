//! Replays the recorded invocations of the reference's two programs, in order, against the composed product.
//!
//! A server made by the composition root listens; commands reach it through its socket as those of the real program do,
//! the client's through TLS. Compared are exit codes, tables and JSON with their values, the problems that messages name,
//! and usage texts without their descriptions. What follows a task's log is compared by its end: the logs themselves have
//! tests of their own. What differs on purpose stands in [`known::DIFFERENCES`] with its reason; any other difference
//! fails the test, and so does a row that no longer differs.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test that cannot continue should stop")]

mod compare;
#[path = "../product/content.rs"]
#[allow(dead_code, reason = "shared with other test programs")]
mod content;
#[path = "../backup_client/desk.rs"]
#[allow(dead_code, reason = "shared with other test programs")]
mod desk;
mod known;
mod names;
mod recorded;
#[path = "../support/scratch.rs"]
mod scratch;
#[path = "../product/site.rs"]
#[allow(dead_code, reason = "shared with other test programs")]
mod site;
mod stage;
mod usage;

use std::fmt::Write as _;

use compare::differences;
use recorded::recorded;
use stage::Stage;

/// The invocations, as `docs/spec/cli.md` counts them.
const RECORDED: usize = 329;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_invocations_give_the_recorded_answers() {
    let lines = recorded();
    assert_eq!(lines.len(), RECORDED);
    let mut stage = Stage::open().await;
    let mut wrong = String::new();
    let mut known_count = 0;
    for (index, line) in lines.iter().enumerate() {
        let number = index + 1;
        let ran = stage.run(line).await;
        let differences = differences(line, &stage.as_recorded(&ran), &stage.overview());
        let reason = known::reason(number);
        match (differences.is_empty(), reason) {
            (false, Some(_)) => known_count += 1,
            (true, Some(reason)) => writeln!(wrong, "{number} {:?}: no longer differs ({reason})", line.argv).unwrap(),
            (false, None) => {
                writeln!(wrong, "{number} {:?} {}", line.argv, line.note).unwrap();
                for difference in differences {
                    writeln!(wrong, "    {}", difference.replace('\n', "\n    ")).unwrap();
                }
            }
            (true, None) => {}
        }
    }
    println!("{RECORDED} invocations, {known_count} with a difference on purpose");
    assert!(wrong.is_empty(), "invocations differ from the recorded ones:\n{wrong}");
}
