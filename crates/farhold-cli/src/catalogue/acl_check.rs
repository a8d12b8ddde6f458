//! `acl check`: who may do what where, and which entry of the access control list says so. Our own.

use std::fmt::Write as _;

use http::Method;
use serde_json::Value;

use farhold_api::schema::named;

use crate::command::{Command, Output};
use crate::render::printable;

/// Width of the column of verdicts: the longest of them.
const VERDICT_WIDTH: usize = 11;

pub(super) fn command() -> Command {
    Command::call(
        &["acl", "check"],
        Method::GET,
        "/farhold/access/check",
        "Show who may do what on a path, and which access control entries say so",
    )
    .positional(&["auth-id"])
    .extra(named::AUTH_ID.described("User or API token; all that have an entry if not given"))
    .output(Output::Text { render: checks_text, has_formats: true })
    .extension()
}

/// Returns one paragraph for each identity and path.
fn checks_text(checks: &Value) -> String {
    let paragraphs: Vec<String> = checks.as_array().into_iter().flatten().map(check_text).collect();
    paragraphs.join("\n")
}

fn check_text(check: &Value) -> String {
    let field = |value: &Value, name: &str| printable(value[name].as_str().unwrap_or_default());
    let mut text = format!("{} on {}", field(check, "auth-id"), field(check, "path"));
    text.push_str(if check["active"] == false { " (disabled, expired or unknown)\n" } else { "\n" });
    if let Some(is_allowed) = check["allowed"].as_bool() {
        let _ = writeln!(text, "  {}: {}", if is_allowed { "allowed" } else { "refused" }, field(check, "reason"));
    }
    let privileges = check["privileges"].as_object().into_iter().flatten();
    let held: Vec<String> = privileges
        .map(|(privilege, propagates)| format!("{privilege}{}", if *propagates == true { " (*)" } else { "" }))
        .collect();
    let held = if held.is_empty() { "none".to_owned() } else { held.join(", ") };
    let _ = writeln!(text, "  privileges: {held}");
    for entry in check["entries"].as_array().into_iter().flatten() {
        let verdict = match entry["verdict"].as_str() {
            Some("grants") => "grants",
            Some("denies") => "denies",
            Some("stays-above") => "stays above",
            _ => "is replaced",
        };
        let _ = write!(text, "  {verdict:<VERDICT_WIDTH$}  {}", field(entry, "line"));
        if entry["replaced-by"].is_string() {
            let _ = write!(text, "  (by an entry on {})", field(entry, "replaced-by"));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn entries_are_shown_with_what_becomes_of_them() {
        let checks = json!([
            {
                "auth-id": "sync@pbs",
                "path": "/datastore/store1",
                "active": true,
                "privileges": { "Datastore.Audit": true, "Datastore.Read": false },
                "allowed": false,
                "reason": "no entry gives Datastore.Modify",
                "entries": [
                    { "line": "acl:0:/:sync@pbs:Audit", "verdict": "stays-above" },
                    {
                        "line": "acl:1:/datastore:sync@pbs:Admin",
                        "verdict": "replaced",
                        "replaced-by": "/datastore/store1",
                    },
                    { "line": "acl:1:/datastore/store1:sync@pbs:DatastoreReader", "verdict": "grants" },
                ],
            },
            { "auth-id": "old@pbs", "path": "/", "active": false, "privileges": {}, "entries": [] },
        ]);
        assert_eq!(
            checks_text(&checks),
            "sync@pbs on /datastore/store1\n\
             \x20 refused: no entry gives Datastore.Modify\n\
             \x20 privileges: Datastore.Audit (*), Datastore.Read\n\
             \x20 stays above  acl:0:/:sync@pbs:Audit\n\
             \x20 is replaced  acl:1:/datastore:sync@pbs:Admin  (by an entry on /datastore/store1)\n\
             \x20 grants       acl:1:/datastore/store1:sync@pbs:DatastoreReader\n\
             \n\
             old@pbs on / (disabled, expired or unknown)\n\
             \x20 privileges: none\n"
        );
    }
}
