//! Takes what waits to its recipients: those of different recipients at the same time, those of one recipient one after
//! the other. A recipient that hangs, refuses or is away delays no other one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use farhold_notify::{Configuration, Target};
use farhold_rules::delivery_retry::pause_after;
use farhold_tasks::TaskFailure;
use farhold_tasks::job_state::JobKey;
use farhold_types::Secret;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::courier::{Courier, Undelivered};
use super::delivery::Delivery;
use super::intake::{Intake, Look, read_delivery};
use super::lane::Lane;
use super::{PingOutcome, Recipient};
use crate::app::App;

/// How often events and deliveries of other programs are looked for. Source: `docs/spec/schedules-and-tasks.md` 10.2.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Longest attempt. Every way out has shorter limits of its own; this one guards against a mistake in them.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(180);
/// How long attempts may go on after the server was told to stop. One that is cut off may arrive twice.
const END_LIMIT: Duration = Duration::from_secs(5);
/// Pings at the same time: each is a connection, and a thousand jobs may end in the same minute.
const MAX_PINGS: usize = 128;

/// An attempt that has ended.
struct Ended {
    outcome: Outcome,
    /// The file, if it is done with and could not be removed.
    left: Option<String>,
}

impl From<Outcome> for Ended {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, left: None }
    }
}

/// How it ended.
enum Outcome {
    /// The recipient has it.
    Arrived,
    /// There is nobody to take it to any more, or nothing to take.
    Dropped,
    /// It was refused for good, or tried for too long.
    GivenUp,
    /// Another attempt follows.
    Failed {
        /// Attempts that failed so far.
        failures: u32,
    },
    /// Its file cannot be read, or a thread of ours crashed.
    Broken,
    /// Our own settings say not how to reach the recipient; nothing was tried.
    Held,
}

/// Delivers the notifications of one server.
pub struct Dispatcher {
    app: Arc<App>,
    courier: Arc<dyn Courier>,
    intake: Option<Intake>,
    lanes: BTreeMap<String, Lane>,
    attempts: JoinSet<Ended>,
    /// The lane of each attempt.
    under_way: HashMap<Id, String>,
    /// Files that are done with and could not be removed. They must not be taken for new ones.
    left: HashSet<String>,
}

impl Dispatcher {
    /// Returns the dispatcher of a server. There must be only one of them.
    pub fn new(app: Arc<App>, courier: Arc<dyn Courier>) -> Self {
        Self {
            app,
            courier,
            intake: Some(Intake::default()),
            lanes: BTreeMap::new(),
            attempts: JoinSet::new(),
            under_way: HashMap::new(),
            left: HashSet::new(),
        }
    }

    /// Delivers until `shutdown`, then lets attempts that are under way end for a moment. `beat` is called with every
    /// look, so that somebody may notice when they stop.
    pub async fn run(mut self, shutdown: CancellationToken, beat: impl Fn() + Send) {
        let app = Arc::clone(&self.app);
        let tidy = move || {
            app.notifications.spool.tidy(SystemTime::now());
            app.notifications.deliveries.tidy(SystemTime::now());
        };
        // What was left lies there until the next start otherwise.
        let _ = tokio::task::spawn_blocking(tidy).await;
        let app = Arc::clone(&self.app);
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = looks.tick() => self.look().await,
                () = app.notifications.wake.notified() => self.look().await,
                Some(ended) = self.attempts.join_next_with_id(), if !self.attempts.is_empty() => self.note(ended).await,
            }
            beat();
            self.start_due();
        }
        let ending = async { while self.attempts.join_next().await.is_some() {} };
        if timeout(END_LIMIT, ending).await.is_err() {
            tracing::warn!("deliveries of notifications were cut off and will be repeated");
        }
    }

    /// Takes in what is new.
    async fn look(&mut self) {
        let Some(mut intake) = self.intake.take() else { return };
        let mut known = self.left.clone();
        known.extend(self.lanes.values().flat_map(Lane::files).map(str::to_owned));
        let app = Arc::clone(&self.app);
        let looked = tokio::task::spawn_blocking(move || {
            let look = intake.look(&app, &known);
            (intake, look)
        });
        let Ok((intake, Look { deliveries, events_left, has_more })) = looked.await else {
            tracing::error!("looking for notifications crashed");
            self.intake = Some(Intake::default());
            return;
        };
        self.intake = Some(intake);
        let mut dropped = Vec::new();
        for found in deliveries {
            let lane = self.lanes.entry(found.lane).or_insert_with(|| Lane::new(found.only_newest));
            dropped.extend(lane.add(found.waiting).into_iter().map(|file| (file, found.only_newest)));
        }
        self.drop_files(dropped).await;
        self.app.notifications.count(|counts| counts.events = events_left);
        self.count();
        if has_more {
            self.app.notifications.wake.notify_one();
        }
    }

    /// Removes deliveries that wait in vain. That a newer ping takes the place of one is no loss.
    async fn drop_files(&mut self, dropped: Vec<(String, bool)>) {
        if dropped.is_empty() {
            return;
        }
        let lost = dropped.iter().filter(|(_, is_replaced)| !is_replaced).count() as u64;
        if 0 < lost {
            tracing::error!("too many notifications wait for the same target; the oldest {lost} are given up");
            self.app.notifications.count(|counts| counts.given_up += lost);
        }
        let app = Arc::clone(&self.app);
        let remove = move || dropped.into_iter().filter_map(|(file, _)| remove(&app, &file)).collect::<Vec<_>>();
        self.left.extend(tokio::task::spawn_blocking(remove).await.unwrap_or_default());
    }

    /// Begins everything that is due.
    fn start_due(&mut self) {
        let now = Instant::now();
        let mut pings = self.lanes.values().filter(|lane| lane.only_newest() && lane.is_under_way()).count();
        for (name, lane) in &mut self.lanes {
            if lane.only_newest() && MAX_PINGS <= pings {
                continue;
            }
            let Some(file) = lane.start(now) else { continue };
            pings += usize::from(lane.only_newest());
            let attempt = attempt(Arc::clone(&self.app), Arc::clone(&self.courier), file);
            self.under_way.insert(self.attempts.spawn(attempt).id(), name.clone());
        }
    }

    /// Takes note of the end of an attempt.
    async fn note(&mut self, ended: Result<(Id, Ended), JoinError>) {
        let (id, outcome) = match ended {
            Ok((id, Ended { outcome, left })) => {
                self.left.extend(left);
                (id, Some(outcome))
            }
            Err(error) => {
                tracing::error!("an attempt to deliver a notification crashed");
                (error.id(), None)
            }
        };
        let Some(name) = self.under_way.remove(&id) else { return };
        let Some(lane) = self.lanes.get_mut(&name) else { return };
        let now = Instant::now();
        let mut dropped = Vec::new();
        match outcome {
            Some(Outcome::Arrived) => {
                lane.settled(true, now);
                self.app.notifications.count(|counts| counts.delivered += 1);
            }
            Some(Outcome::Dropped) => lane.settled(false, now),
            Some(Outcome::GivenUp) => {
                lane.settled(false, now);
                self.app.notifications.count(|counts| counts.given_up += 1);
            }
            Some(Outcome::Failed { failures }) => dropped = lane.failed(failures, now),
            Some(Outcome::Held) => dropped = lane.held(now),
            Some(Outcome::Broken) | None => dropped = lane.failed(lane.failures_under_way().saturating_add(1), now),
        }
        let is_replaced = lane.only_newest();
        if lane.is_empty() {
            self.lanes.remove(&name);
        }
        self.drop_files(dropped.into_iter().map(|file| (file, is_replaced)).collect()).await;
        self.count();
    }

    fn count(&self) {
        let (deliveries, failing) =
            self.lanes.values().map(Lane::counts).fold((0, 0), |sum, lane| (sum.0 + lane.0, sum.1 + lane.1));
        self.app.notifications.count(|counts| (counts.deliveries, counts.failing) = (deliveries, failing));
    }
}

/// Tries to deliver what waits in a file, and leaves the file as the outcome says.
async fn attempt(app: Arc<App>, courier: Arc<dyn Courier>, file: String) -> Ended {
    let (of_read, name) = (Arc::clone(&app), file.clone());
    let Ok(prepared) = tokio::task::spawn_blocking(move || prepare(&of_read, &name)).await else {
        return Outcome::Broken.into();
    };
    let (delivery, target) = match prepared {
        Ok((delivery, target)) => (delivery, *target),
        Err(ended) => return ended,
    };
    let sent = timeout(ATTEMPT_LIMIT, courier.deliver(target, delivery.event.clone())).await;
    let too_long = || Undelivered { reason: "it took too long".to_owned(), is_permanent: false, is_for_nobody: false };
    let sent = sent.unwrap_or_else(|_| Err(too_long()));
    let settle = move || settle(&app, &file, delivery, sent);
    tokio::task::spawn_blocking(settle).await.unwrap_or_else(|_| Outcome::Broken.into())
}

/// Reads a delivery and looks up its recipient; the error is what the attempt comes to without one.
fn prepare(app: &App, file: &str) -> Result<(Delivery, Box<Target>), Ended> {
    let delivery = match read_delivery(&app.notifications, file) {
        Ok(Some(delivery)) => delivery,
        Ok(None) => return Err(Outcome::Dropped.into()),
        Err(reason) => {
            tracing::warn!("delivery '{file}' cannot be read: {reason}");
            return Err(Outcome::Broken.into());
        }
    };
    let id = delivery.event.id;
    match target_of(app, &delivery.recipient) {
        Ok(Some(target)) => Ok((delivery, Box::new(target))),
        Ok(None) => {
            tracing::info!("notification {id} is not delivered to {}, which is gone or disabled", delivery.recipient);
            Err(Ended { outcome: Outcome::Dropped, left: remove(app, file) })
        }
        // Nothing was tried, so nothing is counted.
        Err(reason) => {
            tracing::warn!("notification {id} and all that {} is to get wait: {reason}", delivery.recipient);
            Err(Outcome::Held.into())
        }
    }
}

/// Returns the target that a recipient is reached by now; `None` if there is none any more.
fn target_of(app: &App, recipient: &Recipient) -> Result<Option<Target>, String> {
    match recipient {
        Recipient::Target(name) => {
            let configuration = Configuration::load(&app.settings);
            let configuration = configuration.map_err(|error| TaskFailure::from_error(&error).text().to_owned())?;
            Ok(configuration.target(name).filter(|target| !target.is_disabled).cloned())
        }
        Recipient::MailOfUser(user) => Ok(Some(Target::legacy_mail(user.clone()))),
        Recipient::Ping { kind, name, outcome } => {
            let Ok(key) = JobKey::new(kind.job_type(), name) else { return Ok(None) };
            let options = app.job_options.of(&key);
            let address = match outcome {
                PingOutcome::Success => options.ping_success,
                PingOutcome::Failure => options.ping_failure,
            };
            Ok(address.map(|address| Target::ping(name.clone(), Secret::new(address.expose()))))
        }
    }
}

/// Leaves the file of a delivery as its attempt ended.
fn settle(app: &App, file: &str, delivery: Delivery, sent: Result<(), Undelivered>) -> Ended {
    let (id, recipient) = (delivery.event.id, &delivery.recipient);
    let Err(Undelivered { reason, is_permanent, is_for_nobody }) = sent else {
        tracing::debug!("notification {id} was delivered to {recipient}");
        return Ended { outcome: Outcome::Arrived, left: remove(app, file) };
    };
    if is_for_nobody {
        tracing::debug!("notification {id} is not delivered to {recipient}: {reason}");
        return Ended { outcome: Outcome::Dropped, left: remove(app, file) };
    }
    let failures = delivery.failures.saturating_add(1);
    if is_permanent || pause_after(failures).is_none() {
        tracing::error!("notification {id} was not delivered to {recipient} and is given up: {reason}");
        return Ended { outcome: Outcome::GivenUp, left: remove(app, file) };
    }
    tracing::warn!("notification {id} was not delivered to {recipient}, attempt {failures}: {reason}");
    if matches!(read_delivery(&app.notifications, file), Ok(None)) {
        // Taken back meanwhile.
        return Outcome::Dropped.into();
    }
    let delivery = Delivery { failures, last_attempt: Some(app.clock.now()), ..delivery };
    if let Err(error) = app.notifications.deliveries.put(file, &delivery.to_json()) {
        tracing::warn!("the failed attempt cannot be stored: {error}");
    }
    Outcome::Failed { failures }.into()
}

/// Removes a file that is done with, and returns its name if that fails.
fn remove(app: &App, file: &str) -> Option<String> {
    let error = app.notifications.deliveries.remove(file).err()?;
    tracing::error!("delivery '{file}' cannot be removed and may be repeated after a restart: {error}");
    Some(file.to_owned())
}
