//! Completion beyond the recorded lines.

use super::*;
use crate::PassThrough;
use crate::fixture::{FakeServer, block_on, endpoints};
use serde_json::json;

fn candidates(line: &str) -> Vec<String> {
    let own = [PassThrough { word: "server", usage: "", summary: "", explains_itself: false }];
    let catalogue = Catalogue::new(&endpoints(), &own);
    block_on(complete(&catalogue, line, line.chars().count(), None))
}

#[test]
fn words_options_and_values_are_offered_where_they_belong() {
    for (line, expected) in [
        ("farhold se", &["server"][..]),
        ("farhold help remote sh", &["show"]),
        ("farhold sync-job list ", &["--output-format", "--sync-direction"]),
        ("farhold sync-job list --sync-direction p", &["pull", "push"]),
        ("farhold remote update pbs2 --delete port --delete c", &["comment"]),
        // Given already, and no list.
        ("farhold sync-job list --sync-direction all --s", &[]),
        // After a bare boolean both its words and a positional may follow; the words are offered.
        ("farhold sync-job update --remove-vanished o", &["off", "on"]),
        ("farhold sync-job update --remove-vanished job1 --remote-s", &["--remote-store"]),
        ("farhold sync-job list --sync-direction=p", &[]),
        ("farhold acme ", &[]),
        ("farh", &[]),
        ("", &[]),
    ] {
        assert_eq!(candidates(line), expected, "{line:?}");
    }
}

#[test]
fn only_what_stands_before_the_cursor_counts() {
    let catalogue = Catalogue::new(&endpoints(), &[]);
    let found = block_on(complete(&catalogue, "farhöld rem list", "farhöld rem".chars().count(), None));
    assert_eq!(found, ["remote"]);
}

#[test]
fn values_follow_what_was_typed_and_what_the_job_says() {
    let catalogue = Catalogue::new(&endpoints(), &[]);
    let server = FakeServer::with_root();
    server.answer("/config/remote", json!([{ "name": "pbs2" }]));
    server.answer("/config/remote/pbs2/scan", json!([{ "store": "far1" }, { "store": "far2" }]));
    server.answer("/config/remote/pbs2/scan/far1/namespaces", json!([{ "ns": "" }, { "ns": "a/b" }]));
    let far = json!([{ "backup-type": "vm", "backup-id": "7" }]);
    server.answer("/config/remote/pbs2/scan/far1/groups", far);
    server.answer("/config/datastore", json!([{ "name": "near" }]));
    server.answer("/admin/datastore/near/namespace", json!([{ "ns": "" }, { "ns": "c" }]));
    server.answer("/admin/datastore/near/groups", json!([{ "backup-type": "ct", "backup-id": "1" }]));
    server.answer(
        "/config/sync/job1",
        json!({ "id": "job1", "remote": "pbs2", "remote-store": "far1", "store": "near" }),
    );
    server.answer("/config/sync/out1", json!({ "remote": "pbs2", "sync-direction": "push", "store": "near" }));
    server.answer("/config/sync/loc1", json!({ "remote-store": "near", "store": "other" }));
    let offered = |line: &str| block_on(complete(&catalogue, line, line.chars().count(), Some(&server)));
    for (line, expected) in [
        ("farhold pull ", &["pbs2"][..]),
        ("farhold pull pbs2 ", &["far1", "far2"]),
        ("farhold push near pbs2 far", &["far1", "far2"]),
        ("farhold pull pbs2 far1 near --ns ", &["c"]),
        ("farhold pull pbs2 far1 near --remote-ns ", &["a/b"]),
        ("farhold pull pbs2 far1 near --group-filter g", &["group:vm/7"]),
        ("farhold push near pbs2 far1 --group-filter g", &["group:ct/1"]),
        ("farhold sync-job create new --remote pbs2 --remote-store ", &["far1", "far2"]),
        ("farhold sync-job create new --remote=pbs2 --remote-store ", &["far1", "far2"]),
        ("farhold sync-job create new --remote-store ", &["near"]),
        ("farhold sync-job update job1 --remote-ns ", &["a/b"]),
        ("farhold sync-job update job1 --group-filter g", &["group:vm/7"]),
        ("farhold sync-job update out1 --group-filter g", &["group:ct/1"]),
        ("farhold sync-job update loc1 --group-filter g", &["group:ct/1"]),
        ("farhold remote scan pbs2 --store far1 --groups --ns ", &["a/b"]),
        ("farhold remote probe pbs2 --remote-store ", &["far1", "far2"]),
        ("farhold acl update /remote", &["/remote", "/remote/pbs2"]),
        ("farhold acl update /datastore/", &["/datastore/near"]),
        ("farhold remote create ", &[]),
    ] {
        assert_eq!(offered(line), expected, "{line:?}");
    }
}
