//! What is to be backed up under which name.
//!
//! Source: `docs/spec/cli.md` 5.4, `docs/spec/datastore-format.md` 11.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;

use farhold_types::{ArchiveName, NameError};
use thiserror::Error;

/// Source text that stands for standard input.
const STANDARD_INPUT: &str = "-";

/// One archive of a backup.
#[derive(Debug)]
pub struct BackupArchive {
    /// Its name in the snapshot. The ending says how it is stored: `.fidx` as an image in pieces of 4 MiB, `.didx` as an
    /// archive that is cut where its content says so, `.blob` as one small file.
    pub name: ArchiveName,
    /// Where its content comes from.
    pub input: ArchiveInput,
}

/// Where the content of an archive comes from.
pub enum ArchiveInput {
    /// A regular file, a block device or a named pipe.
    Path(PathBuf),
    /// Anything else that can be read, such as standard input. Reading may block for ever: then a cancelled backup
    /// leaves one thread behind that waits.
    Reader(Box<dyn Read + Send>),
}

impl fmt::Debug for ArchiveInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Reader(_) => f.write_str("Reader"),
        }
    }
}

/// A text that does not say what to back up.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ArchiveTextError {
    /// It lacks the name, the type or the source.
    #[error("'{text}' does not have the form <name>.<type>:<source>")]
    Form {
        /// The text.
        text: String,
    },
    /// The part before the type contains other characters than letters, digits, `_` and `-`, or none.
    #[error("archive name '{name}' may only contain letters, digits, '_' and '-'")]
    Name {
        /// The name.
        name: String,
    },
    /// The name is too long.
    #[error("archive name '{name}' cannot be used")]
    FileName {
        /// The name.
        name: String,
        /// Why not.
        #[source]
        source: NameError,
    },
    /// The type is none that a client can store.
    #[error("archive type '{found}' is not one of pxar, img, conf and log")]
    Type {
        /// The type.
        found: String,
    },
}

impl BackupArchive {
    /// Returns what a text such as `disk.img:/dev/vg/disk` asks for. `standard_input` is called for the source `-`.
    ///
    /// # Errors
    /// See [`ArchiveTextError`]. Whether the source exists is found out by [`crate::BackupRequest::open`].
    pub fn parse(text: &str, standard_input: impl FnOnce() -> Box<dyn Read + Send>) -> Result<Self, ArchiveTextError> {
        let form = || ArchiveTextError::Form { text: text.to_owned() };
        let (short_name, source) = text.split_once(':').ok_or_else(form)?;
        let (name, kind) = short_name.rsplit_once('.').ok_or_else(form)?;
        if source.is_empty() {
            return Err(form());
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(is_word) {
            return Err(ArchiveTextError::Name { name: name.to_owned() });
        }
        let ending = match kind {
            "pxar" => "didx",
            "img" => "fidx",
            "conf" | "log" => "blob",
            _ => return Err(ArchiveTextError::Type { found: kind.to_owned() }),
        };
        let file_name = format!("{short_name}.{ending}");
        let name =
            file_name.parse().map_err(|source| ArchiveTextError::FileName { name: file_name.clone(), source })?;
        let input = if source == STANDARD_INPUT {
            ArchiveInput::Reader(standard_input())
        } else {
            ArchiveInput::Path(PathBuf::from(source))
        };
        Ok(Self { name, input })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<BackupArchive, ArchiveTextError> {
        BackupArchive::parse(text, || Box::new(std::io::empty()))
    }

    #[test]
    fn the_type_says_how_an_archive_is_stored() {
        for (text, name, path) in [
            ("root.pxar:/srv/root.pxar", "root.pxar.didx", "/srv/root.pxar"),
            ("drive-scsi0.img:/dev/sda", "drive-scsi0.img.fidx", "/dev/sda"),
            ("qemu_server.conf:a:b", "qemu_server.conf.blob", "a:b"),
            ("client.log:./log", "client.log.blob", "./log"),
        ] {
            let archive = parse(text).unwrap();
            assert_eq!(archive.name.as_str(), name);
            assert!(matches!(&archive.input, ArchiveInput::Path(found) if found.to_str() == Some(path)), "{text}");
        }
        assert!(matches!(parse("disk.img:-").unwrap().input, ArchiveInput::Reader(_)));
    }

    #[test]
    fn texts_that_say_too_little_or_something_else_are_refused() {
        for (text, expected) in [
            ("disk.img", "'disk.img' does not have the form <name>.<type>:<source>"),
            ("disk:/dev/sda", "'disk:/dev/sda' does not have the form <name>.<type>:<source>"),
            ("disk.img:", "'disk.img:' does not have the form <name>.<type>:<source>"),
            (".img:/x", "archive name '' may only contain letters, digits, '_' and '-'"),
            ("a.b.img:/x", "archive name 'a.b' may only contain letters, digits, '_' and '-'"),
            ("../a.img:/x", "archive name '../a' may only contain letters, digits, '_' and '-'"),
            ("a.zip:/x", "archive type 'zip' is not one of pxar, img, conf and log"),
            ("a.mpxar:/x", "archive type 'mpxar' is not one of pxar, img, conf and log"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), expected);
        }
        let long = format!("{}.img:/x", "a".repeat(260));
        assert!(matches!(parse(&long), Err(ArchiveTextError::FileName { .. })));
    }
}
