//! Stores copied or unpacked into folders for tests.
//!
//! A store has 65,536 chunk folders. They are made in memory where the system offers that.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::golden;

/// Mode of the chunk folders. Source: first line of `setup.jsonl`.
const CHUNK_FOLDER_MODE: u32 = 0o750;

/// Unpacks a recorded store: `archive` holds the folder `name`, which becomes `parent/name`.
pub fn unpack_store(archive: &str, parent: &Path, name: &str) -> PathBuf {
    let file = fs::File::open(golden(archive)).unwrap();
    let mut reader = tar::Archive::new(zstd::Decoder::new(file).unwrap());
    reader.unpack(parent).unwrap();
    let store = parent.join(name);
    make_chunk_folders(&store.join(".chunks"));
    fs::write(store.join(".lock"), "").unwrap();
    store
}

fn make_chunk_folders(chunks: &Path) {
    let mode = fs::Permissions::from_mode(CHUNK_FOLDER_MODE);
    fs::set_permissions(chunks, mode.clone()).unwrap();
    for number in 0..=0xffff_u32 {
        let folder = chunks.join(format!("{number:04x}"));
        match fs::DirBuilder::new().mode(CHUNK_FOLDER_MODE).create(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::set_permissions(&folder, mode.clone()).unwrap();
            }
            result => result.unwrap(),
        }
    }
}

/// Copies a folder with all that is in it; sockets are left out.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (kind, target) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy_folder(&entry.path(), &target);
        } else if kind.is_file() {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Copies a store. Faster than [`copy_folder`]: only the few chunk folders that hold something are read.
pub fn copy_store(from: &Path, to: &Path) {
    fs::create_dir_all(to.join(".chunks")).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true if entry.file_name() == ".chunks" => copy_chunks(&entry.path(), &target),
            true => copy_folder(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn copy_chunks(from: &Path, to: &Path) {
    make_chunk_folders(to);
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // A folder without content cannot be removed from under us: nobody writes to the original any more.
        for chunk in fs::read_dir(entry.path()).unwrap() {
            let chunk = chunk.unwrap();
            fs::copy(chunk.path(), to.join(entry.file_name()).join(chunk.file_name())).unwrap();
        }
    }
}
