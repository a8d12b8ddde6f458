//! The server's own log, and a report on the whole server. Source: `docs/spec/rest-api.md` 15.4.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_jobs::report::report;
use farhold_jobs::server_log::LogLine;
use farhold_types::{Epoch, Privileges};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::blocking;
use crate::declare::{Access, Endpoint, Need, Reply, Request};
use crate::error::ApiError;
use crate::schema::named::{ANY_TEXT, LIMIT, NODE, START};
use crate::schema::{Field, Param, ParamKind, Params, Shape, shapes};

const ON_LOG: Access = Access::Declared(Need::all(Privileges::SYS_AUDIT, "/system/log"));

const EPOCH: ParamKind = ParamKind::Integer { min: None, max: None };
const DAY_OR_TIME: ParamKind = ParamKind::Text {
    min_length: 1,
    max_length: Some(32),
    check: Some(day_or_time),
    hint: "<YYYY-MM-DD[ HH:MM[:SS]]>",
};

/// Most lines of one answer of the journal.
const MAX_ENTRIES: usize = 10_000;

/// Names under which the reference's own services are asked for; ours does the work of both.
const OWN_SERVICES: &[&str] = &["farhold", "proxmox-backup", "proxmox-backup-proxy"];

const TOTAL: &[Field] = &[Field::required("total", Shape::Integer, "All lines that fit")];

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/nodes/{node}/syslog", "Show the server's log, with numbers", syslog)
            .params(&[
                NODE,
                START,
                LIMIT,
                Param::optional("since", DAY_OR_TIME, "Lines from this time on, in the host's time zone"),
                Param::optional("until", DAY_OR_TIME, "Lines up to this time, in the host's time zone"),
                Param::optional("service", ANY_TEXT, "Lines of this service; there is only this server's own log"),
            ])
            .access(ON_LOG)
            .returns(Shape::List(&shapes::LOG_LINE))
            .attributes(TOTAL),
        Endpoint::get("/nodes/{node}/journal", "Show the server's log, with marks to go on from", journal)
            .params(&[
                NODE,
                Param::optional("since", EPOCH, "Lines from this time on"),
                Param::optional("until", EPOCH, "Lines up to this time"),
                Param::optional(
                    "lastentries",
                    ParamKind::Integer { min: Some(0), max: None },
                    "The latest lines, that many",
                ),
                Param::optional("startcursor", ANY_TEXT, "Lines after this mark"),
                Param::optional("endcursor", ANY_TEXT, "Lines before this mark"),
            ])
            .access(ON_LOG)
            .returns(Shape::List(&Shape::Text("mark or line: the first and the last are marks"))),
        Endpoint::get("/nodes/{node}/report", "Show a report on the server", show_report)
            .params(&[NODE])
            .access(Access::Declared(Need::all(Privileges::SYS_AUDIT, "/system/status")))
            .returns(Shape::Text("report of many lines")),
    ]
}

/// Returns the time that a text of the form `YYYY-MM-DD[ HH:MM[:SS]]` means.
fn civil(text: &str) -> Option<DateTime> {
    let has_form = text.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | ':' | ' '));
    let whole = match text.len() {
        10 => format!("{text} 00:00:00"),
        16 => format!("{text}:00"),
        19 => text.to_owned(),
        _ => return None,
    };
    if has_form { DateTime::strptime("%Y-%m-%d %H:%M:%S", whole).ok() } else { None }
}

fn day_or_time(text: &str) -> Result<(), String> {
    civil(text).map(drop).ok_or_else(|| "value has not the form YYYY-MM-DD[ HH:MM[:SS]]".to_owned())
}

fn local_time(params: &Params, name: &str, zone: &TimeZone) -> Option<Epoch> {
    let time = zone.to_ambiguous_zoned(civil(params.text(name)?)?).compatible().ok()?;
    Some(Epoch(time.timestamp().as_second()))
}

async fn syslog(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let params = request.params;
    let count = |name: &str| params.integer_or_default(name).and_then(|number| usize::try_from(number).ok());
    let (start, limit) = (count("start").unwrap_or(0), count("limit").filter(|limit| *limit != 0));
    let since = local_time(&params, "since", &app.time_zone);
    let until = local_time(&params, "until", &app.time_zone);
    let is_ours = params.text("service").is_none_or(|name| OWN_SERVICES.contains(&name));
    let lines = app.server_log.lines(|line| {
        is_ours && since.is_none_or(|since| since <= line.time) && until.is_none_or(|until| line.time <= until)
    });
    let total = lines.len() as u64;
    let page = lines.into_iter().enumerate().skip(start).take(limit.unwrap_or(usize::MAX));
    let mut page: Vec<Value> = page.map(|(index, line)| json!({ "n": index + 1, "t": line.text })).collect();
    if page.is_empty() {
        page.push(json!({ "n": 1, "t": "no content" }));
    }
    Ok(Reply::value(page).with_total(total))
}

/// A mark names a line by its number since the server started at a time that no other start has had.
fn mark(app: &App, number: u64) -> String {
    format!("s={};i={number:x}", app.node.instance_id)
}

fn number_of_mark(app: &App, mark: &str) -> Result<u64, ApiError> {
    let number = mark.strip_prefix(&format!("s={};i=", app.node.instance_id));
    let number = number.and_then(|number| u64::from_str_radix(number, 16).ok());
    number.ok_or_else(|| ApiError::bad_request("no such mark"))
}

async fn journal(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let params = request.params;
    let cursor = |name: &str| params.text(name).map(|text| number_of_mark(&app, text)).transpose();
    let (after, before) = (cursor("startcursor")?, cursor("endcursor")?);
    let (since, until) = (params.integer("since"), params.integer("until"));
    let mut lines: Vec<LogLine> = app.server_log.lines(|line| {
        since.is_none_or(|since| since <= line.time.0)
            && until.is_none_or(|until| line.time.0 <= until)
            && after.is_none_or(|after| after < line.number)
            && before.is_none_or(|before| line.number < before)
    });
    let last = params.integer("lastentries").and_then(|number| usize::try_from(number).ok());
    let surplus = lines.len().saturating_sub(last.unwrap_or(MAX_ENTRIES).min(MAX_ENTRIES));
    lines.drain(..surplus);
    let first = lines.first().map(|line| line.number).or(after).unwrap_or(0);
    let end = lines.last().map(|line| line.number).or(after).unwrap_or(0);
    let texts = lines.into_iter().map(|line| line.text);
    let all = std::iter::once(mark(&app, first)).chain(texts).chain([mark(&app, end)]);
    Ok(Reply::value(all.map(Value::from).collect::<Vec<_>>()))
}

async fn show_report(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let proof = request.granted.clone().ok_or_else(|| ApiError::forbidden("permission check failed"))?;
    blocking(move || Ok::<_, ApiError>(Reply::value(report(&app, &proof)))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_told_from_other_texts() {
        for good in ["2026-11-22", "2026-11-22 01:30", "2026-11-22 01:30:59"] {
            assert!(day_or_time(good).is_ok(), "{good}");
        }
        for bad in
            ["", "yesterday", "2026-13-01", "2026-11-22T01:30", "2026-11-22 1:30", "2026-11-22 01:30:5x", "２０２６"]
        {
            assert!(day_or_time(bad).is_err(), "{bad}");
        }
    }
}
