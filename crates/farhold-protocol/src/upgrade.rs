//! The requests that turn an HTTP/1.1 connection into a backup or reader session.
//!
//! Source: `docs/spec/wire-protocol.md` 4.

use farhold_types::{BackupId, BackupType, DatastoreName, Epoch, Group, Namespace, Snapshot};
use thiserror::Error;

use crate::query::Query;

/// Protocol name of a reader session, value of both `Upgrade` headers.
pub const READER_PROTOCOL: &str = "proxmox-backup-reader-protocol-v1";
/// Protocol name of a backup session.
pub const BACKUP_PROTOCOL: &str = "proxmox-backup-protocol-v1";
/// Path that opens a reader session, as real clients send it, with two leading slashes.
pub const READER_PATH: &str = "//api2/json/reader";
/// Path that opens a backup session, likewise.
pub const BACKUP_PATH: &str = "//api2/json/backup";

/// Why the parameters of an upgrade are refused (status 400).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UpgradeError {
    /// A required parameter is missing.
    #[error("parameter '{name}' is missing")]
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// A parameter that this session does not know.
    #[error("parameter '{name}' is not defined here")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// A parameter given twice.
    #[error("parameter '{name}' is given more than once")]
    Repeated {
        /// Its name.
        name: String,
    },
    /// A value that does not parse.
    #[error("parameter '{name}': {reason}")]
    Value {
        /// Name of the parameter.
        name: &'static str,
        /// What is wrong with the value.
        reason: String,
    },
}

/// Parameters that open a reader session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderUpgrade {
    /// Datastore of the snapshot.
    pub store: DatastoreName,
    /// Namespace of the snapshot.
    pub ns: Namespace,
    /// The snapshot to read.
    pub snapshot: Snapshot,
    /// Whether the server should write more into its task log. Real clients always send it.
    pub debug: bool,
}

/// Parameters that open a backup session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupUpgrade {
    /// Datastore of the new snapshot.
    pub store: DatastoreName,
    /// Namespace of the new snapshot.
    pub ns: Namespace,
    /// The snapshot to write.
    pub snapshot: Snapshot,
    /// Whether the server should write more into its task log.
    pub debug: bool,
    /// Whether this is the upload speed test.
    pub benchmark: bool,
    /// Whether to bypass the local cache of a datastore on object storage.
    pub no_cache: bool,
}

impl ReaderUpgrade {
    /// Returns the query, parameters in alphabetical order as real clients send them; no `ns` for the root.
    pub fn to_query(&self) -> Query {
        start(&self.snapshot)
            .with("debug", self.debug)
            .with_option("ns", Some(&self.ns).filter(|ns| !ns.is_root()))
            .with("store", &self.store)
    }

    /// Reads the query of an upgrade request.
    ///
    /// # Errors
    /// A missing, unknown, repeated or wrong parameter.
    pub fn parse(query: &Query) -> Result<Self, UpgradeError> {
        let fields = Fields::read(query, &[])?;
        Ok(Self {
            store: fields.required("store")?,
            ns: fields.optional("ns")?.unwrap_or_default(),
            snapshot: fields.snapshot()?,
            debug: fields.boolean("debug")?,
        })
    }
}

impl BackupUpgrade {
    /// Returns the query, parameters in alphabetical order; no `ns` for the root, `no-cache` only when set.
    pub fn to_query(&self) -> Query {
        start(&self.snapshot)
            .with("benchmark", self.benchmark)
            .with("debug", self.debug)
            .with_option("no-cache", self.no_cache.then_some(true))
            .with_option("ns", Some(&self.ns).filter(|ns| !ns.is_root()))
            .with("store", &self.store)
    }

    /// Reads the query of an upgrade request.
    ///
    /// # Errors
    /// A missing, unknown, repeated or wrong parameter.
    pub fn parse(query: &Query) -> Result<Self, UpgradeError> {
        let fields = Fields::read(query, &["benchmark", "no-cache"])?;
        Ok(Self {
            store: fields.required("store")?,
            ns: fields.optional("ns")?.unwrap_or_default(),
            snapshot: fields.snapshot()?,
            debug: fields.boolean("debug")?,
            benchmark: fields.boolean("benchmark")?,
            no_cache: fields.boolean("no-cache")?,
        })
    }
}

fn start(snapshot: &Snapshot) -> Query {
    Query::new()
        .with("backup-id", &snapshot.group.backup_id)
        .with("backup-time", snapshot.time.0)
        .with("backup-type", snapshot.group.backup_type)
}

/// Parameters that both sessions know.
const SHARED: [&str; 6] = ["store", "ns", "backup-type", "backup-id", "backup-time", "debug"];

struct Fields<'q> {
    pairs: &'q [(String, String)],
}

impl<'q> Fields<'q> {
    fn read(query: &'q Query, more: &[&str]) -> Result<Self, UpgradeError> {
        let pairs = query.pairs();
        for (i, (name, _)) in pairs.iter().enumerate() {
            if !SHARED.contains(&name.as_str()) && !more.contains(&name.as_str()) && name != "_dc" {
                return Err(UpgradeError::Unknown { name: name.clone() });
            }
            if pairs[..i].iter().any(|(earlier, _)| earlier == name) {
                return Err(UpgradeError::Repeated { name: name.clone() });
            }
        }
        Ok(Self { pairs })
    }

    fn text(&self, name: &str) -> Option<&'q str> {
        self.pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn optional<T>(&self, name: &'static str) -> Result<Option<T>, UpgradeError>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        let parse = |text: &str| text.parse().map_err(|e: T::Err| UpgradeError::Value { name, reason: e.to_string() });
        self.text(name).map(parse).transpose()
    }

    fn required<T>(&self, name: &'static str) -> Result<T, UpgradeError>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        self.optional(name)?.ok_or(UpgradeError::Missing { name })
    }

    fn boolean(&self, name: &'static str) -> Result<bool, UpgradeError> {
        let Some(text) = self.text(name) else {
            return Ok(false);
        };
        match text.to_ascii_lowercase().as_str() {
            "1" | "on" | "yes" | "true" => Ok(true),
            "0" | "off" | "no" | "false" => Ok(false),
            _ => Err(UpgradeError::Value { name, reason: "expected a boolean".to_owned() }),
        }
    }

    fn snapshot(&self) -> Result<Snapshot, UpgradeError> {
        let backup_type: BackupType = self.required("backup-type")?;
        let backup_id: BackupId = self.required("backup-id")?;
        let time: i64 = self.required("backup-time")?;
        if !(1..=Epoch::MAX.0).contains(&time) {
            let reason = format!("must lie between 1 and {}", Epoch::MAX.0);
            return Err(UpgradeError::Value { name: "backup-time", reason });
        }
        Ok(Group::new(backup_type, backup_id).at(Epoch(time)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded_paths(recording: &str, start: &str) -> Vec<String> {
        recording
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .filter_map(|line| line["path"].as_str().map(str::to_owned))
            .filter(|path| path.starts_with(start))
            .collect()
    }

    #[test]
    fn recorded_reader_upgrades_read_and_write_back_unchanged() {
        let mut paths = recorded_paths(include_str!("../../../tests/golden/wire/pull-new.jsonl"), READER_PATH);
        paths.extend(recorded_paths(include_str!("../../../tests/golden/wire/pull-namespaces.jsonl"), READER_PATH));
        assert!(10 < paths.len());
        for path in paths {
            let query = Query::parse(path.split_once('?').unwrap().1).unwrap();
            let upgrade = ReaderUpgrade::parse(&query).unwrap();
            assert_eq!(format!("{READER_PATH}?{}", upgrade.to_query()), path);
        }
    }

    #[test]
    fn recorded_backup_upgrades_read_and_write_back_unchanged() {
        let mut paths = recorded_paths(include_str!("../../../tests/golden/wire/push-new.jsonl"), BACKUP_PATH);
        paths.extend(recorded_paths(include_str!("../../../tests/golden/wire/client-image-first.jsonl"), BACKUP_PATH));
        assert!(2 < paths.len());
        for path in paths {
            let query = Query::parse(path.split_once('?').unwrap().1).unwrap();
            let upgrade = BackupUpgrade::parse(&query).unwrap();
            assert_eq!(format!("{BACKUP_PATH}?{}", upgrade.to_query()), path);
        }
    }

    #[test]
    fn wrong_upgrade_queries_are_refused() {
        let good = "store=tank&backup-type=vm&backup-id=100&backup-time=1767261600";
        assert!(ReaderUpgrade::parse(&Query::parse(good).unwrap()).is_ok());
        assert!(ReaderUpgrade::parse(&Query::parse(&format!("{good}&ns=&debug=ON&_dc=1")).unwrap()).unwrap().debug);
        for bad in [
            good.replace("store=tank&", ""),
            good.replace("vm", "qemu"),
            good.replace("1767261600", "0"),
            good.replace("1767261600", "253402300800"),
            good.replace("1767261600", "soon"),
            good.replace("100", "..%2F..%2Fetc"),
            format!("{good}&benchmark=false"),
            format!("{good}&debug=maybe"),
            format!("{good}&store=tank"),
            format!("{good}&ns=a/b/c/d/e/f/g/h"),
        ] {
            assert!(ReaderUpgrade::parse(&Query::parse(&bad).unwrap()).is_err(), "{bad}");
        }
    }
}
