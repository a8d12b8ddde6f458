//! `/access/ticket` and `/access/password`.
//!
//! The answers of `/access/ticket` have their own form, the same for both formats. Source: `docs/spec/rest-api.md` 5.1
//! and 5.2, `docs/spec/wire-protocol.md` 3.2 and 3.4.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use farhold_access::credentials::{PREFIXED_COOKIE, cookie};
use farhold_access::{
    Access as Authentication, Asker, AuthFailure, AuthFailureReason, Login, PasswordChangeError, Proof, TICKET_PREFIX,
};
use farhold_jobs::App;
use farhold_types::{Authid, Secret, Userid};
use http::HeaderValue;
use http::header::SET_COOKIE;
use serde_json::{Map, json};

use super::super::blocking;
use crate::context::{cookies, log_refusal, settle, too_many_checks};
use crate::declare::{Access, Endpoint, Reply, Request, full_body};
use crate::dispatch::DROP_COOKIE;
use crate::error::ApiError;
use crate::schema::{Field, Param, ParamKind, Shape, named, shapes};

/// The whole text of a refused login, whatever the reason.
const REFUSED: &str = "authentication failed";

/// Its length is no concern of the schema: a password of any wrong length is a refused login.
const LOGIN_PASSWORD: Param =
    Param::optional("password", named::ANY_TEXT, "Password, or a ticket that is still valid, of the user");
const TFA_CHALLENGE: Param =
    Param::optional("tfa-challenge", named::ANY_TEXT, "Challenge of the first step of a login with a second factor");
const TERMINAL: [Param; 3] = [
    Param::optional("path", named::ANY_TEXT, "Path of a terminal ticket; ignored"),
    Param::optional("privs", named::ANY_TEXT, "Privileges of a terminal ticket; ignored"),
    named::PORT.described("Port of a terminal ticket; ignored"),
];
const HTTP_ONLY: Param = named::flag("http-only", "Return the ticket as a cookie that scripts cannot read");
const CONFIRMATION: Param = Param::optional(
    "confirmation-password",
    ParamKind::Text { min_length: 1, max_length: Some(1024), check: None, hint: "<string>" },
    "Password of the caller; not needed by root@pam",
);

const LOGIN: Shape = Shape::Object(&[
    Field::required("username", shapes::USERID, "Who is logged in"),
    Field::required("CSRFPreventionToken", Shape::Text("token"), "Header that calls other than GET need"),
    Field::optional("ticket", Shape::Text("ticket"), "Value of the cookie; absent with http-only"),
    Field::optional("ticket-info", Shape::Text("ticket without signature"), "With http-only"),
]);
/// JSON, but nothing says so.
const LOGOUT: Shape = Shape::Bytes("");
/// The same in both formats.
const LOGIN_MEMBERS: &[Field] = &[
    Field::required("status", Shape::Integer, "Always 200"),
    Field::required("success", Shape::Boolean, "Always true"),
];

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::post("/access/ticket", "Log in, or renew a ticket", log_in)
            .params(&[named::USERID.named("username"), LOGIN_PASSWORD, TFA_CHALLENGE])
            .params(&TERMINAL)
            .params(&[HTTP_ONLY])
            .access(Access::World)
            .returns(LOGIN)
            .attributes(LOGIN_MEMBERS)
            .fails_with(&[401]),
        Endpoint::delete("/access/ticket", "Log out", log_out).access(Access::World).returns(LOGOUT),
        Endpoint::put("/access/password", "Change a password", change_password)
            .params(&[named::USERID, named::USER_PASSWORD.is_required(), CONFIRMATION])
            .access(Access::InHandler(
                "Users change their own password; others need Permissions.Modify on / and the target outside of pam",
            ))
            .returns(Shape::Null)
            .fails_with(&[501]),
    ]
}

/// What is given to prove who logs in.
struct Attempt {
    userid: Userid,
    /// A ticket from the protected cookie; only with `http-only`.
    cookie: Option<Secret>,
    /// The password, or without a cookie a ticket.
    password: Option<Secret>,
    peer: Option<SocketAddr>,
}

impl Attempt {
    /// Tries the ticket, if there is one; computes no hash. `Ok(None)`: the password decides.
    fn by_ticket(&self, access: &Authentication) -> Result<Option<Login>, AuthFailure> {
        let is_ticket =
            |text: &&Secret| text.expose().strip_prefix(TICKET_PREFIX).is_some_and(|rest| rest.starts_with(':'));
        let Some(ticket) = self.cookie.as_ref().or(self.password.as_ref().filter(is_ticket)) else {
            return Ok(None);
        };
        match access.login(&self.userid, ticket, Proof::TicketOnly, None) {
            Ok(login) => Ok(Some(login)),
            Err(failure) => {
                let is_final = match &failure.reason {
                    AuthFailureReason::OtherUsersTicket => self.cookie.is_none(),
                    _ => false,
                };
                if is_final || self.password.is_none() { Err(failure) } else { Ok(None) }
            }
        }
    }

    fn address(&self) -> Option<IpAddr> {
        self.peer.map(|peer| peer.ip())
    }

    fn by_password(&self, access: &Authentication) -> Result<Login, AuthFailure> {
        let missing = || AuthFailure { who: Some(self.userid.to_string()), reason: AuthFailureReason::NoCredentials };
        let password = self.password.as_ref().ok_or_else(missing)?;
        access.login(&self.userid, password, Proof::PasswordOnly, self.address())
    }

    /// Logs how it ended, and returns what the caller learns about it. Blocking.
    fn ended(&self, access: &Authentication, result: Result<Login, AuthFailure>) -> Result<Login, ApiError> {
        match result {
            Ok(login) => {
                if let Some(error) = &login.upgrade_error {
                    tracing::warn!(userid = %self.userid, "stored hash of an older form was not replaced: {error}");
                }
                if let Err(error) = access.log_success(self.peer, &self.userid) {
                    tracing::error!("authentication log cannot be written: {error}");
                }
                Ok(login)
            }
            Err(failure) => {
                log_refusal(access, self.peer, &failure);
                Err(ApiError::unauthorized(REFUSED))
            }
        }
    }

    async fn run(self, access: Authentication) -> Result<Login, ApiError> {
        let attempt = Arc::new(self);
        let (first, tried) = (access.clone(), Arc::clone(&attempt));
        let at_once = blocking(move || match tried.by_ticket(&first) {
            Ok(None) => Ok(Checked::Later(first.asker(tried.address(), &tried.userid.clone().into()))),
            Ok(Some(login)) => tried.ended(&first, Ok(login)).map(Checked::Now),
            Err(failure) => tried.ended(&first, Err(failure)).map(Checked::Now),
        });
        let asker = match at_once.await? {
            Checked::Now(login) => return Ok(login),
            Checked::Later(asker) => asker,
        };
        let slot = access.hash_slot(asker).await;
        blocking(move || {
            let result = match slot {
                Some(slot) => {
                    let result = attempt.by_password(&access);
                    settle(slot, result.is_ok());
                    result
                }
                None => Err(too_many_checks(Some(attempt.userid.to_string()))),
            };
            attempt.ended(&access, result)
        })
        .await
    }
}

/// Whether a login is decided without a hash.
enum Checked {
    Now(Login),
    /// A password is to be checked for this asker.
    Later(Asker),
}

async fn log_in(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let params = &request.params;
    let is_http_only = params.boolean_or_default("http-only");
    let attempt = Attempt {
        userid: params.require("username")?,
        cookie: if is_http_only { cookie(cookies(&request.headers).into_iter(), PREFIXED_COOKIE) } else { None },
        password: params.text("password").map(Secret::new),
        peer: request.connection.peer,
    };
    if attempt.cookie.is_none() && attempt.password.is_none() {
        return Err(ApiError::bad_request("no password provided"));
    }
    if params.has("tfa-challenge") {
        // Nobody has a challenge of ours: users with a second factor are refused in the first step.
        let access = app.access.clone();
        let failure = AuthFailure { who: Some(attempt.userid.to_string()), reason: AuthFailureReason::SecondFactor };
        return Err(blocking(move || attempt.ended(&access, Err(failure)))
            .await
            .map_or_else(|error| error, |_| ApiError::unauthorized(REFUSED)));
    }
    answer(&attempt.run(app.access.clone()).await?, is_http_only)
}

fn answer(login: &Login, is_http_only: bool) -> Result<Reply, ApiError> {
    let mut data = Map::new();
    data.insert("username".to_owned(), json!(login.userid));
    data.insert("CSRFPreventionToken".to_owned(), json!(login.csrf_token));
    if is_http_only {
        data.insert("ticket-info".to_owned(), json!(login.ticket.info()));
    } else {
        data.insert("ticket".to_owned(), json!(login.ticket.expose()));
    }
    let body = json!({ "data": data, "status": 200, "success": true }).to_string();
    let reply = Reply::raw("application/json", full_body(body.into()));
    if !is_http_only {
        return Ok(reply);
    }
    let cookie = format!("{PREFIXED_COOKIE}={}; Secure; SameSite=Lax; HttpOnly; Path=/;", login.ticket.expose());
    // A user id holds no control characters, so this does not happen.
    let cookie =
        HeaderValue::from_bytes(cookie.as_bytes()).map_err(|_| ApiError::internal("ticket does not fit a cookie"))?;
    Ok(reply.with_header(SET_COOKIE, cookie))
}

async fn log_out(_app: Arc<App>, _request: Request<App>) -> Result<Reply, ApiError> {
    // Clients know the text and that no content type comes with it.
    let body = full_body(r#"{"data":{},"status":200,"success":true}"#.into());
    Ok(Reply::raw_without_type(body).with_header(SET_COOKIE, DROP_COOKIE))
}

async fn change_password(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller: Authid = request.caller()?.clone();
    let (params, peer) = (&request.params, request.connection.peer);
    let userid: Userid = params.require("userid")?;
    let password: Secret = Secret::new(params.text("password").unwrap_or_default());
    let confirmation = params.text("confirmation-password").map(Secret::new);
    confirmed(app.access.clone(), caller.clone(), confirmation, peer).await?;
    let access = app.access.clone();
    blocking(move || access.change_password(&caller, &userid, &password)).await?;
    Ok(Reply::null())
}

/// Checks that the caller knows its own password; see [`Authentication::confirm`]. A wrong one goes to the log.
///
/// # Errors
/// 401: missing or wrong.
pub(super) async fn confirmed(
    access: Authentication,
    caller: Authid,
    confirmation: Option<Secret>,
    peer: Option<SocketAddr>,
) -> Result<(), ApiError> {
    if confirmation.is_none() || caller.user().is_root() {
        return Ok(access.confirm(&caller, confirmation.as_ref(), None)?);
    }
    let address = peer.map(|peer| peer.ip());
    let (asking, user) = (access.clone(), Authid::from(caller.user().clone()));
    let asker = blocking(move || Ok::<_, ApiError>(asking.asker(address, &user))).await?;
    let slot = access.hash_slot(asker).await;
    blocking(move || {
        let Some(slot) = slot else {
            log_refusal(&access, peer, &too_many_checks(Some(caller.to_string())));
            return Err(ApiError::unauthorized(REFUSED));
        };
        let result = access.confirm(&caller, confirmation.as_ref(), address);
        if let Err(PasswordChangeError::ConfirmationWrong(failure)) = &result {
            log_refusal(&access, peer, failure);
        }
        settle(slot, result.is_ok());
        result.map_err(ApiError::from)
    })
    .await
}
