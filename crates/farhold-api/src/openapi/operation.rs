//! One endpoint as an operation of the document.

use http::Method;
use serde_json::{Map, Value, json};

use super::{component, schema};
use crate::declare::{Access, Answer, Declaration, Need, Quantity, RequestBody};
use crate::schema::{Param, Requirement, Shape};

/// Returns the operation of an endpoint.
pub(super) fn operation(declaration: &Declaration) -> Value {
    let mut operation = json!({
        "operationId": operation_id(&declaration.method, declaration.path),
        "tags": [tag(declaration.path)],
        "summary": declaration.summary,
        "description": description(declaration),
        "responses": responses(declaration),
    });
    let parameters = outer_parameters(declaration);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = body(declaration) {
        operation["requestBody"] = body;
    }
    match declaration.access {
        Access::World => operation["security"] = json!([]),
        _ if declaration.method != Method::GET => {
            operation["security"] = json!([{ "ticket": [], "csrf": [] }, { "token": [] }]);
        }
        _ => {}
    }
    operation
}

/// Returns a name for an operation: method and path, without what identifiers must not hold.
pub(super) fn operation_id(method: &Method, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.fold(method.as_str().to_lowercase(), |id, word| format!("{id}_{word}"))
}

/// Returns the branch of the tree that a path belongs to; the root is one of its own.
pub(super) fn tag(path: &str) -> &str {
    path.split('/').nth(1).filter(|part| !part.is_empty()).unwrap_or("root")
}

/// Returns the description of a parameter outside of the body.
pub(super) fn outer(param: &Param, place: &str) -> Value {
    let mut parameter = json!({
        "name": param.name,
        "in": place,
        "description": param.description,
        "schema": schema::parameter(param),
    });
    if place == "path" || param.requirement == Requirement::Required {
        parameter["required"] = true.into();
    }
    parameter
}

fn is_path_variable(declaration: &Declaration, param: &Param) -> bool {
    declaration.path_variables().any(|name| name == param.name)
}

/// Returns whether the parameters besides the path variables stand in the query.
fn uses_query(declaration: &Declaration) -> bool {
    declaration.body == RequestBody::Raw
        || matches!(declaration.answer, Answer::Raw | Answer::Upgrade(_))
        || declaration.method == Method::GET
        || declaration.method == Method::DELETE
}

fn outer_parameters(declaration: &Declaration) -> Vec<Value> {
    let in_path = declaration.path_variables().filter_map(|name| declaration.param(name)).map(|p| outer(p, "path"));
    let others = declaration.params.iter().filter(|param| !is_path_variable(declaration, param));
    let in_query = others.filter(|_| uses_query(declaration)).map(|param| outer(param, "query"));
    in_path.chain(in_query).collect()
}

fn body(declaration: &Declaration) -> Option<Value> {
    if declaration.body == RequestBody::Raw {
        return Some(json!({ "required": true, "content": { "application/octet-stream": {} } }));
    }
    let params = declaration.params.iter().filter(|param| !is_path_variable(declaration, param));
    if uses_query(declaration) || params.clone().next().is_none() {
        return None;
    }
    let is_required = params.clone().any(|param| param.requirement == Requirement::Required);
    let schema = schema::parameters(params);
    Some(json!({
        "required": is_required,
        "content": {
            "application/json": { "schema": schema },
            "application/x-www-form-urlencoded": { "schema": schema },
        },
    }))
}

fn responses(declaration: &Declaration) -> Value {
    let mut responses = Map::new();
    let (status, success) = match declaration.answer {
        Answer::Upgrade(protocol) => ("101", json!({ "description": format!("The connection speaks {protocol} now") })),
        Answer::Task => ("200", answer(declaration, "The task was started")),
        Answer::Value | Answer::Raw => ("200", answer(declaration, "Done")),
    };
    responses.insert(status.to_owned(), success);
    for status in declaration.failures() {
        let reference = format!("#/components/responses/{}", component(status));
        responses.insert(status.to_string(), json!({ "$ref": reference }));
    }
    responses.into()
}

fn answer(declaration: &Declaration, description: &str) -> Value {
    let alternatives = match &declaration.returns {
        Shape::Either(shapes) => shapes,
        one => std::slice::from_ref(one),
    };
    let mut content = Map::new();
    let values: Vec<&Shape> = alternatives.iter().filter(|shape| !matches!(shape, Shape::Bytes(_))).collect();
    if !values.is_empty() {
        let data = match values[..] {
            [one] => schema::shape(one),
            _ => schema::shape(&declaration.returns),
        };
        let mut envelope = schema::fields(declaration.attributes.iter());
        envelope["properties"]["data"] = data;
        let required = declaration.attributes.iter().filter(|field| field.is_required).map(|field| field.name);
        envelope["required"] = std::iter::once("data").chain(required).collect();
        content.insert("application/json".to_owned(), json!({ "schema": envelope }));
    }
    for shape in alternatives {
        if let Shape::Bytes(media_type) = shape
            && !media_type.is_empty()
        {
            content.insert((*media_type).to_owned(), json!({}));
        }
    }
    let mut answer = json!({ "description": description });
    if !content.is_empty() {
        answer["content"] = content.into();
    }
    answer
}

fn description(declaration: &Declaration) -> String {
    let access = match declaration.access {
        Access::World => "Open to everybody, also without a login.".to_owned(),
        Access::Any => "Open to all who are logged in.".to_owned(),
        Access::Declared(need) => format!("Needs {}.", words(&need)),
        Access::Both(need, also) => format!("Needs {} and {}.", words(&need), words(&also)),
        Access::SelfOr(need) => format!("Open to the user itself; others need {}.", words(&need)),
        Access::InHandler(text) => format!("Permissions: {text}."),
    };
    match declaration.answer {
        Answer::Task => format!("{access} Starts a task and answers its UPID."),
        Answer::Upgrade(_) => format!("{access} Switches the connection to another protocol."),
        Answer::Value | Answer::Raw => access,
    }
}

/// Returns a need as `Sys.Audit on /system/status`.
fn words(need: &Need) -> String {
    let joiner = match need.quantity {
        Quantity::All => " and ",
        Quantity::Any => " or ",
    };
    format!("{} on {}", need.privileges.names().collect::<Vec<_>>().join(joiner), need.path)
}
