//! Faults planted below the engine and the datastore, to show that the simulation finds such faults.
//!
//! Each makes the pulling server's disk or the line break one promise silently, or lets a job of the datastore see
//! something else than what is there, with the same effect as an error in the engine or the datastore: a commit before
//! its chunks, a skipped check, a forgotten mark of use, an owner that nobody compares, a listing taken for complete, a
//! collection that knows of no writers, a device that goes while it is used. A simulation that did not notice would prove nothing about the real ones.

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
    /// Garbage collection knows of no writers of its own process.
    WritersIgnored,
    /// Garbage collection has no grace for what was used a little before the oldest writer began.
    GraceIgnored,
    /// Garbage collection finds the journal of moves empty.
    MovesIgnored,
    /// Garbage collection leaves some chunks alone that nobody uses.
    GarbageLeft,
    /// Verification does not see damage.
    DamageOverlooked,
    /// Verification calls good chunks bad.
    DamageInvented,
    /// Pruning does not see what is protected.
    PruneBlind,
    /// Pruning keeps one less than it was told.
    PruneGreedy,
    /// Garbage collection believes that writers used nothing before they began, also if the clock was set back since.
    SetBackIgnored,
    /// Unmounting does not wait for who uses the store.
    UnmountHasty,
    /// Who begins to use a store does not look at its mode again after having been counted.
    LateLookSkipped,
    /// What is pushed becomes visible before its chunks are written.
    ManifestFirst,
    /// A push takes for known what was sent at any time, instead of what the session may name.
    KnownAssumed,
}

impl Plant {
    /// All faults.
    pub const ALL: [Self; 22] = [
        Self::ChunkLost,
        Self::ChunkUnchecked,
        Self::NeverFlushed,
        Self::NeverTouched,
        Self::OwnerIgnored,
        Self::ProtectionIgnored,
        Self::LeftBehind,
        Self::NotAtomic,
        Self::ListingShortened,
        Self::WritersIgnored,
        Self::GraceIgnored,
        Self::MovesIgnored,
        Self::GarbageLeft,
        Self::DamageOverlooked,
        Self::DamageInvented,
        Self::PruneBlind,
        Self::PruneGreedy,
        Self::SetBackIgnored,
        Self::UnmountHasty,
        Self::LateLookSkipped,
        Self::ManifestFirst,
        Self::KnownAssumed,
    ];
}
