//! `/farhold/remotes/probe`: what can be said about a remote in one go. Our own addition.

use std::sync::Arc;
use std::time::Duration;

use farhold_client::Client;
use farhold_jobs::App;
use farhold_jobs::probe::{ProbeQuestion, probe};
use farhold_jobs::remotes::{client_of, remote_client};
use farhold_rules::acl::AclPath;
use farhold_settings::{RemoteConfig, StoredSecret};
use farhold_types::{Authid, Namespace, Privileges, RateLimits, RemoteName, Secret};

use super::config_remote::port;
use super::{blocking, errors};
use crate::declare::{Access, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::{Field, Param, Params, Shape, named};

/// Longest probe: several times what the steps of a healthy remote over a slow line take.
const PROBE_LIMIT: Duration = Duration::from_secs(120);

/// Parameters that describe a remote which is not configured.
const DESCRIPTION: [Param; 6] = [
    named::HOST,
    named::PORT,
    named::AUTH_ID.is_optional().described("User ID or API token ID to log in with at the remote"),
    named::PASSWORD.is_optional(),
    named::FINGERPRINT,
    named::flag("use-node-proxy", "Connect through the proxy of the node's settings"),
];

const STEP: &[Field] = &[
    Field::required(
        "step",
        Shape::Word(&[
            "connection",
            "certificate",
            "login",
            "version",
            "clock",
            "datastores",
            "datastore",
            "namespaces",
            "privileges",
        ]),
        "What was looked at",
    ),
    Field::required("state", Shape::Word(&["ok", "warning", "failed", "skipped"]), "How it went"),
    Field::required("text", Shape::Text("words"), "What was found"),
    Field::optional("hint", Shape::Text("words"), "What can be done about it"),
];

const CERTIFICATE: &[Field] = &[
    Field::required("fingerprint", Shape::Text("fingerprint"), "SHA-256 of the certificate, as it is pinned"),
    Field::required("is-trusted", Shape::Boolean, "Whether a trusted authority vouches for it and the name"),
    Field::required("names", Shape::List(&Shape::Text("name or address")), "What the certificate is for"),
    Field::optional("notafter", Shape::Integer, "When it ends, in seconds since 1970"),
];

const REPORT: Shape = Shape::Object(&[
    Field::required("peer", Shape::Text("host:port"), "The remote"),
    Field::required("auth-id", Shape::Text("user or API token ID"), "Whom we log in as there"),
    Field::required("usable", Shape::Boolean, "Whether no step failed"),
    Field::required("steps", Shape::List(&Shape::Object(STEP)), "All steps in their order"),
    Field::optional("certificate", Shape::Object(CERTIFICATE), "The remote's certificate"),
    Field::optional("version", Shape::Text("version"), "The remote's version"),
    Field::optional("clock-difference", Shape::Integer, "Seconds that the remote's clock is ahead of ours"),
    Field::required("datastores", Shape::List(&Shape::Text("datastore")), "Datastores that we see, at most 100"),
    Field::required("namespaces", Shape::List(&Shape::Text("namespace")), "Namespaces that we see, at most 100"),
    Field::optional("namespace-count", Shape::Integer, "How many namespaces we see"),
    Field::required("privileges", Shape::List(&Shape::Text("privilege")), "Our privileges on the namespace"),
]);

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::post("/farhold/remotes/probe", "Look at a remote in one go, from its certificate to our rights", run)
            .params(&[named::REMOTE_ID.described("Configured remote; instead of the parameters that describe one")])
            .params(&DESCRIPTION)
            .params(&[
                named::REMOTE_STORE.is_optional().described("Datastore of the remote that is of interest"),
                named::REMOTE_NS.described("Namespace in the datastore"),
            ])
            .access(Access::InHandler(
                "Remote.Audit on a configured remote; Remote.Modify on /remote for one that is only described",
            ))
            .returns(REPORT),
    ]
}

async fn run(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let (caller, params) = (request.caller()?.clone(), request.params);
    let store = params.parse("remote-store")?;
    let ns: Namespace = params.parse("remote-ns")?.unwrap_or_default();
    let prepared = Arc::clone(&app);
    let (client, remote) = blocking(move || prepare(&prepared, &caller, &params)).await?;
    let question =
        ProbeQuestion { account: remote.auth_id.clone(), fingerprint: remote.pinned_fingerprint(), store, ns };
    let client = client.with_single_attempts();
    let report = tokio::time::timeout(PROBE_LIMIT, probe(&client, &question, &*app.clock)).await;
    let report = report.map_err(|_| {
        let peer = client.peer();
        ApiError::bad_request(format!("{peer} answers too slowly: not probed within {} s", PROBE_LIMIT.as_secs()))
    })?;
    Reply::json(&report)
}

/// Returns a client for the remote that the caller named or described, if he may look at it.
fn prepare(app: &App, caller: &Authid, params: &Params) -> Result<(Client, RemoteConfig), ApiError> {
    let acl = app.acl()?;
    let described = DESCRIPTION.iter().find(|param| params.has(param.name));
    let limits = RateLimits::default();
    if let Some(name) = params.parse::<RemoteName>("remote")? {
        acl.require_all(caller, &AclPath::remote(&name), Privileges::REMOTE_AUDIT)
            .map_err(|denied| errors::forbidden(&denied))?;
        // The stored password goes to the stored host and nowhere else.
        if let Some(param) = described {
            return Err(ApiError::parameter(param.name, "cannot be given together with a configured remote"));
        }
        return Ok(remote_client(app, &name, &limits)?);
    }
    let all: AclPath = "/remote".parse().map_err(|_| ApiError::internal("a path of access control is wrong"))?;
    acl.require_all(caller, &all, Privileges::REMOTE_MODIFY).map_err(|denied| errors::forbidden(&denied))?;
    let needed = |name| ApiError::parameter(name, "needed where no configured remote is named");
    let remote = RemoteConfig {
        // A name only for messages.
        name: "probed".parse().map_err(|_| ApiError::internal("a name of a remote is wrong"))?,
        host: params.text("host").ok_or_else(|| needed("host"))?.to_owned(),
        port: port(params)?,
        auth_id: params.parse("auth-id")?.ok_or_else(|| needed("auth-id"))?,
        password: StoredSecret::encode(&Secret::new(params.text("password").ok_or_else(|| needed("password"))?)),
        fingerprint: params.text("fingerprint").map(str::to_owned),
        comment: None,
        use_node_proxy: params.boolean("use-node-proxy"),
    };
    Ok((client_of(app, &remote, &limits)?, remote))
}
