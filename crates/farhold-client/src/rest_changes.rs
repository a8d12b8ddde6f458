//! REST calls that change a remote, and those that show one thing in full.
//!
//! None is sent twice, except where doing it again changes nothing. Deletions may take a quarter of an hour.
//! Source: `docs/spec/wire-protocol.md` 8 and 9.2, `docs/spec/rest-api.md` 12.

use bytes::Bytes;
use farhold_protocol::MAX_URL_BYTES;
use farhold_protocol::query::Query;
use farhold_types::{Authid, DatastoreName, DeleteStatistics, Group, Namespace, Snapshot, SnapshotFileItem};
use http::Method;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::client::{Call, Client, Content, Wait};
use crate::error::ClientError;
use crate::listing::Listing;
use crate::rest::not_root;

/// How full a remote's datastore is, in bytes. All 0 if our account may not know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct StoreStatus {
    /// Size of its file system.
    pub total: u64,
    /// Used on its file system, by whomever.
    pub used: u64,
    /// Free for us.
    pub avail: u64,
}

impl Client {
    /// Creates a namespace whose parent exists. One that exists already is fine.
    ///
    /// # Errors
    /// As [`Self::get`]; status 400 if the parent or the datastore is missing, 403 without the right to change the parent;
    /// [`ClientError::Configuration`] for the root, which always exists.
    pub async fn create_namespace(&self, store: &DatastoreName, ns: &Namespace) -> Result<(), ClientError> {
        let Some((parent, name)) = ns.parent().zip(ns.components().last()) else {
            let reason = "the root namespace cannot be created".to_owned();
            return Err(ClientError::Configuration { peer: self.peer(), reason });
        };
        let mut body = Map::new();
        body.insert("name".to_owned(), name.to_string().into());
        if !parent.is_root() {
            body.insert("parent".to_owned(), parent.to_string().into());
        }
        let mut call = self.json_call(Method::POST, &format!("/admin/datastore/{store}/namespace"), body);
        call.is_repeatable = true;
        self.data::<IgnoredAny>(&call).await.map(|_| ())
    }

    /// Removes a namespace and all below it. Returns what that removed, if the remote says it.
    ///
    /// `delete_groups`: also if there are groups; otherwise only empty namespaces go. `error_on_protected`: whether
    /// something that had to stay is an error (status 400, the rest is gone); servers before 3.2.11 do not know it, and
    /// always make it one.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn delete_namespace(
        &self,
        store: &DatastoreName,
        ns: &Namespace,
        delete_groups: bool,
        error_on_protected: Option<bool>,
    ) -> Result<Option<DeleteStatistics>, ClientError> {
        let query = Query::new()
            .with("delete-groups", delete_groups)
            .with_option("error-on-protected", error_on_protected)
            .with("ns", ns);
        self.delete(&format!("/admin/datastore/{store}/namespace"), &query).await
    }

    /// Removes all snapshots of a group that are not protected, and the group if none is left. Returns what that removed,
    /// if the remote says it. `error_on_protected`: as in [`Self::delete_namespace`].
    ///
    /// # Errors
    /// As [`Self::get`]; status 400 for a missing or busy group.
    pub async fn delete_group(
        &self,
        store: &DatastoreName,
        ns: &Namespace,
        group: &Group,
        error_on_protected: Option<bool>,
    ) -> Result<Option<DeleteStatistics>, ClientError> {
        let query = Query::new()
            .with("backup-id", &group.backup_id)
            .with("backup-type", group.backup_type)
            .with_option("error-on-protected", error_on_protected)
            .with("ns", ns);
        self.delete(&format!("/admin/datastore/{store}/groups"), &query).await
    }

    /// Removes a snapshot.
    ///
    /// # Errors
    /// As [`Self::get`]; status 400 for a protected, busy or missing one.
    pub async fn delete_snapshot(
        &self,
        store: &DatastoreName,
        ns: &Namespace,
        snapshot: &Snapshot,
    ) -> Result<(), ClientError> {
        self.delete(&format!("/admin/datastore/{store}/snapshots"), &snapshot_query(ns, snapshot)).await
    }

    /// Returns the files of a snapshot.
    ///
    /// # Errors
    /// As [`Self::get`]; status 400 for a missing snapshot and for one without a readable manifest.
    pub async fn snapshot_files(
        &self,
        store: &DatastoreName,
        ns: &Namespace,
        snapshot: &Snapshot,
    ) -> Result<Listing<SnapshotFileItem>, ClientError> {
        let call = self.listing_call(&format!("/admin/datastore/{store}/files"), &snapshot_query(ns, snapshot));
        self.listing(call, |_: &SnapshotFileItem| Ok(())).await
    }

    /// Returns a snapshot's notes, all lines; empty if it has none.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn snapshot_notes(
        &self,
        store: &DatastoreName,
        ns: &Namespace,
        snapshot: &Snapshot,
    ) -> Result<String, ClientError> {
        let notes: Option<String> =
            self.get(&format!("/admin/datastore/{store}/notes"), &snapshot_query(ns, snapshot)).await?;
        Ok(notes.unwrap_or_default())
    }

    /// Replaces a snapshot's notes.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn set_snapshot_notes(
        &self,
        store: &DatastoreName,
        ns: &Namespace,
        snapshot: &Snapshot,
        notes: &str,
    ) -> Result<(), ClientError> {
        let (query, mut body) = (snapshot_query(ns, snapshot), members(&group_query(ns, &snapshot.group)));
        body.insert("backup-time".to_owned(), snapshot.time.0.into());
        self.set_notes(&format!("/admin/datastore/{store}/notes"), query, body, notes).await
    }

    /// Returns a group's notes, all lines; empty if it has none.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn group_notes(
        &self,
        store: &DatastoreName,
        ns: &Namespace,
        group: &Group,
    ) -> Result<String, ClientError> {
        let notes: Option<String> =
            self.get(&format!("/admin/datastore/{store}/group-notes"), &group_query(ns, group)).await?;
        Ok(notes.unwrap_or_default())
    }

    /// Replaces a group's notes.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn set_group_notes(
        &self,
        store: &DatastoreName,
        ns: &Namespace,
        group: &Group,
        notes: &str,
    ) -> Result<(), ClientError> {
        let query = group_query(ns, group);
        let body = members(&query);
        self.set_notes(&format!("/admin/datastore/{store}/group-notes"), query, body, notes).await
    }

    /// Returns whether a snapshot is protected from removal; false for a missing one.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn is_protected(
        &self,
        store: &DatastoreName,
        ns: &Namespace,
        snapshot: &Snapshot,
    ) -> Result<bool, ClientError> {
        self.get(&format!("/admin/datastore/{store}/protected"), &snapshot_query(ns, snapshot)).await
    }

    /// Protects a snapshot from removal, or no longer.
    ///
    /// # Errors
    /// As [`Self::get`]; status 400 for a missing snapshot and for one that is being read.
    pub async fn set_protected(
        &self,
        store: &DatastoreName,
        ns: &Namespace,
        snapshot: &Snapshot,
        protected: bool,
    ) -> Result<(), ClientError> {
        let query = snapshot_query(ns, snapshot).with("protected", protected);
        self.put(&format!("/admin/datastore/{store}/protected"), &query).await
    }

    /// Stores the client log of a snapshot, which must not have one. `encoded`: the data blob.
    ///
    /// # Errors
    /// As [`Self::get`]; status 400 if there is one already, if the group belongs to somebody else, or if it is no blob.
    ///
    /// Source: `docs/spec/wire-protocol.md` 5.5.
    pub async fn upload_log(
        &self,
        store: &DatastoreName,
        ns: &Namespace,
        snapshot: &Snapshot,
        encoded: Bytes,
    ) -> Result<(), ClientError> {
        let path = format!("/admin/datastore/{store}/upload-backup-log");
        let content = Content::Raw(encoded);
        self.data(&Call { content, ..self.query_call(Method::POST, &path, &snapshot_query(ns, snapshot)) }).await
    }

    /// Returns how full a datastore is.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn store_status(&self, store: &DatastoreName) -> Result<StoreStatus, ClientError> {
        self.get(&format!("/admin/datastore/{store}/status"), &Query::new()).await
    }

    /// Gives a group to another account.
    ///
    /// # Errors
    /// As [`Self::get`]; status 401 if our account may not give it to that one.
    pub async fn change_owner(
        &self,
        store: &DatastoreName,
        ns: &Namespace,
        group: &Group,
        new_owner: &Authid,
    ) -> Result<(), ClientError> {
        let query = group_query(ns, group).with("new-owner", new_owner);
        let call = self.json_call(Method::POST, &format!("/admin/datastore/{store}/change-owner"), members(&query));
        self.data(&call).await
    }

    /// Sets the notes of what `query` and `body` name alike. Long ones do not fit into a query.
    async fn set_notes(
        &self,
        path: &str,
        query: Query,
        mut body: Map<String, Value>,
        notes: &str,
    ) -> Result<(), ClientError> {
        let call = self.query_call(Method::PUT, path, &query.with("notes", notes));
        if call.target.len() <= MAX_URL_BYTES {
            return self.data(&call).await;
        }
        body.insert("notes".to_owned(), notes.into());
        self.data(&self.json_call(Method::PUT, path, body)).await
    }

    fn json_call(&self, method: Method, path: &str, body: Map<String, Value>) -> Call {
        let content = Content::Json(Value::Object(body).to_string().into());
        Call { content, wait: Wait::Normal, ..self.query_call(method, path, &Query::new()) }
    }
}

/// Parameters that are all texts, as members of an object.
fn members(query: &Query) -> Map<String, Value> {
    query.pairs().iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect()
}

fn group_query(ns: &Namespace, group: &Group) -> Query {
    Query::new()
        .with("backup-id", &group.backup_id)
        .with("backup-type", group.backup_type)
        .with_option("ns", not_root(ns))
}

fn snapshot_query(ns: &Namespace, snapshot: &Snapshot) -> Query {
    Query::new()
        .with("backup-id", &snapshot.group.backup_id)
        .with("backup-time", snapshot.time.0)
        .with("backup-type", snapshot.group.backup_type)
        .with_option("ns", not_root(ns))
}
