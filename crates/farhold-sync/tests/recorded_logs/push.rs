//! Every recorded push, line by line and in order, against what we write.

use std::sync::{Arc, LazyLock};

use farhold_sync::SyncOptions;
use regex::Regex;

use crate::shapes::Shapes;
use crate::support::remote::{MemoryRemote, push, push_options};
use crate::support::{Content, MemorySource};
use crate::{assert_lines_are_ours, assert_order_is_ours, order, recorded_of};

/// Lines of a whole run, those of groups left out.
static RUN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        "^((begin (schedule )?ends |once )(key )*|)\
    (dashes namespace (created )*(cause refused |found (removed-group |kept-group |cause removal-failed )*(finished )?))*\
    (removed-namespace |kept-namespace |cause removal-failed |removed-group |kept-group )*\
    (old-api )?((nothing |summary )(removed )?end |once-end )?\
    (queued )?(result )?$",
    )
    .unwrap()
});

/// Lines of a group.
static GROUP: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        "^(not-owned |\
    (in-progress )*(empty )?(skipped )*\
    (new (mixed |encrypt )?(no-previous )?(file uploaded )*(done )?(progress |within )?(file (uploaded )?)?)*\
    (removed-snapshot |kept-snapshot |cause stays )*\
    (cause failed )?(group-done )?)$",
    )
    .unwrap()
});

fn is_push(name: &str) -> bool {
    name.starts_with("push") || name == "one-shot-push"
}

fn check(shapes: &Shapes, lines: &[String]) -> Result<(), String> {
    order::check_with(shapes, lines, &RUN, &GROUP)
}

#[test]
fn every_recorded_line_of_a_push_is_one_of_ours() {
    let shapes = Shapes::of_pushes();
    let logs = recorded_of(is_push);
    assert_eq!(logs.len(), 19, "every recorded push is examined");
    assert_lines_are_ours(&shapes, &logs, |line, start| {
        line.to_lowercase().starts_with(&start.to_lowercase().replace("errors.", "errors"))
    });
}

#[test]
fn every_recorded_log_of_a_push_has_the_order_of_ours() {
    let shapes = Shapes::of_pushes();
    assert_order_is_ours(&recorded_of(is_push), |lines| check(&shapes, lines));
}

#[tokio::test]
async fn our_own_pushes_have_the_recorded_lines_and_their_order() {
    let shapes = Shapes::of_pushes();
    for workers in [1, 4] {
        let source = MemorySource::new();
        source.add_namespace("a");
        for (at, what) in [
            ("", "vm/1/2026-01-01T10:00:00Z"),
            ("", "vm/1/2026-01-02T10:00:00Z"),
            ("", "vm/2/2026-01-01T10:00:00Z"),
            ("", "vm/3/2026-01-01T10:00:00Z"),
            ("a", "ct/3/2026-01-01T10:00:00Z"),
        ] {
            let archives = [("vm.conf.blob", Content::Blob(b"x")), ("root.pxar.didx", Content::Chunks(&[1, 2], 4096))];
            source.add(at, what, &archives);
        }
        let (source, remote) = (Arc::new(source), MemoryRemote::new());
        remote.put_finished("", "vm/2/2025-01-01T10:00:00Z", "other@pbs");
        remote.put_finished("", "vm/1/2025-01-01T10:00:00Z", "sync@pbs!t1");
        remote.put_finished("", "vm/9/2025-01-01T10:00:00Z", "sync@pbs!t1");
        remote.put_finished("gone", "vm/9/2025-01-01T10:00:00Z", "sync@pbs!t1");
        let options = SyncOptions { worker_threads: workers, remove_vanished: true, ..push_options() };
        let refuse =
            |word: &str, _| (word == "open vm/3/2026-01-01T10:00:00Z").then(|| crate::support::remote::refused("busy"));
        for is_refused in [true, false] {
            if is_refused {
                remote.set_fault(refuse)
            } else {
                remote.clear_fault()
            }
            let pushed = push(options.clone(), &source, &remote).await;
            let mut log =
                vec!["Starting datastore sync job 'x'".to_owned(), "sync datastore 'dst' to 'rsrc/src2'".to_owned()];
            log.extend(pushed.texts());
            log.push(if is_refused {
                "TASK ERROR: sync failed with some errors.".to_owned()
            } else {
                "TASK OK".to_owned()
            });
            let checked = check(&shapes, &log);
            assert!(checked.is_ok(), "{workers} workers: {}\n{}", checked.unwrap_err(), log.join("\n"));
            assert_eq!(pushed.result.is_err(), is_refused);
        }
    }
}
