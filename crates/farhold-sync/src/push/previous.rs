//! What the newest finished snapshot of the target is good for: its chunks need not be sent again.
//!
//! The target is asked for its manifest and indexes, which also makes their chunks known to the session. An index counts
//! only if it is the one that the manifest names. Whatever is wrong costs uploads, never correctness.
//!
//! Source: `docs/spec/sync.md` 10.4 steps 5 and 6, C.2 W6 and W43.

use std::sync::Arc;

use farhold_format::index::Index;
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_types::{ArchiveKind, ArchiveName, Group};

use crate::ahead::prepare::{MAX_BLOB_BYTES, max_file_bytes};
use crate::event::GroupEvent;
use crate::fault::RequestFault;
use crate::outcome::chain;
use crate::push::sender::Sender;
use crate::push::target::{PushSession, PushTarget, RemoteError};
use crate::source::Source;

/// Bytes that a previous index may have in any case: 400,000 entries, some
/// 1.6 TiB. The target says how long it is, and many may be in memory at once.
const MIN_PREVIOUS_BYTES: u64 = 16 << 20;

/// How often the new index may fit into the previous one. If far less content is left, it is sent again.
const PREVIOUS_FACTOR: u64 = 16;

/// What is known about the newest finished snapshot of the target when the next one of its group is pushed.
#[derive(Debug, Clone, Default)]
pub(crate) enum Newest {
    /// The group has no finished snapshot there.
    #[default]
    None,
    /// It has one.
    Listed,
    /// This run pushed it, with this manifest.
    Sent(Arc<Manifest>),
}

/// The part of the newest finished snapshot that is of use.
#[derive(Debug, Default)]
pub(crate) struct Previous {
    manifest: Option<Arc<Manifest>>,
}

/// An index of the previous snapshot.
pub(crate) struct PreviousIndex {
    pub(crate) index: Index,
    /// Its chunks are known to the session.
    pub(crate) is_registered: bool,
}

impl Previous {
    /// Asks for the previous manifest, if there is one. A failure is told and costs uploads.
    pub(crate) async fn find<S: Source, T: PushTarget>(
        sender: &Sender<'_, S, T>,
        newest: &Newest,
        group: &Group,
    ) -> Result<Self, RemoteError> {
        let found = match newest {
            Newest::None => return Ok(Self::default()),
            Newest::Sent(manifest) => Ok(manifest.clone()),
            Newest::Listed => match sender.session.previous(&ArchiveName::manifest(), MAX_BLOB_BYTES).await {
                Ok(raw) => Manifest::from_blob(&raw).map(Arc::new).map_err(|error| chain(&error)),
                Err(error) if error.ends_session() => return Err(error),
                Err(error) => Err(chain(&error)),
            },
        };
        let manifest = match found {
            Ok(manifest) if manifest.snapshot().group == *group => manifest,
            Ok(_) => return Ok(Self::unusable(sender, "it is that of another group")),
            Err(error) => return Ok(Self::unusable(sender, &error)),
        };
        let is_of_use = sender.form.may_use_previous(&manifest);
        Ok(Self { manifest: is_of_use.then_some(manifest) })
    }

    fn unusable<S: Source, T: PushTarget>(sender: &Sender<'_, S, T>, error: &str) -> Self {
        let (time, error) = (sender.time, error.to_owned());
        sender.events.emit(GroupEvent::NoPreviousManifest { time, error });
        Self::default()
    }

    /// Returns the manifest of the previous snapshot, if that is of use.
    pub(crate) fn manifest(&self) -> Option<&Arc<Manifest>> {
        self.manifest.as_ref()
    }

    /// Returns the previous index that goes by the name of `file`, if it is of use.
    ///
    /// `index`: the one that is sent. `wanted`: the index as the target is to have it, if all of it is known. A previous one that is the same need not be
    /// downloaded: a fixed index is taken over as a whole.
    pub(crate) async fn index<S: Source, T: PushTarget>(
        &self,
        sender: &Sender<'_, S, T>,
        file: &ManifestFile,
        index: &Index,
        wanted: Option<Index>,
    ) -> Option<PreviousIndex> {
        let entry = self.manifest()?.file(&file.name)?;
        let is_same = |index: &Index| entry.checksum == index.checksum() && entry.size_bytes == index.size_bytes();
        if file.name.kind() == ArchiveKind::FixedIndex
            && let Some(index) = wanted.filter(is_same)
        {
            return Some(PreviousIndex { index, is_registered: false });
        }
        let new_bytes = index.as_bytes().len() as u64;
        let most_bytes = MIN_PREVIOUS_BYTES.max(new_bytes.saturating_mul(PREVIOUS_FACTOR));
        let raw = sender.session.previous(&file.name, max_file_bytes(entry).min(most_bytes)).await.ok()?;
        let kind = file.name.kind();
        let found = sender.run.pool.run(move |_| Index::parse(kind, raw)).await.ok()?.ok()?;
        (found.checksum() == entry.checksum).then_some(PreviousIndex { index: found, is_registered: true })
    }
}

impl RemoteError {
    /// Returns whether nothing more can be done in the session in which this happened.
    pub(crate) fn ends_session(&self) -> bool {
        self.fault == RequestFault::ConnectionLost
    }
}
