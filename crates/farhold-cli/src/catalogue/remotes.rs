//! Commands about remotes.
//!
//! Source: `docs/spec/cli.md` 3.2, 4; `docs/spec/rest-api.md` 6.

use http::Method;
use serde_json::{Map, Value};

use farhold_api::schema::named;

use crate::command::{Align, Column, Command, Output, Routed, TableSpec, number, rendered, text};
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
        scan(),
        super::probe::command(),
    ]
}

/// Lists what a remote has: its datastores, or the namespaces or groups of one of them.
fn scan() -> Command {
    let mut command = Command::call(
        &["remote", "scan"],
        Method::GET,
        "/config/remote/{name}/scan",
        "List the datastores of a remote, or the namespaces or backup groups of one of them",
    )
    .positional(&["name"])
    .extra(named::STORE.is_optional().described("Datastore of the remote to look into"))
    .extra(named::flag("namespaces", "List the namespaces of the datastore"))
    .extra(named::flag("groups", "List the backup groups of the datastore"))
    .extra(named::NS.described("Namespace whose groups are listed"))
    .table(vec![text("store"), text("mount-status"), text("maintenance"), text("comment")])
    .extension();
    command.route = Some(scan_route);
    command
}

fn scan_route(params: &mut Map<String, Value>) -> Result<Option<Routed>, (&'static str, &'static str)> {
    let mut is_given = |name: &str| params.remove(name) == Some(Value::Bool(true));
    let (namespaces, groups) = (is_given("namespaces"), is_given("groups"));
    let (has_store, has_ns) = (params.contains_key("store"), params.contains_key("ns"));
    if has_ns && !groups {
        return Err(("ns", "only groups are listed by namespace"));
    }
    let (path, columns) = match (has_store, namespaces, groups) {
        (false, false, false) => return Ok(None),
        (false, ..) => return Err(("store", "needed to list namespaces or groups")),
        (true, true, false) => ("/config/remote/{name}/scan/{store}/namespaces", vec![text("ns"), text("comment")]),
        (true, false, true) => ("/config/remote/{name}/scan/{store}/groups", group_columns()),
        (true, ..) => return Err(("store", "either namespaces or groups of it can be listed")),
    };
    if let Some(ns) = params.remove("ns") {
        params.insert("namespace".to_owned(), ns);
    }
    let output = Output::Table(TableSpec { columns, ..TableSpec::default() });
    Ok(Some(Routed { method: Method::GET, path, output }))
}

fn group_columns() -> Vec<Column> {
    vec![
        text("backup-type"),
        text("backup-id"),
        rendered("last-backup", Align::Left, Renderer::Epoch),
        number("backup-count"),
        text("owner"),
        text("comment"),
    ]
}
