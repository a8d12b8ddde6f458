//! Commands about users, API tokens and access control.
//!
//! Source: `docs/spec/cli.md` 3.10, 3.11; `docs/spec/rest-api.md` 5.3 to 5.6.

use std::fmt::Write as _;

use http::Method;
use serde_json::Value;

use crate::command::{Align, Column, Command, OptionChoice, Output, number, rendered, text};
use crate::render::Renderer;

const TOKEN: &str = "/access/users/{userid}/token/{token-name}";

pub(super) fn commands() -> Vec<Command> {
    vec![
        Command::call(&["user", "list"], Method::GET, "/access/users", "List the users")
            .options(OptionChoice::Only(&[]))
            .table(vec![
                text("userid"),
                enable(),
                expire(),
                text("firstname"),
                text("lastname"),
                text("email"),
                text("comment"),
            ]),
        Command::call(&["user", "create"], Method::POST, "/access/users", "Create a user").positional(&["userid"]),
        Command::call(&["user", "update"], Method::PUT, "/access/users/{userid}", "Change a user")
            .positional(&["userid"]),
        Command::call(
            &["user", "remove"],
            Method::DELETE,
            "/access/users/{userid}",
            "Remove a user with all its API tokens",
        )
        .positional(&["userid"]),
        Command::call(
            &["user", "list-tokens"],
            Method::GET,
            "/access/users/{userid}/token",
            "List the API tokens of a user",
        )
        .positional(&["userid"])
        .table(vec![text("tokenid"), enable(), expire(), text("comment")]),
        Command::call(&["user", "generate-token"], Method::POST, TOKEN, "Create an API token and show its secret once")
            .positional(&["userid", "token-name"]),
        Command::call(&["user", "delete-token"], Method::DELETE, TOKEN, "Remove an API token")
            .positional(&["userid", "token-name"]),
        Command::call(
            &["user", "permissions"],
            Method::GET,
            "/access/permissions",
            "Show what a user or API token may do",
        )
        .positional(&["auth-id"])
        .output(Output::Text { render: permissions_text, has_formats: true }),
        Command::call(
            &["user", "tfa", "list"],
            Method::GET,
            "/access/tfa/{userid}",
            "List the second factors of a user",
        )
        .positional(&["userid"])
        .table(vec![
            text("id"),
            text("type"),
            text("description"),
            rendered("created", Align::Left, Renderer::Epoch),
            enable(),
        ]),
        Command::call(
            &["user", "tfa", "delete"],
            Method::DELETE,
            "/access/tfa/{userid}/{id}",
            "Remove a second factor of a user",
        )
        .positional(&["userid", "id"]),
        Command::call(
            &["user", "tfa", "unlock"],
            Method::PUT,
            "/access/users/{userid}/unlock-tfa",
            "Let a user try second factors again after too many wrong ones",
        )
        .positional(&["userid"]),
        Command::call(&["acl", "list"], Method::GET, "/access/acl", "List the access control entries")
            .options(OptionChoice::Only(&[]))
            .table(vec![text("ugid"), text("path"), number("propagate"), text("roleid")]),
        Command::call(&["acl", "update"], Method::PUT, "/access/acl", "Add or remove an access control entry")
            .positional(&["path", "role"]),
        super::acl_check::command(),
    ]
}

fn enable() -> Column {
    rendered("enable", Align::Right, Renderer::Enabled)
}

fn expire() -> Column {
    rendered("expire", Align::Right, Renderer::Expire)
}

/// Returns the privileges path by path.
///
/// `permissions`: object path to object privilege to whether it propagates.
fn permissions_text(permissions: &Value) -> String {
    let mut text = "Privileges with (*) have the propagate flag set\n".to_owned();
    // Objects keep their keys in alphabetical order.
    for (index, (path, privileges)) in permissions.as_object().into_iter().flatten().enumerate() {
        if index == 0 {
            text.push('\n');
        }
        let _ = writeln!(text, "Path: {path}");
        let mut is_empty = true;
        for (privilege, propagates) in privileges.as_object().into_iter().flatten() {
            let mark = if propagates.as_bool() == Some(true) { " (*)" } else { "" };
            let _ = writeln!(text, "- {privilege}{mark}");
            is_empty = false;
        }
        if is_empty {
            text.push_str("- NoAccess\n");
        }
    }
    text
}
