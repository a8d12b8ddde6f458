//! The state of the host, its clock, and its history. Source: `docs/spec/rest-api.md` 15.4.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_jobs::history::Subject;
use farhold_jobs::host::{NodeStatus, node_status};
use farhold_types::{Epoch, Privileges};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::blocking;
use super::rrd::{RRD_PARAMS, history_rows};
use crate::declare::{Access, Endpoint, Need, Reply, Request};
use crate::error::ApiError;
use crate::schema::named::{ANY_TEXT, NODE};
use crate::schema::{Field, Param, ParamKind, Shape, shapes};

const ON_STATUS: Access = Access::Declared(Need::all(Privileges::SYS_AUDIT, "/system/status"));

/// Power of the host. An unknown word is no parameter error (`docs/spec/rest-api.md` 1.2).
const COMMAND: Param = Param::required(
    "command",
    ParamKind::Enumeration { values: &["reboot", "shutdown"], strict: false },
    "What the host is to do",
);
const TIMEZONE: Param = Param::required("timezone", ANY_TEXT, "Name of the time zone, such as Europe/Vienna");

/// What cannot be read on this system is absent.
const STATUS: Shape = Shape::Object(&[
    Field::optional("cpu", Shape::Number, "Part of the processors' time that is work, 0 to 1"),
    Field::optional("wait", Shape::Number, "Part of the processors' time that waits for disks, 0 to 1"),
    Field::optional(
        "cpuinfo",
        Shape::Object(&[
            Field::required("model", shapes::TEXT, "Name of the processor"),
            Field::required("sockets", Shape::Integer, "Chips"),
            Field::required("cpus", Shape::Integer, "Logical processors"),
        ]),
        "The processors",
    ),
    Field::optional("memory", SPACE_IN_USE, "Memory in bytes; what caches hold counts as not used"),
    Field::optional("swap", SPACE_IN_USE, "Swap space in bytes"),
    Field::optional(
        "root",
        Shape::Object(&[
            Field::required("total", Shape::Integer, "All of it"),
            Field::required("used", Shape::Integer, "What is used"),
            Field::required("avail", Shape::Integer, "What ordinary users may still use"),
        ]),
        "Root file system in bytes",
    ),
    Field::optional("uptime", Shape::Integer, "Seconds since the host started"),
    Field::optional("loadavg", Shape::List(&Shape::Number), "Load of the last minute, five and fifteen minutes"),
    Field::required("kversion", shapes::TEXT, "Name, release and version of the kernel"),
    Field::required(
        "current-kernel",
        Shape::Object(&[
            Field::required("sysname", shapes::TEXT, "Name of the system"),
            Field::required("release", shapes::TEXT, "Release"),
            Field::required("version", shapes::TEXT, "When and how it was built"),
            Field::required("machine", shapes::TEXT, "Kind of machine"),
        ]),
        "The kernel",
    ),
    Field::required(
        "boot-info",
        Shape::Object(&[
            Field::required("mode", Shape::Word(&["efi", "legacy-bios"]), "Firmware"),
            Field::required("secureboot", Shape::Boolean, "Whether signatures were checked"),
        ]),
        "How the host was started",
    ),
    Field::required(
        "info",
        Shape::Object(&[Field::optional("fingerprint", shapes::FINGERPRINT, "Fingerprint of the certificate")]),
        "The server",
    ),
]);
const SPACE_IN_USE: Shape = Shape::Object(&[
    Field::required("total", Shape::Integer, "All of it"),
    Field::required("used", Shape::Integer, "What is used"),
    Field::required("free", Shape::Integer, "What nothing uses"),
]);
const TIME: Shape = Shape::Object(&[
    Field::required("timezone", shapes::TEXT, "Name of the time zone"),
    Field::required("time", shapes::EPOCH, "Time of the host"),
    Field::required("localtime", Shape::Integer, "The same with the zone's offset added"),
]);

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/nodes/{node}/status", "Show the state of the host", status)
            .params(&[NODE])
            .access(ON_STATUS)
            .returns(STATUS),
        Endpoint::post("/nodes/{node}/status", "Restart or shut down the host, which this server refuses", power)
            .params(&[NODE, COMMAND])
            .access(Access::Declared(Need::all(Privileges::SYS_POWER_MANAGEMENT, "/system/status")))
            .returns(Shape::Null),
        Endpoint::get("/nodes/{node}/time", "Show the time and the time zone of the host", time)
            .params(&[NODE])
            .returns(TIME),
        Endpoint::put("/nodes/{node}/time", "Set the time zone of the host, which this server refuses", set_time)
            .params(&[NODE, TIMEZONE])
            .access(Access::Declared(Need::all(Privileges::SYS_MODIFY, "/system/time")))
            .returns(Shape::Null),
        Endpoint::get("/nodes/{node}/rrd", "Show the history of the host", rrd)
            .params(&[NODE])
            .params(&RRD_PARAMS)
            .access(ON_STATUS)
            .returns(super::rrd::HOST_ROWS),
    ]
}

async fn status(app: Arc<App>, _request: Request<App>) -> Result<Reply, ApiError> {
    blocking(move || {
        let earlier = app.history.recent_cpu_times(app.clock.now());
        let status = node_status(&*app.host, earlier);
        let fingerprint = app.certificate.facts().map(|facts| facts.fingerprint.to_string());
        Ok::<_, ApiError>(Reply::value(status_value(&status, fingerprint)))
    })
    .await
}

fn status_value(status: &NodeStatus, fingerprint: Option<String>) -> Value {
    let kernel = &status.kernel;
    let members = [
        ("cpu", status.cpu.map(|usage| json!(usage.busy))),
        ("wait", status.cpu.map(|usage| json!(usage.waiting))),
        (
            "cpuinfo",
            status.processors.as_ref().map(|processors| {
                json!({ "model": processors.model, "sockets": processors.sockets, "cpus": processors.count })
            }),
        ),
        (
            "memory",
            status
                .memory
                .map(|memory| json!({ "total": memory.total, "used": memory.used, "free": memory.free })),
        ),
        (
            "swap",
            status.memory.map(|memory| {
                json!({ "total": memory.swap_total, "used": memory.swap_used(), "free": memory.swap_free })
            }),
        ),
        (
            "root",
            status.root.map(
                |root| json!({ "total": root.total_bytes, "used": root.used_bytes, "avail": root.available_bytes }),
            ),
        ),
        ("uptime", status.uptime_s.map(Value::from)),
        ("loadavg", status.load.map(|load| json!(load))),
        ("kversion", Some(json!(format!("{} {} {}", kernel.sysname, kernel.release, kernel.version)))),
        (
            "current-kernel",
            Some(json!({
                "sysname": kernel.sysname,
                "release": kernel.release,
                "version": kernel.version,
                "machine": kernel.machine,
            })),
        ),
        (
            "boot-info",
            Some(json!({
                "mode": if status.boot.is_efi { "efi" } else { "legacy-bios" },
                "secureboot": status.boot.is_secure,
            })),
        ),
        (
            "info",
            Some(fingerprint.map_or_else(|| json!({}), |fingerprint| json!({ "fingerprint": fingerprint }))),
        ),
    ];
    let known = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    known.collect::<Map<_, _>>().into()
}

/// Whoever may run backups here is not whoever may cut the power of everything else on the host.
async fn power(_app: Arc<App>, _request: Request<App>) -> Result<Reply, ApiError> {
    Err(ApiError::bad_request("this server neither restarts nor shuts down its host; do that on the host itself"))
}

async fn time(app: Arc<App>, _request: Request<App>) -> Result<Reply, ApiError> {
    let (now, zone) = (app.clock.now(), &app.time_zone);
    let name = zone.iana_name().unwrap_or("Etc/UTC");
    Ok(Reply::value(json!({
        "timezone": if name == "UTC" { "Etc/UTC" } else { name },
        "time": now,
        "localtime": now.0 + offset_s(now, zone),
    })))
}

/// Returns the seconds that the clocks of a zone are ahead of UTC.
fn offset_s(time: Epoch, zone: &TimeZone) -> i64 {
    Timestamp::from_second(time.0).map_or(0, |time| i64::from(zone.to_offset(time).seconds()))
}

/// The zone belongs to the whole host. Naming the one that is set already is no change.
async fn set_time(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let name: String = request.params.require("timezone")?;
    blocking(move || {
        let zone = TimeZone::get(&name).map_err(|_| ApiError::bad_request(format!("no such time zone '{name}'")))?;
        let now = app.time_zone.iana_name().unwrap_or("UTC");
        let is_set = zone.iana_name() == Some(now) || (now == "UTC" && name == "Etc/UTC");
        if is_set {
            return Ok(Reply::null());
        }
        Err(ApiError::bad_request("the time zone is the host's; set it there, then restart this server"))
    })
    .await
}

async fn rrd(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    history_rows(app, Subject::Host, request.params).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_time_follows_the_zone_through_the_year() {
        let vienna = TimeZone::get("Europe/Vienna").unwrap();
        assert_eq!(offset_s(Epoch(1_795_311_000), &vienna), 3_600, "November");
        assert_eq!(offset_s(Epoch(1_782_000_000), &vienna), 7_200, "June");
        assert_eq!(offset_s(Epoch(1_795_311_000), &TimeZone::UTC), 0);
    }
}
