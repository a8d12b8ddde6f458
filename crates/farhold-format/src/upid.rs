//! The UPID: the unique name of a worker task, and the escaping of worker ids inside it.
//!
//! ```text
//! UPID:<node>:<pid>:<pstart>:<task-id>:<starttime>:<type>:<id>:<auth-id>:
//! ```
//!
//! | field | form |
//! |---|---|
//! | node | host name up to the first dot |
//! | pid | 8 hex digits |
//! | pstart | start of the process in clock ticks since boot, 8 or 9 hex digits |
//! | task-id | counter of the process, 8 to 16 hex digits |
//! | starttime | Unix seconds, 8 hex digits |
//! | type | worker type |
//! | id | escaped worker id, may be empty |
//! | auth-id | who started the task |
//!
//! Hex is written upper case and zero padded, read in either case. A [`Upid`] that exists is a safe file name: it
//! contains neither `/` nor white space nor control characters.
//!
//! Source: `docs/spec/schedules-and-tasks.md` 6.1.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use farhold_types::{Authid, Epoch};
use thiserror::Error;

/// Longest UPID text that is read or made, in bytes: task logs are files named after it, and Linux allows 255.
pub const MAX_UPID_BYTES: usize = 255;

/// Shortest UPID text, in bytes. Source: `docs/spec/schedules-and-tasks.md` 6.1.
const MIN_UPID_BYTES: usize = 36;

/// Why a text is no UPID, or why none can be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UpidError {
    /// The text is shorter or longer than any UPID.
    #[error("UPID must be {MIN_UPID_BYTES} to {MAX_UPID_BYTES} bytes long, found {found}")]
    Length {
        /// Length in bytes.
        found: usize,
    },
    /// The text does not have the nine colons and fields of a UPID.
    #[error("UPID does not have the form UPID:<node>:<pid>:<pstart>:<task-id>:<starttime>:<type>:<id>:<auth-id>:")]
    Form,
    /// One field has a wrong form.
    #[error("UPID has an invalid {field}")]
    Field {
        /// Name of the field.
        field: &'static str,
    },
}

/// Why an escaped worker id cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UnescapeError {
    /// A backslash is not followed by `x` and two hex digits.
    #[error("broken escape sequence in worker id")]
    Escape,
    /// The bytes are not UTF-8.
    #[error("worker id is not UTF-8")]
    Utf8,
}

/// The unique name of one worker task. Equal UPIDs have equal text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Upid {
    node: String,
    pid: u32,
    pstart: u64,
    task_id: u64,
    start_time: Epoch,
    worker_type: String,
    worker_id: Option<String>,
    authid: Authid,
    /// The canonical text, or the text as read (hex digits may be lower case there).
    text: String,
}

/// The parts of a new UPID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpidParts {
    /// Host name up to the first dot.
    pub node: String,
    /// Process that runs the task.
    pub pid: u32,
    /// Start of that process, clock ticks since boot.
    pub pstart: u64,
    /// Counter within the process.
    pub task_id: u64,
    /// When the task started.
    pub start_time: Epoch,
    /// Worker type, for example `syncjob`.
    pub worker_type: String,
    /// Worker id before escaping; `None` for tasks without.
    pub worker_id: Option<String>,
    /// Who started the task.
    pub authid: Authid,
}

impl Upid {
    /// Makes a UPID from its parts.
    ///
    /// A worker id that is empty counts as none.
    ///
    /// # Errors
    /// A node that is no host name; a worker type that is empty or contains `/`, `:`, a blank or a control character;
    /// numbers too large for their fields; a text longer than [`MAX_UPID_BYTES`].
    pub fn new(parts: UpidParts) -> Result<Self, UpidError> {
        let mut text = format!(
            "UPID:{}:{:08X}:{:08X}:{:08X}:{:08X}:{}:",
            parts.node, parts.pid, parts.pstart, parts.task_id, parts.start_time.0, parts.worker_type
        );
        escape_worker_id_into(parts.worker_id.as_deref().unwrap_or_default(), &mut text);
        let _ = write!(text, ":{}:", parts.authid);
        // One set of rules for both ways in: what was written must read back.
        text.parse()
    }

    /// Returns the node name.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Returns the id of the process that runs the task.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns the start of that process in clock ticks since boot.
    pub const fn pstart(&self) -> u64 {
        self.pstart
    }

    /// Returns the number of the task within its process.
    pub const fn task_id(&self) -> u64 {
        self.task_id
    }

    /// Returns when the task started.
    pub const fn start_time(&self) -> Epoch {
        self.start_time
    }

    /// Returns the worker type, for example `syncjob`.
    pub fn worker_type(&self) -> &str {
        &self.worker_type
    }

    /// Returns the unescaped worker id, or `None` if the task has none.
    pub fn worker_id(&self) -> Option<&str> {
        self.worker_id.as_deref()
    }

    /// Returns who started the task.
    pub const fn authid(&self) -> &Authid {
        &self.authid
    }

    /// Returns the whole text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the name of the directory that holds the task's log: the low 8 bits of pstart as two upper-case hex
    /// digits.
    ///
    /// Source: `docs/spec/schedules-and-tasks.md` 7.1.
    pub fn log_directory(&self) -> String {
        format!("{:02X}", self.pstart & 0xFF)
    }
}

impl FromStr for Upid {
    type Err = UpidError;

    fn from_str(text: &str) -> Result<Self, UpidError> {
        if !(MIN_UPID_BYTES..=MAX_UPID_BYTES).contains(&text.len()) {
            return Err(UpidError::Length { found: text.len() });
        }
        let body = text.strip_prefix("UPID:").and_then(|rest| rest.strip_suffix(':')).ok_or(UpidError::Form)?;
        // An auth id contains no colon, so exactly eight fields remain.
        let fields: Vec<&str> = body.split(':').collect();
        let [node, pid, pstart, task_id, start_time, worker_type, id, authid] = fields[..] else {
            return Err(UpidError::Form);
        };
        if !is_node_name(node) {
            return Err(UpidError::Field { field: "node" });
        }
        if worker_type.is_empty() || worker_type.contains(is_forbidden) {
            return Err(UpidError::Field { field: "worker type" });
        }
        if id.contains(is_forbidden) {
            return Err(UpidError::Field { field: "worker id" });
        }
        let worker_id = unescape_worker_id(id).map_err(|_| UpidError::Field { field: "worker id" })?;
        // The limits of the field lengths keep every value inside its type.
        let pid = u32::try_from(hex(pid, 8, 8, "pid")?).map_err(|_| UpidError::Field { field: "pid" })?;
        let start_time = hex(start_time, 8, 8, "start time")?;
        Ok(Self {
            node: node.to_owned(),
            pid,
            pstart: hex(pstart, 8, 9, "pstart")?,
            task_id: hex(task_id, 8, 16, "task id")?,
            start_time: Epoch(i64::try_from(start_time).map_err(|_| UpidError::Field { field: "start time" })?),
            worker_type: worker_type.to_owned(),
            worker_id: if worker_id.is_empty() { None } else { Some(worker_id) },
            authid: authid.parse().map_err(|_| UpidError::Field { field: "auth id" })?,
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for Upid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl serde::Serialize for Upid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> serde::Deserialize<'de> for Upid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Returns the escaped form of a worker id, as it stands in a UPID.
///
/// Byte-wise: `/` becomes `-`, so that no path separator gets into the name of the log file; bytes in `[0-9A-Za-z_.]`
/// stay, except a `.` in first position; every other byte, also `-`, becomes `\x` and two lower-case hex digits.
pub fn escape_worker_id(id: &str) -> String {
    let mut text = String::with_capacity(id.len() * 2);
    escape_worker_id_into(id, &mut text);
    text
}

fn escape_worker_id_into(id: &str, text: &mut String) {
    for (position, byte) in id.bytes().enumerate() {
        match byte {
            b'/' => text.push('-'),
            b'.' if position == 0 => text.push_str("\\x2e"),
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' | b'.' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
}

/// Returns the worker id that an escaped form means: `-` is `/` again, and what is not escaped stays as it is.
///
/// # Errors
/// A backslash without `x` and two hex digits behind it, or a result that is not UTF-8.
pub fn unescape_worker_id(text: &str) -> Result<String, UnescapeError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            bytes.push(if byte == b'-' { b'/' } else { byte });
            continue;
        }
        let [b'x', high, low, tail @ ..] = rest else {
            return Err(UnescapeError::Escape);
        };
        let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
            return Err(UnescapeError::Escape);
        };
        bytes.push(high << 4 | low);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| UnescapeError::Utf8)
}

fn hex(text: &str, min: usize, max: usize, field: &'static str) -> Result<u64, UpidError> {
    let well_formed = (min..=max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    let value = if well_formed { u64::from_str_radix(text, 16).ok() } else { None };
    value.ok_or(UpidError::Field { field })
}

fn is_node_name(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric();
    match text.as_bytes() {
        [] => false,
        [only] => word(*only),
        [first, middle @ .., last] => word(*first) && word(*last) && middle.iter().all(|b| word(*b) || *b == b'-'),
    }
}

fn is_forbidden(c: char) -> bool {
    c == '/' || c == ':' || c.is_whitespace() || c.is_control()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts() -> UpidParts {
        UpidParts {
            node: "vm".to_owned(),
            pid: 0x5E36,
            pstart: 0x77FD1,
            task_id: 0xF,
            start_time: Epoch(0x6B03_5722),
            worker_type: "syncjob".to_owned(),
            worker_id: Some("rsrc:src:dst::state1".to_owned()),
            authid: Authid::root(),
        }
    }

    #[test]
    fn a_recorded_upid_is_written_and_read() {
        let text = r"UPID:vm:00005E36:00077FD1:0000000F:6B035722:syncjob:rsrc\x3asrc\x3adst\x3a\x3astate1:root@pam:";
        let upid = Upid::new(parts()).unwrap();
        assert_eq!(upid.to_string(), text);
        assert_eq!(text.parse::<Upid>(), Ok(upid.clone()));
        assert_eq!(upid.worker_id(), Some("rsrc:src:dst::state1"));
        assert_eq!(upid.log_directory(), "D1");
        assert_eq!(serde_json::from_str::<Upid>(&serde_json::to_string(&upid).unwrap()).unwrap(), upid);
    }

    #[test]
    fn an_empty_worker_id_means_none_and_a_slash_comes_back() {
        let upid = Upid::new(UpidParts { worker_id: Some(String::new()), ..parts() }).unwrap();
        assert_eq!(upid.worker_id(), None);
        assert!(upid.as_str().contains(":syncjob::root@pam:"));
        let upid = Upid::new(UpidParts { worker_id: Some("a:vm/100".to_owned()), ..parts() }).unwrap();
        assert_eq!(upid.worker_id(), Some("a:vm/100"));
        assert!(upid.as_str().contains(r":a\x3avm-100:"));
    }

    #[test]
    fn hex_is_read_in_either_case_and_tokens_may_start_tasks() {
        let upid: Upid = "UPID:n:0000ab01:123456789:0000000000000001:6b035722:backup:x:a@pbs!t:".parse().unwrap();
        assert_eq!((upid.pid(), upid.pstart(), upid.task_id()), (0xAB01, 0x1_2345_6789, 1));
        assert_eq!(upid.authid().token_name().unwrap().as_str(), "t");
    }

    #[test]
    fn damaged_upids_are_refused() {
        let good = "UPID:vm:00005E36:00077FD1:0000000F:6B035722:sync:a:root@pam:";
        assert!(good.parse::<Upid>().is_ok());
        for (from, to) in [
            ("UPID", "upid"),
            ("root@pam:", "root@pam"),
            ("root@pam:", "root@pam::"),
            ("root@pam", "root"),
            ("root@pam", "ro/ot@pam"),
            (":vm:", "::"),
            (":vm:", ":vm.:"),
            (":vm:", ":-vm:"),
            (":vm:", ":vm/..:"),
            ("00005E36", "5E36"),
            ("00005E36", "+0005E36"),
            ("00005E36", "000005E36"),
            ("00077FD1", "0000077FD1"),
            ("0000000F", "0000000G"),
            ("0000000F", "00000000000000000"),
            ("6B035722", "16B035722"),
            (":sync:", "::"),
            (":sync:", ":sy nc:"),
            (":sync:", ":sy/nc:"),
            (":sync:", ":sy\nnc:"),
            (":a:", ":a/b:"),
            (":a:", ":a b:"),
            (":a:", r":\x3:"),
            (":a:", r":\x3g:"),
            (":a:", r":\y33:"),
            (":a:", r":\xff:"),
            (":a:", r":\:"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert!(bad.parse::<Upid>().is_err(), "{bad}");
        }
        assert_eq!("".parse::<Upid>(), Err(UpidError::Length { found: 0 }));
        let long = good.replace(":a:", &format!(":{}:", "a".repeat(MAX_UPID_BYTES)));
        assert!(matches!(long.parse::<Upid>(), Err(UpidError::Length { .. })));
    }

    #[test]
    fn a_upid_that_would_not_read_back_is_not_made() {
        for worker_type in ["", "a:b", "a b", "a/b"] {
            assert!(Upid::new(UpidParts { worker_type: worker_type.to_owned(), ..parts() }).is_err(), "{worker_type}");
        }
        assert!(Upid::new(UpidParts { start_time: Epoch(-1), ..parts() }).is_err());
        assert!(Upid::new(UpidParts { pstart: 1 << 40, ..parts() }).is_err());
        assert!(Upid::new(UpidParts { node: "a.b".to_owned(), ..parts() }).is_err());
    }

    #[test]
    fn the_documented_escapes() {
        for (plain, escaped) in [
            ("pbs2:local:local::pbs2-local", r"pbs2\x3alocal\x3alocal\x3a\x3apbs2\x2dlocal"),
            (".a.b_c d", r"\x2ea.b_c\x20d"),
            ("ü", r"\xc3\xbc"),
            ("tank:/vm/100", r"tank\x3a-vm-100"),
            ("", ""),
        ] {
            assert_eq!(escape_worker_id(plain), escaped);
            assert_eq!(unescape_worker_id(escaped).as_deref(), Ok(plain));
        }
        // Text that our escaping would not leave as it is reads all the same.
        assert_eq!(unescape_worker_id(".a!").as_deref(), Ok(".a!"));
    }

    proptest! {
        #[test]
        fn every_worker_id_survives(id in ".{0,40}") {
            prop_assert_eq!(unescape_worker_id(&escape_worker_id(&id)), Ok(id));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "(UPID:)?[ -~]{0,80}") {
            let _ = text.parse::<Upid>();
        }

        #[test]
        fn made_upids_read_back(pid: u32, pstart in 0u64..1 << 36, task_id: u64, start in 0i64..1 << 32, id in "[ -~ü]{0,30}") {
            let made = Upid::new(UpidParts {
                pid, pstart, task_id, start_time: Epoch(start), worker_id: Some(id.clone()), ..parts()
            }).unwrap();
            prop_assert_eq!((made.pid(), made.pstart(), made.task_id(), made.start_time()), (pid, pstart, task_id, Epoch(start)));
            prop_assert_eq!(made.worker_id().unwrap_or_default(), id);
        }
    }
}
