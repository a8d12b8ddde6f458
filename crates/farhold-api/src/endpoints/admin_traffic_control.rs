//! `/admin/traffic-control`: traffic-control rules with what passes under them. Source: `docs/spec/rest-api.md` 13.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_types::Privileges;
use serde_json::Value;

use super::blocking;
use super::config_traffic_control::{TRAFFIC_RULE, item};
use crate::declare::{Access, CONFIG_DIGEST, Endpoint, Need, Reply, Request};
use crate::error::ApiError;
use crate::schema::{Field, Shape};

const CURRENT: &[Field] = &[
    Field::required("cur-rate-in", Shape::Integer, "Bytes per second that the server receives at the moment"),
    Field::required("cur-rate-out", Shape::Integer, "Bytes per second that the server sends at the moment"),
];

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/admin/traffic-control", "List traffic-control rules and the current rates", list)
            .access(Access::Declared(Need::all(Privileges::SYS_AUDIT, "/")))
            .returns(Shape::List(&Shape::Joined(&[TRAFFIC_RULE, CURRENT])))
            .attributes(CONFIG_DIGEST),
    ]
}

async fn list(app: Arc<App>, _: Request<App>) -> Result<Reply, ApiError> {
    blocking(move || {
        let loaded = app.settings.traffic_rules().load()?;
        let rules = loaded.entries.all()?;
        let rates = app.traffic.rates_of(&rules);
        let shown = rules.into_iter().zip(rates).map(|(rule, rates)| {
            let mut shown = item(rule);
            shown.insert("cur-rate-in".to_owned(), rates.received_bytes_per_s.into());
            shown.insert("cur-rate-out".to_owned(), rates.sent_bytes_per_s.into());
            Value::from(shown)
        });
        Ok::<_, ApiError>(Reply::value(shown.collect::<Vec<_>>()).with_digest(&loaded.digest))
    })
    .await
}
