//! `restore`: which snapshot, which key, and where to.
//!
//! Source: `docs/spec/cli.md` 5.5.

use std::path::Path;
use std::sync::Arc;

use farhold_backup::{RestoreRequest, RestoreTarget};
use farhold_client::Client;
use farhold_crypto::CryptConfig;
use farhold_types::{CryptMode, DatastoreName, Group, Namespace, Snapshot};
use tokio_util::sync::CancellationToken;

use crate::connect::Connection;
use crate::error::CommandError;
use crate::given::Given;
use crate::keys::{self, KeyChoice, KeyOrigin};
use crate::outside::Outside;
use crate::watch::{Talk, observer, watched};

/// Target that stands for standard output.
const STANDARD_OUTPUT: &str = "-";

/// `restore`.
///
/// # Errors
/// As all commands that ask a server; a missing archive or key; damaged content; a target that exists or cannot be
/// written. Of a file nothing stays then.
pub async fn restore(outside: &mut Outside, given: &Given) -> Result<(), CommandError> {
    let wanted = Wanted::parse(given.required("snapshot"))?;
    let ns = given.namespace(outside)?;
    let choice = keys::choose(&given.key_options(), keys::existing_default_key(outside))?;
    let archive = given.required("archive-name");
    let target = target(outside, given.required("target"), archive)?;
    let Connection { client, store } = given.connect(outside).await?;
    let snapshot = wanted.find(&client, &store, &ns).await?;

    let mut request = RestoreRequest::new(snapshot.clone(), archive, target);
    request.key = key(outside, &choice, &client, &store, &ns, &snapshot).await?;
    let (observer, lines) = observer(Talk::Warnings);
    let cancel = CancellationToken::new();
    let work = farhold_backup::restore(&client, &store, &ns, request, observer.clone(), cancel.clone());
    watched(outside, &observer, &lines, &cancel, work).await?;
    Ok(())
}

/// A snapshot, or the newest one of a group.
enum Wanted {
    Snapshot(Snapshot),
    Newest(Group),
}

impl Wanted {
    fn parse(text: &str) -> Result<Self, CommandError> {
        // A group's ID has no slash, so the text is one or the other.
        match text.parse::<Group>() {
            Ok(group) => Ok(Self::Newest(group)),
            Err(_) => text.parse().map(Self::Snapshot).map_err(|_| CommandError::NoSnapshot { text: text.to_owned() }),
        }
    }

    async fn find(self, client: &Client, store: &DatastoreName, ns: &Namespace) -> Result<Snapshot, CommandError> {
        let group = match self {
            Self::Snapshot(snapshot) => return Ok(snapshot),
            Self::Newest(group) => group,
        };
        let listing = client.snapshots(store, ns, &group).await?;
        let finished = listing.items.iter().filter(|item| item.is_finished()).map(|item| item.snapshot());
        finished.max().ok_or_else(|| CommandError::NoFinishedSnapshot { group: group.to_string() })
    }
}

/// Returns where the content goes. The engine makes the file, so that a wrong name or key leaves nothing behind.
fn target(outside: &Outside, text: &str, archive: &str) -> Result<RestoreTarget, CommandError> {
    if text == STANDARD_OUTPUT {
        return Ok(RestoreTarget::Writer((outside.content_out)()));
    }
    let path = Path::new(text);
    if path.is_dir() || text.ends_with('/') {
        let is_archive = archive.trim_end_matches(".didx").ends_with("pxar");
        return Err(CommandError::Parameter {
            text: format!("'{text}' is a folder, and archives are not unpacked here"),
            hint: Some(if is_archive {
                "name a new file, or - for standard output, and unpack that with the archive's own program"
            } else {
                "name the new file to write"
            }),
        });
    }
    Ok(RestoreTarget::NewFile(path.to_owned()))
}

/// Returns the key. The default one is opened only if the snapshot needs one: nobody types a password in vain.
async fn key(
    outside: &mut Outside,
    choice: &KeyChoice,
    client: &Client,
    store: &DatastoreName,
    ns: &Namespace,
    snapshot: &Snapshot,
) -> Result<Option<Arc<CryptConfig>>, CommandError> {
    let Some(origin) = &choice.origin else { return Ok(None) };
    if matches!(origin, KeyOrigin::Default(_)) {
        let files = client.snapshot_files(store, ns, snapshot).await?.items;
        let is_plain = files.iter().all(|file| file.crypt_mode.is_none_or(|mode| mode == CryptMode::None));
        if is_plain {
            return Ok(None);
        }
    }
    Ok(Some(keys::open(origin, outside)?))
}
