//! A target on a removable device: mounted and unmounted by the product's rules while everything else goes on.
//!
//! Whoever uses the target is counted as the product counts operations, and unmounting sets the mode and waits as the
//! product does. The disk itself keeps a list of who uses it after it was unmounted in good order, which must stay empty:
//! a device that somebody pulls out by force is another matter.
//!
//! Source: `docs/spec/schedules-and-tasks.md` 11, `docs/spec/sync.md` 16.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{bail, ensure};
use farhold_rules::mount_jobs::jobs_on_mount;
use farhold_rules::plug_in::PlugIns;
use farhold_rules::unmounting::{Mode, Step, Users, begun, ended, next_step};
use farhold_types::{DatastoreName, SyncJob};
use tokio_util::sync::CancellationToken;

use crate::disk::Crash;
use crate::plant::Plant;
use crate::rng::Rng;
use crate::world::{Statistics, World, told};

/// The file system that the store is configured for.
const UUID: &str = "7f3c9a10-0000-4000-8000-00000000c0de";
/// Pause between two looks at who still uses the store.
const POLL: Duration = Duration::from_secs(1);
/// Longest pause between two steps, in milliseconds.
const STEP_MS: u64 = 2000;

/// What is plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// The store's device, for the how manieth time.
    Ours(u64),
    /// A device with another file system.
    Other,
    /// Nothing.
    Empty,
}

struct State {
    mode: Mode,
    slot: Slot,
    plug_ins: PlugIns,
    users: Users,
    /// Uses that a dead process began count no more.
    process: u64,
    job: SyncJob,
}

/// What is known of a removable target. Clones are the same.
#[derive(Clone)]
pub struct Removable(Arc<Mutex<State>>);

/// A use of the target. Counts until it is dropped.
pub struct Use(Option<(Removable, u64)>);

impl Drop for Use {
    fn drop(&mut self) {
        if let Some((removable, process)) = &self.0 {
            let mut state = removable.state();
            if state.process == *process {
                state.users.writers -= 1;
            }
        }
    }
}

impl Removable {
    /// Returns a target that is mounted. `target` and `source`: the names of the stores. `pushes`: whether the job runs on
    /// the other server.
    pub fn new(rng: &Rng, target: &DatastoreName, source: &DatastoreName, pushes: bool) -> anyhow::Result<Self> {
        let (store, other) = if pushes { (source, target) } else { (target, source) };
        let mut job = SyncJob::new("job".parse()?, store.clone(), other.clone());
        job.remote = Some("far".parse()?);
        (job.run_on_mount, job.unmount_on_done) = (Some(rng.chance(70)), Some(rng.chance(40)));
        let mut state = State {
            mode: Mode::Unset,
            slot: Slot::Ours(0),
            plug_ins: PlugIns::default(),
            users: Users::default(),
            process: 0,
            job,
        };
        state.appeared();
        Ok(Self(Arc::new(Mutex::new(state))))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mode_and_users(&self) -> (Mode, Users) {
        let state = self.state();
        (state.mode, state.users)
    }

    fn count(&self) -> Use {
        let mut state = self.state();
        state.users.writers += 1;
        Use(Some((self.clone(), state.process)))
    }
}

impl State {
    /// Looks at what is plugged in. Returns whether the store's device appeared.
    fn appeared(&mut self) -> bool {
        let device = match self.slot {
            Slot::Ours(number) => Some(format!("sd {number}")),
            Slot::Other | Slot::Empty => None,
        };
        !self.plug_ins.look([(UUID.to_owned(), device)]).is_empty()
    }
}

impl World {
    fn check_usable(&self, removable: &Removable) -> anyhow::Result<()> {
        let mode = removable.state().mode;
        ensure!(mode == Mode::Unset, "the target is in mode {mode:?}");
        ensure!(!self.target.disk().is_unmounted(), "the target is not mounted");
        Ok(())
    }

    /// Begins to use the target.
    ///
    /// # Errors
    /// It is not mounted, or is being unmounted.
    pub(crate) fn use_target(&self) -> anyhow::Result<Use> {
        let Some(removable) = &self.removable else { return Ok(Use(None)) };
        self.check_usable(removable)?;
        Ok(removable.count())
    }

    /// Begins to use the target, step by step: the mode is looked at before and after being counted.
    ///
    /// # Errors
    /// As [`Self::use_target`].
    pub(crate) async fn use_target_slowly(&self, rng: &Rng) -> anyhow::Result<Use> {
        let Some(removable) = &self.removable else { return Ok(Use(None)) };
        self.check_usable(removable)?;
        self.pause(rng).await;
        let counted = removable.count();
        if self.target.disk().planted() != Plant::LateLookSkipped {
            self.pause(rng).await;
            self.check_usable(removable)?;
        }
        Ok(counted)
    }

    async fn pause(&self, rng: &Rng) {
        if rng.chance(30) {
            tokio::time::sleep(rng.millis(1, STEP_MS)).await;
        }
    }

    /// Pauses; now and then the server is killed meanwhile.
    ///
    /// `deaths`: how often the process had died when the task began; one that began before dies with it.
    async fn pause_or_die(&self, rng: &Rng, deaths: u64) -> anyhow::Result<()> {
        self.pause(rng).await;
        if rng.chance(3) && self.target.disk().deaths() == deaths {
            self.book.ledger().had_death = true;
            self.target.disk().crash(Crash::Kill);
        }
        ensure!(self.target.disk().deaths() == deaths, "the server is dead");
        Ok(())
    }

    /// Unmounts the target; a while later it is mounted again, perhaps after its device was somewhere else.
    pub(crate) async fn unmount_for_a_while(&self, rng: &Rng) -> anyhow::Result<String> {
        let removable = self.removable.as_ref().ok_or_else(|| anyhow::anyhow!("it is not removable"))?;
        self.unmount(removable, rng).await?;
        tokio::time::sleep(rng.millis(10, 3000)).await;
        let is_pulled_out = rng.chance(60);
        if is_pulled_out {
            removable.state().slot = if rng.chance(50) { Slot::Other } else { Slot::Empty };
            let refused = self.mount(removable, rng).await;
            ensure!(refused.is_err() || !self.target.disk().is_unmounted(), "another device was mounted");
        }
        let has_appeared = removable.state().appeared();
        ensure!(!has_appeared, "a device appeared that is not there");
        tokio::time::sleep(rng.millis(10, 10_000)).await;
        if is_pulled_out {
            let mut state = removable.state();
            state.slot = Slot::Ours(rng.next());
            ensure!(state.appeared(), "the device came back and did not appear");
        }
        let how = self.mount_and_run(removable, rng).await?;
        Ok(format!("it is back, {how}"))
    }

    /// Sets the mode, waits until nobody uses the target, and lets go of the device.
    async fn unmount(&self, removable: &Removable, rng: &Rng) -> anyhow::Result<()> {
        let disk = self.target.disk();
        let deaths = disk.deaths();
        ensure!(!self.target.is_dead() && !disk.is_unmounted() && !disk.is_away(), "it is not mounted");
        let mode = begun(removable.state().mode)?;
        removable.state().mode = mode;
        self.book.note(|| "unmounting begins".to_owned());
        loop {
            self.pause_or_die(rng, deaths).await?;
            let (mode, mut users) = removable.mode_and_users();
            if disk.planted() == Plant::UnmountHasty {
                users = Users::default();
            }
            match next_step(mode, &users) {
                Step::GiveUp => bail!("the mode is {mode:?}"),
                Step::Unmount => break,
                Step::Wait if rng.chance(2) => {
                    removable.state().mode = ended(mode);
                    bail!("somebody stopped it while {users:?} were waited for");
                }
                Step::Wait => tokio::time::sleep(POLL).await,
            }
        }
        ensure!(!disk.is_unmounted() && !disk.is_away(), "it is not mounted any more");
        disk.set_unmounted(true);
        self.book.ledger().done.unmounts += 1;
        self.book.note(|| "it is unmounted".to_owned());
        // Killed here, the server leaves a mode that keeps everybody out until somebody mounts.
        if rng.chance(5) {
            self.book.ledger().had_death = true;
            disk.crash(Crash::Kill);
            bail!("the server is dead");
        }
        let mut state = removable.state();
        state.mode = ended(state.mode);
        Ok(())
    }

    /// Mounts the target. Returns whether it was not mounted before.
    async fn mount(&self, removable: &Removable, rng: &Rng) -> anyhow::Result<bool> {
        ensure!(!self.target.is_dead(), "the server is dead");
        if !self.target.disk().is_unmounted() {
            return Ok(false);
        }
        let slot = removable.state().slot;
        ensure!(matches!(slot, Slot::Ours(_)), "no device with the file system is there, but {slot:?}");
        let deaths = self.target.disk().deaths();
        self.target.disk().set_unmounted(false);
        self.pause_or_die(rng, deaths).await?;
        let mut state = removable.state();
        state.mode = ended(state.mode);
        drop(state);
        self.target.reopen()?;
        Ok(true)
    }

    /// Mounts the target and does what is to be done then.
    async fn mount_and_run(&self, removable: &Removable, rng: &Rng) -> anyhow::Result<String> {
        if !self.mount(removable, rng).await? {
            return Ok("it was already".to_owned());
        }
        let on_mount = jobs_on_mount([&removable.state().job], &self.target.name());
        for _ in &on_mount.ids {
            let Some(options) = self.present_options() else { continue };
            let mut statistics = Statistics::default();
            let outcome = Box::pin(self.run(&options, CancellationToken::new(), &mut statistics)).await?;
            self.book.ledger().done.runs_on_mount += 1;
            self.book.note(|| format!("the run after mounting ends, {}", told(&outcome)));
        }
        if on_mount.unmounts_when_done {
            Box::pin(self.unmount(removable, rng)).await?;
            return Ok("and unmounted when the jobs were done".to_owned());
        }
        Ok("mounted".to_owned())
    }

    /// Forgets who used the target before its process died. What is plugged in when the machine starts is mounted.
    pub(crate) fn remount_after_death(&self) {
        let Some(removable) = &self.removable else { return };
        let mut state = removable.state();
        state.process += 1;
        state.users = Users::default();
        state.plug_ins = PlugIns::default();
        if matches!(state.slot, Slot::Other | Slot::Empty) {
            state.slot = Slot::Ours(state.process);
        }
        let is_unmounted = self.target.disk().is_unmounted();
        if state.appeared() && is_unmounted {
            self.target.disk().set_unmounted(false);
            state.mode = ended(state.mode);
        }
    }

    /// Lets an administrator put everything in order, so that the target can be looked at. Returns what is wrong: a mode
    /// that is left over although nothing was cut off, and uses after the end.
    pub(crate) fn put_in_place(&self) -> anyhow::Result<Vec<String>> {
        let Some(removable) = &self.removable else { return Ok(Vec::new()) };
        let late = self.target.disk().take_late_uses();
        let mut wrong: Vec<String> =
            late.into_iter().map(|path| format!("{path}: the device was unmounted in good order before")).collect();
        let mut state = removable.state();
        if state.mode != Mode::Unset && !self.book.ledger().had_death {
            wrong.push(format!("mode {:?} was left over", state.mode));
        }
        state.mode = Mode::Unset;
        if matches!(state.slot, Slot::Other | Slot::Empty) {
            state.slot = Slot::Ours(u64::MAX);
        }
        state.appeared();
        drop(state);
        if self.target.disk().is_unmounted() {
            self.target.disk().set_unmounted(false);
            if !self.target.is_dead() {
                self.target.reopen()?;
            }
        }
        Ok(wrong)
    }
}
