//! Requests against a server of plain objects.

use serde_json::json;

use super::*;
use crate::Catalogue;
use crate::fixture::{FakeServer, arguments, block_on, endpoints};
use crate::plan::{Plan, Printed, plan};

fn run_with(server: &FakeServer, line: &[&str], interrupts: Interrupts) -> Printed {
    let Plan::Run(request) = plan(&Catalogue::new(&endpoints(), &[]), "farhold", &arguments(line)) else {
        panic!("{line:?} does not parse")
    };
    let variable = |name: &str| (name == "LANG").then(|| "C.UTF-8".to_owned());
    let settings = OutputSettings::from_environment(variable, None, jiff::tz::TimeZone::UTC);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        settings: &settings,
        interrupts,
        poll: Duration::ZERO,
        progress_width: None,
    };
    let exit = block_on(execute(*request, server, &mut console));
    Printed { out: String::from_utf8_lossy(&out).into_owned(), err: String::from_utf8_lossy(&err).into_owned(), exit }
}

fn run(server: &FakeServer, line: &[&str]) -> Printed {
    run_with(server, line, Interrupts::never())
}

#[test]
fn a_scan_asks_the_endpoint_that_its_options_name() {
    let server = FakeServer::default();
    server.answer("/config/remote/pbs2/scan", json!([{"store": "s1", "comment": "c"}]));
    server.answer("/config/remote/pbs2/scan/s11/namespaces", json!([{"ns": "b"}, {"ns": "a"}]));
    server.answer(
        "/config/remote/pbs2/scan/s11/groups",
        json!([{"backup-type": "vm", "backup-id": "100", "last-backup": 0, "backup-count": 2}]),
    );
    let scan = |options: &[&str]| run(&server, &[&["remote", "scan", "pbs2"], options].concat());
    assert!(scan(&[]).out.contains("│ s1    │"), "{}", scan(&[]).out);
    assert_eq!(
        scan(&["--store", "s11", "--namespaces", "--output-format", "json"]).out,
        "[{\"ns\":\"b\"},{\"ns\":\"a\"}]\n"
    );
    server.take_calls();
    let groups = scan(&["--store", "s11", "--groups", "--ns", "x"]);
    assert!(
        groups.out.contains("│ vm          │ 100       │ Thu Jan  1 00:00:00 1970 │            2 │"),
        "{}",
        groups.out
    );
    assert_eq!(
        server.take_calls()[0].params,
        *json!({"name": "pbs2", "store": "s11", "namespace": "x"}).as_object().expect("object")
    );

    for (options, name) in [
        (&["--groups"][..], "store"),
        (&["--store", "s11"], "store"),
        (&["--store", "s11", "--groups", "--namespaces"], "store"),
        (&["--store", "s11", "--namespaces", "--ns", "x"], "ns"),
    ] {
        let refused = scan(options);
        assert_eq!((refused.exit, refused.out.as_str()), (FAILURE, ""), "{options:?}");
        assert!(
            refused.err.starts_with(&format!("Error: parameter verification failed - '{name}': ")),
            "{}",
            refused.err
        );
    }
    assert!(server.take_calls().is_empty(), "nothing is asked if the options do not fit");
}

#[test]
fn a_key_file_is_sent_by_its_content() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("key");
    std::fs::write(&path, "{\"kdf\":null}").expect("file");
    let server = FakeServer::default();
    run(&server, &["encryption-key", "create", "key1", "--key-file", &path.display().to_string()]);
    assert_eq!(
        server.take_calls()[0].params,
        *json!({"id": "key1", "key": "{\"kdf\":null}"}).as_object().expect("object")
    );

    std::fs::write(&path, " ".repeat(70_000)).expect("file");
    for path in [path, folder.path().join("missing")] {
        let path = path.display().to_string();
        let failed = run(&server, &["encryption-key", "create", "key1", "--key-file", &path]);
        assert_eq!(failed.exit, FAILURE);
        assert!(failed.err.starts_with(&format!("Error: cannot read '{path}'\n\nCaused by:\n    ")), "{}", failed.err);
    }
    assert!(server.take_calls().is_empty());
}

#[test]
fn a_new_key_is_printed_or_written_to_a_file_of_its_own() {
    use std::os::unix::fs::PermissionsExt;

    const KEY: &str = "{\"data\":\"c2VjcmV0\",\"kdf\":null}\n";
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("key.json");
    let to_file = path.display().to_string();
    let server = FakeServer::default();
    server.answer("/config/encryption-keys", json!({"kdf": null, "data": "c2VjcmV0"}));
    assert_eq!(run(&server, &["encryption-key", "create", "key1"]).out, KEY);
    let line = ["encryption-key", "create", "key1", "--to-file", &to_file];
    server.take_calls();
    let written = run(&server, &line);
    assert_eq!((written.exit, written.out.as_str()), (SUCCESS, ""));
    assert_eq!(server.take_calls()[0].params, *json!({"id": "key1"}).as_object().expect("object"));
    assert_eq!(std::fs::read_to_string(&path).expect("file"), KEY);
    assert_eq!(std::fs::metadata(&path).expect("file").permissions().mode() & 0o777, 0o600);

    // No key is made for a file that is there already, and none stays for a key that was not made.
    let refused = run(&server, &line);
    assert!(refused.err.starts_with(&format!("Error: cannot write '{to_file}'\n")), "{}", refused.err);
    assert!(server.take_calls().is_empty());
    let other = folder.path().join("other.json").display().to_string();
    let failed = run(&FakeServer::default(), &["encryption-key", "create", "key1", "--to-file", &other]);
    assert_eq!(failed.exit, FAILURE);
    assert!(!std::path::Path::new(&other).exists());
}

#[test]
fn an_imported_key_is_not_shown() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("key").display().to_string();
    std::fs::write(&path, "{\"kdf\":null}").expect("file");
    let server = FakeServer::default();
    server.answer("/config/encryption-keys", json!({"kdf": null, "data": "c2VjcmV0", "fingerprint": "ab:cd"}));
    assert_eq!(run(&server, &["encryption-key", "import", "key1", &path]).out, "imported; fingerprint: ab:cd\n");
    assert_eq!(
        server.take_calls()[0].params,
        *json!({"id": "key1", "key": "{\"kdf\":null}"}).as_object().expect("object")
    );
}

#[test]
fn an_interrupted_call_ends_the_program() {
    let (count, receiver) = tokio::sync::watch::channel(1);
    let printed = run_with(&FakeServer::default(), &["remote", "list"], Interrupts::new(receiver));
    drop(count);
    assert_eq!(printed, Printed { out: String::new(), err: "Error: interrupted\n".to_owned(), exit: FAILURE });
}

#[test]
fn answers_of_another_kind_are_errors() {
    for (line, answer) in [
        (&["remote", "list"][..], json!({})),
        (&["remote", "show", "pbs2"], json!([])),
        (&["remote", "list"], json!(null)),
    ] {
        let server = FakeServer::default();
        server.answer("/config/remote", answer.clone());
        server.answer("/config/remote/pbs2", answer);
        let printed = run(&server, line);
        assert_eq!(printed.exit, FAILURE);
        assert!(printed.err.starts_with("Error: unexpected answer from the server: "), "{}", printed.err);
    }
}

#[test]
fn versions_name_the_package_that_scripts_look_for() {
    let server = FakeServer::with_root();
    assert_eq!(run(&server, &["versions"]).out, "proxmox-backup-server unknown running version: 4.2.1\n");
    let verbose = run(&server, &["versions", "--verbose"]).out;
    assert_eq!(verbose.lines().count(), 2, "{verbose}");
    assert!(verbose.lines().nth(1).is_some_and(|line| line.starts_with("farhold               ")), "{verbose}");
}
