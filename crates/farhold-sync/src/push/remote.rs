//! Pushing to another server.

use farhold_client::Client;
use farhold_types::{Authid, DatastoreName};

/// A datastore of a remote, as one of its accounts may write to it.
#[expect(dead_code, reason = "what pushes through it comes next")]
pub struct RemoteTarget {
    pub(crate) client: Client,
    pub(crate) store: DatastoreName,
    pub(crate) account: Authid,
}

impl RemoteTarget {
    /// Returns the datastore `store` of the remote that `client` talks to as `account`.
    pub fn new(client: Client, store: DatastoreName, account: Authid) -> Self {
        // The engine asks again, and knows for how long.
        Self { client: client.with_single_attempts(), store, account }
    }
}
