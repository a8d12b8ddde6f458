//! `/nodes/{node}/config`: the settings of this host. Source: `docs/spec/rest-api.md` 15.4,
//! `docs/spec/config-and-access.md` 3.14.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_jobs::node_config::{NodeConfigEdit, update_node_config};
use farhold_settings::NodeConfig;
use farhold_types::{Digest, Privileges};
use serde_json::{Map, Value, json};

use super::blocking;
use crate::declare::{Access, CONFIG_DIGEST, Endpoint, Need, Reply, Request};
use crate::error::ApiError;
use crate::schema::named::{self, NODE};
use crate::schema::{Field, Param, ParamKind, Shape, shapes};

/// The settings, in the order in which they are shown.
const NAMES: &[&str] = &[
    "acme",
    "acmedomain0",
    "acmedomain1",
    "acmedomain2",
    "acmedomain3",
    "acmedomain4",
    "http-proxy",
    "email-from",
    "ciphers-tls-1.3",
    "ciphers-tls-1.2",
    "default-lang",
    "description",
    "task-log-max-days",
    "consent-text",
    "location",
];
const LANGUAGES: &[&str] = &[
    "ar", "ca", "da", "de", "en", "es", "eu", "fa", "fr", "gl", "he", "hu", "it", "ja", "kr", "nb", "nl", "nn", "pl",
    "pt_BR", "ru", "sl", "sv", "tr", "zh_CN", "zh_TW",
];
const DELETABLE: ParamKind = ParamKind::Enumeration { values: NAMES, strict: true };

const fn text(name: &'static str, min_length: usize, max_length: usize, description: &'static str) -> Param {
    let kind = ParamKind::Text { min_length, max_length: Some(max_length), check: None, hint: "<string>" };
    Param::optional(name, kind, description)
}

const fn checked(name: &'static str, check: crate::schema::TextCheck, description: &'static str) -> Param {
    let kind = ParamKind::Text { min_length: 1, max_length: Some(128), check: Some(check), hint: "<string>" };
    Param::optional(name, kind, description)
}

const ACME_DOMAIN: Param = text("acmedomain0", 1, 4096, "A name that an ACME certificate is for");
const SETTINGS: &[Param] = &[
    text("acme", 1, 4096, "Account for ACME certificates; kept, but not used by this server"),
    ACME_DOMAIN,
    ACME_DOMAIN.named("acmedomain1"),
    ACME_DOMAIN.named("acmedomain2"),
    ACME_DOMAIN.named("acmedomain3"),
    ACME_DOMAIN.named("acmedomain4"),
    checked(
        "http-proxy",
        NodeConfigEdit::check_http_proxy,
        "Proxy for remotes that ask for it: [http://][user:password@]host[:port]",
    ),
    named::PERSON_NAME.named("email-from").described("Sender of mails"),
    text("ciphers-tls-1.3", 1, 4096, "Cipher suites of TLS 1.3, joined by colons"),
    text("ciphers-tls-1.2", 1, 4096, "Cipher list of TLS 1.2"),
    Param::optional(
        "default-lang",
        ParamKind::Enumeration { values: LANGUAGES, strict: true },
        "Language of the web interface",
    ),
    named::MULTI_LINE_COMMENT.named("description").described("Notes on this host"),
    Param::optional(
        "task-log-max-days",
        ParamKind::Integer { min: Some(0), max: None },
        "How many days the logs of finished tasks are kept",
    ),
    text("consent-text", 0, 65_536, "Text that users agree to when they log in"),
    text("location", 1, 4096, "Where the host is: name, latitude and longitude"),
];
/// An empty digest is ignored. Source: `docs/spec/config-and-access.md` 2.10.
const DIGEST: Param = Param::optional(
    "digest",
    ParamKind::Text { min_length: 0, max_length: Some(64), check: Some(digest_or_nothing), hint: "<string>" },
    "Refuse the change if the configuration file differs from this digest",
);

fn digest_or_nothing(text: &str) -> Result<(), String> {
    if text.is_empty() { Ok(()) } else { text.parse::<Digest>().map(drop).map_err(|error| error.to_string()) }
}

const CONFIG: Shape = Shape::Object(&[
    Field::optional("acme", shapes::PROPERTY_STRING, "Account for ACME certificates"),
    Field::optional("acmedomain0", shapes::PROPERTY_STRING, "A name that an ACME certificate is for"),
    Field::optional("acmedomain1", shapes::PROPERTY_STRING, "A name that an ACME certificate is for"),
    Field::optional("acmedomain2", shapes::PROPERTY_STRING, "A name that an ACME certificate is for"),
    Field::optional("acmedomain3", shapes::PROPERTY_STRING, "A name that an ACME certificate is for"),
    Field::optional("acmedomain4", shapes::PROPERTY_STRING, "A name that an ACME certificate is for"),
    Field::optional("http-proxy", Shape::Text("[http://][user:password@]host[:port]"), "Proxy for remotes"),
    Field::optional("email-from", shapes::TEXT, "Sender of mails"),
    Field::optional("ciphers-tls-1.3", shapes::TEXT, "Cipher suites of TLS 1.3"),
    Field::optional("ciphers-tls-1.2", shapes::TEXT, "Cipher list of TLS 1.2"),
    Field::optional("default-lang", Shape::Word(LANGUAGES), "Language of the web interface"),
    Field::optional("description", shapes::TEXT, "Notes on this host"),
    Field::optional("task-log-max-days", Shape::Integer, "How many days the logs of finished tasks are kept"),
    Field::optional("consent-text", shapes::TEXT, "Text that users agree to when they log in"),
    Field::optional("location", shapes::PROPERTY_STRING, "Where the host is"),
]);

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/nodes/{node}/config", "Show the settings of the host", get)
            .params(&[NODE])
            .access(Access::Declared(Need::all(Privileges::SYS_AUDIT, "/system")))
            .returns(CONFIG)
            .attributes(CONFIG_DIGEST),
        Endpoint::put("/nodes/{node}/config", "Change the settings of the host", update)
            .params(&[NODE])
            .params(SETTINGS)
            .params(&[named::delete(&DELETABLE), DIGEST])
            .access(Access::Declared(Need::all(Privileges::SYS_MODIFY, "/system")))
            .returns(Shape::Null),
    ]
}

async fn get(app: Arc<App>, _request: Request<App>) -> Result<Reply, ApiError> {
    blocking(move || {
        let loaded = app.settings.node().load()?;
        Ok::<_, ApiError>(Reply::value(config_value(&loaded.entries)).with_digest(&loaded.digest))
    })
    .await
}

fn config_value(config: &NodeConfig) -> Value {
    let mut data: Map<String, Value> =
        config.values.iter().map(|(name, text)| (name.to_owned(), json!(text))).collect();
    if let Some(days) = config.task_log_max_days() {
        data.insert("task-log-max-days".to_owned(), json!(days));
    }
    if let Some(description) = &config.values.description {
        data.insert("description".to_owned(), json!(description));
    }
    data.into()
}

async fn update(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let params = request.params;
    let digest: Option<Digest> = params
        .text("digest")
        .filter(|text| !text.is_empty())
        .map(str::parse)
        .transpose()
        .map_err(|error: <Digest as std::str::FromStr>::Err| ApiError::parameter("digest", error.to_string()))?;
    let delete = params.texts("delete").unwrap_or_default().into_iter().map(str::to_owned).collect();
    let given = |name: &&str| {
        let text = match params.value(name)? {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Some(((*name).to_owned(), text))
    };
    let edit = NodeConfigEdit { delete, set: NAMES.iter().filter_map(given).collect() };
    blocking(move || {
        update_node_config(&app.settings, edit, digest).map_err(|error| ApiError::from_chain(&error))?;
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}
