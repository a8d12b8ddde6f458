//! Groups, snapshots, owners, locks and chunks of a datastore.
