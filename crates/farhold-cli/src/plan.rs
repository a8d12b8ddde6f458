//! From arguments to what is to be done; nothing is touched here.
//!
//! Source: `docs/spec/cli.md` 1.2, 1.3.

use serde_json::{Map, Value};

use crate::catalogue::{Catalogue, Entry, Found, Level};
use crate::command::{Action, Command, OUTPUT_FORMAT};
use crate::complete::COMPLETE_WORD;
use crate::document::{DOCUMENT_WORD, Form, document};
use crate::parse::parse_arguments;
use crate::shells::script;
use crate::usage::{Detail, command_usage, level_details, level_lines};
use crate::{FAILURE, PassThrough, SUCCESS};

/// What the arguments ask for.
#[derive(Clone, Debug)]
pub enum Plan {
    /// The answer is known already: help, or what is wrong with the arguments.
    Print(Printed),
    /// The program handles the first word itself.
    PassThrough {
        /// The word.
        word: &'static str,
        /// The arguments behind it.
        arguments: Vec<String>,
    },
    /// The shell asks what can stand at the cursor; see [`complete`](crate::complete::complete).
    Complete,
    /// A command to carry out.
    Run(Box<Request>),
}

/// Text to print, and the exit code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    /// For stdout.
    pub out: String,
    /// For stderr.
    pub err: String,
    /// Exit code of the program.
    pub exit: u8,
}

/// A command with checked parameters.
#[derive(Clone, Debug)]
pub struct Request {
    /// The command.
    pub command: Command,
    /// The parameters that were given, without the output format.
    pub params: Map<String, Value>,
    /// The output format that was asked for.
    pub format: Option<String>,
}

/// Returns what the arguments ask for.
///
/// `program`: name for usage texts; `arguments`: without the program's name.
pub fn plan(catalogue: &Catalogue, program: &str, arguments: &[String]) -> Plan {
    if let Some(pass_through) =
        arguments.first().and_then(|first| catalogue.pass_through().iter().find(|own| own.word == first))
    {
        let rest = &arguments[1..];
        if !pass_through.explains_itself && has_help(rest) {
            return help_pass_through(pass_through, &[]);
        }
        return Plan::PassThrough { word: pass_through.word, arguments: rest.to_vec() };
    }
    if arguments.first().is_some_and(|first| first == COMPLETE_WORD) {
        return Plan::Complete;
    }
    if let Some((DOCUMENT_WORD, rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return print_document(catalogue, program, rest);
    }
    let (words, wants_help) = without_help(arguments);
    match catalogue.find(words) {
        Found::Command { entry, rest, .. } if wants_help || has_help(rest) => help_command(entry),
        Found::Group(level) if wants_help => help_level(catalogue, &level, Detail::Parameters),
        Found::Command { entry, typed, rest } => match parse_arguments(&entry.signature, rest) {
            Ok(params) if entry.command.action == Action::Help => help(catalogue, &params),
            Ok(params) if entry.command.action == Action::Completion => {
                let shell = params.get("shell").and_then(Value::as_str).unwrap_or_default();
                let out = script(shell, program).unwrap_or_default();
                Plan::Print(Printed { out, err: String::new(), exit: SUCCESS })
            }
            Ok(params) => Plan::Run(Box::new(request(entry, params))),
            Err(error) => {
                let usage = command_usage(&format!("{program} {}", typed.join(" ")), entry, Detail::Parameters);
                refuse(format!("Error: {error}\nUsage: {usage}"))
            }
        },
        Found::Group(level) => {
            let words = possible_words(catalogue, &level).join(", ");
            wrong_words(catalogue, program, &level, &format!("no command specified.\nPossible commands: {words}"))
        }
        Found::Unknown { word, level } => wrong_words(catalogue, program, &level, &format!("no such command '{word}'")),
        Found::NotOffered { words } => refuse(format!("Error: this program has no command '{words}'\n")),
    }
}

/// Returns the document of all commands; the option `--man` makes it a manual page.
fn print_document(catalogue: &Catalogue, program: &str, options: &[String]) -> Plan {
    let form = match options {
        [] => Form::Text,
        [option] if option == "--man" => Form::Manual,
        _ => return refuse(format!("Error: usage: {program} {DOCUMENT_WORD} [--man]\n")),
    };
    Plan::Print(Printed { out: document(catalogue, program, form), err: String::new(), exit: SUCCESS })
}

/// Returns the words in front of `--help` or `-h` at the place of a command word, and whether there was one.
fn without_help(arguments: &[String]) -> (&[String], bool) {
    let words = arguments.iter().take_while(|argument| !argument.starts_with('-')).count();
    match arguments.get(words) {
        Some(argument) if is_help(argument) => (&arguments[..words], true),
        _ => (arguments, false),
    }
}

fn has_help(arguments: &[String]) -> bool {
    arguments.iter().take_while(|argument| *argument != "--").any(|argument| is_help(argument))
}

fn is_help(argument: &str) -> bool {
    argument == "--help" || argument == "-h"
}

fn request(entry: &Entry, mut params: Map<String, Value>) -> Request {
    let command = entry.command.clone();
    // Some endpoints have a parameter of that name; the command then has no choice of format.
    let format = if command.has_output_format() { params.remove(OUTPUT_FORMAT) } else { None };
    let format = format.as_ref().and_then(Value::as_str).map(str::to_owned);
    Request { command, params, format }
}

fn refuse(err: String) -> Plan {
    Plan::Print(Printed { out: String::new(), err, exit: FAILURE })
}

fn wrong_words(catalogue: &Catalogue, program: &str, level: &Level<'_>, message: &str) -> Plan {
    let lines = overview(catalogue, &format!("{program} "), level);
    refuse(format!("Error: {message}\n\nUsage:\n\n{lines}"))
}

fn possible_words(catalogue: &Catalogue, level: &Level<'_>) -> Vec<&'static str> {
    let mut words = level.next_words();
    if level.typed.is_empty() {
        words.extend(catalogue.pass_through().iter().map(|own| own.word));
        words.sort_unstable();
    }
    words
}

/// Returns one line for each command below the level; on top also for the words that the program handles itself.
fn overview(catalogue: &Catalogue, prefix: &str, level: &Level<'_>) -> String {
    let mut lines = level_lines(prefix, level);
    if level.typed.is_empty() {
        for own in catalogue.pass_through() {
            lines.push_str(format!("{prefix}{} {}", own.word, own.usage).trim_end());
            lines.push('\n');
        }
    }
    lines
}

fn help(catalogue: &Catalogue, params: &Map<String, Value>) -> Plan {
    let words: Vec<String> = params
        .get("command")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|word| word.as_str().map(str::to_owned))
        .collect();
    let is_verbose = params.get("verbose") == Some(&Value::Bool(true));
    if let Some((first, rest)) = words.split_first()
        && let Some(own) = catalogue.pass_through().iter().find(|own| own.word == first)
    {
        return help_pass_through(own, rest);
    }
    match catalogue.find(&words) {
        Found::Command { entry, rest: [], .. } => help_command(entry),
        Found::Group(level) => {
            help_level(catalogue, &level, if is_verbose { Detail::Full } else { Detail::Parameters })
        }
        Found::Command { .. } | Found::Unknown { .. } | Found::NotOffered { .. } => {
            let err = format!("no such command '{}'\n", words.join(" "));
            // Exit code 0 all the same, as the reference has it.
            Plan::Print(Printed { out: String::new(), err, exit: SUCCESS })
        }
    }
}

/// Returns the help of a word that the program handles itself, or asks the word for that of the `rest`.
fn help_pass_through(own: &PassThrough, rest: &[String]) -> Plan {
    if own.explains_itself {
        let arguments = std::iter::once("help".to_owned()).chain(rest.iter().cloned()).collect();
        return Plan::PassThrough { word: own.word, arguments };
    }
    let usage = format!("{} {}", own.word, own.usage);
    let out = format!("Usage: {}\n\n{}\n", usage.trim_end(), own.summary);
    Plan::Print(Printed { out, err: String::new(), exit: SUCCESS })
}

fn help_command(entry: &Entry) -> Plan {
    let usage = command_usage(&entry.command.words.join(" "), entry, Detail::Full);
    Plan::Print(Printed { out: format!("Usage: {usage}"), err: String::new(), exit: SUCCESS })
}

fn help_level(catalogue: &Catalogue, level: &Level<'_>, detail: Detail) -> Plan {
    let words = level.words.iter().map(|word| (*word).to_owned()).collect();
    let level = Level { typed: words, ..level.clone() };
    let lines = match detail {
        Detail::Parameters => overview(catalogue, "", &level),
        Detail::Full => level_details(&level),
    };
    Plan::Print(Printed { out: format!("Usage:\n\n{lines}"), err: String::new(), exit: SUCCESS })
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
