//! A configuration directory of the reference product works here, and can go back: what is not changed keeps its bytes,
//! a change touches only what it means, and taking the change back gives the file that was there.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::{empty, sample};
use farhold_settings::{ConfigFile, ConfigStore, Entries, SettingsError, TargetSecrets};

/// Files with samples.
const SAMPLES: [&str; 15] = [
    "acl.cfg",
    "datastore.cfg",
    "domains.cfg",
    "encryption-keys.cfg",
    "node.cfg",
    "notifications-priv.cfg",
    "notifications.cfg",
    "prune.cfg",
    "remote.cfg",
    "shadow.json",
    "sync.cfg",
    "token.shadow",
    "traffic-control.cfg",
    "user.cfg",
    "verification.cfg",
];

/// Files that are none of ours, or that we only read.
const OTHERS: [(&str, &str); 9] = [
    ("s3.cfg", "s3-endpoint: cold\n\taccess-key a\n\tendpoint s3.example\n\tsecret-key b\n"),
    ("tape.cfg", "linux-tape-drive: lto\n\tpath /dev/tape\n"),
    ("tape-job.cfg", "not even text that we could read \u{1}\n"),
    ("media-pool.cfg", "pool: weekly\n"),
    ("tfa.json", r#"{"users":{"sync@pbs":{"totp":[{"info":{"id":"1"},"entry":"x"}]}},"webauthn":{"rp":"x"}}"#),
    ("ldap_passwords.json", "{\n  \"corp\": \"bind secret\"\n}"),
    ("subscription", "anything"),
    ("acme/plugins.cfg", "standalone: standalone\n"),
    ("notification-templates/default/gc-ok-body.txt.hbs", "{{hostname}}"),
];

/// Returns the content of every file below a directory, without the empty lock files.
fn content(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.extend(content(&path).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else if !(name.ends_with(".lck") || name.ends_with(".lock")) {
            found.insert(name, fs::read(&path).unwrap());
        }
    }
    found
}

fn fill(directory: &Path) {
    for name in SAMPLES {
        fs::write(directory.join(name), sample(name)).unwrap();
    }
    for (name, text) in OTHERS {
        fs::create_dir_all(directory.join(name).parent().unwrap()).unwrap();
        fs::write(directory.join(name), text).unwrap();
    }
}

/// Changes every entry of a file, checks that the file is another one, and changes it back.
fn there_and_back<F: ConfigFile>(
    directory: &Path,
    store: &ConfigStore<Entries<F>>,
    change: impl Fn(&mut F::Entry),
    back: impl Fn(&mut F::Entry, &F::Entry),
) {
    let before = fs::read(directory.join(F::FILE)).unwrap();
    let originals: Vec<F::Entry> = store.load().unwrap().entries.all().unwrap().into_iter().cloned().collect();
    let edit = |with: &dyn Fn(&mut F::Entry, &F::Entry)| {
        store
            .edit::<_, SettingsError>(None, |entries| {
                for original in &originals {
                    let mut entry = entries.require(&F::header(original).1)?.clone();
                    with(&mut entry, original);
                    entries.update(entry)?;
                }
                Ok(())
            })
            .unwrap()
    };
    edit(&|entry, _| change(entry));
    assert_ne!(fs::read(directory.join(F::FILE)).unwrap(), before, "{}", F::FILE);
    edit(&|entry, original| back(entry, original));
    assert_eq!(
        String::from_utf8(fs::read(directory.join(F::FILE)).unwrap()).unwrap(),
        String::from_utf8(before).unwrap(),
        "{}",
        F::FILE
    );
}

#[test]
fn every_file_is_read_and_nothing_is_written_by_reading() {
    let (dir, settings) = empty();
    fill(dir.path());
    let before = content(dir.path());
    assert_eq!(settings.remotes().load().unwrap().entries.all().unwrap().len(), 2);
    assert_eq!(settings.sync_jobs().load().unwrap().entries.all().unwrap().len(), 2);
    assert_eq!(settings.datastores().load().unwrap().entries.all().unwrap().len(), 2);
    assert_eq!(settings.prune_jobs().load().unwrap().entries.all().unwrap()[0].keep.daily, Some(14));
    assert_eq!(settings.verify_jobs().load().unwrap().entries.all().unwrap()[0].outdated_after, Some(30));
    assert_eq!(settings.traffic_rules().load().unwrap().entries.all().unwrap()[0].network.len(), 2);
    assert_eq!(settings.encryption_keys().load().unwrap().entries.all().unwrap().len(), 1);
    assert_eq!(settings.users().load().unwrap().entries.ids().count(), 4);
    assert_eq!(settings.realms().load().unwrap().entries.ids().collect::<Vec<_>>(), ["pam", "pbs", "corp"]);
    assert_eq!(settings.acl().load().unwrap().entries.entries().count(), 8);
    let targets = settings.notifications().load().unwrap().entries;
    assert_eq!(targets.ids().collect::<Vec<_>>(), ["phone", "errors-only", "mail-to-root", "default-matcher"]);
    assert_eq!(settings.notification_secrets().load().unwrap().entries.ids().collect::<Vec<_>>(), ["phone"]);
    assert!(settings.second_factors().load().unwrap().entries.has_any(&"sync@pbs".parse().unwrap()));
    settings.node().load().unwrap();
    settings.token_hashes().load().unwrap();
    settings.passwords().load().unwrap();
    assert_eq!(content(dir.path()), before);
}

#[test]
fn a_change_that_is_taken_back_leaves_the_directory_as_it_was() {
    let (dir, settings) = empty();
    fill(dir.path());
    let before = content(dir.path());
    let path = dir.path();
    let note = || Some("changed here".to_owned());
    there_and_back(path, &settings.remotes(), |e| e.comment = note(), |e, o| e.comment = o.comment.clone());
    there_and_back(path, &settings.sync_jobs(), |e| e.comment = note(), |e, o| e.comment = o.comment.clone());
    there_and_back(path, &settings.datastores(), |e| e.comment = note(), |e, o| e.comment = o.comment.clone());
    there_and_back(path, &settings.prune_jobs(), |e| e.comment = note(), |e, o| e.comment = o.comment.clone());
    there_and_back(path, &settings.verify_jobs(), |e| e.comment = note(), |e, o| e.comment = o.comment.clone());
    there_and_back(path, &settings.traffic_rules(), |e| e.comment = note(), |e, o| e.comment = o.comment.clone());
    there_and_back(path, &settings.realms(), |e| e.comment = note(), |e, o| e.comment = o.comment.clone());
    there_and_back(path, &settings.encryption_keys(), |e| e.hint = note(), |e, o| e.hint = o.hint.clone());
    settings
        .edit_notifications::<_, SettingsError>(None, |targets, secrets| {
            let mut phone = secrets.require("phone")?.section.clone();
            phone.set("token", Some("another".to_owned()));
            secrets.update(TargetSecrets { section: phone })?;
            targets.remove("errors-only");
            Ok(())
        })
        .unwrap();
    let after = content(path);
    assert!(String::from_utf8_lossy(&after["notifications-priv.cfg"]).contains("token another"));
    let untouched = |files: &BTreeMap<String, Vec<u8>>| {
        let mut files = files.clone();
        files.retain(|name, _| !name.starts_with("notifications"));
        files
    };
    assert_eq!(untouched(&after), untouched(&before), "and all files that are none of ours");
}

/// What the reference product does too: it writes out what is always there.
#[test]
fn a_saved_notifications_file_gains_the_two_built_in_sections() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, settings) = empty();
    fill(dir.path());
    settings.edit_notifications::<_, SettingsError>(None, |_, _| Ok(())).unwrap();
    let text = |name: &str| String::from_utf8(fs::read(dir.path().join(name)).unwrap()).unwrap();
    let original = String::from_utf8(sample("notifications.cfg")).unwrap();
    let gained = text("notifications.cfg").strip_prefix(&original).unwrap().to_owned();
    let headers: Vec<&str> = gained.lines().filter(|line| line.contains(": ")).collect();
    assert_eq!(headers, ["sendmail: mail-to-root", "matcher: default-matcher"], "{gained}");
    assert_eq!(text("notifications-priv.cfg").into_bytes(), sample("notifications-priv.cfg"));

    settings
        .edit_notifications::<_, SettingsError>(None, |_, secrets| {
            secrets.remove("phone");
            Ok(())
        })
        .unwrap();
    let mode = fs::metadata(dir.path().join("notifications-priv.cfg")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "a file with secrets is for root only");
}
