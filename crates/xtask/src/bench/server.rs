//! A server under measurement: its process, its commands, and what the kernel says about it.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Longest wait for a server to listen: at its first start it makes an RSA key.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Longest wait for a server to end after it was asked to.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// Longest wait for a command, a pull included.
const COMMAND_LIMIT: Duration = Duration::from_secs(300);
/// Pause between two looks at a process or a log; adds at most this much to a measured time.
const POLL: Duration = Duration::from_millis(5);
/// Looks at the log between two looks at the connections.
const POLLS_PER_LOOK: usize = 8;
/// Levels of a server's own log.
const LOG_LEVELS: &str = "info,farhold_api=debug";
/// What begins the types of tasks that are timed, as it stands in their names; others run beside them.
const TIMED_TASKS: [&str; 3] = [":sync", ":verify", ":garbage_collection"];
/// Unit of CPU times in `/proc`. Source: `proc(5)`; 100 on every architecture we run on.
const TICKS_PER_SECOND: f64 = 100.0;
/// State of an established connection in `/proc/net/tcp`.
const ESTABLISHED: &str = "01";

/// Where a server has its files, and how it is run.
#[derive(Debug)]
pub(super) struct Installation {
    program: PathBuf,
    root: PathBuf,
    address: SocketAddr,
}

/// A server that runs; dropping it kills it.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
}

/// What a process has used.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    pub(super) cpu_seconds: f64,
    pub(super) peak_bytes: u64,
    /// Bytes that the process read from files and sockets.
    pub(super) read_bytes: u64,
}

impl Installation {
    /// Returns an installation below `root` with a free port.
    pub(super) fn new(program: &Path, root: PathBuf) -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        fs::create_dir_all(&root)?;
        Ok(Self { program: program.to_owned(), root, address })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts the server and waits until it listens. Its log, which names every request, goes to a file beside its root.
    pub(super) fn start(&self) -> anyhow::Result<Server> {
        let log = self.log_path();
        let child = self
            .command(&["server", "--listen", &self.address.to_string()])
            .env("PBS_LOG", LOG_LEVELS)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::options().create(true).append(true).open(&log)?)
            .spawn()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        let mut server = Server { child };
        let begin = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("the server ended with {status}: {}", fs::read_to_string(&log).unwrap_or_default());
            }
            if START_LIMIT < begin.elapsed() {
                bail!("the server does not listen after {} s", START_LIMIT.as_secs());
            }
            std::thread::sleep(POLL);
        }
        Ok(server)
    }

    /// Carries out a command and returns what it printed.
    pub(super) fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let (out, err) = (self.root.with_extension("out"), self.root.with_extension("err"));
        let mut child = Server {
            child: self
                .command(arguments)
                .stdin(Stdio::null())
                .stdout(File::create(&out)?)
                .stderr(File::create(&err)?)
                .spawn()?,
        };
        let status = child.wait(COMMAND_LIMIT)?.with_context(|| format!("{} does not end", arguments.join(" ")))?;
        let text = fs::read_to_string(&out)?;
        if !status.success() {
            bail!("{} ended with {status}: {text}{}", arguments.join(" "), fs::read_to_string(&err)?);
        }
        Ok(text)
    }

    /// Carries out a command with more in its environment, and returns what its process used.
    pub(super) fn run_measured(&self, arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Usage> {
        let (out, err) = (self.root.with_extension("out"), self.root.with_extension("err"));
        let child = Command::new(&self.program)
            .args(arguments)
            .envs(environment.iter().copied())
            // The client keeps its own files elsewhere than its user's.
            .env("XDG_CONFIG_HOME", &self.root)
            .env("XDG_CACHE_HOME", &self.root)
            .env("XDG_RUNTIME_DIR", &self.root)
            .stdin(Stdio::null())
            .stdout(File::create(&out)?)
            .stderr(File::create(&err)?)
            .spawn()?;
        let mut client = Server { child };
        let (begin, mut usage) = (Instant::now(), Usage::default());
        loop {
            // Of a process that has ended nothing can be read; what was read last counts.
            usage = client.usage().unwrap_or(usage);
            if let Some(status) = client.child.try_wait()? {
                ensure!(status.success(), "{} ended with {status}: {}", arguments.join(" "), fs::read_to_string(&err)?);
                return Ok(usage);
            }
            ensure!(begin.elapsed() < COMMAND_LIMIT, "{} does not end", arguments.join(" "));
            std::thread::sleep(POLL);
        }
    }

    /// Runs a command that follows a task, which must end well, and returns the time until that is in the task's log.
    ///
    /// The command itself looks at the log a few times a second only and so ends later. `look` is called meanwhile.
    pub(super) fn time_task(&self, arguments: &[&str], mut look: impl FnMut()) -> anyhow::Result<Duration> {
        let known = self.task_logs()?;
        let begin = Instant::now();
        let mut polls = 0;
        std::thread::scope(|scope| {
            let command = scope.spawn(|| self.run(arguments));
            let mut log: Option<PathBuf> = None;
            let mut elapsed = None;
            while !command.is_finished() && elapsed.is_none() {
                std::thread::sleep(POLL);
                polls += 1;
                if polls % POLLS_PER_LOOK == 0 {
                    look();
                }
                match &log {
                    None => log = self.task_logs()?.into_iter().find(|path| !known.contains(path)),
                    Some(path) => {
                        let text = fs::read_to_string(path).unwrap_or_default();
                        elapsed =
                            text.lines().next_back().filter(|line| line.contains(": TASK ")).map(|_| begin.elapsed());
                    }
                }
            }
            let output = command.join().map_err(|_| anyhow::anyhow!("a thread crashed"))??;
            ensure!(output.contains("TASK OK"), "{} failed: {output}", arguments.join(" "));
            Ok(elapsed.unwrap_or_else(|| begin.elapsed()))
        })
    }

    /// Logs of all tasks that may be timed. Source: `docs/spec/schedules-and-tasks.md`, file layout.
    fn task_logs(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut logs = Vec::new();
        let folder = self.root.join("log").join("tasks");
        for entry in fs::read_dir(&folder).with_context(|| format!("no task logs in {}", folder.display()))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                logs.extend(fs::read_dir(entry.path())?.filter_map(|log| Some(log.ok()?.path())));
            }
        }
        let is_timed = |name: &str| TIMED_TASKS.iter().any(|kind| name.contains(kind));
        logs.retain(|log| log.file_name().is_some_and(|name| is_timed(&name.to_string_lossy())));
        Ok(logs)
    }

    fn log_path(&self) -> PathBuf {
        self.root.with_extension("log")
    }

    /// Returns how many requests the server has answered over all its starts.
    pub(super) fn requests(&self) -> anyhow::Result<usize> {
        let log = fs::read_to_string(self.log_path())?;
        Ok(log.lines().filter(|line| line.contains(" DEBUG request ")).count())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.root).args(arguments).env_remove("PBS_LOG");
        command
    }
}

impl Server {
    /// Returns what the process has used so far. Source: `proc(5)`.
    pub(super) fn usage(&self) -> anyhow::Result<Usage> {
        let folder = PathBuf::from(format!("/proc/{}", self.child.id()));
        let status = fs::read_to_string(folder.join("status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        let kib: u64 = peak.trim().trim_end_matches(" kB").parse()?;
        let stat = fs::read_to_string(folder.join("stat"))?;
        // Fields 14 and 15, counted from the end of the name, which may hold anything.
        let (_, fields) = stat.rsplit_once(')').context("unknown form of /proc/pid/stat")?;
        let ticks: Vec<f64> = fields.split_whitespace().skip(11).take(2).filter_map(|f| f.parse().ok()).collect();
        let io = fs::read_to_string(folder.join("io"))?;
        let read = io.lines().find_map(|line| line.strip_prefix("rchar: ")).context("no rchar")?;
        let cpu_seconds = ticks.iter().sum::<f64>() / TICKS_PER_SECOND;
        Ok(Usage { cpu_seconds, peak_bytes: kib * 1024, read_bytes: read.parse()? })
    }

    /// Asks the server to end, and waits for it.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
        self.wait(STOP_LIMIT)?.context("the server does not end")?;
        Ok(())
    }

    fn wait(&mut self, limit: Duration) -> anyhow::Result<Option<std::process::ExitStatus>> {
        let begin = Instant::now();
        while begin.elapsed() < limit {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            std::thread::sleep(POLL);
        }
        Ok(None)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU seconds that all processes of the machine have used. Source: `proc(5)`, `/proc/stat`.
pub(super) fn machine_cpu_seconds() -> anyhow::Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let fields =
        stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).context("unknown form of /proc/stat")?;
    let ticks: Vec<f64> = fields.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq: all but the two idle ones.
    let busy: f64 = ticks.iter().take(7).enumerate().filter(|(i, _)| *i != 3 && *i != 4).map(|(_, ticks)| ticks).sum();
    Ok(busy / TICKS_PER_SECOND)
}

/// Connections of this machine to a local port that are open now. Source: `proc(5)`, `/proc/net/tcp`.
pub(super) fn connections_to(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let peer = format!(":{port:04X}");
    let is_one = |line: &&str| {
        let mut fields = line.split_whitespace().skip(2);
        fields.next().is_some_and(|remote| remote.ends_with(&peer)) && fields.next() == Some(ESTABLISHED)
    };
    table.lines().filter(is_one).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_of_a_process_can_be_read_and_a_dropped_one_is_gone() {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let server = Server { child };
        let usage = server.usage().unwrap();
        assert!(0 < usage.peak_bytes);
        let folder = PathBuf::from(format!("/proc/{}", server.child.id()));
        drop(server);
        assert!(!folder.exists());
        assert!(0.0 < machine_cpu_seconds().unwrap());
    }

    #[test]
    fn open_connections_are_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(connections_to(address.port()), 0);
        let _streams = [TcpStream::connect(address).unwrap(), TcpStream::connect(address).unwrap()];
        assert_eq!(connections_to(address.port()), 2);
    }
}
