//! Shell completion: what can stand at the cursor.
//!
//! bash runs `<program> bashcomplete` with the line and the cursor in `COMP_LINE` and `COMP_POINT`, and reads one
//! candidate per line. Failures are silent: no candidates.
//!
//! Source: `docs/spec/cli.md` 1.7.

use farhold_api::schema::{Param, ParamKind};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::Method;
use serde_json::{Map, Value, json};

use crate::caller::{ApiCall, ApiCaller};
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
    Value { entry: &'a Entry, param: &'a Param, positionals: Vec<String> },
}

/// Where values come from that the command line itself does not know.
pub trait ValueSource: Sync {
    /// Returns what the parameter may have as value; nothing if that is not known. Never fails.
    ///
    /// `words`: of the command; `positionals`: what was given by position in front of the cursor.
    fn values<'a>(
        &'a self,
        words: &'a [&'static str],
        param: &'a Param,
        positionals: &'a [String],
    ) -> BoxFuture<'a, Vec<String>>;
}

/// Returns the candidates for the word at the cursor, sorted.
///
/// `line`: the whole command line; `point`: characters in front of the cursor; `caller`: asked for names of
/// configured things, if there is one.
pub async fn complete(catalogue: &Catalogue, line: &str, point: usize, caller: Option<&dyn ApiCaller>) -> Vec<String> {
    complete_with(catalogue, line, point, &ConfiguredNames(caller)).await
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
        Place::Value { entry, param, positionals } => values(entry, param, &positionals, source).await,
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
    let mut positionals = Vec::new();
    let mut waiting: Option<&Param> = None;
    for argument in arguments {
        let name = option_name(argument);
        match (waiting.take(), name) {
            // A value, unless it cannot be one: then it is an argument of its own.
            (Some(param), None) if !param.is_boolean() || param.kind.parse_text(argument).is_ok() => {}
            (_, Some(name)) => {
                used.push(name);
                waiting = if argument.contains('=') { None } else { signature.param(name) };
            }
            (_, None) => positionals.push(argument.clone()),
        }
    }
    if let Some(param) = waiting.filter(|_| !last.starts_with('-')) {
        return Place::Value { entry, param, positionals };
    }
    let positional = signature.positionals.get(positionals.len()).and_then(|name| signature.param(name));
    match positional {
        Some(param) if !last.starts_with('-') => Place::Value { entry, param, positionals },
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

async fn values(entry: &Entry, param: &Param, positionals: &[String], source: &dyn ValueSource) -> Vec<String> {
    let kind = if let ParamKind::List(element) = param.kind { *element } else { param.kind };
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    match kind {
        ParamKind::Boolean => return owned(&BOOLEAN_WORDS),
        ParamKind::Enumeration { values, .. } => return owned(values),
        ParamKind::Text { hint: "<calendar-event>", .. } => return owned(&CALENDAR_HINTS),
        _ => {}
    }
    if param.name == "group-filter" {
        return owned(&GROUP_FILTER_HINTS);
    }
    source.values(entry.command.words, param, positionals).await
}

/// Names of configured things, asked for through the API.
struct ConfiguredNames<'a>(Option<&'a dyn ApiCaller>);

impl ValueSource for ConfiguredNames<'_> {
    fn values<'a>(
        &'a self,
        words: &'a [&'static str],
        param: &'a Param,
        positionals: &'a [String],
    ) -> BoxFuture<'a, Vec<String>> {
        async move {
            match (self.0, names_of(words, param)) {
                (Some(caller), Some(names)) => names.fetch(positionals, caller).await,
                _ => Vec::new(),
            }
        }
        .boxed()
    }
}

/// Where the names of configured things are listed.
struct Names {
    path: &'static str,
    params: Value,
    property: &'static str,
}

impl Names {
    async fn fetch(self, positionals: &[String], caller: &dyn ApiCaller) -> Vec<String> {
        let mut params: Map<String, Value> = self.params.as_object().cloned().unwrap_or_default();
        if let Some(userid) = positionals.first().filter(|_| self.path.contains("{userid}")) {
            params.insert("userid".to_owned(), Value::from(userid.as_str()));
        }
        let reply = caller.call(ApiCall::new(Method::GET, self.path, params)).await;
        let rows = reply.map(|reply| reply.data).unwrap_or_default();
        let mut names = Vec::new();
        for row in rows.as_array().into_iter().flatten() {
            names.extend(row.get(self.property).and_then(Value::as_str).map(str::to_owned));
            for token in row.get("tokens").and_then(Value::as_array).into_iter().flatten() {
                names.extend(token.get("tokenid").and_then(Value::as_str).map(str::to_owned));
            }
        }
        names
    }
}

fn names_of(words: &[&'static str], param: &Param) -> Option<Names> {
    // What a command makes has no name yet.
    let is_new = matches!(words.last(), Some(&("create" | "import" | "generate-token")));
    let names = |path, property| Some(Names { path, params: json!({}), property });
    match (param.name, words.first().copied()?) {
        ("name" | "id", _) if is_new => None,
        ("token-name", _) if is_new => None,
        ("userid", _) if words == ["user", "create"] => None,
        ("remote", _) | ("name", "remote") => names("/config/remote", "name"),
        ("store", first) if first != "remote" => names("/config/datastore", "name"),
        ("name", "datastore") => names("/config/datastore", "name"),
        ("name", "traffic-control") => names("/config/traffic-control", "name"),
        ("id", "sync-job") => {
            Some(Names { path: "/config/sync", params: json!({ "sync-direction": "all" }), property: "id" })
        }
        ("id", "prune-job") => names("/config/prune", "id"),
        ("id", "verify-job") => names("/config/verify", "id"),
        ("id", "encryption-key") => {
            let params = json!({ "include-archived": true });
            Some(Names { path: "/config/encryption-keys", params, property: "id" })
        }
        ("userid" | "notify-user", _) => names("/access/users", "userid"),
        ("auth-id" | "owner", first) if first != "remote" => {
            Some(Names { path: "/access/users", params: json!({ "include_tokens": true }), property: "userid" })
        }
        ("token-name", _) => names("/access/users/{userid}/token", "token-name"),
        ("role", _) => names("/access/roles", "roleid"),
        ("upid", _) => {
            Some(Names { path: "/nodes/{node}/tasks", params: json!({ "node": "localhost" }), property: "upid" })
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "complete_tests.rs"]
mod tests;
