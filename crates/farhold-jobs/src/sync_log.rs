//! Writes the events of a sync into the log of its task and keeps its progress.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use farhold_sync::{EventSink, LogLevel, LogLine, LogNames, LogRenderer, SyncEvent};
use farhold_tasks::TaskContext;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::progress::RunProgress;

/// How often lines are looked for that were kept back long enough: a fraction of the second after which they are due.
const TICK: Duration = Duration::from_millis(250);

/// The log of one run.
pub(crate) struct SyncLog {
    renderer: Mutex<LogRenderer>,
    task: TaskContext,
    progress: Arc<RunProgress>,
}

impl SyncLog {
    pub(crate) fn new(names: LogNames, workers: usize, task: TaskContext, progress: Arc<RunProgress>) -> Arc<Self> {
        Arc::new(Self { renderer: Mutex::new(LogRenderer::new(names, workers)), task, progress })
    }

    /// Starts writing lines of groups that have gone quiet, until the returned value is dropped. Then everything that is
    /// still kept back is written.
    pub(crate) fn keep_moving(self: &Arc<Self>) -> KeepMoving {
        let log = Arc::clone(self);
        let ticks = tokio::spawn(async move {
            let begin = Instant::now();
            let mut ticks = interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                log.write(|renderer| renderer.tick(begin.elapsed()));
            }
        });
        KeepMoving { log: Arc::clone(self), ticks }
    }

    /// The lock is held while writing, so that lines of different groups keep the renderer's order.
    fn write(&self, render: impl FnOnce(&mut LogRenderer) -> Vec<LogLine>) {
        let mut renderer = self.renderer.lock().unwrap_or_else(PoisonError::into_inner);
        for line in render(&mut renderer) {
            match line.level {
                LogLevel::Info => self.task.log(&line.text),
                LogLevel::Warning => self.task.warn(&line.text),
                LogLevel::Error => self.task.error(&line.text),
            }
        }
    }
}

impl EventSink for SyncLog {
    fn event(&self, event: &SyncEvent) {
        self.progress.observe(event);
        self.write(|renderer| renderer.render(event));
    }
}

/// Writes lines that are due; see [`SyncLog::keep_moving`].
pub(crate) struct KeepMoving {
    log: Arc<SyncLog>,
    ticks: JoinHandle<()>,
}

impl Drop for KeepMoving {
    fn drop(&mut self) {
        self.ticks.abort();
        self.log.write(LogRenderer::flush);
    }
}
