//! Logins, tickets, tokens and passwords against a configuration directory.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};

use farhold_access::{
    Access, AuthFailure, AuthFailureReason as Reason, Credentials, KeyError, Keys, PasswordChangeError, Proof,
    SystemAccounts, TicketError, verify_password,
};
use farhold_rules::acl::AclPath;
use farhold_settings::{ConfigDir, Settings, SettingsError};
use farhold_types::{Authid, Clock, Epoch, Privileges, Randomness, Secret, Userid};

/// 2026-11-22, the time of the recorded tickets.
const NOW: i64 = 0x6B03_64CC;
const PASSWORD: &str = "correct horse 1";
const TOKEN_SECRET: &str = "3fbb2bd0-58a9-4a26-a2d9-7b0f6f6c1c11";

struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Epoch {
        Epoch(self.0.load(Ordering::Relaxed))
    }
}

#[derive(Default)]
struct Counting(AtomicU8);

impl Randomness for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.iter_mut().for_each(|b| *b = self.0.fetch_add(1, Ordering::Relaxed));
    }
}

/// One server with its directory and clock.
struct Server {
    dir: tempfile::TempDir,
    clock: Arc<TestClock>,
    access: Access,
}

impl Server {
    fn new() -> Self {
        Self::with("ed25519.key", "ed25519.pub", None)
    }

    fn with(private: &str, public: &str, accounts: Option<Arc<dyn SystemAccounts>>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (from, to) in [(private, "authkey.key"), (public, "authkey.pub")] {
            std::fs::copy(format!("{}/tests/keys/{from}", env!("CARGO_MANIFEST_DIR")), dir.path().join(to)).unwrap();
        }
        let files = [
            ("csrf.key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw"),
            (
                "user.cfg",
                "user: sync@pbs\n\nuser: off@pbs\n\tenable false\n\nuser: soon@pbs\n\texpire 1795384525\n\n\
                 user: roo%74@pam\n\nuser: x@corp\n\nuser: x@nowhere\n\nuser: admin@pbs\n\n\
                 token: sync@pbs!t1\n\ntoken: off@pbs!t1\n\ntoken: sync@pbs!t2\n\tenable false\n",
            ),
            (
                "shadow.json",
                "{\"sync\":\"$5$abcdefgh12345678$mPLxD8y3L3/eIlDoYWxx4r7xctS5u63Y6c36tFx1rn2\",\
                 \"off\":\"$5$abcdefgh12345678$mPLxD8y3L3/eIlDoYWxx4r7xctS5u63Y6c36tFx1rn2\",\
                 \"admin\":\"$5$abcdefgh12345678$mPLxD8y3L3/eIlDoYWxx4r7xctS5u63Y6c36tFx1rn2\",\
                 \"soon\":\"$5$abcdefgh12345678$mPLxD8y3L3/eIlDoYWxx4r7xctS5u63Y6c36tFx1rn2\"}",
            ),
            (
                "token.shadow",
                "{\"sync@pbs!t1\":\"$y$j9T$.2U.1EE/4Q.07ck0AoU1D.F2GA/3JMl3MYV4PkF5Sw/$j0VuNwTJWVhbeNvg7xzhr6q2MixLlhu06oKEZCKe8N4\",\
                 \"off@pbs!t1\":\"*\"}",
            ),
            ("domains.cfg", "ldap: corp\n\tbase-dn dc=x\n\tserver1 a.example\n\tuser-attr uid\n"),
            (
                "acl.cfg",
                "acl:1:/:admin@pbs:Admin\nacl:1:/datastore:sync@pbs,off@pbs,sync@pbs!t1,sync@pbs!t2:DatastoreAudit\n",
            ),
        ];
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let settings = Settings::new(ConfigDir::new(dir.path(), Arc::new(Counting::default())));
        let clock = Arc::new(TestClock(AtomicI64::new(NOW)));
        let keys = Keys::load_or_create(settings.dir()).unwrap();
        let access = Access::new(settings, clock.clone(), keys, accounts);
        Self { dir, clock, access }
    }

    fn login(&self, user: &str, password: &str) -> Result<farhold_access::Login, AuthFailure> {
        self.access.login(&userid(user), &Secret::new(password), Proof::PasswordOrTicket, None)
    }

    fn at(&self, time: i64) -> &Self {
        self.clock.0.store(time, Ordering::Relaxed);
        self
    }

    fn ticket_reason(&self, ticket: &str) -> Option<TicketError> {
        match self.access.verify_ticket(ticket) {
            Ok(_) => None,
            Err(AuthFailure { reason: Reason::Ticket(error), .. }) => Some(error),
            Err(other) => panic!("{}", other.log_text()),
        }
    }
}

fn userid(text: &str) -> Userid {
    text.parse().unwrap()
}

fn authid(text: &str) -> Authid {
    text.parse().unwrap()
}

/// The ticket that OpenSSL signs with the test key.
const OPENSSL_TICKET: &str =
    "PBS:sync@pbs:6B0364CC::6ZBO9bh32xnbvCCtCo8wdXIsZacmvRlbjmMDMLmZsI03cjo+TfeQo8vg/OeXmppTilgSIQjecNelaGlYMt/RBQ";

#[test]
fn a_login_gives_the_exact_ticket_and_token() {
    let server = Server::new();
    let login = server.login("sync@pbs", PASSWORD).unwrap();
    assert_eq!(login.ticket.expose(), OPENSSL_TICKET);
    assert_eq!(login.ticket.info(), "PBS:sync@pbs:6B0364CC::ticketinfo");
    // HMAC-SHA3-256, computed with another implementation.
    assert_eq!(login.csrf_token, "6B0364CC:J/wtleA0fiZL/WE4or7zt7RkFaa2Pi55nbWwDUiw9Ok");
    assert!(!format!("{login:?}").contains("6ZBO9"), "no ticket in debug output");
}

#[test]
fn both_forms_of_rsa_keys_sign_and_verify() {
    for private in ["rsa-traditional.key", "rsa-pkcs8.key"] {
        let server = Server::with(private, "rsa.pub", None);
        let ticket = server.login("sync@pbs", PASSWORD).unwrap().ticket;
        // PKCS#1 v1.5 is deterministic, so OpenSSL's signature is the same.
        assert!(ticket.expose().starts_with("PBS:sync@pbs:6B0364CC::JPcVOVhIu6ph0f5YvIthlhgr0y1M2aqaqZ157RAt3V71"));
        assert!(ticket.expose().ends_with("sEppiqBuXp7DlOaTKvOCpM"));
        assert_eq!(server.ticket_reason(ticket.expose()), None);
        assert_eq!(server.ticket_reason(OPENSSL_TICKET), Some(TicketError::Signature));
    }
}

#[test]
fn tickets_live_from_five_minutes_before_to_two_hours_after_their_time() {
    let server = Server::new();
    for (age, expected) in
        [(-301, Some(TicketError::Future)), (-300, None), (0, None), (7200, None), (7201, Some(TicketError::Expired))]
    {
        server.at(NOW + age);
        assert_eq!(server.ticket_reason(OPENSSL_TICKET), expected, "{age}");
        let csrf = server
            .access
            .verify_csrf(&userid("sync@pbs"), Some("6B0364CC:J/wtleA0fiZL/WE4or7zt7RkFaa2Pi55nbWwDUiw9Ok"));
        assert_eq!(csrf.is_ok(), expected.is_none(), "{age}");
    }
}

#[test]
fn only_the_canonical_spelling_of_a_ticket_is_accepted() {
    use TicketError::{Malformed, Partial, Signature};
    let server = Server::new();
    for (ticket, expected) in [
        ("", Malformed),
        ("x", Malformed),
        (&OPENSSL_TICKET.replace("6B0364CC", "6b0364cc"), Malformed),
        (&OPENSSL_TICKET.replace("6B0364CC", "06B0364CC"), Malformed),
        (&OPENSSL_TICKET.replace("6B0364CC", "+6B0364CC"), Malformed),
        (&OPENSSL_TICKET.replace("6B0364CC", "6B0364CD"), Signature),
        (&OPENSSL_TICKET.replace("sync@", "admin@"), Signature),
        (&OPENSSL_TICKET.replace("PBS:", "PVE:"), Malformed),
        (&OPENSSL_TICKET.replace("sync@pbs", "sync%40pbs"), Malformed),
        (&OPENSSL_TICKET.replace("sync@pbs", "sync@pbs!t1"), Malformed),
        (&OPENSSL_TICKET.replace("sync@pbs", "!tfa!{}"), Partial),
        (&format!("{OPENSSL_TICKET}=="), Malformed),
        (&OPENSSL_TICKET.replace("::", "::AAAA"), Signature),
        (&OPENSSL_TICKET.replace("::", "::*"), Malformed),
        ("PBS:sync@pbs:6B0364CC::", Signature),
        (&"x".repeat(5000), Malformed),
    ] {
        assert_eq!(server.ticket_reason(ticket), Some(expected), "{ticket}");
    }
}

/// A user whose name looks like another one's once decoded must not get that one's rights.
#[test]
fn a_percent_sign_in_a_name_does_not_turn_a_ticket_into_somebody_elses() {
    struct Anybody;
    impl SystemAccounts for Anybody {
        fn check(&self, _: &str, _: &Secret, _: Option<IpAddr>) -> Result<(), String> {
            Ok(())
        }
        fn set(&self, _: &str, _: &Secret) -> Result<(), String> {
            Ok(())
        }
    }
    let server = Server::with("ed25519.key", "ed25519.pub", Some(Arc::new(Anybody)));
    let login = server.login("roo%74@pam", "secret").unwrap();
    assert_eq!(server.ticket_reason(login.ticket.expose()), Some(TicketError::Malformed));
}

#[test]
fn every_refused_login_looks_the_same_and_has_its_reason_in_the_log() {
    let server = Server::new();
    for (user, password, reason) in [
        ("nobody@pbs", PASSWORD, "user account or API token missing, disabled or expired"),
        ("off@pbs", PASSWORD, "user account or API token missing, disabled or expired"),
        ("sync@pbs", "wrong", "invalid credentials"),
        ("sync@pbs", "", "password must have 1 to 1024 characters and no control characters"),
        ("sync@pbs", "PBS:sync@pbs:6B0364CC::AAAA", "invalid credentials"),
        ("admin@pbs", OPENSSL_TICKET, "ticket belongs to another user"),
        ("root@pam", "x", "system account: this server cannot check passwords of system accounts"),
        ("x@corp", "x", "passwords of realm 'corp' cannot be checked by this server"),
        ("x@nowhere", "x", "unknown realm 'nowhere'"),
    ] {
        let failure = server.login(user, password).unwrap_err();
        assert_eq!(failure.to_string(), "authentication failed");
        assert_eq!((failure.who.as_deref(), failure.log_text().as_str()), (Some(user), reason));
    }
    assert!(server.login("soon@pbs", PASSWORD).is_ok());
    assert!(server.at(1_795_384_525).login("soon@pbs", PASSWORD).is_err(), "expired by now");
    std::fs::write(server.dir.path().join("shadow.json"), "{}").unwrap();
    assert!(matches!(server.login("sync@pbs", PASSWORD).unwrap_err().reason, Reason::NoPassword));
    std::fs::write(server.dir.path().join("shadow.json"), "").unwrap();
    let failure = server.login("sync@pbs", PASSWORD).unwrap_err();
    assert!(failure.log_text().contains("shadow.json"), "{}", failure.log_text());
}

#[test]
fn a_ticket_renews_itself_and_needs_no_password() {
    let server = Server::new();
    server.at(NOW + 7000);
    let renewed = server.login("sync@pbs", OPENSSL_TICKET).unwrap();
    server.at(NOW + 10_000);
    assert_eq!(server.ticket_reason(renewed.ticket.expose()), None);
    assert!(server.login("sync@pbs", OPENSSL_TICKET).is_err(), "the old one has expired");
    let only_password =
        server.access.login(&userid("sync@pbs"), &Secret::new(renewed.ticket.expose()), Proof::PasswordOnly, None);
    assert!(only_password.is_err(), "a ticket is no password where only a password is asked for");
}

#[test]
fn a_second_factor_refuses_the_password_but_not_the_renewal() {
    let server = Server::new();
    std::fs::write(server.dir.path().join("tfa.json"), r#"{"users":{"sync@pbs":{"totp":[{}]}}}"#).unwrap();
    assert!(matches!(server.login("sync@pbs", PASSWORD).unwrap_err().reason, Reason::SecondFactor));
    assert!(server.login("sync@pbs", OPENSSL_TICKET).is_ok());
    assert!(server.login("admin@pbs", PASSWORD).is_ok());
    std::fs::write(server.dir.path().join("tfa.json"), "garbage").unwrap();
    assert!(server.login("admin@pbs", PASSWORD).is_err(), "who cannot be asked about is not let in");
}

#[test]
fn an_old_hash_is_replaced_after_a_good_login_only() {
    let server = Server::new();
    let stored = || server.access.settings().passwords().load().unwrap().entries.get("sync").unwrap();
    server.login("sync@pbs", "wrong").unwrap_err();
    assert!(stored().expose().starts_with("$5$"));
    assert!(server.login("sync@pbs", PASSWORD).unwrap().upgrade_error.is_none());
    assert!(stored().expose().starts_with("$y$j9T$") && verify_password(&Secret::new(PASSWORD), &stored()));
    let after = stored();
    server.login("sync@pbs", PASSWORD).unwrap();
    assert_eq!(stored(), after, "a new hash stays");
}

#[test]
fn a_ticket_needs_its_anti_forgery_token_unless_the_method_is_get() {
    let server = Server::new();
    let ticket = Credentials::Ticket(Secret::new(OPENSSL_TICKET));
    let caller = server.access.authenticate(&ticket, true, None).unwrap();
    assert_eq!(caller.authid, authid("sync@pbs"));
    for (token, is_fine) in [
        (None, false),
        (Some("6B0364CC:J/wtleA0fiZL/WE4or7zt7RkFaa2Pi55nbWwDUiw9Ok"), true),
        // The form of older releases: SHA-256 over text and key.
        (Some("6B0364CC:wgpYWey1rl5DLa5aZz39bMnxxdcU6Z2KfD4kgAUaXAs"), true),
        (Some("6B0364CD:J/wtleA0fiZL/WE4or7zt7RkFaa2Pi55nbWwDUiw9Ok"), false),
        (Some("6B0364CC:J/wtleA0fiZL/WE4or7zt7RkFaa2Pi55nbWwDUiw9Ok="), false),
        (Some("6B0364CC:"), false),
        (Some(""), false),
    ] {
        assert_eq!(server.access.authenticate(&ticket, false, token).is_ok(), is_fine, "{token:?}");
    }
    let other = server.login("admin@pbs", PASSWORD).unwrap().csrf_token;
    assert!(server.access.authenticate(&ticket, false, Some(&other)).is_err(), "token of another user");
    assert!(server.access.authenticate(&Credentials::None, true, None).is_err());
}

#[test]
fn a_token_counts_only_with_its_secret_its_user_and_itself_active() {
    let server = Server::new();
    let check = |tokenid: &str, secret: &str| {
        let credentials = Credentials::Token { tokenid: tokenid.to_owned(), secret: Secret::new(secret) };
        server.access.authenticate(&credentials, false, None).map(|caller| caller.authid)
    };
    assert_eq!(check("sync@pbs!t1", TOKEN_SECRET).unwrap(), authid("sync@pbs!t1"));
    assert_eq!(check("sync@pbs!t1", TOKEN_SECRET).unwrap(), authid("sync@pbs!t1"), "from memory");
    assert!(matches!(check("sync@pbs!t1", "wrong").unwrap_err().reason, Reason::WrongTokenSecret));
    assert!(matches!(check("off@pbs!t1", TOKEN_SECRET).unwrap_err().reason, Reason::Inactive));
    assert!(matches!(check("sync@pbs!t2", TOKEN_SECRET).unwrap_err().reason, Reason::Inactive));
    assert!(matches!(check("sync@pbs!none", TOKEN_SECRET).unwrap_err().reason, Reason::Inactive));
    assert!(matches!(check("sync@pbs", PASSWORD).unwrap_err().reason, Reason::TokenId));
    assert!(matches!(check("nonsense", TOKEN_SECRET).unwrap_err().reason, Reason::TokenId));
}

#[test]
fn a_remembered_secret_is_forgotten_when_the_stored_one_changes() {
    let server = Server::new();
    let token = authid("sync@pbs!t1");
    server.access.verify_token(&token, &Secret::new(TOKEN_SECRET)).unwrap();
    let secret = server.access.create_token_secret(&token).unwrap();
    let is_uuid = secret.expose().len() == 36 && secret.expose().as_bytes()[14] == b'4';
    assert!(is_uuid && *secret.expose() == secret.expose().to_lowercase());
    assert!(server.access.verify_token(&token, &Secret::new(TOKEN_SECRET)).is_err());
    server.access.verify_token(&token, &secret).unwrap();
    server.access.settings().token_hashes().edit::<_, SettingsError>(None, |h| Ok(h.remove(&token))).unwrap();
    assert!(matches!(server.access.verify_token(&token, &secret).unwrap_err().reason, Reason::TokenSecretMissing));
    let file = std::fs::read_to_string(server.dir.path().join("token.shadow")).unwrap();
    assert!(!file.contains(secret.expose()));
}

#[test]
fn permissions_are_fresh_and_the_inactive_hold_none() {
    let server = Server::new();
    let (path, audit) = ("/datastore/a".parse::<AclPath>().unwrap(), Privileges::DATASTORE_AUDIT);
    let snapshot = server.access.snapshot().unwrap();
    for (who, holds) in [
        ("sync@pbs", true),
        ("sync@pbs!t1", true),
        ("sync@pbs!t2", false),
        ("off@pbs", false),
        ("nobody@pbs", false),
        ("root@pam", true),
    ] {
        assert_eq!(snapshot.require_all(&authid(who), &path, audit).is_ok(), holds, "{who}");
        assert_eq!(snapshot.has_any_below(&authid(who), &path, audit), holds, "{who}");
        assert_eq!(snapshot.privileges(&authid(who), &path).all.contains_any(audit), holds, "{who}");
        assert_eq!(snapshot.full_or_owner(&authid(who), &path, audit, Privileges::NONE).is_ok(), holds, "{who}");
    }
    assert!(Arc::ptr_eq(snapshot.acl(), &server.access.acl().unwrap()), "unchanged files are not built again");
    std::fs::write(server.dir.path().join("acl.cfg"), "").unwrap();
    assert!(server.access.snapshot().unwrap().require_any(&authid("sync@pbs"), &path, audit).is_err());
    std::fs::write(server.dir.path().join("user.cfg"), "user: root@pam\n\tenable false\n").unwrap();
    assert!(
        server.access.snapshot().unwrap().require_any(&Authid::root(), &path, audit).is_err(),
        "disabled superuser"
    );
}

#[test]
fn passwords_change_in_the_recorded_order_of_checks() {
    use PasswordChangeError as E;
    let server = Server::new();
    let change = |caller: &str, target: &str, new: &str, own: Option<&str>| {
        let own = own.map(Secret::new);
        server.access.confirm(&authid(caller), own.as_ref(), None)?;
        server.access.change_password(&authid(caller), &userid(target), &Secret::new(new))
    };
    let pw = Some(PASSWORD);
    assert!(matches!(change("admin@pbs", "sync@pbs", "new-password", None), Err(E::ConfirmationMissing)));
    assert!(matches!(change("admin@pbs", "sync@pbs", "new-password", Some("no")), Err(E::ConfirmationWrong(_))));
    assert!(matches!(change("admin@pbs", "nobody@pbs", "new-password", pw), Err(E::UnknownUser { .. })));
    assert!(matches!(change("sync@pbs!t1", "sync@pbs", "new-password", None), Err(E::ConfirmationMissing)));
    assert!(matches!(change("sync@pbs!t1", "sync@pbs", "new-password", pw), Err(E::TokenCaller)));
    assert!(matches!(change("root@pam!t1", "sync@pbs", "new-password", None), Err(E::TokenCaller)));
    assert!(matches!(change("sync@pbs", "admin@pbs", "new-password", pw), Err(E::NotAllowed)));
    assert!(matches!(change("admin@pbs", "root@pam", "new-password", pw), Err(E::NotAllowed)));
    assert!(matches!(change("admin@pbs", "sync@pbs", "7-chars", pw), Err(E::Form)));
    assert!(matches!(change("root@pam", "x@corp", "new-password", None), Err(E::UnsupportedRealm { .. })));
    assert!(matches!(change("root@pam", "root@pam", "new-password", None), Err(E::UnsupportedRealm { .. })));
    change("sync@pbs", "sync@pbs", "new-password", pw).unwrap();
    assert!(server.login("sync@pbs", PASSWORD).is_err() && server.login("sync@pbs", "new-password").is_ok());
    change("admin@pbs", "sync@pbs", "next-password", pw).unwrap();
    change("root@pam", "sync@pbs", &"ä".repeat(64), None).unwrap();
    assert!(server.login("sync@pbs", &"ä".repeat(64)).is_ok());
}

/// Remembers what it was asked.
#[derive(Default)]
struct Asked(std::sync::Mutex<Vec<String>>);

impl SystemAccounts for Asked {
    fn check(&self, name: &str, password: &Secret, remote_host: Option<IpAddr>) -> Result<(), String> {
        self.0.lock().unwrap().push(format!("check {name} {remote_host:?}"));
        if password.expose() == PASSWORD { Ok(()) } else { Err("no".to_owned()) }
    }

    fn set(&self, name: &str, password: &Secret) -> Result<(), String> {
        self.0.lock().unwrap().push(format!("set {name}"));
        if password.expose() == "refuse-me" { Err("too simple".to_owned()) } else { Ok(()) }
    }
}

#[test]
fn passwords_of_system_accounts_are_checked_and_set_by_the_system() {
    let asked = Arc::new(Asked::default());
    let server = Server::with("ed25519.key", "ed25519.pub", Some(asked.clone()));
    std::fs::write(server.dir.path().join("user.cfg"), "user: bob@pam\n\nuser: off@pam\n\tenable false\n").unwrap();
    let login = |user: &str, password: &str| {
        let from = Some(IpAddr::from([192, 0, 2, 1]));
        server.access.login(&userid(user), &Secret::new(password), Proof::PasswordOrTicket, from)
    };
    assert!(login("root@pam", PASSWORD).is_ok() && login("bob@pam", PASSWORD).is_ok());
    assert_eq!(login("bob@pam", "wrong").unwrap_err().log_text(), "system account: no");
    assert!(login("off@pam", PASSWORD).is_err() && login("eve@pam", PASSWORD).is_err(), "not asked about those");
    let change = |caller: &str, new: &str, own: Option<&str>| {
        let own = own.map(Secret::new);
        server.access.confirm(&authid(caller), own.as_ref(), None)?;
        server.access.change_password(&authid(caller), &userid("bob@pam"), &Secret::new(new))
    };
    change("bob@pam", "new-password", Some(PASSWORD)).unwrap();
    change("root@pam", "new-password", None).unwrap();
    let refused = change("root@pam", "refuse-me", None).unwrap_err();
    assert_eq!(refused.to_string(), "password of the system account could not be set: too simple");
    let expected = [
        "check root Some(192.0.2.1)",
        "check bob Some(192.0.2.1)",
        "check bob Some(192.0.2.1)",
        "check bob None",
        "set bob",
        "set bob",
        "set bob",
    ];
    assert_eq!(*asked.0.lock().unwrap(), expected);
}

#[test]
fn missing_keys_are_made_with_their_modes_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let config = ConfigDir::new(dir.path(), Arc::new(Counting::default()));
    Keys::load_or_create(&config).unwrap();
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let mode = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("authkey.key"), mode("authkey.pub"), mode("csrf.key")), (0o600, 0o640, 0o640));
    assert!(read("authkey.key").starts_with("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEI"));
    assert!(read("authkey.pub").starts_with("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA"));
    assert_eq!((read("csrf.key").len(), read("csrf.key").contains(['=', '\n'])), (86, false));
    let before = (read("authkey.key"), read("authkey.pub"), read("csrf.key"));
    Keys::load_or_create(&config).unwrap();
    assert_eq!((read("authkey.key"), read("authkey.pub"), read("csrf.key")), before);

    std::fs::write(dir.path().join("authkey.pub"), "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
        .unwrap();
    assert!(matches!(Keys::load_or_create(&config), Err(KeyError::Mismatch)));
    std::fs::write(dir.path().join("authkey.key"), "nonsense").unwrap();
    assert!(matches!(Keys::load_or_create(&config), Err(KeyError::PrivateKey)));
    assert_eq!(read("authkey.key"), "nonsense", "never overwritten");
    std::fs::remove_file(dir.path().join("authkey.pub")).unwrap();
    Keys::load_or_create(&config).unwrap();
    assert_ne!(read("authkey.key"), "nonsense", "an incomplete pair is made anew");
    std::fs::write(dir.path().join("csrf.key"), "").unwrap();
    assert!(matches!(Keys::load_or_create(&config), Err(KeyError::EmptyCsrfKey)));
}

/// Every recorded request of the authentication probe with a cookie or a token header, read by our parser.
#[test]
fn recorded_requests_present_what_the_reference_product_saw() {
    let path = format!("{}/../../tests/golden/wire/probe-authentication.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut compared = 0;
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let (Some(label), Some(path)) = (row["label"].as_str(), row["path"].as_str()) else { continue };
        if path.contains("/access/ticket") {
            continue;
        }
        // The recorder keeps one value of a repeated header only, and hides signatures and secrets.
        let found = Credentials::from_headers(
            row["headers"]["cookie"].as_str().into_iter(),
            row["headers"]["authorization"].as_str(),
        );
        let is_accepted = row["status"] == 200;
        match &found {
            Credentials::Ticket(ticket) if is_accepted => {
                assert!(ticket.expose().starts_with("PBS:sync@pbs:6B03"), "{label}");
            }
            Credentials::Token { tokenid, .. } if is_accepted => assert!(tokenid.starts_with("sync@pbs!"), "{label}"),
            Credentials::None => assert!(!is_accepted || label.contains("ping"), "{label}"),
            _ => {}
        }
        compared += usize::from(found != Credentials::None);
    }
    assert!(30 < compared, "{compared}");
}
