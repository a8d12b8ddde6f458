//! Encryption keys: entry and file change together, and no key is lost on the way.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test that cannot continue should stop")]

#[allow(dead_code, reason = "shared by tests that need different parts")]
mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use farhold_format::key_file::{KeyFile, KeyFileError};
use farhold_settings::{Archiving, KeyFileState, KeyStoreError, KeyUse, Settings, SettingsError};
use farhold_types::{Epoch, KeyId, SyncJob};

const KEY: &str = r#"{"kdf":null,"created":"2026-11-22T20:18:00+00:00","modified":"2026-11-22T20:18:00+00:00","data":"zm+UqI+vQryxcI/CIxEPpt6eQOFzkQYMnQiIOjXg5AA=","fingerprint":"4b:7a:23:96:66:9c:0e:fd:2e:c1:47:13:8a:23:cf:0c:90:61:aa:43:c4:90:3d:cf:16:4a:f9:06:6d:7d:6a:9e"}"#;
const OTHER: &str = r#"{"kdf":null,"created":"2020-06-26T15:56:05+02:00","modified":"2020-06-26T15:56:05+02:00","data":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=","fingerprint":"0e:ab:d4:46:0b:6e:b9:ca:34:50:23:de:e2:b7:78:c7:90:e5:4a:16:83:b9:65:9c:0a:57:ae:19:90:90:15:9b"}"#;
const NOW: Epoch = Epoch(1_795_311_000);

fn id(text: &str) -> KeyId {
    text.parse().unwrap()
}

fn key(text: &str) -> KeyFile {
    KeyFile::parse(text.as_bytes()).unwrap()
}

struct Scene {
    settings: Settings,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let (folder, settings) = common::empty();
        Self { settings, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("encryption-keys").join(name)
    }

    fn config(&self) -> String {
        fs::read_to_string(self.folder.path().join("encryption-keys.cfg")).unwrap_or_default()
    }

    fn add_job(&self, name: &str, change: impl FnOnce(&mut SyncJob)) {
        let mut job = SyncJob::new(name.parse().unwrap(), "local".parse().unwrap(), "tank".parse().unwrap());
        change(&mut job);
        self.settings.sync_jobs().edit::<_, SettingsError>(None, |jobs| jobs.insert(job)).unwrap();
    }

    fn archive(&self, name: &str, change: Archiving) -> Result<(), KeyStoreError> {
        self.settings.archive_key(&id(name), change, NOW, None).map(drop)
    }

    fn is_archived(&self, name: &str) -> bool {
        self.settings.encryption_keys().load().unwrap().entries.require(name).unwrap().is_archived()
    }
}

#[test]
fn a_key_is_written_in_the_documented_form_with_the_documented_modes() {
    let scene = Scene::new();
    scene.settings.add_key(&id("siteb-2026"), &key(KEY)).unwrap();
    let path = scene.file("siteb-2026.enc");
    assert_eq!(fs::read_to_string(&path).unwrap(), KEY);
    assert_eq!(
        scene.config(),
        format!(
            "sync-key: siteb-2026\n\tcreated 1795378680\n\tfingerprint {}\n\tkdf none\n\tmodified 1795378680\n\tpath {}\n",
            key(KEY).fingerprint.unwrap(),
            path.display()
        )
    );
    let mode = |path: &PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&path), mode(&scene.file(""))), (0o640, 0o750));
    assert_eq!(fs::read(scene.file("siteb-2026.enc.lck")).unwrap(), b"");
    let names: Vec<_> = fs::read_dir(scene.file("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(scene.settings.load_key(&id("siteb-2026"), KeyUse::Encrypt).unwrap(), key(KEY));
}

#[test]
fn a_taken_id_is_refused_and_the_same_key_may_have_two() {
    let scene = Scene::new();
    scene.settings.add_key(&id("key1"), &key(KEY)).unwrap();
    scene.settings.add_key(&id("key2"), &key(KEY)).unwrap();
    let again = scene.settings.add_key(&id("key1"), &key(OTHER)).unwrap_err();
    assert!(matches!(again, KeyStoreError::Settings(SettingsError::Exists { .. })), "{again}");
    assert_eq!(fs::read_to_string(scene.file("key1.enc")).unwrap(), KEY);
}

#[test]
fn keys_that_a_server_cannot_use_are_refused() {
    let scene = Scene::new();
    let protected = KEY.replace(
        r#""kdf":null"#,
        r#""kdf":{"PBKDF2":{"iter":65535,"salt":"QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8="}}"#,
    );
    let protected = protected.replace(
        "zm+UqI+vQryxcI/CIxEPpt6eQOFzkQYMnQiIOjXg5AA=",
        "ICEiIyQlJicoKSorLC0uLwa++jcRHwhpQG0zW3BD2wLlMMQjLKkm9SGddT7Z5fe2EICZF20WKP1exf4MhyaNzg==",
    );
    let error = scene.settings.add_key(&id("key1"), &key(&protected)).unwrap_err();
    assert!(matches!(error, KeyStoreError::Protected), "{error}");
    let error = scene.settings.add_key(&id("key1"), &key(&KEY.replace("4b:7a", "4b:7b"))).unwrap_err();
    assert!(matches!(error, KeyStoreError::File { source: KeyFileError::Fingerprint { .. }, .. }), "{error}");
    assert!(!scene.file("").exists(), "nothing is written before everything is checked");
}

#[test]
fn a_key_file_that_a_crash_left_is_kept_and_completed_by_the_same_key_only() {
    let scene = Scene::new();
    fs::create_dir(scene.file("")).unwrap();
    fs::write(scene.file("key1.enc"), KEY).unwrap();
    let error = scene.settings.add_key(&id("key1"), &key(OTHER)).unwrap_err();
    assert!(matches!(error, KeyStoreError::Leftover { .. }), "{error}");
    assert!(error.to_string().contains(scene.file("key1.enc").to_str().unwrap()), "{error}");
    let error = scene.settings.remove_key(&id("key1"), None).unwrap_err();
    assert!(matches!(error, KeyStoreError::Leftover { .. }), "{error}");
    assert_eq!(fs::read_to_string(scene.file("key1.enc")).unwrap(), KEY);
    scene.settings.add_key(&id("key1"), &key(KEY)).unwrap();
    assert_eq!(scene.settings.load_key(&id("key1"), KeyUse::Decrypt).unwrap(), key(KEY));
    // An empty file holds no key: a crash before the content was there.
    fs::write(scene.file("key2.enc"), "").unwrap();
    scene.settings.add_key(&id("key2"), &key(OTHER)).unwrap();
}

#[test]
fn an_entry_that_cannot_be_written_leaves_no_new_file_and_keeps_an_old_one() {
    let scene = Scene::new();
    let mut odd = key(KEY);
    odd.hint = Some("two\nlines".to_owned());
    assert!(scene.settings.add_key(&id("key1"), &odd).is_err());
    assert!(!scene.file("key1.enc").exists());
    fs::write(scene.file("key1.enc"), KEY).unwrap();
    assert!(scene.settings.add_key(&id("key1"), &odd).is_err());
    assert!(scene.file("key1.enc").exists());
    assert_eq!(scene.config(), "");
}

#[test]
fn a_key_is_loaded_only_if_entry_and_file_agree() {
    let scene = Scene::new();
    scene.settings.add_key(&id("key1"), &key(KEY)).unwrap();
    let load = || scene.settings.load_key(&id("key1"), KeyUse::Decrypt);
    type Expected = fn(&KeyStoreError) -> bool;
    let without = KEY.replace(&format!(",\"fingerprint\":\"{}\"", key(KEY).fingerprint.unwrap()), "");
    let (short, mixed) = (KEY.replace("zm+U", ""), KEY.replace("zm+U", "AAAA"));
    let cases: [(&str, &str, Expected); 5] = [
        ("another key", OTHER, |error| matches!(error, KeyStoreError::FingerprintDiffers { .. })),
        ("no fingerprint", &without, |error| matches!(error, KeyStoreError::FingerprintDiffers { file: None, .. })),
        ("short data", &short, |error| matches!(error, KeyStoreError::File { .. })),
        ("other data", &mixed, |error| matches!(error, KeyStoreError::File { .. })),
        ("empty", "", |error| matches!(error, KeyStoreError::File { .. })),
    ];
    scene.archive("key1", Archiving::Archive).unwrap();
    for (what, content, expected) in cases {
        fs::write(scene.file("key1.enc"), content).unwrap();
        let error = load().unwrap_err();
        assert!(expected(&error), "{what}: {error}");
        let error = scene.settings.remove_key(&id("key1"), None).unwrap_err();
        assert!(expected(&error), "{what}, removal: {error}");
        assert!(!format!("{error:?} {error}").contains("UqI+vQ"), "{what}");
    }
    fs::remove_file(scene.file("key1.enc")).unwrap();
    assert!(matches!(load().unwrap_err(), KeyStoreError::FileMissing { .. }));
    let loaded = scene.settings.encryption_keys().load().unwrap();
    let state = scene.settings.key_file_state(loaded.entries.require("key1").unwrap());
    assert!(matches!(state, KeyFileState::Broken(KeyStoreError::FileMissing { .. })));
    scene.settings.remove_key(&id("key1"), None).unwrap();
    assert!(matches!(load().unwrap_err(), KeyStoreError::Settings(SettingsError::NotFound { .. })));
}

#[test]
fn a_configuration_that_was_copied_to_another_folder_finds_its_keys() {
    let scene = Scene::new();
    scene.settings.add_key(&id("key1"), &key(KEY)).unwrap();
    let config = scene.folder.path().join("encryption-keys.cfg");
    let moved = scene.config().replace(scene.folder.path().to_str().unwrap(), "/nonexistent/proxmox-backup");
    fs::write(config, moved).unwrap();
    assert_eq!(scene.settings.load_key(&id("key1"), KeyUse::Decrypt).unwrap(), key(KEY));
}

#[test]
fn a_key_without_fingerprint_is_usable() {
    let scene = Scene::new();
    let old = KEY.replace(&format!(",\"fingerprint\":\"{}\"", key(KEY).fingerprint.unwrap()), "");
    scene.settings.add_key(&id("key1"), &key(&old)).unwrap();
    assert!(!scene.config().contains("fingerprint"));
    assert_eq!(scene.settings.load_key(&id("key1"), KeyUse::Encrypt).unwrap().fingerprint, None);
}

#[test]
fn archived_keys_decrypt_and_do_not_encrypt() {
    let scene = Scene::new();
    scene.settings.add_key(&id("key1"), &key(KEY)).unwrap();
    scene.archive("key1", Archiving::Toggle).unwrap();
    assert!(scene.config().contains("\tarchived-at 1795311000\n"));
    assert!(scene.settings.load_key(&id("key1"), KeyUse::Decrypt).is_ok());
    let error = scene.settings.load_key(&id("key1"), KeyUse::Encrypt).unwrap_err();
    assert!(matches!(error, KeyStoreError::Archived { .. }), "{error}");
    scene.archive("key1", Archiving::Archive).unwrap();
    assert!(scene.is_archived("key1"));
    scene.archive("key1", Archiving::Toggle).unwrap();
    assert!(!scene.is_archived("key1"));
    scene.archive("key1", Archiving::Restore).unwrap();
    assert!(!scene.is_archived("key1"));
    assert!(scene.archive("nosuch", Archiving::Toggle).is_err());
}

#[test]
fn keys_in_use_cannot_be_archived_or_removed() {
    let scene = Scene::new();
    for name in ["active", "associated", "free"] {
        scene.settings.add_key(&id(name), &key(KEY)).unwrap();
    }
    scene.add_job("push1", |job| job.active_encryption_key = Some(id("active")));
    scene.add_job("pull1", |job| job.associated_key = vec![id("free2"), id("associated")]);
    scene.add_job("pull2", |job| job.associated_key = vec![id("associated")]);
    let error = scene.archive("active", Archiving::Toggle).unwrap_err();
    assert_eq!(error.to_string(), "'active' is still used by sync job push1");
    scene.archive("associated", Archiving::Toggle).unwrap();
    let remove = |name: &str| scene.settings.remove_key(&id(name), None).unwrap_err();
    assert_eq!(remove("active").to_string(), "'active' is still used by sync job push1", "use is checked first");
    assert_eq!(remove("associated").to_string(), "'associated' is still used by sync jobs pull1, pull2");
    assert!(matches!(remove("free"), KeyStoreError::NotArchived { .. }));
    scene.settings.sync_jobs().edit::<_, SettingsError>(None, |jobs| Ok(jobs.remove("pull1"))).unwrap();
    scene.settings.sync_jobs().edit::<_, SettingsError>(None, |jobs| Ok(jobs.remove("pull2"))).unwrap();
    let digest = scene.settings.encryption_keys().digest().unwrap();
    let stale = farhold_types::Digest([0; 32]);
    assert!(scene.settings.remove_key(&id("associated"), Some(stale)).is_err());
    scene.settings.remove_key(&id("associated"), Some(digest)).unwrap();
    assert!(!scene.file("associated.enc").exists() && scene.file("associated.enc.lck").exists());
    scene.settings.remove_key(&id("associated"), None).unwrap();
    scene.settings.add_key(&id("associated"), &key(OTHER)).unwrap();
}

#[test]
fn a_key_is_not_archived_while_a_job_is_being_edited() {
    let scene = Scene::new();
    scene.settings.add_key(&id("key1"), &key(KEY)).unwrap();
    let editing = scene.settings.sync_jobs().lock().unwrap();
    for result in [
        scene.settings.archive_key(&id("key1"), Archiving::Archive, NOW, None),
        scene.settings.remove_key(&id("key1"), None),
    ] {
        assert!(matches!(result.unwrap_err(), KeyStoreError::Settings(SettingsError::Busy { .. })));
    }
    drop(editing);
    assert!(!scene.is_archived("key1"));
}
