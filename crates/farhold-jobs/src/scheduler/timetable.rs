//! Which jobs have a schedule: read from the configuration, parsed once for as long as it stays the same.
//!
//! A section in which something is wrong is passed over, so that the jobs beside it are started.

use std::fmt;
use std::sync::Arc;

use farhold_rules::calendar::CalendarEvent;
use farhold_settings::{ConfigFile, ConfigStore, Entries, Settings, SettingsError};
use farhold_tasks::TaskFailure;
use farhold_tasks::job_state::{JobKey, JobStateError};
use farhold_types::{DatastoreName, Digest, Epoch, PruneJob, SyncJob, VerifyJob};
use jiff::tz::TimeZone;

use super::log_rotation;
use crate::gc::gc_key;
use crate::store_jobs::StoreJob;

/// What a schedule starts.
#[derive(Debug, Clone)]
pub enum Work {
    /// Garbage collection of a datastore.
    Gc(DatastoreName),
    /// A prune job.
    Prune(Box<PruneJob>),
    /// A sync job.
    Sync(Box<SyncJob>),
    /// A verify job.
    Verify(Box<VerifyJob>),
    /// Putting logs aside.
    LogRotation,
}

impl Work {
    /// Returns the datastore that has to be looked up for the start; sync jobs look for theirs when they run.
    pub(super) fn lane(&self) -> Option<DatastoreName> {
        match self {
            Self::Gc(store) => Some(store.clone()),
            Self::Prune(job) => Some(job.store.clone()),
            Self::Verify(job) => Some(job.store.clone()),
            Self::Sync(_) | Self::LogRotation => None,
        }
    }

    /// Returns the place of the kind in the order of starts. Source: `docs/spec/schedules-and-tasks.md` 9.2.
    pub(super) const fn rank(&self) -> u8 {
        match self {
            Self::Gc(_) => 0,
            Self::Prune(_) => 1,
            Self::Sync(_) => 2,
            Self::Verify(_) => 3,
            Self::LogRotation => 4,
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gc(store) => write!(f, "garbage collection of datastore '{store}'"),
            Self::Prune(job) => write!(f, "prune job '{}'", job.id),
            Self::Sync(job) => write!(f, "sync job '{}'", job.id),
            Self::Verify(job) => write!(f, "verify job '{}'", job.id),
            Self::LogRotation => f.write_str("log rotation"),
        }
    }
}

/// A job with a schedule.
pub(super) struct TimedJob {
    pub(super) key: JobKey,
    pub(super) schedule: String,
    pub(super) event: CalendarEvent,
    pub(super) work: Arc<Work>,
    /// Whether it is due at once if it never ran.
    pub(super) runs_first_of_all: bool,
    /// The last answer of [`Self::next_after`]: most jobs wait for hours, and are asked each minute.
    answer: Option<(Epoch, Option<Epoch>)>,
}

impl TimedJob {
    /// Returns the next event after `last`.
    pub(super) fn next_after(&mut self, last: Epoch, zone: &TimeZone) -> Option<Epoch> {
        match self.answer {
            Some((asked, next)) if asked == last => next,
            _ => {
                let next = self.event.next_after(last, zone);
                self.answer = Some((last, next));
                next
            }
        }
    }
}

/// The jobs of one configuration file, as it was read last.
#[derive(Default)]
struct Page {
    digest: Option<Digest>,
    jobs: Vec<TimedJob>,
}

/// All jobs with a schedule.
#[derive(Default)]
pub(super) struct Timetable {
    gc: Page,
    prune: Page,
    sync: Page,
    verify: Page,
    /// What a server does by itself: putting logs aside.
    own: Option<TimedJob>,
}

/// What is wrong, and with what.
type Complaints = Vec<(String, String)>;

impl Timetable {
    /// Reads the files that have changed. Returns what is wrong with them. A file that cannot be read leaves its jobs as
    /// they were; one in which a section is wrong, without its job. Blocking.
    pub(super) fn refresh(&mut self, settings: &Settings) -> Complaints {
        let mut complaints = Vec::new();
        self.gc.refresh(&settings.datastores(), &mut complaints, |store| {
            store.gc_schedule.clone().map(|schedule| (gc_key(&store.name), schedule, Work::Gc(store.name.clone())))
        });
        self.prune.refresh(&settings.prune_jobs(), &mut complaints, |job: &PruneJob| {
            // Whoever keeps everything has nothing to do. Source: `docs/spec/schedules-and-tasks.md` 9.2.
            let removes = job.keep.named().iter().any(|(_, count)| count.is_some_and(|count| 0 < count));
            let schedule = job.timer().filter(|_| removes)?.to_owned();
            Some((PruneJob::state_key(&job.id), schedule, Work::Prune(Box::new(job.clone()))))
        });
        self.sync.refresh(&settings.sync_jobs(), &mut complaints, |job: &SyncJob| {
            let schedule = job.schedule.clone()?;
            Some((JobKey::sync(&job.id), schedule, Work::Sync(Box::new(job.clone()))))
        });
        self.verify.refresh(&settings.verify_jobs(), &mut complaints, |job: &VerifyJob| {
            let schedule = job.timer()?.to_owned();
            Some((VerifyJob::state_key(&job.id), schedule, Work::Verify(Box::new(job.clone()))))
        });
        if self.own.is_none() {
            let rotation = timed(log_rotation::key(), log_rotation::SCHEDULE.to_owned(), Work::LogRotation);
            self.own = rotation.ok().map(|job| TimedJob { runs_first_of_all: true, ..job });
        }
        complaints
    }

    /// Returns the jobs in the order in which they are started. Source: `docs/spec/schedules-and-tasks.md` 9.2.
    pub(super) fn jobs(&mut self) -> impl Iterator<Item = &mut TimedJob> {
        let pages = [&mut self.gc, &mut self.prune, &mut self.sync, &mut self.verify];
        pages.into_iter().flat_map(|page| page.jobs.iter_mut()).chain(&mut self.own)
    }
}

impl Page {
    fn refresh<F: ConfigFile>(
        &mut self,
        stored: &ConfigStore<Entries<F>>,
        complaints: &mut Complaints,
        describe: impl Fn(&F::Entry) -> Option<(Result<JobKey, JobStateError>, String, Work)>,
    ) where
        Entries<F>: farhold_settings::Document,
    {
        if let Err(error) = self.read(stored, complaints, describe) {
            complaints.push((format!("schedules in {}", F::FILE), TaskFailure::from_error(&error).text().to_owned()));
        }
    }

    fn read<F: ConfigFile>(
        &mut self,
        stored: &ConfigStore<Entries<F>>,
        complaints: &mut Complaints,
        describe: impl Fn(&F::Entry) -> Option<(Result<JobKey, JobStateError>, String, Work)>,
    ) -> Result<(), SettingsError> {
        if self.digest == Some(stored.digest()?) {
            return Ok(());
        }
        let loaded = stored.load_usable()?;
        let entries = &loaded.entries;
        for fault in &loaded.faults {
            let text = TaskFailure::from_error(fault).text().to_owned();
            let what = format!("a section of {} is passed over, its job is never started", F::FILE);
            complaints.push((what, text));
        }
        self.jobs.clear();
        for id in entries.ids() {
            let entry = match entries.get(id) {
                Ok(Some(entry)) => entry,
                Ok(None) => continue,
                Err(error) => {
                    let text = TaskFailure::from_error(&error).text().to_owned();
                    complaints.push((format!("'{id}' in {} is never started", F::FILE), text));
                    continue;
                }
            };
            let Some((key, schedule, work)) = describe(entry) else { continue };
            let subject = work.to_string();
            match timed(key, schedule, work) {
                Ok(job) => self.jobs.push(job),
                Err(reason) => complaints.push((subject, format!("never started by its schedule: {reason}"))),
            }
        }
        self.digest = Some(loaded.digest);
        Ok(())
    }
}

fn timed(key: Result<JobKey, JobStateError>, schedule: String, work: Work) -> Result<TimedJob, String> {
    let key = key.map_err(|error| error.to_string())?;
    let event = CalendarEvent::parse(&schedule).map_err(|error| error.to_string())?;
    Ok(TimedJob { key, schedule, event, work: Arc::new(work), runs_first_of_all: false, answer: None })
}
