//! `job-runs`: what the runs of jobs did.

use http::Method;

use crate::command::{Align, Command, number, rendered, text};
use crate::render::Renderer;

pub(super) fn commands() -> Vec<Command> {
    vec![
        Command::call(
            &["job-runs", "list"],
            Method::GET,
            "/farhold/job-runs",
            "List jobs with what their runs add up to",
        )
        .table(vec![
            text("type"),
            text("id"),
            text("store"),
            rendered("last-success", Align::Left, Renderer::Epoch),
            rendered("last-run-endtime", Align::Left, Renderer::Epoch),
            text("last-run-state"),
            number("failures-in-row"),
            number("behind"),
        ])
        .extension(),
        Command::call(
            &["job-runs", "show"],
            Method::GET,
            "/farhold/job-runs/{type}/{id}",
            "List the kept runs of a job, oldest first",
        )
        .positional(&["type", "id"])
        .table(vec![
            rendered("starttime", Align::Left, Renderer::Epoch),
            rendered("endtime", Align::Left, Renderer::Epoch),
            text("status"),
            rendered("bytes", Align::Right, Renderer::Bytes),
            number("snapshots"),
            number("behind"),
            number("failures"),
            number("retries"),
        ])
        .extension(),
    ]
}
