//! Usage texts: one line per command, or a command with all its parameters.
//!
//! Source: `docs/spec/cli.md` 1.2, 1.3 (form of the lines), `tests/golden/cli.jsonl` (layout).

use std::fmt::Write as _;

use farhold_api::schema::Param;

use crate::catalogue::{Entry, Level};
use crate::parse::{Signature, is_required};

/// Longest line of a description, in characters.
const DESCRIPTION_WIDTH: usize = 80;
/// Descriptions start at this column.
const DESCRIPTION_INDENT: &str = "             ";

/// How much a usage text shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The parameters.
    Parameters,
    /// The description of the command and the parameters.
    Full,
}

/// Returns `words <positional> --required <type> [OPTIONS]`.
pub fn command_line(words: &str, signature: &Signature) -> String {
    let mut line = words.to_owned();
    for (index, name) in signature.positionals.iter().enumerate() {
        let is_list = signature.param(name).is_some_and(Param::is_list);
        let is_optional = index + 1 == signature.positionals.len() && signature.is_last_optional;
        let text = if is_list { format!("{{<{name}>}}") } else { format!("<{name}>") };
        let _ = if is_optional { write!(line, " [{text}]") } else { write!(line, " {text}") };
    }
    for param in required(signature) {
        let _ = write!(line, " --{} {}", param.name, param.kind.type_text());
    }
    if optional(signature).next().is_some() {
        line.push_str(" [OPTIONS]");
    }
    line
}

/// Returns the usage of one command: the line, then its parameters.
///
/// `words`: the command's words, with the program's name in front where that is wanted.
pub fn command_usage(words: &str, entry: &Entry, detail: Detail) -> String {
    let signature = &entry.signature;
    let mut text = format!("{}\n\n", command_line(words, signature));
    if detail == Detail::Full {
        let _ = write!(text, "{}\n\n", entry.command.summary);
    }
    for name in &signature.positionals {
        if let Some(param) = signature.param(name) {
            parameter(&mut text, &format!("<{name}>"), param);
            text.push('\n');
        }
    }
    for param in required(signature) {
        parameter(&mut text, &format!("--{}", param.name), param);
        text.push('\n');
    }
    let mut is_first = true;
    for param in optional(signature) {
        if std::mem::take(&mut is_first) {
            text.push_str("Optional parameters:\n\n");
        }
        parameter(&mut text, &format!("--{}", param.name), param);
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    if detail == Detail::Full && !entry.command.examples.is_empty() {
        let plural = if entry.command.examples.len() == 1 { "" } else { "s" };
        let _ = write!(text, "\nExample{plural}:\n\n");
        for line in entry.command.examples {
            let _ = writeln!(text, " {line}");
        }
    }
    text
}

/// Returns one line for each command of the level, in alphabetical order.
///
/// `program`: put in front of each line, with a blank behind; empty for none.
pub fn level_lines(program: &str, level: &Level<'_>) -> String {
    let mut text = String::new();
    for entry in &level.entries {
        let _ = writeln!(text, "{program}{}", command_line(&level_words(level, entry), &entry.signature));
    }
    text
}

/// Returns the full usage of each command of the level, one after the other.
pub fn level_details(level: &Level<'_>) -> String {
    level.entries.iter().map(|entry| command_usage(&level_words(level, entry), entry, Detail::Full)).collect()
}

/// Returns the words of a command of the level: as typed so far, then in full.
fn level_words(level: &Level<'_>, entry: &Entry) -> String {
    let rest = entry.command.words.iter().skip(level.typed.len()).copied();
    level.typed.iter().map(String::as_str).chain(rest).collect::<Vec<_>>().join(" ")
}

/// Returns the options that must be given.
pub(crate) fn required(signature: &Signature) -> impl Iterator<Item = &Param> {
    signature.params.iter().filter(|param| is_required(param) && !signature.is_positional(param.name))
}

/// Returns the options that may be given.
pub(crate) fn optional(signature: &Signature) -> impl Iterator<Item = &Param> {
    signature.params.iter().filter(|param| !is_required(param) && !signature.is_positional(param.name))
}

fn parameter(text: &mut String, name: &str, param: &Param) {
    let _ = write!(text, " {name:<10} {}", param.kind.type_text());
    if let Some(default) = &param.default {
        let _ = write!(text, "   (default={default})");
    }
    text.push('\n');
    let mut line = String::new();
    for word in param.description.split_whitespace() {
        if !line.is_empty()
            && DESCRIPTION_WIDTH < DESCRIPTION_INDENT.len() + line.chars().count() + 1 + word.chars().count()
        {
            let _ = writeln!(text, "{DESCRIPTION_INDENT}{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        let _ = writeln!(text, "{DESCRIPTION_INDENT}{line}");
    }
}
