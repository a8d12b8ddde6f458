//! Commands that change what is there, and those that show one property that can be changed.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use farhold_backup::{Protection, small_blob};
use farhold_types::CryptMode;
use serde_json::json;

use crate::connect::Connection;
use crate::error::CommandError;
use crate::given::Given;
use crate::keys;
use crate::outside::Outside;
use crate::show::{print, show};

/// Largest log that is read, in bytes: what fits into a blob. Source: `docs/spec/datastore-format.md` 5.
const MAX_LOG_BYTES: u64 = 16 * 1024 * 1024;

/// `snapshot forget`.
///
/// # Errors
/// As all commands that ask a server; the snapshot is protected or in use.
pub async fn forget_snapshot(outside: &mut Outside, given: &Given) -> Result<(), CommandError> {
    let snapshot = given.snapshot()?;
    let ns = given.namespace(outside)?;
    let Connection { client, store } = given.connect(outside).await?;
    Ok(client.delete_snapshot(&store, &ns, &snapshot).await?)
}

/// `snapshot notes show`.
///
/// # Errors
/// As all commands that ask a server.
pub async fn show_notes(outside: &mut Outside, given: &Given) -> Result<(), CommandError> {
    let snapshot = given.snapshot()?;
    let ns = given.namespace(outside)?;
    let Connection { client, store } = given.connect(outside).await?;
    let notes = client.snapshot_notes(&store, &ns, &snapshot).await?;
    show(outside, given, &json!({ "notes": notes }), |_| {
        let printable: String = notes.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
        Ok(printable.trim_end_matches('\n').to_owned() + "\n")
    })
}

/// `snapshot notes update`.
///
/// # Errors
/// As all commands that ask a server.
pub async fn update_notes(outside: &mut Outside, given: &Given) -> Result<(), CommandError> {
    let snapshot = given.snapshot()?;
    let ns = given.namespace(outside)?;
    let Connection { client, store } = given.connect(outside).await?;
    Ok(client.set_snapshot_notes(&store, &ns, &snapshot, given.required("notes")).await?)
}

/// `snapshot protected show`.
///
/// # Errors
/// As all commands that ask a server.
pub async fn show_protected(outside: &mut Outside, given: &Given) -> Result<(), CommandError> {
    let snapshot = given.snapshot()?;
    let ns = given.namespace(outside)?;
    let Connection { client, store } = given.connect(outside).await?;
    let is_protected = client.is_protected(&store, &ns, &snapshot).await?;
    show(outside, given, &json!({ "protected": is_protected }), |_| Ok(format!("{is_protected}\n")))
}

/// `snapshot protected update`.
///
/// # Errors
/// As all commands that ask a server.
pub async fn update_protected(outside: &mut Outside, given: &Given) -> Result<(), CommandError> {
    let snapshot = given.snapshot()?;
    let ns = given.namespace(outside)?;
    let Connection { client, store } = given.connect(outside).await?;
    Ok(client.set_protected(&store, &ns, &snapshot, given.is_set("protected")).await?)
}

/// `snapshot upload-log`. Encrypted only in mode `encrypt`.
///
/// # Errors
/// As all commands that ask a server; the file cannot be read or is too large; the snapshot has a log already.
pub async fn upload_log(outside: &mut Outside, given: &Given) -> Result<(), CommandError> {
    let snapshot = given.snapshot()?;
    let ns = given.namespace(outside)?;
    let choice = keys::choose(&given.key_options(), keys::existing_default_key(outside))?;
    let path = PathBuf::from(given.required("logfile"));
    let content = read_log(&path)?;
    let protection = match choice.origin {
        Some(origin) if choice.mode == CryptMode::Encrypt => Protection::Encrypt(keys::open(&origin, outside)?),
        _ => Protection::None,
    };
    let encoded = small_blob(&content, &protection, &*outside.randomness)?;
    let Connection { client, store } = given.connect(outside).await?;
    Ok(client.upload_log(&store, &ns, &snapshot, encoded).await?)
}

fn read_log(path: &PathBuf) -> Result<Vec<u8>, CommandError> {
    let failed = |source| CommandError::Read { path: path.clone(), source };
    let mut content = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_LOG_BYTES + 1).read_to_end(&mut content)).map_err(failed)?;
    if MAX_LOG_BYTES < content.len() as u64 {
        return Err(CommandError::Parameter {
            text: format!("'{}' is larger than 16 MiB, more than a log may have", path.display()),
            hint: Some("upload its end only, for example with 'tail -c 8M'"),
        });
    }
    Ok(content)
}

/// `group forget`: asks first, on standard output and input.
///
/// # Errors
/// As all commands that ask a server.
pub async fn forget_group(outside: &mut Outside, given: &Given) -> Result<(), CommandError> {
    let ns = given.namespace(outside)?;
    let group = given.required_group()?;
    let Connection { client, store } = given.connect(outside).await?;
    let count = client.snapshots(&store, &ns, &group).await?.items.len();
    print(outside, &format!("Delete group \"{group}\" with {count} snapshot(s)? [y/N]: "))?;
    let mut answer = String::new();
    // The end of the input is an answer, too.
    outside.answers.read_line(&mut answer)?;
    if !matches!(answer.trim(), "y" | "Y") {
        return print(outside, "Abort.\n");
    }
    client.delete_group(&store, &ns, &group, None).await?;
    Ok(())
}

/// `namespace create`.
///
/// # Errors
/// As all commands that ask a server; the root.
pub async fn create_namespace(outside: &mut Outside, given: &Given) -> Result<(), CommandError> {
    let ns = given.namespace(outside)?;
    if ns.is_root() {
        return Err(CommandError::parameter("cannot create the root namespace, it is always there"));
    }
    let Connection { client, store } = given.connect(outside).await?;
    Ok(client.create_namespace(&store, &ns).await?)
}

/// `namespace delete`.
///
/// # Errors
/// As all commands that ask a server; the root; a namespace that is not empty.
pub async fn delete_namespace(outside: &mut Outside, given: &Given) -> Result<(), CommandError> {
    let ns = given.namespace(outside)?;
    if ns.is_root() {
        return Err(CommandError::parameter("cannot delete the root namespace"));
    }
    let Connection { client, store } = given.connect(outside).await?;
    client.delete_namespace(&store, &ns, given.is_set("delete-groups"), None).await?;
    Ok(())
}
