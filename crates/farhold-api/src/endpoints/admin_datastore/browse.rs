//! Looking into file archives, which this server cannot do.
//!
//! The formats of file archives and catalogs are known to clients only; a server stores them as they come. So these calls
//! check permission, parameters and the snapshot as specified and then say that they are not supported, with what to do
//! instead. Source: `docs/spec/rest-api.md` 12.10.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use farhold_datastore::{ContentError, DatastoreError};
use farhold_format::manifest::Manifest;
use farhold_jobs::{App, Operation};
use farhold_types::{ArchiveName, CATALOG_NAME, CryptMode, Namespace, Snapshot};

use super::BY_NAMESPACE;
use super::download::READ;
use super::place::{Place, snapshot_of};
use crate::declare::{Answer, Endpoint, Reply, Request};
use crate::endpoints::blocking;
use crate::error::ApiError;
use crate::schema::named::{ANY_TEXT, BACKUP_ID, BACKUP_TIME, BACKUP_TYPE, FILE_NAME, NS, STORE, flag};
use crate::schema::{Field, Param, Shape};

const FILE_PATH: Param = Param::required(
    "filepath",
    ANY_TEXT,
    "Absolute path in base64; 'root' and '/' mean the top, where that is possible",
);
const ARCHIVE_NAME: Param = FILE_NAME.named("archive-name").is_optional().described("Archive that the path is in");

/// Longest path that is looked at, in bytes once decoded: `PATH_MAX` of Linux.
const MAX_PATH_BYTES: usize = 4096;

/// An entry of a folder.
const ENTRY: Shape = Shape::Object(&[
    Field::required("filepath", Shape::Text("base64"), "Its full path in base64"),
    Field::required("text", Shape::Text("file name"), "Its name"),
    Field::required("type", Shape::Word(&["d", "f", "l", "h", "b", "c", "p", "s", "v"]), "What it is"),
    Field::required("leaf", Shape::Boolean, "Whether nothing can be in it"),
    Field::optional("size", Shape::Integer, "Size of a file in bytes"),
    Field::optional("mtime", Shape::Integer, "When a file was last changed, in seconds since 1970-01-01 UTC"),
]);

pub(super) fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/admin/datastore/{store}/catalog", "List a folder of an archive (not supported)", catalog)
            .params(&[STORE, NS, BACKUP_TYPE, BACKUP_ID, BACKUP_TIME, FILE_PATH, ARCHIVE_NAME])
            .access(BY_NAMESPACE)
            .returns(Shape::List(&ENTRY)),
        Endpoint::get(
            "/admin/datastore/{store}/pxar-file-download",
            "Download a file or folder of an archive (not supported)",
            download,
        )
        .params(&[STORE, NS, BACKUP_TYPE, BACKUP_ID, BACKUP_TIME, FILE_PATH, ARCHIVE_NAME])
        .params(&[flag("tar", "Pack a folder as compressed tar instead of zip")])
        .access(BY_NAMESPACE)
        .answer(Answer::Raw)
        .returns(Shape::Bytes("application/octet-stream")),
    ]
}

/// Whether a path may be the top of the snapshot, above all archives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Top {
    Allowed,
    Refused,
}

async fn catalog(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    look_into(app, request, Top::Allowed).await
}

async fn download(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    look_into(app, request, Top::Refused).await
}

/// Checks everything that can be checked, and then says that this is as far as it goes.
async fn look_into(app: Arc<App>, request: Request<App>, top: Top) -> Result<Reply, ApiError> {
    let place = Place::of(app, &request)?;
    let snapshot = snapshot_of(&request.params)?;
    let path = decoded(&request.params.require::<String>("filepath")?)?;
    let named: Option<String> = request.params.text("archive-name").map(str::to_owned);
    blocking(move || {
        let store = place.open_group(&snapshot.group, READ, Operation::Read)?;
        let (manifest, _) = store.read_manifest(&place.ns, &snapshot)?;
        let archive = archive(&path, named.as_deref(), top)?;
        require_plain(&manifest, &archive)?;
        Err(unsupported(&place.ns, &snapshot))
    })
    .await
}

/// Returns the bytes of a path; empty for the top.
fn decoded(path: &str) -> Result<Vec<u8>, ApiError> {
    if ["root", "/"].contains(&path) {
        return Ok(Vec::new());
    }
    let bytes = STANDARD.decode(path).ok().filter(|bytes| bytes.len() <= MAX_PATH_BYTES);
    let bytes = bytes.ok_or_else(|| ApiError::bad_request("filepath is neither 'root' nor a path in base64"))?;
    Ok(bytes.strip_prefix(b"/").unwrap_or(&bytes).to_vec())
}

/// Returns the archive that holds the answer: the one that is named, or the one that the path begins with. The catalog
/// knows what all archives of the snapshot hold.
fn archive(path: &[u8], named: Option<&str>, top: Top) -> Result<ArchiveName, ApiError> {
    let first = path.split(|byte| *byte == b'/').next().unwrap_or_default();
    let text = match (named, top) {
        (Some(named), _) => named.to_owned(),
        (None, Top::Allowed) => CATALOG_NAME.to_owned(),
        (None, Top::Refused) => String::from_utf8_lossy(first).into_owned(),
    };
    ArchiveName::completed(&text).map_err(|_| ApiError::bad_request(format!("'{text}' is no name of an archive")))
}

fn require_plain(manifest: &Manifest, archive: &ArchiveName) -> Result<(), ApiError> {
    // Of an archive that is stored in two files, one holds the names.
    let metadata = archive.as_str().strip_suffix(".pxar.didx").map(|name| format!("{name}.mpxar.didx"));
    let metadata = metadata.and_then(|name| name.parse().ok());
    match manifest.file(archive).or_else(|| manifest.file(&metadata?)) {
        Some(file) if file.crypt_mode == CryptMode::Encrypt => {
            Err(ContentError::Encrypted { archive: archive.clone() }.into())
        }
        Some(_) => Ok(()),
        None => {
            let (snapshot, archive) = (manifest.snapshot(), archive.clone());
            Err(DatastoreError::FileMissing { snapshot, archive }.into())
        }
    }
}

fn unsupported(ns: &Namespace, snapshot: &Snapshot) -> ApiError {
    let place = if ns.is_root() { String::new() } else { format!(" --ns {ns}") };
    ApiError::bad_request(format!(
        "this server cannot look into archives; hint: restore the archive of '{snapshot}' with the backup client{place}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_in_base64_with_or_without_leading_slash() {
        for (text, path) in [
            ("root", ""),
            ("/", ""),
            ("Lw==", ""),
            ("L2V0Yy5weGFyLmRpZHg=", "etc.pxar.didx"),
            ("ZXRjLnB4YXIuZGlkeC9iaW4=", "etc.pxar.didx/bin"),
        ] {
            assert_eq!(decoded(text).unwrap(), path.as_bytes(), "{text}");
        }
        assert!(decoded("%%%").is_err());
        assert!(decoded(&STANDARD.encode([b'a'; MAX_PATH_BYTES + 1])).is_err());
    }

    #[test]
    fn the_archive_is_named_or_the_first_part_of_the_path() {
        let name = |path: &str, named, top| archive(path.as_bytes(), named, top).map(|name| name.to_string()).ok();
        assert_eq!(name("etc.pxar.didx/bin", None, Top::Refused).as_deref(), Some("etc.pxar.didx"));
        assert_eq!(name("etc.pxar.didx/bin", None, Top::Allowed).as_deref(), Some("catalog.pcat1.didx"));
        assert_eq!(name("bin", Some("root.pxar"), Top::Refused).as_deref(), Some("root.pxar.didx"));
        assert_eq!(name("", None, Top::Refused), None);
        assert_eq!(name("bin", Some("x.txt"), Top::Allowed), None);
    }
}
