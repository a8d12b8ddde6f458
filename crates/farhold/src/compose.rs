//! Puts one server together: directories, configuration, keys, tasks, datastores, and the router over them.
//!
//! The daemon, commands without a daemon, and the demo all use this, so there is one code path. Nothing here listens.

use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use farhold_access::{Access, AuthLog, Keys, SystemAccounts};
use farhold_api::{Router, docs_page, endpoints, health_page};
use farhold_jobs::host::HostFiles;
use farhold_jobs::job_options::JobOptionsStore;
use farhold_jobs::traffic::TrafficControl;
use farhold_jobs::{
    App, History, NodeFacts, NotificationWays, Notifications, OpenBackups, ProgressBoard, RemovablePlaces,
    ServerCertificate, ServerLog, Stores,
};
use farhold_pam::Pam;
use farhold_settings::{ConfigDir, Settings};
use farhold_storage::{BackingDevices, LinuxDevices};
use farhold_tasks::job_state::JobStates;
use farhold_tasks::{ProcFs, TaskOptions, TaskRegistry};
use farhold_types::{Clock, Randomness};
use jiff::tz::TimeZone;

use crate::certificate::KeyKind;
use crate::directories::Directories;
use crate::host_files::SystemHost;
use crate::node_certificate::{Making, NodeCertificate};
use crate::system;
use crate::system_accounts::HostAccounts;
use crate::web_interface;

/// Whether a server that listens does by itself what nobody asks for: run jobs by their schedules, mount datastores whose
/// devices are plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Housekeeping {
    /// It does.
    On,
    /// It only answers; for tests in which nothing may happen at a full minute.
    Off,
}

/// What a server is made of.
pub struct Parts {
    /// Where its files are.
    pub directories: Directories,
    /// Host name up to the first dot.
    pub node: String,
    /// Kind of key of a certificate that has to be made.
    pub key_kind: KeyKind,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes keys and names.
    pub randomness: Arc<dyn Randomness>,
    /// Zone of time stamps in logs, of schedules and of the days of pruning.
    pub time_zone: TimeZone,
    /// What the host says of itself.
    pub host: Arc<dyn HostFiles>,
    /// Mounts the devices of removable datastores.
    pub devices: Arc<dyn BackingDevices>,
    /// The latest lines of the program's log.
    pub server_log: Arc<ServerLog>,
    /// The mail program of the host, called like sendmail.
    pub mail_program: PathBuf,
    /// What it does by itself.
    pub housekeeping: Housekeeping,
    /// Checks passwords of realm `pam`; without it they are refused.
    pub system_accounts: Option<Arc<dyn SystemAccounts>>,
}

impl Parts {
    /// Returns the parts of a server of this host, with the real clock and randomness.
    pub fn of_this_host(directories: Directories) -> Self {
        Self {
            directories,
            node: system::node_name(),
            key_kind: KeyKind::Rsa4096,
            clock: Arc::new(system::SystemClock),
            randomness: Arc::new(system::SystemRandomness),
            time_zone: TimeZone::system(),
            host: Arc::new(SystemHost),
            devices: Arc::new(LinuxDevices),
            server_log: Arc::default(),
            mail_program: farhold_jobs::notification_ways::MAIL_PROGRAM.into(),
            housekeeping: Housekeeping::On,
            system_accounts: Some(Arc::new(HostAccounts::new(Pam::of_this_host()))),
        }
    }
}

/// A server that does not listen yet.
pub struct Composed {
    /// Its services.
    pub app: Arc<App>,
    /// Its endpoints.
    pub router: Arc<Router<App>>,
    /// Its certificate.
    pub certificate: Arc<NodeCertificate>,
    /// Where its files are.
    pub directories: Directories,
    /// What it does by itself once it listens.
    pub housekeeping: Housekeeping,
}

/// Mode of the configuration directory: it holds keys and passwords. Source: `docs/spec/config-and-access.md` 1.
const CONFIG_MODE: u32 = 0o700;
/// Mode of the other directories.
const STATE_MODE: u32 = 0o755;

/// Puts a server together, making directories, keys and the certificate that are missing. Blocking.
///
/// # Errors
/// A directory or file cannot be made or read.
pub fn compose(parts: Parts) -> anyhow::Result<Composed> {
    let Directories { etc, lib, log, run, mounts } = &parts.directories;
    make_directory(etc, CONFIG_MODE)?;
    for directory in [lib, log, &log.join("api"), run, &run.join("locks")] {
        make_directory(directory, STATE_MODE)?;
    }
    let sync_state_directory = lib.join("farhold").join("sync");
    make_directory(&sync_state_directory, CONFIG_MODE)?;
    let instance_id = instance_id(&lib.join("farhold").join("instance-id"), &*parts.randomness)?;
    let config_dir = ConfigDir::new(etc.clone(), Arc::clone(&parts.randomness));
    let keys = Keys::load_or_create(&config_dir).context("failed to prepare the keys for tickets")?;
    let settings = Settings::new(config_dir);
    let making = Making {
        node: parts.node.clone(),
        key_kind: parts.key_kind,
        clock: Arc::clone(&parts.clock),
        randomness: Arc::clone(&parts.randomness),
    };
    let certificate = Arc::new(NodeCertificate::open(etc, making)?);
    let tasks = TaskRegistry::open(TaskOptions {
        directory: log.join("tasks"),
        node: parts.node.clone(),
        pid: std::process::id(),
        pstart: system::process_start_ticks(),
        first_task_id: 0,
        clock: Arc::clone(&parts.clock),
        time_zone: parts.time_zone.clone(),
        processes: Arc::new(ProcFs),
    })?;
    let auth_log = AuthLog::new(log.join("api").join("auth.log"), Arc::clone(&parts.clock), parts.time_zone.clone());
    let access =
        Access::new(settings.clone(), Arc::clone(&parts.clock), keys, parts.system_accounts).with_auth_log(auth_log);
    let removable = RemovablePlaces { devices: parts.devices, mounts: mounts.clone(), temporary: run.join("mount") };
    let stores = Stores::new(
        settings.clone(),
        run.join("locks"),
        removable,
        Arc::clone(&parts.clock),
        Arc::clone(&parts.randomness),
    );
    let open_backups = OpenBackups::new(lib.join("farhold").join("open-backups"), Arc::clone(&parts.randomness));
    let templates = etc.join("notification-templates").join("default");
    let notification_ways = NotificationWays::of_this_host(parts.mail_program, templates);
    let traffic = TrafficControl::new(settings.clone(), Arc::clone(&parts.clock), parts.time_zone.clone());
    traffic.reload();
    let app = Arc::new(App {
        settings,
        access,
        tasks,
        job_states: JobStates::open(lib.join("jobstates"))?,
        job_runs: farhold_jobs::JobRuns::new(lib.join("farhold").join("job-runs")),
        job_options: JobOptionsStore::new(lib.join("farhold"), Arc::clone(&parts.randomness)),
        notifications: Notifications::new(lib),
        stores,
        verify_turns: farhold_jobs::verify::VerifyTurns::default(),
        progress: ProgressBoard::default(),
        chunk_room: farhold_jobs::ChunkRoom::default(),
        open_backups,
        sync_state_directory,
        api_log_directory: log.join("api"),
        node: NodeFacts { name: parts.node, instance_id },
        certificate: Arc::clone(&certificate) as Arc<dyn ServerCertificate>,
        host: parts.host,
        census: farhold_jobs::Census::default(),
        health: farhold_jobs::Health::default(),
        metrics: farhold_jobs::Metrics::default(),
        history: History::new(lib.join("farhold").join("history")),
        server_log: parts.server_log,
        traffic,
        notification_ways,
        time_zone: parts.time_zone,
        clock: parts.clock,
        randomness: parts.randomness,
    });
    let router = Router::new(Arc::clone(&app), endpoints::all()).context("an endpoint is declared wrongly")?;
    let pages = web_interface::fallback(Arc::clone(&app.randomness), docs_page::fallback());
    let pages = health_page::fallback(app.health.clone(), pages);
    let router = Arc::new(router.with_page("metrics", &["farhold", "metrics"]).with_fallback(pages));
    Ok(Composed { app, router, certificate, directories: parts.directories, housekeeping: parts.housekeeping })
}

/// Returns what identifies the server to clients: 32 lower-case hex digits, made once and kept in `path`. Programs that
/// come here at once get the same id.
fn instance_id(path: &Path, randomness: &dyn Randomness) -> anyhow::Result<String> {
    let read = || match std::fs::read_to_string(path) {
        Ok(text) if text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => Ok(Some(text)),
        Ok(_) => anyhow::bail!("{} does not hold 32 hex digits; remove it to get a new id", path.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("failed to read {}", path.display())),
    };
    if let Some(id) = read()? {
        return Ok(id);
    }
    let mut bytes = [0; 16];
    randomness.fill(&mut bytes);
    let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    // The file appears with its content or not at all, and only one program's does: a link replaces nothing.
    let made = path.with_extension(&id);
    let publish = || {
        let mut file = std::fs::File::create_new(&made)?;
        file.write_all(id.as_bytes())?;
        file.sync_all()?;
        match std::fs::hard_link(&made, path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    };
    let published = publish();
    let _ = std::fs::remove_file(&made);
    published.with_context(|| format!("failed to write {}", path.display()))?;
    read()?.with_context(|| format!("{} vanished", path.display()))
}

/// Makes a directory and its missing parents. One that exists is left as it is.
fn make_directory(path: &Path, mode: u32) -> anyhow::Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    made.with_context(|| {
        format!("failed to create {} (hint: run as root, or give a folder of your own with --root)", path.display())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    /// Gives everybody other bytes.
    #[derive(Debug)]
    struct Counting(AtomicU8);

    impl Randomness for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(self.0.fetch_add(1, Ordering::SeqCst));
        }
    }

    #[test]
    fn programs_that_start_at_once_give_the_server_one_id() {
        let folder = tempfile::tempdir().unwrap();
        let randomness = Counting(AtomicU8::new(0));
        for round in 0..20 {
            let path = folder.path().join(format!("{round}-id"));
            let barrier = Barrier::new(8);
            let ids: Vec<String> = std::thread::scope(|scope| {
                let make = || {
                    barrier.wait();
                    instance_id(&path, &randomness).unwrap()
                };
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), ids[0]);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 20, "nothing else is left");
        std::fs::write(folder.path().join("0-id"), "short").unwrap();
        assert!(instance_id(&folder.path().join("0-id"), &randomness).is_err());
    }
}
