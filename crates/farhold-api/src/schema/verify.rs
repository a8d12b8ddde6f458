//! A whole parameter set against its declaration, in the two input modes: form pairs and a JSON object.
//!
//! The modes differ on purpose, as clients see it: in form mode missing parameters are reported only when nothing else
//! is wrong, in JSON mode all problems come together. Source: `docs/spec/rest-api.md` 1.2 and 1.4.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use super::{Param, ParamKind, Params, Requirement};

pub(super) const MISSING: &str = "parameter is missing and not optional";
const UNKNOWN: &str = "no such parameter, additional properties are not allowed";
const DUPLICATE: &str = "parameter given more than once";

/// Most problems that are told of one request: more than any call has parameters, few enough for a line each.
const MAX_PROBLEMS: usize = 100;

/// Characters of a name that are told. No declared name is as long; others come from the request, at any length.
const MAX_NAME_LENGTH: usize = 100;

/// Problems of one request's parameters by name; never empty once returned. Sorted by name.
///
/// `Display` is the text of the `json` format: one problem stays on the line, several get a line each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParameterErrors {
    entries: BTreeMap<String, String>,
}

impl ParameterErrors {
    /// Returns a set with one problem.
    pub fn one(name: impl Into<String>, reason: impl Into<String>) -> Self {
        let mut errors = Self::default();
        errors.add(name, reason);
        errors
    }

    /// Adds a problem; the first one of each name is kept. Long names are cut, and what is beyond a hundred problems is left out.
    pub fn add(&mut self, name: impl Into<String>, reason: impl Into<String>) {
        if MAX_PROBLEMS <= self.entries.len() {
            return;
        }
        let mut name = name.into();
        if let Some((end, _)) = name.char_indices().nth(MAX_NAME_LENGTH) {
            name.truncate(end);
            name.push_str("...");
        }
        self.entries.entry(name).or_insert_with(|| reason.into());
    }

    /// Returns whether no problem was found.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the problems as (name, reason), sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(name, reason)| (name.as_str(), reason.as_str()))
    }
}

impl fmt::Display for ParameterErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("parameter verification failed")?;
        if let [(name, reason)] = self.entries.iter().collect::<Vec<_>>()[..] {
            return write!(f, " - '{name}': {reason}");
        }
        f.write_str(":")?;
        for (name, reason) in &self.entries {
            write!(f, "\n- '{name}': {reason}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ParameterErrors {}

/// Why a parameter set was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// First stage: the schema, problem by problem.
    #[error("{0}")]
    Schema(ParameterErrors),
    /// Second stage: a value passes the schema but is no value of its type.
    #[error("{0}")]
    Typed(String),
}

/// One (name, text) pair of form data, a query string or the path.
pub type Input = (String, String);

/// Checks form pairs: path variables, query and body together.
///
/// # Errors
/// [`Rejected`]; see the module text for the order.
pub fn verify_form(declared: &[Param], pairs: Vec<Input>) -> Result<Params, Rejected> {
    let mut errors = ParameterErrors::default();
    let mut values = Map::new();
    for (name, text) in pairs {
        let Some(param) = declared.iter().find(|p| p.name == name) else {
            errors.add(name, UNKNOWN);
            continue;
        };
        if !param.is_list() && values.contains_key(&name) {
            errors.add(name, DUPLICATE);
            continue;
        }
        match param.kind.parse_text(&text) {
            Err(reason) => errors.add(name, reason),
            Ok(value) if param.is_list() => {
                if let Value::Array(list) = values.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
                    list.push(value);
                }
            }
            Ok(value) => drop(values.insert(name, value)),
        }
    }
    if errors.is_empty() {
        add_missing(declared, &values, &mut errors);
    }
    finish(declared, values, errors)
}

/// Checks a JSON object into which the path variables (`path`) are written, replacing members of the same name.
///
/// # Errors
/// [`Rejected`]; all problems of the first stage come together.
pub fn verify_json(declared: &[Param], body: Map<String, Value>, path: Vec<Input>) -> Result<Params, Rejected> {
    let mut errors = ParameterErrors::default();
    let mut values = body;
    for (name, text) in path {
        match declared.iter().find(|p| p.name == name).map(|p| p.kind.parse_text(&text)) {
            Some(Ok(value)) => drop(values.insert(name, value)),
            Some(Err(reason)) => {
                values.insert(name.clone(), Value::String(text));
                errors.add(name, reason);
            }
            None => errors.add(name, UNKNOWN),
        }
    }
    for (name, value) in &values {
        match declared.iter().find(|p| p.name == *name) {
            None => errors.add(name.clone(), UNKNOWN),
            Some(param) => {
                if let Err(refusal) = param.kind.check_json(value) {
                    errors.add(format!("{name}{}", refusal.place), refusal.reason);
                }
            }
        }
    }
    add_missing(declared, &values, &mut errors);
    // An empty list counts as no value; of a required list it is refused, for a file written with it cannot be read.
    for param in declared.iter().filter(|p| p.requirement == Requirement::Required) {
        if values.get(param.name).and_then(Value::as_array).is_some_and(Vec::is_empty) {
            errors.add(param.name, "list may not be empty");
        }
    }
    finish(declared, values, errors)
}

fn add_missing(declared: &[Param], values: &Map<String, Value>, errors: &mut ParameterErrors) {
    for param in declared {
        if param.requirement == Requirement::Required && !values.contains_key(param.name) {
            errors.add(param.name, MISSING);
        }
    }
}

fn finish(declared: &[Param], values: Map<String, Value>, errors: ParameterErrors) -> Result<Params, Rejected> {
    if !errors.is_empty() {
        return Err(Rejected::Schema(errors));
    }
    for param in declared {
        if let Some(value) = values.get(param.name) {
            param.check_typed(value).map_err(Rejected::Typed)?;
        }
    }
    Ok(Params::checked(values, declared))
}

impl ParamKind {
    /// Returns the kind of one value: the element kind of a list, otherwise the kind itself.
    pub const fn element(&self) -> &Self {
        match self {
            Self::List(element) => element,
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::named;
    use super::*;

    const DECLARED: &[Param] = &[
        named::REMOTE_ID.named("name").is_required(),
        named::HOST.is_required(),
        named::PORT,
        named::GROUP_FILTER,
        named::BACKUP_TYPE.is_optional(),
    ];

    fn pairs(pairs: &[(&str, &str)]) -> Vec<Input> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    fn names(result: Result<Params, Rejected>) -> Vec<String> {
        match result {
            Err(Rejected::Schema(errors)) => errors.iter().map(|(name, _)| name.to_owned()).collect(),
            other => panic!("expected schema errors, found {other:?}"),
        }
    }

    #[test]
    fn problems_are_bounded_whatever_names_come() {
        let values: Map<String, Value> =
            (0..5000).map(|n| (format!("{n}{}", "\u{e9}".repeat(9000)), Value::Null)).collect();
        let Err(Rejected::Schema(errors)) = verify_json(DECLARED, values, Vec::new()) else { panic!("accepted") };
        assert_eq!(errors.iter().count(), MAX_PROBLEMS);
        let longest = errors.iter().map(|(name, _)| name.chars().count()).max();
        assert_eq!(longest, Some(MAX_NAME_LENGTH + 3));
    }

    #[test]
    fn forms_report_missing_parameters_only_when_nothing_else_is_wrong() {
        assert_eq!(names(verify_form(DECLARED, pairs(&[]))), ["host", "name"]);
        assert_eq!(names(verify_form(DECLARED, pairs(&[("x", "1")]))), ["x"]);
        assert_eq!(names(verify_form(DECLARED, pairs(&[("host", "a"), ("host", "b")]))), ["host"]);
    }

    #[test]
    fn json_reports_all_problems_together_and_the_path_wins() {
        let body = json!({"x": 1, "port": "1", "group-filter": ["type:vm", "no", "no"]});
        let found = names(verify_json(DECLARED, body.as_object().unwrap().clone(), pairs(&[("name", "rem1")])));
        assert_eq!(found, ["group-filter/[1]", "host", "port", "x"]);
        let body = json!({"host": "h", "name": "other"});
        let params = verify_json(DECLARED, body.as_object().unwrap().clone(), pairs(&[("name", "rem1")])).unwrap();
        assert_eq!(params.text("name"), Some("rem1"));
    }

    #[test]
    fn a_value_outside_of_its_type_is_refused_in_the_second_stage() {
        let result = verify_form(DECLARED, pairs(&[("name", "rem1"), ("host", "h"), ("port", "70000")]));
        assert!(matches!(result, Err(Rejected::Typed(_))));
        let result = verify_form(DECLARED, pairs(&[("name", "rem1"), ("host", "h"), ("backup-type", "zz")]));
        assert!(matches!(result, Err(Rejected::Typed(_))));
        let result = verify_form(DECLARED, pairs(&[("name", "r"), ("host", "h"), ("port", "70000")]));
        assert_eq!(names(result), ["name"]);
    }

    #[test]
    fn lists_repeat_their_key_and_are_not_split() {
        let ok = pairs(&[("name", "rem1"), ("host", "h"), ("group-filter", "type:vm"), ("group-filter", "regex:a,b")]);
        let params = verify_form(DECLARED, ok).unwrap();
        assert_eq!(params.texts("group-filter"), Some(vec!["type:vm", "regex:a,b"]));
    }

    #[test]
    fn one_problem_stays_on_the_line_and_several_get_one_each() {
        let mut errors = ParameterErrors::one("b", "why");
        assert_eq!(errors.to_string(), "parameter verification failed - 'b': why");
        errors.add("a", "also");
        assert_eq!(errors.to_string(), "parameter verification failed:\n- 'a': also\n- 'b': why");
    }
}
