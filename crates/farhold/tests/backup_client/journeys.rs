//! Backups and restores, from the first word typed to the content that comes back, and what goes wrong on the way.

use std::fs;
use std::time::Duration;

use farhold_cli::Interrupts;
use farhold_types::Epoch;
use serde_json::Value;
use tokio::sync::watch;

use crate::content::{assert_no_leftovers, noise};
use crate::desk::{Desk, TOKEN, server};
use crate::site::Site;

const MIB: usize = 1 << 20;

/// Returns the snapshots of a group, oldest first.
async fn snapshots(desk: &Desk, group: &str) -> Vec<String> {
    let listed = desk.run(&["snapshot", "list", group, "--output-format", "json"]).await.ok();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let times = listed.as_array().unwrap().iter().map(|item| Epoch(item["backup-time"].as_i64().unwrap()));
    let mut names: Vec<String> = times.map(|time| format!("{group}/{time}")).collect();
    names.sort();
    names
}

/// Restores to standard output.
async fn content(desk: &Desk, snapshot: &str, archive: &str) -> Vec<u8> {
    let (code, content, err) = desk.run_raw(&["restore", snapshot, archive, "-"], Interrupts::never()).await;
    assert_eq!((code, err.as_str()), (0, ""));
    content
}

/// Waits until no task runs any more: a cut session ends there a moment later.
async fn settled(site: &Site) {
    for _ in 0..1000 {
        if site.app.tasks.running_here().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("a task does not end");
}

#[tokio::test(flavor = "multi_thread")]
async fn images_archives_and_small_files_come_back_as_they_were_and_unchanged_chunks_are_not_sent_again() {
    let (site, secret) = server().await;
    let mut desk = Desk::at(&site, TOKEN, &secret);
    let mut image = noise(1, 20 * MIB + 12_345);
    image[4 * MIB..8 * MIB].fill(0);
    let archive = noise(2, 9 * MIB);
    let (disk, tar) = (desk.file("disk.raw", &image), desk.file("etc.tar", &archive));
    let specs = [format!("disk.img:{disk}"), format!("etc.pxar:{tar}"), "host.conf:-".to_owned()];
    desk.input = b"standard input\n".to_vec();
    let backup = |time: &'static str| {
        let mut arguments = vec!["backup"];
        arguments.extend(specs.iter().map(String::as_str));
        arguments.extend(["--backup-time", time]);
        arguments
    };
    let first = desk.run(&backup("1767261600")).await;
    assert_eq!((first.code, first.out.as_str()), (0, ""), "{}", first.err);
    for line in [
        "Starting backup: host/desk.example/2026-01-01T10:00:00Z\n",
        "Client name: desk.example\n",
        "No previous manifest available.\n",
        "Upload 'disk.img' as disk.img.fidx (20.012 MiB)\n",
        "disk.img.fidx: had to upload ",
        "Duration: ",
        "End Time: ",
    ] {
        assert!(first.err.contains(line), "{line}\n{}", first.err);
    }
    assert!(!first.err.contains('\r'), "no terminal, no line in place: {}", first.err);

    image[17 * MIB] ^= 1;
    fs::write(&disk, &image).unwrap();
    let second = desk.run(&backup("1767348000")).await;
    assert_eq!(second.code, 0, "{}", second.err);
    for line in [
        "Using the previous snapshot (2026-01-01T10:00:00Z)\n",
        "disk.img.fidx: had to upload 4 MiB of 20.012 MiB (",
        ", reused 16.012 MiB\n",
        "etc.pxar.didx: had to upload 0 B of 9 MiB (",
    ] {
        assert!(second.err.contains(line), "{line}\n{}", second.err);
    }

    assert_eq!(
        snapshots(&desk, "host/desk.example").await,
        ["host/desk.example/2026-01-01T10:00:00Z", "host/desk.example/2026-01-02T10:00:00Z"]
    );
    let listed = desk.run(&["list"]).await.ok();
    assert!(
        listed.contains(
            "│ host/desk.example │ host/desk.example/2026-01-02T10:00:00Z │            2 │ disk.img etc.pxar host.conf index.json │"
        ),
        "{listed}"
    );
    // The group stands for its newest snapshot.
    assert!(content(&desk, "host/desk.example", "disk.img").await == image);
    assert!(content(&desk, "host/desk.example", "etc.pxar.didx").await == archive);
    image[17 * MIB] ^= 1;
    let first = "host/desk.example/2026-01-01T10:00:00Z";
    assert!(content(&desk, first, "disk.img.fidx").await == image);
    assert_eq!(content(&desk, first, "host.conf").await, b"standard input\n");
    let manifest: Value = serde_json::from_slice(&content(&desk, first, "index.json").await).unwrap();
    assert_eq!(
        (manifest["backup-id"].as_str(), manifest["backup-time"].as_i64()),
        (Some("desk.example"), Some(1_767_261_600))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_restored_to_a_new_name_only_and_a_failed_restore_leaves_none() {
    let (site, secret) = server().await;
    let desk = Desk::at(&site, TOKEN, &secret);
    let image = noise(3, 5 * MIB);
    let spec = format!("disk.img:{}", desk.file("disk.raw", &image));
    desk.run(&["backup", &spec, "--backup-type", "vm", "--backup-id", "100"]).await.ok();
    let target = desk.path("restored");
    let to = target.to_str().unwrap();
    let restore = async |snapshot: &str, archive: &str, to: &str| desk.run(&["restore", snapshot, archive, to]).await;
    for (snapshot, archive, expected) in [
        ("vm/100", "nosuch.img", "nosuch.img"),
        ("vm/100", "nosuch", "nosuch"),
        ("vm/100/2020-01-01T00:00:00Z", "disk.img", ""),
        ("vm/101", "disk.img", "group vm/101 has no finished snapshot"),
        ("vm", "disk.img", "unable to parse backup snapshot path 'vm'"),
    ] {
        let failed = restore(snapshot, archive, to).await.failed();
        assert!(failed.starts_with("Error: ") && failed.contains(expected), "{failed}");
        assert!(!target.exists(), "{snapshot} {archive}");
    }
    restore("vm/100", "disk.img", to).await.ok();
    assert!(fs::read(&target).unwrap() == image);
    fs::write(&target, "precious").unwrap();
    restore("vm/100", "disk.img", to).await.failed();
    assert_eq!(fs::read(&target).unwrap(), b"precious");
    let folder = desk.path("").to_str().unwrap().to_owned();
    let refused = restore("vm/100", "disk.img", &folder).await.failed();
    assert!(refused.contains("is a folder") && refused.contains("hint: name the new file"), "{refused}");
    let refused = restore("vm/100", "root.pxar", &folder).await.failed();
    assert!(refused.contains("unpack that with the archive's own program"), "{refused}");

    // A chunk that went bad on the server: nothing half comes back.
    fs::remove_file(&target).unwrap();
    let chunks = crate::site::files(&site.store_path("store1").join(".chunks"), &[]);
    for chunk in chunks.keys().filter(|path| path.to_str().unwrap().len() == 4 + 1 + 64) {
        fs::write(site.store_path("store1").join(".chunks").join(chunk), b"damaged").unwrap();
    }
    restore("vm/100", "disk.img", to).await.failed();
    assert!(!target.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_backed_up_is_refused_with_advice_before_the_server_hears_of_it() {
    let (site, secret) = server().await;
    let mut desk = Desk::at(&site, TOKEN, &secret);
    let empty = desk.file("empty", b"");
    let file = desk.file("file", b"x");
    let folder = desk.path("folder");
    fs::create_dir(&folder).unwrap();
    let folder = folder.to_str().unwrap().to_owned();
    for (specs, expected, hint) in [
        (
            vec![format!("root.pxar:{folder}")],
            "director",
            "make an archive with another program and store that: tar -C ",
        ),
        (vec![format!("disk.img:{folder}")], "disk.img", ""),
        (vec![format!("disk.img:{empty}")], "empty", ""),
        (vec!["disk.img:/nonexistent/disk".to_owned()], "/nonexistent/disk", ""),
        (
            vec!["a.conf:-".to_owned(), "b.conf:-".to_owned()],
            "standard input can be the source of one archive only",
            "",
        ),
        (vec![format!("a.conf:{file}"), format!("a.conf:{file}")], "got target twice: 'a.conf'", ""),
        (vec![format!("client.log:{file}")], "client.log", ""),
    ] {
        let mut arguments = vec!["backup"];
        arguments.extend(specs.iter().map(String::as_str));
        let refused = desk.run(&arguments).await.failed();
        assert!(refused.contains(expected), "{specs:?}: {refused}");
        assert!(hint.is_empty() || refused.contains(&format!("hint: {hint}")) || refused.contains(hint), "{refused}");
    }
    for (option, value, expected) in [
        ("--chunk-size", "100", "power of two"),
        ("--backup-time", "999999999999", "9999"),
        ("--ns", "a/../b", "ns"),
        ("--exclude", "x", "additional properties are not allowed"),
    ] {
        let refused = desk.run(&["backup", &format!("a.conf:{file}"), option, value]).await.failed();
        assert!(refused.contains(expected), "{option}: {refused}");
    }
    desk.set("PBS_NAMESPACE", "no/such");
    let refused = desk.run(&["backup", &format!("a.conf:{file}")]).await.failed();
    assert!(refused.contains("namespace"), "{refused}");
    desk.unset("PBS_NAMESPACE");

    // A dry run checks the sources and needs no server at all.
    let mut nowhere = Desk::new();
    nowhere.variables.remove("PBS_REPOSITORY");
    let dry = nowhere.run(&["backup", &format!("a.conf:{file}"), "--dry-run", "--backup-id", "x"]).await;
    assert_eq!((dry.code, dry.out.as_str()), (0, ""), "{}", dry.err);
    assert!(dry.err.contains(&format!("would upload '{file}' as a.conf, as it is")), "{}", dry.err);
    nowhere.run(&["backup", "a.conf:/nonexistent", "--dry-run"]).await.failed();

    settled(&site).await;
    assert_eq!(desk.run(&["list"]).await.ok(), "");
    assert_no_leftovers(&site.store_path("store1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_groups_and_namespaces_are_kept_in_order() {
    let (site, secret) = server().await;
    let mut desk = Desk::at(&site, TOKEN, &secret);
    let file = desk.file("file", b"x");
    let spec = format!("a.conf:{file}");
    desk.run(&["namespace", "create", "site-a"]).await.ok();
    desk.run(&["namespace", "create", "site-a/office"]).await.ok();
    for ns in ["site-a", "site-a/office"] {
        desk.run(&["backup", &spec, "--ns", ns, "--backup-id", "x", "--backup-time", "1767261600"]).await.ok();
        desk.run(&["backup", &spec, "--ns", ns, "--backup-id", "x", "--backup-time", "1767348000"]).await.ok();
    }
    assert_eq!(desk.run(&["namespace", "list"]).await.ok(), "site-a\nsite-a/office\n");
    desk.set("PBS_NAMESPACE", "site-a");
    let (old, new) = ("host/x/2026-01-01T10:00:00Z", "host/x/2026-01-02T10:00:00Z");
    assert_eq!(snapshots(&desk, "host/x").await, [old, new]);
    assert_eq!(desk.run(&["snapshots", "--ns", ""]).await.ok(), "");

    assert_eq!(desk.run(&["snapshot", "notes", "show", old]).await.ok(), "\n");
    desk.run(&["snapshot", "notes", "update", old, "first line\nsecond line"]).await.ok();
    assert_eq!(desk.run(&["snapshot", "notes", "show", old]).await.ok(), "first line\nsecond line\n");
    let notes = desk.run(&["snapshot", "notes", "show", old, "--output-format", "json"]).await.ok();
    assert_eq!(notes, "{\"notes\":\"first line\\nsecond line\"}\n");
    desk.run(&["snapshot", "protected", "update", old, "true"]).await.ok();
    let protected = desk.run(&["snapshot", "protected", "show", old, "--output-format", "json"]).await.ok();
    assert_eq!(protected, "{\"protected\":true}\n");
    let log = desk.file("log", b"all is well\n");
    desk.run(&["snapshot", "upload-log", new, &log]).await.ok();
    assert_eq!(content(&desk, new, "client.log").await, b"all is well\n");

    assert!(desk.run(&["forget", old]).await.failed().contains("protected"));
    desk.run(&["snapshot", "protected", "update", old, "false"]).await.ok();
    desk.run(&["forget", old]).await.ok();
    assert_eq!(snapshots(&desk, "host/x").await, [new]);
    for answer in ["", "n\n", "yes\n", "nonsense\n"] {
        desk.input = answer.into();
        let kept = desk.run(&["group", "forget", "host/x"]).await.ok();
        assert_eq!(kept, "Delete group \"host/x\" with 1 snapshot(s)? [y/N]: Abort.\n", "{answer:?}");
    }
    desk.input = b"y\n".to_vec();
    desk.run(&["group", "forget", "host/x"]).await.ok();
    assert_eq!(desk.run(&["list"]).await.ok(), "");

    desk.run(&["namespace", "delete", "site-a"]).await.failed();
    desk.run(&["namespace", "delete", "site-a", "--delete-groups"]).await.ok();
    for command in ["create", "delete"] {
        assert!(desk.run(&["namespace", command, ""]).await.failed().contains("root namespace"));
    }
    desk.unset("PBS_NAMESPACE");
    assert_eq!(desk.run(&["namespace", "list"]).await.ok(), "");
    let root = desk.run(&["namespace", "list", "--output-format", "json"]).await.ok();
    assert_eq!(root, "{\"data\":[{\"ns\":\"\"}]}\n");
    let status = desk.run(&["status"]).await.ok();
    assert_eq!(status.lines().count(), 7, "{status}");
    assert!(status.lines().nth(1).unwrap().starts_with("│ total │ ") && status.contains("(100.00%)"), "{status}");
    let status = desk.run(&["status", "--output-format", "json"]).await.ok();
    assert!(serde_json::from_str::<Value>(&status).unwrap()["total"].as_u64().unwrap() > 0, "{status}");
    desk.set("PROXMOX_OUTPUT_FORMAT", "yaml");
    let odd = desk.run(&["status"]).await;
    assert_eq!((odd.code, odd.out.as_str(), odd.err.as_str()), (0, "", "undefined output format 'yaml'\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_a_backup_in_order_and_nothing_of_it_stays() {
    let (site, secret) = server().await;
    let mut desk = Desk::at(&site, TOKEN, &secret);
    desk.width = Some(60);
    let spec = format!("disk.img:{}", desk.file("disk.raw", &noise(9, 64 * MIB)));
    let (press, presses) = watch::channel(0);
    let arguments = ["backup", &spec, "--rate", "2MB", "--burst", "1MB"];
    let work = desk.run_interruptible(&arguments, Interrupts::new(presses));
    let user = async {
        while site.app.tasks.running_here().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        press.send_modify(|count| *count += 1);
        press
    };
    let (ran, _press) = tokio::join!(work, user);
    let text = ran.failed();
    assert!(text.ends_with("Error: interrupted\n"), "{text}");
    settled(&site).await;
    assert_eq!(desk.run(&["list"]).await.ok(), "");
    assert_no_leftovers(&site.store_path("store1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_a_line_shows_the_progress_and_goes_away() {
    let (site, secret) = server().await;
    let mut desk = Desk::at(&site, TOKEN, &secret);
    desk.width = Some(60);
    let spec = format!("disk.img:{}", desk.file("disk.raw", &noise(5, 12 * MIB)));
    let ran = desk.run(&["backup", &spec, "--rate", "8MB", "--burst", "1MB"]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let shown: Vec<&str> = ran.err.split("\r\x1b[K").collect();
    assert!(shown.iter().any(|line| line.contains(" of 12 MiB (")), "{:?}", ran.err);
    assert!(shown.iter().all(|line| line.contains('\n') || line.chars().count() < 60), "{:?}", ran.err);
    // The last word is an ordinary line.
    assert!(ran.err.lines().last().unwrap().starts_with("End Time: "), "{:?}", ran.err);
    let restored = desk.path("restored");
    desk.run(&["restore", "host/desk.example", "disk.img", restored.to_str().unwrap(), "--rate", "8MB"]).await.ok();
}
