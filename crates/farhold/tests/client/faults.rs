//! Wrong keys, full disks, killed clients and killed servers: a clear message, and nothing half left behind.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use farhold_backup::{ArchiveInput, BackupArchive, BackupRequest, Protection, RestoreError};
use farhold_client::ClientError;
use farhold_format::key_file::{Kdf, KeyFile, LocalTime};
use farhold_types::{Epoch, Secret};

use crate::content::noise;
use crate::desk::{ACCOUNT, Desk, MIB, STORE, key, told};
use crate::process::{Process, printed, quiet};

/// How long a test waits for something that happens at once. Only a fault reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A file system of its own with little space, where the kernel lets us have one.
struct Small(PathBuf);

impl Small {
    fn mount(path: &Path) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(path);
        command.output().is_ok_and(|output| output.status.success()).then(|| Self(path.to_owned()))
    }

    fn grow(&self) {
        let mut command = Command::new("mount");
        let output = command.args(["-o", "remount,size=200m"]).arg(&self.0).output().unwrap();
        assert!(output.status.success(), "{}", printed(&output));
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// Waits until something is so.
#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Returns a command of the client program for this desk.
fn client_program(desk: &Desk, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farhold"));
    command.arg("client").args(arguments);
    quiet(&mut command);
    // What the user of the machine has set must not matter.
    for name in ["PBS_ENCRYPTION_PASSWORD", "PBS_NAMESPACE", "PBS_SERVER", "PBS_PORT", "PBS_DATASTORE", "PBS_AUTH_ID"] {
        command.env_remove(name);
    }
    command.env("PBS_REPOSITORY", format!("{ACCOUNT}@{}:{STORE}", desk.address));
    command.env("PBS_PASSWORD", &desk.secret).env("PBS_FINGERPRINT", &desk.fingerprint);
    for name in ["HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"] {
        command.env(name, desk.path("home"));
    }
    command
}

/// Runs a command that must fail without a crash, and returns all it printed.
#[track_caller]
fn failed(mut command: Command) -> String {
    let output = command.output().unwrap();
    let text = printed(&output);
    assert!(!output.status.success() && !text.contains("panicked"), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_or_none_restores_nothing() {
    for protection in [Protection::SignOnly(key(1)), Protection::Encrypt(key(1))] {
        let mut desk = Desk::new(protection).await;
        desk.write("disk", &noise(1, 5 * MIB));
        desk.back_up(&["disk.img:disk"]).await.unwrap();
        let target = desk.path("copy");
        desk.protection = Protection::Encrypt(key(2));
        let error = desk.restore("disk.img", &target).await.unwrap_err();
        let text = told(&error, error.hint());
        assert!(text.contains(&key(1).fingerprint().to_string()) && text.contains("key file"), "{text}");
        desk.protection = Protection::None;
        let error = desk.restore("disk.img", &target).await.unwrap_err();
        assert!(matches!(error, RestoreError::KeyMissing { .. }), "{error:?}");
        assert!(!target.exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_files_that_cannot_be_used_stop_a_backup_before_it_begins() {
    let desk = Desk::new(Protection::None).await;
    let source = desk.write("etc", b"a = 1\n");
    let randomness = farhold::system::SystemRandomness;
    let (time, passphrase) = (LocalTime::utc(Epoch(1_700_000_000)), Secret::new("correct horse"));
    let sound = KeyFile::protected(key(1).key().clone(), Kdf::Scrypt, &passphrase, None, time, &randomness).unwrap();
    let sound = sound.to_json().expose().to_owned();
    let plain = KeyFile::plain(key(1).key().clone(), time).to_json().expose().to_owned();
    let other_data = plain.replacen("AQEB", "AQEC", 1);
    assert_ne!(plain, other_data);
    let archive = format!("etc.conf:{}", source.display());
    for (what, content, passphrase, expected) in [
        ("truncated", &sound[..sound.len() / 2], "correct horse", "key file"),
        ("empty", "", "correct horse", "key file"),
        ("wrong passphrase", &sound, "wrong horse", "passphrase"),
        ("other data", &other_data, "correct horse", "fingerprint"),
    ] {
        let file = desk.write("key.json", content.as_bytes());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let mut command =
            client_program(&desk, &["backup", &archive, "--keyfile", file.to_str().unwrap(), "--backup-id", "desk"]);
        command.env("PBS_ENCRYPTION_PASSWORD", passphrase);
        let text = tokio::task::spawn_blocking(move || failed(command)).await.unwrap();
        assert!(text.contains("key.json") && text.to_lowercase().contains(expected), "{what}: {text}");
        assert!(!desk.group_folder().exists(), "{what}");
    }
    let file = desk.write("key.json", sound.as_bytes());
    let mut command =
        client_program(&desk, &["backup", &archive, "--keyfile", file.to_str().unwrap(), "--backup-id", "desk"]);
    command.env("PBS_ENCRYPTION_PASSWORD", "correct horse");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", printed(&output));
    assert_eq!(desk.snapshot_folders().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_datastore_ends_the_backup_and_leaves_no_half_snapshot() {
    let mut desk = Desk::new(Protection::None).await;
    let path = desk.site.store_path(STORE);
    // Mounted over the store, which is still empty.
    let Some(small) = Small::mount(&path) else {
        eprintln!("not run: no right to mount a small file system");
        return;
    };
    fs::create_dir_all(path.join(".chunks")).unwrap();
    desk.write("disk", &noise(1, 40 * MIB));
    let error = desk.back_up(&["disk.img:disk"]).await.unwrap_err();
    let text = told(&error, error.hint());
    assert!(text.contains("No space left on device") && text.contains("the datastore is full"), "{text}");
    wait_until("the group is gone", || !desk.group_folder().exists());
    small.grow();
    desk.back_up(&["disk.img:disk"]).await.unwrap();
    assert_eq!(desk.snapshot_folders().len(), 1);
    assert!(desk.restored("disk.img").await == noise(1, 40 * MIB));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_ends_a_restore_and_leaves_no_half_file() {
    let mut desk = Desk::new(Protection::None).await;
    let folder = desk.path("small");
    let Some(_small) = Small::mount(&folder) else {
        eprintln!("not run: no right to mount a small file system");
        return;
    };
    desk.write("disk", &noise(1, 40 * MIB));
    desk.write("root", &noise(2, 20 * MIB));
    desk.write("etc", &noise(3, 12 * MIB));
    desk.back_up(&["disk.img:disk", "root.pxar:root", "etc.conf:etc"]).await.unwrap();
    for archive in ["disk.img", "root.pxar", "etc.conf"] {
        let error = desk.restore(archive, &folder.join("copy")).await.unwrap_err();
        let text = told(&error, error.hint());
        assert!(text.contains("No space left on device") && text.contains("incomplete file was removed"), "{text}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "{archive}");
    }
}

/// Content that comes when the test says so.
struct Trickle(mpsc::Receiver<Vec<u8>>, io::Cursor<Vec<u8>>);

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.1.read(buffer)?;
            if 0 < count {
                return Ok(count);
            }
            let Ok(more) = self.0.recv() else { return Ok(0) };
            self.1 = io::Cursor::new(more);
        }
    }
}

/// Returns whether a chunk of the running backup has arrived.
fn has_chunks(desk: &Desk) -> bool {
    2 <= desk.chunks().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_is_named_and_the_next_backup_works() {
    let mut desk = Desk::with_process(Protection::None);
    let (content, receiver) = mpsc::channel();
    content.send(noise(1, 24 * MIB)).unwrap();
    let input = ArchiveInput::Reader(Box::new(Trickle(receiver, io::Cursor::default())));
    desk.time += 60;
    let archives = vec![BackupArchive { name: "disk.img.fidx".parse().unwrap(), input }];
    let open = BackupRequest::new(desk.snapshot(), archives).open().unwrap();
    let mut server = desk.process.take();
    let sending = desk.send(open);
    let killing = async {
        while !has_chunks(&desk) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.take().unwrap().kill();
    };
    let (result, ()) = tokio::join!(sending, killing);
    drop(content);
    let error = result.unwrap_err();
    let client_error = error.client_error().unwrap();
    assert!(matches!(client_error, ClientError::Broken { .. } | ClientError::Silent { .. }), "{error:?}");
    let text = told(&error, error.hint());
    assert!(text.contains("archive disk.img.fidx cannot be stored") && text.contains("the server"), "{text}");

    desk.restart_server();
    let (store, ns) = (STORE.parse().unwrap(), farhold_types::Namespace::root());
    let listing = desk.client.snapshots(&store, &ns, &Desk::group()).await.unwrap();
    assert!(listing.items.iter().all(|item| item.files.iter().all(|file| file.filename != "index.json.blob")));
    // The folder that the killed server could not remove does not stand in the way, nor does it look like a snapshot.
    assert!(desk.restore("disk.img", &desk.path("copy")).await.is_err());
    desk.write("disk", &noise(1, 24 * MIB));
    desk.back_up(&["disk.img:disk"]).await.unwrap();
    assert!(desk.restored("disk.img").await == noise(1, 24 * MIB));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_killed_client_the_server_keeps_nothing() {
    let mut desk = Desk::new(Protection::None).await;
    let pipe = desk.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let archive = format!("disk.img:{}", pipe.display());
    let client = Process::spawn(client_program(&desk, &["backup", &archive, "--backup-id", "desk"]));
    let feeding = tokio::task::spawn_blocking(move || {
        let mut pipe = fs::OpenOptions::new().write(true).open(pipe).unwrap();
        pipe.write_all(&noise(1, 24 * MIB)).unwrap();
        // The pipe stays open, so that the client waits for more.
        pipe
    });
    tokio::task::block_in_place(|| wait_until("chunks arrive", || has_chunks(&desk)));
    assert_eq!(desk.snapshot_folders().len(), 1);
    client.kill();
    tokio::task::block_in_place(|| wait_until("the group is gone", || !desk.group_folder().exists()));
    let _ = feeding.await;
    desk.write("disk", &noise(1, 24 * MIB));
    desk.back_up(&["disk.img:disk"]).await.unwrap();
    assert!(desk.restored("disk.img").await == noise(1, 24 * MIB));
    let tasks = desk.site.run(&["task", "list", "--all", "1"]).await.ok();
    assert!(tasks.contains("backup") && !tasks.contains("running"), "{tasks}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_client_restored_does_not_look_like_the_whole() {
    let mut desk = Desk::new(Protection::None).await;
    desk.write("disk", &noise(1, 24 * MIB));
    desk.back_up(&["disk.img:disk"]).await.unwrap();
    let (target, unfinished) = (desk.path("copy"), desk.path("copy.restoring"));
    // So slowly that it would take half a minute.
    let arguments =
        ["restore", "host/desk", "disk.img", target.to_str().unwrap(), "--rate", "800KB", "--burst", "800KB"];
    let client = Process::spawn(client_program(&desk, &arguments));
    tokio::task::block_in_place(|| wait_until("the restore has begun", || unfinished.exists()));
    client.kill();
    assert!(unfinished.exists() && !target.exists());
    let error = desk.restore("disk.img", &target).await.unwrap_err();
    let text = told(&error, error.hint());
    assert!(text.contains("copy.restoring is in the way") && text.contains("remove the file"), "{text}");
    fs::remove_file(unfinished).unwrap();
    desk.restore("disk.img", &target).await.unwrap();
    assert!(fs::read(&target).unwrap() == noise(1, 24 * MIB));
}
