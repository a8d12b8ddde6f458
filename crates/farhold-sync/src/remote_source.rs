//! Pulling from another server.

use bytes::{Bytes, BytesMut};
use farhold_client::{Client, ClientError, Listing, ReaderSession};
use farhold_types::{
    ArchiveName, Authid, DatastoreName, Digest, Group, GroupItem, Namespace, NamespaceItem, Snapshot, SnapshotItem,
};

use crate::fault::Told;
use crate::source::{Listed, Source, SourceError, SourceSnapshot, Visibility};

/// A datastore of a remote, as one of its accounts sees it.
pub struct RemoteSource {
    client: Client,
    store: DatastoreName,
    account: Authid,
}

impl RemoteSource {
    /// Returns the datastore `store` of the remote that `client` talks to as `account`.
    pub fn new(client: Client, store: DatastoreName, account: Authid) -> Self {
        // The engine asks again, and knows for how long.
        Self { client: client.with_single_attempts(), store, account }
    }
}

impl From<ClientError> for SourceError {
    fn from(error: ClientError) -> Self {
        let Told { fault, text, cause } = error.into();
        Self { fault, text, cause }
    }
}

pub(crate) fn listed<T, U>(listing: Listing<T>, name: impl Fn(T) -> U) -> Listed<U> {
    let mut unreadable: Vec<_> =
        listing.skipped.iter().map(|item| format!("{} ({})", item.text, item.reason)).collect();
    if unreadable.len() < listing.skipped_count {
        unreadable.push(format!("{} more", listing.skipped_count - unreadable.len()));
    }
    Listed {
        items: listing.items.into_iter().map(name).collect(),
        unreadable,
        withheld: Vec::new(),
        snapshot_count: None,
    }
}

/// Longest access control path, in characters. Source: `docs/spec/rest-api.md` 2.1, `acl-path`.
const MAX_ACCESS_PATH: usize = 128;

/// Whether an access control path is that of a namespace or of one above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Itself,
    Above,
}

/// Returns the path that decides about a namespace. Nobody can write down privileges for one whose path is too long, so
/// it has those that propagate from the longest path above it.
fn access_path(store: &DatastoreName, ns: &Namespace) -> (String, Reach) {
    let mut path = format!("/datastore/{store}");
    for component in ns.components() {
        if MAX_ACCESS_PATH < path.len() + 1 + component.len() {
            return (path, Reach::Above);
        }
        path.push('/');
        path.push_str(component);
    }
    (path, Reach::Itself)
}

pub(crate) fn bound(max_bytes: u64) -> usize {
    usize::try_from(max_bytes).unwrap_or(usize::MAX)
}

impl Source for RemoteSource {
    type Snapshot = ReaderSession;

    fn identity(&self) -> String {
        format!("{}/{}/{}", self.client.peer(), self.store, self.account)
    }

    async fn namespaces(&self, anchor: &Namespace, max_depth: Option<u8>) -> Result<Listed<Namespace>, SourceError> {
        let listing = self.client.namespaces(&self.store, anchor, max_depth.map(usize::from)).await?;
        Ok(listed(listing, |item: NamespaceItem| item.ns))
    }

    async fn groups(&self, ns: &Namespace) -> Result<Listed<Group>, SourceError> {
        let listing = self.client.groups(&self.store, ns).await?;
        let count = listing.items.iter().fold(0, |sum: u64, item| sum.saturating_add(item.backup_count));
        Ok(Listed { snapshot_count: Some(count), ..listed(listing, |item: GroupItem| item.group()) })
    }

    /// Asks the remote for the account's own privileges. With only `Datastore.Backup` it lists owned groups. A remote
    /// that does not answer the question counts as one that may hide everything.
    ///
    /// Source: `docs/spec/sync.md` 3.5, `docs/spec/rest-api.md` 5.6.
    async fn visibility(&self, ns: &Namespace) -> Result<Visibility, SourceError> {
        let (path, reach) = access_path(&self.store, ns);
        let mut privileges = match self.client.own_privileges(&path).await {
            Ok(privileges) => privileges,
            Err(ClientError::Status { .. }) => return Ok(Visibility::Nothing),
            Err(error) => return Err(error.into()),
        };
        privileges.retain(|_, propagates| reach == Reach::Itself || *propagates);
        let has = |name: &&str| privileges.contains_key(*name);
        Ok(if has(&"Datastore.Audit") {
            Visibility::Everything
        } else if ["Datastore.Read", "Datastore.Backup", "Datastore.Modify"].iter().any(has) {
            Visibility::SomeGroups
        } else {
            Visibility::Nothing
        })
    }

    async fn snapshots(&self, ns: &Namespace, group: &Group) -> Result<Listed<SnapshotItem>, SourceError> {
        let listing = self.client.snapshots(&self.store, ns, group).await?;
        Ok(listed(listing, |item| item))
    }

    async fn snapshots_of_namespace(&self, ns: &Namespace) -> Result<Listed<SnapshotItem>, SourceError> {
        let listing = self.client.snapshots_of_namespace(&self.store, ns).await?;
        Ok(listed(listing, |item| item))
    }

    async fn peek_manifest(&self, ns: &Namespace, snapshot: &Snapshot, max_bytes: u64) -> Result<Bytes, SourceError> {
        Ok(self.client.download_file(&self.store, ns, snapshot, &ArchiveName::manifest(), bound(max_bytes)).await?)
    }

    async fn open(&self, ns: &Namespace, snapshot: &Snapshot) -> Result<ReaderSession, SourceError> {
        Ok(self.client.open_reader(&self.store, ns, snapshot).await?)
    }
}

impl SourceSnapshot for ReaderSession {
    async fn file(&self, name: &ArchiveName, max_bytes: u64) -> Result<Bytes, SourceError> {
        Ok(self.download(name, bound(max_bytes)).await?)
    }

    async fn chunk(&self, digest: &Digest, max_bytes: u64) -> Result<Bytes, SourceError> {
        Ok(ReaderSession::chunk(self, digest, bound(max_bytes)).await?)
    }

    async fn resume_chunk(&self, digest: &Digest, max_bytes: u64, begun: &mut BytesMut) -> Result<Bytes, SourceError> {
        Ok(ReaderSession::resume_chunk(self, digest, bound(max_bytes), begun).await?)
    }

    async fn close(&self) {
        ReaderSession::close(self).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::RequestFault;

    #[test]
    fn a_namespace_with_a_long_name_is_decided_about_above_it() {
        let store = "tank".parse().unwrap();
        let path = |text: &str| access_path(&store, &text.parse().unwrap());
        assert_eq!(path(""), ("/datastore/tank".to_owned(), Reach::Itself));
        assert_eq!(path("a/b"), ("/datastore/tank/a/b".to_owned(), Reach::Itself));
        let long = "x".repeat(31);
        let (found, reach) = path(&[long.as_str(); 5].join("/"));
        assert_eq!((found.len(), reach), (15 + 3 * 32, Reach::Above));
    }

    #[test]
    fn what_passes_by_itself_is_worth_asking_again_and_a_refusal_is_not() {
        let status = |status| ClientError::Status { status, method: "GET", path: "/x".to_owned(), text: String::new() };
        let closed =
            ClientError::Connect { peer: "a:1".into(), source: std::sync::Arc::new(std::io::Error::other("x")) };
        for (error, fault) in [
            (closed, RequestFault::ConnectionLost),
            (status(502), RequestFault::ConnectionLost),
            (status(503), RequestFault::ConnectionLost),
            (status(504), RequestFault::ConnectionLost),
            (status(500), RequestFault::Refused),
            (status(403), RequestFault::Refused),
            (status(400), RequestFault::Refused),
            (status(404), RequestFault::NotFound),
        ] {
            let text = error.to_string();
            assert_eq!(SourceError::from(error).fault, fault, "{text}");
        }
    }
}
