//! The server of the session, and carrying out invocations as the programs do.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use farhold::certificate::KeyKind;
use farhold::compose::{Parts, compose};
use farhold::daemon::Running;
use farhold::directories::Directories;
use farhold_api::endpoints;
use farhold_cli::command::{Command, Origin};
use farhold_cli::{
    Catalogue, Console, Interrupts, OutputSettings, Plan, SUCCESS, SocketCaller, complete, execute, plan,
};
use farhold_jobs::App;
use farhold_settings::{AclEntry, AclSubject, Entries, SettingsError, TokenConfig, UserConfig, UserEntry, Validity};
use farhold_storage::FakeDevices;
use farhold_tasks::TaskFilter;
use farhold_types::{Authid, Clock, Epoch, Role};
use jiff::tz::TimeZone;

use crate::content::unpack_golden;
use crate::desk::Desk;
use crate::recorded::Recorded;
use crate::scratch::scratch;
use crate::site::Ran;
use crate::usage::Overview;

/// When the recorded session began: 2026-11-22T21:22:00Z.
const RECORDED_AT: i64 = 1_795_382_520;

/// Token of the recorded client, and its user.
const USER: &str = "sync@pbs";
const TOKEN: &str = "sync@pbs!t1";

/// The file system of the recorded drive.
const DRIVE: &str = "065ab6a0-b1f8-4e3d-ad90-2ad727e8e9e3";

/// Seconds between two invocations, so that no two tasks begin in the same one.
const PACE_S: i64 = 2;

/// A clock that shows the time of the recording and goes on with each invocation.
struct SessionClock(AtomicI64);

impl Clock for SessionClock {
    fn now(&self) -> Epoch {
        Epoch(self.0.load(Ordering::SeqCst))
    }
}

/// The server, and what stands for what.
pub struct Stage {
    app: Arc<App>,
    running: Running,
    catalogue: Catalogue,
    caller: SocketCaller,
    /// Recorded texts, and what stands for them here.
    bindings: Vec<(String, String)>,
    devices: Arc<FakeDevices>,
    clock: Arc<SessionClock>,
    /// Secret of the client's token, from the first invocation of the client on.
    secret: Option<String>,
    /// Commands that only our program has, and that only the reference has.
    extensions: Vec<String>,
    not_offered: Vec<String>,
    folder: tempfile::TempDir,
}

impl Stage {
    /// Starts a server without any configuration.
    pub async fn open() -> Self {
        let folder = scratch();
        let directories = Directories::below(&folder.path().join("root"));
        let clock = Arc::new(SessionClock(AtomicI64::new(RECORDED_AT)));
        let devices = Arc::new(FakeDevices::default());
        let drive = folder.path().join("drive");
        fs::create_dir(&drive).unwrap();
        devices.plug(&DRIVE.parse().unwrap(), &drive);
        let parts = Parts {
            devices: devices.clone(),
            node: "vm".to_owned(),
            // An RSA key takes seconds.
            key_kind: KeyKind::EcdsaP256,
            time_zone: TimeZone::UTC,
            clock: clock.clone(),
            ..Parts::of_this_host(directories.clone())
        };
        let composed = compose(parts).unwrap();
        let app = Arc::clone(&composed.app);
        let running = Running::start(composed, vec!["127.0.0.1:0".parse().unwrap()]).await.unwrap();
        let caller = SocketCaller::find(&directories.socket()).await.unwrap().unwrap();
        let declarations: Vec<_> = endpoints::all().into_iter().map(|endpoint| endpoint.declaration).collect();
        let stores = folder.path().join("srv");
        fs::create_dir(&stores).unwrap();
        let bindings = [("/srv/pbs", &stores), ("/mnt/datastore", &directories.mounts)];
        let bindings = bindings.map(|(recorded, ours)| (recorded.to_owned(), ours.to_str().unwrap().to_owned())).into();
        let catalogue = Catalogue::new(&declarations, &[]);
        let words = |command: &Command| command.words.join(" ");
        let offered = catalogue.offered().map(|entry| &entry.command);
        let extensions = offered.filter(|command| command.origin == Origin::Extension).map(words).collect();
        let not_offered = catalogue.not_offered().map(words).collect();
        let secret = None;
        Self { app, running, catalogue, caller, bindings, devices, clock, secret, extensions, not_offered, folder }
    }

    /// Returns which commands only one of the programs has.
    pub fn overview(&self) -> Overview<'_> {
        Overview { ours: &self.extensions, theirs: &self.not_offered }
    }

    /// Carries out one invocation, and waits for what it started.
    pub async fn run(&mut self, line: &Recorded) -> Ran {
        self.clock.0.fetch_add(PACE_S, Ordering::SeqCst);
        if line.is_client() {
            return self.run_client(line).await;
        }
        self.bind_tasks(line);
        let argv: Vec<String> = line.argv.iter().map(|text| self.as_ours(text)).collect();
        self.devices.set_busy(line.note.starts_with("the mount is in use"));
        let ran = self.run_manager(&argv, line).await;
        if line.argv.iter().any(|word| word == "--userid") {
            // It fails in the recording, and what follows builds on that.
            let removal = ["remote", "remove", line.argv[2].as_str()].map(str::to_owned);
            assert_eq!(self.run_manager(&removal, line).await.code, SUCCESS);
        }
        while !self.app.tasks.running_here().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if line.starts_with(&["datastore", "create", "store1"]) {
            // As the recording did: the store gets its content right after its creation.
            let store = self.folder.path().join("srv/store1");
            fs::remove_dir_all(&store).unwrap();
            unpack_golden(&store);
        }
        ran
    }

    async fn run_manager(&self, argv: &[String], line: &Recorded) -> Ran {
        let request = match plan(&self.catalogue, "proxmox-backup-manager", argv) {
            Plan::Run(request) => *request,
            Plan::Print(printed) => return Ran { code: printed.exit, out: printed.out, err: printed.err },
            Plan::Complete => {
                let point = line.env["COMP_POINT"].parse().unwrap();
                let found = complete(&self.catalogue, &line.env["COMP_LINE"], point, Some(&self.caller)).await;
                let out = found.iter().map(|word| format!("{word}\n")).collect();
                return Ran { code: SUCCESS, out, err: String::new() };
            }
            Plan::PassThrough { .. } => panic!("nothing is passed through here"),
        };
        let variable =
            |name: &str| line.env.get(name).cloned().or_else(|| (name == "LANG").then(|| "C.UTF-8".to_owned()));
        let settings = OutputSettings::from_environment(variable, None, TimeZone::UTC);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut console = Console {
            out: &mut out,
            err: &mut err,
            settings: &settings,
            interrupts: Interrupts::never(),
            poll: Duration::from_millis(10),
            progress_width: None,
        };
        let code = execute(request, &self.caller, &mut console).await;
        Ran { code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
    }

    async fn run_client(&mut self, line: &Recorded) -> Ran {
        if self.secret.is_none() {
            self.secret = Some(self.admit_client());
        }
        let mut desk = Desk::new();
        desk.clock = self.clock.clone();
        let port = self.running.addresses()[0].port();
        desk.set("PBS_REPOSITORY", &format!("{TOKEN}@127.0.0.1:{port}:store1"));
        desk.set("PBS_PASSWORD", self.secret.as_ref().unwrap());
        desk.set("PBS_FINGERPRINT", &self.running.fingerprint().to_string());
        desk.variables.extend(line.env.clone());
        if line.note == "no repository known" {
            desk.unset("PBS_REPOSITORY");
        }
        let argv: Vec<&str> = line.argv.iter().map(String::as_str).collect();
        let mut ran = desk.run(&argv).await;
        assert!(!ran.err.contains(self.secret.as_ref().unwrap()), "{argv:?} tells the secret");
        ran.err = ran.err.replace("farhold client", "proxmox-backup-client");
        ran
    }

    /// Makes the account of the recorded client; the recording had it from the beginning, but showed it nowhere.
    fn admit_client(&self) -> String {
        let authid: Authid = TOKEN.parse().unwrap();
        let user = UserEntry::User(UserConfig::new(USER.parse().unwrap()));
        let token = TokenConfig { tokenid: authid.clone(), comment: None, validity: Validity::default() };
        let add = |users: &mut Entries<_>| {
            users.insert(user)?;
            users.insert(UserEntry::Token(token))
        };
        self.app.settings.users().edit::<_, SettingsError>(None, add).unwrap();
        let grant = |acl: &mut farhold_settings::Acl| {
            for authid in [USER, TOKEN] {
                let path = vec!["datastore".to_owned(), "store1".to_owned()];
                let subject = AclSubject::Authid(authid.parse().unwrap());
                acl.set(AclEntry { path, subject, role: Role::DatastoreAdmin, is_propagated: true });
            }
            Ok(())
        };
        self.app.settings.acl().edit::<_, SettingsError>(None, grant).unwrap();
        self.app.access.create_token_secret(&authid).unwrap().expose().to_owned()
    }

    /// Lets our tasks stand for the recorded ones that the arguments name: the first of the same kind.
    fn bind_tasks(&mut self, line: &Recorded) {
        for text in line.argv.iter().filter(|text| text.starts_with("UPID:")) {
            let Some(tail) = kind_of_task(text) else { continue };
            let page = self.app.tasks.list(&TaskFilter { limit: 1000, ..TaskFilter::default() }, |_| true);
            // The newest come first.
            let found = page.unwrap().items.into_iter().map(|item| item.upid.to_string());
            if let Some(ours) = found.rev().find(|upid| kind_of_task(upid).as_ref() == Some(&tail)) {
                self.bindings.push((text.clone(), ours));
            }
        }
    }

    fn as_ours(&self, text: &str) -> String {
        self.bindings.iter().fold(text.to_owned(), |text, (recorded, ours)| text.replace(recorded, ours))
    }

    /// Returns what was printed with the recorded names in place of ours.
    pub fn as_recorded(&self, ran: &Ran) -> Ran {
        let all = |text: &str| {
            self.bindings.iter().fold(text.to_owned(), |text, (recorded, ours)| text.replace(ours, recorded))
        };
        Ran { code: ran.code, out: all(&ran.out), err: all(&ran.err) }
    }
}

/// Returns type and id of a task: what is behind the times in its UPID.
fn kind_of_task(upid: &str) -> Option<String> {
    let parts: Vec<&str> = upid.split(':').collect();
    Some(parts.get(6..)?.join(":")).filter(|tail| !tail.is_empty())
}
