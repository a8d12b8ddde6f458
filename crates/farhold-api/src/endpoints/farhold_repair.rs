//! `/farhold/repair`: mending a datastore from a copy. Our own addition.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_jobs::repair::{OriginError, RepairRequest, RepairRunError, may_repair, start_repair};

use super::blocking;
use crate::declare::{Access, Answer, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::{Param, named};

const FROM: Param = Param::required(
    "from",
    named::ANY_TEXT,
    "Where copies come from: 'remote', 'remote:datastore', or ':datastore' for another one of this server",
);
const OWNER: Param = named::AUTH_ID.named("owner").described("Who gets groups that have no readable owner");
const VERIFY: Param = named::flag("verify", "Verify all snapshots first, not only those that are known to be damaged");
const DRY_RUN: Param = named::flag("dry-run", "Only tell what would be fetched");

impl From<OriginError> for ApiError {
    fn from(error: OriginError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<RepairRunError> for ApiError {
    fn from(error: RepairRunError) -> Self {
        Self::from_chain(&error)
    }
}

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::post("/farhold/repair/{store}", "Mend a datastore from a copy", repair)
            .params(&[
                named::STORE.described("The damaged datastore"),
                FROM,
                named::NS,
                named::REMOTE_NS,
                named::MAX_DEPTH,
                named::GROUP_FILTER.described("Which groups are looked at"),
                OWNER,
                VERIFY,
                DRY_RUN,
            ])
            .access(Access::InHandler(
                "Datastore.Verify and Datastore.Modify on the namespace, Remote.Read on the source, or Datastore.Read or \
                 .Backup if that is local",
            ))
            .answer(Answer::Task),
    ]
}

async fn repair(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let (caller, params) = (request.caller()?.clone(), request.params);
    let asked = RepairRequest {
        store: params.require("store")?,
        ns: params.parse("ns")?.unwrap_or_default(),
        max_depth: params.integer_as("max-depth")?,
        from: params.text("from").unwrap_or_default().parse::<farhold_jobs::repair::RepairOrigin>()?,
        remote_ns: params.parse("remote-ns")?.unwrap_or_default(),
        groups: params.parse_list("group-filter")?.unwrap_or_default(),
        owner: params.parse("owner")?,
        verifies_all: params.boolean("verify").unwrap_or(false),
        is_dry: params.boolean("dry-run").unwrap_or(false),
    };
    let permit = {
        let app = Arc::clone(&app);
        blocking(move || Ok::<_, ApiError>(may_repair(&*app.acl()?, &caller, asked)?)).await?
    };
    Ok(Reply::value(start_repair(&app, permit).await?.to_string()))
}
