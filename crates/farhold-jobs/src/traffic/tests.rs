//! Time stands still here unless everybody waits, and the clock on the wall follows it.

use std::future::poll_fn;

use farhold_client::{Direction, Gate, Throttle};
use farhold_settings::SettingsError;
use farhold_types::{ByteSize, Epoch, RateLimits};

use super::*;
use crate::testing::TestServer;

const MIB: u64 = 1 << 20;

/// A clock on the wall that goes as fast as the time of the runtime.
struct Following {
    begin: Instant,
    shown: Epoch,
}

impl Clock for Following {
    fn now(&self) -> Epoch {
        Epoch(self.shown.0 + i64::try_from(self.begin.elapsed().as_secs()).unwrap())
    }
}

struct Bench {
    server: TestServer,
    control: TrafficControl,
}

impl Bench {
    /// `time`: of day, in seconds.
    fn at(time: i64) -> Self {
        let server = TestServer::new();
        let clock = Following { begin: Instant::now(), shown: Epoch(1_795_305_600 + time) };
        let control = TrafficControl::new(server.app.settings.clone(), Arc::new(clock), TimeZone::UTC);
        Self { server, control }
    }

    /// Replaces the rules as another program does.
    fn store(&self, rules: &[TrafficRule]) {
        let replace = |stored: &mut farhold_settings::Entries<farhold_settings::TrafficRules>| {
            let names: Vec<String> = stored.usable().map(|rule| rule.name.to_string()).collect();
            for name in &names {
                stored.remove(name);
            }
            rules.iter().try_for_each(|rule| stored.insert(rule.clone()))
        };
        self.server.app.settings.traffic_rules().edit::<_, SettingsError>(None, replace).unwrap();
    }

    fn with_rules(self, rules: &[TrafficRule]) -> Self {
        self.store(rules);
        self.control.reload();
        self
    }
}

fn rule(name: &str, network: &str, rate_in: &str) -> TrafficRule {
    let rate_in = Some(rate_in.parse::<ByteSize>().unwrap());
    let limits = RateLimits { rate_in, ..RateLimits::default() };
    TrafficRule { limits, ..TrafficRule::new(name.parse().unwrap(), vec![network.to_owned()]) }
}

/// Receives in pieces of what a stream takes at once, until the given time after the beginning; returns how much.
async fn receive(connection: &Connection, time: Duration) -> u64 {
    let (begin, mut gate, mut total) = (Instant::now(), Gate::default(), 0);
    loop {
        let paused = |length| connection.pauses().begin(length);
        poll_fn(|cx| gate.poll_turn(connection, Direction::In, paused, cx)).await;
        if time <= begin.elapsed() {
            return total;
        }
        let bytes = Gate::most_bytes(connection, Direction::In).unwrap_or(64 * 1024);
        gate.transferred(connection, Direction::In, bytes, paused);
        total += bytes as u64;
        // A line without limit takes its time too: 64 MiB/s.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn peer(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 5000))
}

#[tokio::test(start_paused = true)]
async fn connections_under_a_rule_share_its_limit_fairly_and_others_are_free() {
    let bench = Bench::at(0).with_rules(&[rule("net", "10.0.0.0/8", "1 MiB")]);
    let receiving: Vec<_> = (0..20)
        .map(|number| {
            let connection = bench.control.accepted(peer(number));
            tokio::spawn(async move { receive(&connection, Duration::from_secs(60)).await })
        })
        .collect();
    let free = bench.control.accepted("192.0.2.1:5000".parse().unwrap());
    assert!(100 * MIB < receive(&free, Duration::from_secs(60)).await);
    let mut shares = Vec::new();
    for one in receiving {
        shares.push(one.await.unwrap());
    }
    let total: u64 = shares.iter().sum();
    // Each may be one transfer ahead.
    assert!((57 * MIB..=60 * MIB + 20 * (MIB / 50)).contains(&total), "{total}");
    assert!(shares.iter().all(|share| share.abs_diff(total / 20) <= total / 200), "{shares:?}");
    assert_eq!(format!("{:?}", bench.control), "TrafficControl(1 connections)", "the others are closed");
}

#[tokio::test(start_paused = true)]
async fn what_a_job_sends_and_receives_falls_under_the_rules_of_its_user() {
    let annas = TrafficRule { users: vec!["anna@pbs".parse().unwrap()], ..rule("annas", "0.0.0.0/0", "100 KiB") };
    let bench = Bench::at(0).with_rules(&[rule("all", "0.0.0.0/0", "1 MiB"), annas]);
    let register = |user: &str| bench.control.register([192, 0, 2, 1].into(), None, Some(user.parse().unwrap()));
    let time = Duration::from_secs(20);
    let (anna, ben, accepted) = (register("anna@pbs"), register("ben@pbs"), bench.control.accepted(peer(1)));
    let (of_anna, of_ben, of_accepted) =
        tokio::join!(receive(&anna, time), receive(&ben, time), receive(&accepted, time));
    assert!((1900 << 10..2100 << 10).contains(&of_anna), "{of_anna}");
    assert!((19 * MIB..21 * MIB).contains(&(of_ben + of_accepted)), "they share one limit: {of_ben} {of_accepted}");
    assert!(of_ben.abs_diff(of_accepted) < MIB, "{of_ben} {of_accepted}");
}

#[tokio::test(start_paused = true)]
async fn who_is_authenticated_decides_until_the_next_request() {
    let annas = TrafficRule { users: vec!["anna@pbs".parse().unwrap()], ..rule("annas", "0.0.0.0/0", "1 MiB") };
    let bench = Bench::at(0).with_rules(&[annas]);
    let connection = bench.control.accepted(peer(1));
    let is_limited = || connection.bucket(Direction::In).is_some();
    assert!(!is_limited());
    bench.control.note_user(peer(1), &"ben@pbs".parse().unwrap());
    assert!(!is_limited());
    bench.control.note_user(peer(1), &"anna@pbs".parse().unwrap());
    assert!(is_limited());
    connection.clear_user();
    assert!(!is_limited());
}

#[tokio::test(start_paused = true)]
async fn an_edit_by_another_program_counts_within_five_seconds_also_for_who_waits() {
    let bench = Bench::at(0).with_rules(&[rule("net", "10.0.0.0/8", "1 KiB")]);
    let connection = Arc::new(bench.control.accepted(peer(1)));
    let bucket = connection.bucket(Direction::In).unwrap();
    // An hour's debt.
    let mut gate = Gate::default();
    gate.transferred(&*connection, Direction::In, 3600 << 10, |_| {});
    tokio::time::sleep(Duration::from_secs(60)).await;
    bench.store(&[rule("net", "10.0.0.0/8", "100 MiB")]);
    let edited = Instant::now();
    poll_fn(|cx| gate.poll_turn(&*connection, Direction::In, |_| {}, cx)).await;
    assert!(edited.elapsed() <= Duration::from_secs(5), "{:?}", edited.elapsed());
    let same = connection.bucket(Direction::In).unwrap();
    assert!(Arc::ptr_eq(&bucket, &same), "the bucket stays, with what was consumed");
    assert_eq!(same.total_bytes(), 3600 << 10);

    bench.store(&[rule("net", "10.0.0.0/8", "1 KiB")]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    receive(&connection, Duration::from_millis(1)).await;
    gate.transferred(&*connection, Direction::In, 3600 << 10, |_| {});
    bench.store(&[]);
    let removed = Instant::now();
    poll_fn(|cx| gate.poll_turn(&*connection, Direction::In, |_| {}, cx)).await;
    assert!(removed.elapsed() <= Duration::from_secs(5), "{:?}", removed.elapsed());
    assert!(connection.bucket(Direction::In).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_rule_holds_from_the_first_to_the_last_second_of_its_part_of_the_day() {
    let office = TrafficRule { timeframe: vec!["8:00-8:01".to_owned()], ..rule("office", "10.0.0.0/8", "100 KiB") };
    // Half a minute before the window.
    let bench = Bench::at(8 * 3600 - 30).with_rules(&[office]);
    let connection = bench.control.accepted(peer(1));
    let mut received = Vec::new();
    for _ in 0..12 {
        received.push(receive(&connection, Duration::from_secs(10)).await);
    }
    // What happens at a boundary counts within 5 s, so the tens of seconds in which one lies are left out.
    let is_limited: Vec<bool> = received.iter().map(|bytes| *bytes < 2 * MIB).collect();
    assert_eq!(is_limited[..3], [false; 3], "{received:?}");
    assert_eq!(is_limited[4..9], [true; 5], "{received:?}");
    assert_eq!(is_limited[10..], [false; 2], "{received:?}");
}

#[tokio::test(start_paused = true)]
async fn rules_that_cannot_be_read_leave_the_former_ones_in_force() {
    let bench = Bench::at(0).with_rules(&[rule("net", "10.0.0.0/8", "1 MiB")]);
    let connection = bench.control.accepted(peer(1));
    let path = bench.server.folder().join("etc/traffic-control.cfg");
    std::fs::write(&path, "this is no configuration").unwrap();
    bench.control.reload();
    assert!(connection.bucket(Direction::In).is_some());
    std::fs::remove_file(&path).unwrap();
    bench.control.reload();
    assert!(connection.bucket(Direction::In).is_none(), "no file means no rules");
}

#[tokio::test(start_paused = true)]
async fn rates_are_those_of_the_last_full_seconds_of_the_connections_under_the_rule() {
    let bench = Bench::at(0);
    let annas = TrafficRule { users: vec!["anna@pbs".parse().unwrap()], ..rule("annas", "0.0.0.0/0", "1 MiB") };
    let (all, annas) = (rule("all", "0.0.0.0/0", "1 MiB"), annas);
    let rates = || {
        let rates = bench.control.rates_of(&[&all, &annas]);
        rates.iter().map(|rate| (rate.received_bytes_per_s, rate.sent_bytes_per_s)).collect::<Vec<_>>()
    };
    let wait = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
    let (one, two) = (bench.control.accepted(peer(1)), bench.control.accepted(peer(2)));
    bench.control.note_user(peer(2), &"anna@pbs".parse().unwrap());
    one.transferred(Direction::In, 1000);
    two.transferred(Direction::Out, 500);
    assert_eq!(rates(), [(0, 0), (0, 0)], "the second is not over");
    wait(1).await;
    assert_eq!(rates(), [(200, 0), (0, 100)]);
    one.transferred(Direction::In, 9000);
    wait(4).await;
    assert_eq!(rates(), [(2000, 0), (0, 100)]);
    wait(1).await;
    assert_eq!(rates(), [(1800, 0), (0, 0)], "older seconds do not count");
    two.transferred(Direction::Out, 50);
    wait(100).await;
    assert_eq!(rates(), [(0, 0), (0, 0)]);
    one.transferred(Direction::In, 50);
    wait(1).await;
    assert_eq!(rates(), [(10, 0), (0, 0)]);
    drop(one);
    assert_eq!(rates(), [(0, 0), (0, 0)], "a closed connection carries nothing");
}

#[tokio::test(start_paused = true)]
async fn a_connection_from_a_reused_address_is_not_forgotten_with_the_former_one() {
    let annas = TrafficRule { users: vec!["anna@pbs".parse().unwrap()], ..rule("annas", "0.0.0.0/0", "1 MiB") };
    let bench = Bench::at(0).with_rules(&[annas]);
    let (former, present) = (bench.control.accepted(peer(1)), bench.control.accepted(peer(1)));
    drop(former);
    bench.control.note_user(peer(1), &"anna@pbs".parse().unwrap());
    assert!(present.bucket(Direction::In).is_some());
    drop(present);
    assert_eq!(format!("{:?}", bench.control), "TrafficControl(0 connections)");
}
