//! `backup`: what the options mean, and what is told while it runs.
//!
//! Source: `docs/spec/cli.md` 5.4.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use farhold_backup::{BackupArchive, BackupPlace, BackupRequest, OpenBackup, Protection};
use farhold_cli::render::local_time;
use farhold_format::chunker::ChunkSize;
use farhold_types::{BackupId, BackupType, CryptMode, Epoch, Group, Namespace, Snapshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::connect::Connection;
use crate::error::CommandError;
use crate::given::Given;
use crate::keys::{self, KeyChoice};
use crate::listing::without_ending;
use crate::outside::Outside;
use crate::watch::{Talk, observer, watched};

/// `backup`.
///
/// # Errors
/// Wrong sources or options, before the server hears of anything; afterwards whatever ends the backup, of which nothing
/// stays on the server then.
pub async fn backup(outside: &mut Outside, given: &Given) -> Result<(), CommandError> {
    let archives = archives(outside, given)?;
    let snapshot = snapshot(outside, given)?;
    let ns = given.namespace(outside)?;
    let choice = keys::choose(&given.key_options(), keys::existing_default_key(outside))?;
    let chunk_size = chunk_size(given)?;
    // Whoever has no repository should not have to type a password first.
    let repository = (!given.is_set("dry-run")).then(|| given.repository(outside)).transpose()?;

    let mut request = BackupRequest::new(snapshot.clone(), archives);
    request.chunk_size = chunk_size;
    request.protection = protection(outside, &choice)?;
    let key = request.protection.key().map(Arc::clone);
    let open = open(request).await?;
    if repository.is_none() {
        dry_run(outside, given, &ns, &snapshot, &choice);
        return Ok(());
    }
    let Connection { client, store } = given.connect(outside).await?;

    let start = Instant::now();
    outside.tell(&format!("Starting backup: {}", in_namespace(&ns, &snapshot)));
    outside.tell(&format!("Client name: {}", outside.host_name));
    outside.tell(&format!("Start Time: {}", local_time(outside.clock.now().0, &outside.settings.zone)));
    if let Some(key) = key {
        let verb = if choice.mode == CryptMode::Encrypt { "Encryption" } else { "Signing" };
        outside.tell(&format!("{verb} key fingerprint: {}", key.fingerprint()));
        warn_about_master_key(outside);
    }
    let (observer, lines) = observer(Talk::Steps);
    let (place, cancel) = (BackupPlace { store, ns, no_cache: given.is_set("no-cache") }, CancellationToken::new());
    let randomness = Arc::clone(&outside.randomness);
    let work = farhold_backup::backup(&client, &place, open, randomness, observer.clone(), cancel.clone());
    watched(outside, &observer, &lines, &cancel, work).await?;
    outside.tell(&format!("Duration: {}", seconds(start.elapsed())));
    outside.tell(&format!("End Time: {}", local_time(outside.clock.now().0, &outside.settings.zone)));
    Ok(())
}

fn archives(outside: &Outside, given: &Given) -> Result<Vec<BackupArchive>, CommandError> {
    let mut names = BTreeSet::new();
    let mut archives = Vec::new();
    let mut has_standard_input = false;
    for text in given.texts("backupspec") {
        let is_standard_input = text.split_once(':').is_some_and(|(_, source)| source == "-");
        if is_standard_input && has_standard_input {
            return Err(CommandError::parameter("standard input can be the source of one archive only"));
        }
        has_standard_input |= is_standard_input;
        let archive = BackupArchive::parse(text, || (outside.content_in)())
            .map_err(|error| CommandError::parameter(error.to_string()))?;
        if !names.insert(archive.name.clone()) {
            let name = without_ending(archive.name.as_str());
            return Err(CommandError::parameter(format!("got target twice: '{name}'")));
        }
        archives.push(archive);
    }
    Ok(archives)
}

fn snapshot(outside: &Outside, given: &Given) -> Result<Snapshot, CommandError> {
    let backup_type: BackupType = given.text("backup-type").unwrap_or("host").parse().unwrap_or(BackupType::Host);
    let id = given.text("backup-id").unwrap_or(&outside.host_name);
    let backup_id: BackupId =
        id.parse().map_err(|source| CommandError::Value { name: format!("backup-id {id}"), source })?;
    let time = given.number("backup-time").map_or_else(|| outside.clock.now(), Epoch);
    if Epoch::MAX < time {
        return Err(CommandError::parameter("backup-time lies after the year 9999"));
    }
    Ok(Group::new(backup_type, backup_id).at(time))
}

fn chunk_size(given: &Given) -> Result<ChunkSize, CommandError> {
    let Some(kib) = given.number("chunk-size") else { return Ok(ChunkSize::ARCHIVE) };
    let size = u64::try_from(kib).ok().and_then(|kib| ChunkSize::from_kib(kib).ok());
    size.ok_or_else(|| CommandError::parameter("chunk-size must be a power of two from 64 to 4096"))
}

fn protection(outside: &mut Outside, choice: &KeyChoice) -> Result<Protection, CommandError> {
    let Some(origin) = &choice.origin else { return Ok(Protection::None) };
    let key = keys::open(origin, outside)?;
    Ok(match choice.mode {
        CryptMode::None => Protection::None,
        CryptMode::SignOnly => Protection::SignOnly(key),
        CryptMode::Encrypt => Protection::Encrypt(key),
    })
}

/// Opens the sources where waiting for a named pipe does no harm.
async fn open(request: BackupRequest) -> Result<OpenBackup, CommandError> {
    match tokio::task::spawn_blocking(move || request.open()).await {
        Ok(opened) => Ok(opened?),
        Err(error) => Err(CommandError::Output(std::io::Error::other(error))),
    }
}

fn dry_run(outside: &mut Outside, given: &Given, ns: &Namespace, snapshot: &Snapshot, choice: &KeyChoice) {
    outside.tell(&format!("dry run: would create {}", in_namespace(ns, snapshot)));
    let how = match choice.mode {
        CryptMode::None => "as it is",
        CryptMode::SignOnly => "signed",
        CryptMode::Encrypt => "encrypted",
    };
    for text in given.texts("backupspec") {
        if let Some((name, source)) = text.split_once(':') {
            outside.tell(&format!("dry run: would upload '{source}' as {name}, {how}"));
        }
    }
}

/// The reference's client adds a copy of the key that the owner of a master key can open. This one does not.
fn warn_about_master_key(outside: &mut Outside) {
    if let Some(path) = outside.folders.default_master_key().filter(|path| path.exists()) {
        outside.tell(&format!(
            "warning: the master key '{}' is not used; the backup can only be read with the encryption key itself",
            path.display()
        ));
    }
}

fn in_namespace(ns: &Namespace, snapshot: &Snapshot) -> String {
    if ns.is_root() { snapshot.to_string() } else { format!("[{ns}]:{snapshot}") }
}

fn seconds(duration: Duration) -> String {
    format!("{:.2}s", duration.as_secs_f64())
}
