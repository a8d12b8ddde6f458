//! A server in this process, and calls to it as somebody.

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use farhold_api::declare::{ConnectionInfo, full_body};
use farhold_api::{Router, endpoints};
use farhold_jobs::App;
use farhold_jobs::testing::TestServer;
use farhold_types::Role;
use http::Request;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

/// Who may do everything.
pub const ROOT: &str = "root@pam";

/// Who may do what a test grants.
pub const USER: &str = "sync@pbs";

/// A token of [`USER`].
pub const TOKEN: &str = "sync@pbs!t1";

/// The options that every job needs, with a remote.
pub fn remote_job() -> Value {
    json!({"id": "pbs2-local", "remote": "pbs2", "remote-store": "local", "store": "local"})
}

/// Returns the members of both; those of `more` win.
pub fn with(base: Value, more: Value) -> Value {
    let (Value::Object(mut base), Value::Object(more)) = (base, more) else { panic!("two objects are needed") };
    base.extend(more);
    Value::Object(base)
}

/// What the server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    /// Returns the whole answer of a call that must have worked.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        serde_json::from_str(&self.body).unwrap()
    }

    /// Returns `data` of a call that must have worked.
    #[track_caller]
    pub fn data(&self) -> Value {
        self.json()["data"].take()
    }

    /// Asserts that the call was refused with this status and names these words.
    #[track_caller]
    pub fn refused(&self, status: u16, words: &[&str]) {
        assert_eq!(self.status, status, "{}", self.body);
        for word in words {
            assert!(self.body.contains(word), "'{word}' is missing in: {}", self.body);
        }
    }
}

/// The server.
pub struct Desk {
    pub server: TestServer,
    pub router: Router<App>,
}

impl Desk {
    pub fn new() -> Self {
        let server = TestServer::new();
        let router = Router::new(Arc::clone(&server.app), endpoints::all()).unwrap();
        Self { server, router }
    }

    /// Returns one with the datastore `local`, the remote `pbs2` and the job of [`remote_job`].
    pub async fn with_job() -> Self {
        let desk = Self::new();
        desk.server.add_datastore_without_chunks("local");
        desk.create_remote().await;
        desk.create_job(ROOT, remote_job()).await;
        desk
    }

    /// Makes a call below `/api2/json`. `params` go into the query of a GET or DELETE, otherwise into a JSON body.
    pub async fn call(&self, caller: &str, method: &str, path: &str, params: Value) -> Answer {
        let Value::Object(members) = &params else { panic!("parameters are an object") };
        let mut uri = format!("/api2/json{path}");
        let mut body = Bytes::new();
        if ["GET", "DELETE"].contains(&method) {
            let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let pairs = members.iter().map(|(name, value)| format!("{name}={}", encoded(value.as_str().unwrap())));
            uri = format!("{uri}?{}", pairs.collect::<Vec<_>>().join("&"));
        } else {
            body = params.to_string().into();
        }
        let mut request = Request::builder().method(method).uri(uri.trim_end_matches('?'));
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let connection = ConnectionInfo { peer: None, trusted: Some(caller.parse().unwrap()) };
        let response = self.router.dispatch(request.body(full_body(body)).unwrap(), connection).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    pub async fn get(&self, caller: &str, path: &str) -> Answer {
        self.call(caller, "GET", path, json!({})).await
    }

    pub async fn post(&self, caller: &str, path: &str, params: Value) -> Answer {
        self.call(caller, "POST", path, params).await
    }

    pub async fn put(&self, caller: &str, path: &str, params: Value) -> Answer {
        self.call(caller, "PUT", path, params).await
    }

    pub async fn delete(&self, caller: &str, path: &str) -> Answer {
        self.call(caller, "DELETE", path, json!({})).await
    }

    /// Creates a job that must be accepted.
    pub async fn create_job(&self, caller: &str, job: Value) {
        self.post(caller, "/config/sync", job).await.data();
    }

    /// Creates the remote `pbs2`; nobody listens there.
    pub async fn create_remote(&self) {
        let remote = json!({"name": "pbs2", "host": "pbs2.example", "auth-id": "sync@pbs", "password": "secret-1"});
        self.post(ROOT, "/config/remote", remote).await.data();
    }

    /// Returns a configuration file, empty if it is missing.
    pub fn file(&self, name: &str) -> String {
        fs::read_to_string(self.server.folder().join("etc").join(name)).unwrap_or_default()
    }

    /// Returns the names of the files with job states, sorted.
    pub fn job_states(&self) -> Vec<String> {
        let entries = fs::read_dir(self.server.folder().join("lib/jobstates")).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Gives [`USER`] roles on paths.
    pub fn grant(&self, roles: &[(&str, Role)]) {
        for (path, role) in roles {
            self.server.grant(path, USER, *role);
        }
    }
}
