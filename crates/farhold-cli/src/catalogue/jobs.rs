//! Commands about sync jobs, one-off syncs, and the other scheduled jobs.
//!
//! Source: `docs/spec/cli.md` 3.3, 3.4, 3.7 to 3.9, 3.12; `docs/spec/rest-api.md` 7, 9, 13, 14.

use farhold_api::schema::named;
use http::Method;
use serde_json::{Map, Value};

use super::dry_run::{explanation_text, plan_text};
use crate::command::{Align, Command, OptionChoice, Output, Routed, TaskMode, number, rendered, text};
use crate::render::Renderer;

/// Rate limits: shown last.
pub(super) const RATE: &[&str] = &["burst-in", "burst-out", "rate-in", "rate-out"];
/// Keep options: shown last.
pub(super) const KEEP: &[&str] =
    &["keep-daily", "keep-hourly", "keep-last", "keep-monthly", "keep-weekly", "keep-yearly"];

/// Parameters of `/pull` and `/push` that the reference does not offer on its command line.
const NOT_ON_COMMAND_LINE: OptionChoice =
    OptionChoice::Except(&["worker-threads", "decryption-keys", "encryption-key"]);

pub(super) fn commands() -> Vec<Command> {
    [sync_jobs(), one_off(), prune_jobs(), verify_jobs(), traffic_control()].into_iter().flatten().collect()
}

fn sync_jobs() -> Vec<Command> {
    vec![
        Command::call(
            &["sync-job", "list"],
            Method::GET,
            "/config/sync",
            "List the sync jobs of one or both directions",
        )
        .table(vec![
            text("id"),
            text("sync-direction"),
            text("store"),
            text("remote"),
            text("remote-store"),
            text("schedule"),
            rendered("group-filter", Align::Left, Renderer::GroupFilter),
            text("rate-in"),
            text("comment"),
        ]),
        Command::call(&["sync-job", "show"], Method::GET, "/config/sync/{id}", "Show a sync job")
            .positional(&["id"])
            .object(&["id", "remote-store", "store"], &[RATE]),
        Command::call(&["sync-job", "create"], Method::POST, "/config/sync", "Create a sync job")
            .positional(&["id"])
            .extra(named::flag("dry-run", "Show what the job would do, and do not create it"))
            .route(dry_run_of_new_route),
        Command::call(&["sync-job", "update"], Method::PUT, "/config/sync/{id}", "Change a sync job")
            .positional(&["id"]),
        Command::call(&["sync-job", "remove"], Method::DELETE, "/config/sync/{id}", "Remove a sync job")
            .positional(&["id"]),
        Command::call(
            &["sync-job", "run"],
            Method::POST,
            "/admin/sync/{id}/run",
            "Run a sync job now and follow its log",
        )
        .positional(&["id"])
        .extra(named::flag("dry-run", "Show what the run would do, and do nothing"))
        .route(dry_run_route)
        .output(Output::Task(TaskMode::FollowWithProgress)),
        Command::call(
            &["sync-job", "explain"],
            Method::GET,
            "/farhold/sync/{id}/explain",
            "Show why a sync job takes a snapshot or leaves it out",
        )
        .positional(&["id", "snapshot"])
        .output(Output::Text { render: explanation_text, has_formats: true })
        .extension(),
        Command::call(
            &["sync-job", "progress"],
            Method::GET,
            "/farhold/sync/progress",
            "Show how far running syncs are",
        )
        .table(vec![
            text("id"),
            number("groups_done"),
            number("groups"),
            number("snapshots_done"),
            number("snapshots"),
            rendered("bytes_done", Align::Right, Renderer::Bytes),
            rendered("bytes_left", Align::Right, Renderer::Bytes),
            number("failures"),
            number("retries"),
            text("upid"),
        ])
        .extension(),
    ]
}

/// A dry run starts no task.
fn dry_run_route(params: &mut Map<String, Value>) -> Result<Option<Routed>, (&'static str, &'static str)> {
    Ok(planned(params, Method::GET, "/farhold/sync/{id}/plan"))
}

/// A dry run stores no job.
fn dry_run_of_new_route(params: &mut Map<String, Value>) -> Result<Option<Routed>, (&'static str, &'static str)> {
    Ok(planned(params, Method::POST, "/farhold/sync/plan"))
}

fn planned(params: &mut Map<String, Value>, method: Method, path: &'static str) -> Option<Routed> {
    if params.remove("dry-run") != Some(Value::Bool(true)) {
        return None;
    }
    Some(Routed { method, path, output: Output::Text { render: plan_text, has_formats: true } })
}

fn one_off() -> Vec<Command> {
    vec![
        Command::call(&["pull"], Method::POST, "/pull", "Sync a remote's datastore into a local one, once")
            .positional(&["remote", "remote-store", "store"])
            .options(NOT_ON_COMMAND_LINE)
            .output(Output::Task(TaskMode::FollowWithProgress)),
        Command::call(&["push"], Method::POST, "/push", "Sync a local datastore into a remote's, once")
            .positional(&["store", "remote", "remote-store"])
            .options(NOT_ON_COMMAND_LINE)
            .output(Output::Task(TaskMode::FollowWithProgress)),
    ]
}

fn prune_jobs() -> Vec<Command> {
    vec![
        Command::call(&["prune-job", "list"], Method::GET, "/config/prune", "List the prune jobs").table(vec![
            text("id"),
            number("disable"),
            text("store"),
            text("ns"),
            text("schedule"),
            number("max-depth"),
            number("keep-last"),
            number("keep-hourly"),
            number("keep-daily"),
            number("keep-weekly"),
            number("keep-monthly"),
            number("keep-yearly"),
        ]),
        Command::call(&["prune-job", "show"], Method::GET, "/config/prune/{id}", "Show a prune job")
            .positional(&["id"])
            .object(&["id", "schedule", "store"], &[&["max-depth", "ns"], KEEP]),
        Command::call(&["prune-job", "create"], Method::POST, "/config/prune", "Create a prune job")
            .positional(&["id"])
            // The only creation that says something.
            .tells(|given| format!("Prune job created: {}", given["id"].as_str().unwrap_or_default())),
        Command::call(&["prune-job", "update"], Method::PUT, "/config/prune/{id}", "Change a prune job")
            .positional(&["id"]),
        Command::call(&["prune-job", "remove"], Method::DELETE, "/config/prune/{id}", "Remove a prune job")
            .positional(&["id"]),
        Command::call(
            &["prune-job", "run"],
            Method::POST,
            "/admin/prune/{id}/run",
            "Run a prune job now and follow its log",
        )
        .positional(&["id"])
        .output(Output::Task(TaskMode::Follow)),
    ]
}

fn verify_jobs() -> Vec<Command> {
    vec![
        Command::call(
            &["verify"],
            Method::POST,
            "/admin/datastore/{store}/verify",
            "Verify all backups of a datastore",
        )
        .positional(&["store"])
        .options(OptionChoice::Only(&["ignore-verified", "outdated-after", "read-threads", "verify-threads"]))
        .output(Output::Task(TaskMode::Follow)),
        Command::call(&["verify-job", "list"], Method::GET, "/config/verify", "List the verify jobs").table(vec![
            text("id"),
            text("store"),
            text("schedule"),
            number("ignore-verified"),
            number("outdated-after"),
            text("comment"),
        ]),
        Command::call(&["verify-job", "show"], Method::GET, "/config/verify/{id}", "Show a verify job")
            .positional(&["id"])
            .object(&["id", "store"], &[]),
        Command::call(&["verify-job", "create"], Method::POST, "/config/verify", "Create a verify job")
            .positional(&["id"]),
        Command::call(&["verify-job", "update"], Method::PUT, "/config/verify/{id}", "Change a verify job")
            .positional(&["id"]),
        Command::call(&["verify-job", "remove"], Method::DELETE, "/config/verify/{id}", "Remove a verify job")
            .positional(&["id"]),
        Command::call(
            &["verify-job", "run"],
            Method::POST,
            "/admin/verify/{id}/run",
            "Run a verify job now and follow its log",
        )
        .positional(&["id"])
        .output(Output::Task(TaskMode::Follow)),
    ]
}

fn traffic_control() -> Vec<Command> {
    const PATH: &str = "/config/traffic-control";
    const RULE: &str = "/config/traffic-control/{name}";
    vec![
        Command::call(&["traffic-control", "list"], Method::GET, PATH, "List the traffic control rules").table(vec![
            text("name"),
            text("rate-in"),
            text("burst-in"),
            text("rate-out"),
            text("burst-out"),
            text("network"),
            text("timeframe"),
            text("comment"),
        ]),
        Command::call(&["traffic-control", "show"], Method::GET, RULE, "Show a traffic control rule")
            .positional(&["name"])
            .object(&["name", "network"], &[RATE]),
        Command::call(&["traffic-control", "create"], Method::POST, PATH, "Create a traffic control rule")
            .positional(&["name"]),
        Command::call(&["traffic-control", "update"], Method::PUT, RULE, "Change a traffic control rule")
            .positional(&["name"]),
        Command::call(&["traffic-control", "remove"], Method::DELETE, RULE, "Remove a traffic control rule")
            .positional(&["name"]),
        Command::call(
            &["traffic-control", "traffic"],
            Method::GET,
            "/admin/traffic-control",
            "Show the present traffic of each traffic control rule",
        )
        .table(vec![
            text("name"),
            rendered("cur-rate-in", Align::Right, Renderer::Bytes),
            rendered("cur-rate-out", Align::Right, Renderer::Bytes),
        ]),
    ]
}
