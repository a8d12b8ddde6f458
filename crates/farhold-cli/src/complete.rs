//! Shell completion: what can stand at the cursor.
//!
//! bash runs `<program> bashcomplete` with the line and the cursor in `COMP_LINE` and `COMP_POINT`, and reads one
//! candidate per line. Failures are silent: no candidates.
//!
//! Source: `docs/spec/cli.md` 1.7.

mod values;

use farhold_api::schema::{Param, ParamKind};
use futures::future::BoxFuture;

use crate::caller::ApiCaller;
use crate::catalogue::{Catalogue, Entry, Found};
use crate::command::Action;
use crate::shell_words;

/// First word of a command line that asks for candidates.
pub const COMPLETE_WORD: &str = "bashcomplete";

const BOOLEAN_WORDS: [&str; 8] = ["0", "1", "false", "no", "off", "on", "true", "yes"];
const CALENDAR_HINTS: [&str; 5] = ["0:0", "daily", "hourly", "minutely", "mon..fri"];
const GROUP_FILTER_HINTS: [&str; 4] = ["regex:", "type:ct", "type:host", "type:vm"];

/// What may stand at the cursor.
#[derive(Clone, Debug)]
enum Place<'a> {
    /// Nothing that is known.
    Nothing,
    /// One of these words.
    Words(Vec<String>),
    /// A value of this parameter.
    Value { entry: &'a Entry, param: &'a Param, typed: Typed },
}

/// What was typed in front of the cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Typed {
    /// What was given by position.
    pub positionals: Vec<String>,
    /// The same with the names of the parameters, and the options that have a value.
    pub named: Vec<(String, String)>,
}

impl Typed {
    /// Returns the last value of a parameter, by whatever way it was given.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.named.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }
}

/// Where values come from that the command line itself does not know.
pub trait ValueSource: Sync {
    /// Returns what the parameter may have as value; nothing if that is not known. Never fails.
    ///
    /// `words`: of the command; `typed`: what was given in front of the cursor.
    fn values<'a>(
        &'a self,
        words: &'a [&'static str],
        param: &'a Param,
        typed: &'a Typed,
    ) -> BoxFuture<'a, Vec<String>>;
}

/// Returns the candidates for the word at the cursor, sorted.
///
/// `line`: the whole command line; `point`: characters in front of the cursor; `caller`: asked for names of
/// configured things, if there is one.
pub async fn complete(catalogue: &Catalogue, line: &str, point: usize, caller: Option<&dyn ApiCaller>) -> Vec<String> {
    complete_with(catalogue, line, point, &values::ConfiguredNames(caller)).await
}

/// Returns the candidates for the word at the cursor, sorted, as [`complete`] does, with values from `source`.
pub async fn complete_with(catalogue: &Catalogue, line: &str, point: usize, source: &dyn ValueSource) -> Vec<String> {
    let before: String = line.chars().take(point).collect();
    let mut words = shell_words::split(&before).words;
    let Some(last) = words.pop() else { return Vec::new() };
    // The first word is the program; while it is typed there is nothing to offer.
    if words.is_empty() {
        return Vec::new();
    }
    words.remove(0);
    let mut candidates = match place(catalogue, &words, &last) {
        Place::Nothing => Vec::new(),
        Place::Words(words) => words,
        Place::Value { entry, param, typed } => values(entry, param, &typed, source).await,
    };
    candidates.retain(|candidate| candidate.starts_with(&last));
    candidates.sort();
    candidates.dedup();
    candidates
}

fn place<'a>(catalogue: &'a Catalogue, words: &'a [String], last: &str) -> Place<'a> {
    match catalogue.find(words) {
        Found::Group(level) => {
            let mut next: Vec<String> = level.next_words().into_iter().map(str::to_owned).collect();
            if words.is_empty() {
                next.extend(catalogue.pass_through().iter().map(|own| own.word.to_owned()));
            }
            Place::Words(next)
        }
        Found::Command { entry, typed, .. } if entry.command.action == Action::Help => {
            // What follows are command words again. `words` is longer than `typed`: the look-up stops at `help`.
            place(catalogue, &words[typed.len()..], last)
        }
        Found::Command { entry, typed, .. } => argument_place(entry, &words[typed.len()..], last),
        Found::Unknown { .. } | Found::NotOffered { .. } => Place::Nothing,
    }
}

fn argument_place<'a>(entry: &'a Entry, arguments: &[String], last: &str) -> Place<'a> {
    let signature = &entry.signature;
    let mut used = Vec::new();
    let mut typed = Typed::default();
    let mut waiting: Option<&Param> = None;
    for argument in arguments {
        let name = option_name(argument);
        match (waiting.take(), name) {
            // A value, unless it cannot be one: then it is an argument of its own.
            (Some(param), None) if !param.is_boolean() || param.kind.parse_text(argument).is_ok() => {
                typed.named.push((param.name.to_owned(), argument.clone()));
            }
            (_, Some(name)) => {
                used.push(name);
                waiting = match argument.split_once('=') {
                    Some((_, value)) => {
                        typed.named.push((name.to_owned(), value.to_owned()));
                        None
                    }
                    None => signature.param(name),
                };
            }
            (_, None) => {
                let name = signature.positionals.get(typed.positionals.len());
                typed.named.extend(name.map(|name| ((*name).to_owned(), argument.clone())));
                typed.positionals.push(argument.clone());
            }
        }
    }
    if let Some(param) = waiting.filter(|_| !last.starts_with('-')) {
        return Place::Value { entry, param, typed };
    }
    let positional = signature.positionals.get(typed.positionals.len()).and_then(|name| signature.param(name));
    match positional {
        Some(param) if !last.starts_with('-') => Place::Value { entry, param, typed },
        _ => {
            let is_free = |param: &&Param| {
                !signature.is_positional(param.name) && (param.is_list() || !used.contains(&param.name))
            };
            Place::Words(signature.params.iter().filter(is_free).map(|param| format!("--{}", param.name)).collect())
        }
    }
}

fn option_name(argument: &str) -> Option<&str> {
    if argument.len() < 2 {
        return None;
    }
    let name = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-'))?;
    Some(name.split_once('=').map_or(name, |(name, _)| name))
}

async fn values(entry: &Entry, param: &Param, typed: &Typed, source: &dyn ValueSource) -> Vec<String> {
    let kind = if let ParamKind::List(element) = param.kind { *element } else { param.kind };
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    match kind {
        ParamKind::Boolean => return owned(&BOOLEAN_WORDS),
        ParamKind::Enumeration { values, .. } => return owned(values),
        ParamKind::Text { hint: "<calendar-event>", .. } => return owned(&CALENDAR_HINTS),
        _ => {}
    }
    let mut values = source.values(entry.command.words, param, typed).await;
    if param.name == "group-filter" {
        values.extend(GROUP_FILTER_HINTS.map(str::to_owned));
    }
    values
}

#[cfg(test)]
#[path = "complete_tests.rs"]
mod tests;
