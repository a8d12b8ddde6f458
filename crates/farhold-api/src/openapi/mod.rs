//! The description of the interface as an OpenAPI 3.1 document, made from the declarations of the endpoints.
//!
//! Everything in it is declared once, beside the handlers: paths, parameters with their limits, permissions, answers,
//! statuses. The document of a release lies in `docs/openapi.json`; a test compares it, and `cargo xtask openapi`
//! writes it. A server gives its own at `/api2/json/farhold/openapi`, and `/api-docs` shows it.
//!
//! The document describes the `json` format. Errors are declared without a media type: their body is a plain text,
//! although the `Content-Type` header names JSON, as clients of the reference product expect.

mod index;
mod operation;
mod schema;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::declare::Declaration;

/// What readers need to know about all calls.
const ABOUT: &str = "\
All paths are below `/api2/json`. The same calls exist below `/api2/extjs`: they always answer with status 200 and an \
object with `success`, `status`, `message` and `errors`, or `data`.

**Log in** with `POST /access/ticket` and send the ticket as the cookie `PBSAuthCookie`; calls other than GET also need \
the header `CSRFPreventionToken`. Or send an API token: `Authorization: PBSAPIToken=user@realm!name:secret`.

**Parameters** of GET and DELETE stand in the query, those of POST and PUT in the body, as JSON or as a form. In a form \
the name of a list is repeated for each value, and a boolean may also be `1`, `on`, `yes`, `0`, `off` or `no`. Unknown \
parameters are refused.

**Answers** hold their value in `data`. A task is answered by its UPID; `/nodes/localhost/tasks/{upid}/status` tells \
how it ended.

**Errors** are a plain text. The one of wrong parameters begins with `parameter verification failed`. What does not \
exist is a 400, and most denied permissions inside of a call are, too.";

/// Statuses that calls fail with, and what they mean.
const FAILURES: [(u16, &str); 7] = [
    (400, "The call cannot be made so: wrong parameters, something does not exist or is in use. The body is a text."),
    (401, "Credentials are missing or wrong; answered after 3 seconds. The body is a text."),
    (403, "A permission is missing. The body is a text."),
    (404, "There is no such object. The body is a text."),
    (414, "Path and query are longer than 3072 bytes."),
    (500, "The server, or another one that it asked, failed. The body is a text."),
    (501, "Users of this realm have no password that can be changed here. The body is a text."),
];

/// Returns the document for these endpoints.
pub fn document<'a>(declarations: impl IntoIterator<Item = &'a Declaration>) -> Value {
    let declarations: Vec<&Declaration> = declarations.into_iter().collect();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for declaration in &declarations {
        let method = declaration.method.as_str().to_lowercase();
        paths.entry(declaration.path).or_default().insert(method, operation::operation(declaration));
    }
    for (path, item) in index::nodes(&declarations) {
        paths.entry(path).or_default().insert("get".to_owned(), item);
    }
    let failures: Map<String, Value> =
        FAILURES.iter().map(|(status, text)| (component(*status), json!({ "description": text }))).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Farhold",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": env!("CARGO_PKG_LICENSE") },
            "description": ABOUT,
        },
        "servers": [{ "url": "/api2/json" }],
        "security": [{ "ticket": [] }, { "token": [] }],
        "paths": paths,
        "components": {
            "responses": failures,
            "securitySchemes": {
                "ticket": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "PBSAuthCookie",
                    "description": "The ticket of a login; valid for two hours",
                },
                "csrf": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "CSRFPreventionToken",
                    "description": "The token that came with the ticket",
                },
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "An API token: `PBSAPIToken=user@realm!name:secret`",
                },
            },
        },
    })
}

/// Returns the name of the component that describes a status.
fn component(status: u16) -> String {
    format!("Status{status}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;
    use crate::endpoints;

    const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");

    fn current() -> Value {
        let endpoints = endpoints::all();
        document(endpoints.iter().map(|endpoint| &endpoint.declaration))
    }

    fn operations(document: &Value) -> impl Iterator<Item = (&String, &String, &Value)> {
        let paths = document["paths"].as_object().into_iter().flatten();
        paths.flat_map(|(path, item)| item.as_object().into_iter().flatten().map(move |(m, o)| (path, m, o)))
    }

    #[test]
    fn the_committed_document_is_the_current_one() {
        let current = current();
        if std::env::var_os("FARHOLD_WRITE_DOCS").is_some() {
            let text = serde_json::to_string_pretty(&current).unwrap() + "\n";
            fs::write(COMMITTED, text).unwrap();
        }
        let committed: Value = serde_json::from_str(&fs::read_to_string(COMMITTED).unwrap()).unwrap();
        let paths = |document: &Value| -> BTreeSet<String> {
            operations(document).map(|(path, method, operation)| format!("{method} {path} {operation}")).collect()
        };
        let (now, then) = (paths(&current), paths(&committed));
        let changed: Vec<&str> = now.symmetric_difference(&then).map(|text| &text[..text.len().min(80)]).collect();
        assert!(changed.is_empty(), "`cargo xtask openapi` writes docs/openapi.json anew; what differs: {changed:#?}");
        assert!(current == committed, "`cargo xtask openapi` writes docs/openapi.json anew");
    }

    #[test]
    fn operations_have_names_of_their_own_and_paths_do_not_overlap() {
        let document = current();
        let mut names = BTreeSet::new();
        for (path, method, operation) in operations(&document) {
            assert!(names.insert(operation["operationId"].as_str().unwrap()), "{method} {path}");
        }
        let mut templates = BTreeMap::new();
        for path in document["paths"].as_object().unwrap().keys() {
            let parts: Vec<&str> =
                path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect();
            assert_eq!(templates.insert(parts.join("/"), path), None, "the same with another variable: {path}");
        }
    }

    #[test]
    fn all_path_variables_are_described_and_all_references_lead_somewhere() {
        let document = current();
        for (path, method, operation) in operations(&document) {
            let described: BTreeSet<&str> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            let variables: BTreeSet<&str> =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            assert_eq!(described, variables, "{method} {path}");
            for (status, response) in operation["responses"].as_object().unwrap() {
                if let Some(reference) = response["$ref"].as_str() {
                    let place = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(place).is_some(), "{method} {path} {status}: {reference}");
                }
            }
        }
    }
}
