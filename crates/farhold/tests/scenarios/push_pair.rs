//! Two servers with a relay between them, of which one pushes to the other.

use std::path::PathBuf;
use std::time::Duration;

use farhold_datastore::Datastore;
use farhold_testkit::relay::{Relay, RelayOptions, start};
use farhold_types::Role;

use crate::process::Process;
use crate::site::{Ran, Site};

/// The account on the server that is pushed to.
pub const ACCOUNT: &str = "sync@pbs!t1";

/// The user of [`ACCOUNT`].
pub const USER: &str = "sync@pbs";

/// `near` has the store `local`, the remote `pbs2` and the job `push`; `far` serves the empty store `tank`.
pub struct PushPair {
    pub near: Site,
    pub far: Site,
    pub relay: Relay,
    /// The far server, if it is a process of its own.
    pub process: Option<Process>,
}

impl PushPair {
    /// Both servers in this process; the account may do everything with what it pushes.
    pub async fn new(fill: impl FnOnce(&Datastore)) -> Self {
        Self::with_role(Role::DatastoreAdmin, fill).await
    }

    /// Both servers in this process; the account has this role on the far store.
    pub async fn with_role(role: Role, fill: impl FnOnce(&Datastore)) -> Self {
        Self::prepare(Site::new(), role, fill).await.listening().await
    }

    /// The far server tells another version than it has.
    pub async fn with_version(version: &'static str, release: &'static str, fill: impl FnOnce(&Datastore)) -> Self {
        let far = Site::telling_version(version, release);
        Self::prepare(far, Role::DatastoreAdmin, fill).await.listening().await
    }

    async fn listening(mut self) -> Self {
        self.far.listen().await;
        let (address, fingerprint) = (format!("127.0.0.1:{}", self.far.port()), self.far.fingerprint());
        self.connect(&address, &fingerprint).await;
        self
    }

    /// The far server is a process that can be killed.
    pub async fn with_process(fill: impl FnOnce(&Datastore)) -> Self {
        let mut pair = Self::prepare(Site::new(), Role::DatastoreAdmin, fill).await;
        let (process, address, fingerprint) = Process::server(&pair.far.root());
        pair.process = Some(process);
        pair.connect(&address, &fingerprint).await;
        pair
    }

    async fn prepare(far: Site, role: Role, fill: impl FnOnce(&Datastore)) -> Self {
        far.add_store("tank");
        far.add_user(USER, "a password");
        let secret = far.add_token(ACCOUNT);
        for authid in [USER, ACCOUNT] {
            far.grant("/datastore/tank", authid, role);
        }
        let (listen, nowhere) = ("127.0.0.1:0".parse().unwrap(), "127.0.0.1:1".parse().unwrap());
        let options = RelayOptions { listen, target: nowhere, one_way_delay: Duration::ZERO, window_bytes: 1 << 20 };
        let relay = start(options).await.unwrap();
        let near = Site::new();
        near.add_store("local");
        fill(&near.store("local"));
        let pair = Self { near, far, relay, process: None };
        pair.add_remote("pbs2", ACCOUNT, &secret, &["00"; 32].join(":")).await;
        pair.add_job("push", "pbs2", &[]).await;
        pair
    }

    /// Adds a remote that leads through the relay.
    pub async fn add_remote(&self, name: &str, authid: &str, secret: &str, fingerprint: &str) {
        let port = self.relay.address().port().to_string();
        let create = ["remote", "create", name, "--host", "127.0.0.1", "--port", &port, "--auth-id", authid];
        self.near.run(&[&create[..], &["--password", secret, "--fingerprint", fingerprint]].concat()).await.ok();
    }

    /// Adds a job that pushes `local` to `tank` of a remote.
    pub async fn add_job(&self, id: &str, remote: &str, more: &[&str]) {
        let create = ["sync-job", "create", id, "--sync-direction", "push", "--remote", remote];
        let stores = ["--remote-store", "tank", "--store", "local"];
        self.near.run(&[&create[..], &stores[..], more].concat()).await.ok();
    }

    async fn connect(&self, address: &str, fingerprint: &str) {
        self.relay.set_target(address.parse().unwrap());
        self.near.run(&["remote", "update", "pbs2", "--fingerprint", fingerprint]).await.ok();
    }

    /// Changes the job.
    pub async fn update(&self, options: &[&str]) {
        self.near.run(&[&["sync-job", "update", "push"], options].concat()).await.ok();
    }

    /// Runs the job to its end.
    pub async fn push(&self) -> Ran {
        self.near.run(&["sync-job", "run", "push"]).await
    }

    /// Runs the job, which must end without an error, and returns the whole log.
    pub async fn pushed(&self) -> String {
        let ran = self.push().await;
        assert!(!ran.out.contains("TASK ERROR") && !ran.err.contains("TASK ERROR"), "{}{}", ran.out, ran.err);
        format!("{}{}", ran.out, ran.err)
    }

    /// Kills the far server's process at once.
    pub fn kill_far(&mut self) {
        self.process.take().unwrap().kill();
    }

    /// Starts the far server's process again; it comes back on another port, behind the same address of the relay.
    pub fn start_far(&mut self) {
        let (process, address, _) = Process::server(&self.far.root());
        self.process = Some(process);
        self.relay.set_target(address.parse().unwrap());
    }

    pub fn near_store(&self) -> PathBuf {
        self.near.store_path("local")
    }

    pub fn far_store(&self) -> PathBuf {
        self.far.store_path("tank")
    }
}
