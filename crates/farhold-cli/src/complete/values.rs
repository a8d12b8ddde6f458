//! Values that the configuration of the server knows, and those that a remote knows.
//!
//! Failures are silent: nothing is offered then. Remotes get a short time to answer, for somebody waits for the shell.

use std::time::Duration;

use farhold_api::schema::Param;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::Method;
use serde_json::{Map, Value, json};

use super::{Typed, ValueSource};
use crate::caller::{ApiCall, ApiCaller};
use crate::catalogue::LOCAL_NODE;

/// Longest wait for values: longer than a scan over a slow line, shorter than patience.
const VALUES_LIMIT: Duration = Duration::from_secs(4);

/// Paths of access control that always exist. Source: `docs/spec/rest-api.md` 5.5.
const ACL_PATHS: [&str; 14] = [
    "/",
    "/access",
    "/access/acl",
    "/access/domains",
    "/access/users",
    "/datastore",
    "/remote",
    "/system",
    "/system/certificates",
    "/system/disks",
    "/system/log",
    "/system/status",
    "/system/tasks",
    "/system/time",
];

/// Asks the API for names of configured things.
pub(super) struct ConfiguredNames<'a>(pub(super) Option<&'a dyn ApiCaller>);

impl ValueSource for ConfiguredNames<'_> {
    fn values<'a>(
        &'a self,
        words: &'a [&'static str],
        param: &'a Param,
        typed: &'a Typed,
    ) -> BoxFuture<'a, Vec<String>> {
        async move {
            let Some(caller) = self.0 else { return Vec::new() };
            let question = Question { words, typed, caller };
            tokio::time::timeout(VALUES_LIMIT, question.values(param)).await.unwrap_or_default()
        }
        .boxed()
    }
}

/// A place for a value: the command and what was typed in front of it.
struct Question<'a> {
    words: &'a [&'static str],
    typed: &'a Typed,
    caller: &'a dyn ApiCaller,
}

impl Question<'_> {
    async fn values(&self, param: &Param) -> Vec<String> {
        let first = self.words.first().copied().unwrap_or_default();
        // What a command makes has no name yet.
        let is_new = matches!(self.words.last(), Some(&("create" | "import" | "generate-token")));
        match (param.name, first) {
            ("name" | "id" | "token-name", _) if is_new => Vec::new(),
            ("userid", _) if self.words == ["user", "create"] => Vec::new(),
            ("store", "remote") => self.remote_stores().await,
            ("ns", "remote") => self.namespaces_of_remote(self.value("store").await).await,
            ("remote", _) | ("name", "remote") => self.names("/config/remote", json!({}), "name").await,
            ("store", _) | ("name", "datastore") => self.names("/config/datastore", json!({}), "name").await,
            ("name", "traffic-control") => self.names("/config/traffic-control", json!({}), "name").await,
            ("name" | "target", "notification") => self.notification_names(param.name).await,
            ("id", "sync-job") => self.names("/config/sync", json!({ "sync-direction": "all" }), "id").await,
            ("id", "prune-job") => self.names("/config/prune", json!({}), "id").await,
            ("id", "verify-job") => self.names("/config/verify", json!({}), "id").await,
            ("id", "encryption-key") => self.keys(true).await,
            ("active-encryption-key", _) => self.keys(false).await,
            ("associated-key", _) => self.keys(true).await,
            ("userid" | "notify-user", _) => self.names("/access/users", json!({}), "userid").await,
            ("auth-id", "remote") => Vec::new(),
            ("auth-id" | "owner", _) => self.identities().await,
            ("token-name", _) => {
                let user = json!({ "userid": self.typed.positionals.first() });
                self.names("/access/users/{userid}/token", user, "token-name").await
            }
            ("privilege", _) => self.privileges().await,
            ("role", _) => self.names("/access/roles", json!({}), "roleid").await,
            ("path", "acl" | "user") => self.acl_paths().await,
            ("upid", _) => self.names("/nodes/{node}/tasks", json!({ "node": LOCAL_NODE }), "upid").await,
            ("remote-store", _) => self.remote_stores().await,
            ("remote-ns", _) => self.remote_namespaces().await,
            ("ns", _) => self.namespaces(self.value("store").await).await,
            ("group-filter", _) => self.groups().await,
            _ => Vec::new(),
        }
    }

    /// Returns the rows of a list; none if it cannot be had.
    async fn rows(&self, path: &str, params: Value) -> Vec<Value> {
        let params: Map<String, Value> = params.as_object().cloned().unwrap_or_default();
        let reply = self.caller.call(ApiCall::new(Method::GET, path, params)).await;
        match reply.map(|reply| reply.data) {
            Ok(Value::Array(rows)) => rows,
            _ => Vec::new(),
        }
    }

    async fn names(&self, path: &str, params: Value, property: &str) -> Vec<String> {
        let rows = self.rows(path, params).await;
        rows.iter().filter_map(|row| row.get(property)?.as_str().map(str::to_owned)).collect()
    }

    /// Returns what a parameter has: as typed, or as the sync job has it that was named.
    async fn value(&self, name: &str) -> Option<String> {
        if let Some(value) = self.typed.value(name) {
            return Some(value.to_owned());
        }
        if self.words.first() != Some(&"sync-job") {
            return None;
        }
        let params = json!({ "id": self.typed.value("id")? }).as_object().cloned().unwrap_or_default();
        let job = self.caller.call(ApiCall::new(Method::GET, "/config/sync/{id}", params)).await.ok()?;
        job.data.get(name)?.as_str().map(str::to_owned)
    }

    /// Returns the name of the remote that the command is about; `remote` has it as `name`.
    async fn remote(&self) -> Option<String> {
        if self.words == ["remote", "scan"] {
            return self.typed.value("name").map(str::to_owned);
        }
        self.value("remote").await
    }

    async fn remote_stores(&self) -> Vec<String> {
        match self.remote().await {
            Some(remote) => self.names("/config/remote/{name}/scan", json!({ "name": remote }), "store").await,
            // The other side of a job without remote is here.
            None => self.names("/config/datastore", json!({}), "name").await,
        }
    }

    async fn remote_namespaces(&self) -> Vec<String> {
        let store = self.value("remote-store").await;
        if self.remote().await.is_some() {
            return self.namespaces_of_remote(store).await;
        }
        self.namespaces(store).await
    }

    async fn namespaces_of_remote(&self, store: Option<String>) -> Vec<String> {
        let (Some(remote), Some(store)) = (self.remote().await, store) else { return Vec::new() };
        let params = json!({ "name": remote, "store": store });
        let names = self.names("/config/remote/{name}/scan/{store}/namespaces", params, "ns").await;
        names.into_iter().filter(|ns| !ns.is_empty()).collect()
    }

    async fn namespaces(&self, store: Option<String>) -> Vec<String> {
        let Some(store) = store else { return Vec::new() };
        let names = self.names("/admin/datastore/{store}/namespace", json!({ "store": store }), "ns").await;
        names.into_iter().filter(|ns| !ns.is_empty()).collect()
    }

    /// Returns filters for the groups that the source of a sync has.
    async fn groups(&self) -> Vec<String> {
        let is_push = self.words == ["push"] || self.value("sync-direction").await.as_deref() == Some("push");
        let (store, ns) = if is_push { ("store", "ns") } else { ("remote-store", "remote-ns") };
        let (Some(store), ns) = (self.value(store).await, self.value(ns).await.unwrap_or_default()) else {
            return Vec::new();
        };
        let remote = if is_push { None } else { self.remote().await };
        let rows = match remote {
            Some(remote) => {
                let params = json!({ "name": remote, "store": store, "namespace": ns });
                self.rows("/config/remote/{name}/scan/{store}/groups", params).await
            }
            None => self.rows("/admin/datastore/{store}/groups", json!({ "store": store, "ns": ns })).await,
        };
        let group = |row: &Value| {
            let part = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
            Some(format!("group:{}/{}", part("backup-type")?, part("backup-id")?))
        };
        rows.iter().filter_map(group).collect()
    }

    async fn keys(&self, with_archived: bool) -> Vec<String> {
        self.names("/config/encryption-keys", json!({ "include-archived": with_archived }), "id").await
    }

    /// Returns all users and their API tokens.
    async fn identities(&self) -> Vec<String> {
        let rows = self.rows("/access/users", json!({ "include_tokens": true })).await;
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let of_user = |row: &Value| {
            let tokens = row.get("tokens").and_then(Value::as_array).into_iter().flatten();
            let tokens = tokens.filter_map(|token| text(token.get("tokenid"))).collect::<Vec<_>>();
            text(row.get("userid")).into_iter().chain(tokens).collect::<Vec<_>>()
        };
        rows.iter().flat_map(of_user).collect()
    }

    /// Returns all privileges that any role has.
    async fn privileges(&self) -> Vec<String> {
        let rows = self.rows("/access/roles", json!({})).await;
        let of_role = |row: &Value| row.get("privs").and_then(Value::as_array).cloned().unwrap_or_default();
        rows.iter().flat_map(of_role).filter_map(|privilege| privilege.as_str().map(str::to_owned)).collect()
    }

    async fn acl_paths(&self) -> Vec<String> {
        let below =
            |above: &str, names: Vec<String>| names.into_iter().map(move |name| format!("{above}/{name}")).collect();
        let stores: Vec<String> = below("/datastore", self.names("/config/datastore", json!({}), "name").await);
        let remotes: Vec<String> = below("/remote", self.names("/config/remote", json!({}), "name").await);
        ACL_PATHS.iter().map(|path| (*path).to_owned()).chain(stores).chain(remotes).collect()
    }

    /// Returns the names of matchers, of targets, or of the endpoints of one type.
    async fn notification_names(&self, param: &str) -> Vec<String> {
        let path = match self.words {
            _ if param == "target" => "/config/notifications/targets".to_owned(),
            [_, "matcher", ..] => "/config/notifications/matchers".to_owned(),
            [_, "endpoint", kind, ..] => format!("/config/notifications/endpoints/{kind}"),
            _ => "/config/notifications/targets".to_owned(),
        };
        self.names(&path, json!({}), "name").await
    }
}
