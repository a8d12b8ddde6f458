//! The suite that every backend and every wrapper passes, and a repeatable random source for tests.

use std::any::Any;
use std::sync::Mutex;

use farhold_types::Randomness;

use crate::backend::{DIRECTORY_MODE, Durability, EntryKind, FILE_MODE, Staging, Storage};
use crate::error::StorageError;
use crate::path::StorePath;

/// Random bytes that depend on nothing but the seed (xorshift). Only for tests.
#[derive(Debug)]
pub struct SeededRandomness(Mutex<u64>);

impl SeededRandomness {
    /// Returns the source with this seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))
    }
}

impl Randomness for SeededRandomness {
    fn fill(&self, buffer: &mut [u8]) {
        let mut state = self.0.lock().expect("no panic while locked");
        for byte in buffer {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            *byte = state.to_be_bytes()[0];
        }
    }
}

/// Makes an empty storage, and whatever must live as long as it.
pub type Make<'a> = &'a dyn Fn() -> (Box<dyn Storage>, Box<dyn Any>);

fn path(text: &str) -> StorePath {
    text.parse().expect("paths of the suite are valid")
}

/// Runs every check of the suite, each on a fresh storage.
///
/// # Panics
/// A guarantee of [`Storage`] does not hold.
pub fn run(make: Make<'_>) {
    let checks: [fn(&dyn Storage); 12] = [
        missing_entries_are_not_found,
        atomic_writes_replace_and_leave_nothing_else,
        staged_writes_land_at_the_target,
        exclusive_creation_refuses_what_exists,
        directories_are_made_and_listed_in_order,
        listings_with_facts_agree_with_looking_at_each,
        renames_replace_files_and_move_trees,
        removals_remove_exactly_what_they_name,
        reads_are_bounded,
        touching_moves_the_access_time_alone,
        folders_are_gone_through_as_directories_are,
        working_files_are_filled_anywhere_and_outlive_their_name,
    ];
    for check in checks {
        let (storage, _alive) = make();
        check(&*storage);
    }
    let (storage, _alive) = make();
    holds_exclude_each_other(&*storage);
    let (storage, _alive) = make();
    concurrent_replacements_never_show_a_mixture(&*storage);
}

fn names(storage: &dyn Storage, directory: &str) -> Vec<String> {
    storage.list(&path(directory)).expect("listed").into_iter().map(|entry| entry.name).collect()
}

fn write(storage: &dyn Storage, at: &str, content: &[u8]) {
    storage.write_atomic(&path(at), content, Durability::Cached, Staging::Beside).expect("written");
}

fn missing_entries_are_not_found(storage: &dyn Storage) {
    for at in ["x", "x/y"] {
        let at = path(at);
        assert!(storage.read(&at, 1).expect_err("must fail").is_not_found());
        assert!(storage.read_start(&at, 1).expect_err("must fail").is_not_found());
        assert!(storage.stat(&at).expect_err("must fail").is_not_found());
        assert!(storage.list(&at).expect_err("must fail").is_not_found());
        assert!(storage.remove_file(&at).expect_err("must fail").is_not_found());
        assert!(storage.remove_dir(&at).expect_err("must fail").is_not_found());
        assert!(storage.remove_tree(&at).expect_err("must fail").is_not_found());
        assert!(storage.touch_atime(&at).expect_err("must fail").is_not_found());
        assert!(storage.sync_file(&at).expect_err("must fail").is_not_found());
        assert!(storage.rename(&at, &path("z")).expect_err("must fail").is_not_found());
    }
    let inside = path("x/y");
    let written = storage.write_atomic(&inside, b"", Durability::Cached, Staging::Beside);
    assert!(written.expect_err("must fail").is_not_found());
    assert!(storage.create_exclusive(&inside, b"").expect_err("must fail").is_not_found());
    assert!(storage.create_dir(&inside, DIRECTORY_MODE).expect_err("must fail").is_not_found());
    assert!(storage.try_hold_file(&inside).expect_err("must fail").is_not_found());
    assert!(names(storage, "").is_empty());
}

fn atomic_writes_replace_and_leave_nothing_else(storage: &dyn Storage) {
    storage.create_dir(&path("d"), DIRECTORY_MODE).expect("created");
    for (content, durability) in [(&b"one"[..], Durability::Cached), (b"", Durability::Durable)] {
        storage.write_atomic(&path("d/a.blob"), content, durability, Staging::Beside).expect("written");
        assert_eq!(storage.read(&path("d/a.blob"), 10).expect("read"), content);
        assert_eq!(names(storage, "d"), ["a.blob"]);
    }
    let stat = storage.stat(&path("d/a.blob")).expect("exists");
    assert_eq!((stat.kind, stat.size_bytes, stat.mode), (EntryKind::File, 0, FILE_MODE));
    storage.sync_file(&path("d/a.blob")).expect("flushed");
    storage.sync_all().expect("flushed");
    assert!(storage.write_atomic(&path("d"), b"x", Durability::Cached, Staging::Beside).is_err());
    assert!(storage.write_atomic(&path("d/a.blob/x"), b"x", Durability::Cached, Staging::Beside).is_err());
    assert_eq!(names(storage, ""), ["d"]);
}

fn staged_writes_land_at_the_target(storage: &dyn Storage) {
    storage.create_dirs(&path("stage/one")).expect("created");
    storage.create_dir(&path("d"), DIRECTORY_MODE).expect("created");
    let stage = path("stage/one");
    storage.write_atomic(&path("d/f"), b"x", Durability::Durable, Staging::In(&stage)).expect("written");
    assert_eq!((names(storage, "d"), names(storage, "stage/one").len()), (vec!["f".to_owned()], 0));
    let lost = storage.write_atomic(&path("missing/f"), b"x", Durability::Cached, Staging::In(&stage));
    assert!(lost.expect_err("must fail").is_not_found());
    assert!(names(storage, "stage/one").is_empty());
    let unstaged = storage.write_atomic(&path("d/g"), b"x", Durability::Cached, Staging::In(&path("none")));
    assert!(unstaged.expect_err("must fail").is_not_found());
}

fn exclusive_creation_refuses_what_exists(storage: &dyn Storage) {
    storage.create_exclusive(&path("owner"), b"a").expect("created");
    let again = storage.create_exclusive(&path("owner"), b"b");
    assert!(matches!(again, Err(StorageError::AlreadyExists { .. })));
    assert_eq!(storage.read(&path("owner"), 1).expect("read"), "a");
}

fn directories_are_made_and_listed_in_order(storage: &dyn Storage) {
    storage.create_dirs(&path("b/c")).expect("created");
    storage.create_dirs(&path("b/c")).expect("exists already");
    storage.create_dir(&path("a"), 0o750).expect("created");
    assert!(matches!(storage.create_dir(&path("a"), 0o750), Err(StorageError::AlreadyExists { .. })));
    write(storage, "c", b"");
    assert!(matches!(storage.create_dirs(&path("c")), Err(StorageError::NotADirectory { .. })));
    assert!(matches!(storage.list(&path("c")), Err(StorageError::NotADirectory { .. })));
    assert!(matches!(storage.stat(&path("c/x")), Err(StorageError::NotADirectory { .. })));
    assert_eq!(names(storage, ""), ["a", "b", "c"]);
    assert_eq!(storage.stat(&path("a")).expect("exists").mode, 0o750);
    assert_eq!(storage.stat(&path("b/c")).expect("exists").mode, DIRECTORY_MODE);
    assert_eq!(storage.stat(&StorePath::root()).expect("exists").kind, EntryKind::Directory);
}

fn listings_with_facts_agree_with_looking_at_each(storage: &dyn Storage) {
    assert!(storage.list_stats(&path("d")).expect_err("must fail").is_not_found());
    storage.create_dirs(&path("d/sub")).expect("created");
    assert_eq!(storage.list_stats(&path("d/sub")).expect("listed"), []);
    write(storage, "d/z", b"four");
    write(storage, "d/a", b"");
    let found = storage.list_stats(&path("d")).expect("listed");
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a", "sub", "z"]);
    for (name, stat) in &found {
        let alone = storage.stat(&path(&format!("d/{name}"))).expect("exists");
        let facts = |stat: &crate::Stat| (stat.kind, stat.mode, stat.inode, stat.accessed, stat.modified);
        assert_eq!(facts(stat), facts(&alone), "{name}");
    }
    assert_eq!((found[0].1.size_bytes, found[2].1.size_bytes), (0, 4));
    assert!(storage.list_stats(&path("d/a")).is_err());
}

fn renames_replace_files_and_move_trees(storage: &dyn Storage) {
    storage.create_dirs(&path("a/b")).expect("created");
    write(storage, "a/b/f", b"1");
    write(storage, "g", b"2");
    storage.rename(&path("a/b/f"), &path("g")).expect("renamed");
    assert_eq!(storage.read(&path("g"), 1).expect("read"), "1");
    assert!(storage.read(&path("a/b/f"), 1).expect_err("must fail").is_not_found());
    storage.rename(&path("g"), &path("a/b/f")).expect("renamed");
    storage.rename(&path("a"), &path("z")).expect("renamed");
    assert_eq!(storage.read(&path("z/b/f"), 1).expect("read"), "1");
    assert!(storage.rename(&path("z"), &path("missing/z")).expect_err("must fail").is_not_found());
    storage.create_dirs(&path("y/full")).expect("created");
    assert!(storage.rename(&path("z"), &path("y")).is_err());
    assert_eq!(names(storage, ""), ["y", "z"]);
}

fn removals_remove_exactly_what_they_name(storage: &dyn Storage) {
    storage.create_dirs(&path("a/b")).expect("created");
    storage.create_dirs(&path("ab")).expect("created");
    write(storage, "a/f", b"1");
    assert!(matches!(storage.remove_dir(&path("a")), Err(StorageError::NotEmpty { .. })));
    assert!(matches!(storage.remove_dir(&path("a/f")), Err(StorageError::NotADirectory { .. })));
    assert!(matches!(storage.remove_tree(&path("a/f")), Err(StorageError::NotADirectory { .. })));
    assert!(storage.remove_file(&path("a/b")).is_err());
    storage.remove_file(&path("a/f")).expect("removed");
    storage.remove_dir(&path("a/b")).expect("removed");
    write(storage, "a/f", b"1");
    storage.create_dirs(&path("a/b/c")).expect("created");
    storage.remove_tree(&path("a")).expect("removed");
    assert_eq!(names(storage, ""), ["ab"]);
}

fn reads_are_bounded(storage: &dyn Storage) {
    write(storage, "f", b"12345");
    assert_eq!(storage.read(&path("f"), 5).expect("read"), "12345");
    assert!(matches!(storage.read(&path("f"), 4), Err(StorageError::TooLarge { max_bytes: 4, .. })));
    assert_eq!(storage.read_start(&path("f"), 2).expect("read"), "12");
    assert_eq!(storage.read_start(&path("f"), 9).expect("read"), "12345");
    let mut reader = storage.open_reader(&path("f")).expect("opened");
    assert_eq!(reader.next(3).expect("read"), "123");
    storage.remove_file(&path("f")).expect("removed");
    assert_eq!(reader.next(3).expect("read"), "45");
    assert!(reader.next(3).expect("read").is_empty());
    assert!(storage.open_reader(&path("f")).expect_err("must fail").is_not_found());
    storage.create_dir(&path("d"), DIRECTORY_MODE).expect("created");
    assert!(matches!(storage.open_reader(&path("d")), Err(StorageError::NotAFile { .. })));
    assert!(matches!(storage.read(&path("d"), 4), Err(StorageError::NotAFile { .. })));
}

fn touching_moves_the_access_time_alone(storage: &dyn Storage) {
    write(storage, "f", b"1");
    let before = storage.stat(&path("f")).expect("exists");
    storage.touch_atime(&path("f")).expect("touched");
    let after = storage.stat(&path("f")).expect("exists");
    assert!(before.accessed <= after.accessed);
    assert_eq!((before.modified, before.inode), (after.modified, after.inode));
}

fn folders_are_gone_through_as_directories_are(storage: &dyn Storage) {
    for directory in ["a/b", "a/bc", "a/a directory with a long name"] {
        storage.create_dirs(&path(directory)).expect("created");
    }
    let folders = storage.folders(&path("a")).expect("it is there");
    storage.create_dirs(&path("a/late")).expect("created");
    let files = [("b", "2"), ("b", "1"), ("bc", "1"), ("late", "1"), ("a directory with a long name", "1")];
    let at = |(folder, name): (&str, &str)| format!("a/{folder}/{name}");
    files.iter().for_each(|file| write(storage, &at(*file), b"123"));
    write(storage, "a/file", b"1");
    for folder in ["b", "bc", "late"] {
        let expected = storage.list_stats(&path(&format!("a/{folder}"))).expect("listed");
        assert_eq!(folders.list_stats(folder).expect("listed"), expected);
    }
    let accessed = |file| storage.stat(&path(&at(file))).expect("exists").accessed;
    let before = files.map(accessed);
    // Times of files may be coarse.
    let mut tries = 0;
    while !before.iter().zip(files.map(accessed)).all(|(before, after)| *before < after) {
        files.iter().for_each(|(folder, name)| folders.touch_atime(folder, name).expect("touched"));
        tries += 1;
        assert!(tries < 10_000, "not all were touched");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    for (folder, name) in files {
        let expected = storage.stat(&path(&at((folder, name)))).expect("exists");
        assert_eq!(folders.stat(folder, name).expect("exists"), expected);
    }
    folders.remove_file("bc", "1").expect("removed");
    assert!(storage.stat(&path("a/bc/1")).expect_err("must fail").is_not_found());
    let long = "x".repeat(200);
    for none in ["1", "none", &long] {
        assert!(folders.touch_atime("bc", none).expect_err("must fail").is_not_found());
        assert!(folders.stat("bc", none).expect_err("must fail").is_not_found());
        assert!(folders.remove_file("bc", none).expect_err("must fail").is_not_found());
    }
    storage.create_dir(&path("a/b/directory"), DIRECTORY_MODE).expect("created");
    assert!(folders.remove_file("b", "directory").is_err());
    for nothing in ["none", "..", "", "b/../..", "b\0"] {
        assert!(folders.touch_atime(nothing, "1").expect_err("must fail").is_not_found(), "{nothing}");
        assert!(folders.list_stats(nothing).expect_err("must fail").is_not_found(), "{nothing}");
        assert!(folders.touch_atime("b", nothing).expect_err("must fail").is_not_found(), "{nothing}");
    }
    assert!(matches!(folders.touch_atime("file", "1"), Err(StorageError::NotADirectory { .. })));
    assert!(matches!(folders.list_stats("file"), Err(StorageError::NotADirectory { .. })));
    storage.remove_tree(&path("a/b")).expect("removed");
    assert!(folders.touch_atime("b", "1").expect_err("must fail").is_not_found());
    assert!(folders.list_stats("b").expect_err("must fail").is_not_found());
    assert!(storage.folders(&path("none")).is_err() || storage.local_root().is_none());
}

fn working_files_are_filled_anywhere_and_outlive_their_name(storage: &dyn Storage) {
    assert!(storage.create_working(&path("missing/f")).expect_err("must fail").is_not_found());
    let file = storage.create_working(&path("f.tmp")).expect("created");
    assert!(matches!(storage.create_working(&path("f.tmp")), Err(StorageError::AlreadyExists { .. })));
    assert_eq!(storage.stat(&path("f.tmp")).expect("exists").mode, FILE_MODE);
    file.write_at(6, b"gh").expect("written");
    file.write_at(0, b"ab").expect("written");
    assert_eq!(storage.read(&path("f.tmp"), 10).expect("read"), &b"ab\0\0\0\0gh"[..]);
    assert_eq!((file.read_at(6, 9).expect("read"), file.read_at(9, 9).expect("read")), (b"gh".to_vec(), Vec::new()));
    file.set_length(7).expect("cut");
    file.set_length(9).expect("extended");
    storage.rename(&path("f.tmp"), &path("f")).expect("renamed");
    file.write_at(1, b"B").expect("written");
    assert_eq!(storage.read(&path("f"), 10).expect("read"), &b"aB\0\0\0\0g\0\0"[..]);
    assert_eq!(storage.stat(&path("f")).expect("exists").size_bytes, 9);
    storage.remove_file(&path("f")).expect("removed");
    file.write_at(2, b"c").expect("written");
    assert_eq!(file.read_at(0, 3).expect("read"), b"aBc");
    assert!(file.set_length(u64::MAX / 2).is_err());
    assert!(names(storage, "").is_empty());
}

fn holds_exclude_each_other(storage: &dyn Storage) {
    let first = storage.try_hold_file(&path("lock")).expect("locked").expect("free");
    assert!(storage.try_hold_file(&path("lock")).expect("tried").is_none());
    drop(first);
    assert!(storage.try_hold_file(&path("lock")).expect("tried").is_some());
    let record = storage.record_lock(&path(".lock")).expect("opened");
    assert!(record.try_shared().expect("tried") && record.try_exclusive().expect("tried"));
    record.unlock().expect("unlocked");
}

fn concurrent_replacements_never_show_a_mixture(storage: &dyn Storage) {
    /// Larger than what one write call of a file system usually moves at once.
    const LENGTH: usize = 200_000;
    write(storage, "f", &[0; LENGTH]);
    std::thread::scope(|scope| {
        for writer in 1..=2u8 {
            scope.spawn(move || {
                for _ in 0..20 {
                    write(storage, "f", &[writer; LENGTH]);
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..40 {
                let content = storage.read(&path("f"), LENGTH as u64).expect("never missing");
                assert_eq!(content.len(), LENGTH);
                assert!(content.iter().all(|byte| *byte == content[0]));
            }
        });
    });
    assert_eq!(names(storage, ""), ["f"]);
}
