//! A server with one of everything that permissions are asked for, and calls made by somebody.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use farhold::compose::Composed;
use farhold_api::Call;
use farhold_types::Epoch;
use http::Method;
use serde_json::{Map, Value, json};

use crate::rules::Line;
use crate::support::files;
use crate::support::scratch::scratch;
use crate::support::servers::{SetClock, server};

/// The user most cells are about, its tokens, and somebody else.
pub const USER: &str = "ann@pbs";
pub const TOKEN: &str = "ann@pbs!t1";
pub const OTHER_TOKEN: &str = "ann@pbs!t2";
pub const OTHER: &str = "bob@pbs";
/// All who call; the superuser's token has no more than its own lines.
pub const CALLERS: &[&str] = &["root@pam", "root@pam!t", USER, TOKEN, OTHER_TOKEN, OTHER];

/// Groups of the root namespace of store `golden`, and who owns them.
pub const OWNERS: &[(&str, &str)] =
    &[("host/web1", USER), ("vm/100", TOKEN), ("ct/101", OTHER_TOKEN), ("vm/150", OTHER), ("vm/200", "root@pam")];

/// A server.
pub struct Scene {
    composed: Composed,
    acl: PathBuf,
    _scratch: tempfile::TempDir,
}

impl Scene {
    /// Puts the server together.
    pub async fn new() -> Self {
        let scratch = scratch();
        let stores = scratch.path().join("stores");
        fs::create_dir_all(&stores).unwrap();
        let golden = files::unpack_store("golden.tar.zst", &stores, "golden");
        for (group, owner) in OWNERS {
            fs::write(golden.join(group).join("owner"), format!("{owner}\n")).unwrap();
        }
        let composed = server(&scratch.path().join("server"), "pbs1", Arc::new(SetClock::new(Epoch(1_795_400_000))));
        let acl = composed.directories.etc.join("acl.cfg");
        let scene = Self { composed, acl, _scratch: scratch };
        scene.fill(&stores).await;
        scene
    }

    async fn fill(&self, stores: &std::path::Path) {
        for user in [USER, OTHER] {
            self.set_up("POST", "/access/users", json!({ "userid": user })).await;
        }
        for token in [TOKEN, OTHER_TOKEN, "root@pam!t"] {
            let (userid, name) = token.split_once('!').unwrap();
            let path = "/access/users/{userid}/token/{token-name}";
            self.set_up("POST", path, json!({ "userid": userid, "token-name": name })).await;
        }
        let golden = stores.join("golden");
        let stores = [("golden", golden, true), ("tank", stores.join("tank"), false)];
        for (name, path, is_reused) in stores {
            let settings = json!({ "name": name, "path": path, "reuse-datastore": is_reused });
            let upid = self.set_up("POST", "/config/datastore", settings).await;
            let upid = upid.as_str().unwrap().parse().unwrap();
            let status = self.composed.app.tasks.wait(&upid).await.unwrap();
            assert_eq!(status.to_string(), "OK", "creating {name}");
        }
        for (name, parent) in [("a", ""), ("b", "a")] {
            let ns = json!({ "store": "tank", "name": name, "parent": parent });
            self.set_up("POST", "/admin/datastore/{store}/namespace", ns).await;
        }
        for name in ["far", "near"] {
            let remote = json!({ "name": name, "host": "127.0.0.1", "auth-id": "x@pbs", "password": "no matter" });
            self.set_up("POST", "/config/remote", remote).await;
            self.set_up("POST", "/config/encryption-keys", json!({ "id": format!("key-{name}") })).await;
        }
        for (id, store, ns) in [("job-golden", "golden", ""), ("job-tank", "tank", "a/b")] {
            let job = json!({ "id": id, "store": store, "ns": ns, "schedule": "daily" });
            self.set_up("POST", "/config/prune", job.clone()).await;
            self.set_up("POST", "/config/verify", job).await;
            let job = json!({ "id": id, "store": store, "ns": ns, "remote": "far", "remote-store": "vault" });
            self.set_up("POST", "/config/sync", job).await;
        }
    }

    async fn set_up(&self, method: &str, path: &str, params: Value) -> Value {
        let answer = self.call("root@pam", method, path, params).await;
        answer.unwrap_or_else(|(status, text)| panic!("{method} {path}: {status} {text}"))
    }

    /// Makes these lines the access control list.
    pub fn set_acl(&self, lines: &[Line]) {
        let text: String = lines.iter().map(Line::text).collect();
        let new = self.acl.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, &self.acl).unwrap();
    }

    /// Makes a call; returns `data`, or status and text of the refusal.
    pub async fn call(&self, caller: &str, method: &str, path: &str, params: Value) -> Result<Value, (u16, String)> {
        let params: Map<String, Value> = params.as_object().unwrap().clone();
        let call = Call {
            method: Method::from_bytes(method.as_bytes()).unwrap(),
            path,
            params,
            caller: caller.parse().unwrap(),
        };
        match self.composed.router.call(call).await {
            Ok(reply) => Ok(reply.data().cloned().unwrap_or_default()),
            Err(error) => Err((error.status().as_u16(), error.text().to_owned())),
        }
    }

    /// Returns all declared calls: method and path.
    pub fn declared(&self) -> Vec<(String, String)> {
        let declared = self.composed.router.declarations();
        declared.map(|declaration| (declaration.method.to_string(), declaration.path.to_owned())).collect()
    }
}
