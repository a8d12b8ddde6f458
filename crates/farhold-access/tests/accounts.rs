//! Users, API tokens and access control entries as they are created, changed and shown.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use farhold_access::{
    Access, AccountEdit, AccountError, AclAction, AclChange, AclChangeError, Credentials, Keys, Proof, TokenSecret,
};
use farhold_settings::{ConfigDir, Settings, SettingsError, TokenConfig, UserConfig, Validity};
use farhold_types::{Authid, Clock, Epoch, Randomness, Role, Secret};

struct Still;

impl Clock for Still {
    fn now(&self) -> Epoch {
        Epoch(0x6B03_64CC)
    }
}

#[derive(Default)]
struct Counting(AtomicU8);

impl Randomness for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.iter_mut().for_each(|b| *b = self.0.fetch_add(1, Ordering::Relaxed));
    }
}

fn server() -> (tempfile::TempDir, Access) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("user.cfg"), "user: sync@pbs\n\ntoken: sync@pbs!t1\n\nuser: other@pbs\n").unwrap();
    let settings = Settings::new(ConfigDir::new(dir.path(), Arc::new(Counting::default())));
    let keys = Keys::load_or_create(settings.dir()).unwrap();
    let access = Access::new(settings, Arc::new(Still), keys, None);
    (dir, access)
}

fn authid(text: &str) -> Authid {
    text.parse().unwrap()
}

fn user_text(dir: &tempfile::TempDir) -> String {
    std::fs::read_to_string(dir.path().join("user.cfg")).unwrap()
}

fn change(path: &str, role: Role, whom: &str, action: AclAction) -> AclChange {
    AclChange { path: path.parse().unwrap(), role, authid: Some(authid(whom)), group: None, action }
}

const SET: AclAction = AclAction::Set { is_propagated: true };

#[test]
fn a_new_user_can_log_in_and_one_that_cannot_be_created_leaves_nothing_behind() {
    let (dir, access) = server();
    let password = Secret::new("new-secret-1");
    let root = Authid::root();
    let before = user_text(&dir);
    let new = |id: &str| UserConfig::new(id.parse().unwrap());
    let refused = access.create_user(&authid("sync@pbs"), new("p1@pam"), Some(&password));
    assert!(matches!(refused, Err(AccountError::SystemPassword)));
    assert!(matches!(access.create_user(&root, new("p1@pam"), Some(&password)), Err(AccountError::Password(_))));
    assert!(matches!(access.create_user(&root, new("x@corp"), None), Err(AccountError::UnknownRealm { .. })));
    assert!(access.create_user(&root, new("n@pbs"), Some(&Secret::new("short"))).is_err());
    let twice = access.create_user(&root, new("sync@pbs"), Some(&password));
    assert!(matches!(twice, Err(AccountError::Settings(SettingsError::Exists { .. }))));
    assert_eq!(user_text(&dir), before);
    assert!(!dir.path().join("shadow.json").exists(), "an existing user must keep its password");

    let mut user = new("n@pbs");
    user.comment = Some(" padded ".to_owned());
    user.validity = Validity { enable: Some(true), expire: Some(0) };
    access.create_user(&root, user, Some(&password)).unwrap();
    assert!(
        user_text(&dir).contains("user: n@pbs\n\tcomment padded\n\tenable true\n\texpire 0\n"),
        "{}",
        user_text(&dir)
    );
    let userid = "n@pbs".parse().unwrap();
    assert!(access.login(&userid, &password, Proof::PasswordOrTicket, None).is_ok());
    // A ticket only: the password is none, however right it is.
    assert!(access.login(&userid, &password, Proof::TicketOnly, None).is_err());

    // The section was removed by hand; a new user of this name does not get the old password.
    std::fs::write(dir.path().join("user.cfg"), "").unwrap();
    access.create_user(&root, new("n@pbs"), None).unwrap();
    assert!(access.login(&userid, &password, Proof::PasswordOrTicket, None).is_err());
}

#[test]
fn a_change_deletes_first_then_sets_and_stores_only_what_differs_from_the_default() {
    let (dir, access) = server();
    let userid = "sync@pbs".parse().unwrap();
    let edit = AccountEdit {
        comment: Some(" c ".to_owned()),
        firstname: Some("Uma".to_owned()),
        enable: Some(false),
        expire: Some(4_000_000_000),
        ..AccountEdit::default()
    };
    access.update_user(&userid, edit, None).unwrap();
    let set = "user: sync@pbs\n\tcomment c\n\tenable false\n\texpire 4000000000\n\tfirstname Uma\n";
    assert!(user_text(&dir).contains(set), "{}", user_text(&dir));
    let edit = AccountEdit {
        delete: vec!["firstname".to_owned(), "lastname".to_owned()],
        comment: Some("  ".to_owned()),
        lastname: Some("Two".to_owned()),
        enable: Some(true),
        expire: Some(0),
        ..AccountEdit::default()
    };
    access.update_user(&userid, edit, None).unwrap();
    assert!(user_text(&dir).contains("user: sync@pbs\n\tlastname Two\n\n"), "{}", user_text(&dir));
    let missing = access.update_user(&"gone@pbs".parse().unwrap(), AccountEdit::default(), None);
    assert!(matches!(missing, Err(SettingsError::NotFound { .. })));
    let stale = farhold_settings::digest_of(Some(b"other"));
    let changed = access.update_user(&"gone@pbs".parse().unwrap(), AccountEdit::default(), Some(stale));
    assert!(matches!(changed, Err(SettingsError::Changed { .. })), "a stale digest is reported first");
}

#[test]
fn a_token_needs_its_user_and_a_new_secret_voids_the_old_one() {
    let (_dir, access) = server();
    let token = |id: &str| TokenConfig { tokenid: authid(id), comment: None, validity: Validity::default() };
    assert!(matches!(access.create_token(token("gone@pbs!t"), None), Err(AccountError::UnknownUser { .. })));
    assert!(matches!(access.create_token(token("sync@pbs!t1"), None), Err(AccountError::Settings(_))));
    let first = access.create_token(token("sync@pbs!new"), None).unwrap();
    let tokenid = authid("sync@pbs!new");
    assert!(access.verify_token(&tokenid, &first).is_ok());
    let kept = access.update_token(&tokenid, AccountEdit::default(), TokenSecret::Keep, None).unwrap();
    assert_eq!(kept, None);
    assert!(access.verify_token(&tokenid, &first).is_ok());
    let second = access.update_token(&tokenid, AccountEdit::default(), TokenSecret::Replace, None).unwrap().unwrap();
    assert!(access.verify_token(&tokenid, &first).is_err());
    assert!(access.verify_token(&tokenid, &second).is_ok());
    assert!(access.update_token(&authid("sync@pbs!no"), AccountEdit::default(), TokenSecret::Replace, None).is_err());
}

#[test]
fn users_without_permission_change_entries_of_their_own_tokens_only() {
    let (_dir, access) = server();
    let set = |caller: &str, whom: &str| {
        access.change_acl(&authid(caller), change("/datastore/a", Role::DatastoreAudit, whom, SET), None)
    };
    assert!(set("sync@pbs", "sync@pbs!t1").is_ok());
    assert!(matches!(set("sync@pbs", "sync@pbs"), Err(AclChangeError::NotOwnToken)));
    assert!(matches!(set("other@pbs", "sync@pbs!t1"), Err(AclChangeError::NotOwnToken)));
    assert!(matches!(set("sync@pbs!t1", "sync@pbs!t1"), Err(AclChangeError::UnprivilegedToken)));
    assert!(matches!(set("root@pam", "gone@pbs"), Err(AclChangeError::UnknownSubject { .. })));
    assert!(matches!(set("root@pam", "sync@pbs!no"), Err(AclChangeError::UnknownSubject { .. })));
    let root = Authid::root();
    let nowhere = access.change_acl(&root, change("/nosuch", Role::Audit, "sync@pbs", SET), None);
    assert!(matches!(nowhere, Err(AclChangeError::Path { .. })));
    let stale = change("/nosuch", Role::Audit, "gone@pbs", AclAction::Remove);
    assert!(access.change_acl(&root, stale, None).is_ok(), "stale entries can be removed");
    let nobody = AclChange { authid: None, ..change("/", Role::Audit, "sync@pbs", SET) };
    assert!(matches!(access.change_acl(&root, nobody, None), Err(AclChangeError::NoSubject)));
    let group = AclChange { group: Some("staff".to_owned()), ..change("/", Role::Audit, "sync@pbs", SET) };
    assert!(matches!(access.change_acl(&root, group, None), Err(AclChangeError::Groups)));
    let count = |caller: &str| access.visible_acl(&authid(caller), None).unwrap().0.len();
    assert_eq!((count("root@pam"), count("sync@pbs"), count("other@pbs"), count("sync@pbs!t1")), (1, 1, 0, 0));
}

#[test]
fn permissions_are_listed_for_every_node_of_the_tree_where_something_is_held() {
    let (_dir, access) = server();
    let root = Authid::root();
    for (path, whom) in [("/datastore/a/b", "sync@pbs!t1"), ("/datastore/a", "sync@pbs")] {
        let set = AclAction::Set { is_propagated: path == "/datastore/a" };
        access.change_acl(&root, change(path, Role::DatastoreAudit, whom, set), None).unwrap();
    }
    let paths = |whom: &str| access.permissions(&authid(whom), None).unwrap().into_keys().collect::<Vec<_>>();
    assert_eq!(paths("sync@pbs"), ["/datastore/a", "/datastore/a/b"]);
    assert_eq!(paths("sync@pbs!t1"), ["/datastore/a/b"]);
    assert!(paths("gone@pbs").is_empty() && paths("other@pbs").is_empty());
    let all = ["/", "/access", "/datastore", "/datastore/a", "/datastore/a/b", "/remote", "/system"];
    assert_eq!(paths("root@pam"), all);
    let elsewhere = access.permissions(&authid("sync@pbs"), Some(&"/datastore/a/c".parse().unwrap())).unwrap();
    assert_eq!(elsewhere.len(), 1);
    let may = |caller: &str, whom: &str| access.may_see_permissions(&authid(caller), &authid(whom)).unwrap();
    assert!(may("sync@pbs", "sync@pbs") && may("sync@pbs", "sync@pbs!t1") && may("root@pam", "sync@pbs"));
    assert!(!may("sync@pbs!t1", "sync@pbs") && !may("sync@pbs", "other@pbs"));
}

#[test]
fn checks_say_what_is_held_and_why_also_about_those_who_are_gone() {
    let (dir, access) = server();
    let text = "acl:1:/datastore:sync@pbs:DatastoreAudit\nacl:1:/datastore/a:sync@pbs!t1,gone@pbs:DatastoreAdmin\n";
    std::fs::write(dir.path().join("acl.cfg"), text).unwrap();
    let at = "/datastore/a/ns".parse().unwrap();
    let rows = access.check(None, Some(&at)).unwrap();
    let audit = farhold_types::Privileges::DATASTORE_AUDIT;
    let told: Vec<(String, bool, String)> = rows
        .iter()
        .map(|check| {
            let (is_allowed, reason) = check.decide(audit);
            assert_eq!(check.held().all.contains_all(audit), is_allowed);
            (check.explanation.authid.to_string(), is_allowed, reason)
        })
        .collect();
    let row = |who: &str, is_allowed: bool, reason: &str| (who.to_owned(), is_allowed, reason.to_owned());
    let expected = [
        row(
            "gone@pbs",
            false,
            "does not exist, is disabled or has expired; otherwise granted by acl:1:/datastore/a:gone@pbs:DatastoreAdmin",
        ),
        row("root@pam", true, "root@pam may do everything"),
        row("sync@pbs", true, "granted by acl:1:/datastore:sync@pbs:DatastoreAudit"),
        row(
            "sync@pbs!t1",
            true,
            "granted by acl:1:/datastore/a:sync@pbs!t1:DatastoreAdmin and acl:1:/datastore:sync@pbs:DatastoreAudit",
        ),
    ];
    assert_eq!(told, expected, "other@pbs has no entry on the way");
    let alone = access.check(Some(&authid("other@pbs")), Some(&at)).unwrap();
    assert_eq!(alone[0].decide(audit), (false, "no entry reaches this path".to_owned()));
    let everywhere = access.check(Some(&authid("sync@pbs")), None).unwrap();
    let held = everywhere.iter().filter(|check| !check.held().all.is_empty());
    let places: Vec<String> = held.map(|check| check.explanation.path.to_string()).collect();
    assert_eq!(places, ["/datastore", "/datastore/a"]);
    let many: String = (0..2000).map(|n| format!("acl:1:/datastore/a/n{n}:u{n}@pbs:Audit\n")).collect();
    std::fs::write(dir.path().join("acl.cfg"), many).unwrap();
    assert!(matches!(access.check(None, None), Err(farhold_access::CheckError::TooMany)));
}

#[tokio::test]
async fn hash_slots_are_bounded_and_so_are_those_who_wait_for_one() {
    let (_dir, access) = server();
    let asker = |n: u8, who: &str| access.asker(Some([192, 0, 2, n].into()), &authid(who));
    let slot = |n: u8, who: &str| Box::pin(access.hash_slot(asker(n, who)));
    let held = (slot(1, "sync@pbs").await.unwrap(), slot(1, "sync@pbs").await.unwrap());
    let mut waiting: Vec<_> = (0..100).map(|_| slot(1, "sync@pbs")).collect();
    let mut refused = 0;
    for wait in &mut waiting {
        refused += usize::from(matches!(futures::poll!(wait), std::task::Poll::Ready(None)));
    }
    assert_eq!(refused, 70, "one address has 32 places");
    let mut other = slot(2, "other@pbs");
    assert!(futures::poll!(&mut other).is_pending(), "others wait behind them");
    // System accounts do not wait for hashes.
    let system = slot(3, "root@pam").await.unwrap();
    drop((system, held));
    assert!(waiting.remove(0).await.is_some());
    drop(waiting);
    assert!(other.await.is_some());
}

#[tokio::test(start_paused = true)]
async fn who_guesses_is_slowed_down_until_the_refusals_are_answered() {
    let (_dir, access) = server();
    let guess = async |n: u8| {
        let slot = access.hash_slot(access.asker(Some([192, 0, 2, n].into()), &authid("sync@pbs"))).await;
        slot.map(farhold_access::HashSlot::refused).is_some()
    };
    for _ in 0..8 {
        assert!(guess(1).await);
    }
    assert!(!guess(1).await, "eight wrong ones");
    assert!(guess(2).await, "somebody else");
    tokio::time::advance(std::time::Duration::from_secs(3)).await;
    assert!(guess(1).await);
}

#[tokio::test]
async fn the_same_credentials_are_checked_by_one_request_at_a_time() {
    let (_dir, access) = server();
    let token = |secret: &str| Credentials::Token { tokenid: "a@pbs!t".to_owned(), secret: Secret::new(secret) };
    let (same, other) = (token("one"), token("two"));
    let first = access.turn(&same).await;
    let mut second = Box::pin(access.turn(&same));
    assert!(futures::poll!(&mut second).is_pending());
    // Others do not wait for them.
    drop(access.turn(&other).await);
    drop(first);
    drop(second.await);
    drop(access.turn(&same).await);
}
