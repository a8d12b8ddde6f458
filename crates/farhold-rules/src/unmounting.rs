//! What is decided while a removable datastore is unmounted: who may still begin to use it, when its device may go, and what
//! becomes of its maintenance mode.
//!
//! Pure. Unmounting sets the mode first and then waits for who is counted; who wants to use the store looks at the mode, is
//! counted, and looks again. In whatever order these steps come, either is seen by the other.
//!
//! Source: `docs/spec/schedules-and-tasks.md` 11.3.

use thiserror::Error;

/// The maintenance mode of a datastore, as far as unmounting looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// None is set.
    Unset,
    /// The datastore is being unmounted.
    Unmount,
    /// The datastore is being removed.
    Delete,
    /// Another one.
    Other,
}

/// Why unmounting cannot begin: whoever removes the datastore relies on nobody getting it before it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the datastore is being deleted")]
pub struct BeingDeleted;

/// Returns the mode with which unmounting begins, whatever was set before.
///
/// # Errors
/// The datastore is being removed.
pub const fn begun(mode: Mode) -> Result<Mode, BeingDeleted> {
    match mode {
        Mode::Delete => Err(BeingDeleted),
        _ => Ok(Mode::Unmount),
    }
}

/// Returns the mode after unmounting ended, was given up, or was cut off by the end of the server and the device is mounted
/// anew. A mode that somebody else has set stays.
pub const fn ended(mode: Mode) -> Mode {
    match mode {
        Mode::Unmount => Mode::Unset,
        other => other,
    }
}

/// Who uses a datastore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Users {
    /// Operations that read.
    pub readers: u64,
    /// Operations that write.
    pub writers: u64,
    /// Whether another process holds the lock of those who write.
    pub others: bool,
}

/// What somebody who waits for a datastore to be unused does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Look again a little later.
    Wait,
    /// Let go of the device.
    Unmount,
    /// Somebody set another mode: stop, and leave the device where it is.
    GiveUp,
}

/// Returns what is to be done with a datastore in this mode that is used like this.
pub const fn next_step(mode: Mode, users: &Users) -> Step {
    match (mode, users) {
        (Mode::Unmount, Users { readers: 0, writers: 0, others: false }) => Step::Unmount,
        (Mode::Unmount, _) => Step::Wait,
        _ => Step::GiveUp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODES: [Mode; 4] = [Mode::Unset, Mode::Unmount, Mode::Delete, Mode::Other];

    #[test]
    fn only_an_unused_store_that_is_still_being_unmounted_goes() {
        let users = |readers, writers, others| Users { readers, writers, others };
        for mode in MODES {
            for (users, if_unmounting) in [
                (users(0, 0, false), Step::Unmount),
                (users(1, 0, false), Step::Wait),
                (users(0, 1, false), Step::Wait),
                (users(0, 0, true), Step::Wait),
            ] {
                let expected = if mode == Mode::Unmount { if_unmounting } else { Step::GiveUp };
                assert_eq!(next_step(mode, &users), expected, "{mode:?} {users:?}");
            }
        }
    }

    #[test]
    fn the_mode_of_a_removal_is_neither_replaced_nor_removed_and_that_of_others_only_replaced() {
        let begun: Vec<_> = MODES.into_iter().map(begun).collect();
        assert_eq!(begun, [Ok(Mode::Unmount), Ok(Mode::Unmount), Err(BeingDeleted), Ok(Mode::Unmount)]);
        let ended: Vec<_> = MODES.into_iter().map(ended).collect();
        assert_eq!(ended, [Mode::Unset, Mode::Unset, Mode::Delete, Mode::Other]);
    }
}
