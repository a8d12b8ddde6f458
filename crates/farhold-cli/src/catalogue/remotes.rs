//! Commands about remotes and server-side encryption keys.
//!
//! Source: `docs/spec/cli.md` 3.2, 4; `docs/spec/rest-api.md` 6, 10.

use http::Method;

use farhold_api::schema::named;

use crate::command::{Align, Command, OptionChoice, rendered, text};
use crate::render::Renderer;

/// The manual and older versions of the reference call `auth-id` so.
const USERID_SYNONYM: &[(&str, &str)] = &[("userid", "auth-id")];

pub(super) fn commands() -> Vec<Command> {
    let mut create =
        Command::call(&["remote", "create"], Method::POST, "/config/remote", "Create a remote").positional(&["name"]);
    create.synonyms = USERID_SYNONYM;
    let mut update = Command::call(&["remote", "update"], Method::PUT, "/config/remote/{name}", "Change a remote")
        .positional(&["name"]);
    update.synonyms = USERID_SYNONYM;
    vec![
        create,
        update,
        Command::call(&["remote", "list"], Method::GET, "/config/remote", "List the remotes").table(vec![
            text("name"),
            text("host"),
            text("auth-id"),
            text("fingerprint"),
            text("comment"),
        ]),
        Command::call(&["remote", "show"], Method::GET, "/config/remote/{name}", "Show a remote without its password")
            .positional(&["name"])
            .object(&["name", "auth-id", "host"], &[]),
        Command::call(&["remote", "remove"], Method::DELETE, "/config/remote/{name}", "Remove a remote")
            .positional(&["name"]),
        Command::call(
            &["remote", "scan"],
            Method::GET,
            "/config/remote/{name}/scan",
            "List the datastores of a remote",
        )
        .positional(&["name"])
        .table(vec![text("store"), text("mount-status"), text("maintenance"), text("comment")])
        .extension(),
        Command::call(
            &["remote", "scan-namespaces"],
            Method::GET,
            "/config/remote/{name}/scan/{store}/namespaces",
            "List the namespaces of a remote's datastore",
        )
        .positional(&["name", "store"])
        .table(vec![text("ns"), text("comment")])
        .extension(),
        Command::call(
            &["remote", "scan-groups"],
            Method::GET,
            "/config/remote/{name}/scan/{store}/groups",
            "List the backup groups of a remote's datastore",
        )
        .positional(&["name", "store"])
        .options(OptionChoice::Except(&["namespace"]))
        .extra(named::NS)
        .prepare(|params| {
            if let Some(ns) = params.remove("ns") {
                params.insert("namespace".to_owned(), ns);
            }
        })
        .table(vec![
            text("backup-type"),
            text("backup-id"),
            rendered("last-backup", Align::Left, Renderer::Epoch),
            crate::command::number("backup-count"),
            text("owner"),
            text("comment"),
        ])
        .extension(),
        Command::call(
            &["encryption-key", "list"],
            Method::GET,
            "/config/encryption-keys",
            "List the encryption keys of this server",
        )
        .table(vec![
            text("id"),
            text("fingerprint"),
            rendered("created", Align::Left, Renderer::Epoch),
            rendered("archived-at", Align::Left, Renderer::Epoch),
            text("hint"),
        ])
        .extension(),
        Command::call(
            &["encryption-key", "create"],
            Method::POST,
            "/config/encryption-keys",
            "Create an encryption key",
        )
        .positional(&["id"])
        .extension(),
        Command::call(
            &["encryption-key", "toggle-archive"],
            Method::POST,
            "/config/encryption-keys/{id}",
            "Archive an encryption key, or take it back",
        )
        .positional(&["id"])
        .extension(),
        Command::call(
            &["encryption-key", "remove"],
            Method::DELETE,
            "/config/encryption-keys/{id}",
            "Remove an encryption key that no sync job names",
        )
        .positional(&["id"])
        .extension(),
    ]
}
