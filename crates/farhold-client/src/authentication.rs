//! Who we are to the remote: token header, or a ticket that is fetched, shared and renewed.
//!
//! Source: `docs/spec/wire-protocol.md` 3.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use farhold_protocol::authentication::{
    CSRF_HEADER, HOST_TICKET_COOKIE, LOGIN_PATH, LoginReply, LoginRequest, PARTIAL_TICKET_PREFIX, TICKET_COOKIE,
    TICKET_LIFETIME, TICKET_RENEWAL, ticket_cookie, token_authorization,
};
use farhold_types::{Secret, Userid};
use http::header::{AUTHORIZATION, COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::client::{Answer, Call, Client, Content, Wait};
use crate::config::Credentials;
use crate::error::{ClientError, peer_text};

/// Pause after a renewal that failed for other reasons than a refusal; the old ticket is used meanwhile.
const RENEWAL_PAUSE: Duration = Duration::from_secs(60);
/// Tickets are not used in the last part of their life, so that a slow call does not outlive them.
const LIFETIME_MARGIN: Duration = Duration::from_secs(300);
/// A ticket older than this that gets a 401 is replaced. A younger one only if it has worked before, for the peer may
/// have new keys or another clock; and not again within this time, for it may have been refused for what it asked.
const SUSPECT_AGE: Duration = Duration::from_secs(60);

/// Headers that tell who we are.
#[derive(Clone, Default)]
pub(crate) struct AuthHeaders {
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// When the ticket was issued; `None` for tokens.
    issued: Option<Instant>,
    /// Whether a request with them was accepted.
    have_worked: Arc<AtomicBool>,
}

impl AuthHeaders {
    /// Learns from the status of an answer to a request with these headers.
    pub(crate) fn learn(&self, status: StatusCode) {
        if status != StatusCode::UNAUTHORIZED {
            self.have_worked.store(true, Ordering::Relaxed);
        }
    }
}

/// What a login gave: a proof of identity that lasts for two hours. Not for display.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// The ticket. As [`Credentials::Password`]'s secret it is good for a renewal.
    pub ticket: Secret,
    /// What must accompany it in calls that change something.
    pub csrf_token: Option<Secret>,
}

struct Login {
    ticket: String,
    csrf_token: Option<Secret>,
    headers: AuthHeaders,
    issued: Instant,
    renew_at: Instant,
}

/// What is known about the login of a user.
#[derive(Default)]
pub(crate) struct State {
    login: Option<Login>,
    /// The last refusal, for those who waited for that same attempt.
    refused: Option<(Instant, ClientError)>,
    /// When a ticket was last replaced long before its end.
    replaced_early: Option<Instant>,
}

/// Keeps the credentials of one client.
pub(crate) enum Authentication {
    Token(AuthHeaders),
    /// The lock is held while a login is on its way, so that there is only one.
    Password {
        userid: Userid,
        secret: Secret,
        state: Box<Mutex<State>>,
    },
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl Authentication {
    /// Returns `None` if the secret cannot stand in a header.
    pub(crate) fn new(credentials: &Credentials) -> Option<Self> {
        Some(match credentials {
            Credentials::Token { authid, secret } => {
                let value = sensitive(&token_authorization(authid, secret.expose()))?;
                Self::Token(AuthHeaders { headers: vec![(AUTHORIZATION, value)], ..AuthHeaders::default() })
            }
            Credentials::Password { userid, secret } => {
                Self::Password { userid: userid.clone(), secret: secret.clone(), state: Box::default() }
            }
        })
    }

    /// Returns the headers for a request, after logging in or renewing the ticket if needed.
    ///
    /// # Errors
    /// A refused login, or trouble on the way to it.
    pub(crate) async fn headers(&self, client: &Client) -> Result<AuthHeaders, ClientError> {
        let (userid, secret, state) = match self {
            Self::Token(headers) => return Ok(headers.clone()),
            Self::Password { userid, secret, state } => (userid, secret, state),
        };
        let asked = Instant::now();
        let mut state = state.lock().await;
        if let Some((at, error)) = &state.refused
            && asked < *at
        {
            return Err(error.clone());
        }
        if let Some(login) = &mut state.login {
            let now = Instant::now();
            if now < login.renew_at {
                return Ok(login.headers.clone());
            }
            if now < login.issued + (TICKET_LIFETIME - LIFETIME_MARGIN) {
                match log_in(client, userid, &login.ticket).await {
                    Ok(renewed) => *login = renewed,
                    // A transient failure is no reason to give up a ticket that is still good.
                    Err(error) if error.is_transient() => {
                        tracing::warn!(%error, "renewing the login failed");
                        login.renew_at = Instant::now() + RENEWAL_PAUSE;
                    }
                    Err(_) => state.login = None,
                }
            } else {
                state.login = None;
            }
        }
        if let Some(login) = &state.login {
            return Ok(login.headers.clone());
        }
        match log_in(client, userid, secret.expose()).await {
            Ok(login) => {
                let headers = login.headers.clone();
                state.login = Some(login);
                Ok(headers)
            }
            Err(error) => {
                state.refused = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Returns the present ticket, if there is one.
    pub(crate) async fn ticket(&self) -> Option<Ticket> {
        let Self::Password { state, .. } = self else { return None };
        let state = state.lock().await;
        let login = state.login.as_ref()?;
        Some(Ticket { ticket: Secret::new(login.ticket.as_str()), csrf_token: login.csrf_token.clone() })
    }

    /// Forgets the ticket of `headers` after a 401; returns whether a new login may help.
    pub(crate) async fn forget(&self, headers: &AuthHeaders) -> bool {
        let (Self::Password { state, .. }, Some(issued)) = (self, headers.issued) else {
            return false;
        };
        let mut state = state.lock().await;
        // Another call may have replaced it already.
        let is_same = |login: &Login| Arc::ptr_eq(&login.headers.have_worked, &headers.have_worked);
        if state.login.as_ref().is_some_and(is_same) {
            if issued.elapsed() < SUSPECT_AGE {
                let is_again = state.replaced_early.is_some_and(|at| at.elapsed() < SUSPECT_AGE);
                if is_again || !headers.have_worked.load(Ordering::Relaxed) {
                    return false;
                }
                state.replaced_early = Some(Instant::now());
            }
            state.login = None;
        }
        true
    }
}

/// Logs in with a password or a ticket.
async fn log_in(client: &Client, userid: &Userid, password: &str) -> Result<Login, ClientError> {
    let refused = |text: String| ClientError::LoginRefused { peer: client.peer(), user: userid.to_string(), text };
    let broken = |reason: &str| ClientError::Protocol { peer: client.peer(), reason: reason.to_owned() };
    let body = serde_json::to_vec(&LoginRequest { password, username: userid.as_str() })
        .map_err(|e| ClientError::Configuration { peer: client.peer(), reason: e.to_string() })?;
    let limits = client.limits();
    // A repeated login changes nothing.
    let call = Call {
        method: Method::POST,
        target: LOGIN_PATH.to_owned(),
        content: Content::Json(body.into()),
        is_repeatable: true,
        wait: Wait::Normal,
        max_bytes: limits.answer_bytes,
    };
    let Answer { status, headers, body } = client.exchange(&call, &AuthHeaders::default()).await?;
    match status.as_u16() {
        200..=299 => {}
        401 | 403 => return Err(refused(peer_text(&body))),
        _ => return Err(call.status_error(status, &body)),
    }
    #[derive(Deserialize)]
    struct Envelope {
        data: LoginReply,
    }
    let reply: Envelope =
        serde_json::from_slice(&body).map_err(|_| broken("the answer to the login call cannot be read"))?;
    let from_cookie = host_cookie(&headers);
    let (cookie_name, ticket) = match (from_cookie, reply.data.ticket) {
        (Some(ticket), _) => (HOST_TICKET_COOKIE, ticket),
        (None, Some(ticket)) => (TICKET_COOKIE, ticket),
        (None, None) => return Err(broken("the answer to the login call has no ticket")),
    };
    if ticket.starts_with(PARTIAL_TICKET_PREFIX) {
        return Err(refused("the user needs a second factor".to_owned()));
    }
    let unusable = || broken("the ticket cannot stand in a header");
    let cookie = sensitive(&ticket_cookie(cookie_name, &ticket)).ok_or_else(unusable)?;
    let mut auth = vec![(COOKIE, cookie)];
    if let Some(token) = &reply.data.csrf_token {
        auth.push((HeaderName::from_static(CSRF_HEADER), sensitive(token).ok_or_else(unusable)?));
    }
    let issued = Instant::now();
    let headers = AuthHeaders { headers: auth, issued: Some(issued), ..AuthHeaders::default() };
    let csrf_token = reply.data.csrf_token.map(Secret::new);
    Ok(Login { ticket, csrf_token, headers, issued, renew_at: issued + TICKET_RENEWAL })
}

/// Returns the ticket that newer servers set as a cookie. Source: `docs/spec/wire-protocol.md` 3.4.
fn host_cookie(headers: &HeaderMap) -> Option<String> {
    headers.get_all(SET_COOKIE).iter().find_map(|value| {
        let rest = value.to_str().ok()?.strip_prefix(HOST_TICKET_COOKIE)?.strip_prefix('=')?;
        let (ticket, _) = rest.split_once(';')?;
        (!ticket.is_empty()).then(|| ticket.to_owned())
    })
}
