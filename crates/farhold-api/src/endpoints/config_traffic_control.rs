//! `/config/traffic-control`: rules that limit connections. Source: `docs/spec/rest-api.md` 10.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_settings::checkers;
use farhold_types::{ByteSize, Digest, Privileges, RuleName, TrafficRule};
use serde_json::{Map, Value, json};

use super::errors::taken;
use super::{blocking, trimmed};
use crate::declare::{Access, CONFIG_DIGEST, Endpoint, Need, Reply, Request};
use crate::error::ApiError;
use crate::schema::{Field, Param, ParamKind, Params, Shape, named, shapes};

const NAME: Param = Param::required("name", named::of_file(checkers::ID), "Name of the rule");
const NETWORK_KIND: ParamKind = named::of_file(checkers::CIDR);
const TIMEFRAME_KIND: ParamKind = named::of_file(checkers::DAILY_WINDOW);
const OPTIONS: [Param; 8] = [
    Param::optional("network", ParamKind::List(&NETWORK_KIND), "Networks whose connections the rule limits"),
    named::RATE_IN,
    named::BURST_IN,
    named::RATE_OUT,
    named::BURST_OUT,
    Param::optional("timeframe", ParamKind::List(&TIMEFRAME_KIND), "When the rule holds; always if absent"),
    Param::optional("users", ParamKind::List(&named::USERID.kind), "Users whose connections it limits; all if absent"),
    named::COMMENT,
];
const DELETABLE: ParamKind = ParamKind::Enumeration {
    values: &["rate-in", "burst-in", "rate-out", "burst-out", "timeframe", "users", "comment"],
    strict: true,
};

/// The settings of a rule, as answers show them.
pub const TRAFFIC_RULE: &[Field] = &[
    Field::required("name", Shape::Text("rule ID"), "Name of the rule"),
    Field::required("network", Shape::List(&Shape::Text("network")), "Networks whose connections it limits"),
    Field::optional("rate-in", shapes::BYTES, "Limit of what the server receives, per second"),
    Field::optional("burst-in", shapes::BYTES, "What it may receive at once after a pause"),
    Field::optional("rate-out", shapes::BYTES, "Limit of what the server sends, per second"),
    Field::optional("burst-out", shapes::BYTES, "What it may send at once after a pause"),
    Field::optional("timeframe", Shape::List(&Shape::Text("part of the day")), "When it holds; always if absent"),
    Field::optional("users", Shape::List(&Shape::Text("user ID")), "Users whose connections it limits; all if absent"),
    Field::optional("comment", shapes::TEXT, "Comment"),
];
const RULE: Shape = Shape::Object(TRAFFIC_RULE);

const MODIFY: Access = Access::Declared(Need::all(Privileges::SYS_MODIFY, "/"));

pub fn endpoints() -> Vec<Endpoint<App>> {
    let required = |param: Param| if param.name == "network" { param.is_required() } else { param };
    vec![
        Endpoint::get("/config/traffic-control", "List traffic-control rules", list)
            .access(MODIFY)
            .returns(Shape::List(&RULE))
            .attributes(CONFIG_DIGEST),
        Endpoint::post("/config/traffic-control", "Create a traffic-control rule", create)
            .params(&[NAME])
            .params(&OPTIONS.map(required))
            .access(MODIFY)
            .returns(Shape::Null),
        Endpoint::get("/config/traffic-control/{name}", "Show a traffic-control rule", read)
            .params(&[NAME])
            .access(Access::Declared(Need::all(Privileges::SYS_AUDIT, "/")))
            .returns(RULE)
            .attributes(CONFIG_DIGEST),
        Endpoint::put("/config/traffic-control/{name}", "Change a traffic-control rule", update)
            .params(&[NAME])
            .params(&OPTIONS)
            .params(&[named::delete(&DELETABLE), named::DIGEST])
            .access(MODIFY)
            .returns(Shape::Null),
        Endpoint::delete("/config/traffic-control/{name}", "Remove a traffic-control rule", remove)
            .params(&[NAME, named::DIGEST])
            .access(MODIFY)
            .returns(Shape::Null),
    ]
}

/// Returns a rule as lists and reads show it.
pub fn item(rule: &TrafficRule) -> Map<String, Value> {
    let size = |size: &Option<ByteSize>| size.as_ref().map(|size| json!(size));
    let list = |is_empty: bool, list: Value| (!is_empty).then_some(list);
    let mut item = Map::new();
    item.insert("name".to_owned(), json!(rule.name));
    item.insert("network".to_owned(), json!(rule.network));
    let optional = [
        ("rate-in", size(&rule.limits.rate_in)),
        ("burst-in", size(&rule.limits.burst_in)),
        ("rate-out", size(&rule.limits.rate_out)),
        ("burst-out", size(&rule.limits.burst_out)),
        ("timeframe", list(rule.timeframe.is_empty(), json!(rule.timeframe))),
        ("users", list(rule.users.is_empty(), json!(rule.users))),
        ("comment", rule.comment.as_ref().map(|comment| Value::from(comment.trim()))),
    ];
    item.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    item
}

async fn list(app: Arc<App>, _: Request<App>) -> Result<Reply, ApiError> {
    blocking(move || {
        let loaded = app.settings.traffic_rules().load()?;
        let items: Vec<Value> = loaded.entries.all()?.into_iter().map(|rule| item(rule).into()).collect();
        Ok::<_, ApiError>(Reply::value(items).with_digest(&loaded.digest))
    })
    .await
}

fn unknown(name: &RuleName) -> String {
    format!("no such traffic-control rule '{name}'")
}

async fn read(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let name: RuleName = request.params.require("name")?;
    blocking(move || {
        let loaded = app.settings.traffic_rules().load()?;
        let rule = loaded.entries.get(name.as_str())?.ok_or_else(|| ApiError::bad_request(unknown(&name)))?;
        Ok::<_, ApiError>(Reply::value(item(rule)).with_digest(&loaded.digest))
    })
    .await
}

/// Sets what the caller gives, all but the comment.
fn set(rule: &mut TrafficRule, params: &Params) -> Result<(), ApiError> {
    let texts = |name: &str| params.texts(name).map(|texts| texts.into_iter().map(str::to_owned).collect());
    if let Some(networks) = texts("network") {
        rule.network = networks;
    }
    // The reference stores a rule without networks, and can then not read the file any more (rest-api.md 19.23).
    if rule.network.is_empty() {
        return Err(ApiError::parameter("network", "at least one network is needed"));
    }
    if let Some(frames) = texts("timeframe") {
        rule.timeframe = frames;
    }
    if let Some(users) = params.parse_list("users")? {
        rule.users = users;
    }
    let limits = &mut rule.limits;
    for (name, limit) in [
        ("rate-in", &mut limits.rate_in),
        ("burst-in", &mut limits.burst_in),
        ("rate-out", &mut limits.rate_out),
        ("burst-out", &mut limits.burst_out),
    ] {
        if let Some(given) = params.parse(name)? {
            *limit = Some(given);
        }
    }
    Ok(())
}

fn reset(rule: &mut TrafficRule, field: &str) {
    match field {
        "rate-in" => rule.limits.rate_in = None,
        "burst-in" => rule.limits.burst_in = None,
        "rate-out" => rule.limits.rate_out = None,
        "burst-out" => rule.limits.burst_out = None,
        "timeframe" => rule.timeframe.clear(),
        "users" => rule.users.clear(),
        "comment" => rule.comment = None,
        _ => {}
    }
}

async fn create(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let params = request.params;
    let name: RuleName = params.require("name")?;
    let mut rule = TrafficRule::new(name.clone(), Vec::new());
    set(&mut rule, &params)?;
    rule.comment = params.text("comment").map(str::to_owned);
    blocking(move || {
        app.settings
            .traffic_rules()
            .edit(None, |rules| rules.insert(rule).map_err(taken("name", format!("traffic-control rule '{name}'"))))?;
        app.traffic.reload();
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}

async fn update(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let params = request.params;
    let name: RuleName = params.require("name")?;
    let digest: Option<Digest> = params.parse("digest")?;
    blocking(move || {
        app.settings.traffic_rules().edit(digest, |rules| {
            let stored = rules.get(name.as_str())?.ok_or_else(|| ApiError::bad_request(unknown(&name)))?;
            let mut rule = stored.clone();
            for field in params.texts("delete").unwrap_or_default() {
                reset(&mut rule, field);
            }
            set(&mut rule, &params)?;
            if let Some(comment) = params.text("comment") {
                rule.comment = trimmed(comment);
            }
            rules.update(rule)?;
            Ok::<_, ApiError>(())
        })?;
        app.traffic.reload();
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}

async fn remove(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let name: RuleName = request.params.require("name")?;
    let digest: Option<Digest> = request.params.parse("digest")?;
    blocking(move || {
        app.settings.traffic_rules().edit(digest, |rules| {
            if rules.remove(name.as_str()) { Ok(()) } else { Err(ApiError::not_found(unknown(&name))) }
        })?;
        app.traffic.reload();
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}
