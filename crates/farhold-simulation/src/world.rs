//! A world: two servers, a line between them, a job that pulls or pushes, and everything that happens meanwhile.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use farhold_rules::sync_plan::SelectionOptions;
use farhold_sync::{
    Blocking, EventSink, LocalSource, LocalTarget, RunPlan, SyncError, SyncEvent, SyncOptions, SyncReport, Unrestricted,
};
use farhold_types::{Authid, Digest, Group, GroupFilter, Namespace, Snapshot, SyncLevel};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::acts::{Act, Side, random_group};
use crate::audit::{Before, audit, leftovers};
use crate::backup::Backup;
use crate::ledger::{Book, Done};
use crate::network::{Network, SimulatedSource, Weather};
use crate::plant::Plant;
use crate::pushing::SimulatedTarget;
use crate::removable::Removable;
use crate::rng::Rng;
use crate::server::{Server, ServerOptions, WorldClock};

/// Longest time of a run in a world before it counts as one that does not end.
const RUN_LIMIT: Duration = Duration::from_secs(4 * 3600);

/// How long it takes until a server that died starts again while a push goes on.
const RESTART_PAUSE: Duration = Duration::from_secs(2);

/// A world. Clones are the same.
#[derive(Clone)]
pub struct World {
    /// Where is pulled from.
    pub source: Server,
    /// Where is pulled to.
    pub target: Server,
    /// The line between them.
    pub network: Network,
    /// The weather of this world when there is no storm.
    pub weather: Weather,
    /// What really happened.
    pub book: Book,
    /// Who owns the backups of the source, and some that are made on the target.
    pub owners: (Authid, Authid),
    /// Seconds for which garbage collection keeps what nobody uses.
    pub cutoff_seconds: i64,
    /// How fast things go in this world.
    pub tempo: Tempo,
    /// What is known of the target's device, if that is removable.
    pub removable: Option<Removable>,
    /// Whether the job runs on the source and pushes.
    pub pushes: bool,
    rng: Rng,
    base: SyncOptions,
    pace: Arc<Pace>,
    /// Held while the job runs: once at a time.
    job: Arc<tokio::sync::Mutex<()>>,
    /// The options of the job in this round.
    present: Arc<Mutex<Option<SyncOptions>>>,
    /// Told when the source's process died.
    source_died: Arc<Notify>,
    /// What was ever pushed, for a planted fault.
    sent: Arc<Mutex<BTreeSet<Digest>>>,
}

/// How fast things go in a world.
#[derive(Debug, Clone, Copy)]
pub struct Tempo {
    /// Longest pause of a client between two steps of a backup, in milliseconds.
    pub longest_pause_ms: u64,
    /// Time after the beginning of a round within which most things happen, in milliseconds.
    pub dense_ms: u64,
    /// Time after the beginning of a round within which everything happens, in milliseconds.
    pub longest_ms: u64,
}

impl Tempo {
    /// Everything happens within seconds.
    const BRISK: Self = Self { longest_pause_ms: 2500, dense_ms: 4000, longest_ms: 30_000 };
    /// Clients take longer than garbage is kept.
    const SLUGGISH: Self = Self { longest_pause_ms: 200_000, dense_ms: 200_000, longest_ms: 600_000 };
}

/// How long pieces of blocking work last in this world.
struct Pace {
    rng: Rng,
    longest_us: u64,
    begun: AtomicU64,
}

impl farhold_sync::Pace for Pace {
    fn next(&self) -> Duration {
        self.begun.fetch_add(1, Ordering::Relaxed);
        // Timers have a resolution of a millisecond; many pieces are faster than that.
        Duration::from_micros(self.rng.below(self.longest_us + 1))
    }
}

/// What a finished world has to show.
#[derive(Debug, Clone, Copy, Default)]
pub struct Statistics {
    /// Runs of the job.
    pub runs: u64,
    /// Runs in which nothing failed.
    pub good_runs: u64,
    /// Snapshots that runs changed.
    pub changed_snapshots: u64,
    /// Chunks that came over the line.
    pub chunks: u64,
    /// Times at which the target's process died.
    pub deaths: u64,
    /// What upkeep did.
    pub done: Done,
}

impl Statistics {
    /// Adds those of another world.
    pub const fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.good_runs += other.good_runs;
        self.changed_snapshots += other.changed_snapshots;
        self.chunks += other.chunks;
        self.deaths += other.deaths;
        self.done.add(&other.done);
    }
}

fn filter(text: &str) -> GroupFilter {
    text.parse().expect("the filters here are well-formed")
}

impl World {
    /// Makes the world of a seed. Call it inside a paused runtime with a single thread.
    ///
    /// # Errors
    /// A bug.
    pub fn new(seed: u64, folder: &Path, traces: bool, plant: Plant) -> anyhow::Result<Self> {
        let rng = Rng::new(seed);
        let clock = WorldClock::new();
        let sync_level = if rng.chance(70) { SyncLevel::Filesystem } else { SyncLevel::File };
        // Without any cut-off the clocks must agree.
        let is_strict = rng.chance(60);
        let cutoff_seconds = if is_strict { 0 } else { 60 };
        let tempo = if is_strict || rng.chance(30) { Tempo::BRISK } else { Tempo::SLUGGISH };
        let lag = if is_strict { Duration::ZERO } else { rng.millis(0, 4000) };
        let server = |name, lag, rng: &Rng| {
            let (locks, rng, clock) = (folder.join("locks"), rng.fork(), clock.twin());
            Server::new(ServerOptions { name, locks, sync_level, clock, rng, lag })
        };
        let weather = Weather { delay_ms: rng.below(120), ..Weather::default() };
        let network = Network::new(rng.fork());
        network.set_weather(weather);
        let longest_us = if rng.chance(30) { 0 } else { rng.below(8000) };
        let pace = Arc::new(Pace { rng: rng.fork(), longest_us, begun: AtomicU64::new(0) });
        let (source, target) = (server("src", Duration::ZERO, &rng)?, server("dst", lag, &rng)?);
        target.disk().plant(plant);
        network.plant(plant);
        let base = Self::base_options(&rng, folder, pace.clone())?;
        let pushes = rng.chance(30);
        let removable = if rng.chance(40) {
            target.disk().make_removable();
            Some(Removable::new(&rng, &target.name(), &source.name(), pushes)?)
        } else {
            None
        };
        Ok(Self {
            source,
            target,
            network,
            weather,
            book: Book::new(clock.twin(), traces),
            owners: ("client@pbs".parse()?, "other@pbs".parse()?),
            cutoff_seconds,
            tempo,
            removable,
            pushes,
            rng,
            base,
            pace,
            job: Arc::default(),
            present: Arc::default(),
            source_died: Arc::default(),
            sent: Arc::default(),
        })
    }

    /// Makes an empty world in which nothing happens by itself, for a job with these options. Call it like [`Self::new`].
    ///
    /// # Errors
    /// A bug.
    pub fn still(folder: &Path, options: SyncOptions) -> anyhow::Result<Self> {
        let mut world = Self::new(0, folder, true, Plant::Nothing)?;
        let pace = Arc::new(Pace { rng: Rng::new(0), longest_us: 0, begun: AtomicU64::new(0) });
        world.base = SyncOptions { blocking: Blocking::Inline(pace), ..options };
        (world.pushes, world.removable) = (false, None);
        world.weather = Weather::default();
        world.network.set_weather(world.weather);
        Ok(world)
    }

    /// Runs the job of a still world until nothing changes any more, with all comparisons of the end of a world.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub async fn judge(&self) -> anyhow::Result<Statistics> {
        let mut statistics = Statistics::default();
        self.last_runs(&self.base, &mut statistics).await?;
        Ok(statistics)
    }

    fn base_options(rng: &Rng, folder: &Path, pace: Arc<Pace>) -> anyhow::Result<SyncOptions> {
        let mut options = SyncOptions::new("sim:src:dst::job", "sync@pbs".parse()?);
        if rng.chance(15) {
            options.source_anchor = "a".parse()?;
        }
        if rng.chance(20) {
            options.target_anchor = "t".parse()?;
        }
        options.state_dir = rng.chance(80).then(|| folder.join("state"));
        options.blocking = Blocking::Inline(pace);
        options.worker_threads = usize::try_from(rng.between(1, 4)).unwrap_or(1);
        if rng.chance(50) {
            options.sessions_per_archive = usize::try_from(rng.between(1, 3)).unwrap_or(1);
        }
        Ok(options)
    }

    /// Changes the options that a user changes between runs.
    fn vary(&self, options: &mut SyncOptions) {
        let rng = &self.rng;
        options.max_depth = rng.chance(30).then(|| u8::try_from(rng.below(3)).unwrap_or(0));
        options.selection = SelectionOptions {
            transfer_last: rng.chance(20).then(|| rng.between(1, 3)),
            verified_only: rng.chance(12),
            encrypted_only: rng.chance(8),
            resync_corrupt: rng.chance(40) && !self.pushes,
        };
        options.remove_vanished = rng.chance(40);
        options.group_filter = match rng.below(10) {
            0 => vec![filter("type:vm")],
            1 => vec![filter("regex:^(ct|host)/")],
            2 => vec![filter("exclude:group:vm/100")],
            3 => vec![filter("type:vm"), filter("group:ct/101"), filter("exclude:regex:/102$")],
            _ => Vec::new(),
        };
    }

    pub(crate) const fn server(&self, side: Side) -> &Server {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    /// Returns the owner of what the job pulls.
    pub fn options_owner(&self) -> Authid {
        self.base.owner.clone()
    }

    /// Returns what must be in a snapshot of the target.
    pub fn backup_at(&self, ns: &Namespace, snapshot: &Snapshot) -> Option<Backup> {
        let ledger = self.book.ledger();
        let place = (ns.clone(), snapshot.clone());
        ledger.native.get(&place).or_else(|| ledger.source.get(&self.origin(ns, snapshot)?)).cloned()
    }

    /// Returns where on the source a place of the target comes from.
    pub fn origin(&self, ns: &Namespace, snapshot: &Snapshot) -> Option<(Namespace, Snapshot)> {
        Some((ns.remap(&self.base.target_anchor, &self.base.source_anchor).ok()?, snapshot.clone()))
    }

    /// Returns where on the target a place of the source goes.
    pub fn twin(&self, ns: &Namespace, snapshot: &Snapshot) -> Option<(Namespace, Snapshot)> {
        Some((ns.remap(&self.base.source_anchor, &self.base.target_anchor).ok()?, snapshot.clone()))
    }

    /// Lives through the whole world.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub async fn live(&self) -> anyhow::Result<Statistics> {
        let mut statistics = Statistics::default();
        let mut options = self.base.clone();
        self.vary(&mut options);
        self.populate().await?;
        for round in 0..self.rng.between(1, 4) {
            if self.rng.chance(25) {
                self.vary(&mut options);
            }
            let outcome = if self.rng.chance(20) {
                self.hours(round, &options, &mut statistics).await
            } else {
                self.round(round, &options, &mut statistics).await
            };
            outcome.with_context(|| format!("round {round}"))?;
        }
        // Servers that have not noticed yet that a session broke.
        tokio::time::sleep(Duration::from_secs(10)).await;
        self.calm_down()?;
        self.last_runs(&options, &mut statistics).await.context("after the last round")?;
        let before = Before::read(self)?;
        self.last_collection().await.context("after the last run")?;
        let wrong = audit(self, &before, &options)?;
        anyhow::ensure!(wrong.is_empty(), "after the last collection: {}", wrong.join("\n"));
        statistics.done = self.book.ledger().done;
        statistics.deaths = self.target.disk().deaths();
        Ok(statistics)
    }

    async fn populate(&self) -> anyhow::Result<()> {
        if !self.base.source_anchor.is_root() {
            self.source.store().create_namespace(&self.base.source_anchor)?;
        }
        if !self.base.target_anchor.is_root() && self.rng.chance(50) {
            self.target.store().create_namespace(&self.base.target_anchor)?;
        }
        for _ in 0..self.rng.below(4) {
            let _ = self.add_namespace(&self.rng);
        }
        for _ in 0..self.rng.between(2, 10) {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let _ = self.back_up(Side::Source, &self.rng.fork()).await;
        }
        for _ in 0..self.rng.below(3) {
            let _ = self.back_up(Side::Target, &self.rng.fork()).await;
        }
        Ok(())
    }

    /// Forgets what the round before did.
    pub(crate) fn begin_round(&self) {
        let mut ledger = self.book.ledger();
        ledger.left_source.clear();
        ledger.left_target.clear();
        ledger.changed.clear();
        ledger.taken_now.clear();
        ledger.was_clock_set = false;
    }

    async fn round(&self, number: u64, options: &SyncOptions, statistics: &mut Statistics) -> anyhow::Result<()> {
        // What is relied on without being touched must look old some time.
        let idle = *self.rng.pick(&[0, 0, 400, 7200]).unwrap_or(&0);
        tokio::time::sleep(Duration::from_secs(idle)).await;
        self.begin_round();
        self.present().replace(options.clone());
        self.target.disk().flush();
        let before = Before::read(self)?;
        let cancel = CancellationToken::new();
        let mut acts = JoinSet::new();
        for _ in 0..self.rng.below(12) {
            let (world, act, rng, cancel) = (self.clone(), Act::random(&self.rng), self.rng.fork(), cancel.clone());
            // Dense around the run, which takes seconds, and some later.
            let limit = if rng.chance(80) { self.tempo.dense_ms } else { self.tempo.longest_ms };
            let begin = rng.millis(0, limit);
            acts.spawn(async move {
                tokio::time::sleep(begin).await;
                world.perform(act, rng, cancel).await;
            });
        }
        tokio::time::sleep(self.rng.millis(0, 1500)).await;
        self.book.note(|| format!("round {number}: the run begins with {}", describe(options)));
        let outcome = self.run(options, cancel, statistics).await?;
        self.book.note(|| format!("round {number}: the run ends, {}", told(&outcome)));
        while acts.join_next().await.is_some() {}
        self.settle_after_death(options)?;
        let mut wrong = self.put_in_place()?;
        wrong.extend(audit(self, &before, options)?);
        anyhow::ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    }

    pub(crate) fn present(&self) -> MutexGuard<'_, Option<SyncOptions>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the options of the job in this round.
    pub(crate) fn present_options(&self) -> Option<SyncOptions> {
        self.present().clone()
    }

    /// Runs the job once, alone.
    pub(crate) async fn run(
        &self,
        options: &SyncOptions,
        cancel: CancellationToken,
        statistics: &mut Statistics,
    ) -> anyhow::Result<Result<SyncReport, SyncError>> {
        let _turn = self.job.lock().await;
        let outcome = if self.pushes { self.push(options, cancel).await? } else { self.pull(options, cancel).await? };
        statistics.runs += 1;
        if let Ok(report) = &outcome {
            statistics.good_runs += 1;
            statistics.changed_snapshots += report.changed_snapshots as u64;
        }
        statistics.chunks += self.network.take_counts().0;
        Ok(outcome)
    }

    fn events(&self) -> Arc<dyn EventSink> {
        let book = self.book.clone();
        Arc::new(move |event: &SyncEvent| book.note(|| format!("    {event:?}")))
    }

    fn local_source(&self, options: &SyncOptions) -> Arc<LocalSource> {
        let everything = |_: &Namespace, _: &Authid| true;
        let source = LocalSource::new(self.source.store(), Arc::new(everything));
        Arc::new(source.with_blocking(options.blocking.clone()))
    }

    fn push_target(&self, options: &SyncOptions) -> Arc<SimulatedTarget> {
        Arc::new(SimulatedTarget::new(self.clone(), options.owner.clone(), self.rng.fork(), self.sent.clone()))
    }

    /// Pushes once. The run dies with the source's process; the target's starts again while the run goes on.
    async fn push(
        &self,
        options: &SyncOptions,
        cancel: CancellationToken,
    ) -> anyhow::Result<Result<SyncReport, SyncError>> {
        let (source, target) = (self.local_source(options), self.push_target(options));
        let rights = Arc::new(Unrestricted);
        let run = farhold_sync::push(options.clone(), source, target, rights, self.events(), cancel);
        let run = tokio::time::timeout(RUN_LIMIT, run);
        self.book.ledger().done.pushes += 1;
        tokio::select! {
            biased;
            outcome = run => outcome.context("the run does not end"),
            () = self.source_died.notified() => {
                self.book.note(|| "the run dies with the source".to_owned());
                Ok(Err(SyncError::Cancelled))
            }
            outcome = self.watch_over_target(options) => outcome.map(|never| match never {}),
        }
    }

    /// Starts the target again whenever it died, until this is dropped.
    async fn watch_over_target(&self, options: &SyncOptions) -> anyhow::Result<Infallible> {
        loop {
            tokio::time::sleep(RESTART_PAUSE).await;
            if self.target.is_dead() {
                self.settle_after_death(options)?;
            }
        }
    }

    /// Tells everybody that the source's process died.
    pub(crate) fn tell_source_died(&self) {
        self.source_died.notify_waiters();
    }

    /// Pulls once.
    async fn pull(
        &self,
        options: &SyncOptions,
        cancel: CancellationToken,
    ) -> anyhow::Result<Result<SyncReport, SyncError>> {
        let _used = match self.use_target_slowly(&self.rng.fork()).await {
            Ok(used) => used,
            Err(error) => {
                self.book.note(|| format!("the run fails: {error}"));
                return Ok(Err(SyncError::Cancelled));
            }
        };
        let _writer = self.target.writer();
        let source = SimulatedSource::new(self.source.clone(), self.network.clone(), options.blocking.clone());
        let target = match LocalTarget::open_with(self.target.store(), options.blocking.clone()) {
            Ok(target) => target,
            // It died, or its disk went away, before the run began.
            Err(error) if self.target.is_dead() || self.target.disk().is_away() => {
                self.book.note(|| format!("the target cannot be opened: {error}"));
                return Ok(Err(SyncError::Cancelled));
            }
            Err(error) => return Err(error.into()),
        };
        let (source, target) = (Arc::new(source), Arc::new(target));
        let run = farhold_sync::run(options.clone(), source, target, Arc::new(Unrestricted), self.events(), cancel);
        tokio::time::timeout(RUN_LIMIT, run).await.context("the run does not end")
    }

    /// Returns what the job would do.
    pub(crate) async fn dry_run(&self, options: &SyncOptions) -> anyhow::Result<RunPlan> {
        if self.pushes {
            let (source, target) = (self.local_source(options), self.push_target(options));
            let (rights, cancel) = (Arc::new(Unrestricted), CancellationToken::new());
            let plan = farhold_sync::plan_push(options.clone(), source, target, rights, cancel);
            let plan = tokio::time::timeout(RUN_LIMIT, plan).await.context("the dry run does not end")?;
            return plan.context("the dry run failed");
        }
        let source = SimulatedSource::new(self.source.clone(), self.network.clone(), options.blocking.clone());
        let target = LocalTarget::open_with(self.target.store(), options.blocking.clone())?;
        let (source, target) = (Arc::new(source), Arc::new(target));
        let plan =
            farhold_sync::plan(options.clone(), source, target, Arc::new(Unrestricted), CancellationToken::new());
        let plan = tokio::time::timeout(RUN_LIMIT, plan).await.context("the dry run does not end")?;
        plan.context("the dry run failed")
    }

    /// Starts the target again if its process died, with what a power failure leaves of its private notes.
    pub(crate) fn settle_after_death(&self, options: &SyncOptions) -> anyhow::Result<()> {
        self.target.disk().cancel_death();
        if !self.target.is_dead() {
            return Ok(());
        }
        self.book.note(|| "the target starts again".to_owned());
        self.remount_after_death();
        // Of a job that pushes, they lie on the other server.
        if let Some(folder) = options.state_dir.as_ref().filter(|_| !self.pushes) {
            tear_notes(folder, &self.rng)?;
        }
        self.target.restart()?;
        let store = self.target.store();
        self.book.ledger().protected.retain(|(ns, snapshot)| store.is_protected(ns, snapshot).unwrap_or(false));
        Ok(())
    }

    /// Ends every fault, so that the next run has no excuse.
    fn calm_down(&self) -> anyhow::Result<()> {
        self.network.heal();
        self.network.set_weather(self.weather);
        self.target.disk().limit_space(None);
        self.target.disk().cancel_death();
        self.target.disk().unplug(None);
        let damage = std::mem::take(&mut self.book.ledger().source_damage);
        for (path, content) in damage {
            self.source.disk().damage(&path, Some(content));
        }
        self.book.note(|| "all faults are over".to_owned());
        Ok(())
    }

    pub(crate) fn leftovers(&self) -> Vec<String> {
        leftovers(self)
    }

    /// Returns chance of its own.
    pub(crate) fn fork_rng(&self) -> Rng {
        self.rng.fork()
    }

    /// Returns a group that a client may use.
    pub fn any_group(&self) -> Group {
        random_group(&self.rng)
    }

    /// Returns how many pieces of blocking work the engine began.
    pub fn steps(&self) -> u64 {
        self.pace.begun.load(Ordering::Relaxed)
    }
}

fn describe(options: &SyncOptions) -> String {
    format!(
        "anchors '{}' -> '{}', max-depth {:?}, {:?}, filter {:?}, remove-vanished {}, {} workers",
        options.source_anchor,
        options.target_anchor,
        options.max_depth,
        options.selection,
        options.group_filter.iter().map(ToString::to_string).collect::<Vec<_>>(),
        options.remove_vanished,
        options.worker_threads,
    )
}

/// Returns the outcome of a run in one line.
pub(crate) fn told(outcome: &Result<SyncReport, SyncError>) -> String {
    match outcome {
        Ok(report) => format!("{report:?}"),
        Err(error) => anyhow::Error::msg(error.to_string()).to_string(),
    }
}

/// Cuts off notes on delivered chunks, which nobody flushes. Records that must be durable stay.
fn tear_notes(folder: &Path, rng: &Rng) -> anyhow::Result<()> {
    let mut waiting = vec![folder.to_owned()];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(folder) = waiting.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "groups") {
                waiting.push(path);
            } else if path.is_file() {
                files.push(path);
            }
        }
    }
    files.sort();
    for file in files {
        if rng.chance(50) {
            let content = std::fs::read(&file)?;
            let kept = usize::try_from(rng.below(content.len() as u64 + 1)).unwrap_or(0);
            std::fs::write(&file, &content[..kept])?;
        }
    }
    Ok(())
}
