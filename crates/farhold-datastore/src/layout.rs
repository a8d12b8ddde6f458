//! Where things lie in a store. Source: `docs/spec/datastore-format.md` 1.

use farhold_storage::StorePath;
use farhold_types::{BackupType, Digest, Group, Namespace, Snapshot};

/// Name of the folder of chunks.
pub(crate) const CHUNKS: &str = ".chunks";
/// Name of the process lock file.
pub(crate) const PROCESS_LOCK: &str = ".lock";
/// Name of the folder that holds child namespaces.
pub(crate) const NAMESPACES: &str = "ns";
/// Name of a group's owner file.
pub(crate) const OWNER: &str = "owner";
/// Name of a group's notes file.
pub(crate) const NOTES: &str = "notes";
/// Name of the marker of a protected snapshot.
pub(crate) const PROTECTED: &str = ".protected";
/// Number of folders below `.chunks`, `0000` to `ffff`.
pub(crate) const CHUNK_FOLDERS: u32 = 65_536;
/// Digits of a digest that name its folder.
pub(crate) const CHUNK_FOLDER_DIGITS: usize = 4;
/// Mode of `.chunks` and its folders. Source: as above, 3.
pub(crate) const CHUNK_DIRECTORY_MODE: u32 = 0o750;

/// Joins names that the types of `farhold-types` already keep to the pattern of plain file names.
pub(crate) fn join(path: &StorePath, name: &str) -> StorePath {
    path.join(name).expect("names of this crate's types are plain file names")
}

pub(crate) fn chunks_dir() -> StorePath {
    join(&StorePath::root(), CHUNKS)
}

pub(crate) fn chunk_folder(number: u32) -> StorePath {
    join(&chunks_dir(), &format!("{number:04x}"))
}

/// Returns the number of a folder of chunks by its name; `None` for every other name.
pub(crate) fn chunk_folder_number(name: &str) -> Option<u32> {
    let number = u32::from_str_radix(name, 16).ok()?;
    (name == format!("{number:04x}") && number < CHUNK_FOLDERS).then_some(number)
}

pub(crate) fn chunk(digest: &Digest) -> StorePath {
    let name = digest.to_string();
    join(&join(&chunks_dir(), &name[..CHUNK_FOLDER_DIGITS]), &name)
}

pub(crate) fn process_lock() -> StorePath {
    join(&StorePath::root(), PROCESS_LOCK)
}

/// `BASE/ns/a/ns/b` for `a/b`.
pub(crate) fn namespace_dir(namespace: &Namespace) -> StorePath {
    namespace.components().iter().fold(StorePath::root(), |path, component| join(&join(&path, NAMESPACES), component))
}

pub(crate) fn type_dir(namespace: &Namespace, backup_type: BackupType) -> StorePath {
    join(&namespace_dir(namespace), backup_type.as_str())
}

pub(crate) fn group_dir(namespace: &Namespace, group: &Group) -> StorePath {
    join(&type_dir(namespace, group.backup_type), group.backup_id.as_str())
}

pub(crate) fn snapshot_dir(namespace: &Namespace, snapshot: &Snapshot) -> StorePath {
    join(&group_dir(namespace, &snapshot.group), &snapshot.time.to_string())
}

pub(crate) fn snapshot_file(namespace: &Namespace, snapshot: &Snapshot, name: &str) -> StorePath {
    join(&snapshot_dir(namespace, snapshot), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_the_documented_ones() {
        let namespace: Namespace = "a/b".parse().unwrap();
        let snapshot: Snapshot = "vm/100/2022-05-02T08:11:33Z".parse().unwrap();
        let file = snapshot_file(&namespace, &snapshot, "index.json.blob");
        assert_eq!(file.as_str(), "ns/a/ns/b/vm/100/2022-05-02T08:11:33Z/index.json.blob");
        assert_eq!(group_dir(&Namespace::root(), &snapshot.group).as_str(), "vm/100");
        let digest: Digest = "bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8".parse().unwrap();
        assert_eq!(chunk(&digest).as_str(), format!(".chunks/bb9f/{digest}"));
        assert_eq!((chunk_folder(0).as_str(), chunk_folder(0xffff).as_str()), (".chunks/0000", ".chunks/ffff"));
        let names = ["0000", "ffff", "FFFF", "+fff", "fff", "10000", ".farhold-tmp"];
        assert_eq!(names.map(chunk_folder_number), [Some(0), Some(0xffff), None, None, None, None, None]);
    }
}
