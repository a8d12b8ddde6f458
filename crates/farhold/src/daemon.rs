//! `farhold server`: listens until it is told to stop, then lets work end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use farhold_jobs::history::{SAMPLE_INTERVAL, Watch};
use farhold_jobs::metrics::known_keys;
use farhold_jobs::notifications::{Dispatcher, HostCourier, watch_stale_jobs};
use farhold_jobs::plug_in::PlugInWatch;
use farhold_jobs::scheduler::Scheduler;
use farhold_jobs::{App, LoopWatch, keep_census};
use farhold_types::Fingerprint;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::compose::{Composed, Housekeeping};
use crate::log::LogFormat;
use crate::server::{MAX_CONNECTIONS, Server, ServerOptions, dispatch_to};
use crate::system;

/// How long requests and tasks may go on after the server was told to stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// Longest time between two samples that is still healthy: one takes seconds at most, even where datastores hang.
const SAMPLING_LIMIT: Duration = Duration::from_secs(120);

/// Longest time between two looks for notifications that is still healthy.
const DISPATCHING_LIMIT: Duration = Duration::from_secs(120);

/// How long the start waits for the removal of what a killed server left.
const TIDY_LIMIT: Duration = Duration::from_secs(5);

/// Files that stay for work: archives, locks, logs and connections to remotes of some dozens of tasks.
const FILES_FOR_WORK: u64 = 1024;

/// Where PBS listens, and we without further wishes. Source: `docs/spec/wire-protocol.md` 1.1.
pub const DEFAULT_LISTEN: &str = "[::]:8007";

/// Returns how lines of the log shall look: as the arguments say, else as the environment says. A word that is none is
/// passed over here, since the log must be there before anybody can be told; [`parse_listen`] refuses it.
pub fn log_format(arguments: &[String], environment: Option<&str>) -> LogFormat {
    let mut words = arguments.iter().enumerate().rev();
    let given = words.find_map(|(at, argument)| value_of("--log-format", argument, || arguments.get(at + 1)).flatten());
    given.or(environment).and_then(LogFormat::of).unwrap_or_default()
}

/// Returns the value of an option if `argument` begins with its name: what follows behind `=`, else the next argument. It
/// may be missing.
fn value_of<'a>(option: &str, argument: &'a str, next: impl FnOnce() -> Option<&'a String>) -> Option<Option<&'a str>> {
    Some(match argument.strip_prefix(option)? {
        "" => next().map(String::as_str),
        text => text.strip_prefix('='),
    })
}

/// Reads the arguments of `server`: `--listen ADDRESS:PORT`, repeatable; `--log-format` is only checked.
///
/// # Errors
/// Another argument, an address that is none, or a format that is none.
pub fn parse_listen(arguments: &[String]) -> anyhow::Result<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if let Some(word) = value_of("--log-format", argument, || rest.next()) {
            let word = word.unwrap_or_default();
            LogFormat::of(word).with_context(|| format!("'{word}' is no log format; there are text and json"))?;
            continue;
        }
        let Some(value) = value_of("--listen", argument, || rest.next()).flatten() else {
            bail!(
                "unknown argument '{argument}' (usage: farhold [--root DIR] server [--listen ADDRESS:PORT]... [--log-format text|json])"
            );
        };
        addresses.push(value.parse().with_context(|| {
            format!("'{value}' is no address with a port; examples: {DEFAULT_LISTEN}, 192.0.2.7:8007")
        })?);
    }
    if addresses.is_empty() {
        addresses.push(DEFAULT_LISTEN.parse().context("the default address parses")?);
    }
    Ok(addresses)
}

/// Runs jobs by their schedules, and mounts datastores whose devices are plugged in, until `shutdown`.
async fn keep_house(app: Arc<App>, shutdown: CancellationToken) {
    let scheduler = Scheduler::new(&app);
    tokio::join!(scheduler.run(shutdown.clone()), PlugInWatch::default().run(app, shutdown));
}

/// Stores how runs of jobs ended that ended with the server, and forgets those of jobs that are gone. Removes what backups
/// left that it received when it was killed. What cannot be removed now is tried again at the next start; a datastore that
/// does not answer delays no start for long.
async fn tidy_up(app: &Arc<App>) {
    let app = Arc::clone(app);
    let tidying = tokio::task::spawn_blocking(move || {
        Scheduler::settle(&app);
        for left in app.open_backups.left() {
            let name = format!("{} in {} of datastore '{}'", left.snapshot, left.ns.log_name(), left.store);
            match left.remove(&app.stores) {
                Ok(true) => tracing::info!("removed the unfinished backup {name}"),
                Ok(false) => {}
                Err(error) => tracing::warn!("the unfinished backup {name} stays: {:#}", anyhow::Error::new(error)),
            }
        }
        tidy_runs(&app);
    });
    if tokio::time::timeout(TIDY_LIMIT, tidying).await.is_err() {
        tracing::warn!("removing unfinished backups takes long and goes on beside other work");
    }
}

/// Forgets the runs of jobs that were removed while no server ran, or while they ran themselves.
fn tidy_runs(app: &App) {
    match known_keys(app) {
        Ok(keys) => {
            if let Err(error) = app.job_runs.forget_others(&keys) {
                tracing::warn!("runs of removed jobs stay: {:#}", anyhow::Error::new(error));
            }
        }
        Err(error) => tracing::warn!("runs of removed jobs stay: {:#}", anyhow::Error::new(error)),
    }
}

/// Takes samples of the host and the datastores until `shutdown`. One that takes long delays the next.
async fn keep_history(app: Arc<App>, shutdown: CancellationToken) {
    let alive = app.health.watch("history", SAMPLING_LIMIT);
    sample_until(&app, &shutdown, &alive).await;
    alive.finish();
}

async fn sample_until(app: &Arc<App>, shutdown: &CancellationToken, alive: &LoopWatch) {
    let mut watch = Watch::default();
    let mut turns = tokio::time::interval(SAMPLE_INTERVAL);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            () = shutdown.cancelled() => return,
        }
        alive.beat();
        tokio::select! {
            taken = watch.sample(app) => {
                if let Err(error) = taken {
                    tracing::warn!("a sample for the history was not taken: {error}");
                }
            }
            () = shutdown.cancelled() => return,
        }
    }
}

/// Returns how many connections there may be where `files` may be open: work on backups needs files too, and must not
/// fail because strangers hold connections.
fn connections_beside_work(files: u64) -> usize {
    let for_connections = files - FILES_FOR_WORK.min(files / 2);
    usize::try_from(for_connections).map_or(MAX_CONNECTIONS, |count| count.min(MAX_CONNECTIONS))
}

/// A server that listens.
pub struct Running {
    composed: Composed,
    addresses: Vec<SocketAddr>,
    fingerprint: Fingerprint,
    shutdown: CancellationToken,
    /// What goes on until the server is told to stop.
    loops: TaskTracker,
}

impl Running {
    /// Binds the addresses and the Unix socket, and serves from now on.
    ///
    /// # Errors
    /// An address or the socket is taken, or the certificate does not fit its key.
    pub async fn start(composed: Composed, listen: Vec<SocketAddr>) -> anyhow::Result<Self> {
        // The first random bytes cost the cryptography library some ten milliseconds, which no handshake should wait for.
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.secure_random.fill(&mut [0; 32]).map_err(|_| anyhow::anyhow!("no random bytes can be had"))?;
        tidy_up(&composed.app).await;
        let tls = composed.certificate.listener()?;
        let fingerprint = tls.fingerprint();
        let options = ServerOptions {
            listen,
            tls,
            unix_socket: Some(composed.directories.socket()),
            drain_limit: DRAIN_LIMIT,
            traffic: composed.app.traffic.clone(),
            max_connections: connections_beside_work(system::open_files_limit()),
        };
        let server = Server::bind(options, dispatch_to(Arc::clone(&composed.router))).await?;
        let addresses = server.addresses();
        let shutdown = CancellationToken::new();
        let (app, loops) = (&composed.app, TaskTracker::new());
        loops.spawn(server.run(shutdown.clone()));
        loops.spawn(keep_history(Arc::clone(app), shutdown.clone()));
        let courier = HostCourier::new(Arc::clone(app));
        let dispatcher = Dispatcher::new(Arc::clone(app), Arc::new(courier));
        let alive = app.health.watch("notifications", DISPATCHING_LIMIT);
        loops.spawn(dispatcher.run(shutdown.clone(), move || alive.beat()));
        loops.spawn(watch_stale_jobs(Arc::clone(app), shutdown.clone()));
        if composed.housekeeping == Housekeeping::On {
            loops.spawn(keep_house(Arc::clone(app), shutdown.clone()));
        }
        loops.spawn(keep_census(Arc::clone(app), shutdown.clone()));
        loops.close();
        app.health.serving();
        Ok(Self { composed, addresses, fingerprint, shutdown, loops })
    }

    /// Returns the addresses with their real ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Returns the certificate's fingerprint.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Returns the server's services and endpoints.
    pub const fn composed(&self) -> &Composed {
        &self.composed
    }

    /// Stops listening, lets requests and tasks end for a while, then cuts the rest.
    pub async fn stop(self) {
        self.composed.app.health.stopping();
        self.shutdown.cancel();
        let (report, (), ()) = tokio::join!(
            self.composed.app.tasks.shutdown(DRAIN_LIMIT),
            self.composed.router.shut_down(DRAIN_LIMIT),
            self.loops.wait()
        );
        if report.cut_off != 0 {
            tracing::warn!("{} tasks did not end in time and were stopped", report.cut_off);
        }
    }
}

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// As [`Running::start`].
pub async fn run(composed: Composed, listen: Vec<SocketAddr>) -> anyhow::Result<()> {
    if let Err(error) = system::raise_open_files_limit() {
        tracing::warn!("the limit of open files stays as it is: {error}");
    }
    let running = Running::start(composed, listen).await?;
    for address in running.addresses() {
        tracing::info!("listening on {address}");
    }
    tracing::info!("certificate fingerprint (sha256): {}", running.fingerprint());
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping");
    running.stop().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(arguments: &[&str]) -> Result<Vec<String>, String> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let parsed = parse_listen(&arguments).map_err(|e| e.to_string())?;
        Ok(parsed.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn connections_leave_files_for_work() {
        for (files, expected) in [(1_000_000, 4096), (5120, 4096), (4096, 3072), (1024, 512), (0, 0)] {
            assert_eq!(connections_beside_work(files), expected, "{files}");
        }
    }

    #[test]
    fn the_last_log_format_counts_and_arguments_come_before_the_environment() {
        let format = |arguments: &[&str], environment| {
            let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            log_format(&arguments, environment)
        };
        assert_eq!(format(&["server"], None), LogFormat::Text);
        assert_eq!(format(&["server"], Some("json")), LogFormat::Json);
        assert_eq!(format(&["server"], Some("yaml")), LogFormat::Text);
        assert_eq!(format(&["server", "--log-format=text"], Some("json")), LogFormat::Text);
        assert_eq!(format(&["server", "--log-format=text", "--log-format", "json"], None), LogFormat::Json);
    }

    #[test]
    fn listen_may_be_repeated_and_has_a_default() {
        assert_eq!(listen(&[]).unwrap(), ["[::]:8007"]);
        assert_eq!(listen(&["--listen", "127.0.0.1:1", "--listen=[::1]:2"]).unwrap(), ["127.0.0.1:1", "[::1]:2"]);
        assert!(listen(&["--listen", "localhost"]).unwrap_err().contains("no address"));
        assert!(listen(&["--listen"]).is_err());
        assert_eq!(listen(&["--log-format", "json", "--listen=[::1]:2", "--log-format=text"]).unwrap(), ["[::1]:2"]);
        for wrong in [&["--log-format"][..], &["--log-format", "xml"], &["--log-format="]] {
            assert!(listen(wrong).unwrap_err().contains("no log format"), "{wrong:?}");
        }
        assert!(listen(&["8007"]).unwrap_err().contains("unknown argument"));
    }
}
