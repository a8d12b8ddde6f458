//! REST calls: general ones, and typed ones for what a sync needs.
//!
//! Paths, parameters and their order are those that real peers send (`tests/golden/wire/pull-*.jsonl`).

use std::collections::BTreeMap;

use bytes::Bytes;
use farhold_protocol::query::Query;
use farhold_types::{
    ArchiveName, DatastoreName, Epoch, Group, GroupItem, Namespace, NamespaceItem, Snapshot, SnapshotItem, VersionItem,
};
use http::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::client::{Call, Client, Content, Wait};
use crate::error::ClientError;
use crate::listing::{Listing, read_data, read_listing};

/// Where the JSON formatter lives. Source: `docs/spec/wire-protocol.md` 2.1.
const PREFIX: &str = "/api2/json";
/// Answers above this size are decoded off the network threads.
const LARGE_ANSWER_BYTES: usize = 256 * 1024;

/// A datastore of the remote that our account may see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RemoteDatastore {
    /// Its name.
    pub store: DatastoreName,
    /// Its comment.
    #[serde(default)]
    pub comment: Option<String>,
    /// Whether its device is mounted, as the remote says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_status: Option<String>,
    /// Its maintenance mode, as the remote says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<String>,
    /// Kind of its storage, as the remote says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_type: Option<String>,
}

impl Client {
    /// Reads from `path` (below `/api2/json`). Repeated when the connection breaks.
    ///
    /// # Errors
    /// As all calls: connection, certificate, login, a status that is no success, an answer that is too large or no
    /// JSON of this type.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &Query) -> Result<T, ClientError> {
        self.data(&self.query_call(Method::GET, path, query)).await
    }

    /// Reads the list at `path` (below `/api2/json`) item by item as the remote sent it, with the time and space of
    /// large listings. Repeated when the connection breaks.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn list(&self, path: &str, query: &Query) -> Result<Vec<Value>, ClientError> {
        let listing = self.listing(self.listing_call(path, query), |_: &Value| Ok(())).await?;
        Ok(listing.items)
    }

    /// Calls `path` with a JSON object. Never sent twice.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body)
            .map_err(|e| ClientError::Configuration { peer: self.peer(), reason: e.to_string() })?;
        let mut call = self.query_call(Method::POST, path, &Query::new());
        call.content = Content::Json(body.into());
        self.data(&call).await
    }

    /// Changes `path`; parameters go in the query. Never sent twice.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn put<T: DeserializeOwned>(&self, path: &str, query: &Query) -> Result<T, ClientError> {
        self.data(&self.query_call(Method::PUT, path, query)).await
    }

    /// Removes `path`; parameters go in the query. Never sent twice, and given long to finish.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn delete<T: DeserializeOwned>(&self, path: &str, query: &Query) -> Result<T, ClientError> {
        self.data(&Call { wait: Wait::Long, ..self.query_call(Method::DELETE, path, query) }).await
    }

    /// Calls `path` (below `/api2/json`) and returns the whole answer, `data` and what stands beside it. Parameters go in
    /// the query of calls that read and remove, in a JSON body otherwise. Only calls that read are sent twice.
    ///
    /// # Errors
    /// As [`Self::get`]; the answer is no object.
    pub async fn envelope(
        &self,
        method: Method,
        path: &str,
        params: &Map<String, Value>,
    ) -> Result<Map<String, Value>, ClientError> {
        let has_body = method == Method::POST || method == Method::PUT;
        let mut query = Query::new();
        for (name, value) in params.iter().filter(|_| !has_body) {
            query = query.with(name, value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        let mut call = self.query_call(method, path, &query);
        if has_body {
            let body = serde_json::to_vec(params)
                .map_err(|e| ClientError::Configuration { peer: self.peer(), reason: e.to_string() })?;
            call.content = Content::Json(body.into());
        }
        let body = self.success(&call).await?;
        if body.is_empty() {
            return Ok(Map::new());
        }
        serde_json::from_slice(&body).map_err(|error| self.unreadable(&call, &error))
    }

    /// Returns the remote's version.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn version(&self) -> Result<VersionItem, ClientError> {
        self.get("/version", &Query::new()).await
    }

    /// Returns the datastores our account may see.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn datastores(&self) -> Result<Listing<RemoteDatastore>, ClientError> {
        self.listing(self.listing_call("/admin/datastore", &Query::new()), |_: &RemoteDatastore| Ok(())).await
    }

    /// Returns our account's privileges on an access control path, by name, such as `Datastore.Audit`, and whether each
    /// propagates to what lies below.
    ///
    /// # Errors
    /// As [`Self::get`]; status 400 for a path that the remote does not accept.
    ///
    /// Source: `docs/spec/rest-api.md` 5.6.
    pub async fn own_privileges(&self, path: &str) -> Result<BTreeMap<String, bool>, ClientError> {
        let query = Query::new().with("path", path);
        let mut paths: BTreeMap<String, BTreeMap<String, bool>> = self.get("/access/permissions", &query).await?;
        Ok(paths.remove(path).unwrap_or_default())
    }

    /// Returns `parent` and the namespaces below it, in the remote's order, at most `max_depth` levels below.
    ///
    /// `parent` itself is listed even if it does not exist; [`Self::groups`] then fails with status 400.
    ///
    /// # Errors
    /// As [`Self::get`]; [`ClientError::NamespacesUnsupported`] if the remote is too old to know namespaces.
    ///
    /// Source: `docs/spec/wire-protocol.md` 9.1.
    pub async fn namespaces(
        &self,
        store: &DatastoreName,
        parent: &Namespace,
        max_depth: Option<usize>,
    ) -> Result<Listing<NamespaceItem>, ClientError> {
        let query = Query::new()
            .with_option("max-depth", max_depth)
            .with_option("parent", Some(parent).filter(|parent| !parent.is_root()));
        let mut call = self.listing_call(&format!("/admin/datastore/{store}/namespace"), &query);
        if query.is_empty() {
            // As real peers send it.
            call.target.push('?');
        }
        let parent = parent.clone();
        let check = move |item: &NamespaceItem| {
            if item.ns.is_at_or_below(&parent) { Ok(()) } else { Err("lies outside the namespace asked for") }
        };
        self.listing(call, check).await.map_err(|error| match error {
            ClientError::Status { status: 404, .. } => ClientError::NamespacesUnsupported { peer: self.peer() },
            other => other,
        })
    }

    /// Returns the groups of a namespace, in no order.
    ///
    /// # Errors
    /// As [`Self::get`]; status 400 if the namespace or datastore is missing.
    pub async fn groups(&self, store: &DatastoreName, ns: &Namespace) -> Result<Listing<GroupItem>, ClientError> {
        let query = Query::new().with_option("ns", not_root(ns));
        self.listing(self.listing_call(&format!("/admin/datastore/{store}/groups"), &query), |_: &GroupItem| Ok(()))
            .await
    }

    /// Returns the snapshots of a group, in no order; none if group or namespace is missing.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn snapshots(
        &self,
        store: &DatastoreName,
        ns: &Namespace,
        group: &Group,
    ) -> Result<Listing<SnapshotItem>, ClientError> {
        let query = Query::new()
            .with("backup-id", &group.backup_id)
            .with("backup-type", group.backup_type)
            .with_option("ns", not_root(ns));
        let call = self.listing_call(&format!("/admin/datastore/{store}/snapshots"), &query);
        let group = group.clone();
        let check = move |item: &SnapshotItem| {
            if item.backup_type != group.backup_type || item.backup_id != group.backup_id {
                Err("belongs to another group")
            } else {
                has_time(item)
            }
        };
        self.listing(call, check).await
    }

    /// Returns the snapshots of all groups of a namespace that our account may see, in no order; none if the namespace is
    /// missing.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn snapshots_of_namespace(
        &self,
        store: &DatastoreName,
        ns: &Namespace,
    ) -> Result<Listing<SnapshotItem>, ClientError> {
        let query = Query::new().with_option("ns", not_root(ns));
        self.listing(self.listing_call(&format!("/admin/datastore/{store}/snapshots"), &query), has_time).await
    }

    /// Returns a file of a snapshot as it is stored, without opening a session.
    ///
    /// # Errors
    /// As [`Self::get`]; status 400 if the file, the snapshot or the namespace is missing; [`ClientError::TooLarge`]
    /// above `max_bytes`.
    ///
    /// Source: `docs/spec/rest-api.md`, `GET S/download`.
    pub async fn download_file(
        &self,
        store: &DatastoreName,
        ns: &Namespace,
        snapshot: &Snapshot,
        name: &ArchiveName,
        max_bytes: usize,
    ) -> Result<Bytes, ClientError> {
        let query = Query::new()
            .with("backup-id", &snapshot.group.backup_id)
            .with("backup-time", snapshot.time.0)
            .with("backup-type", snapshot.group.backup_type)
            .with("file-name", name)
            .with_option("ns", not_root(ns));
        let path = format!("/admin/datastore/{store}/download");
        self.success(&Call { max_bytes, ..self.query_call(Method::GET, &path, &query) }).await
    }

    pub(crate) fn query_call(&self, method: Method, path: &str, query: &Query) -> Call {
        let mark = if query.is_empty() { "" } else { "?" };
        let is_repeatable = method == Method::GET;
        let target = format!("{PREFIX}{path}{mark}{query}");
        Call { method, is_repeatable, ..Call::get(target, self.limits().answer_bytes) }
    }

    pub(crate) fn listing_call(&self, path: &str, query: &Query) -> Call {
        let max_bytes = self.limits().listing_bytes;
        Call { wait: Wait::Long, max_bytes, ..self.query_call(Method::GET, path, query) }
    }

    async fn success(&self, call: &Call) -> Result<Bytes, ClientError> {
        let answer = self.call(call).await?;
        if answer.status.is_success() { Ok(answer.body) } else { Err(call.status_error(answer.status, &answer.body)) }
    }

    pub(crate) async fn data<T: DeserializeOwned>(&self, call: &Call) -> Result<T, ClientError> {
        let body = self.success(call).await?;
        read_data(&body).map_err(|error| self.unreadable(call, &error))
    }

    pub(crate) async fn listing<T, F>(&self, call: Call, check: F) -> Result<Listing<T>, ClientError>
    where
        T: DeserializeOwned + Send + 'static,
        F: Fn(&T) -> Result<(), &'static str> + Send + 'static,
    {
        let body = self.success(&call).await?;
        let listing = if body.len() < LARGE_ANSWER_BYTES {
            read_listing(&body, check)
        } else {
            let decoded = tokio::task::spawn_blocking(move || read_listing(&body, check)).await;
            decoded.map_err(|e| self.wrong(e.to_string()))?
        };
        listing.map_err(|error| self.unreadable(&call, &error))
    }

    fn unreadable(&self, call: &Call, error: &serde_json::Error) -> ClientError {
        let path = call.target.split('?').next().unwrap_or_default();
        self.wrong(format!("the answer to {path} cannot be read: {error}"))
    }
}

fn has_time(item: &SnapshotItem) -> Result<(), &'static str> {
    if (1..=Epoch::MAX.0).contains(&item.backup_time.0) { Ok(()) } else { Err("backup time is out of range") }
}

pub(crate) fn not_root(ns: &Namespace) -> Option<&Namespace> {
    Some(ns).filter(|ns| !ns.is_root())
}
