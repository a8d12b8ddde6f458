//! Carrying out a request and printing its answer.
//!
//! Source: `docs/spec/cli.md` 1.3, 1.4, 2.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::caller::{ApiCall, ApiCaller, ApiFailure};
use crate::command::{Action, Output, Routed, TaskMode};
use crate::follow::{FollowError, Followed, Follower, Interrupts, OnInterrupt};
use crate::output::{OutputFormat, OutputSettings, json_text, object_text, result_text, table_text};
use crate::parse::{ParamProblem, problem_text};
use crate::plan::Request;
use crate::progress::{ApiProgress, ProgressLine};
use crate::{FAILURE, SUCCESS};

/// Largest file taken as a parameter, in bytes: a key file has less than one of 64 KiB, and a request body is limited.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Mode of a file for a secret: its owner alone. Source: `docs/spec/datastore-format.md` 25.
const SECRET_FILE_MODE: u32 = 0o600;

/// The outside of a running command.
pub struct Console<'a> {
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Standard error.
    pub err: &'a mut dyn Write,
    /// Formats and tables.
    pub settings: &'a OutputSettings,
    /// Presses of Ctrl-C.
    pub interrupts: Interrupts,
    /// Pause before a running task is asked for new lines.
    pub poll: Duration,
    /// Width of the terminal behind standard error; none if it is no terminal.
    pub progress_width: Option<usize>,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError {
    /// The call failed.
    #[error(transparent)]
    Api(#[from] ApiFailure),
    /// A task failed or could not be followed.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The answer is not of the kind that the command shows.
    #[error("unexpected answer from the server: {problem}")]
    Answer {
        /// What was expected.
        problem: &'static str,
    },
    /// Parameters that do not go together.
    #[error("{text}")]
    Parameter {
        /// Which, and why.
        text: String,
    },
    /// A file named on the command line cannot be read.
    #[error("cannot read '{path}'")]
    File {
        /// The file.
        path: String,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// A new file named on the command line cannot be written.
    #[error("cannot write '{path}'")]
    NewFile {
        /// The file.
        path: String,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The user pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The output cannot be written.
    #[error("cannot write the output")]
    Output(#[from] io::Error),
}

/// Carries out a request and returns the exit code of the program; errors have been printed then.
pub async fn execute(request: Request, caller: &dyn ApiCaller, console: &mut Console<'_>) -> u8 {
    match run(request, caller, console).await {
        Ok(exit) => exit,
        Err(error) => {
            // A terminal that is gone cannot be told so.
            let _ = write!(console.err, "{}", error_text(&error));
            FAILURE
        }
    }
}

/// Returns the error and, indented below it, what caused it, each line ending with a line break.
///
/// Source: `docs/spec/cli.md` 1.3.
pub fn error_text(error: &dyn std::error::Error) -> String {
    let mut text = format!("Error: {error}\n");
    let mut cause = error.source();
    if cause.is_some() {
        text.push_str("\nCaused by:\n");
    }
    while let Some(error) = cause {
        text.push_str(&format!("    {error}\n"));
        cause = error.source();
    }
    text
}

async fn run(request: Request, caller: &dyn ApiCaller, console: &mut Console<'_>) -> Result<u8, ExecuteError> {
    let Request { mut command, mut params, format } = request;
    let given = params.clone();
    for (name, value) in &command.fixed {
        params.insert((*name).to_owned(), value.clone());
    }
    if let Some(prepare) = command.prepare {
        prepare(&mut params);
    }
    for (option, param) in command.files {
        if let Some(path) = params.remove(*option) {
            let content = read_file(path.as_str().unwrap_or_default())?;
            // Editors end the last line of a file; no parameter that comes from one does.
            params.insert((*param).to_owned(), Value::from(content.trim_end_matches(['\n', '\r'])));
        }
    }
    let secret_file = match command.output {
        Output::Secret { file_option } => {
            params.remove(file_option).as_ref().and_then(Value::as_str).map(SecretFile::create).transpose()?
        }
        _ => None,
    };
    if let Some(route) = command.route {
        let problem = |(name, reason): (&str, &str)| ExecuteError::Parameter {
            text: problem_text(&[ParamProblem { name: name.to_owned(), reason: reason.to_owned() }]),
        };
        if let Some(Routed { method, path, output }) = route(&mut params).map_err(problem)? {
            command.action = Action::Call { method, path };
            command.output = output;
        }
    }
    let (method, path) = match &command.action {
        Action::Call { method, path } => (method.clone(), *path),
        Action::FollowTask => {
            return follow(&text_param(&params, "upid"), OnInterrupt::Leave, None, caller, console).await;
        }
        Action::Help | Action::Completion | Action::Own | Action::NotOffered => {
            return Err(ExecuteError::Answer { problem: "the command calls nothing" });
        }
    };
    let call = caller.call(ApiCall::new(method, path, params));
    let data = tokio::select! {
        biased;
        () = console.interrupts.reached(1) => return Err(ExecuteError::Interrupted),
        reply = call => reply?.data,
    };
    if let Some(tells) = command.tells {
        writeln!(console.err, "{}", tells(&given))?;
    }
    // The format is looked at only now: with an unknown name in the environment the work is done all the same.
    let format = match console.settings.format(format.as_deref()) {
        Ok(format) => format,
        Err(_) if !command.has_output_format() => OutputFormat::Text,
        Err(name) => {
            writeln!(console.err, "undefined output format '{name}'")?;
            return Ok(SUCCESS);
        }
    };
    if let Some(file) = secret_file {
        file.finish(&json_text(&data, OutputFormat::Json))?;
        return Ok(SUCCESS);
    }
    match command.output {
        Output::Task(mode) => task(&data, mode, format, caller, console).await,
        output => {
            let is_good = if let Output::Report { is_good, .. } = output { is_good(&data) } else { true };
            let text = answer_text(data, &given, &output, format, console.settings)?;
            console.out.write_all(text.as_bytes())?;
            console.out.flush()?;
            Ok(if is_good { SUCCESS } else { FAILURE })
        }
    }
}

/// A new file for a secret; it goes again if nothing was written.
struct SecretFile {
    path: String,
    file: File,
    is_written: bool,
}

impl SecretFile {
    fn create(path: &str) -> Result<Self, ExecuteError> {
        let file = OpenOptions::new().write(true).create_new(true).mode(SECRET_FILE_MODE).open(path);
        let file = file.map_err(|source| ExecuteError::NewFile { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file, is_written: false })
    }

    fn finish(mut self, text: &str) -> Result<(), ExecuteError> {
        // What is there of a secret is kept, whatever happens.
        self.is_written = true;
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_all());
        written.map_err(|source| ExecuteError::NewFile { path: self.path.clone(), source })
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        if !self.is_written {
            // The command has failed and says why.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Returns the content of a file named on the command line.
fn read_file(path: &str) -> Result<String, ExecuteError> {
    let failed = |source| ExecuteError::File { path: path.to_owned(), source };
    let mut content = String::new();
    let length =
        File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut content)).map_err(failed)?;
    if MAX_FILE_BYTES < length as u64 {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "too large")));
    }
    Ok(content)
}

fn text_param(params: &Map<String, Value>, name: &str) -> String {
    params.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Returns what a command prints that starts no task.
fn answer_text(
    data: Value,
    given: &Map<String, Value>,
    output: &Output,
    format: OutputFormat,
    settings: &OutputSettings,
) -> Result<String, ExecuteError> {
    let is_text = format == OutputFormat::Text;
    match output {
        Output::Plain => Ok(result_text(&data)),
        Output::Secret { .. } => Ok(json_text(&data, OutputFormat::Json)),
        Output::Text { render, has_formats } if is_text || !has_formats => Ok(render(&data)),
        Output::Report { render, .. } if is_text => Ok(render(&data)),
        Output::Table(spec) => {
            let data = if let Some(reshape) = spec.reshape { reshape(data, given) } else { data };
            if !is_text {
                return Ok(json_text(&data, format));
            }
            let rows = data.as_array().ok_or(ExecuteError::Answer { problem: "a list was expected" })?;
            Ok(table_text(rows, spec, settings))
        }
        Output::Object(spec) if is_text => {
            let object = data.as_object().ok_or(ExecuteError::Answer { problem: "an object was expected" })?;
            Ok(object_text(object, spec, settings))
        }
        Output::Text { .. } | Output::Report { .. } | Output::Object(_) | Output::Task(_) => {
            Ok(json_text(&data, format))
        }
    }
}

async fn task(
    data: &Value,
    mode: TaskMode,
    format: OutputFormat,
    caller: &dyn ApiCaller,
    console: &mut Console<'_>,
) -> Result<u8, ExecuteError> {
    let Some(upid) = data.as_str() else {
        // A task that had nothing to do is not started, and says so with null.
        return if data.is_null() {
            Ok(SUCCESS)
        } else {
            Err(ExecuteError::Answer { problem: "a task ID was expected" })
        };
    };
    if mode != TaskMode::Wait && format != OutputFormat::Text {
        console.out.write_all(json_text(data, format).as_bytes())?;
        console.out.flush()?;
        if !caller.runs_tasks_here() {
            return Ok(SUCCESS);
        }
    }
    if mode == TaskMode::Wait || format != OutputFormat::Text {
        return wait(upid, caller, console).await;
    }
    let progress = ApiProgress(caller);
    let progress = match console.progress_width {
        Some(width) if mode == TaskMode::FollowWithProgress => Some((&progress, ProgressLine::new(width))),
        _ => None,
    };
    follow(upid, OnInterrupt::AbortTask, progress, caller, console).await
}

async fn follow(
    upid: &str,
    on_interrupt: OnInterrupt,
    progress: Option<(&ApiProgress<'_>, ProgressLine)>,
    caller: &dyn ApiCaller,
    console: &mut Console<'_>,
) -> Result<u8, ExecuteError> {
    let mut follower = Follower {
        caller,
        out: console.out,
        err: console.err,
        interrupts: console.interrupts.clone(),
        poll: console.poll,
        progress: progress.map(|(source, line)| (source as _, line)),
    };
    match follower.follow(upid, on_interrupt).await? {
        Followed::TaskEnded | Followed::Left => Ok(SUCCESS),
    }
}

/// Waits for the end of a task that shows no log; its failure is the command's failure.
async fn wait(upid: &str, caller: &dyn ApiCaller, console: &mut Console<'_>) -> Result<u8, ExecuteError> {
    let mut follower = Follower {
        caller,
        out: console.out,
        err: console.err,
        interrupts: console.interrupts.clone(),
        poll: console.poll,
        progress: None,
    };
    match follower.wait(upid).await {
        Ok(_) => Ok(SUCCESS),
        Err(FollowError::TaskFailed { status }) => {
            writeln!(console.err, "TASK ERROR: {status}")?;
            Ok(FAILURE)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
#[path = "execute_tests.rs"]
mod tests;
