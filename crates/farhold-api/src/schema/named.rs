//! The parameters that several endpoints share, by their types in `docs/spec/rest-api.md` 2.1 to 2.7.
//!
//! Constants are optional unless their description says otherwise; use `.is_required()`, `.named(..)` and
//! `.described(..)` to fit them into a declaration. Checks call the parsers of `farhold-types`, so that a value that
//! passes here parses in the handler.

use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;

use farhold_format::config_schema::Value as FileValue;
use farhold_rules::calendar::CalendarEvent;
use farhold_types::{
    Authid, BackupId, ByteSize, DatastoreName, Digest, Epoch, Fingerprint, Group, GroupFilter, JobId, KeyId, Namespace,
    Realm, RemoteName, TokenName, Userid, is_safe_id,
};
use serde_json::Value;

use super::{DefaultValue, Param, ParamKind, TextCheck, pattern};

/// Type text of parameters without a more telling one.
const STRING: &str = "<string>";

const fn text(min_length: usize, max_length: Option<usize>, check: TextCheck, hint: &'static str) -> ParamKind {
    ParamKind::Text { min_length, max_length, check: Some(check), hint }
}

const fn integer(min: Option<i64>, max: Option<i64>) -> ParamKind {
    ParamKind::Integer { min, max }
}

/// Returns the kind of a parameter that is kept in a configuration file under the same rule: a text, a whole number, a
/// word or a boolean. Property strings pass any text here, and are checked when the file is written.
pub const fn of_file(value: FileValue) -> ParamKind {
    match value {
        FileValue::Bool => ParamKind::Boolean,
        FileValue::Int { min, max } => ParamKind::Integer { min: Some(min), max: Some(max) },
        FileValue::Text { min, max, check } => {
            // The rules of files name no bound where the file's is the only one.
            let max_length = if max == usize::MAX { None } else { Some(max) };
            ParamKind::Text { min_length: min, max_length, check, hint: STRING }
        }
        FileValue::Enum(values) => ParamKind::Enumeration { values, strict: true },
        FileValue::LenientEnum(values) => ParamKind::Enumeration { values, strict: false },
        FileValue::Properties(_) => ANY_TEXT,
    }
}

/// A text without check beyond the limits of the request.
pub const ANY_TEXT: ParamKind = ParamKind::Text { min_length: 0, max_length: None, check: None, hint: STRING };

/// Checks a text with the parser of its type.
fn parses<T>(text: &str) -> Result<(), String>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse::<T>().map(drop).map_err(|error| error.to_string())
}

fn no_control_characters(text: &str) -> Result<(), String> {
    if text.chars().any(char::is_control) { Err("value may not contain control characters".to_owned()) } else { Ok(()) }
}

fn lines_without_control_characters(text: &str) -> Result<(), String> {
    text.split('\n').try_for_each(no_control_characters)
}

fn safe_id(text: &str) -> Result<(), String> {
    if is_safe_id(text) {
        Ok(())
    } else {
        Err("value does not match the pattern [A-Za-z0-9_][A-Za-z0-9._-]*".to_owned())
    }
}

/// The pattern admits one component more than the type, which is refused in the second stage.
fn namespace_pattern(text: &str) -> Result<(), String> {
    let components = text.split('/').filter(|_| !text.is_empty());
    if components.clone().count() <= 8 && components.clone().all(is_safe_id) {
        Ok(())
    } else {
        Err("value does not match the pattern of namespaces, components joined by '/'".to_owned())
    }
}

fn namespace_typed(value: &Value) -> Result<(), String> {
    value.as_str().map_or(Ok(()), parses::<Namespace>)
}

fn calendar_event(text: &str) -> Result<(), String> {
    CalendarEvent::parse(text).map(drop).map_err(|error| error.to_string())
}

fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

fn host(text: &str) -> Result<(), String> {
    if text.split('.').all(is_label) || text.parse::<IpAddr>().is_ok() {
        Ok(())
    } else {
        Err("value is no DNS name and no IP address".to_owned())
    }
}

fn node(text: &str) -> Result<(), String> {
    if is_label(text) { Ok(()) } else { Err("value is no node name".to_owned()) }
}

fn port_typed(value: &Value) -> Result<(), String> {
    match value.as_i64() {
        Some(port) if !(0..=65_535).contains(&port) => Err("port must be between 0 and 65535".to_owned()),
        _ => Ok(()),
    }
}

/// Times after the year 9999 have no text form. Source: `docs/spec/wire-protocol.md` 4.
fn time_typed(value: &Value) -> Result<(), String> {
    match value.as_i64() {
        Some(time) if Epoch::MAX.0 < time => Err("time lies after the year 9999".to_owned()),
        _ => Ok(()),
    }
}

fn not_negative(value: &Value) -> Result<(), String> {
    match value.as_i64() {
        Some(number) if number < 0 => Err("number may not be negative".to_owned()),
        _ => Ok(()),
    }
}

fn acl_path(text: &str) -> Result<(), String> {
    let well_formed = text == "/" || text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_safe_id));
    if well_formed { Ok(()) } else { Err("value is no ACL path".to_owned()) }
}

/// A backup type whose unknown words are refused in the second stage; `.strict()` on `/backup` and `/reader`.
const BACKUP_TYPES: &[&str] = &["vm", "ct", "host"];

/// `store`: name of a datastore.
pub const STORE: Param =
    Param::required("store", text(3, Some(32), parses::<DatastoreName>, STRING), "Name of the datastore")
        .looks_like(pattern::SAFE_ID);
/// `name` of a datastore in its own configuration.
pub const DATASTORE_NAME: Param = STORE.named("name");
/// `remote`: name of a remote.
pub const REMOTE_ID: Param =
    Param::optional("remote", text(3, Some(32), parses::<RemoteName>, STRING), "Name of the remote")
        .looks_like(pattern::SAFE_ID);
/// `remote-store`: name of a datastore on the other side.
pub const REMOTE_STORE: Param =
    STORE.named("remote-store").described("Name of the datastore on the remote, or of the local source");
/// `id` of a sync, verify or prune job.
pub const JOB_ID: Param =
    Param::required("id", text(3, Some(32), parses::<JobId>, STRING), "Name of the job").looks_like(pattern::SAFE_ID);
/// Element kind of encryption key names.
pub const KEY_ID_KIND: ParamKind = text(3, Some(32), parses::<KeyId>, STRING);
/// `active-encryption-key`: key used to encrypt what is pushed.
pub const ACTIVE_ENCRYPTION_KEY: Param =
    Param::optional("active-encryption-key", KEY_ID_KIND, "Encryption key for pushed backups")
        .looks_like(pattern::SAFE_ID);
/// `associated-key`: keys that belong to a job.
pub const ASSOCIATED_KEY: Param =
    Param::optional("associated-key", ParamKind::List(&KEY_ID_KIND), "Encryption keys that belong to the job")
        .looks_like(pattern::SAFE_ID);
/// `ns`: a namespace; absent or empty is the root.
pub const NS: Param = Param::optional("ns", text(0, Some(256), namespace_pattern, STRING), "Namespace")
    .typed_by(namespace_typed)
    .looks_like(pattern::NAMESPACE);
/// `remote-ns`: a namespace on the other side.
pub const REMOTE_NS: Param = NS.named("remote-ns").described("Namespace on the remote, or of the local source");
/// `max-depth` of listings and prune or verify jobs.
pub const MAX_DEPTH: Param = Param::optional(
    "max-depth",
    integer(Some(0), Some(7)),
    "How many levels of namespaces below the anchor to include",
)
.or_default(DefaultValue::Integer(7));
/// `max-depth` of sync jobs: absent means all levels, and has no default.
pub const MAX_DEPTH_REDUCED: Param =
    Param::optional("max-depth", integer(Some(0), Some(7)), "How many levels of namespaces to include; all if absent");
/// `backup-type`.
pub const BACKUP_TYPE: Param =
    Param::required("backup-type", ParamKind::Enumeration { values: BACKUP_TYPES, strict: false }, "Backup type");
/// `backup-id`.
pub const BACKUP_ID: Param =
    Param::required("backup-id", text(1, None, parses::<BackupId>, STRING), "Backup ID").looks_like(pattern::SAFE_ID);
/// `backup-time`, seconds since 1970-01-01 UTC.
pub const BACKUP_TIME: Param =
    Param::required("backup-time", integer(Some(1), None), "Backup time in seconds since 1970-01-01 UTC")
        .typed_by(time_typed);
/// `file-name` of an archive or a blob.
pub const FILE_NAME: Param =
    Param::required("file-name", text(1, None, safe_id, STRING), "Name of the file").looks_like(pattern::SAFE_ID);
/// `userid`.
pub const USERID: Param =
    Param::required("userid", text(3, Some(64), parses::<Userid>, STRING), "User ID").looks_like(pattern::USERID);
/// `auth-id`: a user or an API token.
pub const AUTH_ID: Param =
    Param::optional("auth-id", text(3, Some(64), parses::<Authid>, STRING), "User ID or API token ID")
        .looks_like(pattern::AUTHID);
/// `owner` of groups or jobs.
pub const OWNER: Param = AUTH_ID.named("owner").described("Owner of the synchronised groups");
/// `token-name`.
pub const TOKEN_NAME: Param =
    Param::required("token-name", text(1, None, parses::<TokenName>, STRING), "Name of the API token")
        .looks_like(pattern::SAFE_ID);
/// `realm`.
pub const REALM: Param = Param::optional("realm", text(2, Some(32), parses::<Realm>, STRING), "Authentication realm")
    .looks_like(pattern::SAFE_ID);
/// `path` in the ACL.
pub const ACL_PATH: Param =
    Param::required("path", text(1, Some(128), acl_path, STRING), "Access control path").looks_like(pattern::ACL_PATH);
/// `comment`: one line.
pub const COMMENT: Param = Param::optional("comment", text(0, Some(128), no_control_characters, STRING), "Comment")
    .looks_like(pattern::ONE_LINE);
/// `comment` of several lines.
pub const MULTI_LINE_COMMENT: Param =
    Param::optional("comment", text(0, None, lines_without_control_characters, STRING), "Comment");
/// `password` of a remote, plain text; for API tokens their secret.
pub const PASSWORD: Param =
    Param::optional("password", text(1, Some(1024), no_control_characters, STRING), "Password or token secret")
        .looks_like(pattern::ONE_LINE);
/// `password` of a user of the built-in realm.
pub const USER_PASSWORD: Param =
    Param::optional("password", text(8, Some(64), no_control_characters, STRING), "Password of the user")
        .looks_like(pattern::ONE_LINE);
/// `firstname`, `lastname`, `email`: give it a name with `.named(..)`.
pub const PERSON_NAME: Param =
    Param::optional("firstname", text(2, Some(64), no_control_characters, STRING), "Name of the person")
        .looks_like(pattern::ONE_LINE);
/// `digest` of a configuration file as it was when the caller read it.
pub const DIGEST: Param = Param::optional(
    "digest",
    text(64, Some(64), parses::<Digest>, STRING),
    "Refuse the change if the configuration file differs from this digest",
)
.looks_like(pattern::DIGEST);
/// `digest` of a chunk.
pub const CHUNK_DIGEST: Param =
    Param::required("digest", text(64, Some(64), parses::<Digest>, STRING), "Digest of the chunk")
        .looks_like(pattern::DIGEST);
/// `fingerprint` of a certificate.
pub const FINGERPRINT: Param =
    Param::optional("fingerprint", text(95, Some(95), parses::<Fingerprint>, STRING), "SHA-256 of the certificate")
        .looks_like(pattern::FINGERPRINT);
/// `host`: DNS name or IP address.
pub const HOST: Param = Param::optional("host", text(1, None, host, STRING), "DNS name or IP address");
/// `port`; values outside of 0 to 65535 are refused in the second stage.
pub const PORT: Param = Param::optional("port", integer(None, None), "TCP port").typed_by(port_typed);
/// `node`: any value means this host.
pub const NODE: Param = Param::required("node", text(1, None, node, STRING), "Name of the node, any means this host")
    .looks_like(pattern::LABEL);
/// Kind of rates and sizes such as `20 MiB`.
pub const BYTES_KIND: ParamKind = text(1, Some(64), parses::<ByteSize>, STRING);
/// `rate-in`, bytes per second.
pub const RATE_IN: Param =
    Param::optional("rate-in", BYTES_KIND, "Limit of incoming traffic, bytes per second").looks_like(pattern::BYTES);
/// `rate-out`, bytes per second.
pub const RATE_OUT: Param =
    Param::optional("rate-out", BYTES_KIND, "Limit of outgoing traffic, bytes per second").looks_like(pattern::BYTES);
/// `burst-in`, bytes.
pub const BURST_IN: Param =
    Param::optional("burst-in", BYTES_KIND, "Burst of incoming traffic, bytes").looks_like(pattern::BYTES);
/// `burst-out`, bytes.
pub const BURST_OUT: Param =
    Param::optional("burst-out", BYTES_KIND, "Burst of outgoing traffic, bytes").looks_like(pattern::BYTES);
const GROUP_FILTER_KIND: ParamKind =
    text(1, None, parses::<GroupFilter>, "<[exclude:|include:]type|group|regex:value>");
/// Kind of a backup group in one text.
pub const GROUP_KIND: ParamKind = text(1, Some(160), parses::<Group>, "<type/id>");
/// `group-filter`: list of filters.
pub const GROUP_FILTER: Param =
    Param::optional("group-filter", ParamKind::List(&GROUP_FILTER_KIND), "Which groups take part")
        .looks_like(pattern::GROUP_FILTER);
/// `transfer-last`.
pub const TRANSFER_LAST: Param =
    Param::optional("transfer-last", integer(Some(1), None), "Transfer only the newest snapshots of each group");
/// `worker-threads` of a sync job.
pub const WORKER_THREADS: Param =
    Param::optional("worker-threads", integer(Some(1), Some(32)), "Number of groups to work on at once")
        .or_default(DefaultValue::Integer(1));
/// `sync-direction` of a job.
pub const SYNC_DIRECTION: Param = Param::optional(
    "sync-direction",
    ParamKind::Enumeration { values: &["pull", "push"], strict: false },
    "Direction of the job",
)
.or_default(DefaultValue::Text("pull"));
/// `sync-direction` of job listings.
pub const LIST_SYNC_DIRECTION: Param = Param::optional(
    "sync-direction",
    ParamKind::Enumeration { values: &["all", "push", "pull"], strict: true },
    "Which jobs to list",
)
.or_default(DefaultValue::Text("pull"));
/// `schedule`: a calendar event.
pub const SCHEDULE: Param =
    Param::optional("schedule", text(0, None, calendar_event, "<calendar-event>"), "When to run");
/// `start` of listings; negative values are refused in the second stage.
pub const START: Param = Param::optional("start", integer(None, None), "Skip this many entries")
    .or_default(DefaultValue::Integer(0))
    .typed_by(not_negative);
/// `limit` of listings; negative values are refused in the second stage.
pub const LIMIT: Param = Param::optional("limit", integer(None, None), "Return at most this many entries, 0 for all")
    .or_default(DefaultValue::Integer(50))
    .typed_by(not_negative);
const TASK_STATE_KIND: ParamKind =
    ParamKind::Enumeration { values: &["ok", "warning", "error", "unknown"], strict: false };
/// `statusfilter` of the task list.
pub const STATUS_FILTER: Param =
    Param::optional("statusfilter", ParamKind::List(&TASK_STATE_KIND), "Only finished tasks with one of these results");
/// `upid` of a task: at least 36 characters; the handler parses it.
pub const UPID: Param = Param::required(
    "upid",
    ParamKind::Text { min_length: 36, max_length: None, check: Some(no_control_characters), hint: STRING },
    "Task ID",
)
.looks_like(pattern::UPID);

/// Returns an optional boolean parameter without default.
pub const fn flag(name: &'static str, description: &'static str) -> Param {
    Param::optional(name, ParamKind::Boolean, description)
}

/// Returns an optional `keep-*` parameter, at least 1.
pub const fn keep(name: &'static str) -> Param {
    Param::optional(name, integer(Some(1), None), "Number of backups to keep")
}

/// KEEP of the specification: the six keep options.
pub const KEEP: [Param; 6] = [
    keep("keep-last"),
    keep("keep-hourly"),
    keep("keep-daily"),
    keep("keep-weekly"),
    keep("keep-monthly"),
    keep("keep-yearly"),
];

/// Returns the `delete` parameter of an update: a list of field names, `words` being a list of them as
/// `&ParamKind::Enumeration`.
pub const fn delete(words: &'static ParamKind) -> Param {
    Param::optional("delete", ParamKind::List(words), "Fields to reset")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_namespaces_and_acl_paths_follow_their_patterns() {
        for ok in ["h", "256.1.1.1", "::1", "a-b.example", "10.0.0.1"] {
            assert!(host(ok).is_ok(), "{ok}");
        }
        for bad in ["", "[::1]", "-a", "a-", "h!!", "a..b"] {
            assert!(host(bad).is_err(), "{bad}");
        }
        assert!(namespace_pattern("").is_ok() && namespace_pattern("a/b").is_ok());
        assert!(namespace_pattern("a b").is_err() && namespace_pattern("a//b").is_err());
        let eight = ["a"; 8].join("/");
        assert!(namespace_pattern(&eight).is_ok() && namespace_typed(&Value::from(eight)).is_err());
        assert!(acl_path("/").is_ok() && acl_path("/a/b").is_ok());
        assert!(acl_path("").is_err() && acl_path("a").is_err() && acl_path("/a/").is_err());
    }

    #[test]
    fn backup_times_end_with_the_year_9999() {
        let last = BACKUP_TIME.kind.parse_text("253402300799").unwrap();
        assert!(BACKUP_TIME.check_typed(&last).is_ok());
        let later = BACKUP_TIME.kind.parse_text("253402300800").unwrap();
        assert!(BACKUP_TIME.check_typed(&later).is_err());
        assert!(BACKUP_TIME.kind.parse_text("0").is_err());
    }

    #[test]
    fn comments_keep_their_limits() {
        let error = COMMENT.kind.parse_text(&"x".repeat(129)).unwrap_err();
        assert!(error.contains("128"), "{error}");
        assert!(COMMENT.kind.parse_text("a\nb").is_err());
        assert!(MULTI_LINE_COMMENT.kind.parse_text("a\nb").is_ok());
        assert!(MULTI_LINE_COMMENT.kind.parse_text("a\u{1}").is_err());
    }
}
