//! The program: arguments, environment and terminal come in here and nowhere else.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use farhold::compose::{Composed, Parts, compose};
use farhold::directories::{Directories, Surroundings};
use farhold::log::LogFormat;
use farhold::{client_program, daemon, demo, log};
use farhold_api::endpoints;
use farhold_cli::complete::COMPLETE_WORD;
use farhold_cli::{
    ApiCaller, Catalogue, Console, FAILURE, InProcessCaller, Interrupts, OutputSettings, PassThrough, Plan, Request,
    SocketCaller, execute, plan,
};
use farhold_jobs::ServerLog;
use farhold_types::Authid;
use jiff::tz::TimeZone;

/// Pause before a running task is asked for new log lines. Shorter than the reference's second, since asking is cheap
/// on this host.
const TASK_POLL: Duration = Duration::from_millis(200);

/// Time that blocking work gets to end when the program ends.
const RUNTIME_STOP: Duration = Duration::from_secs(5);

/// Words that this program handles itself.
const OWN_WORDS: &[PassThrough] = &[
    PassThrough {
        word: "server",
        usage: "[--listen ADDRESS:PORT]... [--log-format text|json]",
        summary: "Run the server until it is told to end; without --listen on port 8007 of all addresses.",
        explains_itself: false,
    },
    PassThrough {
        word: "demo",
        usage: "[--keep]",
        summary: "Show a sync between two servers of its own in a temporary directory; --keep keeps it.",
        explains_itself: false,
    },
    PassThrough {
        word: client_program::WORD,
        usage: "COMMAND...",
        summary: "Carry out a command of the backup client; see farhold-client(1).",
        explains_itself: true,
    },
];

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let program = arguments.next().unwrap_or_default();
    let program = program.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("farhold").to_owned();
    match split_root(arguments.collect()).and_then(|(root, rest)| run(&program, root, rest)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::from(FAILURE)
        }
    }
}

/// Takes `--root DIR` off the front of the arguments.
fn split_root(mut arguments: Vec<String>) -> anyhow::Result<(Option<PathBuf>, Vec<String>)> {
    let Some(first) = arguments.first() else { return Ok((None, arguments)) };
    if let Some(root) = first.strip_prefix("--root=") {
        let root = PathBuf::from(root);
        return Ok((Some(root), arguments.split_off(1)));
    }
    if first == "--root" {
        let root = arguments.get(1).context("--root needs a folder")?.into();
        return Ok((Some(root), arguments.split_off(2)));
    }
    Ok((None, arguments))
}

fn run(program: &str, root: Option<PathBuf>, arguments: Vec<String>) -> anyhow::Result<u8> {
    let is_server = arguments.first().is_some_and(|word| word == "server");
    let server_log = Arc::new(ServerLog::default());
    let level = std::env::var("PBS_LOG").ok();
    let format = std::env::var("FARHOLD_LOG_FORMAT").ok();
    let format = if is_server { daemon::log_format(&arguments, format.as_deref()) } else { LogFormat::default() };
    log::start(level.as_deref(), if is_server { "info" } else { "warn" }, format, Arc::clone(&server_log));
    if program == client_program::REFERENCE_NAME {
        return block_on(run_client(program, arguments));
    }
    let declarations: Vec<_> = endpoints::all().into_iter().map(|endpoint| endpoint.declaration).collect();
    let catalogue = Catalogue::new(&declarations, OWN_WORDS);
    match plan(&catalogue, program, &arguments) {
        Plan::Print(printed) => {
            std::io::stdout().write_all(printed.out.as_bytes())?;
            std::io::stderr().write_all(printed.err.as_bytes())?;
            Ok(printed.exit)
        }
        Plan::PassThrough { word: "server", arguments } => {
            let listen = daemon::parse_listen(&arguments)?;
            let composed = compose(Parts { server_log, ..Parts::of_this_host(directories(root)?) })?;
            block_on(async move { daemon::run(composed, listen).await.map(|()| 0) })
        }
        Plan::PassThrough { word: client_program::WORD, arguments } => {
            let program = format!("{program} {}", client_program::WORD);
            block_on(async move { Ok(client_program::run(program, arguments).await) })
        }
        Plan::PassThrough { arguments, .. } => block_on(demo::run(arguments, terminal_width(&std::io::stderr()))),
        Plan::Complete => block_on(async { complete(&catalogue, root).await }).or(Ok(0)),
        Plan::Run(request) => block_on(async { carry_out(*request, root).await }),
    }
}

/// Is the backup client: the program is called by the name that the client has at the reference.
async fn run_client(program: &str, arguments: Vec<String>) -> anyhow::Result<u8> {
    if arguments.first().is_some_and(|word| word == COMPLETE_WORD) {
        if let Some((line, point)) = line_to_complete() {
            print_candidates(&client_program::candidates_by_name(&line, point).await);
        }
        return Ok(0);
    }
    Ok(client_program::run(program.to_owned(), arguments).await)
}

/// Carries a command out, through the daemon if one runs here, otherwise in this process.
async fn carry_out(request: Request, root: Option<PathBuf>) -> anyhow::Result<u8> {
    let stdout_width = terminal_width(&std::io::stdout());
    let settings = OutputSettings::from_environment(|name| std::env::var(name).ok(), stdout_width, TimeZone::system());
    let mut console = Console {
        out: &mut std::io::stdout(),
        err: &mut std::io::stderr(),
        settings: &settings,
        interrupts: Interrupts::from_signals()?,
        poll: TASK_POLL,
        progress_width: terminal_width(&std::io::stderr()),
    };
    let directories = directories(root)?;
    if let Some(daemon) = SocketCaller::find(&directories.socket()).await? {
        return Ok(execute(request, &daemon, &mut console).await);
    }
    let composed = tokio::task::spawn_blocking(move || compose(Parts::of_this_host(directories))).await??;
    let caller = in_process(&composed);
    let code = execute(request, &caller, &mut console).await;
    // A command may return before its task ends, for example with JSON output; the task must not die with it.
    while !composed.app.tasks.running_here().is_empty() {
        tokio::time::sleep(TASK_POLL).await;
    }
    Ok(code)
}

fn in_process(composed: &Composed) -> InProcessCaller<farhold_jobs::App> {
    InProcessCaller::new(Arc::clone(&composed.router), Authid::root())
}

/// Returns the line that the shell wants completed and the characters in front of its cursor; none if it says nothing.
fn line_to_complete() -> Option<(String, usize)> {
    let line = std::env::var("COMP_LINE").ok()?;
    let point = std::env::var("COMP_POINT").ok().and_then(|point| point.parse().ok()).unwrap_or(line.len());
    Some((line, point))
}

fn print_candidates(candidates: &[String]) {
    candidates.iter().for_each(|candidate| println!("{candidate}"));
}

/// Answers the shell; whatever goes wrong, there is nothing to complete then.
async fn complete(catalogue: &Catalogue, root: Option<PathBuf>) -> anyhow::Result<u8> {
    let Some((line, point)) = line_to_complete() else { return Ok(0) };
    if let Some(candidates) = client_program::candidates(&line, point).await {
        print_candidates(&candidates);
        return Ok(0);
    }
    // Names of configured things need a server that is set up already; completing must not set one up.
    let directories = directories(root)?;
    let caller: Option<Box<dyn ApiCaller>> = match SocketCaller::find(&directories.socket()).await {
        Ok(Some(daemon)) => Some(Box::new(daemon)),
        _ if directories.etc.exists() => Some(Box::new(in_process(&compose(Parts::of_this_host(directories))?))),
        _ => None,
    };
    print_candidates(&farhold_cli::complete::complete(catalogue, &line, point, caller.as_deref()).await);
    Ok(0)
}

fn directories(root: Option<PathBuf>) -> anyhow::Result<Directories> {
    let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let root = root.or_else(|| path("FARHOLD_ROOT"));
    let root = root.map(std::path::absolute).transpose().context("the folder given as root cannot be used")?;
    let surroundings = Surroundings {
        root,
        is_root: nix::unistd::geteuid().is_root(),
        xdg_state_home: path("XDG_STATE_HOME"),
        home: path("HOME"),
    };
    Directories::choose(&surroundings).context("no folder for the server's files (hint: give one with --root)")
}

fn block_on<F: Future<Output = anyhow::Result<u8>>>(work: F) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(RUNTIME_STOP);
    result
}

/// Returns the width of the terminal that `stream` is, or `None` if it is none.
fn terminal_width(stream: &(impl IsTerminal + std::os::fd::AsFd)) -> Option<usize> {
    farhold::terminal::width(stream)
}
