//! Servers made by the composition root, as a test needs them.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use farhold::certificate::KeyKind;
use farhold::compose::{Composed, Housekeeping, Parts, compose};
use farhold::daemon::Running;
use farhold::directories::Directories;
use farhold::system::SystemRandomness;
use farhold_access::SystemAccounts;
use farhold_jobs::host::testing::FakeHost;
use farhold_storage::FakeDevices;
use farhold_types::{Clock, Epoch, Secret};
use jiff::tz::TimeZone;

/// Longest wait for work of a server that is dropped.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Password of `root@pam` in the recordings.
pub const ROOT_PASSWORD: &str = "root-secret-1";

/// A system with one account.
struct RootOnly;

impl SystemAccounts for RootOnly {
    fn check(&self, name: &str, password: &Secret, _remote_host: Option<IpAddr>) -> Result<(), String> {
        let is_root = name == "root" && password.expose() == ROOT_PASSWORD;
        if is_root { Ok(()) } else { Err("unknown account or wrong password".to_owned()) }
    }

    fn set(&self, _name: &str, _password: &Secret) -> Result<(), String> {
        Err("passwords of this system stay".to_owned())
    }
}

/// A clock that was set to some time and goes on from there.
pub struct SetClock {
    start: AtomicI64,
    set_at: Instant,
}

impl SetClock {
    /// Returns a clock that shows `start` now.
    pub fn new(start: Epoch) -> Self {
        Self { start: AtomicI64::new(start.0), set_at: Instant::now() }
    }
}

impl Clock for SetClock {
    fn now(&self) -> Epoch {
        let passed = i64::try_from(self.set_at.elapsed().as_secs()).unwrap();
        Epoch(self.start.load(Ordering::SeqCst) + passed)
    }
}

/// The host of the recorded server.
fn host() -> FakeHost {
    let host = FakeHost::sample();
    host.let_processors_run();
    host
}

/// Puts a server together whose files are below `root`. No device is plugged in.
pub fn server(root: &Path, node: &str, clock: Arc<dyn Clock>) -> Composed {
    server_with_devices(root, node, clock, Arc::default())
}

/// Puts a server together whose files are below `root`, with devices that can be plugged in.
pub fn server_with_devices(root: &Path, node: &str, clock: Arc<dyn Clock>, devices: Arc<FakeDevices>) -> Composed {
    compose(Parts {
        directories: Directories::below(root),
        node: node.to_owned(),
        key_kind: KeyKind::EcdsaP256,
        clock,
        randomness: Arc::new(SystemRandomness),
        time_zone: TimeZone::UTC,
        host: Arc::new(host()),
        devices,
        server_log: Arc::default(),
        mail_program: root.join("sendmail"),
        housekeeping: Housekeeping::Off,
        system_accounts: Some(Arc::new(RootOnly)),
    })
    .unwrap()
}

/// A server that listens on a port of its own, on threads of its own, until it is dropped.
pub struct Listening {
    runtime: Option<tokio::runtime::Runtime>,
    running: Option<Running>,
}

impl Listening {
    /// Starts to listen.
    pub fn start(composed: Composed) -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        let running = runtime.block_on(Running::start(composed, listen)).unwrap();
        Self { runtime: Some(runtime), running: Some(running) }
    }

    /// Returns the server.
    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// Returns its port.
    pub fn port(&self) -> u16 {
        self.running().addresses()[0].port()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let (Some(runtime), Some(running)) = (self.runtime.take(), self.running.take()) {
            drop(running);
            // Work on blocking threads still uses the server's folder, which goes next.
            runtime.shutdown_timeout(STOP_LIMIT);
        }
    }
}

/// Replaces a text in a configuration file, if the file exists.
pub fn replace_in(file: &Path, from: &str, to: &str) {
    if let Ok(text) = fs::read_to_string(file) {
        fs::write(file, text.replace(from, to)).unwrap();
    }
}

/// The folders of one pair of servers: `rec1`, `rec2` for their files, `1`, `2` for their stores.
#[derive(Debug, Clone)]
pub struct Folders {
    /// The folder all are in.
    pub root: PathBuf,
}

impl Folders {
    /// Returns the folder of the files of server 1 or 2.
    pub fn server(&self, number: u8) -> PathBuf {
        self.root.join(format!("rec{number}"))
    }

    /// Returns the folder of the stores of server 1 or 2: what is `/srv/pbs` in the recordings.
    pub fn stores(&self, number: u8) -> PathBuf {
        self.root.join(number.to_string())
    }
}
