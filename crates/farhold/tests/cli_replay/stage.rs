//! The server of the session, and carrying out invocations as the programs do.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use farhold::compose::Parts;
use farhold::directories::Directories;
use farhold_api::endpoints;
use farhold_cli::command::{Command, Origin};
use farhold_cli::{Catalogue, Plan, SUCCESS, SocketCaller, complete, plan};
use farhold_storage::FakeDevices;
use farhold_tasks::TaskFilter;
use farhold_types::{Clock, Epoch};

use crate::content::unpack_golden;
use crate::desk::{Desk, TOKEN, open_to_all};
use crate::recorded::Recorded;
use crate::site::{Ran, Site, carry_out};
use crate::usage::Overview;

/// When the recorded session began: 2026-11-22T21:22:00Z.
const RECORDED_AT: i64 = 1_795_382_520;

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
    site: Site,
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
}

impl Stage {
    /// Starts a server without any configuration.
    pub async fn open() -> Self {
        let clock = Arc::new(SessionClock(AtomicI64::new(RECORDED_AT)));
        let devices = Arc::new(FakeDevices::default());
        let parts = |parts| Parts { devices: devices.clone(), node: "vm".to_owned(), clock: clock.clone(), ..parts };
        let mut site = Site::with(parts);
        let drive = site.folder().join("drive");
        fs::create_dir(&drive).unwrap();
        devices.plug(&DRIVE.parse().unwrap(), &drive);
        site.listen().await;
        let directories = Directories::below(&site.root());
        let caller = SocketCaller::find(&directories.socket()).await.unwrap().unwrap();
        let declarations: Vec<_> = endpoints::all().into_iter().map(|endpoint| endpoint.declaration).collect();
        let stores = site.folder().join("srv");
        fs::create_dir(&stores).unwrap();
        let bindings = [("/srv/pbs", &stores), ("/mnt/datastore", &directories.mounts)];
        let bindings = bindings.map(|(recorded, ours)| (recorded.to_owned(), ours.to_str().unwrap().to_owned())).into();
        let catalogue = Catalogue::new(&declarations, &[]);
        let words = |command: &Command| command.words.join(" ");
        let offered = catalogue.offered().map(|entry| &entry.command);
        let extensions = offered.filter(|command| command.origin == Origin::Extension).map(words).collect();
        let not_offered = catalogue.not_offered().map(words).collect();
        let secret = None;
        Self { site, catalogue, caller, bindings, devices, clock, secret, extensions, not_offered }
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
        while !self.site.app.tasks.running_here().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if line.starts_with(&["datastore", "create", "store1"]) {
            // As the recording did: the store gets its content right after its creation.
            let store = self.site.folder().join("srv/store1");
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
        carry_out(request, &self.caller, &line.env).await
    }

    async fn run_client(&mut self, line: &Recorded) -> Ran {
        // The recording had this account from the beginning, but showed it nowhere.
        let secret = self.secret.get_or_insert_with(|| open_to_all(&self.site));
        let mut desk = Desk::at(&self.site, TOKEN, secret);
        desk.clock = self.clock.clone();
        desk.variables.extend(line.env.clone());
        if line.note == "no repository known" {
            desk.unset("PBS_REPOSITORY");
        }
        let argv: Vec<&str> = line.argv.iter().map(String::as_str).collect();
        let mut ran = desk.run(&argv).await;
        assert!(!ran.err.contains(secret.as_str()), "{argv:?} tells the secret");
        ran.err = ran.err.replace("farhold client", "proxmox-backup-client");
        ran
    }

    /// Lets our tasks stand for the recorded ones that the arguments name: the first of the same kind.
    fn bind_tasks(&mut self, line: &Recorded) {
        for text in line.argv.iter().filter(|text| text.starts_with("UPID:")) {
            let Some(tail) = kind_of_task(text) else { continue };
            let page = self.site.app.tasks.list(&TaskFilter { limit: 1000, ..TaskFilter::default() }, |_| true);
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
