//! What texts look like, as regular expressions for the documentation.
//!
//! Values are checked by parsers, not by these. Every value that a parser takes matches its pattern, so that a client
//! made from the documentation refuses nothing that the server would take; a few values match and are refused all the
//! same. The syntax is what ECMAScript, Python and Rust have in common. Source: `docs/spec/rest-api.md` 2.1.

use super::Param;

/// Letters, digits, `_`, `.` and `-`, not beginning with one of the last two.
pub const SAFE_ID: &str = r"^[A-Za-z0-9_][A-Za-z0-9._\-]*$";
/// Up to seven components joined by `/`, or nothing.
pub const NAMESPACE: &str = r"^([A-Za-z0-9_][A-Za-z0-9._\-]*(/[A-Za-z0-9_][A-Za-z0-9._\-]*){0,6})?$";
/// A name and a realm.
pub const USERID: &str = r"^[^\s:/\u0000-\u001f\u007f-\u009f]+@[A-Za-z0-9_][A-Za-z0-9._\-]*$";
/// A user ID, or one with the name of a token behind it.
pub const AUTHID: &str =
    r"^[^\s:/\u0000-\u001f\u007f-\u009f]+@[A-Za-z0-9_][A-Za-z0-9._\-]*(![A-Za-z0-9_][A-Za-z0-9._\-]*)?$";
/// The root or components.
pub const ACL_PATH: &str = r"^(/|(/[A-Za-z0-9_][A-Za-z0-9._\-]*)+)$";
/// One line without control characters.
pub const ONE_LINE: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
/// A label of a host name.
pub const LABEL: &str = r"^[A-Za-z0-9]([A-Za-z0-9\-]*[A-Za-z0-9])?$";
/// SHA-256 in hex.
pub const DIGEST: &str = r"^[0-9a-f]{64}$";
/// SHA-256 in pairs of hex digits.
pub const FINGERPRINT: &str = r"^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){31}$";
/// A number with a unit.
pub const BYTES: &str = r"^[0-9.eE+\-]+ *[KMGTPkmgtp]?i?[Bb]?$";
/// What a group filter begins with.
pub const GROUP_FILTER: &str = r"^((include|exclude):)?(type:(vm|ct|host)|group:.+|regex:[\s\S]*)$";
/// The nine fields of a UPID.
pub const UPID: &str =
    r"^UPID:[^:\s]+:[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}:[0-9A-Fa-f]{8,16}:[0-9A-Fa-f]{8}:[^:\s]+:[^:\s]*:[^:\s]+:$";

/// Returns whether a value matches the pattern of its parameter; `true` without a pattern.
///
/// # Errors
/// The pattern is none.
pub fn fits(param: &Param, text: &str) -> Result<bool, regex::Error> {
    Ok(match param.pattern {
        Some(pattern) => regex::Regex::new(pattern)?.is_match(text),
        None => true,
    })
}

#[cfg(test)]
mod tests {
    use super::super::named;
    use super::*;

    /// Texts of all kinds; each is tried with each parameter.
    const TEXTS: &[&str] = &[
        "",
        "a",
        "abc",
        "store-1",
        ".hidden",
        "-x",
        "_x.y-z",
        "a/b",
        "a//b",
        "a/b/c/d/e/f/g",
        "a/b/c/d/e/f/g/h",
        "/",
        "/datastore/a",
        "/datastore/",
        "root@pam",
        "root@pam!token",
        "ü!x@y@pbs",
        "a b@pbs",
        "root@",
        "@pam",
        "line\nline",
        "tab\tbed",
        "del\u{7f}eted",
        "control\u{85}character",
        "äöü",
        "20 MiB",
        "20MiB",
        "1e3",
        "0.5 k",
        "1 300",
        "KiB",
        "-5",
        "type:vm",
        "exclude:group:vm/100",
        "include:regex:^vm/.*$",
        "regex:",
        "type:zip",
        "localhost",
        "host-",
        "1234567890123456789012345678901234567890",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
        "AA:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99",
        "UPID:pbs1:000002F3:00000D1A:00000003:6A1B2C3D:backup:store\\x3avm-100:root@pam!t:",
        "UPID:pbs1:000002F3:00000D1A:00000003:6A1B2C3D::store:root@pam:",
    ];

    const PARAMS: &[Param] = &[
        named::STORE,
        named::REMOTE_ID,
        named::JOB_ID,
        named::ACTIVE_ENCRYPTION_KEY,
        named::ASSOCIATED_KEY,
        named::NS,
        named::BACKUP_ID,
        named::FILE_NAME,
        named::USERID,
        named::AUTH_ID,
        named::TOKEN_NAME,
        named::REALM,
        named::ACL_PATH,
        named::COMMENT,
        named::PASSWORD,
        named::USER_PASSWORD,
        named::PERSON_NAME,
        named::DIGEST,
        named::FINGERPRINT,
        named::NODE,
        named::RATE_IN,
        named::GROUP_FILTER,
    ];

    #[test]
    fn what_a_parameter_takes_matches_its_pattern_and_the_pattern_refuses_something() {
        for param in PARAMS {
            let is_taken =
                |text: &str| param.kind.parse_text(text).is_ok_and(|value| param.check_typed(&value).is_ok());
            for text in TEXTS.iter().filter(|text| is_taken(text)) {
                assert!(fits(param, text).unwrap(), "{} takes {text:?}", param.name);
            }
            assert!(TEXTS.iter().any(|text| is_taken(text)), "no text tried fits {}", param.name);
            assert!(TEXTS.iter().any(|text| !fits(param, text).unwrap()), "{} has no pattern", param.name);
        }
    }

    #[test]
    fn task_ids_match_their_pattern() {
        let good = TEXTS.iter().filter(|text| text.parse::<farhold_format::upid::Upid>().is_ok());
        assert_eq!(good.clone().count(), 1);
        for text in good {
            assert!(fits(&named::UPID, text).unwrap(), "{text}");
        }
        assert!(!fits(&named::UPID, "UPID:pbs1:0:0:0:0:::root@pam:").unwrap());
    }
}
