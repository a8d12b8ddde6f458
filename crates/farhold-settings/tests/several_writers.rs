//! Processes that write the same file at the same time lose nothing: neither blind changes nor those that name the
//! digest they have seen.
//!
//! The test starts its own program again; an environment variable tells the copies that they are writers.

#![allow(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code, reason = "shared by tests that need different parts")]
mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use common::Counting;
use farhold_settings::{ConfigDir, Entries, RemoteConfig, Remotes, Settings, SettingsError, StoredSecret};
use farhold_types::Secret;

/// Directory that a writer works in, and its number.
const WRITER: &str = "FARHOLD_TEST_WRITER";
const WRITERS: usize = 3;
/// Changes of each kind by each writer. More only takes longer: every one is flushed to the disk.
const CHANGES: usize = 15;

fn settings(directory: &Path) -> Settings {
    Settings::new(ConfigDir::new(directory, Arc::new(Counting::default())))
}

fn remote(name: &str) -> RemoteConfig {
    RemoteConfig {
        name: name.parse().unwrap(),
        host: "backup.example".to_owned(),
        port: None,
        auth_id: "root@pam".parse().unwrap(),
        password: StoredSecret::encode(&Secret::new("secret")),
        fingerprint: None,
        comment: None,
        use_node_proxy: None,
    }
}

/// Adds remotes of its own, and counts up the port of one that all writers share.
fn write(directory: &Path, writer: &str) {
    let settings = settings(directory);
    let mut lost_races = 0;
    for number in 0..CHANGES {
        let own = remote(&format!("w{writer}-{number:03}"));
        settings.remotes().edit::<_, SettingsError>(None, |remotes| remotes.insert(own)).unwrap();
        loop {
            let seen = settings.remotes().load().unwrap();
            let mut shared = seen.entries.require("shared").unwrap().clone();
            shared.port = Some(shared.port.unwrap() + 1);
            match settings.remotes().edit(Some(seen.digest), |remotes: &mut Entries<Remotes>| remotes.update(shared)) {
                Ok(_) => break,
                Err(SettingsError::Changed { .. }) => lost_races += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
    println!("writer {writer}: {lost_races} changes came too late and were made again");
}

#[test]
fn writers_in_several_processes_lose_nothing() {
    if let Ok(given) = std::env::var(WRITER) {
        let (writer, directory) = given.split_once(':').unwrap();
        return write(Path::new(directory), writer);
    }
    let directory = tempfile::tempdir().unwrap();
    let first = RemoteConfig { port: Some(1), ..remote("shared") };
    settings(directory.path()).remotes().edit::<_, SettingsError>(None, |remotes| remotes.insert(first)).unwrap();
    let start = |writer: usize| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writers_in_several_processes_lose_nothing", "--nocapture"])
            .env(WRITER, format!("{writer}:{}", directory.path().display()))
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let writers: Vec<_> = (0..WRITERS).map(start).collect();
    for mut writer in writers {
        assert!(writer.wait().unwrap().success());
    }
    let remotes = settings(directory.path()).remotes().load().unwrap().entries;
    assert_eq!(remotes.ids().count(), 1 + WRITERS * CHANGES, "every remote is there");
    assert_eq!(remotes.require("shared").unwrap().port, Some(u16::try_from(1 + WRITERS * CHANGES).unwrap()));
    let left = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(left, 2, "only the file and its lock");
}
