//! The authentication log: one line a login or refusal, for operators and programs that watch for guessing.
//!
//! Line: local time (RFC 3339), `: `, `authentication succeeded` or `authentication failed`, then `peer=`, `user=` if
//! known and `reason=`. Never a password, ticket or secret. The file is bounded: when it has grown, it becomes
//! `<name>.1` in place of an older one.
//!
//! Source: `docs/spec/config-and-access.md` 5.11.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use farhold_types::{Clock, Userid};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::Access;
use crate::failure::AuthFailure;

/// Size at which the file is put aside at once, in bytes. The daily rotation does so at half the size and keeps older
/// files; this bounds what can be written in between.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Most characters of a name or reason, both of which a caller can influence.
const MAX_FIELD_LENGTH: usize = 256;
/// Administrators of the group may read it.
const FILE_MODE: u32 = 0o640;

/// The log's file.
pub struct AuthLog {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    time_zone: TimeZone,
    max_bytes: u64,
    /// Lines are written one at a time.
    turn: Mutex<()>,
}

impl std::fmt::Debug for AuthLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthLog").field("path", &self.path).finish_non_exhaustive()
    }
}

impl AuthLog {
    /// Returns the log at `path`, whose folder must exist; nothing is opened yet.
    pub fn new(path: impl Into<PathBuf>, clock: Arc<dyn Clock>, time_zone: TimeZone) -> Self {
        Self { path: path.into(), clock, time_zone, max_bytes: MAX_FILE_BYTES, turn: Mutex::new(()) }
    }

    fn append(&self, verdict: &str, peer: Option<SocketAddr>, who: Option<&str>, reason: &str) -> io::Result<()> {
        let peer = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
        let who = who.map(|who| format!(" user={}", bounded(who))).unwrap_or_default();
        let line = format!("{}: {verdict}; peer={peer}{who} reason={}\n", self.time_text(), bounded(reason));
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = self.open()?;
        if self.max_bytes <= file.metadata()?.len() {
            let mut older = self.path.clone().into_os_string();
            older.push(".1");
            std::fs::rename(&self.path, older)?;
            file = self.open()?;
        }
        file.write_all(line.as_bytes())
    }

    fn open(&self) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(&self.path)
    }

    fn time_text(&self) -> String {
        let now = self.clock.now();
        match Timestamp::from_second(now.0) {
            Ok(time) => time.to_zoned(self.time_zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            Err(_) => now.0.to_string(),
        }
    }
}

/// Returns the text on one line and not longer than a field may be.
fn bounded(text: &str) -> String {
    text.chars().take(MAX_FIELD_LENGTH).map(|c| if c.is_control() { '?' } else { c }).collect()
}

impl Access {
    /// Returns the same authentication, writing to this log.
    pub fn with_auth_log(mut self, log: AuthLog) -> Self {
        self.auth_log = Some(Arc::new(log));
        self
    }

    /// Logs a refusal. `peer`: who is at the other end, if it is the network. Blocking.
    ///
    /// # Errors
    /// The log cannot be written. Without a log there is nothing to fail.
    pub fn log_failure(&self, peer: Option<SocketAddr>, failure: &AuthFailure) -> io::Result<()> {
        let Some(log) = &self.auth_log else { return Ok(()) };
        log.append("authentication failed", peer, failure.who.as_deref(), &failure.log_text())
    }

    /// Logs a login. Blocking.
    ///
    /// # Errors
    /// As [`Self::log_failure`].
    pub fn log_success(&self, peer: Option<SocketAddr>, userid: &Userid) -> io::Result<()> {
        let Some(log) = &self.auth_log else { return Ok(()) };
        log.append("authentication succeeded", peer, Some(userid.as_str()), "login")
    }
}

#[cfg(test)]
mod tests {
    use farhold_types::Epoch;

    use super::*;

    struct Still;

    impl Clock for Still {
        fn now(&self) -> Epoch {
            Epoch(1_795_311_000)
        }
    }

    #[test]
    fn lines_are_single_bounded_and_the_file_is_put_aside_when_it_has_grown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth.log");
        let berlin = TimeZone::fixed(jiff::tz::offset(1));
        let mut log = AuthLog::new(&path, Arc::new(Still), berlin);
        log.max_bytes = 150;
        let peer = "[2001:db8::1]:50000".parse().unwrap();
        log.append("authentication failed", Some(peer), Some("a\nb@pbs"), "invalid credentials").unwrap();
        let first = "2026-11-22T02:30:00+01:00: authentication failed; peer=[2001:db8::1]:50000 user=a?b@pbs \
            reason=invalid credentials\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), first);
        log.append("authentication failed", None, None, &"x".repeat(1000)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.ends_with(&format!(" peer=unknown reason={}\n", "x".repeat(MAX_FIELD_LENGTH))), "{text}");
        log.append("authentication succeeded", None, Some("a@pbs"), "login").unwrap();
        let newest = "2026-11-22T02:30:00+01:00: authentication succeeded; peer=unknown user=a@pbs reason=login\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), newest);
        assert_eq!(std::fs::read_to_string(folder.path().join("auth.log.1")).unwrap(), text);
    }
}
