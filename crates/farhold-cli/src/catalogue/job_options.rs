//! `job-options`: options of jobs that only Farhold has.

use farhold_api::schema::{Param, named};
use http::Method;

use crate::command::{Command, number, text};

const ONE: &str = "/farhold/job-options/{type}/{id}";

const fn file(name: &'static str, description: &'static str) -> Param {
    Param::optional(name, named::ANY_TEXT, description)
}

pub(super) fn commands() -> Vec<Command> {
    vec![
        Command::call(
            &["job-options", "list"],
            Method::GET,
            "/farhold/job-options",
            "List the jobs that have options of Farhold's own",
        )
        .table(vec![
            text("type"),
            text("id"),
            text("stale-after"),
            number("verify-after"),
            number("traffic-control"),
            text("ping-success"),
            text("ping-failure"),
        ])
        .extension(),
        Command::call(&["job-options", "show"], Method::GET, ONE, "Show options of a job that only Farhold has")
            .positional(&["type", "id"])
            .object(&["type", "id"], &[])
            .extension(),
        Command::call(&["job-options", "update"], Method::PUT, ONE, "Change options of a job that only Farhold has")
            .positional(&["type", "id"])
            .extra(file("ping-success-file", "File that holds the value of ping-success"))
            .extra(file("ping-failure-file", "File that holds the value of ping-failure"))
            .files(&[("ping-success-file", "ping-success"), ("ping-failure-file", "ping-failure")])
            .extension(),
    ]
}
