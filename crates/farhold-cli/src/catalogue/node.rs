//! Commands about tasks, the certificate, the node and versions.
//!
//! Source: `docs/spec/cli.md` 3.1, 3.13, 3.14; `docs/spec/rest-api.md` 4, 15.

use std::fmt::Write as _;

use http::Method;
use serde_json::{Map, Value, json};

use farhold_api::schema::{DefaultValue, Param, ParamKind, named};

use crate::command::{Action, Align, Command, OptionChoice, Output, Routed, TableSpec, number, rendered, text};
use crate::render::{Renderer, certificate_time};

/// Name under which every server knows its own node.
pub const LOCAL_NODE: &str = "localhost";

/// The command line allows fewer tasks at once than the API, and never all.
const TASK_LIMIT: Param = Param::optional(
    "limit",
    ParamKind::Integer { min: Some(1), max: Some(1000) },
    "Show at most this many tasks, the newest ones",
)
.or_default(DefaultValue::Integer(50));

pub(super) fn commands() -> Vec<Command> {
    [tasks(), node()].into_iter().flatten().collect()
}

/// Returns how a list of tasks is shown.
pub fn task_table() -> Output {
    Output::Table(TableSpec {
        columns: vec![
            rendered("starttime", Align::Left, Renderer::Epoch),
            rendered("endtime", Align::Left, Renderer::Epoch),
            text("upid"),
            text("status"),
        ],
        reshape_text: Some(with_status),
        ..TableSpec::default()
    })
}

fn tasks() -> Vec<Command> {
    let list =
        Command::call(&["task", "list"], Method::GET, "/nodes/{node}/tasks", "List running tasks, or all of them")
            .options(OptionChoice::Only(&[]))
            .fixed("node", LOCAL_NODE)
            .extra(TASK_LIMIT)
            .extra(named::flag("all", "Also list tasks that have ended"))
            .prepare(|params| {
                let is_all = params.remove("all").and_then(|all| all.as_bool()) == Some(true);
                params.insert("running".to_owned(), Value::Bool(!is_all));
                params.entry("limit").or_insert_with(|| Value::from(50));
            })
            .output(task_table());
    vec![
        list,
        Command::special(
            &["task", "log"],
            Action::FollowTask,
            "Show the log of a task and follow it until the task ends",
        )
        .positional(&["upid"])
        .options(OptionChoice::Only(&[]))
        .fixed("node", LOCAL_NODE),
        Command::call(&["task", "stop"], Method::DELETE, "/nodes/{node}/tasks/{upid}", "Ask a task to stop")
            .positional(&["upid"])
            .fixed("node", LOCAL_NODE),
        Command::call(
            &["task", "progress"],
            Method::GET,
            "/farhold/tasks/progress",
            "Show how far running syncs, verifications and garbage collections are",
        )
        .table(vec![
            text("type"),
            text("id"),
            text("phase"),
            number("done"),
            number("total"),
            text("unit"),
            text("upid"),
        ])
        .extension(),
    ]
}

fn node() -> Vec<Command> {
    let certificate = Command::call(
        &["cert", "info"],
        Method::GET,
        "/nodes/{node}/certificates/info",
        "Show the certificate and its fingerprint",
    )
    .fixed("node", LOCAL_NODE)
    .output(Output::Text { render: certificate_text, has_formats: false });
    let versions = Command::call(&["versions"], Method::GET, "/version", "Show the versions of the server's packages")
        .options(OptionChoice::Only(&[]))
        .extra(named::flag("verbose", "List all known packages"))
        .prepare(|params| {
            params.remove("verbose");
        })
        .output(Output::Table(TableSpec {
            columns: vec![text("Package"), text("Version"), text("ExtraInfo")],
            is_unsorted: true,
            is_plain: true,
            reshape: Some(package_rows),
            reshape_text: None,
        }));
    vec![
        certificate,
        versions,
        Command::call(&["node", "show"], Method::GET, "/nodes/{node}/config", "Show the settings of the node")
            .fixed("node", LOCAL_NODE)
            .object(&[], &[]),
        Command::call(&["node", "update"], Method::PUT, "/nodes/{node}/config", "Change the settings of the node")
            .fixed("node", LOCAL_NODE),
        Command::call(
            &["node", "server-identity"],
            Method::GET,
            "/nodes/{node}/identity",
            "Show what identifies this server to clients",
        )
        .fixed("node", LOCAL_NODE)
        .object(&["pbs-instance-id"], &[]),
        Command::call(
            &["cert", "update"],
            Method::DELETE,
            "/nodes/{node}/certificates/custom",
            "Make the keys and the certificate that are missing, or a new self-signed certificate",
        )
        .options(OptionChoice::Only(&[]))
        .fixed("node", LOCAL_NODE)
        .extra(named::flag("force", "Make a new certificate also if there is one"))
        .route(certificate_route)
        .output(Output::Text { render: |_| String::new(), has_formats: false }),
        Command::call(&["report"], Method::GET, "/nodes/{node}/report", "Show a report on this server for support")
            .fixed("node", LOCAL_NODE)
            .output(Output::Text { render: report_text, has_formats: false }),
    ]
}

/// What is missing is made by every start of the program, so that without `--force` nothing is left to change.
fn certificate_route(params: &mut Map<String, Value>) -> Result<Option<Routed>, (&'static str, &'static str)> {
    if params.remove("force") == Some(Value::Bool(true)) {
        return Ok(None);
    }
    let output = Output::Text { render: |_| String::new(), has_formats: false };
    Ok(Some(Routed { method: Method::GET, path: "/nodes/{node}/certificates/info", output }))
}

fn report_text(report: &Value) -> String {
    let mut text = report.as_str().unwrap_or_default().to_owned();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// Gives a task without result the status that a table shows: `running`, or `unknown` if it has ended.
fn with_status(task: &mut Map<String, Value>) {
    let has_status = task.get("status").and_then(Value::as_str).is_some_and(|status| !status.is_empty());
    if !has_status {
        let has_ended = task.get("endtime").is_some_and(|end| !end.is_null());
        task.insert("status".to_owned(), Value::from(if has_ended { "unknown" } else { "running" }));
    }
}

/// Turns the answer of `/version` into the rows of a package list.
///
/// The package name of the reference comes first because scripts look for its `running version`; as a package of the
/// system it is not installed, which the reference shows as `unknown`.
fn package_rows(version: Value, params: &Map<String, Value>) -> Value {
    let part = |name: &str| version.get(name).and_then(Value::as_str).unwrap_or("unknown").to_owned();
    let mut rows = vec![json!({
        "Package": "proxmox-backup-server",
        "Version": "unknown",
        "ExtraInfo": format!("running version: {}.{}", part("version"), part("release")),
    })];
    if params.get("verbose") == Some(&Value::Bool(true)) {
        rows.push(json!({ "Package": "farhold", "Version": env!("CARGO_PKG_VERSION"), "ExtraInfo": "" }));
    }
    Value::Array(rows)
}

/// Returns what is known about the node's certificate, one fact a line.
fn certificate_text(certificates: &Value) -> String {
    let mut text = String::new();
    // The node has one certificate; the answer is a list all the same.
    for certificate in certificates.as_array().into_iter().flatten() {
        let field = |name: &str| certificate.get(name).and_then(Value::as_str);
        let time = |name: &str| certificate.get(name).and_then(Value::as_i64).map(certificate_time);
        let _ = writeln!(text, "Subject: {}", field("subject").unwrap_or_default());
        for name in certificate.get("san").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            let _ = writeln!(text, "    {}", alternative_name(name));
        }
        let _ = writeln!(text, "Issuer: {}", field("issuer").unwrap_or_default());
        let _ = writeln!(text, "Validity:");
        let _ = writeln!(text, "    Not Before: {}", time("notbefore").unwrap_or_default());
        let _ = writeln!(text, "    Not After : {}", time("notafter").unwrap_or_default());
        let _ = writeln!(text, "Fingerprint (sha256): {}", field("fingerprint").unwrap_or_default());
        let _ = writeln!(text, "Public key type: {}", field("public-key-type").unwrap_or_default());
        if let Some(bits) = certificate.get("public-key-bits").and_then(Value::as_u64) {
            let _ = writeln!(text, "Public key bits: {bits}");
        }
    }
    text
}

/// Returns an alternative name with its kind in front: what the API lists holds names and addresses without it.
fn alternative_name(name: &str) -> String {
    let has_kind = ["DNS:", "IP:", "EMAIL:", "URI:"].iter().any(|kind| name.starts_with(kind));
    if has_kind {
        name.to_owned()
    } else if name.parse::<std::net::IpAddr>().is_ok() {
        format!("IP:{name}")
    } else {
        format!("DNS:{name}")
    }
}
