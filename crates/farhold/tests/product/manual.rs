//! The commands of the manual between two servers, and exactly what they leave behind.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use farhold_types::Role;

use crate::content::{assert_same, assert_sound, owners, snapshots, unpack_golden};
use crate::process::{Process, printed, program, quiet};
use crate::site::Site;

const PASSWORD: &str = "a password with 'quotes' & blanks";

/// Returns a listening server with the recorded store, and an account that may read it.
async fn first_server() -> Site {
    let mut site = Site::new();
    let path = site.store_path("local");
    unpack_golden(&path);
    site.configure_store("local", &path);
    site.add_user("sync@pbs", PASSWORD);
    site.grant("/datastore/local", "sync@pbs", Role::DatastoreReader);
    site.listen().await;
    site
}

fn create_remote<'a>(first: &'a [String; 2], account: &'a str, password: &'a str) -> Vec<&'a str> {
    let [port, fingerprint] = first;
    let mut command = vec!["remote", "create", "pbs2", "--host", "127.0.0.1", "--port", port, "--userid", account];
    command.extend(["--password", password, "--fingerprint", fingerprint]);
    command
}

const CREATE_JOB: &[&str] = &[
    "sync-job",
    "create",
    "pbs2-local",
    "--remote",
    "pbs2",
    "--remote-store",
    "local",
    "--store",
    "local",
    "--schedule",
    "Wed 02:30",
];

/// Returns how many reader sessions a server has served.
fn sessions(site: &Site) -> usize {
    let logs = crate::site::files(&site.root().join("log/tasks"), &[]);
    logs.keys().filter(|path| path.to_str().unwrap().contains(":reader:")).count()
}

/// Asserts that the lines are there, in this order; other lines may stand between.
#[track_caller]
fn assert_in_order(log: &str, lines: &[&str]) {
    let mut rest = log.lines();
    for line in lines {
        assert!(
            rest.any(|found| found.to_lowercase().starts_with(&line.to_lowercase())),
            "'{line}' is missing in\n{log}"
        );
    }
}

/// The table of remotes as `docs/spec/cli.md` 3.2 has it.
fn remote_table(fingerprint: &str) -> String {
    let (line, blank) = ("─".repeat(97), " ".repeat(84));
    let double = "═".repeat(97);
    format!(
        "┌──────┬───────────┬──────────┬{line}┬─────────┐\n\
         │ name │ host      │ auth-id  │ fingerprint {blank}│ comment │\n\
         ╞══════╪═══════════╪══════════╪{double}╪═════════╡\n\
         │ pbs2 │ 127.0.0.1 │ sync@pbs │ {fingerprint} │         │\n\
         └──────┴───────────┴──────────┴{line}┴─────────┘\n"
    )
}

/// The table of jobs as `docs/spec/cli.md` 3.3 has it.
pub const JOB_TABLE: &str = "\
┌────────────┬────────────────┬───────┬────────┬──────────────┬───────────┬──────────────┬─────────┬─────────┐
│ id         │ sync-direction │ store │ remote │ remote-store │ schedule  │ group-filter │ rate-in │ comment │
╞════════════╪════════════════╪═══════╪════════╪══════════════╪═══════════╪══════════════╪═════════╪═════════╡
│ pbs2-local │                │ local │ pbs2   │ local        │ Wed 02:30 │ all          │         │ offsite │
└────────────┴────────────────┴───────┴────────┴──────────────┴───────────┴──────────────┴─────────┴─────────┘
";

/// The fixed lines of a job's log: `docs/spec/sync.md` 14.1.
const FIRST_LINES: &[&str] = &[
    "Starting datastore sync job 'pbs2:local:local::pbs2-local'",
    "sync datastore 'local' from 'pbs2/local'",
    "----",
    "Syncing datastore 'local', root namespace into datastore 'local', root namespace",
    "found 9 groups to sync (out of 9 total)",
    "Finished syncing root namespace, current progress: 9 groups, ",
    "----",
    "Summary: sync job pulled ",
    "sync job 'pbs2:local:local::pbs2-local' end",
    "TASK OK",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_manuals_commands_copy_the_store_and_show_what_the_manual_shows() {
    let first = first_server().await;
    let facts = [first.port(), first.fingerprint()];
    for has_daemon in [false, true] {
        let mut site = Site::new();
        let store = site.add_store("local");
        if has_daemon {
            site.listen().await;
        }
        let site = &site;
        assert_eq!(site.run(&create_remote(&facts, "sync@pbs", PASSWORD)).await.ok(), "");
        assert_eq!(site.run(&["remote", "list"]).await.ok(), remote_table(&facts[1]));
        assert_eq!(site.run(&["remote", "update", "pbs2", "--comment", "the other one"]).await.ok(), "");
        let remote = site.run(&["remote", "show", "pbs2", "--output-format", "json"]).await.ok();
        let remote: serde_json::Value = serde_json::from_str(&remote).unwrap();
        assert_eq!(remote["comment"], "the other one");
        assert!(remote.get("password").is_none(), "{remote}");
        assert_eq!(site.run(CREATE_JOB).await.ok(), "");
        assert_eq!(site.run(&["sync-job", "update", "pbs2-local", "--comment", "offsite"]).await.ok(), "");
        assert_eq!(site.run(&["sync-job", "list"]).await.ok(), JOB_TABLE);
        let before = sessions(&first);
        let log = site.run(&["sync-job", "run", "pbs2-local"]).await.ok();
        assert_in_order(&log, FIRST_LINES);
        assert_same(&first.store_path("local"), &store);
        let owners = owners(&store);
        assert!(owners.len() == 18 && owners.values().all(|owner| owner == "root@pam"), "{owners:?}");
        let after = sessions(&first);
        assert!(before < after, "reader sessions leave a task log");
        let log = site.run(&["sync-job", "run", "pbs2-local"]).await.ok();
        assert_in_order(&log, &["Summary: sync job found no new data to pull", "sync job '", "TASK OK"]);
        assert_eq!(sessions(&first), after, "nothing new: not even a session is opened");
        assert_same(&first.store_path("local"), &store);
        let in_use = site.run(&["remote", "remove", "pbs2"]).await.failed();
        assert!(in_use.contains("pbs2-local"), "{in_use}");
        assert_eq!(site.run(&["sync-job", "remove", "pbs2-local"]).await.ok(), "");
        assert_eq!(site.run(&["remote", "remove", "pbs2"]).await.ok(), "");
        assert_eq!(site.run(&["remote", "list", "--output-format", "json"]).await.ok(), "[]\n");
        assert_eq!(site.run(&["sync-job", "list", "--output-format", "json"]).await.ok(), "[]\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_and_several_workers_copy_the_same() {
    let first = first_server().await;
    let facts = [first.port(), first.fingerprint()];
    let secret = first.add_token("sync@pbs!t1");
    first.grant("/datastore/local", "sync@pbs!t1", Role::DatastoreReader);
    let site = Site::new();
    let store = site.add_store("local");
    site.run(&create_remote(&facts, "sync@pbs!t1", &secret)).await.ok();
    site.run(&[CREATE_JOB, &["--worker-threads", "4"]].concat()).await.ok();
    let log = site.run(&["sync-job", "run", "pbs2-local"]).await.ok();
    assert_in_order(&log, &["Summary: sync job pulled ", "TASK OK"]);
    assert_same(&first.store_path("local"), &store);
    let before = sessions(&first);
    let log = site.run(&["sync-job", "run", "pbs2-local"]).await.ok();
    assert_in_order(&log, &["Summary: sync job found no new data to pull", "TASK OK"]);
    assert_eq!(sessions(&first), before);
}

/// Returns the files of `store` that a scope keeps, under the names that it gives them.
fn scoped(store: &Path, scope: impl Fn(&str) -> Option<String>) -> BTreeMap<String, Vec<u8>> {
    snapshots(store).into_iter().filter_map(|(path, content)| Some((scope(&path)?, content))).collect()
}

fn level(path: &str) -> usize {
    path.split('/').step_by(2).take_while(|part| *part == "ns").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scopes_and_mappings_carry_over_what_they_name_and_nothing_else() {
    type Scope = fn(&str) -> Option<String>;
    let cases: &[(&str, &[&str], Scope)] = &[
        ("depth0", &["--max-depth", "0"], |path| (level(path) == 0).then(|| path.to_owned())),
        ("depth1", &["--max-depth", "1"], |path| (level(path) <= 1).then(|| path.to_owned())),
        ("types", &["--group-filter", "type:vm"], |path| path.contains("vm/").then(|| path.to_owned())),
        ("without", &["--group-filter", "type:vm", "--group-filter", "exclude:group:vm/100"], |path| {
            (path.contains("vm/") && !path.contains("vm/100/")).then(|| path.to_owned())
        }),
        ("regex", &["--group-filter", "regex:^host/web.*$"], |path| {
            path.contains("host/web1").then(|| path.to_owned())
        }),
        ("mapped", &["--remote-ns", "location_a/department_x", "--ns", "copy"], |path| {
            path.strip_prefix("ns/location_a/ns/department_x/").map(|rest| format!("ns/copy/{rest}"))
        }),
        ("flat", &["--remote-ns", "location_a", "--max-depth", "0", "--ns", "a/b"], |path| {
            let rest = path.strip_prefix("ns/location_a/").filter(|rest| level(rest) == 0)?;
            Some(format!("ns/a/ns/b/{rest}"))
        }),
        ("newest", &["--transfer-last", "1"], |path| {
            let old = ["host/web1/2026-01-01", "host/web1/2026-01-02", "vm/100/2026-01-01", "vm/100/2026-01-02"];
            let older = ["ct/101/2026-01-01", "vm/200/2026-01-01"];
            (!old.iter().chain(&older).any(|start| path.starts_with(start))).then(|| path.to_owned())
        }),
    ];
    let first = first_server().await;
    let facts = [first.port(), first.fingerprint()];
    let source = first.store_path("local");
    let site = Site::new();
    site.run(&create_remote(&facts, "sync@pbs", PASSWORD)).await.ok();
    for (name, options, scope) in cases {
        let store = site.add_store(name);
        if *name == "flat" {
            site.store(name).create_namespace(&"a".parse().unwrap()).unwrap();
        }
        let job = ["sync-job", "create", name, "--remote", "pbs2", "--remote-store", "local", "--store", name];
        site.run(&[&job[..], options].concat()).await.ok();
        let log = site.run(&["sync-job", "run", name]).await.ok();
        let (expected, found) = (scoped(&source, scope), snapshots(&store));
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{name}\n{log}");
        assert!(!expected.is_empty() && expected == found, "{name}");
        assert_sound(&store);
        let log = site.run(&["sync-job", "run", name]).await.ok();
        assert!(log.contains("found no new data to pull"), "{name}\n{log}");
        assert!(expected == snapshots(&store), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_job_copies_between_two_stores_of_one_server() {
    let site = Site::new();
    let source = site.store_path("local");
    unpack_golden(&source);
    site.configure_store("local", &source);
    let store = site.add_store("copy");
    let create = ["sync-job", "create", "nightly", "--remote-store", "local", "--store", "copy"];
    site.run(&create).await.ok();
    let log = site.run(&["sync-job", "run", "nightly"]).await.ok();
    let lines = [
        "Starting datastore sync job '-:local:copy::nightly'",
        "sync datastore 'copy' from 'local'",
        "Summary: sync job pulled ",
        "sync job '-:local:copy::nightly' end",
        "TASK OK",
    ];
    assert_in_order(&log, &lines);
    assert_same(&source, &store);
    let log = site.run(&["sync-job", "run", "nightly"]).await.ok();
    assert!(log.contains("found no new data to pull"), "{log}");
    let itself = ["sync-job", "create", "loop", "--remote-store", "local", "--store", "local"];
    site.run(&itself).await.failed();
}

/// Runs one of the manual's commands through a link that has the reference's name.
fn linked(link: &Path, root: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(link);
    quiet(command.args(arguments));
    let output = command.env("FARHOLD_ROOT", root).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", printed(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_program_does_the_same_under_both_names() {
    let first = Site::new();
    let source = first.store_path("local");
    unpack_golden(&source);
    first.configure_store("local", &source);
    first.add_user("sync@pbs", PASSWORD);
    first.grant("/datastore/local", "sync@pbs", Role::DatastoreReader);
    let (_daemon, address, fingerprint) = Process::server(&first.root());

    let second = Site::new();
    let (root, store) = (second.root(), second.add_store("local"));
    let link = second.folder().join("proxmox-backup-manager");
    symlink(env!("CARGO_BIN_EXE_farhold"), &link).unwrap();
    let facts = [address.rsplit(':').next().unwrap().to_owned(), fingerprint];
    assert_eq!(linked(&link, &root, &create_remote(&facts, "sync@pbs", PASSWORD)), "");
    assert_eq!(linked(&link, &root, &["remote", "list"]), remote_table(&facts[1]));
    assert_eq!(linked(&link, &root, CREATE_JOB), "");
    assert_eq!(linked(&link, &root, &["sync-job", "update", "pbs2-local", "--comment", "offsite"]), "");
    assert_eq!(linked(&link, &root, &["sync-job", "list"]), JOB_TABLE);
    let log = linked(&link, &root, &["sync-job", "run", "pbs2-local"]);
    assert_in_order(&log, FIRST_LINES);
    assert_eq!(snapshots(&source), snapshots(&store));
    let output = program(&root, &["sync-job", "run", "pbs2-local"]).output().unwrap();
    assert_in_order(&printed(&output), &["Summary: sync job found no new data to pull", "sync job '", "TASK OK"]);
    assert_eq!(linked(&link, &root, &["sync-job", "remove", "pbs2-local"]), "");
    assert_eq!(linked(&link, &root, &["remote", "remove", "pbs2"]), "");
    let written = fs::read_to_string(root.join("etc/sync.cfg")).unwrap();
    assert_eq!(written, "");
}
