//! `farhold client`: the backup client with this process's environment, streams and terminal around it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::sync::Arc;

use farhold_backup_cli::{Folders, Outside, Terminal, complete};
use farhold_cli::{Interrupts, OutputSettings};
use farhold_types::Secret;
use jiff::tz::TimeZone;

use crate::system::{SystemClock, SystemRandomness};
use crate::terminal;

/// Word that leads here.
pub const WORD: &str = "client";

/// The terminal that controls this process, also where input and output are redirected.
const CONTROLLING_TERMINAL: &str = "/dev/tty";

/// Name of the reference's client: called so, the program is the client without any word.
pub const REFERENCE_NAME: &str = "proxmox-backup-client";

/// Carries out a command of the backup client and returns the exit code of the program.
///
/// `program`: as it is called, with the word `client` if that led here; `arguments`: what is behind.
pub async fn run(program: String, arguments: Vec<String>) -> u8 {
    let mut outside = outside();
    farhold_backup_cli::run(&program, arguments, &mut outside).await
}

/// Returns what can stand at the cursor of a line whose first word is the name of the reference's client.
///
/// `point`: characters in front of the cursor.
pub async fn candidates_by_name(line: &str, point: usize) -> Vec<String> {
    complete(line, point, &folders()).await
}

/// Returns what can stand at the cursor of a line whose second word is `client`; none if it is not.
///
/// `point`: characters in front of the cursor.
pub async fn candidates(line: &str, point: usize) -> Option<Vec<String>> {
    let before: String = line.chars().take(point).collect();
    let (_, rest) = before.trim_start().split_once(char::is_whitespace)?;
    let rest = rest.trim_start();
    let is_ours = rest.strip_prefix(WORD).is_some_and(|behind| behind.starts_with(char::is_whitespace));
    if !is_ours {
        return None;
    }
    Some(candidates_by_name(rest, rest.chars().count()).await)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn folders() -> Folders {
    Folders::from_environment(variable, nix::unistd::geteuid().as_raw())
}

fn outside() -> Outside {
    let width = terminal::width(&io::stdout());
    Outside {
        variable: Box::new(variable),
        folders: folders(),
        out: Box::new(io::stdout()),
        err: Box::new(io::stderr()),
        content_out: Box::new(|| Box::new(io::stdout())),
        content_in: Box::new(|| Box::new(io::stdin())),
        answers: Box::new(BufReader::new(io::stdin())),
        terminal: Box::new(ProcessTerminal),
        settings: OutputSettings::from_environment(variable, width, TimeZone::system()),
        progress_width: terminal::width(&io::stderr()),
        interrupts: Box::new(Interrupts::from_signals),
        host_name: host_name(),
        clock: Arc::new(SystemClock),
        randomness: Arc::new(SystemRandomness),
    }
}

/// Returns this host's whole name, the default ID of its backups.
fn host_name() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_else(|| "localhost".to_owned())
}

/// Asks whoever sits in front of this process.
struct ProcessTerminal;

impl Terminal for ProcessTerminal {
    fn is_interactive(&self) -> bool {
        // With a pipe as input nobody sits there, even if there is a terminal somewhere.
        io::stdin().is_terminal()
    }

    fn secret(&mut self, prompt: &str) -> io::Result<Secret> {
        rpassword::prompt_password(prompt).map(Secret::new)
    }

    fn is_yes(&mut self, question: &str) -> io::Result<bool> {
        let mut terminal = OpenOptions::new().write(true).open(CONTROLLING_TERMINAL)?;
        let mut answers = BufReader::new(File::open(CONTROLLING_TERMINAL)?);
        loop {
            write!(terminal, "{question}")?;
            terminal.flush()?;
            let mut answer = String::new();
            if answers.read_line(&mut answer)? == 0 {
                return Ok(false);
            }
            match answer.trim() {
                "y" | "Y" | "yes" => return Ok(true),
                "n" | "N" | "no" => return Ok(false),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_of_the_client_is_completed_by_the_client() {
        let complete = async |line: &str| candidates(line, line.chars().count()).await;
        assert_eq!(complete("farhold client vers").await, Some(vec!["version".to_owned()]));
        assert_eq!(complete("  farhold   client  snapshot prot").await, Some(vec!["protected".to_owned()]));
        assert_eq!(complete("farhold client").await, None);
        assert_eq!(complete("farhold clients x").await, None);
        assert_eq!(complete("farhold remote client ").await, None);
    }
}
