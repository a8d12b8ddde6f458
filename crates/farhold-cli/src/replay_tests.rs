//! Replays the recorded invocations of the reference's program.
//!
//! Every line of `tests/golden/cli.jsonl` that belongs to this program is fed through the whole way from arguments to
//! printed text. Behind it stands a server of plain JSON objects that keeps what was created; what only a real server
//! can find out (names that exist, settings that conflict, results of tasks) is taken from the recording. Compared
//! are the exit code, stdout to the letter, and of stderr the problems found and the usage text.

use std::collections::BTreeMap;
use std::time::Duration;

use farhold_api::declare::Declaration;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::complete::complete;
use crate::execute::{Console, execute};
use crate::fixture::{FakeServer, FakeTask, SCAN, block_on, endpoints};
use crate::follow::Interrupts;
use crate::output::OutputSettings;
use crate::plan::{Plan, Printed, plan};
use crate::{Catalogue, FAILURE};

/// How the reference shows `::1`; we show addresses readably.
const NO_V6: &str = "IP:[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]";

#[derive(Deserialize)]
struct Recorded {
    program: String,
    argv: Vec<String>,
    #[serde(default)]
    env: Option<BTreeMap<String, String>>,
    exit: u8,
    stdout: String,
    stderr: String,
}

impl Recorded {
    fn starts_with(&self, words: &[&str]) -> bool {
        words.iter().zip(&self.argv).filter(|(word, argument)| word == argument).count() == words.len()
    }

    fn has_usage(&self) -> bool {
        self.stderr.contains("\nUsage:")
    }

    /// Why the line cannot be replayed, or must differ; none if it is replayed.
    fn reason_to_skip(&self) -> Option<&'static str> {
        let ours: &[(&[&str], &str)] = &[
            (&["datastore", "mount"], "removable datastores are not offered"),
            (&["datastore", "unmount"], "removable datastores are not offered"),
            (&["datastore", "uuid-mount"], "removable datastores are not offered"),
            (&["datastore", "show", "usb1", "--output-format"], "removable datastores are not offered"),
            (&["help", "datastore"], "removable datastores are not offered"),
            (&["versions", "--verbose"], "the packages of that machine are not ours"),
            (&["--help"], "extension: --help is help"),
            (&["remote", "--help"], "extension: --help is help"),
            (&["remote", "list", "--help"], "extension: --help is help"),
            (&["remote", "list", "--"], "choice: -- is dropped"),
            (&["remote", "show", "--"], "choice: -- is dropped"),
        ];
        if !self.program.ends_with("manager") {
            return Some("the backup client is another program");
        }
        if self.argv.is_empty() || self.argv == ["help"] {
            return Some("lists all commands of the reference");
        }
        if self.argv.iter().any(|argument| argument == "--userid") {
            return Some("extension: --userid is a synonym");
        }
        if self.stderr.contains("unable to parse calendar event")
            || self.stderr.contains("unable to parse daily duration")
        {
            return Some("calendar events and windows are checked by the server");
        }
        ours.iter().find(|(words, _)| self.starts_with(words)).map(|(_, reason)| *reason)
    }
}

/// The endpoints behind the commands of the reference.
fn recorded_endpoints() -> Vec<Declaration> {
    endpoints()
        .into_iter()
        .filter(|endpoint| endpoint.path != SCAN && !endpoint.path.contains("encryption-keys"))
        .collect()
}

fn recorded() -> Vec<Recorded> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/cli.jsonl");
    let text = std::fs::read_to_string(path).expect("golden file");
    text.lines().map(|line| serde_json::from_str(line).expect("one invocation per line")).collect()
}

/// Descriptions, which the recording leaves out, become `<text>`; the type text of group filters is our own.
fn without_descriptions(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut follows_usage_line = false;
    for line in text.lines() {
        let is_description = line.starts_with("             ");
        if is_description {
            if lines.last().is_none_or(|last| last != "             <text>") {
                lines.push("             <text>".to_owned());
            }
            continue;
        }
        let words = line.split_whitespace().collect::<Vec<_>>();
        if follows_usage_line && !line.is_empty() {
            // The command's own description: neither a parameter nor a heading.
            let is_text = !line.starts_with(' ') && line != "Optional parameters:";
            lines.push(if is_text { "<text>".to_owned() } else { line.to_owned() });
            follows_usage_line = false;
            continue;
        }
        match words.as_slice() {
            ["--group-filter", ..] => lines.push(" --group-filter <filter>".to_owned()),
            [option, _, ..]
                if option.starts_with("--notif")
                    || *option == "--notify"
                    || *option == "--tuning"
                    || *option == "--maintenance-mode" =>
            {
                lines.push(format!(" {option} <property string>"));
            }
            _ => lines.push(line.trim_end().to_owned()),
        }
        follows_usage_line |= line.starts_with("Usage: ") || line.ends_with("[OPTIONS]");
    }
    // A description of several paragraphs counts once.
    lines.join("\n").trim_end().replace("<text>\n\n             <text>", "<text>")
}

/// Returns the names of the parameters that a message complains about, in order.
fn problem_names(stderr: &str) -> Vec<String> {
    let message = stderr.split("\nUsage:").next().unwrap_or_default();
    let of_line = |line: &str| {
        let rest = line
            .strip_prefix("- '")
            .or_else(|| line.split_once("parameter verification failed - '").map(|(_, rest)| rest))?;
        Some(rest.split_once("':")?.0.to_owned())
    };
    message.lines().filter_map(of_line).collect()
}

/// Returns the answer of the server that must stand behind a recorded text, where it cannot be kept from earlier
/// lines, with the path that gives it.
fn rebuilt_answer(line: &Recorded) -> Option<(String, Value)> {
    let words: Vec<&str> = line.argv.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["task", "list", ..] => {
            let mut rows = rows_of(&line.stdout);
            // A server lists the newest first; the order of equal times must survive sorting.
            rows.sort_by_key(|row| std::cmp::Reverse(row["starttime"].as_i64()));
            let rows =
                if line.stdout.starts_with('[') { serde_json::from_str(&line.stdout).ok()? } else { Value::from(rows) };
            Some(("/nodes/localhost/tasks".to_owned(), rows))
        }
        ["garbage-collection", "list"] => Some(("/admin/gc".to_owned(), Value::from(rows_of(&line.stdout)))),
        ["garbage-collection", "status", store] => {
            Some((format!("/admin/datastore/{store}/gc"), object_of(&line.stdout)))
        }
        ["traffic-control", "traffic"] => {
            Some(("/admin/traffic-control".to_owned(), Value::from(rows_of(&line.stdout))))
        }
        ["node", "show"] => Some(("/nodes/localhost/config".to_owned(), object_of(&line.stdout))),
        ["cert", "info"] => {
            let field =
                |label: &str| line.stdout.lines().find_map(|text| text.trim().strip_prefix(label)).map(Value::from);
            Some((
                "/nodes/localhost/certificates/info".to_owned(),
                json!([{
                    "filename": "proxy.pem",
                    "subject": field("Subject: "),
                    "issuer": field("Issuer: "),
                    "san": ["127.0.0.1", "::1", "localhost", "DNS:vm"],
                    // Nov 22 21:22:16 2026 and Mar 25 21:22:16 3026.
                    "notbefore": 1_795_382_536_i64,
                    "notafter": 33_331_382_536_i64,
                    "fingerprint": field("Fingerprint (sha256): "),
                    "public-key-type": field("Public key type: "),
                    "public-key-bits": 4096,
                }]),
            ))
        }
        _ => None,
    }
}

fn cells_of(line: &str) -> Vec<&str> {
    line.trim_matches('│').split('│').map(str::trim).collect()
}

/// Returns the property values behind the rows of a recorded table.
fn rows_of(table: &str) -> Vec<Value> {
    let mut lines = table.lines().filter(|line| line.starts_with('│')).map(cells_of);
    let names = lines.next().unwrap_or_default();
    let row = |cells: Vec<&str>| -> Value {
        let cells = names.iter().zip(cells).filter(|(_, text)| !text.is_empty());
        cells.map(|(name, text)| ((*name).to_owned(), raw_value(text))).collect::<serde_json::Map<_, _>>().into()
    };
    lines.map(row).collect()
}

fn object_of(table: &str) -> Value {
    let cells = table.lines().filter(|line| line.starts_with('│')).map(cells_of).skip(1);
    cells.map(|cells| (cells[0].to_owned(), raw_value(cells[1]))).collect::<serde_json::Map<_, _>>().into()
}

/// Returns what a rendered cell was made from: a time, a size of nothing, some seconds, a number, or its own text.
fn raw_value(text: &str) -> Value {
    if let Ok(time) = jiff::civil::DateTime::strptime("%a %b %e %H:%M:%S %Y", text) {
        return Value::from(time.to_zoned(jiff::tz::TimeZone::UTC).expect("a time").timestamp().as_second());
    }
    if text == "0 B" {
        return Value::from(0);
    }
    if let Some(seconds) = text.strip_suffix('s').and_then(|number| number.parse::<i64>().ok()) {
        return Value::from(seconds);
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

struct Replay {
    catalogue: Catalogue,
    server: FakeServer,
}

impl Replay {
    fn run(&self, line: &Recorded) -> Printed {
        let arguments = &line.argv;
        let request = match plan(&self.catalogue, "proxmox-backup-manager", arguments) {
            Plan::Print(printed) => return printed,
            Plan::PassThrough { .. } => panic!("nothing is passed through here"),
            Plan::Complete => return self.complete(line),
            Plan::Run(request) => request,
        };
        self.prepare(line);
        let variable = |name: &str| {
            let env = line.env.as_ref().and_then(|env| env.get(name).cloned());
            env.or_else(|| (name == "LANG").then(|| "C.UTF-8".to_owned()))
        };
        let settings = OutputSettings::from_environment(variable, None, jiff::tz::TimeZone::UTC);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut console = Console {
            out: &mut out,
            err: &mut err,
            settings: &settings,
            interrupts: Interrupts::never(),
            poll: Duration::ZERO,
            progress_width: None,
        };
        let exit = block_on(execute(*request, &self.server, &mut console));
        Printed { out: String::from_utf8(out).expect("UTF-8"), err: String::from_utf8(err).expect("UTF-8"), exit }
    }

    fn complete(&self, line: &Recorded) -> Printed {
        let variable = |name: &str| line.env.as_ref().and_then(|env| env.get(name)).expect("a variable of completion");
        let point = variable("COMP_POINT").parse().expect("a number");
        self.server.refuse(None);
        let candidates = block_on(complete(&self.catalogue, variable("COMP_LINE"), point, Some(&self.server)));
        Printed { out: candidates.iter().map(|candidate| format!("{candidate}\n")).collect(), ..Printed::default() }
    }

    /// Tells the server what the recording says about this line: that it refuses it, or which task it starts.
    fn prepare(&self, line: &Recorded) {
        let error = line.stderr.strip_prefix("Error: ").map(|text| text.trim_end().to_owned());
        let failure = error
            .as_deref()
            .and_then(|text| text.strip_prefix("task failed (status "))
            .and_then(|text| text.strip_suffix(')'));
        let is_log = line.starts_with(&["task", "log"]);
        if let Some((path, answer)) = rebuilt_answer(line) {
            self.server.answer(&path, answer);
        }
        // What shows usage must be found before the server is asked.
        let is_refused = line.exit == FAILURE && failure.is_none() && !line.has_usage();
        self.server.refuse(error.clone().filter(|_| is_refused));
        let upid = line.stdout.trim().trim_matches('"').replace("\\\\", "\\");
        let upid = if upid.starts_with("UPID:") {
            upid
        } else {
            "UPID:vm:00000001:00000001:00000001:6B035D1C:test::root@pam:".to_owned()
        };
        let lines = line.stdout.lines().map(|text| format!("2026-11-22T21:22:23+00:00: {text}")).collect();
        let task = FakeTask {
            stages: vec![(lines, false)],
            result: Some(failure.map_or_else(|| "OK".to_owned(), str::to_owned)),
        };
        if is_log {
            self.server.add_task(&line.argv[2], task);
        } else {
            self.server.next_task(&upid, task);
        }
    }

    fn differences(&self, line: &Recorded, printed: &Printed) -> Vec<String> {
        let mut differences = Vec::new();
        if printed.exit != line.exit {
            differences.push(format!("exit {} instead of {}", printed.exit, line.exit));
        }
        let is_help = line.argv.first().is_some_and(|word| "help".starts_with(word.as_str()));
        let same_out = if is_help {
            without_descriptions(&printed.out) == without_descriptions(&line.stdout)
        } else if line.starts_with(&["bashcomplete"]) {
            // In no order, and without the words and groups that only a server of the reference has.
            let mut recorded: Vec<&str> =
                line.stdout.lines().filter(|word| *word != "report" && !word.starts_with("group:")).collect();
            recorded.sort_unstable();
            printed.out.lines().eq(recorded)
        } else if line.argv.iter().any(|word| word.starts_with("json")) && line.stdout.starts_with('[') {
            // Lists of configuration objects have no order.
            let sorted = |text: &str| {
                let mut rows: Vec<String> =
                    serde_json::from_str::<Vec<Value>>(text).expect("a list").iter().map(Value::to_string).collect();
                rows.sort();
                rows
            };
            sorted(&printed.out) == sorted(&line.stdout)
        } else {
            printed.out == line.stdout.replace("IP:[127, 0, 0, 1]", "IP:127.0.0.1").replace(NO_V6, "IP:::1")
        };
        if !same_out {
            differences.push(format!("stdout:\n{}\ninstead of:\n{}", printed.out, line.stdout));
        }
        if line.has_usage() {
            let usage = |text: &str| {
                text.split_once("\nUsage:").map(|(_, usage)| without_descriptions(&format!("Usage:{usage}")))
            };
            let is_overview_of_all = line.stderr.contains("usage line for each of all");
            if !is_overview_of_all && usage(&printed.err) != usage(&line.stderr) {
                differences.push(format!(
                    "usage:\n{:#?}\ninstead of:\n{:#?}",
                    usage(&printed.err),
                    usage(&line.stderr)
                ));
            }
            if problem_names(&printed.err) != problem_names(&line.stderr) {
                differences.push(format!("problems: {} instead of: {}", printed.err, line.stderr));
            }
            // The first line says which word or which arguments are wrong, and its form is fixed.
            let is_about_words = !line.stderr.contains("parameter verification failed");
            if is_about_words && printed.err.lines().next() != line.stderr.lines().next() {
                differences.push(format!("message: {} instead of: {}", printed.err, line.stderr));
            }
        } else if printed.err.trim_end() != line.stderr.trim_end() && !line.starts_with(&["prune-job", "create"]) {
            differences.push(format!("stderr: {:?} instead of: {:?}", printed.err, line.stderr));
        }
        differences
    }
}

#[test]
fn recorded_invocations_give_the_recorded_answers() {
    let replay = Replay { catalogue: Catalogue::new(&recorded_endpoints(), &[]), server: FakeServer::with_root() };
    let mut skipped: BTreeMap<&str, usize> = BTreeMap::new();
    let mut replayed = 0;
    let mut failures = Vec::new();
    for (number, line) in (1..).zip(recorded()) {
        if let Some(reason) = line.reason_to_skip() {
            *skipped.entry(reason).or_default() += 1;
            continue;
        }
        replayed += 1;
        replay.server.script(&line.argv, &line.stdout);
        let printed = replay.run(&line);
        for difference in replay.differences(&line, &printed) {
            failures.push(format!("line {number} {:?}: {difference}", line.argv));
        }
    }
    println!("replayed {replayed}, skipped {skipped:#?}");
    assert!(failures.is_empty(), "{} differences:\n{}", failures.len(), failures.join("\n\n"));
    // A change that silently skips lines shows here.
    assert!(267 <= replayed, "only {replayed} lines were replayed; skipped: {skipped:#?}");
}
