//! Realms, second factors and the explanation of permissions, as administrators and users see them.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test that cannot continue should stop")]

#[path = "support/in_process.rs"]
mod in_process;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use farhold_access::{AuthLog, Proof};
use farhold_api::declare::{ConnectionInfo, full_body};
use farhold_api::{ApiError, Router, UNAUTHORIZED_DELAY, endpoints};
use farhold_jobs::App;
use farhold_jobs::testing::TestServer;
use farhold_types::{Namespace, Role, Secret};
use http::Method;
use serde_json::{Value, json};

const TFA: &str = "/access/tfa";
const USER: &str = "/access/tfa/{userid}";
const FACTOR: &str = "/access/tfa/{userid}/{id}";
const UNLOCK: &str = "/access/users/{userid}/unlock-tfa";
const PASSWORD: &str = "correct horse 1";

struct Site {
    server: TestServer,
    router: Router<App>,
}

impl Site {
    /// A server with two users who have passwords; one of them manages users.
    fn new() -> Self {
        let mut server = TestServer::new();
        let log = AuthLog::new(server.folder().join("auth.log"), server.clock.clone(), jiff::tz::TimeZone::UTC);
        let app = Arc::get_mut(&mut server.app).unwrap();
        app.access = app.access.clone().with_auth_log(log);
        server.grant("/access/users", "boss@pbs", Role::Admin);
        server.grant("/datastore/a", "bob@pbs", Role::DatastoreBackup);
        for user in ["boss@pbs", "bob@pbs"] {
            server.app.access.set_password(&user.parse().unwrap(), &Secret::new(PASSWORD)).unwrap();
        }
        let router = Router::new(Arc::clone(&server.app), endpoints::all()).unwrap();
        Self { server, router }
    }

    async fn call(&self, caller: &str, method: Method, path: &str, params: Value) -> Result<Value, ApiError> {
        in_process::call(&self.router, caller, method, path, params).await
    }

    async fn ok(&self, caller: &str, method: Method, path: &str, params: Value) -> Value {
        self.call(caller, method, path, params).await.unwrap()
    }

    async fn status(&self, caller: &str, method: Method, path: &str, params: Value) -> u16 {
        self.call(caller, method, path, params).await.unwrap_err().status().as_u16()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.server.app.settings.dir().path().join(name), text).unwrap();
    }

    /// Sends a login from this address; returns status and text, and how long the answer took.
    async fn log_in(&self, peer: &str, user: &str, password: &str) -> (u16, String, Duration) {
        let body = json!({"username": user, "password": password}).to_string();
        let request = http::Request::post("/api2/json/access/ticket").header("content-type", "application/json");
        let start = tokio::time::Instant::now();
        let peer: SocketAddr = format!("{peer}:50000").parse().unwrap();
        let connection = ConnectionInfo { peer: Some(peer), trusted: None };
        let response = self.router.dispatch(request.body(full_body(body.into())).unwrap(), connection).await;
        let (status, taken) = (response.status().as_u16(), start.elapsed());
        let bytes = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        (status, String::from_utf8(bytes.to_vec()).unwrap(), taken)
    }

    fn can_log_in(&self, user: &str) -> bool {
        self.server.app.access.login(&user.parse().unwrap(), &Secret::new(PASSWORD), Proof::PasswordOnly, None).is_ok()
    }
}

/// What a server that was moved here from the reference brings along.
const FACTORS: &str = r#"{"users":{"bob@pbs":{"totp":[{"id":"t1","description":"phone","created":7,"entry":"secret"}],
    "recovery":{"secret":"s","entries":["x"],"created":5},"totp_locked":true,"tfa_locked_until":99}},
    "webauthn":{"rp":"pbs","origin":"https://pbs.example","id":"pbs.example"}}"#;

#[tokio::test]
async fn factors_of_a_moved_user_are_shown_unlocked_and_removed_and_only_then_the_user_logs_in() {
    let site = Site::new();
    site.write("tfa.json", FACTORS);
    assert!(!site.can_log_in("bob@pbs") && site.can_log_in("boss@pbs"));
    let (phone, keys) = (
        json!({"type": "totp", "id": "t1", "description": "phone", "created": 7}),
        json!({"type": "recovery", "id": "recovery", "created": 5}),
    );
    let bob = json!({"userid": "bob@pbs", "entries": [keys, phone], "totp-locked": true, "tfa-locked-until": 99});
    assert_eq!(site.ok("root@pam", Method::GET, TFA, json!({})).await, json!([bob]));
    assert_eq!(site.ok("bob@pbs", Method::GET, TFA, json!({})).await, json!([bob]));
    let users = site.ok("root@pam", Method::GET, "/access/users", json!({})).await;
    let listed = users.as_array().unwrap().iter().find(|user| user["userid"] == "bob@pbs").unwrap().clone();
    assert_eq!((&listed["totp-locked"], &listed["tfa-locked-until"]), (&json!(true), &json!(99)));

    let unlock = async |caller: &str| site.call(caller, Method::PUT, UNLOCK, json!({"userid": "bob@pbs"})).await;
    assert_eq!(unlock("bob@pbs").await.unwrap_err().status().as_u16(), 403, "not even for oneself");
    assert_eq!((unlock("boss@pbs").await.unwrap(), unlock("boss@pbs").await.unwrap()), (json!(true), json!(false)));
    assert_eq!(site.status("boss@pbs", Method::PUT, UNLOCK, json!({"userid": "boss@pbs"})).await, 400);

    let remove = |id: &str, password: &str| json!({"userid": "bob@pbs", "id": id, "password": password});
    let one = json!({"userid": "bob@pbs", "id": "t1"});
    assert_eq!(site.ok("bob@pbs", Method::GET, FACTOR, one.clone()).await, phone);
    assert_eq!(site.status("boss@pbs", Method::DELETE, FACTOR, one.clone()).await, 401, "without a password");
    assert_eq!(site.status("boss@pbs", Method::DELETE, FACTOR, remove("t1", "wrong")).await, 401);
    assert_eq!(site.status("boss@pbs", Method::DELETE, FACTOR, remove("t2", PASSWORD)).await, 404);
    site.ok("boss@pbs", Method::DELETE, FACTOR, remove("t1", PASSWORD)).await;
    assert_eq!(site.status("boss@pbs", Method::GET, FACTOR, one).await, 404);
    assert!(!site.can_log_in("bob@pbs"));
    site.ok("root@pam", Method::DELETE, FACTOR, json!({"userid": "bob@pbs", "id": "recovery"})).await;
    assert_eq!(site.ok("root@pam", Method::GET, USER, json!({"userid": "bob@pbs"})).await, json!([]));
    assert!(site.can_log_in("bob@pbs"));
    let webauthn = site.ok("bob@pbs", Method::GET, "/config/access/tfa/webauthn", json!({})).await;
    assert_eq!(webauthn, json!({"rp": "pbs", "origin": "https://pbs.example", "id": "pbs.example"}), "kept");
}

#[tokio::test]
async fn factors_are_neither_added_nor_changed_and_the_caller_is_told() {
    let site = Site::new();
    let new = |password: &str| json!({"userid": "bob@pbs", "type": "recovery", "password": password});
    assert_eq!(site.status("bob@pbs", Method::POST, USER, new("wrong")).await, 401);
    let refused = site.call("bob@pbs", Method::POST, USER, new(PASSWORD)).await.unwrap_err();
    assert_eq!(refused.status().as_u16(), 400);
    assert!(refused.text().contains("adds none"), "{}", refused.text());
    site.write("tfa.json", FACTORS);
    let change = json!({"userid": "bob@pbs", "id": "t1", "enable": false});
    assert_eq!(site.status("root@pam", Method::PUT, FACTOR, change).await, 400);
    let missing = json!({"userid": "bob@pbs", "id": "t2", "enable": false});
    assert_eq!(site.status("root@pam", Method::PUT, FACTOR, missing).await, 404);
}

#[tokio::test]
async fn one_realm_is_the_default_and_foreign_ones_are_shown_without_secrets() {
    let site = Site::new();
    site.write(
        "domains.cfg",
        "ldap: corp\n\tbase-dn dc=x\n\tserver1 a.example\n\tuser-attr uid\n\tport 389\n\tverify true\n\tdefault true\n\n\
         openid: sso\n\tissuer-url https://sso.example\n\tclient-id pbs\n\tclient-key hunter2\n\tautocreate false\n",
    );
    let ldap = site.ok("root@pam", Method::GET, "/config/access/ldap", json!({})).await;
    let corp = json!({"realm": "corp", "type": "ldap", "default": true, "base-dn": "dc=x", "server1": "a.example",
        "user-attr": "uid", "port": 389, "verify": true});
    assert_eq!(ldap, json!([corp]));
    let openid = site.ok("root@pam", Method::GET, "/config/access/openid", json!({})).await;
    assert_eq!(openid[0]["autocreate"], json!(false));
    assert!(!openid.to_string().contains("hunter2"));
    assert_eq!(site.ok("root@pam", Method::GET, "/config/access/ad", json!({})).await, json!([]));

    let defaults = async || -> Vec<String> {
        let realms = site.ok("root@pam", Method::GET, "/access/domains", json!({})).await;
        let is_default = |realm: &&Value| realm["default"] == json!(true);
        realms.as_array().unwrap().iter().filter(is_default).map(|realm| realm["realm"].to_string()).collect()
    };
    let pbs = "/config/access/pbs";
    site.ok("root@pam", Method::PUT, pbs, json!({"default": true, "comment": " ours "})).await;
    assert_eq!(defaults().await, ["\"pbs\""]);
    site.ok("root@pam", Method::PUT, pbs, json!({"comment": "other"})).await;
    assert_eq!(defaults().await, ["\"pbs\""], "what is not named stays");
    site.ok("root@pam", Method::PUT, pbs, json!({"delete": ["default", "comment"]})).await;
    assert!(defaults().await.is_empty());
    let shown = site.ok("root@pam", Method::GET, pbs, json!({})).await;
    assert_eq!(shown, json!({"realm": "pbs", "type": "pbs"}));
    let text = std::fs::read_to_string(site.server.app.settings.dir().path().join("domains.cfg")).unwrap();
    assert!(text.contains("client-key hunter2") && text.contains("user-attr uid"), "{text}");
    for (method, path) in [(Method::GET, "/config/access/ldap"), (Method::GET, pbs), (Method::PUT, pbs)] {
        assert_eq!(site.status("boss@pbs", method, path, json!({})).await, 403);
    }
}

#[tokio::test]
async fn administrators_are_told_who_may_do_what_and_why() {
    let site = Site::new();
    let check = "/farhold/access/check";
    let asked = json!({"path": "/datastore/a/ns", "auth-id": "bob@pbs", "privilege": "Datastore.Read"});
    assert_eq!(site.status("bob@pbs", Method::GET, check, asked.clone()).await, 403);
    let line = "acl:1:/datastore/a:bob@pbs:DatastoreBackup";
    let expected = json!([{
        "auth-id": "bob@pbs", "path": "/datastore/a/ns", "active": true, "privileges": {"Datastore.Backup": true},
        "entries": [{"line": line, "path": "/datastore/a", "auth-id": "bob@pbs", "role": "DatastoreBackup",
            "propagate": true, "verdict": "grants"}],
        "allowed": false, "reason": format!("not among the privileges of {line}"),
    }]);
    assert_eq!(site.ok("root@pam", Method::GET, check, asked).await, expected);
    let all = site.ok("root@pam", Method::GET, check, json!({"path": "/access/users"})).await;
    let who: Vec<&str> = all.as_array().unwrap().iter().map(|row| row["auth-id"].as_str().unwrap()).collect();
    assert_eq!(who, ["boss@pbs", "root@pam"]);
    assert_eq!(site.status("root@pam", Method::GET, check, json!({"privilege": "Everything"})).await, 400);
}

#[tokio::test]
async fn logins_that_do_not_exist_here_say_so() {
    let site = Site::new();
    let terminal = json!({"authid": "bob@pbs", "vncticket": "PBSTERM:x", "privs": "Sys.Console", "path": "/system"});
    assert_eq!(site.status("root@pam", Method::POST, "/access/vncticket", terminal).await, 400);
    let url = json!({"realm": "sso", "redirect-url": "https://pbs.example"});
    assert_eq!(site.status("root@pam", Method::POST, "/access/openid/auth-url", url).await, 400);
    let code = json!({"state": "s", "code": "c", "redirect-url": "https://pbs.example"});
    assert_eq!(site.status("root@pam", Method::POST, "/access/openid/login", code).await, 400);
    let realm = json!({"realm": "corp"});
    assert_eq!(site.status("root@pam", Method::POST, "/access/domains/{realm}/sync", realm).await, 400);
}

/// Refusals differ neither in status nor in text nor in time, whatever was wrong; the log tells them apart.
#[tokio::test(start_paused = true)]
async fn a_refused_login_does_not_say_why() {
    let site = Site::new();
    site.write("tfa.json", FACTORS);
    let wrong = [
        ("boss@pbs", "wrong-password", "invalid credentials"),
        ("nobody@pbs", PASSWORD, "user account or API token missing, disabled or expired"),
        ("bob@pbs", PASSWORD, "user has a second factor, which this server cannot check; use an API token"),
        ("root@pam", PASSWORD, "system account: this server cannot check passwords of system accounts"),
        ("a@nowhere", PASSWORD, "user account or API token missing, disabled or expired"),
    ];
    let refused = (401, "authentication failed".to_owned(), UNAUTHORIZED_DELAY);
    for (user, password, _) in wrong {
        assert_eq!(site.log_in("192.0.2.1", user, password).await, refused, "{user}");
    }
    let log = std::fs::read_to_string(site.server.folder().join("auth.log")).unwrap();
    let reasons: Vec<&str> = log.lines().map(|line| line.split_once("reason=").unwrap().1).collect();
    assert_eq!(reasons, wrong.map(|(_, _, reason)| reason));
    assert_eq!(site.log_in("192.0.2.1", "boss@pbs", PASSWORD).await.0, 200);
}

/// The clock stands still while passwords are checked, so all of these come at once.
#[tokio::test(start_paused = true)]
async fn a_flood_of_guesses_from_one_address_shuts_nobody_else_out() {
    let site = Site::new();
    let guesses = (0..200).map(async |n| {
        let user = if n % 2 == 0 { "boss@pbs" } else { "nobody@pbs" };
        site.log_in("192.0.2.1", user, &format!("guess {n}")).await
    });
    let others = ["198.51.100.1", "198.51.100.2", "[2001:db8::1]"]
        .map(async |peer| site.log_in(peer, "boss@pbs", PASSWORD).await);
    let (guessed, logged_in) = futures::join!(futures::future::join_all(guesses), futures::future::join_all(others));
    assert!(logged_in.iter().all(|(status, ..)| *status == 200), "{logged_in:?}");
    assert!(guessed.iter().all(|(status, ..)| *status == 401));
    let log = std::fs::read_to_string(site.server.folder().join("auth.log")).unwrap();
    let count = |reason: &str| log.lines().filter(|line| line.ends_with(reason)).count();
    let checked = count("reason=invalid credentials") + count("missing, disabled or expired");
    assert!(checked <= 32 && count("reason=too many logins at once, not checked") == 200 - checked, "{checked}");
    tokio::time::sleep(UNAUTHORIZED_DELAY).await;
    assert_eq!(site.log_in("192.0.2.1", "boss@pbs", PASSWORD).await.0, 200, "the flood is over");
}

/// Once this was refused for want of an owner, which it is there to give.
#[tokio::test]
async fn a_group_whose_owner_file_is_lost_gets_an_owner_from_whoever_may_change_the_store() {
    const CHANGE: &str = "/admin/datastore/{store}/change-owner";
    let site = Site::new();
    let store = site.server.add_datastore_without_chunks("tank");
    let (root, group) = (Namespace::root(), "vm/100".parse().unwrap());
    drop(store.create_group(&root, &group, &"bob@pbs".parse().unwrap()).unwrap());
    site.server.grant("/datastore/tank", "bob@pbs", Role::DatastoreBackup);
    let file = site.server.store_path("tank").join("vm/100/owner");
    for damaged in [None, Some("???")] {
        match damaged {
            None => std::fs::remove_file(&file).unwrap(),
            Some(text) => std::fs::write(&file, text).unwrap(),
        }
        let give = |to: &str| json!({ "store": "tank", "backup-type": "vm", "backup-id": "100", "new-owner": to });
        assert_eq!(site.status("bob@pbs", Method::POST, CHANGE, give("bob@pbs")).await, 400);
        assert_eq!(site.status("root@pam", Method::POST, CHANGE, give("nobody@pbs")).await, 400);
        site.ok("root@pam", Method::POST, CHANGE, give("bob@pbs")).await;
        assert_eq!(store.owner(&root, &group).unwrap().to_string(), "bob@pbs");
    }
}
