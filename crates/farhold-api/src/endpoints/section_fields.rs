//! Sections of a configuration file whose keys are the fields of an object in the API, one to one.
//!
//! A list of parameters describes both directions: what a caller may give, and what an answer shows. Such files have no
//! record of their own, since nothing here works with their values but those who deliver.

use farhold_format::section_config::Section;
use serde_json::{Map, Value};

use crate::schema::{Param, ParamKind, Params};

/// Whether a section is new. Comments are kept then even if they are empty (`docs/spec/rest-api.md` 1.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It is created.
    Create,
    /// It is changed.
    Update,
}

/// Returns the values of a section as members of an answer, those of `fields` that are set.
pub fn members(section: &Section, fields: &[Param]) -> Map<String, Value> {
    let member = |field: &Param| {
        let text = section.get(field.name)?;
        let value = match field.kind {
            ParamKind::Boolean => Value::Bool(text == "true"),
            ParamKind::Integer { .. } => text.parse::<i64>().map_or(Value::Null, Value::from),
            ParamKind::List(_) => Value::from(section.list(field.name)),
            _ if field.name == "comment" => Value::from(text.trim()),
            _ => Value::from(text),
        };
        Some((field.name.to_owned(), value))
    };
    fields.iter().filter_map(member).collect()
}

/// Sets the values that the caller gives for `fields`.
pub fn set_given(section: &mut Section, fields: &[Param], given: &Params, purpose: Purpose) {
    for field in fields {
        let texts = match given.value(field.name) {
            None => continue,
            Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(Value::String(text)) if field.name == "comment" => {
                let text = text.trim();
                if text.is_empty() && purpose == Purpose::Update { Vec::new() } else { vec![text.to_owned()] }
            }
            Some(Value::String(text)) => vec![text.clone()],
            Some(other) => vec![other.to_string()],
        };
        section.set_list(field.name, texts);
    }
}

/// Resets the fields that the caller names in `delete`.
pub fn reset_deleted(section: &mut Section, given: &Params) {
    for field in given.texts("delete").unwrap_or_default() {
        section.set(field, None);
    }
}
