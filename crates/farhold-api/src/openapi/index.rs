//! The inner nodes of the tree: each answers GET with the names below it. Source: `docs/spec/rest-api.md` 1.1.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use super::operation::{operation_id, outer, tag};
use super::{component, schema};
use crate::declare::Declaration;
use crate::schema::{Param, shapes};

/// Returns the operations of the inner nodes by path, without those that have a GET endpoint of their own.
pub(super) fn nodes<'a>(declarations: &[&'a Declaration]) -> BTreeMap<&'a str, Value> {
    let mut nodes = BTreeMap::new();
    for declaration in declarations {
        let path = declaration.path;
        let inner = path.match_indices('/').map(|(end, _)| if end == 0 { "/" } else { &path[..end] });
        for node in inner {
            let is_endpoint = |other: &&Declaration| other.path == node && other.method == Method::GET;
            if !declarations.iter().any(is_endpoint) {
                nodes.entry(node).or_insert_with(|| operation(node, declaration));
            }
        }
    }
    nodes
}

/// `below`: an endpoint below the node, which knows the variables of the path.
fn operation(path: &str, below: &Declaration) -> Value {
    let variables = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameters: Vec<Value> =
        variables.filter_map(|name| below.param(name)).map(|param: &Param| outer(param, "path")).collect();
    let reference = |status: u16| json!({ "$ref": format!("#/components/responses/{}", component(status)) });
    let mut operation = json!({
        "operationId": operation_id(&Method::GET, path),
        "tags": [tag(path)],
        "summary": "List what lies below",
        "description": "Open to all who are logged in. Nothing is looked up: names in the path need not exist.",
        "responses": {
            "200": {
                "description": "Done",
                "content": { "application/json": { "schema": {
                    "type": "object",
                    "properties": { "data": schema::shape(&shapes::INDEX) },
                    "required": ["data"],
                    "additionalProperties": false,
                } } },
            },
            "400": reference(400),
            "401": reference(401),
            "414": reference(414),
        },
    });
    if !parameters.is_empty() {
        operation["responses"]["404"] = reference(404);
        operation["parameters"] = parameters.into();
    }
    operation
}
