//! The program at a terminal: what it asks there, and what it shows.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};

use crate::content::noise;
use crate::desk::{Desk, PASSWORD, USER, server};
use crate::process::quiet;

/// How long a test waits for a question that comes at once. Only a fault reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the program with a terminal of 70 columns; each answer is typed when its question has been shown. Returns exit
/// code and everything that the terminal showed.
fn at_terminal(desk: &Desk, arguments: &[&str], answers: &[(&str, &str)]) -> (Option<i32>, String) {
    let size = Winsize { ws_row: 24, ws_col: 70, ws_xpixel: 0, ws_ypixel: 0 };
    let pair = openpty(Some(&size), None).unwrap();
    // A session of its own, whose terminal is the new one: passwords are asked for there.
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait", env!("CARGO_BIN_EXE_farhold"), "client"]).args(arguments);
    quiet(&mut command);
    command.env_remove("PBS_PASSWORD").envs(&desk.variables);
    let side = || -> OwnedFd { pair.slave.try_clone().unwrap() };
    command.stdin(Stdio::from(side())).stdout(Stdio::from(side())).stderr(Stdio::from(side()));
    let mut child = command.spawn().unwrap();
    // Otherwise the end of the program would not be the end of the output.
    drop((command, pair.slave));

    let mut typing = File::from(pair.master.try_clone().unwrap());
    let (send, received) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let mut showing = File::from(pair.master);
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = showing.read(&mut buffer) {
            let _ = send.send(buffer[..length].to_vec());
        }
    });
    let mut answers = answers.iter();
    let mut next = answers.next();
    let (mut shown, mut seen) = (Vec::new(), 0);
    while let Ok(bytes) = received.recv_timeout(PATIENCE) {
        shown.extend(bytes);
        let text = String::from_utf8_lossy(&shown[seen..]).into_owned();
        if let Some((question, answer)) = next.filter(|(question, _)| text.contains(question)) {
            seen = shown.len();
            if question.contains("Password") {
                until_hidden(&typing);
            }
            typing.write_all(answer.as_bytes()).unwrap();
            next = answers.next();
        }
    }
    let code = child.wait().unwrap().code();
    (code, String::from_utf8(shown).unwrap())
}

/// Waits until the terminal does not show what is typed.
fn until_hidden(terminal: &File) {
    let begin = Instant::now();
    while tcgetattr(terminal).unwrap().local_flags.contains(LocalFlags::ECHO) {
        assert!(begin.elapsed() < PATIENCE, "the password would be shown");
        thread::sleep(Duration::from_millis(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_asks_shows_its_progress_and_hides_what_is_secret() {
    let (site, _) = server().await;
    let mut desk = Desk::at(&site, USER, "");
    desk.unset("PBS_PASSWORD");
    desk.unset("PBS_FINGERPRINT");
    let disk = desk.file("disk.raw", &noise(4, 24 << 20));
    let spec = format!("disk.img:{disk}");
    tokio::task::spawn_blocking(move || {
        let password = format!("{PASSWORD}\n");
        let answers = [("Password for \"sync@pbs\": ", password.as_str()), ("(y/n): ", "maybe\n"), ("(y/n): ", "y\n")];
        let (code, shown) = at_terminal(&desk, &["login"], &answers);
        assert_eq!(code, Some(0), "{shown}");
        assert!(shown.contains(&format!("fingerprint: {}", site.fingerprint())), "{shown}");
        assert!(!shown.contains(PASSWORD), "{shown}");

        let (code, shown) = at_terminal(&desk, &["backup", &spec, "--rate", "12MB", "--burst", "1MB"], &[]);
        assert_eq!(code, Some(0), "{shown}");
        assert!(shown.contains("\r\u{1b}[K") && shown.contains(" of 24 MiB ("), "{shown}");
        let parts: Vec<&str> = shown.split("\r\u{1b}[K").filter(|part| part.contains(" of 24 MiB (")).collect();
        assert!(parts.len() > 3, "progress moves: {parts:?}");

        let (code, shown) = at_terminal(&desk, &["list"], &[]);
        assert_eq!(code, Some(0), "{shown}");
        // The terminal is narrower than the table.
        assert!(shown.lines().all(|line| line.trim_end_matches('\r').chars().count() <= 70), "{shown}");
        let question = "Delete group \"host/disk\" with 0 snapshot(s)? [y/N]: ";
        let (code, shown) = at_terminal(&desk, &["group", "forget", "host/disk"], &[(question, "n\n")]);
        assert!(code == Some(0) && shown.contains("Abort."), "{shown}");
        drop(site);
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_protected_by_a_password_that_is_typed_twice() {
    let desk = Desk::new();
    tokio::task::spawn_blocking(move || {
        let answers = [("Encryption Key Password: ", "secret words\n"), ("Verify Password: ", "secret words\n")];
        let (code, shown) = at_terminal(&desk, &["key", "create"], &answers);
        assert!(code == Some(0) && !shown.contains("secret words"), "{shown}");
        assert!(desk.folders().default_key().unwrap().exists());
    })
    .await
    .unwrap();
}
