//! Clients and servers that are killed in the middle of a backup or restore.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use farhold_cli::Interrupts;

use crate::content::{assert_no_leftovers, noise};
use crate::desk::{Desk, TOKEN, open_to_all, server};
use crate::process::{Process, quiet};
use crate::site::Site;

/// How long a test waits for something that happens at once. Only a fault reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the client as a process.
fn client(desk: &Desk, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farhold"));
    command.arg("client").args(arguments);
    quiet(&mut command);
    command.envs(&desk.variables).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until the client says that it uploads.
fn until_it_uploads(child: &mut Child) -> impl BufRead + use<> {
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("Upload ") {
        line.clear();
        assert!(errors.read_line(&mut line).unwrap() != 0, "the client ended");
    }
    // Some chunks are on their way by then.
    std::thread::sleep(Duration::from_millis(700));
    errors
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stays_of_a_backup_whose_client_is_killed() {
    let (site, secret) = server().await;
    let desk = Desk::at(&site, TOKEN, &secret);
    let disk = format!("disk.img:{}", desk.file("disk.raw", &noise(1, 48 << 20)));
    let mut child = client(&desk, &["backup", &disk, "--backup-id", "x", "--rate", "8MB", "--burst", "1MB"]);
    let child = tokio::task::spawn_blocking(move || {
        drop(until_it_uploads(&mut child));
        child.kill().unwrap();
        child.wait().unwrap();
    });
    child.await.unwrap();
    let begin = Instant::now();
    while !site.app.tasks.running_here().is_empty() {
        assert!(begin.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(desk.run(&["list"]).await.ok(), "");
    assert_no_leftovers(&site.store_path("store1"));
    // The next backup finds the group free.
    desk.run(&["backup", &disk, "--backup-id", "x"]).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_server_is_killed_says_so_and_nothing_stays_after_the_restart() {
    let site = Site::new();
    site.add_store("store1");
    let secret = open_to_all(&site);
    let (process, address, fingerprint) = Process::server(&site.root());
    let mut desk = Desk::new();
    desk.set("PBS_REPOSITORY", &format!("{TOKEN}@{address}:store1"));
    desk.set("PBS_PASSWORD", &secret);
    desk.set("PBS_FINGERPRINT", &fingerprint);
    let content = noise(2, 48 << 20);
    let disk = format!("disk.img:{}", desk.file("disk.raw", &content));
    desk.run(&["backup", &disk, "--backup-id", "good"]).await.ok();

    let begin = Instant::now();
    let mut child = client(&desk, &["backup", &disk, "--backup-id", "x", "--rate", "8MB", "--burst", "1MB"]);
    let told = tokio::task::spawn_blocking(move || {
        let mut errors = until_it_uploads(&mut child);
        process.kill();
        let mut told = String::new();
        errors.read_to_string(&mut told).unwrap();
        (child.wait().unwrap().code(), told)
    });
    let (code, told) = told.await.unwrap();
    assert_eq!(code, Some(255), "{told}");
    assert!(told.contains("Error: ") && told.contains("hint: ") && !told.contains(&secret), "{told}");
    assert!(begin.elapsed() < PATIENCE, "it does not wait for a server that is gone");

    let (process, address, _) = Process::server(&site.root());
    desk.set("PBS_REPOSITORY", &format!("{TOKEN}@{address}:store1"));
    let listed = desk.run(&["list"]).await.ok();
    assert!(listed.contains("host/good/"), "{listed}");
    // What the server had of it is gone, directory and group.
    assert!(!listed.contains("host/x"), "{listed}");
    assert_no_leftovers(&site.store_path("store1"));
    desk.run(&["backup", &disk, "--backup-id", "x"]).await.ok();

    // A restore that the server does not survive leaves no file that looks like one.
    let target = desk.path("restored.raw");
    let to = target.to_str().unwrap().to_owned();
    let mut child = client(&desk, &["restore", "host/good", "disk.img", &to, "--rate", "8MB", "--burst", "1MB"]);
    let told = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_secs(2));
        process.kill();
        let mut told = String::new();
        child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        (child.wait().unwrap().code(), told)
    });
    let (code, told) = told.await.unwrap();
    assert_eq!(code, Some(255), "{told}");
    assert!(told.contains("Error: ") && told.contains("hint: "), "{told}");
    assert!(!target.exists());

    let (_process, address, _) = Process::server(&site.root());
    desk.set("PBS_REPOSITORY", &format!("{TOKEN}@{address}:store1"));
    let (code, restored, _) = desk.run_raw(&["restore", "host/good", "disk.img", "-"], Interrupts::never()).await;
    assert!(code == 0 && restored == content);
}
