//! Privileges and roles. Source: `docs/spec/config-and-access.md` 5.2 and 5.3.

use std::fmt;
use std::ops::{BitAnd, BitOr};
use std::str::FromStr;

use crate::name::NameError;

/// A set of privileges.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Privileges(u32);

macro_rules! privileges {
    ($($bit:literal $name:ident $text:literal)*) => {
        impl Privileges {
            $(#[doc = concat!("The privilege `", $text, "`.")]
            pub const $name: Self = Self(1 << $bit);)*
            /// Every privilege.
            pub const ALL: Self = Self(0 $(| 1 << $bit)*);
            /// Name of each privilege, in the order in which messages list them.
            const NAMES: &'static [(&'static str, Self)] = &[$(($text, Self::$name)),*];
        }
    };
}

privileges! {
    0 SYS_AUDIT "Sys.Audit"
    1 SYS_MODIFY "Sys.Modify"
    2 SYS_POWER_MANAGEMENT "Sys.PowerManagement"
    3 DATASTORE_AUDIT "Datastore.Audit"
    4 DATASTORE_ALLOCATE "Datastore.Allocate"
    5 DATASTORE_MODIFY "Datastore.Modify"
    6 DATASTORE_READ "Datastore.Read"
    7 DATASTORE_VERIFY "Datastore.Verify"
    8 DATASTORE_BACKUP "Datastore.Backup"
    9 DATASTORE_PRUNE "Datastore.Prune"
    10 PERMISSIONS_MODIFY "Permissions.Modify"
    11 REMOTE_AUDIT "Remote.Audit"
    12 REMOTE_MODIFY "Remote.Modify"
    13 REMOTE_READ "Remote.Read"
    14 REMOTE_DATASTORE_BACKUP "Remote.DatastoreBackup"
    15 REMOTE_DATASTORE_MODIFY "Remote.DatastoreModify"
    16 REMOTE_DATASTORE_PRUNE "Remote.DatastorePrune"
    17 SYS_CONSOLE "Sys.Console"
    18 TAPE_AUDIT "Tape.Audit"
    19 TAPE_MODIFY "Tape.Modify"
    20 TAPE_WRITE "Tape.Write"
    21 TAPE_READ "Tape.Read"
    22 REALM_ALLOCATE "Realm.Allocate"
}

impl Privileges {
    /// No privilege.
    pub const NONE: Self = Self(0);

    /// Returns the union; usable in constants.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether this set holds all of `other`. An empty `other` is never held.
    pub const fn contains_all(self, other: Self) -> bool {
        other.0 != 0 && self.0 & other.0 == other.0
    }

    /// Returns whether this set holds at least one of `other`.
    pub const fn contains_any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns this set without `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns the names of the privileges in this set, in their fixed order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(_, p)| self.contains_any(*p)).map(|(name, _)| *name)
    }
}

impl BitOr for Privileges {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

impl BitAnd for Privileges {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Debug for Privileges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl FromStr for Privileges {
    type Err = NameError;
    /// Reads one privilege name.
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::NAMES.iter().find(|(name, _)| *name == text).map(|(_, p)| *p).ok_or(NameError::Form("unknown privilege"))
    }
}

macro_rules! roles {
    ($($name:ident = $($privilege:ident)*;)*) => {
        /// A fixed set of privileges that an ACL entry gives. There are no custom roles.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Role {
            $(#[doc = concat!("The role `", stringify!($name), "`.")] $name,)*
        }

        impl Role {
            /// All roles.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Returns the role's name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }

            /// Returns the privileges that the role gives.
            pub const fn privileges(self) -> Privileges {
                match self { $(Self::$name => Privileges::NONE $(.with(Privileges::$privilege))*),* }
            }
        }
    };
}

roles! {
    Admin = ALL;
    NoAccess = ;
    Audit = SYS_AUDIT DATASTORE_AUDIT;
    DatastoreAdmin = DATASTORE_AUDIT DATASTORE_MODIFY DATASTORE_READ DATASTORE_VERIFY DATASTORE_BACKUP DATASTORE_PRUNE;
    DatastoreReader = DATASTORE_AUDIT DATASTORE_VERIFY DATASTORE_READ;
    DatastoreBackup = DATASTORE_BACKUP;
    DatastorePowerUser = DATASTORE_BACKUP DATASTORE_PRUNE;
    DatastoreAudit = DATASTORE_AUDIT;
    RemoteAudit = REMOTE_AUDIT;
    RemoteAdmin = REMOTE_AUDIT REMOTE_MODIFY REMOTE_READ;
    RemoteSyncOperator = REMOTE_AUDIT REMOTE_READ;
    RemoteSyncPushOperator = REMOTE_AUDIT REMOTE_DATASTORE_BACKUP;
    RemoteDatastorePowerUser = REMOTE_AUDIT REMOTE_DATASTORE_BACKUP REMOTE_DATASTORE_PRUNE;
    RemoteDatastoreAdmin = REMOTE_AUDIT REMOTE_DATASTORE_BACKUP REMOTE_DATASTORE_MODIFY REMOTE_DATASTORE_PRUNE;
    TapeAudit = TAPE_AUDIT;
    TapeAdmin = TAPE_AUDIT TAPE_MODIFY TAPE_READ TAPE_WRITE;
    TapeOperator = TAPE_AUDIT TAPE_READ TAPE_WRITE;
    TapeReader = TAPE_AUDIT TAPE_READ;
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::ALL.iter().copied().find(|r| r.as_str() == text).ok_or(NameError::Form("unknown role"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_admin_may_not_allocate_and_an_empty_need_is_never_met() {
        let admin = Role::DatastoreAdmin.privileges();
        assert!(admin.contains_all(Privileges::DATASTORE_PRUNE | Privileges::DATASTORE_MODIFY));
        assert!(!admin.contains_any(Privileges::DATASTORE_ALLOCATE));
        assert!(!Privileges::ALL.contains_all(Privileges::NONE));
        assert_eq!(Role::RemoteSyncOperator.privileges().names().collect::<Vec<_>>(), ["Remote.Audit", "Remote.Read"]);
        assert_eq!(Role::NoAccess.privileges(), Privileges::NONE);
        assert_eq!(Role::Admin.privileges(), Privileges::ALL);
    }
}
