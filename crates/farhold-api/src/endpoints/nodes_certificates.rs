//! Replacing the certificate of the server. Source: `docs/spec/rest-api.md` 15.4.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_types::{Privileges, Secret};

use super::blocking;
use super::nodes::{CERTIFICATES, certificate_items};
use crate::declare::{Access, Endpoint, Need, Reply, Request};
use crate::error::ApiError;
use crate::schema::named::{NODE, flag};
use crate::schema::{Param, ParamKind, Shape};

const ON_CERTIFICATES: Access = Access::Declared(Need::all(Privileges::SYS_MODIFY, "/system/certificates"));

const PEM: ParamKind = ParamKind::Text { min_length: 1, max_length: None, check: None, hint: "<PEM>" };

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::post("/nodes/{node}/certificates/custom", "Install a certificate; it is active at once", install)
            .params(&[
                NODE,
                Param::required("certificates", PEM, "The certificate and those that vouch for it, in PEM form"),
                Param::optional("key", PEM, "Its private key in PEM form; the present key if absent"),
                flag("restart", "Accepted for compatibility; no restart is needed"),
                flag("force", "Accepted for compatibility; the present certificate is always replaced"),
            ])
            .access(ON_CERTIFICATES)
            .returns(CERTIFICATES),
        Endpoint::delete("/nodes/{node}/certificates/custom", "Go back to a self-signed certificate", remove)
            .params(&[NODE, flag("restart", "Accepted for compatibility; no restart is needed")])
            .access(ON_CERTIFICATES)
            .returns(Shape::Null),
    ]
}

async fn install(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let proof = request.granted.clone().ok_or_else(|| ApiError::forbidden("permission check failed"))?;
    let chain: String = request.params.require("certificates")?;
    let key = request.params.text("key").map(Secret::new);
    blocking(move || {
        let changed = app.certificate.install(&proof, &chain, key.as_ref());
        changed.map_err(|error| ApiError::from_chain(&error))?;
        Ok::<_, ApiError>(Reply::value(certificate_items(&app)))
    })
    .await
}

async fn remove(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let proof = request.granted.clone().ok_or_else(|| ApiError::forbidden("permission check failed"))?;
    blocking(move || {
        app.certificate.make_self_signed(&proof).map_err(|error| ApiError::from_chain(&error))?;
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}
