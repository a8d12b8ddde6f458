//! Commands about datastores and garbage collection.
//!
//! Source: `docs/spec/cli.md` 3.5, 3.6; `docs/spec/rest-api.md` 8, 12.9, 13.

use http::Method;
use serde_json::{Map, Value};

use farhold_api::schema::named;

use super::jobs::KEEP;
use crate::command::{Align, Command, OptionChoice, Output, TaskMode, rendered, text};
use crate::output::result_text;
use crate::render::Renderer;

pub(super) fn commands() -> Vec<Command> {
    vec![
        Command::call(&["datastore", "list"], Method::GET, "/config/datastore", "List the datastores").table(vec![
            text("name"),
            text("path"),
            text("comment"),
        ]),
        Command::call(&["datastore", "show"], Method::GET, "/config/datastore/{name}", "Show a datastore")
            .positional(&["name"])
            .object(&["name", "path"], &[KEEP]),
        Command::call(
            &["datastore", "create"],
            Method::POST,
            "/config/datastore",
            "Create a datastore and follow the task's log",
        )
        .positional(&["name", "path"])
        .output(Output::Task(TaskMode::Follow)),
        Command::call(&["datastore", "update"], Method::PUT, "/config/datastore/{name}", "Change a datastore")
            .positional(&["name"])
            // Unlike other updates it goes to the running server, and has a choice of format.
            .output(Output::Text { render: result_text, has_formats: true }),
        Command::call(&["datastore", "remove"], Method::DELETE, "/config/datastore/{name}", "Remove a datastore")
            .positional(&["name"])
            .output(Output::Task(TaskMode::Wait)),
        Command::call(
            &["datastore", "repair"],
            Method::POST,
            "/farhold/repair/{store}",
            "Mend a datastore from a copy and follow the task's log",
        )
        .positional(&["store"])
        .output(Output::Task(TaskMode::Follow))
        .extension(),
        Command::call(
            &["datastore", "mount"],
            Method::POST,
            "/admin/datastore/{store}/mount",
            "Mount a removable datastore and follow the task's log",
        )
        .positional(&["store"])
        .extra(named::DIGEST)
        .prepare(without_digest)
        .output(Output::Task(TaskMode::Follow)),
        Command::call(
            &["datastore", "unmount"],
            Method::POST,
            "/admin/datastore/{store}/unmount",
            "Unmount a removable datastore",
        )
        .positional(&["store"])
        .extra(named::DIGEST)
        .prepare(without_digest)
        .output(Output::Task(TaskMode::Wait)),
        Command::call(
            &["datastore", "uuid-mount"],
            Method::POST,
            "/farhold/uuid-mount",
            "Mount the removable datastore that lies on a file system, if there is one",
        )
        .positional(&["uuid"])
        .output(Output::Task(TaskMode::Follow)),
        Command::call(
            &["garbage-collection", "start"],
            Method::POST,
            "/admin/datastore/{store}/gc",
            "Remove unused chunks now",
        )
        .positional(&["store"])
        .output(Output::Task(TaskMode::Follow)),
        Command::call(
            &["garbage-collection", "status"],
            Method::GET,
            "/admin/datastore/{store}/gc",
            "Show the result of the last garbage collection",
        )
        .positional(&["store"])
        .object(
            &[
                "store",
                "disk-bytes",
                "disk-chunks",
                "index-data-bytes",
                "index-file-count",
                "pending-bytes",
                "pending-chunks",
                "removed-bad",
                "removed-bytes",
                "removed-chunks",
                "still-bad",
            ],
            &[&["cache-stats", "upid"]],
        ),
        Command::call(
            &["garbage-collection", "list"],
            Method::GET,
            "/admin/gc",
            "List the garbage collection status of all datastores",
        )
        .options(OptionChoice::Except(&["store"]))
        .table(vec![
            text("store"),
            rendered("last-run-endtime", Align::Left, Renderer::Epoch),
            rendered("duration", Align::Left, Renderer::Duration),
            rendered("removed-bytes", Align::Left, Renderer::Bytes),
            rendered("pending-bytes", Align::Left, Renderer::Bytes),
            text("last-run-state"),
            text("schedule"),
            rendered("next-run", Align::Left, Renderer::Epoch),
        ]),
    ]
}

/// The digest is accepted and ignored, as the reference does: mounting changes no configuration.
fn without_digest(params: &mut Map<String, Value>) {
    params.remove("digest");
}
