//! Arguments behind the command words to checked parameters, by the rules of the reference.
//!
//! Two stages, each collecting all its problems: first what is missing (option values, booleans, positional
//! arguments), then names, types, ranges and duplicates. Surplus arguments are reported last.
//!
//! Source: `docs/spec/cli.md` 1.1 and 1.8.

use std::collections::HashSet;

use serde_json::{Map, Value};

use farhold_api::schema::{DefaultValue, Param, ParamKind, Requirement};

/// One problem with one parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamProblem {
    /// The parameter's name, as known or as given.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Why the arguments of a command were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgumentError {
    /// At least one parameter is missing or wrong.
    #[error("{}", problem_text(.problems))]
    Parameters {
        /// All problems of the stage, in the order of the command line.
        problems: Vec<ParamProblem>,
    },
    /// More arguments than the command has places for.
    #[error("got additional arguments: {arguments:?}")]
    Surplus {
        /// The arguments that are left over.
        arguments: Vec<String>,
    },
}

/// Returns the text that reports these problems: one line for one, a list for more.
///
/// Source: `docs/spec/cli.md` 1.3.
pub fn problem_text(problems: &[ParamProblem]) -> String {
    if let [problem] = problems {
        return format!("parameter verification failed - '{}': {}", problem.name, problem.reason);
    }
    let mut text = "parameter verification failed:".to_owned();
    for problem in problems {
        text.push_str(&format!("\n- '{}': {}", problem.name, problem.reason));
    }
    text
}

/// The parameters of a command as the parser needs them.
#[derive(Clone, Debug, Default)]
pub struct Signature {
    /// All parameters, positional ones included.
    pub params: Vec<Param>,
    /// Names of the positional parameters in their order. If the last one is a list, it takes all remaining
    /// arguments.
    pub positionals: Vec<&'static str>,
    /// True if the last positional parameter may be left out, or be given as an option.
    pub is_last_optional: bool,
    /// Other names for options: given name, real name.
    pub synonyms: Vec<(&'static str, &'static str)>,
}

impl Signature {
    /// Returns the parameter of this name.
    pub fn param(&self, name: &str) -> Option<&Param> {
        self.params.iter().find(|param| param.name == name)
    }

    /// True if the parameter is given by position.
    pub fn is_positional(&self, name: &str) -> bool {
        self.positionals.contains(&name)
    }

    fn real_name<'a>(&'a self, given: &'a str) -> &'a str {
        self.synonyms.iter().find(|(synonym, _)| *synonym == given).map_or(given, |(_, real)| real)
    }
}

/// Parses the arguments behind the command words.
///
/// # Errors
/// [`ArgumentError::Parameters`] with all problems of the first stage that found any, otherwise
/// [`ArgumentError::Surplus`] if arguments are left over.
pub fn parse_arguments(signature: &Signature, arguments: &[String]) -> Result<Map<String, Value>, ArgumentError> {
    let (given, surplus) = collect(signature, arguments)?;
    let params = check(signature, &given)?;
    if surplus.is_empty() { Ok(params) } else { Err(ArgumentError::Surplus { arguments: surplus }) }
}

struct Given {
    name: String,
    value: String,
}

/// True if the parameter must be given.
pub(crate) fn is_required(param: &Param) -> bool {
    param.requirement == Requirement::Required
}

/// Returns the meaning of a boolean word, in any case; none for any other text.
///
/// Source: `docs/spec/cli.md` 1.1, 5.
fn boolean_word(text: &str) -> Option<bool> {
    ParamKind::Boolean.parse_text(text).ok().and_then(|value| value.as_bool())
}

fn is_option(argument: &str) -> bool {
    2 <= argument.len() && argument.starts_with('-')
}

/// First stage: who gets which text. Returns the given parameters in order, and what is left over.
fn collect(signature: &Signature, arguments: &[String]) -> Result<(Vec<Given>, Vec<String>), ArgumentError> {
    let mut given = Vec::new();
    let mut problems = Vec::new();
    let mut positional = Vec::new();
    let mut rest = arguments.iter().peekable();
    while let Some(argument) = rest.next() {
        if argument == "--" {
            // The reference keeps the `--` as an argument, which makes it useless; here it only ends the options.
            positional.extend(rest.by_ref().cloned());
            break;
        }
        if !is_option(argument) {
            positional.push(argument.clone());
            continue;
        }
        let text = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')).unwrap_or(argument);
        let (typed, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let name = signature.real_name(typed);
        let value = match (value, signature.param(name)) {
            (Some(value), _) => Ok(value),
            (None, Some(param)) if param.is_boolean() => match rest.next_if(|next| boolean_word(next).is_some()) {
                Some(word) => Ok(word.clone()),
                None if param.default == Some(DefaultValue::Boolean(true)) => Err("missing boolean value"),
                None => Ok("true".to_owned()),
            },
            (None, _) => rest.next_if(|next| !is_option(next)).cloned().ok_or("missing parameter value"),
        };
        match value {
            Ok(value) => given.push(Given { name: name.to_owned(), value }),
            Err(reason) => problems.push(ParamProblem { name: name.to_owned(), reason: reason.to_owned() }),
        }
    }

    let mut positional = positional.into_iter();
    for (index, name) in signature.positionals.iter().enumerate() {
        let is_last = index + 1 == signature.positionals.len();
        let is_list = signature.param(name).is_some_and(Param::is_list);
        match positional.next() {
            Some(value) => {
                given.push(Given { name: (*name).to_owned(), value });
                if is_last && is_list {
                    given.extend(positional.by_ref().map(|value| Given { name: (*name).to_owned(), value }));
                }
            }
            None if is_last && signature.is_last_optional => {}
            None => problems.push(ParamProblem { name: (*name).to_owned(), reason: "missing argument".to_owned() }),
        }
    }
    if problems.is_empty() { Ok((given, positional.collect())) } else { Err(ArgumentError::Parameters { problems }) }
}

/// Second stage: names, types, ranges, duplicates, and required options.
fn check(signature: &Signature, given: &[Given]) -> Result<Map<String, Value>, ArgumentError> {
    let mut params = Map::new();
    let mut problems = Vec::new();
    let mut seen = HashSet::new();
    let mut refuse = |name: &str, reason: String| problems.push(ParamProblem { name: name.to_owned(), reason });
    for Given { name, value } in given {
        let Some(param) = signature.param(name) else {
            refuse(name, "additional properties are not allowed".to_owned());
            continue;
        };
        if !seen.insert(name.as_str()) && !param.is_list() {
            refuse(name, "duplicate parameter".to_owned());
            continue;
        }
        match param.kind.parse_text(value) {
            Ok(value) if param.is_list() => {
                match params.entry(name.as_str()).or_insert_with(|| Value::Array(Vec::new())) {
                    Value::Array(list) => list.push(value),
                    other => *other = Value::Array(vec![value]),
                }
            }
            Ok(value) => {
                params.insert(name.clone(), value);
            }
            Err(reason) => refuse(name, reason),
        }
    }
    for param in &signature.params {
        if is_required(param) && !seen.contains(param.name) {
            refuse(param.name, "parameter is missing and it is not optional".to_owned());
        }
    }
    if problems.is_empty() { Ok(params) } else { Err(ArgumentError::Parameters { problems }) }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
