//! The real program as processes of their own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// Returns a command of the real program for the server below `root`.
pub fn program(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farhold"));
    command.arg("--root").arg(root).args(arguments);
    quiet(&mut command);
    command
}

/// Gives a command the environment that outputs are compared in, and nothing to read.
pub fn quiet(command: &mut Command) {
    command.env("LANG", "C.UTF-8").env_remove("LC_ALL").env_remove("LC_CTYPE").env("TZ", "UTC").stdin(Stdio::null());
    command.env_remove("PROXMOX_OUTPUT_FORMAT").env_remove("PBS_LOG").env_remove("FARHOLD_ROOT");
}

/// Returns all that a program printed.
pub fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A process that is killed when the test ends.
pub struct Process(pub Child);

impl Process {
    pub fn spawn(mut command: Command) -> Self {
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Starts `server` on a port of its own and waits until it listens. Returns address and fingerprint too.
    pub fn server(root: &Path) -> (Self, String, String) {
        let mut process = Self::spawn(program(root, &["server", "--listen", "127.0.0.1:0"]));
        let stderr = process.0.stderr.take().unwrap();
        let (mut address, mut seen) = (None, String::new());
        let mut lines = BufReader::new(stderr).lines();
        for line in lines.by_ref() {
            let line = line.unwrap();
            seen.push_str(&line);
            if let Some((_, found)) = line.split_once("listening on ") {
                address = Some(found.trim().to_owned());
            }
            if let (Some((_, fingerprint)), Some(address)) = (line.split_once("(sha256): "), &address) {
                // Somebody must go on reading, or the server could not write any more.
                std::thread::spawn(move || lines.count());
                return (process, address.clone(), fingerprint.trim().to_owned());
            }
        }
        panic!("the server does not start: {seen}");
    }

    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
