//! Which version a peer has, and what that means for a push.
//!
//! Source: `docs/spec/sync.md` 10.1 (2) and 20.

use thiserror::Error;

/// The version that a server tells, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerVersion {
    /// First number of `version`.
    pub major: u32,
    /// Second number of `version`.
    pub minor: u32,
    /// `release`.
    pub release: u32,
}

/// A peer cannot be pushed to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PeerVersionError {
    /// The text of the version cannot be read.
    #[error("remote tells a version that makes no sense: '{version}', release '{release}'")]
    Text {
        /// As told, shortened.
        version: String,
        /// As told, shortened.
        release: String,
    },
    /// It is too old. The first words are the reference's.
    #[error("unsupported remote api version, minimum v2.2 required, but the remote has v{}.{}.{}", .found.major, .found.minor, .found.release)]
    TooOld {
        /// What the remote has.
        found: PeerVersion,
    },
}

/// Longest part of a text of the peer in an error, in characters. A version has less than ten.
const MAX_SHOWN: usize = 40;

impl PeerVersion {
    /// The first version with namespaces, which push works with.
    pub const FIRST_TO_PUSH_TO: Self = Self { major: 2, minor: 2, release: 0 };

    /// The first version whose deletions take `error-on-protected` and tell what they removed.
    pub const FIRST_WITH_DELETE_STATISTICS: Self = Self { major: 3, minor: 2, release: 11 };

    /// Reads what a server tells. `version`: `major.minor`, more parts are ignored; `release`: a number.
    ///
    /// # Errors
    /// [`PeerVersionError::Text`].
    pub fn parse(version: &str, release: &str) -> Result<Self, PeerVersionError> {
        let mut parts = version.split('.').map(|part| part.parse().ok());
        match (parts.next().flatten(), parts.next().flatten(), release.parse().ok()) {
            (Some(major), Some(minor), Some(release)) => Ok(Self { major, minor, release }),
            _ => {
                let shown = |text: &str| text.chars().filter(|c| !c.is_control()).take(MAX_SHOWN).collect();
                Err(PeerVersionError::Text { version: shown(version), release: shown(release) })
            }
        }
    }

    /// Checks that a push to the server is possible.
    ///
    /// # Errors
    /// [`PeerVersionError::TooOld`].
    pub fn check_push(self) -> Result<(), PeerVersionError> {
        if self < Self::FIRST_TO_PUSH_TO { Err(PeerVersionError::TooOld { found: self }) } else { Ok(()) }
    }

    /// Returns whether deletions take `error-on-protected`, and tell how much they removed.
    pub fn has_delete_statistics(self) -> bool {
        Self::FIRST_WITH_DELETE_STATISTICS <= self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_gated() {
        for (version, release, may_push, has_statistics) in [
            ("2.1", "99", false, false),
            ("2.2", "0", true, false),
            ("3.1", "5", true, false),
            ("3.2", "10", true, false),
            ("3.2", "11", true, true),
            ("3.10", "0", true, true),
            ("4.2", "1", true, true),
            ("4.2.1", "1", true, true),
            ("10.0", "0", true, true),
        ] {
            let found = PeerVersion::parse(version, release).unwrap();
            assert_eq!(found.check_push().is_ok(), may_push, "{version}-{release}");
            assert_eq!(found.has_delete_statistics(), has_statistics, "{version}-{release}");
        }
    }

    #[test]
    fn what_is_no_version_is_refused_and_not_repeated_at_length() {
        for (version, release) in
            [("4", "1"), ("", "1"), ("4.2", ""), ("4.2", "1-1"), ("4.x", "1"), ("-4.2", "1"), ("4.99999999999", "1")]
        {
            assert!(PeerVersion::parse(version, release).is_err(), "{version}-{release}");
        }
        let error = PeerVersion::parse(&"x\n".repeat(1000), "1").unwrap_err().to_string();
        assert!(error.len() < 150 && !error.contains('\n'), "{error}");
        let old = PeerVersion::parse("2.1", "9").unwrap().check_push().unwrap_err().to_string();
        assert_eq!(old, "unsupported remote api version, minimum v2.2 required, but the remote has v2.1.9");
    }
}
