//! Which chunks a backup session may name.
//!
//! The target lets a session refer to chunks only that it uploaded or that are in an index which it asked for as
//! `previous`. One set serves all archives of a session, also when they are sent at the same time: a chunk that is on its
//! way for one archive is waited for by the others.
//!
//! Source: `docs/spec/wire-protocol.md` 5.2, `docs/spec/sync.md` C.2 W5.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farhold_types::Digest;
use tokio::sync::watch;

enum Entry {
    Known,
    Coming(watch::Receiver<()>),
}

/// The chunks of one session.
#[derive(Clone, Default)]
pub(crate) struct SessionChunks {
    entries: Arc<Mutex<HashMap<Digest, Entry>>>,
}

/// What is to be done about a chunk.
pub(crate) enum Claim {
    /// Nothing.
    Known,
    /// It is being uploaded; wait with [`arrival`].
    Coming(watch::Receiver<()>),
    /// Whoever gets this uploads it.
    Mine(Upload),
}

/// The duty to upload a chunk. Dropping it gives it back.
pub(crate) struct Upload {
    chunks: SessionChunks,
    digest: Digest,
    _done: watch::Sender<()>,
    is_done: bool,
}

impl SessionChunks {
    fn entries(&self) -> MutexGuard<'_, HashMap<Digest, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds chunks of an index of the previous snapshot.
    pub(crate) fn add(&self, digests: impl IntoIterator<Item = Digest>) {
        let mut entries = self.entries();
        for digest in digests {
            entries.insert(digest, Entry::Known);
        }
    }

    pub(crate) fn is_known(&self, digest: &Digest) -> bool {
        matches!(self.entries().get(digest), Some(Entry::Known))
    }

    /// Decides who uploads a chunk.
    pub(crate) fn claim(&self, digest: Digest) -> Claim {
        let mut entries = self.entries();
        match entries.get(&digest) {
            Some(Entry::Known) => Claim::Known,
            Some(Entry::Coming(arrival)) => Claim::Coming(arrival.clone()),
            None => {
                let (sender, receiver) = watch::channel(());
                entries.insert(digest, Entry::Coming(receiver));
                Claim::Mine(Upload { chunks: self.clone(), digest, _done: sender, is_done: false })
            }
        }
    }
}

/// Waits until somebody else's upload came to an end. Whether it went well is seen by [`SessionChunks::claim`].
pub(crate) async fn arrival(mut arrival: watch::Receiver<()>) {
    // Nothing is ever sent: the sender is dropped at the end of the upload.
    while arrival.changed().await.is_ok() {}
}

impl Upload {
    /// Notes that the target confirmed the chunk.
    pub(crate) fn done(mut self) {
        self.is_done = true;
        self.chunks.entries().insert(self.digest, Entry::Known);
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.is_done {
            self.chunks.entries().remove(&self.digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_chunk_is_uploaded_once_and_again_only_if_that_failed() {
        let chunks = SessionChunks::default();
        let digest = Digest([7; 32]);
        for is_done in [false, true] {
            let Claim::Mine(upload) = chunks.claim(digest) else { unreachable!("nobody has it") };
            let Claim::Coming(coming) = chunks.claim(digest) else { unreachable!("it is on its way") };
            assert!(!chunks.is_known(&digest));
            if is_done {
                upload.done();
            } else {
                drop(upload);
            }
            arrival(coming).await;
        }
        assert!(chunks.is_known(&digest) && matches!(chunks.claim(digest), Claim::Known));
    }
}
