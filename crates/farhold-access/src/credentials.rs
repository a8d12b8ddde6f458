//! What a request says about who sent it: cookies and the authorization header, as text.
//!
//! Nothing is verified here. A ticket cookie of either name wins over the header, even with an empty or wrong value.
//!
//! Source: `docs/spec/wire-protocol.md` 3.4 and 3.6.

use farhold_types::Secret;
use percent_encoding::percent_decode_str;

/// Name of the ticket cookie that browsers protect.
pub const PREFIXED_COOKIE: &str = "__Host-PBSAuthCookie";
/// Name of the ticket cookie of other clients.
pub const LEGACY_COOKIE: &str = "PBSAuthCookie";
/// First word of the authorization header.
const TOKEN_SCHEME: &str = "PBSAPIToken";

/// What a request presents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing.
    None,
    /// A ticket.
    Ticket(Secret),
    /// An API token with its secret.
    Token {
        /// Token id as sent.
        tokenid: String,
        /// Secret.
        secret: Secret,
    },
}

impl Credentials {
    /// Returns what the headers of a request present.
    ///
    /// `cookies`: the value of each `Cookie` header. `authorization`: the value of the `Authorization` header.
    pub fn from_headers<'h>(cookies: impl Iterator<Item = &'h str> + Clone, authorization: Option<&str>) -> Self {
        if let Some(ticket) = cookie(cookies.clone(), PREFIXED_COOKIE).or_else(|| cookie(cookies, LEGACY_COOKIE)) {
            return Self::Ticket(ticket);
        }
        authorization.and_then(token).map_or(Self::None, |(tokenid, secret)| Self::Token { tokenid, secret })
    }
}

/// Returns the decoded value of the first cookie of this name.
///
/// A part without `=` ends the search in its header. Quotes around a value stay.
pub fn cookie<'h>(headers: impl Iterator<Item = &'h str>, name: &str) -> Option<Secret> {
    headers.into_iter().find_map(|header| {
        header
            .split(';')
            .map_while(|pair| pair.split_once('='))
            .find(|(key, _)| key.trim() == name)
            .map(|(_, value)| Secret::new(percent_decode_str(value.trim()).decode_utf8_lossy()))
    })
}

/// Returns token id and decoded secret of an authorization header, or `None` if it has another form.
fn token(header: &str) -> Option<(String, Secret)> {
    let rest = header.strip_prefix(TOKEN_SCHEME)?.strip_prefix([' ', '='])?;
    let (tokenid, secret) = rest.split_once(':')?;
    let secret = percent_decode_str(secret).decode_utf8().ok()?;
    Some((tokenid.to_owned(), Secret::new(secret)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented(cookies: &[&str], authorization: Option<&str>) -> Credentials {
        Credentials::from_headers(cookies.iter().copied(), authorization)
    }

    fn ticket(text: &str) -> Credentials {
        Credentials::Ticket(Secret::new(text))
    }

    #[test]
    fn cookies_are_found_and_decoded() {
        for (cookies, expected) in [
            (&["PBSAuthCookie=PBS:a@pbs:00::x"][..], ticket("PBS:a@pbs:00::x")),
            (&["PBSAuthCookie=PBS%3Aa%40pbs%3a00%3A%3Ax; path=/; secure; SameSite=Strict;"], ticket("PBS:a@pbs:00::x")),
            (&["a=b;PBSAuthCookie = x "], ticket("x")),
            (&["a=b", "PBSAuthCookie=x"], ticket("x")),
            (&["secure; PBSAuthCookie=x", "PBSAuthCookie=y"], ticket("y")),
            (&["PBSAuthCookie=x; __Host-PBSAuthCookie=y"], ticket("y")),
            (&["PBSAuthCookie=x", "__Host-PBSAuthCookie="], ticket("")),
            (&["PBSAuthCookie=\"x\""], ticket("\"x\"")),
            (&["PBSAuthCookie=a=b=="], ticket("a=b==")),
            (&["a=b; secure; PBSAuthCookie=x"], Credentials::None),
            (&["PVEAuthCookie=x"], Credentials::None),
            (&["pbsauthcookie=x"], Credentials::None),
            (&[""], Credentials::None),
        ] {
            assert_eq!(presented(cookies, None), expected, "{cookies:?}");
        }
    }

    #[test]
    fn tokens_have_one_exact_form() {
        let token = |id: &str, secret: &str| Credentials::Token { tokenid: id.to_owned(), secret: Secret::new(secret) };
        for (header, expected) in [
            ("PBSAPIToken=a@pbs!t:s-1", token("a@pbs!t", "s-1")),
            ("PBSAPIToken a@pbs!t:s%3A1", token("a@pbs!t", "s:1")),
            ("PBSAPIToken a@pbs!t:a:b", token("a@pbs!t", "a:b")),
            ("PBSAPIToken a%40pbs!t:x", token("a%40pbs!t", "x")),
            ("PBSAPIToken  a@pbs!t:x", token(" a@pbs!t", "x")),
            ("PBSAPIToken a@pbs!t", Credentials::None),
            ("PBSAPIToken:a@pbs!t:x", Credentials::None),
            ("pbsapitoken a@pbs!t:x", Credentials::None),
            ("PVEAPIToken=a@pbs!t:x", Credentials::None),
            ("PBSAuthCookie=PBS:a@pbs:00::x", Credentials::None),
            ("PBSAPIToken a@pbs!t:%ff", Credentials::None),
        ] {
            assert_eq!(presented(&[], Some(header)), expected, "{header}");
        }
        assert_eq!(presented(&["x=y"], Some("PBSAPIToken=a@pbs!t:s")), token("a@pbs!t", "s"));
        assert_eq!(presented(&["PBSAuthCookie="], Some("PBSAPIToken=a@pbs!t:s")), ticket(""));
    }
}
