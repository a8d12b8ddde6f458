//! Faults planted below the engine, to show that the simulation finds such faults.
//!
//! Each makes the pulling server's disk or the line break one promise silently, with the same effect as an error in the
//! engine or the datastore: a commit before its chunks, a skipped check, a forgotten mark of use, an owner that nobody
//! compares, a listing taken for complete. A simulation that did not notice would prove nothing about the real ones.

/// A planted fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Plant {
    /// None.
    #[default]
    Nothing,
    /// Some chunks are not written although it was said so: a commit before its chunks.
    ChunkLost,
    /// Some chunks are written with a wrong byte: a skipped check of what came.
    ChunkUnchecked,
    /// Nothing is flushed when it was asked for: a commit that is not durable.
    NeverFlushed,
    /// A chunk's access time stays as it is: a chunk that is relied on without being marked as used.
    NeverTouched,
    /// Every group belongs to the job's owner: a comparison that was forgotten.
    OwnerIgnored,
    /// No snapshot is protected.
    ProtectionIgnored,
    /// Temporary files stay.
    LeftBehind,
    /// Files are overwritten in place instead of replaced as one step.
    NotAtomic,
    /// Listings of the source miss a snapshot now and then and are taken for complete.
    ListingShortened,
}

impl Plant {
    /// All faults.
    pub const ALL: [Self; 9] = [
        Self::ChunkLost,
        Self::ChunkUnchecked,
        Self::NeverFlushed,
        Self::NeverTouched,
        Self::OwnerIgnored,
        Self::ProtectionIgnored,
        Self::LeftBehind,
        Self::NotAtomic,
        Self::ListingShortened,
    ];
}
