//! `/farhold/access/check`: who may do what on which path, and which entry of the access control list says so.

use std::sync::Arc;

use farhold_access::Check;
use farhold_jobs::App;
use farhold_rules::acl::{AclPath, Verdict, Weighed};
use farhold_types::{Authid, Privileges};
use serde_json::{Value, json};

use super::super::blocking;
use super::acl::{OPTIONAL_PATH, by_privilege};
use crate::declare::{Access, Endpoint, Need, Reply, Request};
use crate::error::ApiError;
use crate::schema::{Field, Param, ParamKind, Shape, named, shapes};

const PRIVILEGE: Param = Param::optional(
    "privilege",
    ParamKind::Text { min_length: 1, max_length: Some(64), check: Some(is_privilege), hint: "<privilege>" },
    "Say of this privilege whether it is held, and why",
);

const VERDICTS: &[&str] = &["grants", "denies", "stays-above", "replaced"];
const ENTRY: Shape = Shape::Object(&[
    Field::required("line", Shape::Text("acl:PROPAGATE:PATH:ID:ROLE"), "The entry as a line of its own"),
    Field::required("path", Shape::Text("access control path"), "Where it stands"),
    Field::required("auth-id", shapes::AUTHID, "Whom it is about; for an API token also its user"),
    Field::required("role", Shape::Text("role"), "What it gives"),
    Field::required("propagate", Shape::Boolean, "Whether it counts below its path"),
    Field::required("verdict", Shape::Word(VERDICTS), "What becomes of it on the path that was asked about"),
    Field::optional("replaced-by", Shape::Text("access control path"), "Where the entry stands that takes its place"),
]);
const CHECK: Shape = Shape::Object(&[
    Field::required("auth-id", shapes::AUTHID, "Who"),
    Field::required("path", Shape::Text("access control path"), "Where"),
    Field::required("active", Shape::Boolean, "Whether it exists, is enabled and has not expired"),
    Field::required("privileges", Shape::Map(&Shape::Boolean), "Each held privilege with whether it propagates"),
    Field::required("entries", Shape::List(&ENTRY), "Every entry on the way to the path, from the root down"),
    Field::optional("allowed", Shape::Boolean, "Whether the privilege is held that was asked about"),
    Field::optional("reason", shapes::TEXT, "Why, with the entries that decide"),
]);

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/farhold/access/check", "Explain who may do what on which path", check)
            .params(&[named::AUTH_ID, OPTIONAL_PATH, PRIVILEGE])
            .access(Access::Declared(Need::all(Privileges::SYS_AUDIT, "/access")))
            .returns(Shape::List(&CHECK)),
    ]
}

fn is_privilege(text: &str) -> Result<(), String> {
    let names = || Privileges::ALL.names().collect::<Vec<_>>().join(", ");
    text.parse::<Privileges>().map(drop).map_err(|_| format!("no such privilege, expected one of {}", names()))
}

async fn check(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let params = request.params;
    let (authid, path): (Option<Authid>, Option<AclPath>) = (params.parse("auth-id")?, params.parse("path")?);
    let privilege: Option<Privileges> = params.parse("privilege")?;
    blocking(move || {
        let checks = app.access.check(authid.as_ref(), path.as_ref())?;
        Ok::<_, ApiError>(Reply::value(checks.iter().map(|check| item(check, privilege)).collect::<Vec<_>>()))
    })
    .await
}

fn item(check: &Check, privilege: Option<Privileges>) -> Value {
    let explanation = &check.explanation;
    let entries: Vec<Value> = explanation.own.iter().chain(explanation.user.iter().flatten()).map(entry).collect();
    let mut item = json!({
        "auth-id": explanation.authid,
        "path": explanation.path.to_string(),
        "active": check.is_active,
        "privileges": by_privilege(check.held()),
        "entries": entries,
    });
    if let Some(privilege) = privilege {
        let (is_allowed, reason) = check.decide(privilege);
        item["allowed"] = is_allowed.into();
        item["reason"] = reason.into();
    }
    item
}

fn entry(entry: &Weighed) -> Value {
    let verdict = match &entry.verdict {
        Verdict::Grants => "grants",
        Verdict::Denies => "denies",
        Verdict::StaysAbove => "stays-above",
        Verdict::Replaced(_) => "replaced",
    };
    let mut item = json!({
        "line": entry.line(),
        "path": entry.path,
        "auth-id": entry.authid,
        "role": entry.role.as_str(),
        "propagate": entry.is_propagated,
        "verdict": verdict,
    });
    if let Verdict::Replaced(by) = &entry.verdict {
        item["replaced-by"] = by.as_str().into();
    }
    item
}
