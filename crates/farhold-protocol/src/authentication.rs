//! Login messages, header and cookie names, and the text of credentials in headers.
//!
//! Source: `docs/spec/wire-protocol.md` 3.

use std::time::Duration;

use farhold_types::Authid;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

/// Path of the login call as real clients send it, with two leading slashes.
pub const LOGIN_PATH: &str = "//api2/json/access/ticket";
/// Header that accompanies a ticket.
pub const CSRF_HEADER: &str = "csrfpreventiontoken";
/// Cookie that a ticket travels in, as PBS clients send it.
pub const TICKET_COOKIE: &str = "PBSAuthCookie";
/// Cookie that newer servers set; it wins over [`TICKET_COOKIE`].
pub const HOST_TICKET_COOKIE: &str = "__Host-PBSAuthCookie";
/// First word of the `Authorization` header of an API token.
pub const TOKEN_SCHEME: &str = "PBSAPIToken";
/// How a ticket begins that only proves the password and still needs a second factor.
pub const PARTIAL_TICKET_PREFIX: &str = "PBS:!tfa!";
/// How long a ticket is valid. Source: `docs/spec/wire-protocol.md` 3.3.
pub const TICKET_LIFETIME: Duration = Duration::from_secs(7200);
/// Age at which clients renew a ticket. Source: `docs/spec/wire-protocol.md` 3.7.
pub const TICKET_RENEWAL: Duration = Duration::from_secs(15 * 60);

/// What clients escape in tickets and token secrets. Source: `docs/spec/wire-protocol.md` 3.4.
const ESCAPED: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'`').add(b'?').add(b'{').add(b'}');

/// Body of the login call. `password` is a password, or a valid ticket to renew it.
#[derive(Serialize, Deserialize)]
pub struct LoginRequest<'a> {
    /// Password or ticket.
    pub password: &'a str,
    /// User id.
    pub username: &'a str,
}

/// What a login call answers. Has no `Debug`: the fields are secrets.
#[derive(Serialize, Deserialize)]
pub struct LoginReply {
    /// The user that is logged in.
    pub username: String,
    /// The ticket; absent when it was set as a cookie only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// Token that must accompany the ticket in every call but GET.
    #[serde(rename = "CSRFPreventionToken", default, skip_serializing_if = "Option::is_none")]
    pub csrf_token: Option<String>,
}

/// Returns the value of the `Authorization` header of an API token, in the form PBS clients send.
///
/// Source: `docs/spec/wire-protocol.md` 3.6.
pub fn token_authorization(authid: &Authid, secret: &str) -> String {
    format!("{TOKEN_SCHEME} {authid}:{}", utf8_percent_encode(secret, ESCAPED))
}

/// Returns the value of the `Cookie` header for a ticket.
///
/// Source: `docs/spec/wire-protocol.md` 3.4.
pub fn ticket_cookie(cookie_name: &str, ticket: &str) -> String {
    format!("{cookie_name}={}", utf8_percent_encode(ticket, ESCAPED))
}

/// Returns the auth id text and secret of an `Authorization` header value, or `None` if it is not an API token.
///
/// Both the form with a blank and the one with an equals sign pass; the secret is decoded, the auth id is not.
///
/// Source: `docs/spec/wire-protocol.md` 3.6.
pub fn parse_token_authorization(value: &str) -> Option<(&str, String)> {
    let rest = value.strip_prefix(TOKEN_SCHEME)?;
    let rest = rest.strip_prefix(' ').or_else(|| rest.strip_prefix('='))?;
    let (authid, secret) = rest.split_once(':')?;
    Some((authid, percent_decode_str(secret).decode_utf8().ok()?.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_headers_read_back_in_both_forms() {
        let authid: Authid = "sync@pbs!t1".parse().unwrap();
        let header = token_authorization(&authid, "a b#c:d");
        assert_eq!(header, "PBSAPIToken sync@pbs!t1:a%20b%23c:d");
        assert_eq!(parse_token_authorization(&header), Some(("sync@pbs!t1", "a b#c:d".to_owned())));
        assert_eq!(parse_token_authorization("PBSAPIToken=u@pbs!t:s"), Some(("u@pbs!t", "s".to_owned())));
        for bad in ["PVEAPIToken=u@pbs!t:s", "PBSAPIToken  u@pbs!t", "Basic abc", "PBSAPIToken", "pbsapitoken a@b!c:d"]
        {
            assert_eq!(parse_token_authorization(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_login_body_has_the_recorded_form() {
        let body = serde_json::to_string(&LoginRequest { password: "<secret>", username: "sync@pbs" }).unwrap();
        assert_eq!(body, r#"{"password":"<secret>","username":"sync@pbs"}"#);
        let reply: LoginReply =
            serde_json::from_str(r#"{"username":"a@pbs","ticket":"PBS:a@pbs:1::s","CSRFPreventionToken":"t"}"#)
                .unwrap();
        assert_eq!(reply.csrf_token.as_deref(), Some("t"));
    }
}
