//! Canonical files survive a round trip byte for byte, and edits touch only what was edited.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{empty, sample};
use farhold_settings::{
    Acl, Datastores, Document, EncryptionKeys, Entries, MaintenanceType, NodeConfig, NotificationSecrets,
    PasswordHashes, PruneJobs, Realms, Remotes, SettingsError, StoredSecret, SyncJobs, TokenHashes, TrafficRules,
    UserEntry, Users, VerifyJobs, digest_of,
};
use farhold_types::{Secret, SyncDirection, SyncLevel};

fn round_trip<D: Document>() {
    let bytes = sample(D::FILE);
    let content = D::parse(Some(&bytes)).unwrap_or_else(|e| panic!("{}: {e}", D::FILE));
    assert_eq!(
        String::from_utf8(content.to_bytes().unwrap()).unwrap(),
        String::from_utf8(bytes).unwrap(),
        "{}",
        D::FILE
    );
}

/// Rewrites every section from its record too, which must not change a canonical file.
fn retyped<F: farhold_settings::ConfigFile>() {
    round_trip::<Entries<F>>();
    let bytes = sample(F::FILE);
    let read = Entries::<F>::parse(Some(&bytes)).unwrap();
    let mut written = Entries::<F>::parse(None).unwrap();
    written.ids().map(str::to_owned).collect::<Vec<_>>().iter().for_each(|id| {
        written.remove(id);
    });
    read.all().unwrap().into_iter().for_each(|entry| written.insert(entry.clone()).unwrap());
    assert_eq!(
        String::from_utf8(written.to_bytes().unwrap()).unwrap(),
        String::from_utf8(bytes).unwrap(),
        "{}",
        F::FILE
    );
}

#[test]
fn canonical_files_come_back_byte_for_byte() {
    retyped::<Remotes>();
    retyped::<SyncJobs>();
    retyped::<Datastores>();
    retyped::<Users>();
    retyped::<PruneJobs>();
    retyped::<VerifyJobs>();
    retyped::<TrafficRules>();
    retyped::<EncryptionKeys>();
    round_trip::<Entries<NotificationSecrets>>();
    round_trip::<Entries<Realms>>();
    round_trip::<Acl>();
    round_trip::<NodeConfig>();
    round_trip::<TokenHashes>();
    round_trip::<PasswordHashes>();
}

#[test]
fn a_missing_directory_content_reads_as_nothing_but_what_is_always_there() {
    let (_dir, settings) = empty();
    let remotes = settings.remotes().load().unwrap();
    assert_eq!(remotes.entries.ids().count(), 0);
    assert_eq!(remotes.digest, digest_of(None));
    assert_eq!(remotes.digest.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(settings.users().load().unwrap().entries.ids().collect::<Vec<_>>(), ["root@pam"]);
    assert_eq!(settings.realms().load().unwrap().entries.ids().collect::<Vec<_>>(), ["pam", "pbs"]);
    assert_eq!(std::fs::read_dir(settings.dir().path()).unwrap().count(), 0, "loading creates nothing");
}

#[test]
fn records_hold_what_the_files_say() {
    let remotes = Entries::<Remotes>::parse(Some(&sample("remote.cfg"))).unwrap();
    let remote = remotes.require("offsite-a").unwrap();
    assert_eq!((remote.effective_port(), remote.secret().unwrap()), (8008, Secret::new("demo-remote-pw-01")));
    assert!(remote.pinned_fingerprint().is_some());
    assert!(!format!("{remotes:?} {remote:?}").contains("ZGVtby1"), "no secret in debug output");

    let jobs = Entries::<SyncJobs>::parse(Some(&sample("sync.cfg"))).unwrap();
    let job = jobs.require("pull-nightly").unwrap();
    assert_eq!((job.limits.rate_in.unwrap().bytes(), job.worker_threads), (20 << 20, Some(4)));
    assert_eq!(jobs.require("push-crypt").unwrap().direction(), SyncDirection::Push);

    let stores = Entries::<Datastores>::parse(Some(&sample("datastore.cfg"))).unwrap();
    let store = stores.require("local1").unwrap();
    assert_eq!(store.tuning_options().unwrap().sync_level, SyncLevel::File);
    assert_eq!(store.maintenance(), None);
    let removable = stores.require("usb-rot").unwrap();
    assert_eq!(removable.maintenance().unwrap().maintenance_type, MaintenanceType::Offline);
    assert_eq!(removable.maintenance().unwrap().message.as_deref(), Some("disk%20swap"));
    assert_eq!(removable.content_path(std::path::Path::new("/mnt/datastore")).to_str(), Some("/mnt/datastore/usb-rot"));
}

#[test]
fn an_edit_leaves_other_sections_and_unknown_keys_of_the_record_alone() {
    let (dir, settings) = empty();
    let text = "sync: first\n\tgroup-filter include:type:vm\n\trate-in 20MiB\n\tremote r01\n\tremote-store vault\n\tstore local1\n\n\
                sync: second\n\tgroup-filter include:type:vm\n\trate-in 20MiB\n\tremote r01\n\tremote-store vault\n\tstore local1\n";
    std::fs::write(dir.path().join("sync.cfg"), text).unwrap();
    let edited = settings
        .sync_jobs()
        .edit::<_, SettingsError>(None, |jobs| {
            let mut job = jobs.require("second")?.clone();
            job.comment = Some("now with comment".to_owned());
            jobs.update(job)
        })
        .unwrap();
    let written = std::fs::read(dir.path().join("sync.cfg")).unwrap();
    let expected = text.replacen(
        "sync: second\n\tgroup-filter include:type:vm\n\trate-in 20MiB",
        "sync: second\n\tcomment now with comment\n\tgroup-filter type:vm\n\trate-in 20 MiB",
        1,
    );
    assert_eq!(String::from_utf8(written.clone()).unwrap(), expected);
    assert_eq!(edited.digest, digest_of(Some(&written)));

    let text = "datastore: old\n\tcounter-reset-schedule daily\n\tkeep-last 3\n\tnotify gc=foo\n\tpath /old\n";
    std::fs::write(dir.path().join("datastore.cfg"), text).unwrap();
    settings
        .datastores()
        .edit::<_, SettingsError>(None, |stores| {
            let mut store = stores.require("old")?.clone();
            store.verify_new = Some(true);
            stores.update(store)
        })
        .unwrap();
    assert_eq!(
        std::fs::read_to_string(dir.path().join("datastore.cfg")).unwrap(),
        format!("{text}\tverify-new true\n")
    );
}

#[test]
fn a_stale_digest_a_held_lock_and_a_failing_change_write_nothing() {
    let (dir, settings) = empty();
    std::fs::write(dir.path().join("user.cfg"), sample("user.cfg")).unwrap();
    let unchanged = || assert_eq!(std::fs::read(dir.path().join("user.cfg")).unwrap(), sample("user.cfg"));

    let digest = settings.users().load().unwrap().digest;
    let stale = digest_of(Some(b"other"));
    let change = |users: &mut Entries<Users>| {
        users.remove("old@pbs");
        Ok::<_, SettingsError>(())
    };
    assert!(matches!(settings.users().edit(Some(stale), change), Err(SettingsError::Changed { .. })));
    unchanged();

    let lock = settings.users().lock().unwrap();
    assert!(matches!(settings.users().edit(None, change), Err(SettingsError::Busy { .. })));
    drop(lock);

    let failed = settings.users().edit::<(), _>(None, |users| {
        users.remove("old@pbs");
        Err(SettingsError::NotFound { file: String::new(), id: String::new() })
    });
    assert!(failed.is_err());
    unchanged();

    settings.users().edit(Some(digest), change).unwrap();
    assert!(!settings.users().load().unwrap().entries.contains("old@pbs"));
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "only the file and its lock: {left:?}");
}

#[test]
fn files_get_the_modes_that_the_reference_product_expects() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, settings) = empty();
    settings.users().edit::<_, SettingsError>(None, |_| Ok(())).unwrap();
    settings.passwords().edit::<_, SettingsError>(None, |_| Ok(())).unwrap();
    let mode = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("user.cfg"), mode("shadow.json")), (0o640, 0o600));
    assert_eq!(
        std::fs::read_to_string(dir.path().join("user.cfg")).unwrap(),
        "user: root@pam\n\tcomment Superuser\n",
        "the superuser is written out with the first save"
    );
}

#[test]
fn a_secret_that_is_too_long_once_encoded_is_refused_on_saving() {
    let (_dir, settings) = empty();
    let remote = Entries::<Remotes>::parse(Some(&sample("remote.cfg"))).unwrap().require("v6-peer").unwrap().clone();
    for (length, is_fine) in [(768, true), (769, false), (800, false)] {
        let mut remote = remote.clone();
        remote.password = StoredSecret::encode(&Secret::new("x".repeat(length)));
        let saved = settings.remotes().edit(None, |remotes| {
            remotes.remove("v6-peer");
            remotes.insert(remote)
        });
        assert_eq!(saved.is_ok(), is_fine, "{length}");
    }
}

#[test]
fn a_user_goes_with_its_tokens_and_secrets_and_a_used_remote_stays() {
    let (dir, settings) = empty();
    for name in ["user.cfg", "acl.cfg", "token.shadow", "shadow.json", "remote.cfg", "sync.cfg"] {
        std::fs::write(dir.path().join(name), sample(name)).unwrap();
    }
    let user = "sync@pbs".parse().unwrap();
    settings.remove_user(&user, None).unwrap();
    let users = settings.users().load().unwrap().entries;
    assert_eq!(users.ids().collect::<Vec<_>>(), ["root@pam", "old@pbs"]);
    assert_eq!(settings.token_hashes().load().unwrap().entries, TokenHashes::default());
    assert!(settings.passwords().load().unwrap().entries.get("sync").is_none());
    let acl = std::fs::read_to_string(dir.path().join("acl.cfg")).unwrap();
    assert!(acl.contains(":sync@pbs:") && !acl.contains("pull1"), "the user's own entries stay: {acl}");
    assert!(matches!(settings.remove_user(&user, None), Err(SettingsError::NotFound { .. })));
    assert!(!dir.path().join("tfa.json").exists());

    let remote = "offsite-a".parse().unwrap();
    let stale = Some(digest_of(Some(b"other")));
    assert!(matches!(settings.remove_remote(&remote, stale), Err(SettingsError::InUse { .. })));
    let unused = "v6-peer".parse().unwrap();
    assert!(matches!(settings.remove_remote(&unused, stale), Err(SettingsError::Changed { .. })));
    settings.remove_remote(&unused, None).unwrap();
    assert!(matches!(settings.remove_remote(&unused, None), Err(SettingsError::NotFound { .. })));

    settings.remove_datastore_acl(&"local1".parse().unwrap()).unwrap();
    assert!(!std::fs::read_to_string(dir.path().join("acl.cfg")).unwrap().contains("local1"));
}

#[test]
fn a_token_goes_with_its_secret_and_entries() {
    let (dir, settings) = empty();
    for name in ["user.cfg", "acl.cfg", "token.shadow"] {
        std::fs::write(dir.path().join(name), sample(name)).unwrap();
    }
    let token = "sync@pbs!pull1".parse().unwrap();
    settings.remove_token(&token, None).unwrap();
    assert!(settings.users().load().unwrap().entries.token(&token).is_none());
    assert_eq!(std::fs::read_to_string(dir.path().join("token.shadow")).unwrap(), "{}");
    assert!(!std::fs::read_to_string(dir.path().join("acl.cfg")).unwrap().contains("pull1"));
    assert!(matches!(settings.remove_token(&token, None), Err(SettingsError::NotFound { .. })));
    assert!(settings.remove_token(&"sync@pbs".parse().unwrap(), None).is_err(), "a user is no token");
}

#[test]
fn switching_and_expiry_follow_the_clock() {
    let users = Entries::<Users>::parse(Some(&sample("user.cfg"))).unwrap();
    let active = |id: &str, now| users.is_active(&id.parse().unwrap(), farhold_types::Epoch(now));
    assert!(active("sync@pbs!pull1", 1_893_455_999) && !active("sync@pbs!pull1", 1_893_456_000));
    assert!(active("sync@pbs", i64::MAX) && !active("old@pbs", 0) && !active("sync@pbs!none", 0));
    let Ok(Some(UserEntry::User(user))) = users.get("old@pbs") else { panic!("no user") };
    let mut validity = user.validity.clone();
    validity.update_enable(true);
    validity.update_expire(0);
    assert_eq!((validity.enable, validity.expire), (None, None));
}

/// Row 66 of the table of malformed inputs.
#[test]
fn a_directory_that_others_can_enter_is_refused_and_a_missing_one_is_made() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("config");
    let dir = farhold_settings::ConfigDir::new(&path, std::sync::Arc::new(common::Counting::default()));
    dir.prepare().unwrap();
    dir.prepare().unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(dir.prepare(), Err(SettingsError::Unsafe { .. })));
}

#[test]
fn jobs_that_use_a_datastore_are_found_on_both_sides() {
    let jobs = Entries::<SyncJobs>::parse(Some(
        b"sync: one\n\tstore aaa\n\tremote-store bbb\n\nsync: two\n\tstore bbb\n\tremote r01\n\tremote-store aaa\n",
    ))
    .unwrap();
    let using = |store: &str| {
        let store = store.parse().unwrap();
        farhold_settings::jobs_using_datastore(&jobs, &store).iter().map(|id| id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!((using("aaa"), using("bbb")), (vec!["one".to_owned()], vec!["one".to_owned(), "two".to_owned()]));
}
