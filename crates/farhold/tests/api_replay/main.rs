//! Replays the recorded calls of the API against two servers made by the composition root.
//!
//! `setup` is replayed once; every area then starts from copies of what it left. Calls go through the router in this
//! process; what our servers send each other goes over TLS. An answer must have the recorded status, content type,
//! members, types and values, except what differs from run to run. Differences on purpose are listed in
//! [`known::DIFFERENCES`], with their reasons: any other difference fails the test, and so does a row that no longer
//! differs. Calls whose endpoint does not exist are skipped and counted.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test that cannot continue should stop")]

mod acts;
mod bindings;
mod compare;
mod exchange;
mod known;
mod replay;
#[allow(dead_code, reason = "shared by tests that need different parts")]
#[path = "../support/mod.rs"]
mod support;
mod table;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bindings::Bindings;
use farhold_jobs::App;
use farhold_jobs::history::take_sample;
use farhold_storage::FakeDevices;
use farhold_types::Epoch;
use replay::{Outcome, Player, Server, Time};
use support::files;
use support::servers::{Folders, Listening, SetClock, replace_in, server, server_with_devices};
use table::Seen;

/// When the recording of the set-up began: 2026-11-22T20:39:19Z.
const RECORDED_AT: Epoch = Epoch(1_795_379_959);

/// The device that the recorded server could mount in area `removable`.
const DEVICE: &str = "7f3c9a10-0000-4000-8000-00000000c0de";

/// The port of rec2 in the recordings.
const RECORDED_PORT: &str = "18407";

/// What an area may do to the stores of the set-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stores {
    /// Only reads them: areas share them.
    Shared,
    /// Changes them: gets copies.
    Own,
}

/// The areas; those that take long come first.
const AREAS: &[(&str, Stores, Time)] = &[
    ("pull-push", Stores::Own, Time::Goes),
    ("tasks", Stores::Own, Time::Goes),
    ("config-remote", Stores::Shared, Time::Goes),
    ("datastore-change", Stores::Own, Time::Stopped),
    ("access", Stores::Shared, Time::Stopped),
    ("config-datastore", Stores::Own, Time::Stopped),
    ("config-jobs", Stores::Shared, Time::Stopped),
    ("errors", Stores::Own, Time::Stopped),
    ("config-sync", Stores::Shared, Time::Stopped),
    ("encryption-keys", Stores::Shared, Time::Stopped),
    ("datastore-read", Stores::Shared, Time::Stopped),
    ("formats", Stores::Shared, Time::Stopped),
    ("nodes-status", Stores::Shared, Time::Stopped),
    ("removable", Stores::Own, Time::Goes),
];

/// How many areas are played at the same time.
const PLAYERS: usize = 2;

/// What came out of one file.
#[derive(Default)]
struct Report {
    played: usize,
    skipped: usize,
    known: usize,
    /// Differences that are not known, and known ones that are none.
    wrong: String,
    calls: Vec<table::Call>,
}

impl Report {
    fn add(&mut self, area: &str, exchange: &exchange::Exchange, outcome: Outcome) {
        let reason = known::reason(area, exchange.seq);
        let seen = match (&outcome, reason) {
            (Outcome::Skipped, _) => Seen::NotPlayed,
            (Outcome::Played(_), Some(reason)) => Seen::Differs(reason),
            (Outcome::Played(_), None) => Seen::Equal,
        };
        self.calls.push(table::Call::new(exchange, seen));
        match outcome {
            Outcome::Skipped => self.skipped += 1,
            Outcome::Played(lines) => {
                self.played += 1;
                match (lines.is_empty(), reason) {
                    (false, Some(_)) => self.known += 1,
                    (false, None) => {
                        let (seq, who, method, path) = (exchange.seq, &exchange.who, &exchange.method, &exchange.path);
                        let body = exchange.text();
                        let note = exchange.note.as_deref().unwrap_or("");
                        writeln!(self.wrong, "{area} {seq}: {who} {method} {path} {body} ({note})").unwrap();
                        for line in lines {
                            let line: String = line.chars().take(600).collect();
                            writeln!(self.wrong, "    {line}").unwrap();
                        }
                    }
                    (true, Some(known::NO_CONNECTION | known::EITHER | known::LENGTH)) => {}
                    (true, Some(reason)) => {
                        writeln!(self.wrong, "{area} {}: no longer differs ({reason})", exchange.seq).unwrap();
                    }
                    (true, None) => {}
                }
            }
        }
    }
}

/// Two servers while calls are played: rec2 listens, and rec1 is called in process.
struct Scene {
    servers: [Server; 2],
    _rec2: Listening,
    port: u16,
}

impl Scene {
    fn open(folders: &Folders, now: Epoch) -> Self {
        let clock = Arc::new(SetClock::new(now));
        let rec1 = server_with_devices(&folders.server(1), "pbs1", clock.clone(), device(folders));
        look_back(&rec1.app);
        let rec2 = Listening::start(server(&folders.server(2), "pbs2", clock));
        let port = rec2.port();
        let composed = rec2.running().composed();
        let servers = [
            Server { app: rec1.app, router: rec1.router },
            Server { app: Arc::clone(&composed.app), router: Arc::clone(&composed.router) },
        ];
        Self { servers, _rec2: rec2, port }
    }
}

/// Lets a server have a history of two samples, as the recorded one had: nobody samples where nobody listens.
fn look_back(app: &App) {
    let mut earlier = take_sample(app);
    earlier.time.0 -= 10;
    app.history.add(earlier);
    app.history.add(take_sample(app));
}

/// Returns devices of which one is plugged in, with nothing on it.
fn device(folders: &Folders) -> Arc<FakeDevices> {
    let (devices, folder) = (FakeDevices::default(), folders.root.join("device"));
    fs::create_dir_all(&folder).unwrap();
    devices.plug(&DEVICE.parse().unwrap(), &folder);
    Arc::new(devices)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Plays a file from the beginning.
async fn play(area: &str, player: &mut Player) -> Report {
    let mut report = Report::default();
    for exchange in exchange::read(area) {
        acts::before(area, exchange.seq, &player.stores());
        let outcome = player.play(&exchange).await;
        report.add(area, &exchange, outcome);
    }
    report
}

fn runtime() -> tokio::runtime::Runtime {
    // One thread, so that its time can be stopped while an answer is delayed.
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Replays the set-up in `folders`. Returns the port and bindings for what follows.
fn set_up(folders: &Folders) -> (u16, [Bindings; 2], Report) {
    let (stores1, stores2) = (folders.stores(1), folders.stores(2));
    for empty in [stores1.join("local"), stores2.join("empty")] {
        fs::create_dir_all(empty).unwrap();
    }
    files::unpack_store("golden.tar.zst", &stores1, "golden");
    files::unpack_store("pushed.tar.zst", &stores2, "pushed");
    let mut bindings = [Bindings::default(), Bindings::default()];
    bindings[0].bind("/srv/pbs", text(&stores1));
    bindings[1].bind("/srv/pbs", text(&stores2));
    let scene = Scene::open(folders, RECORDED_AT);
    runtime().block_on(async {
        let mut player = Player::new(scene.servers.clone(), bindings, Time::Stopped);
        player.bind(RECORDED_PORT, &scene.port.to_string());
        let report = play("setup", &mut player).await;
        (scene.port, player.into_bindings(), report)
    })
}

/// Replays an area from copies of the base state.
fn play_area(area: &str, stores: Stores, time: Time, base: &Base) -> Report {
    let folders = Folders { root: base.folders.root.join(area) };
    for number in [1, 2] {
        let (from, to) = (base.folders.server(number), folders.server(number));
        files::copy_folder(&from, &to);
        if stores == Stores::Own {
            let from = base.folders.stores(number);
            for store in fs::read_dir(&from).unwrap() {
                let name = store.unwrap().file_name();
                files::copy_store(&from.join(&name), &folders.stores(number).join(&name));
            }
            let config = to.join("etc/datastore.cfg");
            replace_in(&config, text(&from), text(&folders.stores(number)));
        }
    }
    let scene = Scene::open(&folders, base.ended_at);
    let report = runtime().block_on(async {
        let remotes = folders.server(1).join("etc/remote.cfg");
        replace_in(&remotes, &format!("port {}\n", base.port), &format!("port {}\n", scene.port));
        let mut player = Player::new(scene.servers.clone(), base.bindings.clone(), time);
        player.bind(RECORDED_PORT, &scene.port.to_string());
        player.bind_each("/etc/proxmox-backup", [1, 2].map(|number| folders.server(number).join("etc")));
        if stores == Stores::Own {
            player.bind_stores([text(&folders.stores(1)), text(&folders.stores(2))]);
        }
        play(area, &mut player).await
    });
    drop(scene);
    // A task of a server may still write; the rest goes with the folder of the whole test.
    drop(fs::remove_dir_all(&folders.root));
    report
}

/// What all areas start from.
struct Base {
    folders: Folders,
    port: u16,
    bindings: [Bindings; 2],
    ended_at: Epoch,
}

fn is_played(area: &str) -> bool {
    area == "setup" || AREAS.iter().any(|(played, ..)| *played == area)
}

#[test]
fn recorded_calls_get_the_recorded_answers() {
    let scratch = support::scratch::scratch();
    let folders = Folders { root: scratch.path().to_owned() };
    let (port, bindings, report) = set_up(&folders);
    // A minute later, so that no task of an area starts in the second of one of the set-up.
    let base = Base { folders, port, bindings, ended_at: Epoch(RECORDED_AT.0 + 60) };
    let reports = Mutex::new(BTreeMap::from([("setup", report)]));
    // To look at one area: FARHOLD_REPLAY=area.
    let only = std::env::var("FARHOLD_REPLAY").ok();
    let chosen = AREAS.iter().filter(|(area, ..)| only.as_ref().is_none_or(|only| only == area));
    let next = Mutex::new(chosen);
    std::thread::scope(|scope| {
        for _ in 0..PLAYERS {
            scope.spawn(|| {
                while let Some((area, stores, time)) = { next.lock().unwrap().next() } {
                    let report = play_area(area, *stores, *time, &base);
                    reports.lock().unwrap().insert(area, report);
                }
            });
        }
    });
    let reports = reports.into_inner().unwrap();
    let mut wrong = String::new();
    println!("{:<18} {:>6} {:>7} {:>17}", "file", "played", "skipped", "known differences");
    for (area, report) in &reports {
        println!("{area:<18} {:>6} {:>7} {:>17}", report.played, report.skipped, report.known);
        wrong += &report.wrong;
    }
    assert!(wrong.is_empty(), "answers differ from the recorded ones:\n{wrong}");
    if only.is_none() {
        let mut calls: Vec<table::Call> = reports.into_values().flat_map(|report| report.calls).collect();
        calls.extend(exchange::areas().iter().filter(|area| !is_played(area)).flat_map(|area| {
            exchange::read(area).into_iter().map(|exchange| table::Call::new(&exchange, Seen::NotPlayed))
        }));
        table::check(&calls);
    }
}
