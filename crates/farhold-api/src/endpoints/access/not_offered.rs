//! Logins that this server does not have: by OpenID Connect and for terminals. Clients get a clear text, and nothing else.
//!
//! Source: `docs/spec/rest-api.md` 5.

use std::sync::Arc;

use farhold_jobs::App;

use crate::declare::{Access, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::{Field, Param, ParamKind, Shape, named, shapes};

const TEXT: ParamKind = named::ANY_TEXT;
const LOGIN: Shape = Shape::Object(&[
    Field::required("username", shapes::USERID, "The user"),
    Field::optional("ticket", shapes::TEXT, "Ticket"),
    Field::required("CSRFPreventionToken", shapes::TEXT, "Goes with the ticket"),
]);

pub fn endpoints() -> Vec<Endpoint<App>> {
    let redirect_url = Param::required("redirect-url", TEXT, "Where the browser returns to");
    vec![
        Endpoint::post("/access/openid/auth-url", "Begin a login by OpenID Connect; refused by this server", openid)
            .params(&[named::REALM.is_required(), redirect_url])
            .access(Access::World)
            .returns(Shape::Text("URL of the provider")),
        Endpoint::post("/access/openid/login", "End a login by OpenID Connect; refused by this server", openid)
            .params(&[Param::required("state", TEXT, "State"), Param::required("code", TEXT, "Code of the provider")])
            .params(&[redirect_url, named::flag("http-only", "Return the ticket as a cookie")])
            .access(Access::World)
            .returns(LOGIN),
        Endpoint::post("/access/vncticket", "Check a ticket for a terminal; refused by this server", terminal)
            .params(&[named::AUTH_ID.named("authid").is_required(), Param::required("vncticket", TEXT, "The ticket")])
            .params(&[named::ACL_PATH, Param::required("privs", TEXT, "Needed privileges"), named::PORT])
            .access(Access::World)
            .returns(Shape::Null),
    ]
}

async fn openid(_app: Arc<App>, _request: Request<App>) -> Result<Reply, ApiError> {
    Err(ApiError::bad_request("logins by OpenID Connect are not supported by this server"))
}

async fn terminal(_app: Arc<App>, _request: Request<App>) -> Result<Reply, ApiError> {
    Err(ApiError::bad_request("this server has no terminals, so it knows no tickets for them"))
}
