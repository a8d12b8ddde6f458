//! Parameters and answers as JSON schemas.

use serde_json::{Map, Value, json};

use crate::schema::{DefaultValue, Field, Param, ParamKind, Requirement, Shape};

/// Returns the schema of a parameter's value.
pub(super) fn parameter(param: &Param) -> Value {
    let mut schema = kind(&param.kind, param.pattern);
    if let Some(default) = param.default {
        schema["default"] = match default {
            DefaultValue::Boolean(value) => value.into(),
            DefaultValue::Integer(value) => value.into(),
            DefaultValue::Text(value) => value.into(),
        };
    }
    schema
}

/// Returns the schema of an object with these parameters as members.
pub(super) fn parameters<'a>(params: impl Iterator<Item = &'a Param> + Clone) -> Value {
    let members = params.clone().map(|param| (param.name.to_owned(), described(parameter(param), param.description)));
    let required: Vec<&str> =
        params.clone().filter(|param| param.requirement == Requirement::Required).map(|param| param.name).collect();
    object(members.collect(), &required)
}

fn kind(kind: &ParamKind, pattern: Option<&str>) -> Value {
    match kind {
        ParamKind::Boolean => json!({ "type": "boolean" }),
        ParamKind::Number => json!({ "type": "number" }),
        ParamKind::Integer { min, max } => {
            let mut schema = json!({ "type": "integer" });
            for (name, limit) in [("minimum", min), ("maximum", max)] {
                if let Some(limit) = limit {
                    schema[name] = (*limit).into();
                }
            }
            schema
        }
        ParamKind::Text { min_length, max_length, hint, .. } => {
            let mut schema = json!({ "type": "string" });
            if 0 < *min_length {
                schema["minLength"] = (*min_length).into();
            }
            if let Some(max_length) = max_length {
                schema["maxLength"] = (*max_length).into();
            }
            if let Some(pattern) = pattern {
                schema["pattern"] = pattern.into();
            }
            // The usual type text of the command line says nothing.
            if *hint != "<string>" {
                schema["title"] = (*hint).into();
            }
            schema
        }
        ParamKind::Enumeration { values, .. } => json!({ "type": "string", "enum": values }),
        ParamKind::List(element) => json!({ "type": "array", "items": self::kind(element, pattern) }),
    }
}

/// Returns the schema of an answer.
pub(super) fn shape(shape: &Shape) -> Value {
    match shape {
        Shape::Undeclared | Shape::Free | Shape::Bytes(_) => json!({}),
        Shape::Null => json!({ "type": "null" }),
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::Integer => json!({ "type": "integer" }),
        Shape::Number => json!({ "type": "number" }),
        Shape::Text(what) => json!({ "type": "string", "title": what }),
        Shape::Word(words) => json!({ "type": "string", "enum": words }),
        Shape::Nullable(inner) => json!({ "anyOf": [self::shape(inner), { "type": "null" }] }),
        Shape::List(inner) => json!({ "type": "array", "items": self::shape(inner) }),
        Shape::Object(_) | Shape::Joined(_) => fields(shape.fields()),
        Shape::Map(inner) => json!({ "type": "object", "additionalProperties": self::shape(inner) }),
        Shape::Either(shapes) => json!({ "anyOf": shapes.iter().map(self::shape).collect::<Vec<_>>() }),
    }
}

/// Returns the schema of an object with these members and no others.
pub(super) fn fields<'a>(fields: impl Iterator<Item = &'a Field> + Clone) -> Value {
    let members =
        fields.clone().map(|field| (field.name.to_owned(), described(shape(&field.shape), field.description)));
    let required: Vec<&str> = fields.clone().filter(|field| field.is_required).map(|field| field.name).collect();
    object(members.collect(), &required)
}

fn object(members: Map<String, Value>, required: &[&str]) -> Value {
    let mut schema = json!({ "type": "object", "properties": members, "additionalProperties": false });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn described(mut schema: Value, description: &str) -> Value {
    if !description.is_empty() {
        schema["description"] = description.into();
    }
    schema
}
