//! Backup groups and snapshots by name.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::epoch::Epoch;
use crate::name::{NameError, check_safe_id, text_value};

/// What was backed up. Ordered as the reference orders groups: `ct`, `host`, `vm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupType {
    /// A container.
    Ct,
    /// A host's files.
    Host,
    /// A virtual machine.
    Vm,
}

impl BackupType {
    /// All backup types, in order.
    pub const ALL: [Self; 3] = [Self::Ct, Self::Host, Self::Vm];

    /// Returns the wire and directory name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ct => "ct",
            Self::Host => "host",
            Self::Vm => "vm",
        }
    }
}

impl fmt::Display for BackupType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for BackupType {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::ALL.into_iter().find(|t| t.as_str() == text).ok_or(NameError::Form("backup type must be vm, ct or host"))
    }
}

/// Id of a backup group within its type. Follows the name pattern, at most 255 characters (it is a directory name).
///
/// Ordered as groups are listed: ids that are unsigned 64-bit integers first and by number, then the others by bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BackupId(String);

impl BackupId {
    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BackupId {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        check_safe_id(text, 1, 255)?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_value!(BackupId);

impl Ord for BackupId {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.0.parse::<u64>(), other.0.parse::<u64>()) {
            (Ok(a), Ok(b)) => a.cmp(&b).then_with(|| self.0.cmp(&other.0)),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => self.0.cmp(&other.0),
        }
    }
}

impl PartialOrd for BackupId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A backup group: type and id. Text form `vm/100`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// What was backed up.
    pub backup_type: BackupType,
    /// Which one.
    pub backup_id: BackupId,
}

impl Group {
    /// Returns the group of this type and id.
    pub const fn new(backup_type: BackupType, backup_id: BackupId) -> Self {
        Self { backup_type, backup_id }
    }

    /// Returns the snapshot of this group at `time`.
    pub fn at(&self, time: Epoch) -> Snapshot {
        Snapshot { group: self.clone(), time }
    }
}

impl FromStr for Group {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (backup_type, backup_id) =
            text.split_once('/').ok_or(NameError::Form("backup group must have the form <type>/<id>"))?;
        Ok(Self { backup_type: backup_type.parse()?, backup_id: backup_id.parse()? })
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.backup_type, self.backup_id)
    }
}

text_value!(Group);

/// A snapshot: a group at a time. Text form `vm/100/2026-01-31T10:00:00Z`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Snapshot {
    /// The group it belongs to.
    pub group: Group,
    /// Its backup time.
    pub time: Epoch,
}

impl FromStr for Snapshot {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (group, time) =
            text.rsplit_once('/').ok_or(NameError::Form("snapshot must have the form <type>/<id>/<time>"))?;
        Ok(Self { group: group.parse()?, time: Epoch::parse_rfc3339_utc(time)? })
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.time)
    }
}

text_value!(Snapshot);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_ordered_as_documented() {
        let expected = [
            "ct/9",
            "ct/010",
            "ct/10",
            "ct/101",
            "ct/abc",
            "host/a",
            "host/big",
            "vm/2",
            "vm/100",
            "vm/18446744073709551616",
        ];
        let mut groups: Vec<Group> = expected.iter().rev().map(|g| g.parse().unwrap()).collect();
        groups.sort();
        assert_eq!(groups.iter().map(Group::to_string).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_snapshot_reads_back_from_its_text() {
        let snapshot: Snapshot = "vm/100/2026-01-31T10:00:00Z".parse().unwrap();
        assert_eq!(snapshot.to_string(), "vm/100/2026-01-31T10:00:00Z");
        assert!("vm/../2026-01-31T10:00:00Z".parse::<Snapshot>().is_err());
        assert!("vm/100".parse::<Snapshot>().is_err());
    }
}
