//! A request target to path components, and form text to pairs.
//!
//! Source: `docs/spec/rest-api.md` 1.1 and 1.2, `docs/spec/wire-protocol.md` 2.1 and 2.5.

use percent_encoding::percent_decode_str;

use crate::schema::Input;

/// Largest length of normalised path plus query (without the `?`), in bytes; longer targets get 414.
///
/// Source: `docs/spec/rest-api.md` 1.1 rule 4. Clients move larger input into a body.
pub(super) const MAX_TARGET_BYTES: usize = 3072;

/// Why a request target is refused before anything else is looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TargetError {
    TooLong,
    HiddenComponent,
}

/// Returns the non-empty components of a path, still percent-encoded.
///
/// # Errors
/// The target is too long, or a component begins with a literal dot.
pub(super) fn components<'a>(path: &'a str, query: Option<&str>) -> Result<Vec<&'a str>, TargetError> {
    let components: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    // Every component counts with the slash before it; dropped slashes do not count.
    let path_bytes: usize = components.iter().map(|part| part.len() + 1).sum();
    if MAX_TARGET_BYTES < path_bytes.max(1) + query.map_or(0, str::len) {
        return Err(TargetError::TooLong);
    }
    if components.iter().any(|part| part.starts_with('.')) {
        return Err(TargetError::HiddenComponent);
    }
    Ok(components)
}

/// Returns a component percent-decoded; `None` if an escape is invalid or the result is not UTF-8.
pub(super) fn decode_component(component: &str) -> Option<String> {
    let mut rest = component;
    while let Some(at) = rest.find('%') {
        let digits = rest.get(at + 1..at + 3)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        rest = &rest[at + 3..];
    }
    percent_decode_str(component).decode_utf8().ok().map(|text| text.into_owned())
}

/// Returns the pairs of form data: `+` is a blank, escapes are decoded once, what is not UTF-8 becomes U+FFFD.
pub(super) fn form_pairs(text: &str) -> Vec<Input> {
    let decode = |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// Returns the pairs of a query string; the cache buster `_dc` is dropped.
pub(super) fn query_pairs(query: Option<&str>) -> Vec<Input> {
    let mut pairs = form_pairs(query.unwrap_or(""));
    pairs.retain(|(name, _)| name != "_dc");
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_components_are_dropped_and_hidden_ones_refused() {
        assert_eq!(components("//api2///json//version/", None), Ok(vec!["api2", "json", "version"]));
        assert_eq!(components("/api2/json/.version", None), Err(TargetError::HiddenComponent));
        assert_eq!(components("/api2/../x", None), Err(TargetError::HiddenComponent));
        assert_eq!(components("/", None), Ok(vec![]));
    }

    #[test]
    fn the_length_counts_path_and_query_but_neither_question_mark_nor_dropped_slashes() {
        let path = "/api2/json/ping";
        let fits = "a".repeat(MAX_TARGET_BYTES - path.len());
        assert!(components(path, Some(&fits)).is_ok());
        assert_eq!(components(path, Some(&format!("{fits}a"))), Err(TargetError::TooLong));
        assert!(components(&format!("{path}{}", "/".repeat(5000)), None).is_ok());
    }

    #[test]
    fn components_are_decoded_once_and_strictly() {
        assert_eq!(decode_component("v%65rsion").as_deref(), Some("version"));
        assert_eq!(decode_component("a%2525").as_deref(), Some("a%25"));
        for bad in ["%", "%4", "%zz", "%ff", "%+1", "%é"] {
            assert_eq!(decode_component(bad), None, "{bad}");
        }
    }

    #[test]
    fn forms_decode_blanks_and_escapes() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(form_pairs("a=b+c%2B&d&&e==x"), [pair("a", "b c+"), pair("d", ""), pair("e", "=x")]);
        assert_eq!(query_pairs(Some("_dc=1&a=1")), [pair("a", "1")]);
        assert_eq!(query_pairs(Some("")), []);
    }
}
