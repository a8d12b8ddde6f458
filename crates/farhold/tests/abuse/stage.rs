//! The server that is handled roughly, and what must be true of it in the end.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use farhold::system::{open_files_limit, raise_open_files_limit};
use farhold_types::Role;

use crate::site::Site;

pub const PASSWORD: &str = "a-long-honest-password";
const ADMIN_PASSWORD: &str = "a-long-admin-password";
pub const HONEST: &str = "honest@pbs";

/// Memory that the process may have had at most, besides what the allocator keeps. A quiet one has some 50 MiB in a debug
/// build; four thousand connections and 2 MiB for each of some dozens that send bodies come on top.
const MAX_MEMORY_KIB: u64 = 256 * 1024;

/// What the allocator may keep for each core: eight arenas, with the memory of one password hash each.
const MAX_KEPT_OF_CORE_KIB: u64 = 8 * 17 * 1024;

/// Limit of open files that the server is started with, as services are without further wishes.
const SOFT_FILES: u64 = 1024;

/// What no answer and no line of the log may hold, besides secrets.
const NEVER: [&str; 7] =
    ["panicked", "src/", ".rs:", "backtrace", "Os { code", "without a result", "without an answer"];

/// A server process with two stores to play with and one of the honest client.
pub struct Stage {
    pub address: SocketAddr,
    /// `Authorization` of an administrator.
    pub admin: String,
    /// `Authorization` of somebody who may look at one store.
    pub weak: String,
    /// `Authorization` of the honest client.
    pub honest: String,
    secrets: Vec<String>,
    process: Child,
    pub site: Site,
}

impl Stage {
    pub async fn start() -> Self {
        // Inherited by nobody: servers get less.
        raise_open_files_limit().unwrap();
        let site = Site::new();
        for store in ["honest", "fuzz1", "fuzz2"] {
            site.add_store(store);
        }
        site.store("fuzz1").create_namespace(&"ns1".parse().unwrap()).unwrap();
        let mut secrets = vec![PASSWORD.to_owned(), ADMIN_PASSWORD.to_owned()];
        let mut token = |userid: &str, password: &str, path: &str, role: Role| {
            site.add_user(userid, password);
            let tokenid = format!("{userid}!t");
            let secret = site.add_token(&tokenid);
            site.grant(path, userid, role);
            site.grant(path, &tokenid, role);
            let header = format!("PBSAPIToken={tokenid}:{secret}");
            secrets.push(secret);
            header
        };
        let admin = token("admin@pbs", ADMIN_PASSWORD, "/", Role::Admin);
        let weak = token("weak@pbs", "a-long-weak-password", "/datastore/fuzz1", Role::DatastoreReader);
        let honest = token(HONEST, PASSWORD, "/datastore/honest", Role::DatastoreReader);
        site.add_user("victim@pbs", "a-long-victim-password");
        let log = File::create(site.folder().join("server.log")).unwrap();
        let limited = format!("ulimit -Sn {SOFT_FILES} && exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &limited, env!("CARGO_BIN_EXE_farhold"), "--root"]).arg(site.root());
        command.args(["server", "--listen", "127.0.0.1:0"]).env("TZ", "UTC").env_remove("PBS_LOG");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = command.spawn().unwrap();
        let address = "127.0.0.1:0".parse().unwrap();
        let mut stage = Self { address, admin, weak, honest, secrets, process, site };
        stage.address = crate::patiently("start", stage.listening()).await;
        stage
    }

    async fn listening(&mut self) -> SocketAddr {
        loop {
            let log = self.log();
            assert!(self.process.try_wait().unwrap().is_none(), "{log}");
            if log.contains("(sha256): ") {
                let found = log.lines().find_map(|line| line.split_once("listening on "));
                return found.unwrap().1.trim().parse().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap()).into_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.site.folder().join("server.log")
    }

    /// Returns what of it should not be told, if a text tells it.
    pub fn leak(&self, text: &str) -> Option<String> {
        let is_told = |never: &&str| text.contains(*never);
        let folder = self.site.folder().to_str().unwrap();
        let all = self.secrets.iter().map(String::as_str).chain(NEVER).chain([folder]);
        all.into_iter().find(is_told).map(str::to_owned)
    }

    /// Returns the largest memory that the process ever had, in KiB.
    fn memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Asserts that the server lives, took no more memory than it may, and wrote nothing into its log that shows a fault.
    pub async fn finish(mut self, what: &str) {
        let (memory, log) = (self.memory_kib(), self.log());
        assert!(self.process.try_wait().unwrap().is_none(), "the server ended: {log}");
        let files = ["auth.log", "access.log"].map(|name| self.site.root().join("log/api").join(name));
        let logs = files.iter().filter_map(|file| fs::read_to_string(file).ok());
        for text in logs.chain([log]) {
            let fault = |line: &&str| {
                let is_secret = self.secrets.iter().any(|secret| line.contains(secret));
                let never = ["panicked", "without an answer", "without a result", "backtrace", "cannot accept"];
                is_secret || never.iter().any(|word| line.contains(word)) || line.contains(" ERROR ")
            };
            let faults: Vec<&str> = text.lines().filter(fault).take(5).collect();
            assert!(faults.is_empty(), "{what}: the log tells of {faults:#?}");
        }
        let cores = u64::try_from(std::thread::available_parallelism().map_or(1, std::num::NonZero::get)).unwrap();
        let most = MAX_MEMORY_KIB + cores * MAX_KEPT_OF_CORE_KIB;
        assert!(memory < most, "{what}: {memory} KiB, at most {most} are expected");
        eprintln!("{what}: at most {memory} KiB");
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns how many connections this program can hold beside what it needs, at most `wanted`.
pub fn affordable(wanted: usize) -> usize {
    wanted.min(usize::try_from(open_files_limit().saturating_sub(600)).unwrap_or(wanted) / 3)
}
