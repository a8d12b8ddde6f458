//! What arrives over the network.

use std::sync::OnceLock;

use farhold_access::Credentials;
use farhold_api::declare::{Declaration, Endpoint};
use farhold_api::schema::{verify_form, verify_json};
use farhold_api::{backup, endpoints};
use farhold_jobs::App;
use farhold_protocol::authentication::parse_token_authorization;
use farhold_protocol::query::Query;
use farhold_protocol::upgrade::{BackupUpgrade, ReaderUpgrade};
use farhold_types::{DeleteStatistics, GroupItem, NamespaceItem, SnapshotFileItem, SnapshotItem, VersionItem};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Returns the declarations of all endpoints, those inside a backup session too; the first two bytes of an input choose one.
pub(crate) fn declarations() -> &'static [Declaration] {
    static DECLARATIONS: OnceLock<Vec<Declaration>> = OnceLock::new();
    DECLARATIONS.get_or_init(|| {
        let endpoints = endpoints::all().into_iter().map(|endpoint: Endpoint<App>| endpoint.declaration);
        endpoints.chain(backup::router().declarations().cloned()).collect()
    })
}

/// Parameters of a request against the declaration of its endpoint, as a form or, when they begin with a brace, as JSON.
pub(crate) fn parameters(input: &[u8]) -> bool {
    let Some((choice, text)) = input.split_first_chunk::<2>() else {
        return false;
    };
    let declared = declarations();
    let declaration = &declared[usize::from(u16::from_le_bytes(*choice)) % declared.len()];
    let Ok(text) = std::str::from_utf8(text) else {
        return false;
    };
    if text.starts_with('{') {
        let Ok(Value::Object(body)) = serde_json::from_str(text) else {
            return false;
        };
        return verify_json(&declaration.params, body, Vec::new()).is_ok();
    }
    Query::parse(text).is_ok_and(|query| verify_form(&declaration.params, query.pairs().to_vec()).is_ok())
}

/// Queries that open a session: written again they open the same one.
pub(crate) fn upgrade(input: &[u8]) -> bool {
    let Some(query) = std::str::from_utf8(input).ok().and_then(|text| Query::parse(text).ok()) else {
        return false;
    };
    let reader = ReaderUpgrade::parse(&query);
    if let Ok(upgrade) = &reader {
        assert_eq!(ReaderUpgrade::parse(&upgrade.to_query()).as_ref().ok(), Some(upgrade));
    }
    let backup = BackupUpgrade::parse(&query);
    if let Ok(upgrade) = &backup {
        assert_eq!(BackupUpgrade::parse(&upgrade.to_query()).as_ref().ok(), Some(upgrade));
    }
    reader.is_ok() || backup.is_ok()
}

/// Headers that say who asks: cookies in all lines but the last, an authorization in that.
pub(crate) fn credentials(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else {
        return false;
    };
    let (cookies, authorization) = text.rsplit_once('\n').unwrap_or(("", text));
    let _ = parse_token_authorization(authorization);
    !matches!(Credentials::from_headers(cookies.lines(), Some(authorization)), Credentials::None)
}

/// Items of a peer's listings: what was read is written and read again as the same.
pub(crate) fn listing(input: &[u8]) -> bool {
    let one = item::<SnapshotItem>(input) | item::<GroupItem>(input) | item::<NamespaceItem>(input);
    let two = item::<SnapshotFileItem>(input) | item::<VersionItem>(input) | item::<DeleteStatistics>(input);
    one | two
}

fn item<T: DeserializeOwned + Serialize + PartialEq>(input: &[u8]) -> bool {
    let Ok(item) = serde_json::from_slice::<T>(input) else {
        return false;
    };
    let written = serde_json::to_vec(&item).unwrap_or_default();
    assert!(serde_json::from_slice::<T>(&written).is_ok_and(|again| again == item), "written as {written:?}");
    true
}
