//! Encryption keys: made, shown, used, missing and wrong.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;

use farhold_cli::Interrupts;
use serde_json::Value;

use crate::content::noise;
use crate::desk::{Desk, TOKEN, assert_nowhere, server};

const PASSPHRASE: &str = "a long passphrase";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn a_key_is_made_once_for_its_owner_alone_and_can_be_shown() {
    let mut desk = Desk::new();
    let path = desk.path("keys/plain.json");
    let path = path.to_str().unwrap();
    desk.run(&["key", "create", path, "--kdf", "none"]).await.ok();
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o600);
    let shown = json(&desk.run(&["key", "show", path, "--output-format", "json"]).await.ok());
    assert_eq!((shown["kdf"].as_str(), shown["path"].as_str()), (Some("none"), Some(format!("\"{path}\"").as_str())));
    let before = fs::read(path).unwrap();
    let again = desk.run(&["key", "create", path, "--kdf", "none"]).await.failed();
    assert!(again.contains("exists already") && fs::read(path).unwrap() == before, "{again}");
    let hint = desk.run(&["key", "create", "--kdf", "none", "--hint", "x"]).await.failed();
    assert!(hint.contains("password hint not allowed for kdf 'none'"), "{hint}");

    // The default key, with a password.
    let nobody = desk.run(&["key", "create"]).await.failed();
    assert!(nobody.contains("no tty") && nobody.contains("--kdf none"), "{nobody}");
    desk.typed = Some(vec![PASSPHRASE, "another"]);
    assert!(desk.run(&["key", "create"]).await.failed().contains("verification fail"));
    desk.typed = Some(vec!["abc", "abc"]);
    assert!(desk.run(&["key", "create"]).await.failed().contains("at least 5"));
    assert!(!desk.folders().default_key().unwrap().exists());
    desk.typed = Some(vec![PASSPHRASE, PASSPHRASE]);
    desk.run(&["key", "create", "--hint", "the usual one"]).await.ok();
    assert_nowhere(&desk.path(""), PASSPHRASE);
    let shown = desk.run(&["key", "show"]).await.ok();
    for expected in ["│ kdf         │ scrypt ", "│ hint        │ the usual one ", "│ fingerprint │ "] {
        assert!(shown.contains(expected), "{shown}");
    }
    let missing = desk.run(&["key", "show", "/nonexistent/key.json"]).await.failed();
    assert!(missing.contains("cannot read the key from '/nonexistent/key.json'"), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_backup_comes_back_with_its_key_and_with_no_other() {
    let (site, secret) = server().await;
    let desk = Desk::at(&site, TOKEN, &secret);
    let key_of = async |name: &str| {
        let path = desk.path(name).to_str().unwrap().to_owned();
        desk.run(&["key", "create", &path, "--kdf", "none"]).await.ok();
        path
    };
    let (key, other) = (key_of("key.json").await, key_of("other.json").await);
    let content = noise(7, 5 << 20);
    let disk = desk.file("disk.img", &content);
    let config = desk.file("vm.conf", b"a telling line of configuration\n");
    let specs = [format!("disk.img:{disk}"), format!("vm.conf:{config}")];
    let ran = desk.run(&["backup", &specs[0], &specs[1], "--backup-id", "enc", "--keyfile", &key]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let fingerprint = json(&desk.run(&["key", "show", &key, "--output-format", "json"]).await.ok());
    let line = format!("Encryption key fingerprint: {}\n", fingerprint["fingerprint"].as_str().unwrap());
    assert!(ran.err.contains(&line), "{}", ran.err);
    assert_nowhere(&site.store_path("store1"), "a telling line");

    let snapshots = json(&desk.run(&["snapshots", "host/enc", "--output-format", "json"]).await.ok());
    let time = farhold_types::Epoch(snapshots[0]["backup-time"].as_i64().unwrap());
    let snapshot = format!("host/enc/{time}");
    let files = json(&desk.run(&["files", &snapshot, "--output-format", "json"]).await.ok());
    for file in files.as_array().unwrap() {
        let mode = if file["filename"] == "index.json.blob" { "sign-only" } else { "encrypt" };
        assert_eq!(file["crypt-mode"], mode, "{file}");
    }

    let target = desk.path("restored.img");
    let to = target.to_str().unwrap();
    let restore = |more: &[&'static str]| {
        let mut arguments = vec!["restore".to_owned(), "host/enc".to_owned(), "disk.img".to_owned(), to.to_owned()];
        arguments.extend(more.iter().map(ToString::to_string));
        arguments
    };
    let try_with = async |more: &[&str]| {
        let mut arguments = restore(&[]);
        arguments.extend(more.iter().map(ToString::to_string));
        desk.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
    };
    let no_key = try_with(&[]).await.failed();
    assert!(no_key.contains("key") && no_key.contains("hint: "), "{no_key}");
    let wrong = try_with(&["--keyfile", &other]).await.failed();
    assert!(wrong.contains("key") && wrong.contains("hint: "), "{wrong}");
    let whole = fs::read(&key).unwrap();
    for length in [0, 1, whole.len() / 2, whole.len() - 1] {
        let short = desk.file("short.json", &whole[..length]);
        let refused = try_with(&["--keyfile", &short]).await.failed();
        assert!(refused.contains("cannot use the key from") && refused.contains("damaged or cut short"), "{refused}");
        let refused = desk.run(&["backup", &specs[1], "--keyfile", &short]).await.failed();
        assert!(refused.contains("damaged or cut short"), "{refused}");
    }
    assert!(!target.exists());
    try_with(&["--keyfile", &key]).await.ok();
    assert!(fs::read(&target).unwrap() == content);
    let open = fs::File::open(&key).unwrap();
    let descriptor = open.as_raw_fd().to_string();
    let arguments = ["restore", &snapshot, "vm.conf", "-", "--keyfd", &descriptor];
    let (code, restored, err) = desk.run_raw(&arguments, Interrupts::never()).await;
    assert_eq!((code, restored.as_slice()), (0, &b"a telling line of configuration\n"[..]), "{err}");

    // The log of an encrypted backup is encrypted as well.
    let log = desk.file("client.log", b"a telling line of a log\n");
    desk.run(&["upload-log", &snapshot, &log, "--keyfile", &key]).await.ok();
    assert_nowhere(&site.store_path("store1"), "a telling line");
    let (code, restored, _) =
        desk.run_raw(&["restore", &snapshot, "client.log", "-", "--keyfile", &key], Interrupts::never()).await;
    assert_eq!((code, restored.as_slice()), (0, &b"a telling line of a log\n"[..]));
    let again = desk.run(&["upload-log", &snapshot, &log]).await.failed();
    assert!(again.contains("log"), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_key_is_used_and_its_password_asked_for_only_when_it_is_needed() {
    let (site, secret) = server().await;
    let mut desk = Desk::at(&site, TOKEN, &secret);
    let config = desk.file("a.conf", b"content\n");
    let spec = format!("a.conf:{config}");
    desk.run(&["backup", &spec, "--backup-id", "plain"]).await.ok();
    desk.set("PBS_ENCRYPTION_PASSWORD", PASSPHRASE);
    desk.run(&["key", "create", "--hint", "usual"]).await.ok();
    desk.unset("PBS_ENCRYPTION_PASSWORD");

    let nobody = desk.run(&["backup", &spec, "--backup-id", "enc"]).await.failed();
    assert!(
        nobody.contains("key is protected by a passphrase") && nobody.contains("PBS_ENCRYPTION_PASSWORD"),
        "{nobody}"
    );
    desk.typed = Some(vec!["wrong passphrase"]);
    let wrong = desk.run(&["backup", &spec, "--backup-id", "enc"]).await.failed();
    assert!(wrong.contains("passphrase is wrong") && wrong.contains("hint: check the password"), "{wrong}");
    assert!(!wrong.contains("wrong passphrase\n"), "{wrong}");
    // Nothing of that reached the server.
    assert_eq!(desk.run(&["snapshots", "host/enc"]).await.ok(), "");
    desk.typed = Some(vec![PASSPHRASE]);
    let ran = desk.run(&["backup", &spec, "--backup-id", "enc"]).await;
    assert!(ran.code == 0 && ran.err.contains("Encryption Key Password: "), "{}", ran.err);
    // A master key is not used, which must not go unnoticed.
    fs::write(desk.folders().default_master_key().unwrap(), "pem").unwrap();
    let ran = desk.run(&["backup", &spec, "--backup-id", "enc2"]).await;
    assert!(ran.code == 0 && ran.err.contains("warning: the master key"), "{}", ran.err);
    let off = desk.run(&["backup", &spec, "--backup-id", "off", "--crypt-mode", "none"]).await;
    assert!(off.code == 0 && !off.err.contains("Password") && !off.err.contains("fingerprint"), "{}", off.err);

    desk.typed = None;
    let (code, restored, err) = desk.run_raw(&["restore", "host/plain", "a.conf", "-"], Interrupts::never()).await;
    assert_eq!((code, restored.as_slice(), err.as_str()), (0, &b"content\n"[..], ""));
    assert!(desk.run(&["restore", "host/enc", "a.conf", "-"]).await.failed().contains("passphrase"));
    desk.set("PBS_ENCRYPTION_PASSWORD", PASSPHRASE);
    let (code, restored, _) = desk.run_raw(&["restore", "host/enc", "a.conf", "-"], Interrupts::never()).await;
    assert_eq!((code, restored.as_slice()), (0, &b"content\n"[..]));

    let signed = desk.run(&["backup", &spec, "--backup-id", "signed", "--crypt-mode", "sign-only"]).await;
    assert!(signed.code == 0 && signed.err.contains("Signing key fingerprint: "), "{}", signed.err);
    let both = desk.run(&["backup", &spec, "--crypt-mode", "none", "--keyfile", "x"]).await.failed();
    assert!(both.contains("mutually exclusive"), "{both}");
}
