//! Two servers for a benchmark: a source with an account that may use it, and a target that knows it as a remote, once
//! directly and once through the relay. Pulls go from the source to the target; pushes go the other way.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::Runtime;

use super::server::{Installation, Server};
use crate::relay::{Relay, RelayOptions, start};

/// The long line: 80 ms round trip, and at most 12.5 MiB/s on one connection.
pub(super) const FAR_DELAY: Duration = Duration::from_millis(40);
pub(super) const FAR_WINDOW_BYTES: usize = 1 << 20;

/// Name of the datastore on both sides, and of the account on the source.
pub(super) const STORE: &str = "bench";
const USER: &str = "bench@pbs";
const TOKEN_NAME: &str = "pull";

/// Between the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// Nothing but loopback.
    Near,
    /// A relay that delays and bounds.
    Far,
}

impl Direction {
    /// Returns the command, carried out on the target, that brings everything over.
    pub(super) const fn command(self, line: Line) -> [&'static str; 4] {
        match self {
            Self::Pull => ["pull", line.name(), STORE, STORE],
            Self::Push => ["push", STORE, line.name(), STORE],
        }
    }
}

impl Line {
    /// Name of the line in reports, and of the remote.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Far => "far",
        }
    }
}

/// Which way snapshots go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Pull,
    Push,
}

/// The account on the source, and the source's certificate.
pub(super) struct Account {
    pub(super) authid: String,
    pub(super) secret: String,
    pub(super) fingerprint: String,
}

/// Both installations, their servers stopped.
pub(super) struct Site {
    pub(super) source: Installation,
    pub(super) target: Installation,
    pub(super) source_store: PathBuf,
    pub(super) target_store: PathBuf,
    pub(super) account: Account,
    relay_address: SocketAddr,
    runtime: Runtime,
}

/// Both servers running, and the relay if the line is long.
pub(super) struct Running<'a> {
    pub(super) site: &'a Site,
    pub(super) source: Server,
    pub(super) target: Server,
    relay: Option<Relay>,
}

impl Site {
    /// Makes both servers in `folder` by commands, each with an empty datastore.
    pub(super) fn set_up(folder: &Path, program: &Path) -> anyhow::Result<Self> {
        eprintln!("setting up two servers in {}", folder.display());
        let source = Installation::new(program, folder.join("source"))?;
        let target = Installation::new(program, folder.join("target"))?;
        let [source_store, target_store] = ["source-store", "target-store"].map(|name| folder.join(name));
        let running = (source.start()?, target.start()?);

        source.run(&["datastore", "create", STORE, text(&source_store)?])?;
        source.run(&["user", "create", USER])?;
        let token = source.run(&["user", "generate-token", USER, TOKEN_NAME])?;
        let token: serde_json::Value = serde_json::from_str(token.trim_start_matches("Result: "))?;
        let member = |name: &str| token[name].as_str().with_context(|| format!("a new token has no {name}"));
        let (authid, secret) = (member("tokenid")?, member("value")?);
        let path = format!("/datastore/{STORE}");
        for holder in [USER, authid] {
            for role in ["DatastoreReader", "DatastorePowerUser"] {
                source.run(&["acl", "update", &path, role, "--auth-id", holder])?;
            }
        }
        let certificate = source.run(&["cert", "info"])?;
        let fingerprint = certificate.lines().find_map(|line| line.strip_prefix("Fingerprint (sha256): "));
        let fingerprint = fingerprint.context("cert info shows no fingerprint")?.trim();
        let account = Account { authid: authid.into(), secret: secret.into(), fingerprint: fingerprint.into() };

        target.run(&["datastore", "create", STORE, text(&target_store)?])?;
        // Free now; the relay takes it later.
        let relay_address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        for (line, address) in [(Line::Near, source.address()), (Line::Far, relay_address)] {
            let port = address.port().to_string();
            let create = ["remote", "create", line.name(), "--host", "127.0.0.1", "--port", &port];
            let options = ["--auth-id", authid, "--password", secret, "--fingerprint", fingerprint];
            target.run(&[&create[..], &options[..]].concat())?;
        }
        running.0.stop()?;
        running.1.stop()?;
        // Two threads for a relay: one core must not hold up both directions.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        Ok(Self { source, target, source_store, target_store, account, relay_address, runtime })
    }

    /// Returns the datastore that has the snapshots.
    pub(super) fn sending_store(&self, direction: Direction) -> &Path {
        match direction {
            Direction::Pull => &self.source_store,
            Direction::Push => &self.target_store,
        }
    }

    /// Returns the datastore that gets them.
    pub(super) fn receiving_store(&self, direction: Direction) -> &Path {
        match direction {
            Direction::Pull => &self.target_store,
            Direction::Push => &self.source_store,
        }
    }

    /// Starts both servers, and the relay for the long line, and makes the servers know each other.
    pub(super) fn start(&self, line: Line) -> anyhow::Result<Running<'_>> {
        // What earlier steps wrote must not be on its way to the disk meanwhile.
        nix::unistd::sync();
        let relay = match line {
            Line::Near => None,
            Line::Far => Some(self.runtime.block_on(start(RelayOptions {
                listen: self.relay_address,
                target: self.source.address(),
                one_way_delay: FAR_DELAY,
                window_bytes: FAR_WINDOW_BYTES,
            }))?),
        };
        let (source, target) = (self.source.start()?, self.target.start()?);
        // Servers run for weeks: the hash of the account's secret, which each server computes once, is no part of a pull.
        self.target.run(&["remote", "scan", line.name()])?;
        Ok(Running { site: self, source, target, relay })
    }
}

impl Running<'_> {
    /// Returns where a client reaches the source over this line, with port.
    pub(super) fn address(&self, line: Line) -> String {
        match line {
            Line::Near => self.site.source.address().to_string(),
            Line::Far => self.site.relay_address.to_string(),
        }
    }

    /// Bytes through the relay so far, both directions, TLS included; none on the near line.
    pub(super) fn wire_bytes(&self) -> Option<u64> {
        let statistics = self.relay.as_ref()?.statistics();
        Some(statistics.up_bytes + statistics.down_bytes)
    }

    /// Ends servers and relay.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        self.source.stop()?;
        self.target.stop()?;
        if let Some(relay) = self.relay {
            self.site.runtime.block_on(relay.stop());
        }
        Ok(())
    }
}

/// Returns a path as an argument.
pub(super) fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is no UTF-8 text", path.display()))
}
