//! Watching a transfer: its lines, its progress, and Ctrl-C.
//!
//! On a terminal a line shows the progress, redrawn in place; otherwise a line is written now and then. What the engine
//! has to say is written between.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use farhold_backup::{Event, Observer, PreviousSnapshot, ProgressLook};
use farhold_cli::progress::{Progress, ProgressLine, progress_text};
use farhold_types::format_bytes;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::error::CommandError;
use crate::listing::without_ending;
use crate::outside::Outside;

/// Pause between two looks: quick enough for a moving line, and for lines to appear when they happen.
const LOOK: Duration = Duration::from_millis(200);
/// Pause between two lines of progress where there is no terminal.
const LINE: Duration = Duration::from_secs(60);
/// The speed shown is that of the last few seconds.
const RATE_SPAN: Duration = Duration::from_secs(5);

/// Lines that wait to be written.
#[derive(Debug, Clone, Default)]
pub struct Lines(Arc<Mutex<VecDeque<String>>>);

impl Lines {
    fn push(&self, line: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(line);
    }

    fn take(&self) -> VecDeque<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How much a command says when nothing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Talk {
    /// What it does.
    Steps,
    /// Only warnings.
    Warnings,
}

/// Returns an observer that puts what it hears into words, and the place where they wait.
pub fn observer(talk: Talk) -> (Observer, Lines) {
    let lines = Lines::default();
    let (sink, started) = (lines.clone(), Mutex::new(Instant::now()));
    let observer = Observer::new(move |event| {
        let mut started = started.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(event, Event::ArchiveStarted { .. }) {
            *started = Instant::now();
        }
        if let Some(line) = line_of(event, started.elapsed(), talk) {
            sink.push(line);
        }
    });
    (observer, lines)
}

/// Returns the line that tells of an event, if one does. `elapsed`: since the archive's turn began.
fn line_of(event: &Event, elapsed: Duration, talk: Talk) -> Option<String> {
    if let Event::Warning { name, text } = event {
        return Some(format!("warning: {name}: {text}"));
    }
    if talk == Talk::Warnings {
        return None;
    }
    Some(match event {
        Event::Previous(PreviousSnapshot::None) => "No previous manifest available.".to_owned(),
        Event::Previous(PreviousSnapshot::Usable { time: Some(time) }) => {
            format!("Using the previous snapshot ({time})")
        }
        Event::Previous(PreviousSnapshot::Usable { time: None }) => "Using the previous snapshot".to_owned(),
        Event::Previous(PreviousSnapshot::Unusable { time, reason }) => {
            let time = time.map(|time| format!(" ({time})")).unwrap_or_default();
            format!("The previous snapshot{time} cannot be used, everything is sent again: {reason}")
        }
        Event::ArchiveStarted { name, size_bytes } => {
            let size = size_bytes.map(|bytes| format!(" ({})", format_bytes(bytes))).unwrap_or_default();
            format!("Upload '{}' as {name}{size}", without_ending(name.as_str()))
        }
        Event::ArchiveFinished(archive) => {
            let seconds = elapsed.as_secs_f64();
            let mut line = format!(
                "{}: had to upload {} of {} (as {} in {seconds:.2} s",
                archive.name,
                format_bytes(archive.uploaded_plain_bytes),
                format_bytes(archive.size_bytes),
                format_bytes(archive.uploaded_bytes),
            );
            if 0.0 < seconds {
                line.push_str(&format!(", {}/s", format_bytes((archive.size_bytes as f64 / seconds) as u64)));
            }
            line.push(')');
            if 0 < archive.reused_bytes {
                line.push_str(&format!(", reused {}", format_bytes(archive.reused_bytes)));
            }
            line
        }
        _ => return None,
    })
}

/// Does the work, and shows meanwhile what it tells. The first Ctrl-C ends it in order, a second one at once.
///
/// `cancel`: what ends the work in order.
///
/// # Errors
/// Those of the work; [`CommandError::Interrupted`].
pub async fn watched<T, E: Into<CommandError>>(
    outside: &mut Outside,
    observer: &Observer,
    lines: &Lines,
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, CommandError> {
    let interrupts = (outside.interrupts)()?;
    let mut display = Display::new(outside.progress_width);
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(work);
    let result = loop {
        tokio::select! {
            biased;
            result = &mut work => break result.map_err(Into::into),
            () = interrupts.reached(2) => break Err(CommandError::Interrupted),
            () = interrupts.reached(1), if !cancel.is_cancelled() => {
                display.write(outside, "interrupted, ending");
                cancel.cancel();
            }
            _ = looks.tick() => {
                for line in lines.take() {
                    display.write(outside, &line);
                }
                display.look(outside, observer.progress.look());
            }
        }
    };
    for line in lines.take() {
        display.write(outside, &line);
    }
    display.end(outside);
    // What the interrupted work says about itself is no news.
    if cancel.is_cancelled() && result.is_err() { Err(CommandError::Interrupted) } else { result }
}

/// What the user sees of the progress.
struct Display {
    line: Option<ProgressLine>,
    samples: VecDeque<(Instant, u64)>,
    last_line: Instant,
}

impl Display {
    fn new(width: Option<usize>) -> Self {
        Self { line: width.map(ProgressLine::new), samples: VecDeque::new(), last_line: Instant::now() }
    }

    fn look(&mut self, outside: &mut Outside, look: ProgressLook) {
        let now = Instant::now();
        let rate = self.rate(now, look.done_bytes);
        let left = look.total_bytes.map(|total| total.saturating_sub(look.done_bytes));
        let eta = rate.zip(left).filter(|(rate, _)| 0.0 < *rate).map(|(rate, left)| left as f64 / rate);
        let progress =
            Progress { bytes_done: look.done_bytes, bytes_total: look.total_bytes, rate, eta, ..Progress::default() };
        if let Some(line) = &mut self.line {
            if 0 < look.done_bytes {
                // A terminal that is gone cannot be told so.
                let _ = line.show(&mut *outside.err, &progress);
            }
        } else if LINE <= now.duration_since(self.last_line) {
            self.last_line = now;
            outside.tell(&progress_text(&progress));
        }
    }

    /// Returns the speed over the last few seconds, once there is something to compare with.
    fn rate(&mut self, now: Instant, done_bytes: u64) -> Option<f64> {
        self.samples.push_back((now, done_bytes));
        while 2 < self.samples.len() && self.samples.get(1).is_some_and(|(at, _)| RATE_SPAN < now.duration_since(*at)) {
            self.samples.pop_front();
        }
        let (at, before) = self.samples.front()?;
        let seconds = now.duration_since(*at).as_secs_f64();
        (0.0 < seconds).then(|| done_bytes.saturating_sub(*before) as f64 / seconds)
    }

    fn write(&mut self, outside: &mut Outside, line: &str) {
        self.end(outside);
        outside.tell(line);
    }

    fn end(&mut self, outside: &mut Outside) {
        if let Some(line) = &mut self.line {
            let _ = line.clear(&mut *outside.err);
        }
    }
}
