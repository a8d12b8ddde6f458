//! Scenarios of `docs/spec/sync.md` annex B about the commands for remotes and jobs.

use std::fs;

use farhold_types::Role;

use crate::content::{Content, add_snapshot, assert_same};
use crate::manual::JOB_TABLE;
use crate::site::Site;

const PASSWORD: &str = "a password with 'quotes' & blanks";

/// Returns the value behind `name` in output of one fact a line.
fn fact<'a>(output: &'a str, name: &str) -> &'a str {
    let start = format!("{name}:");
    output.lines().find_map(|line| line.trim().strip_prefix(&start)).map(str::trim).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_2_the_manuals_option_userid_is_accepted() {
    let site = Site::new();
    let create =
        ["remote", "create", "pbs2", "--host", "pbs2.example", "--userid", "sync@pbs", "--password", "secret-1"];
    assert_eq!(site.run(&create).await.ok(), "");
    let file = fs::read_to_string(site.root().join("etc/remote.cfg")).unwrap();
    assert!(file.contains("\tauth-id sync@pbs\n") && !file.contains("userid"), "{file}");
    assert_eq!(site.run(&["remote", "update", "pbs2", "--userid", "other@pbs!t1"]).await.ok(), "");
    let shown = site.run(&["remote", "show", "pbs2", "--output-format", "json"]).await.ok();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["auth-id"], "other@pbs!t1");
    assert!(shown.get("password").is_none(), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_10_the_fingerprint_that_one_server_shows_is_what_the_other_needs() {
    let mut first = Site::new();
    let source = first.add_store("local");
    let snapshot = [("a.conf.blob", Content::Blob(b"x"))];
    add_snapshot(&first.store("local"), "", "host/one/2026-01-01T10:00:00Z", &snapshot);
    first.add_user("sync@pbs", PASSWORD);
    first.grant("/datastore/local", "sync@pbs", Role::DatastoreReader);
    first.listen().await;
    let facts = first.run(&["cert", "info"]).await.ok();
    let fingerprint = fact(&facts, "Fingerprint (sha256)").to_owned();
    assert_eq!(fingerprint, first.fingerprint());
    let site = Site::new();
    let store = site.add_store("local");
    let port = first.port();
    let create = ["remote", "create", "pbs2", "--host", "127.0.0.1", "--port", &port, "--auth-id", "sync@pbs"];
    let secrets = ["--password", PASSWORD, "--fingerprint", &fingerprint];
    site.run(&[&create[..], &secrets].concat()).await.ok();
    site.run(&["pull", "pbs2", "local", "local"]).await.ok();
    assert_same(&source, &store);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_12_the_manuals_job_is_listed_as_the_manual_shows_it() {
    let site = Site::new();
    let create =
        ["sync-job", "create", "pbs2-local", "--remote", "pbs2", "--remote-store", "local", "--store", "local"];
    assert_eq!(site.run(&[&create[..], &["--schedule", "Wed 02:30"]].concat()).await.ok(), "");
    assert_eq!(site.run(&["sync-job", "update", "pbs2-local", "--comment", "offsite"]).await.ok(), "");
    assert_eq!(site.run(&["sync-job", "list"]).await.ok(), JOB_TABLE);
    let file = fs::read_to_string(site.root().join("etc/sync.cfg")).unwrap();
    let mut lines: Vec<&str> = file.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.remove(0), "sync: pbs2-local");
    lines.sort_unstable();
    let expected =
        ["\tcomment offsite", "\tremote pbs2", "\tremote-store local", "\tschedule Wed 02:30", "\tstore local"];
    assert_eq!(lines, expected);
}
