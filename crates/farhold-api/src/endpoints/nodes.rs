//! The host itself. Source: `docs/spec/rest-api.md` 15.4.

use std::sync::Arc;

use farhold_jobs::{App, CertificateFacts};
use farhold_types::Privileges;
use serde_json::{Value, json};

use crate::declare::{Access, Endpoint, Need, Reply, Request};
use crate::error::ApiError;
use crate::schema::named::NODE;
use crate::schema::{Field, Shape, shapes};

/// File name under which the certificate is listed; the reference's.
const CERTIFICATE_FILE: &str = "proxy.pem";

const NODES: Shape =
    Shape::List(&Shape::Object(&[Field::required("node", Shape::Text("host name"), "Name of this host")]));
const IDENTITY: Shape = Shape::Object(&[Field::required(
    "pbs-instance-id",
    Shape::Text("32 hex digits"),
    "Stays the same as long as the server's files are kept",
)]);
/// Source: `docs/spec/rest-api.md` 15.4.
const SUBSCRIPTION: Shape = Shape::Object(&[
    Field::required(
        "status",
        Shape::Word(&["new", "notfound", "active", "invalid", "expired", "suspended"]),
        "State of the subscription",
    ),
    Field::optional("message", shapes::TEXT, "What the state means"),
    Field::optional("url", Shape::Text("URL"), "Where to learn more"),
]);
/// What is told about certificates.
pub(super) const CERTIFICATES: Shape = Shape::List(&Shape::Object(&[
    Field::required("filename", Shape::Text("file name"), "File of the certificate"),
    Field::optional("pem", Shape::Text("PEM"), "The certificate"),
    Field::required("subject", Shape::Text("distinguished name"), "Whom it is for"),
    Field::required("issuer", Shape::Text("distinguished name"), "Who signed it"),
    Field::required("san", Shape::List(&Shape::Text("DNS name or address")), "Alternative names"),
    Field::optional("notbefore", shapes::EPOCH, "From when on it is valid"),
    Field::optional("notafter", shapes::EPOCH, "Until when it is valid"),
    Field::required("public-key-type", Shape::Text("algorithm"), "Kind of its key"),
    Field::optional("public-key-bits", Shape::Integer, "Size of its key"),
    Field::optional("fingerprint", shapes::FINGERPRINT, "Its fingerprint"),
]));

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        // The reference lets only root@pam call it, by accident; clients call it with tokens.
        Endpoint::get("/nodes", "List the nodes, which is this host", list).returns(NODES),
        Endpoint::get("/nodes/{node}/certificates/info", "Show the certificate of the server", certificates)
            .params(&[NODE])
            .access(Access::Declared(Need::all(Privileges::SYS_MODIFY, "/system/certificates")))
            .returns(CERTIFICATES),
        Endpoint::get("/nodes/{node}/identity", "Show what identifies this server", identity)
            .params(&[NODE])
            .returns(IDENTITY),
        Endpoint::get("/nodes/{node}/subscription", "Show the state of the subscription", subscription)
            .params(&[NODE])
            .returns(SUBSCRIPTION),
    ]
}

async fn list(app: Arc<App>, _request: Request<App>) -> Result<Reply, ApiError> {
    Ok(Reply::value(json!([{ "node": app.node.name }])))
}

async fn identity(app: Arc<App>, _request: Request<App>) -> Result<Reply, ApiError> {
    Ok(Reply::value(json!({ "pbs-instance-id": app.node.instance_id })))
}

/// There is nothing to subscribe to. Clients fail as a whole unless this call answers.
async fn subscription(_app: Arc<App>, _request: Request<App>) -> Result<Reply, ApiError> {
    Ok(Reply::value(json!({ "status": "notfound", "message": "this server needs no subscription" })))
}

async fn certificates(app: Arc<App>, _request: Request<App>) -> Result<Reply, ApiError> {
    Ok(Reply::value(certificate_items(&app)))
}

/// Returns what the certificate of the server says, as a list.
pub(super) fn certificate_items(app: &App) -> Vec<Value> {
    app.certificate.facts().iter().map(|facts| certificate_item(facts)).collect()
}

fn certificate_item(certificate: &CertificateFacts) -> Value {
    json!({
        "filename": CERTIFICATE_FILE,
        "pem": certificate.pem,
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "san": certificate.alternative_names,
        "notbefore": certificate.not_before,
        "notafter": certificate.not_after,
        "fingerprint": certificate.fingerprint,
        "public-key-type": certificate.public_key_type,
        "public-key-bits": certificate.public_key_bits,
    })
}
