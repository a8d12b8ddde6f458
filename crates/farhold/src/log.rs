//! The program's own log: to standard error, and the latest lines of it into memory for administrators far away.

use std::io::{self, Write};
use std::sync::Arc;

use farhold_jobs::ServerLog;
use farhold_types::Clock;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::system::SystemClock;

/// Writes each line to standard error and into a [`ServerLog`].
#[derive(Debug, Clone)]
struct Both(Arc<ServerLog>);

impl Write for Both {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The log is written a whole line at a time.
        self.0.push(SystemClock.now(), &String::from_utf8_lossy(bytes));
        io::stderr().write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Both {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// How lines of the log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line, for programs that collect logs.
    Json,
}

impl LogFormat {
    /// Returns the format that this word asks for.
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Sends the program's log to standard error and into `server_log`, for the whole process.
///
/// `level`: what the environment asks for, such as `debug`; `default` is taken without it, or if it makes no sense.
pub fn start(level: Option<&str>, default: &str, format: LogFormat, server_log: Arc<ServerLog>) {
    let filter = level.and_then(|level| EnvFilter::try_new(level).ok()).unwrap_or_else(|| EnvFilter::new(default));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Both(server_log)).with_target(false);
    match format {
        LogFormat::Text => log.with_ansi(false).init(),
        // What a task is about stands in the span of the line, other facts beside the message.
        LogFormat::Json => log.json().flatten_event(true).with_span_list(false).init(),
    }
}
