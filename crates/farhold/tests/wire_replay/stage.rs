//! The stage of recorded writers: a server with their accounts and an empty store, and what the recorder did to the
//! store between the requests.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use farhold::compose::Composed;
use farhold_api::Call;
use farhold_api::declare::Content;
use farhold_format::blob::BlobEncoder;
use farhold_format::manifest::Manifest;
use farhold_jobs::App;
use farhold_types::{Authid, Epoch};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::runtime;
use crate::support::scratch::scratch;
use crate::support::servers::{Folders, Listening, SetClock, server};

pub const PASSWORD: &str = "sync-secret-1";

/// Users with their token and role.
const ACCOUNTS: &[(&str, &str, Option<&str>)] = &[
    ("sync@pbs", "t1", Some("DatastoreAdmin")),
    ("other@pbs", "t2", Some("DatastoreBackup")),
    ("nobody@pbs", "t3", None),
];

pub struct Stage {
    server: Listening,
    pub root: PathBuf,
    /// Secrets of tokens.
    pub secrets: BTreeMap<String, String>,
    saved: Option<Vec<u8>>,
    _scratch: TempDir,
}

impl Stage {
    /// Starts a server with an empty store of this name.
    pub fn new(store: &str) -> Self {
        let scratch = scratch();
        let folders = Folders { root: scratch.path().to_owned() };
        let root = folders.stores(1).join(store);
        fs::create_dir_all(&root).unwrap();
        let composed = server(&folders.server(1), "pbs1", Arc::new(SetClock::new(Epoch(1_795_379_959))));
        let secrets = set_up(&composed, store, root.to_str().unwrap());
        // The folder of a type stays when its groups go.
        fs::create_dir(root.join("host")).unwrap();
        Self { server: Listening::start(composed), root, secrets, saved: None, _scratch: scratch }
    }

    pub fn app(&self) -> &Arc<App> {
        &self.server.running().composed().app
    }

    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Waits until so many tasks run: sessions that ended have cleaned up behind them.
    pub async fn wait_for_sessions(&self, count: usize) {
        for _ in 0..4000 {
            if self.app().tasks.running_here().len() <= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("sessions do not end: {:?}", self.app().tasks.running_here());
    }

    /// Returns all files and folders of the store outside of the chunk store, with sizes and, of small files, content.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut open = vec![self.root.clone()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).unwrap().flatten() {
                let path = entry.path();
                if path.ends_with(".chunks") {
                    continue;
                }
                if path.is_dir() {
                    open.push(path.clone());
                    found.insert(path, Vec::new());
                } else {
                    let content = fs::read(&path).unwrap();
                    found.insert(path, content);
                }
            }
        }
        found
    }

    /// Gives a group to somebody else.
    pub fn give_away(&self, group: &str, owner: &str) {
        fs::write(self.root.join(group).join("owner"), format!("{owner}\n")).unwrap();
    }

    /// Changes the newest finished snapshot of `host/inc`: its verify state.
    fn verify_state(&self, state: &Value) {
        let file = self.root.join("host/inc/2026-01-02T10:00:00Z/index.json.blob");
        let mut manifest = Manifest::from_blob(&fs::read(&file).unwrap()).unwrap();
        manifest.unprotected.insert("verify_state".to_owned(), state.clone());
        fs::write(file, manifest.to_blob(&mut BlobEncoder::new()).unwrap()).unwrap();
    }

    /// Does what the recorder did to the store before a request with this label.
    pub fn prepare(&mut self, label: &str) {
        let inc = self.root.join("host/inc");
        let newest = inc.join("2026-01-02T10:00:00Z/index.json.blob");
        match label {
            "finish base gone" => fs::rename(inc.join("2026-01-01T10:00:00Z"), inc.join("aside")).unwrap(),
            "finish base back" => fs::rename(inc.join("aside"), inc.join("2026-01-01T10:00:00Z")).unwrap(),
            "failed newest: older time" => {
                let upid = "UPID:pbs1:00001D49:0008A22D:0000014B:6B0361FE:verify_snapshot:local:sync@pbs!t1:";
                self.verify_state(&json!({"state": "failed", "upid": upid}));
            }
            "failed w bad upid: previous" => self.verify_state(&json!({"state": "failed", "upid": "nonsense"})),
            "no upid: previous" => self.verify_state(&json!({"state": "failed"})),
            "newest manifest broken" => {
                self.saved = Some(fs::read(&newest).unwrap());
                fs::write(&newest, b"broken").unwrap();
            }
            "existing unfinished dir" => {
                fs::write(&newest, self.saved.take().unwrap()).unwrap();
                fs::create_dir(inc.join("2026-01-05T10:00:00Z")).unwrap();
            }
            "group w/o owner" => fs::create_dir(self.root.join("host/noowner")).unwrap(),
            "bench other owner ok" => {
                let group = self.root.join("host/benchmark");
                fs::create_dir(&group).unwrap();
                fs::write(group.join("owner"), "nobody@pbs\n").unwrap();
            }
            quoted if quoted.starts_with('\'') => {
                let owner = quoted[1..quoted.rfind('\'').unwrap()].replace("\\n", "\n");
                fs::write(inc.join("owner"), owner).unwrap();
            }
            _ => {}
        }
    }
}

fn set_up(composed: &Composed, store: &str, path: &str) -> BTreeMap<String, String> {
    runtime().block_on(async {
        let call = async |method: &str, path: &'static str, params: Value| {
            let Value::Object(params) = params else { unreachable!("parameters are an object") };
            let call = Call { method: method.parse().unwrap(), path, params, caller: Authid::root() };
            let Content::Json(value) = composed.router.call(call).await.unwrap().content else { return Value::Null };
            if let Some(upid) = value.as_str().and_then(|text| text.parse().ok()) {
                composed.app.tasks.wait(&upid).await.unwrap();
            }
            value
        };
        call("POST", "/config/datastore", json!({"name": store, "path": path})).await;
        let mut secrets = BTreeMap::new();
        for (user, token, role) in ACCOUNTS {
            call("POST", "/access/users", json!({"userid": user, "password": PASSWORD})).await;
            let params = json!({"userid": user, "token-name": token});
            let made = call("POST", "/access/users/{userid}/token/{token-name}", params).await;
            let tokenid = format!("{user}!{token}");
            secrets.insert(tokenid.clone(), made["value"].as_str().unwrap().to_owned());
            for authid in [*user, &tokenid] {
                let Some(role) = role else { continue };
                call("PUT", "/access/acl", json!({"path": "/datastore", "role": role, "auth-id": authid})).await;
            }
        }
        secrets
    })
}
