//! Names of the files of a snapshot.

use std::fmt;
use std::str::FromStr;

use crate::name::{NameError, is_safe_id, text_value};

/// File name of the manifest.
pub const MANIFEST_NAME: &str = "index.json.blob";
/// File name of the client log; never listed in the manifest.
pub const CLIENT_LOG_NAME: &str = "client.log.blob";
/// File name of the file catalog.
pub const CATALOG_NAME: &str = "catalog.pcat1.didx";
/// File name of the master-key copy of the encryption key.
pub const KEY_BLOB_NAME: &str = "rsa-encrypted.key.blob";

/// How an archive is stored, told by its extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArchiveKind {
    /// `.fidx`: chunks of one size.
    FixedIndex,
    /// `.didx`: chunks of varying size.
    DynamicIndex,
    /// `.blob`: one small file.
    Blob,
}

impl ArchiveKind {
    /// Returns the kind that the ending of a file name stands for.
    pub fn of_file_name(name: &str) -> Option<Self> {
        if name.ends_with(".fidx") {
            Some(Self::FixedIndex)
        } else if name.ends_with(".didx") {
            Some(Self::DynamicIndex)
        } else if name.ends_with(".blob") {
            Some(Self::Blob)
        } else {
            None
        }
    }
}

/// Name of a file of a snapshot: a plain file name ending in `.fidx`, `.didx` or `.blob`, at most 255 bytes.
///
/// It never contains a path separator and never starts with a dot, so joining it to a directory stays inside.
///
/// Source: `docs/spec/datastore-format.md` 2 and 11.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArchiveName(String);

impl ArchiveName {
    /// Returns the manifest's name.
    pub fn manifest() -> Self {
        Self(MANIFEST_NAME.to_owned())
    }

    /// Returns the client log's name.
    pub fn client_log() -> Self {
        Self(CLIENT_LOG_NAME.to_owned())
    }

    /// Returns the name that a text means, which may lack the ending that tells how the archive is stored.
    ///
    /// # Errors
    /// Neither a full name nor one whose last ending says what to add: `.pxar .mpxar .ppxar .pcat1` (`.didx`), `.img`
    /// (`.fidx`), `.conf .json .key .log` (`.blob`).
    ///
    /// Source: `docs/spec/rest-api.md` 2.2.
    pub fn completed(text: &str) -> Result<Self, NameError> {
        let ending = match text.rsplit_once('.') {
            Some((_, "pxar" | "mpxar" | "ppxar" | "pcat1")) => ".didx",
            Some((_, "img")) => ".fidx",
            Some((_, "conf" | "json" | "key" | "log")) => ".blob",
            _ => "",
        };
        format!("{text}{ending}").parse()
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns how this archive is stored.
    pub fn kind(&self) -> ArchiveKind {
        // Every name has one of the endings.
        ArchiveKind::of_file_name(&self.0).unwrap_or(ArchiveKind::Blob)
    }

    /// Returns the name with its last extension replaced, e.g. `a.img.fidx` and `tmp` give `a.img.tmp`.
    pub fn with_extension(&self, extension: &str) -> String {
        let stem = self.0.rsplit_once('.').map_or(self.0.as_str(), |(stem, _)| stem);
        format!("{stem}.{extension}")
    }
}

impl FromStr for ArchiveName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        if !is_safe_id(text) {
            return Err(NameError::Pattern);
        }
        if 255 < text.len() {
            return Err(NameError::TooLong { max: 255 });
        }
        if ArchiveKind::of_file_name(text).is_some() {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Form("archive name must end in .fidx, .didx or .blob"))
        }
    }
}

impl fmt::Display for ArchiveName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_value!(ArchiveName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_get_the_ending_of_their_kind() {
        for (text, name) in [
            ("root.pxar", "root.pxar.didx"),
            ("root.mpxar", "root.mpxar.didx"),
            ("root.ppxar", "root.ppxar.didx"),
            ("catalog.pcat1", "catalog.pcat1.didx"),
            ("disk.img", "disk.img.fidx"),
            ("fw.conf", "fw.conf.blob"),
            ("index.json", "index.json.blob"),
            ("rsa-encrypted.key", "rsa-encrypted.key.blob"),
            ("client.log", "client.log.blob"),
            ("disk.img.fidx", "disk.img.fidx"),
            ("x.blob", "x.blob"),
        ] {
            assert_eq!(ArchiveName::completed(text).unwrap().as_str(), name);
        }
        for bad in ["nosuffix", "x.txt", "", ".", "img", "../x.img", ".x.img"] {
            assert!(ArchiveName::completed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_plain_file_names_with_a_known_ending_pass() {
        let name: ArchiveName = "drive-scsi0.img.fidx".parse().unwrap();
        assert_eq!((name.kind(), name.with_extension("tmp")), (ArchiveKind::FixedIndex, "drive-scsi0.img.tmp".into()));
        for bad in
            ["../../x.blob", "/etc/x.blob", ".hidden.blob", "a/b.fidx", "a.txt", "", ".blob", "a b.didx", "a\0.blob"]
        {
            assert!(bad.parse::<ArchiveName>().is_err(), "{bad}");
        }
    }
}
