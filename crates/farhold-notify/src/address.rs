//! Whether an address of the settings can be called at all, so that a slip of the hand is told to whoever makes it and not,
//! days later, to the server's log.
//!
//! Files are read whatever they hold: these checks are for what somebody is about to store.

use farhold_types::Secret;
use thiserror::Error;

use crate::engine::{self, TemplateFault};
use crate::web::Place;

/// Why an address can never be called. The address is not shown: it may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressFault {
    /// It does not begin with a scheme that can be called.
    #[error("the address must begin with http:// or https://")]
    Scheme,
    /// It names no server, or is no URL.
    #[error("the address is no URL: http://<server>[:<port>][/<path>] or https://... is expected")]
    Form,
    /// Its template makes no text.
    #[error("the address is no template that can be used: {0}")]
    Template(TemplateFault),
}

/// Checks the address of a server: `http://` or `https://`, a name or address, perhaps a port and a path.
///
/// # Errors
/// [`AddressFault`].
pub fn check_server(address: &str) -> Result<(), AddressFault> {
    if !has_scheme(address) {
        return Err(AddressFault::Scheme);
    }
    Place::of(&Secret::new(address)).map(drop).map_err(|_| AddressFault::Form)
}

/// Checks the template of an address. What it makes of values is not known before, so that only what stands before the first
/// of them is looked at.
///
/// # Errors
/// [`AddressFault`].
pub fn check_template(template: &str) -> Result<(), AddressFault> {
    let Some((fixed, _)) = template.split_once("{{") else { return check_server(template) };
    engine::check_form(template).map_err(AddressFault::Template)?;
    let may_become = ["http://", "https://"].iter().any(|scheme| starts_alike(scheme, fixed));
    if may_become { Ok(()) } else { Err(AddressFault::Scheme) }
}

fn has_scheme(address: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| scheme.len() <= address.len() && starts_alike(scheme, address))
}

/// Returns whether two texts are alike as far as both go, in ASCII whatever the case.
fn starts_alike(one: &str, other: &str) -> bool {
    one.bytes().zip(other.bytes()).all(|(one, other)| one.eq_ignore_ascii_case(&other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_can_be_called_are_taken() {
        for good in [
            "http://gotify.example.com",
            "https://gotify.example.com/",
            "HTTPS://user:pass@gotify.example.com:8443/base/path?x=1#y",
            "http://[2001:db8::1]:8080",
            "http://10.0.0.1",
            "http://localhost",
        ] {
            assert_eq!(check_server(good), Ok(()), "{good}");
            assert_eq!(check_template(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "gotify.example.com",
            "ftp://example.com",
            "mailto:me@example.com",
            "http",
            "//example.com",
            "httpx://a",
        ] {
            assert_eq!(check_server(bad), Err(AddressFault::Scheme), "{bad}");
            assert_eq!(check_template(bad), Err(AddressFault::Scheme), "{bad}");
        }
        for bad in ["http://", "https:///path", "http://a b/", "http://example.com:99999/", "http://exa\u{202e}mple"] {
            assert_eq!(check_server(bad), Err(AddressFault::Form), "{bad}");
        }
    }

    #[test]
    fn templates_may_put_in_what_they_like_where_they_may() {
        for good in [
            "https://hooks.example/{{secrets.path}}",
            "{{secrets.url}}",
            "http{{#if fields.x}}s{{/if}}://hooks.example",
            "https://{{secrets.host}}/x?title={{url-encode title}}",
        ] {
            assert_eq!(check_template(good), Ok(()), "{good}");
        }
        assert_eq!(check_template("ftp://{{secrets.host}}"), Err(AddressFault::Scheme));
        assert_eq!(check_template("hooks.example/{{title}}"), Err(AddressFault::Scheme));
        for bad in ["https://hooks.example/{{title", "https://hooks.example/{{#if a}}", "https://a/{{> other}}"] {
            assert!(matches!(check_template(bad), Err(AddressFault::Template(_))), "{bad}");
        }
    }
}
