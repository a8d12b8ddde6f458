//! From an event to its recipients: hanging, refusing and absent ones, kills in between, and files that others left.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use farhold_notify::{Event, EventId, Severity, Target};
use farhold_types::{JobKind, Userid};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::courier::Attempt;
use super::*;
use crate::testing::{START, TestServer};

/// What a target does with everything it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Takes,
    Hangs,
    Refuses,
    RefusesForGood,
}

/// Targets that do as they are told, and a list of what they took.
#[derive(Default)]
struct Street {
    manners: Mutex<BTreeMap<String, Manner>>,
    taken: Mutex<Vec<(String, EventId)>>,
    attempts: Mutex<u32>,
    /// The program that delivers.
    life: Mutex<Option<Fate>>,
}

impl Street {
    fn set(&self, target: &str, manner: Manner) {
        self.manners.lock().unwrap().insert(target.to_owned(), manner);
    }

    fn taken_by(&self, target: &str) -> Vec<EventId> {
        let taken = self.taken.lock().unwrap();
        taken.iter().filter(|(name, _)| name == target).map(|(_, id)| *id).collect()
    }
}

struct Boy(Arc<Street>);

impl Courier for Boy {
    fn deliver(&self, target: Target, event: Event) -> Attempt {
        let street = Arc::clone(&self.0);
        Box::pin(async move {
            *street.attempts.lock().unwrap() += 1;
            let manner = street.manners.lock().unwrap().get(&target.name).copied().unwrap_or(Manner::Takes);
            let is_dead =
                street.life.lock().unwrap().as_ref().is_some_and(|life| *life.steps.lock().unwrap() == Some(0));
            if is_dead {
                std::future::pending::<()>().await;
            }
            let refused =
                |is_permanent| Undelivered { reason: "not at home".to_owned(), is_permanent, is_for_nobody: false };
            match manner {
                Manner::Takes => street.taken.lock().unwrap().push((target.name, event.id)),
                Manner::Hangs => std::future::pending().await,
                Manner::Refuses => return Err(refused(false)),
                Manner::RefusesForGood => return Err(refused(true)),
            }
            Ok(())
        })
    }
}

/// A server with the targets `north`, `south` and `west`, which all get every event.
struct Town {
    server: TestServer,
    street: Arc<Street>,
    dispatcher: Option<(JoinHandle<()>, CancellationToken)>,
}

const TARGETS: [&str; 3] = ["north", "south", "west"];

impl Town {
    fn new() -> Self {
        let town = Self { server: TestServer::new(), street: Arc::default(), dispatcher: None };
        town.configure("");
        town
    }

    /// Writes the settings of all targets, and `more`.
    fn configure(&self, more: &str) {
        let mut text = "matcher: default-matcher\n\tdisable true\n\nmatcher: all\n".to_owned();
        TARGETS.iter().for_each(|name| text.push_str(&format!("\ttarget {name}\n")));
        TARGETS.iter().for_each(|name| text.push_str(&format!("\nsendmail: {name}\n\tmailto a@example.org\n")));
        std::fs::write(self.settings(), format!("{text}{more}")).unwrap();
    }

    fn settings(&self) -> PathBuf {
        self.server.folder().join("etc/notifications.cfg")
    }

    fn notifications(&self) -> &Notifications {
        &self.server.app.notifications
    }

    fn event(&self) -> Event {
        Event {
            id: EventId::random(&*self.server.app.randomness),
            severity: Severity::Info,
            timestamp: START,
            fields: BTreeMap::new(),
            template: "gc-ok".to_owned(),
            data: serde_json::Map::new(),
        }
    }

    fn queue(&self) -> EventId {
        let event = self.event();
        self.notifications().queue(&event).unwrap();
        event.id
    }

    fn start(&mut self) {
        let dispatcher = Dispatcher::new(Arc::clone(&self.server.app), Arc::new(Boy(Arc::clone(&self.street))));
        let shutdown = CancellationToken::new();
        self.dispatcher = Some((tokio::spawn(dispatcher.run(shutdown.clone(), || {})), shutdown));
    }

    async fn stop(&mut self) {
        let (task, shutdown) = self.dispatcher.take().unwrap();
        shutdown.cancel();
        task.await.unwrap();
    }

    async fn kill(&mut self) {
        let (task, _) = self.dispatcher.take().unwrap();
        task.abort();
        let _ = task.await;
    }

    /// Returns how many files wait, as events and as deliveries.
    fn files(&self) -> (usize, usize) {
        let count = |files: &FileBox| files.names(usize::MAX).unwrap().len();
        (count(&self.notifications().spool), count(&self.notifications().deliveries))
    }

    /// Waits until nothing waits any more.
    async fn until_quiet(&self) {
        for _ in 0..100_000 {
            if self.files() == (0, 0) {
                return;
            }
            sleep(Duration::from_secs(1)).await;
        }
        panic!("{:?} files still wait", self.files());
    }
}

async fn seconds(count: u64) {
    sleep(Duration::from_secs(count)).await;
}

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_or_refuses_delays_no_other_and_loses_nothing() {
    let mut town = Town::new();
    town.street.set("north", Manner::Hangs);
    town.street.set("south", Manner::Refuses);
    town.start();
    let events = [town.queue(), town.queue(), town.queue()];
    seconds(10).await;
    assert_eq!(town.street.taken_by("west"), events, "in their order");
    assert_eq!(town.files(), (0, 6));
    let counts = town.notifications().counts();
    assert_eq!((counts.deliveries, counts.failing, counts.delivered, counts.given_up), (6, 3, 3, 0));
    let before = *town.street.attempts.lock().unwrap();
    seconds(19).await;
    assert_eq!(*town.street.attempts.lock().unwrap(), before, "a pause lies between attempts");
    // Many hours later both are back: everything arrives within the longest pause.
    seconds(20 * 3600).await;
    town.street.set("south", Manner::Takes);
    seconds(3605).await;
    let mut taken = town.street.taken_by("south");
    taken.sort();
    let mut expected = events;
    expected.sort();
    assert_eq!(taken, expected);
    town.street.set("north", Manner::Takes);
    town.until_quiet().await;
    assert_eq!(town.street.taken_by("north").len(), 3);
    assert_eq!(town.street.taken_by("west"), events);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_or_for_days_is_given_up() {
    let mut town = Town::new();
    town.street.set("north", Manner::RefusesForGood);
    town.street.set("south", Manner::Refuses);
    town.start();
    town.queue();
    seconds(10).await;
    assert_eq!(town.notifications().counts().given_up, 1);
    seconds(3 * 86_400 - 3600).await;
    assert_eq!(town.files(), (0, 1), "it is still tried");
    seconds(2 * 3600).await;
    assert_eq!((town.files(), town.notifications().counts().given_up), ((0, 0), 2));
}

#[tokio::test(start_paused = true)]
async fn a_restart_forgets_neither_deliveries_nor_their_failures() {
    let mut town = Town::new();
    TARGETS.iter().for_each(|target| town.street.set(target, Manner::Refuses));
    town.start();
    let id = town.queue();
    seconds(31 + 60 + 1).await;
    town.stop().await;
    let attempts = *town.street.attempts.lock().unwrap();
    assert_eq!(attempts, 9, "three for each target");
    TARGETS.iter().for_each(|target| town.street.set(target, Manner::Takes));
    town.start();
    seconds(110).await;
    assert_eq!(*town.street.attempts.lock().unwrap(), attempts, "the pause of two minutes goes on");
    // The clock that the last attempt was noted by was wrong.
    town.stop().await;
    town.server.clock.advance(-1_000_000);
    town.start();
    seconds(1).await;
    assert_eq!(TARGETS.map(|target| town.street.taken_by(target)), [vec![id], vec![id], vec![id]]);
}

#[tokio::test(start_paused = true)]
async fn a_kill_at_any_step_loses_nothing_and_repeats_one_delivery_of_a_target_at_most() {
    let mut repeats = 0;
    for steps in 0.. {
        let mut town = Town::new();
        town.street.set("north", Manner::Refuses);
        let events = [town.queue(), town.queue()];
        let fate = town.notifications().fate.clone();
        *town.street.life.lock().unwrap() = Some(fate.clone());
        *fate.steps.lock().unwrap() = Some(steps);
        town.start();
        seconds(40).await;
        town.kill().await;
        let has_died = *fate.steps.lock().unwrap() == Some(0);
        *fate.steps.lock().unwrap() = None;
        TARGETS.iter().for_each(|target| town.street.set(target, Manner::Takes));
        town.start();
        town.until_quiet().await;
        for target in TARGETS {
            let mut more = 0;
            let taken = town.street.taken_by(target);
            for event in events {
                let count = taken.iter().filter(|id| **id == event).count();
                assert!(0 < count, "{event} to {target} is lost after {steps} steps");
                more += count - 1;
            }
            assert!(more <= 1, "{more} repeats to {target} after {steps} steps");
            repeats += more;
        }
        town.stop().await;
        if !has_died {
            assert!(20 < steps, "only {steps} steps were tried");
            assert!(0 < repeats, "a kill between delivery and removal was never tried");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn foreign_files_among_events_and_deliveries_harm_nothing() {
    let mut town = Town::new();
    let first = town.queue();
    let spool = town.server.folder().join("lib/notifications");
    let name = |town: &Town| format!("{}.json", town.event().id);
    std::fs::create_dir(spool.join(name(&town))).unwrap();
    symlink("/etc/passwd", spool.join(name(&town))).unwrap();
    symlink("/dev/zero", spool.join(name(&town))).unwrap();
    std::fs::write(spool.join(name(&town)), b"{\"content\":7}").unwrap();
    std::fs::write(spool.join(name(&town)), town.event().to_json()).unwrap();
    std::fs::File::create(spool.join(name(&town))).unwrap().set_len(1 << 40).unwrap();
    std::fs::write(spool.join("README"), "hello").unwrap();
    std::fs::write(spool.join(".x.json.tmp"), "half").unwrap();
    let deliveries = town.server.folder().join("lib/farhold/deliveries");
    std::fs::create_dir_all(&deliveries).unwrap();
    std::fs::write(deliveries.join("x.json"), "{}").unwrap();
    std::fs::write(deliveries.join(format!("{}.to-west.json", town.event().id)), "{}").unwrap();
    let delivery = town.notifications().delivery(Recipient::Target("west".to_owned()), town.event(), START);
    std::fs::write(deliveries.join(format!("{}.to-west.json", town.event().id)), delivery.to_json()).unwrap();
    town.start();
    seconds(10).await;
    let second = town.queue();
    seconds(10).await;
    assert_eq!(town.street.taken_by("west"), [first, second]);
    assert_eq!(town.files(), (7, 3), "what is not understood stays where it is");
    assert_eq!(town.notifications().counts().events, 6, "but the note");
}

#[tokio::test(start_paused = true)]
async fn events_wait_for_settings_that_can_be_read_and_go_to_targets_that_are_there() {
    let mut town = Town::new();
    std::fs::write(town.settings(), "matcher all\n").unwrap();
    town.start();
    let first = town.queue();
    seconds(60).await;
    assert_eq!((town.files(), town.notifications().counts().events), ((1, 0), 1));
    town.configure("");
    town.until_quiet().await;
    assert_eq!(town.street.taken_by("south"), [first]);
    // One target is removed and one is switched off while they are away.
    TARGETS.iter().for_each(|target| town.street.set(target, Manner::Refuses));
    let second = town.queue();
    seconds(10).await;
    assert_eq!(town.files(), (0, 3));
    let text = std::fs::read_to_string(town.settings()).unwrap();
    let text = text.replace("\nsendmail: north\n\tmailto a@example.org\n", "");
    std::fs::write(town.settings(), text.replace("sendmail: south\n", "sendmail: south\n\tdisable true\n")).unwrap();
    TARGETS.iter().for_each(|target| town.street.set(target, Manner::Takes));
    town.until_quiet().await;
    assert_eq!(TARGETS.map(|target| town.street.taken_by(target).len()), [1, 1, 2]);
    let third = town.queue();
    town.until_quiet().await;
    assert_eq!(town.street.taken_by("west"), [first, second, third]);
    assert_eq!(TARGETS.map(|target| town.street.taken_by(target).len()), [1, 1, 3]);
}

#[tokio::test(start_paused = true)]
async fn deliveries_wait_for_settings_that_cannot_be_read_and_are_not_tried_meanwhile() {
    let mut town = Town::new();
    TARGETS.iter().for_each(|target| town.street.set(target, Manner::Refuses));
    town.start();
    let id = town.queue();
    seconds(10).await;
    std::fs::write(town.settings(), "matcher all\n").unwrap();
    let attempts = *town.street.attempts.lock().unwrap();
    seconds(2 * 3600).await;
    assert_eq!((town.files(), town.notifications().counts().given_up), ((0, 3), 0));
    assert_eq!(*town.street.attempts.lock().unwrap(), attempts);
    TARGETS.iter().for_each(|target| town.street.set(target, Manner::Takes));
    town.configure("");
    seconds(120).await;
    // Not after the hour that a second attempt would wait after so many failures.
    assert_eq!(TARGETS.map(|target| town.street.taken_by(target)), [vec![id], vec![id], vec![id]]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_removed_is_not_told_again() {
    let mut town = Town::new();
    let id = town.queue();
    // Three deliveries of three steps each are written; then everything fails, as on a disk that has become read-only.
    *town.notifications().fate.steps.lock().unwrap() = Some(9);
    town.start();
    seconds(600).await;
    assert_eq!(TARGETS.map(|target| town.street.taken_by(target)), [vec![id], vec![id], vec![id]]);
    assert_eq!(town.files(), (1, 3));
    *town.notifications().fate.steps.lock().unwrap() = None;
    seconds(10).await;
    assert_eq!(town.files(), (0, 3), "the deliveries are done with and stay until the next start");
    assert_eq!(TARGETS.map(|target| town.street.taken_by(target).len()), [1; 3]);
}

#[tokio::test(start_paused = true)]
async fn what_a_full_disk_does_not_take_is_told_once_there_is_room() {
    let mut town = Town::new();
    town.start();
    let steps = Arc::clone(&town.notifications().fate.steps);
    *steps.lock().unwrap() = Some(0);
    let events: Vec<EventId> = (0..3)
        .map(|_| {
            let event = town.event();
            let Err(QueueError::Io { unwritten, .. }) = town.notifications().queue(&event) else { panic!() };
            town.notifications().keep(unwritten);
            event.id
        })
        .collect();
    seconds(60).await;
    assert_eq!(town.street.taken_by("west"), []);
    *steps.lock().unwrap() = None;
    town.until_quiet().await;
    seconds(10).await;
    for target in TARGETS {
        let mut taken = town.street.taken_by(target);
        taken.sort();
        let mut expected = events.clone();
        expected.sort();
        assert_eq!(taken, expected, "{target}");
    }
    // Memory has an end.
    *steps.lock().unwrap() = Some(0);
    for _ in 0..MAX_KEPT + 2 {
        let Err(QueueError::Io { unwritten, .. }) = town.notifications().queue(&town.event()) else { panic!() };
        town.notifications().keep(unwritten);
    }
    assert_eq!(town.notifications().counts().given_up, 2);
}

#[test]
fn half_a_file_does_not_stay_where_there_is_no_room_for_it() {
    let town = Town::new();
    // A folder cannot be replaced by a file.
    let event = town.event();
    let spool = town.server.folder().join("lib/notifications");
    std::fs::create_dir_all(spool.join(format!("{}.json/x", event.id))).unwrap();
    assert!(matches!(town.notifications().queue(&event), Err(QueueError::Io { .. })));
    assert_eq!(std::fs::read_dir(spool).unwrap().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_waiting_deliveries_keep_nobody_else_waiting() {
    let mut town = Town::new();
    let away: Vec<String> = (0..10).map(|number| format!("away{number}")).collect();
    let more = away.iter().map(|name| format!("\nsendmail: {name}\n\tmailto a@example.org\n"));
    town.configure(&more.collect::<String>());
    away.iter().for_each(|name| town.street.set(name, Manner::Hangs));
    let folder = town.server.folder().join("lib/farhold/deliveries");
    std::fs::create_dir_all(&folder).unwrap();
    for number in 0..10_000 {
        let recipient = Recipient::Target(away[number % away.len()].clone());
        let delivery = town.notifications().delivery(recipient, town.event(), START);
        std::fs::write(folder.join(delivery.file_name()), delivery.to_json()).unwrap();
    }
    town.start();
    let id = town.queue();
    seconds(10).await;
    assert_eq!(TARGETS.map(|target| town.street.taken_by(target)), [vec![id], vec![id], vec![id]]);
    let counts = town.notifications().counts();
    assert_eq!((counts.deliveries, counts.given_up), (10_000, 0));
    // All of them arrive once their targets are back.
    away.iter().for_each(|name| town.street.set(name, Manner::Takes));
    seconds(2 * 3600).await;
    assert_eq!(town.files(), (0, 0));
    assert!(away.iter().all(|name| town.street.taken_by(name).len() == 1000));
}

#[test]
fn too_much_is_refused() {
    let town = Town::new();
    let spool = town.server.folder().join("lib/notifications");
    std::fs::create_dir_all(&spool).unwrap();
    (0..MAX_WAITING).for_each(|number| std::fs::write(spool.join(number.to_string()), "").unwrap());
    assert!(matches!(town.notifications().queue(&town.event()), Err(QueueError::Full)));
}

#[test]
fn queued_files_have_their_modes_and_nothing_is_left_beside_them() {
    use std::os::unix::fs::PermissionsExt;
    let town = Town::new();
    let id = town.queue();
    let user: Userid = "root@pam".parse().unwrap();
    town.notifications().queue_for(Recipient::MailOfUser(user), town.event(), START).unwrap();
    let ping = Recipient::Ping { kind: JobKind::Sync, name: "s-1".to_owned(), outcome: PingOutcome::Failure };
    town.notifications().queue_for(ping, town.event(), START).unwrap();
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let lib = town.server.folder().join("lib");
    assert_eq!(mode(lib.join(format!("notifications/{id}.json"))), 0o644);
    let mut lanes = Vec::new();
    for entry in std::fs::read_dir(lib.join("farhold/deliveries")).unwrap() {
        let path = entry.unwrap().path();
        lanes.push(path.file_name().unwrap().to_str().unwrap()[37..].to_owned());
        assert_eq!(mode(path), 0o600);
    }
    lanes.sort();
    assert_eq!(lanes, ["mail.json", "ping-sync-s-1.json"]);
}
