//! The progress of a running transfer as one line on the terminal.
//!
//! The line is redrawn in place. What it shows comes from the server as typed numbers, never from log lines.

use std::io::{self, Write};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use farhold_types::format_bytes;

use crate::caller::{ApiCall, ApiCaller};
use crate::render::time_span;

/// How far a transfer has come.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Bytes that are done, whether moved or found present.
    #[serde(alias = "bytes-done")]
    pub bytes_done: u64,
    /// Bytes there are to do, as far as known.
    #[serde(alias = "bytes-total")]
    pub bytes_total: Option<u64>,
    /// Present speed in bytes per second.
    pub rate: Option<f64>,
    /// Estimated seconds to the end.
    pub eta: Option<f64>,
    /// Backup groups that are finished.
    pub groups_done: u64,
    /// Backup groups found so far.
    pub groups: u64,
    /// How often the source could not be reached and was tried again.
    pub retries: u64,
    /// What is worked on.
    pub current: Vec<CurrentGroup>,
}

/// A backup group that is worked on.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct CurrentGroup {
    /// Its name.
    pub group: String,
}

/// Where the progress of a task comes from.
pub trait ProgressSource: Send + Sync {
    /// Returns the progress of a running task, none if there is nothing to show. Never fails: a line of progress is
    /// no reason to end.
    fn progress<'a>(&'a self, upid: &'a str) -> BoxFuture<'a, Option<Progress>>;
}

/// Asks the API for the progress of tasks.
pub struct ApiProgress<'a>(pub &'a dyn ApiCaller);

impl ProgressSource for ApiProgress<'_> {
    fn progress<'a>(&'a self, upid: &'a str) -> BoxFuture<'a, Option<Progress>> {
        async move {
            let params = json!({ "upid": upid }).as_object().cloned().unwrap_or_else(Map::new);
            let call = ApiCall::new(Method::GET, "/farhold/tasks/{upid}/progress", params);
            let data = self.0.call(call).await.ok()?.data;
            if data == Value::Null { None } else { serde_json::from_value(data).ok() }
        }
        .boxed()
    }
}

/// The line on the terminal.
#[derive(Clone, Debug)]
pub struct ProgressLine {
    width: usize,
    is_shown: bool,
}

impl ProgressLine {
    /// Makes a line for a terminal of this many columns.
    pub fn new(width: usize) -> ProgressLine {
        ProgressLine { width, is_shown: false }
    }

    /// Draws the line, over the one drawn before.
    ///
    /// # Errors
    /// The terminal cannot be written.
    pub fn show(&mut self, terminal: &mut dyn Write, progress: &Progress) -> io::Result<()> {
        // The last column stays free: a character there makes some terminals wrap.
        let text: String = progress_text(progress).chars().take(self.width.saturating_sub(1)).collect();
        self.is_shown = true;
        write!(terminal, "\r\x1b[K{text}")?;
        terminal.flush()
    }

    /// Removes the line if there is one, so that something else can be written.
    ///
    /// # Errors
    /// The terminal cannot be written.
    pub fn clear(&mut self, terminal: &mut dyn Write) -> io::Result<()> {
        if std::mem::take(&mut self.is_shown) {
            write!(terminal, "\r\x1b[K")?;
            terminal.flush()?;
        }
        Ok(())
    }
}

/// Returns the progress in words: `3/8 groups, 1 GiB of 4 GiB (25%), 100 MiB/s, 30s left, vm/100`. Parts that are not
/// known are left out.
pub fn progress_text(progress: &Progress) -> String {
    let mut text = String::new();
    if 0 < progress.groups {
        text.push_str(&format!("{}/{} groups, ", progress.groups_done, progress.groups));
    }
    text.push_str(&format_bytes(progress.bytes_done));
    if let Some(total) = progress.bytes_total.filter(|total| 0 < *total) {
        let percent = u128::from(progress.bytes_done.min(total)) * 100 / u128::from(total);
        text.push_str(&format!(" of {} ({percent}%)", format_bytes(total)));
    }
    if let Some(rate) = progress.rate.filter(|rate| rate.is_finite() && 0.0 <= *rate) {
        text.push_str(&format!(", {}/s", format_bytes(rate as u64)));
    }
    if let Some(eta) = progress.eta.filter(|eta| eta.is_finite() && 0.0 <= *eta) {
        text.push_str(&format!(", {} left", time_span(eta.ceil() as u64)));
    }
    match progress.retries {
        0 => {}
        1 => text.push_str(", 1 retry"),
        retries => text.push_str(&format!(", {retries} retries")),
    }
    // At the end, since the line is cut there.
    for current in &progress.current {
        text.push_str(&format!(", {}", current.group));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_parts_are_left_out() {
        let gib = 1 << 30;
        let full = Progress {
            bytes_done: gib,
            bytes_total: Some(4 * gib),
            rate: Some(104_857_600.0),
            eta: Some(30.4),
            ..Progress::default()
        };
        assert_eq!(progress_text(&full), "1 GiB of 4 GiB (25%), 100 MiB/s, 31s left");
        let current = ["vm/1", "ct/2"].map(|group| CurrentGroup { group: group.to_owned() }).to_vec();
        let more = Progress { groups_done: 3, groups: 8, retries: 2, current, ..full };
        assert_eq!(
            progress_text(&more),
            "3/8 groups, 1 GiB of 4 GiB (25%), 100 MiB/s, 31s left, 2 retries, vm/1, ct/2"
        );
        let bare = Progress { bytes_done: gib, rate: Some(f64::NAN), ..Progress::default() };
        assert_eq!(progress_text(&bare), "1 GiB");
        // More done than announced never shows more than everything.
        let over = Progress { bytes_done: 3, bytes_total: Some(2), ..Progress::default() };
        assert_eq!(progress_text(&over), "3 B of 2 B (100%)");
    }

    #[test]
    fn the_line_is_cleared_only_if_it_is_shown_and_never_wider_than_the_terminal() {
        let mut line = ProgressLine::new(10);
        let mut terminal = Vec::new();
        line.clear(&mut terminal).expect("memory");
        assert!(terminal.is_empty());
        line.show(&mut terminal, &Progress { bytes_done: 1 << 40, bytes_total: Some(1 << 41), ..Progress::default() })
            .expect("memory");
        assert_eq!(terminal, b"\r\x1b[K1 TiB of ");
        line.clear(&mut terminal).expect("memory");
        line.clear(&mut terminal).expect("memory");
        assert_eq!(terminal, b"\r\x1b[K1 TiB of \r\x1b[K");
    }
}
