//! Hours in the life of the target: its jobs begin when their schedules say so, while everything else goes on.
//!
//! What runs when is decided by the product's rule, looked at in each full minute of the server's clock, which may be set
//! while this goes on. The jobs are real runs, prunes, verifications and collections; one that still runs is not begun
//! again. Source: `docs/spec/schedules-and-tasks.md` 9.2.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use farhold_rules::calendar::CalendarEvent;
use farhold_rules::schedule_due::{Due, due};
use farhold_sync::SyncOptions;
use farhold_types::{Clock, Epoch};
use jiff::tz::TimeZone;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::acts::Act;
use crate::audit::{Before, audit};
use crate::collection::collect_garbage;
use crate::pruning::prune_all;
use crate::rng::Rng;
use crate::turns::Rhythm;
use crate::verification::verify_all;
use crate::world::{Statistics, World, told};

const SCHEDULES: [&str; 6] = ["*:0/1", "*:0/5", "*:0/15", "hourly", "*:7", "*:0/20:30"];
/// Seconds between two looks.
const MINUTE: i64 = 60;

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Collect,
    Prune,
    Pull,
    Verify,
}

/// A job of the target with its state.
struct Job {
    work: Work,
    text: &'static str,
    schedule: CalendarEvent,
    /// When it was made or last began.
    last: Epoch,
    running: Option<JoinHandle<anyhow::Result<()>>>,
    runs: usize,
}

impl Job {
    fn new(work: Work, rng: &Rng, now: Epoch) -> anyhow::Result<Self> {
        let text = *rng.pick(&SCHEDULES).unwrap_or(&"hourly");
        Ok(Self { work, text, schedule: CalendarEvent::parse(text)?, last: now, running: None, runs: 0 })
    }

    async fn end(&mut self) -> anyhow::Result<()> {
        match self.running.take() {
            Some(running) => running.await.context("the job panicked")?,
            None => Ok(()),
        }
    }

    /// Compares the number of runs with that of the events from `begin` to `end`, of which several may become one run.
    fn judge(&self, begin: Epoch, end: Epoch) -> anyhow::Result<()> {
        let (mut events, mut time) = (0, begin);
        while let Some(next) = self.schedule.next_after(time, &TimeZone::UTC).filter(|next| *next <= end) {
            (events, time) = (events + 1, next);
        }
        let (work, text, runs) = (self.work, self.text, self.runs);
        ensure!(runs <= events, "{work:?} with {text} ran {runs} times for {events} events");
        ensure!(runs != 0 || events == 0, "{work:?} with {text} never ran for {events} events");
        Ok(())
    }
}

impl World {
    /// Lives through some hours in which the target's jobs follow their schedules.
    pub(crate) async fn hours(
        &self,
        number: u64,
        options: &SyncOptions,
        statistics: &mut Statistics,
    ) -> anyhow::Result<()> {
        let rng = self.fork_rng();
        self.begin_round();
        self.present().replace(options.clone());
        self.target.disk().flush();
        let before = Before::read(self)?;
        let begin = self.target.clock().now();
        let minutes = rng.between(10, 90);
        let jobs = [Work::Collect, Work::Prune, Work::Pull, Work::Verify].into_iter().filter(|_| rng.chance(60));
        let mut jobs = jobs.map(|work| Job::new(work, &rng, begin)).collect::<anyhow::Result<Vec<_>>>()?;
        let told_jobs: Vec<_> = jobs.iter().map(|job| (job.work, job.text)).collect();
        self.book.note(|| format!("round {number}: {minutes} minutes with {told_jobs:?}"));
        let cancel = CancellationToken::new();
        let mut acts = JoinSet::new();
        for _ in 0..rng.below(14) {
            let (world, act, rng, cancel) = (self.clone(), Act::random(&rng), rng.fork(), cancel.clone());
            let begin = rng.millis(0, minutes * 60_000);
            acts.spawn(async move {
                tokio::time::sleep(begin).await;
                world.perform(act, rng, cancel).await;
            });
        }
        let sum = Arc::new(Mutex::new(Statistics::default()));
        let mut last_look = begin;
        for _ in 0..minutes {
            let rest = MINUTE - self.target.clock().now().0.rem_euclid(MINUTE);
            tokio::time::sleep(Duration::from_secs(u64::try_from(rest).unwrap_or(60))).await;
            for job in &mut jobs {
                if job.running.as_ref().is_some_and(JoinHandle::is_finished) {
                    job.end().await?;
                }
            }
            if self.target.is_dead() && jobs.iter().all(|job| job.running.is_none()) {
                self.settle_after_death(options)?;
            }
            last_look = self.target.clock().now();
            for job in jobs.iter_mut().filter(|job| job.running.is_none()) {
                if let Due::Now { event } = due(&job.schedule, Some(job.last), last_look, &TimeZone::UTC) {
                    self.book.note(|| format!("{:?} begins for the event of {event}", job.work));
                    (job.last, job.runs) = (last_look, job.runs + 1);
                    let (world, options, rng) = (self.clone(), options.clone(), rng.fork());
                    let (work, cancel, sum) = (job.work, cancel.clone(), sum.clone());
                    job.running =
                        Some(tokio::spawn(async move { world.work(work, &options, &rng, cancel, &sum).await }));
                }
            }
        }
        for job in &mut jobs {
            job.end().await?;
        }
        while acts.join_next().await.is_some() {}
        statistics.add(&sum.lock().unwrap_or_else(PoisonError::into_inner));
        self.settle_after_death(options)?;
        if !self.book.ledger().was_clock_set {
            jobs.iter().try_for_each(|job| job.judge(begin, last_look))?;
        }
        let mut wrong = self.put_in_place()?;
        wrong.extend(audit(self, &before, options)?);
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    }

    async fn work(
        &self,
        work: Work,
        options: &SyncOptions,
        rng: &Rng,
        cancel: CancellationToken,
        sum: &Mutex<Statistics>,
    ) -> anyhow::Result<()> {
        let outcome = match work {
            Work::Collect => collect_garbage(self, rng, Rhythm::random(rng)).await,
            Work::Prune => prune_all(self, rng, Rhythm::random(rng)).await,
            Work::Verify => verify_all(self, rng, Rhythm::random(rng)).await,
            Work::Pull => {
                let mut statistics = Statistics::default();
                let outcome = self.run(options, cancel, &mut statistics).await?;
                sum.lock().unwrap_or_else(PoisonError::into_inner).add(&statistics);
                Ok(told(&outcome))
            }
        };
        self.note_outcome(&format!("{work:?} by schedule"), outcome);
        Ok(())
    }
}
