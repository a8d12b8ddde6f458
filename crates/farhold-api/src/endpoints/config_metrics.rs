//! `/config/metrics` and `/admin/metrics`: servers that are to be sent figures. Source: `docs/spec/rest-api.md` 11, 13.
//!
//! The settings are kept for configurations that come from the reference product or go back to it; this server sends
//! nothing to them.

use std::sync::Arc;

use farhold_format::section_config::Section;
use farhold_jobs::App;
use farhold_jobs::metric_probe::{self, MetricProbeError};
use farhold_settings::{Entries, MetricServer, MetricServers, SettingsError, checkers};
use farhold_types::{Digest, Privileges};
use serde_json::{Map, Value};

use super::blocking;
use super::errors::taken;
use super::section_fields::{Purpose, members, reset_deleted, set_given};
use crate::declare::{Access, CONFIG_DIGEST, Endpoint, Need, Reply, Request};
use crate::error::ApiError;
use crate::schema::{DefaultValue, Field, Param, ParamKind, Params, Shape, named, shapes};

const AUDIT: Access = Access::Declared(Need::all(Privileges::SYS_AUDIT, "/"));
const MODIFY: Access = Access::Declared(Need::all(Privileges::SYS_MODIFY, "/"));

const NAME: Param = Param::required("name", named::of_file(checkers::ID), "Name of the metric server");
const ENABLE: Param = named::flag("enable", "Use the server").or_default(DefaultValue::Boolean(true));
const fn text(min_length: usize, max_length: usize) -> ParamKind {
    ParamKind::Text { min_length, max_length: Some(max_length), check: Some(checkers::one_line), hint: "<string>" }
}
const fn size() -> ParamKind {
    ParamKind::Integer { min: Some(1), max: None }
}
const fn checked(check: fn(&str) -> Result<(), String>) -> ParamKind {
    ParamKind::Text { min_length: 1, max_length: Some(MAX_ADDRESS), check: Some(check), hint: "<string>" }
}
/// Longest URL or address, in characters; far beyond real ones.
const MAX_ADDRESS: usize = 2048;

const HTTP_FIELDS: [Param; 8] = [
    Param::optional("url", checked(http_url), "URL of the server"),
    Param::optional("token", text(1, 1024), "Token that the server wants"),
    Param::optional("bucket", text(1, 32), "Bucket at the server").or_default(DefaultValue::Text("proxmox")),
    Param::optional("organization", text(1, 32), "Organisation at the server")
        .or_default(DefaultValue::Text("proxmox")),
    Param::optional("max-body-size", size(), "Largest request in bytes").or_default(DefaultValue::Integer(25_000_000)),
    named::flag("verify-tls", "Check the certificate of the server").or_default(DefaultValue::Boolean(true)),
    ENABLE,
    named::COMMENT,
];
const HTTP_DELETABLE: ParamKind = ParamKind::Enumeration {
    values: &["token", "bucket", "organization", "max-body-size", "verify-tls", "enable", "comment"],
    strict: true,
};
const HTTP: Shape = Shape::Object(&[
    Field::required("name", Shape::Text("metric server ID"), "Name of the metric server"),
    Field::required("url", Shape::Text("URL"), "URL of the server"),
    Field::optional("token", shapes::TEXT, "Token that the server wants"),
    Field::optional("bucket", shapes::TEXT, "Bucket at the server"),
    Field::optional("organization", shapes::TEXT, "Organisation at the server"),
    Field::optional("max-body-size", Shape::Integer, "Largest request in bytes"),
    Field::optional("verify-tls", Shape::Boolean, "Whether the certificate of the server is checked"),
    Field::optional("enable", Shape::Boolean, "Whether it is used; absent if it is"),
    Field::optional("comment", shapes::TEXT, "Comment"),
]);

const UDP_FIELDS: [Param; 4] = [
    Param::optional("host", checked(host_and_port), "Address of the server: host and port"),
    Param::optional("mtu", size(), "Largest packet in bytes").or_default(DefaultValue::Integer(1500)),
    ENABLE,
    named::COMMENT,
];
const UDP_DELETABLE: ParamKind = ParamKind::Enumeration { values: &["mtu", "enable", "comment"], strict: true };
const UDP: Shape = Shape::Object(&[
    Field::required("name", Shape::Text("metric server ID"), "Name of the metric server"),
    Field::required("host", Shape::Text("host and port"), "Address of the server"),
    Field::optional("mtu", Shape::Integer, "Largest packet in bytes"),
    Field::optional("enable", Shape::Boolean, "Whether it is used; absent if it is"),
    Field::optional("comment", shapes::TEXT, "Comment"),
]);

const ALL: Shape = Shape::List(&Shape::Object(&[
    Field::required("name", Shape::Text("metric server ID"), "Name of the metric server"),
    Field::required("type", Shape::Word(&["influxdb-http", "influxdb-udp"]), "Its kind"),
    Field::required("server", Shape::Text("URL, or host and port"), "Where it is"),
    Field::optional("enable", Shape::Boolean, "Whether it is used; absent if it is"),
    Field::optional("comment", shapes::TEXT, "Comment"),
]));

/// A kind of metric server.
struct Kind {
    /// Type of its sections, last part of its path.
    name: &'static str,
    /// Its list.
    list: &'static str,
    /// One of them.
    one: &'static str,
    /// Everything but the name.
    fields: &'static [Param],
    /// The field that says where the server is.
    server: &'static str,
}

const INFLUXDB_HTTP: Kind = Kind {
    name: "influxdb-http",
    list: "/config/metrics/influxdb-http",
    one: "/config/metrics/influxdb-http/{name}",
    fields: &HTTP_FIELDS,
    server: "url",
};
const INFLUXDB_UDP: Kind = Kind {
    name: "influxdb-udp",
    list: "/config/metrics/influxdb-udp",
    one: "/config/metrics/influxdb-udp/{name}",
    fields: &UDP_FIELDS,
    server: "host",
};

pub fn endpoints() -> Vec<Endpoint<App>> {
    let all = Endpoint::get("/admin/metrics", "List the metric servers of all kinds", list_all)
        .access(AUDIT)
        .returns(ALL)
        .attributes(CONFIG_DIGEST);
    let http = of_kind(&INFLUXDB_HTTP, HTTP, Shape::List(&HTTP), named::delete(&HTTP_DELETABLE));
    let udp = of_kind(&INFLUXDB_UDP, UDP, Shape::List(&UDP), named::delete(&UDP_DELETABLE));
    [vec![all], http, udp].into_iter().flatten().collect()
}

fn of_kind(kind: &'static Kind, item: Shape, items: Shape, deletable: Param) -> Vec<Endpoint<App>> {
    let required = |param: &Param| if param.name == kind.server { param.is_required() } else { *param };
    let new: Vec<Param> = kind.fields.iter().map(required).collect();
    vec![
        Endpoint::get(kind.list, "List the metric servers of this kind", move |app, _| list(app, kind))
            .access(AUDIT)
            .returns(items)
            .attributes(CONFIG_DIGEST),
        Endpoint::post(kind.list, "Configure a metric server", move |app, request| create(app, request, kind))
            .params(&[NAME])
            .params(&new)
            .access(MODIFY)
            .returns(Shape::Null),
        Endpoint::get(kind.one, "Show a metric server", move |app, request| read(app, request, kind))
            .params(&[NAME])
            .access(AUDIT)
            .returns(item)
            .attributes(CONFIG_DIGEST),
        Endpoint::put(kind.one, "Change a metric server", move |app, request| update(app, request, kind))
            .params(&[NAME])
            .params(kind.fields)
            .params(&[deletable, named::DIGEST])
            .access(MODIFY)
            .returns(Shape::Null),
        Endpoint::delete(kind.one, "Remove a metric server", move |app, request| remove(app, request, kind))
            .params(&[NAME, named::DIGEST])
            .access(MODIFY)
            .returns(Shape::Null),
    ]
}

impl From<MetricProbeError> for ApiError {
    fn from(error: MetricProbeError) -> Self {
        Self::from_chain(&error)
    }
}

/// Requires a URL of HTTP: a host or an address in brackets, perhaps a port and a path.
fn http_url(text: &str) -> Result<(), String> {
    const FORM: &str = "expected http://<host>[:<port>][/<path>] or the same with https";
    checkers::one_line(text)?;
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).ok_or(FORM)?;
    let authority = rest.split('/').next().unwrap_or_default();
    let has_port = authority.rsplit_once(':').is_some_and(|(_, end)| !end.contains(']'));
    let with_port = if has_port { authority.to_owned() } else { format!("{authority}:0") };
    host_and_port(&with_port).map_err(|_| FORM.to_owned())
}

/// Requires `host:port`, an IPv6 address in brackets.
fn host_and_port(text: &str) -> Result<(), String> {
    const FORM: &str = "expected <host>:<port>, an IPv6 address in brackets";
    let (host, port) = text.rsplit_once(':').ok_or(FORM)?;
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.contains(':') && checkers::host(host).is_ok(),
    };
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    if is_host && is_port { Ok(()) } else { Err(FORM.to_owned()) }
}

/// Returns a metric server as answers show it.
fn item(section: &Section, kind: &Kind) -> Map<String, Value> {
    let mut item = members(section, kind.fields);
    if item.get("enable") == Some(&Value::Bool(true)) {
        item.remove("enable");
    }
    item.insert("name".to_owned(), section.id().into());
    item
}

async fn list_all(app: Arc<App>, _: Request<App>) -> Result<Reply, ApiError> {
    blocking(move || {
        let loaded = app.settings.metric_servers().load()?;
        let mut items = Vec::new();
        for MetricServer { section } in loaded.entries.all()? {
            let kinds = [&INFLUXDB_HTTP, &INFLUXDB_UDP];
            let Some(kind) = kinds.into_iter().find(|kind| kind.name == section.section_type()) else { continue };
            let mut shown = item(section, kind);
            let server = shown.remove(kind.server).unwrap_or_default();
            shown.retain(|name, _| ["name", "enable", "comment"].contains(&name.as_str()));
            shown.insert("server".to_owned(), server);
            shown.insert("type".to_owned(), kind.name.into());
            items.push(Value::from(shown));
        }
        Ok::<_, ApiError>(Reply::value(items).with_digest(&loaded.digest))
    })
    .await
}

async fn list(app: Arc<App>, kind: &'static Kind) -> Result<Reply, ApiError> {
    blocking(move || {
        let loaded = app.settings.metric_servers().load()?;
        let of_kind = loaded.entries.all()?.into_iter().filter(|server| server.section.section_type() == kind.name);
        let items: Vec<Value> = of_kind.map(|server| item(&server.section, kind).into()).collect();
        Ok::<_, ApiError>(Reply::value(items).with_digest(&loaded.digest))
    })
    .await
}

fn find<'s>(servers: &'s Entries<MetricServers>, name: &str, kind: &Kind) -> Result<&'s MetricServer, ApiError> {
    let found = servers.get(name)?.filter(|server| server.section.section_type() == kind.name);
    found.ok_or_else(|| ApiError::bad_request(format!("no such metric server '{name}' of kind {}", kind.name)))
}

async fn read(app: Arc<App>, request: Request<App>, kind: &'static Kind) -> Result<Reply, ApiError> {
    let name: String = request.params.require("name")?;
    blocking(move || {
        let loaded = app.settings.metric_servers().load()?;
        let shown = item(&find(&loaded.entries, &name, kind)?.section, kind);
        Ok::<_, ApiError>(Reply::value(shown).with_digest(&loaded.digest))
    })
    .await
}

/// Checks that a server which is to be used can be reached, as far as its kind has connections.
async fn probe(section: &Section) -> Result<(), ApiError> {
    match section.get("url") {
        Some(url) if section.get("enable") != Some("false") => Ok(metric_probe::reach(url).await?),
        _ => Ok(()),
    }
}

async fn create(app: Arc<App>, request: Request<App>, kind: &'static Kind) -> Result<Reply, ApiError> {
    let name: String = request.params.require("name")?;
    let mut section = Section::new(kind.name, name.clone());
    set_given(&mut section, kind.fields, &request.params, Purpose::Create);
    probe(&section).await?;
    blocking(move || {
        app.settings.metric_servers().edit(None, |servers| {
            servers.insert(MetricServer { section }).map_err(taken("name", format!("metric server '{name}'")))
        })?;
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}

/// Returns the server as it is after the update.
fn changed(
    servers: &Entries<MetricServers>,
    name: &str,
    kind: &Kind,
    params: &Params,
) -> Result<MetricServer, ApiError> {
    let mut server = find(servers, name, kind)?.clone();
    reset_deleted(&mut server.section, params);
    set_given(&mut server.section, kind.fields, params, Purpose::Update);
    Ok(server)
}

async fn update(app: Arc<App>, request: Request<App>, kind: &'static Kind) -> Result<Reply, ApiError> {
    let params = request.params;
    let name: String = params.require("name")?;
    let digest: Option<Digest> = params.parse("digest")?;
    let (server, given, wanted) = (Arc::clone(&app), params.clone(), name.clone());
    // The lock is not held while a server far away is waited for; that it can be reached is only a help for who writes.
    let planned = blocking(move || {
        let loaded = server.settings.metric_servers().load()?;
        match digest {
            Some(digest) if digest != loaded.digest => {
                Err(SettingsError::Changed { file: "metricserver.cfg".to_owned() }.into())
            }
            _ => changed(&loaded.entries, &wanted, kind, &given),
        }
    })
    .await?;
    probe(&planned.section).await?;
    blocking(move || {
        app.settings.metric_servers().edit(digest, |servers| {
            let server = changed(servers, &name, kind, &params)?;
            servers.update(server)?;
            Ok::<_, ApiError>(())
        })?;
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}

async fn remove(app: Arc<App>, request: Request<App>, kind: &'static Kind) -> Result<Reply, ApiError> {
    let name: String = request.params.require("name")?;
    let digest: Option<Digest> = request.params.parse("digest")?;
    blocking(move || {
        app.settings.metric_servers().edit(digest, |servers| {
            find(servers, &name, kind)?;
            servers.remove(&name);
            Ok::<_, ApiError>(())
        })?;
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_by_urls_and_by_hosts_with_a_port() {
        for ok in ["http://a.example", "https://10.0.0.1:8086/x", "http://[::1]:1", "http://[2001:db8::1]/p"] {
            assert_eq!(http_url(ok), Ok(()), "{ok}");
        }
        for bad in ["ftp://x", "http://", "http://a b", "http://::1", "http://x:70000", "a.example", "http://x/\u{7}"] {
            assert!(http_url(bad).is_err(), "{bad}");
        }
        for ok in ["127.0.0.1:18998", "a.example:1", "[::1]:0"] {
            assert_eq!(host_and_port(ok), Ok(()), "{ok}");
        }
        for bad in ["a.example", "::1:5", "[::1]", "a:b", "a:+1", ":1"] {
            assert!(host_and_port(bad).is_err(), "{bad}");
        }
    }
}
