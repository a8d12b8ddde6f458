//! Damage, verification and garbage collection.
//!
//! Not the product's own, which work with threads: here both follow the written rules against the real locks and access
//! times, step by step, and stricter than the rules ask: no spare time is added to the cut-off, so a chunk that a writer
//! relies on without having touched it is removed.
//!
//! Source: `docs/spec/datastore-format.md` 17 and 18.

use std::collections::BTreeSet;

use bytes::Bytes;
use farhold_datastore::Datastore;
use farhold_format::index::Index;
use farhold_storage::{EntryKind, Storage, StorePath};
use farhold_types::{ArchiveKind, Clock, Digest, Namespace, Snapshot, VerifyState};

use crate::facts::{Fault, Reader};
use crate::rng::Rng;
use crate::server::{mark_verified, snapshots};
use crate::world::World;

fn chunk_path(digest: &Digest, suffix: &str) -> String {
    let name = digest.to_string();
    format!(".chunks/{}/{name}{suffix}", &name[..4])
}

/// Returns the chunks that the indexes of a snapshot directory refer to.
pub fn chunks_of(store: &Datastore, ns: &Namespace, snapshot: &Snapshot) -> BTreeSet<Digest> {
    let mut chunks = BTreeSet::new();
    let Ok(info) = store.snapshot_info(ns, snapshot) else { return chunks };
    for file in info.files.iter().filter(|file| file.kind() != ArchiveKind::Blob) {
        if let Ok(index) = store.open_index(ns, snapshot, file) {
            chunks.extend(index.digests());
        }
    }
    chunks
}

/// Returns the content damaged somehow, or `None` for a file that vanishes.
fn damaged(content: &Bytes, rng: &Rng) -> Option<Bytes> {
    match rng.below(4) {
        0 => None,
        1 => Some(content.slice(..content.len() / 2)),
        2 => Some(Bytes::new()),
        _ => {
            let mut bytes = content.to_vec();
            // In the last bytes, which every checksum covers. A wrong initialisation vector or tag of an encrypted chunk
            // shows only to who has the key.
            let back = usize::try_from(rng.between(1, 16)).unwrap_or(1);
            if let Some(byte) = bytes.iter_mut().nth_back(back) {
                *byte ^= 0x55;
            }
            Some(bytes.into())
        }
    }
}

fn any_chunk(world: &World, store: &Datastore, rng: &Rng) -> anyhow::Result<Option<(Digest, Bytes)>> {
    let all = snapshots(store)?;
    let Some((ns, snapshot)) = rng.pick(&all) else { return Ok(None) };
    let chunks: Vec<Digest> = chunks_of(store, ns, snapshot).into_iter().collect();
    let Some(digest) = rng.pick(&chunks) else { return Ok(None) };
    world.book.note(|| format!("chunk {digest} of {snapshot} is chosen"));
    Ok(store.read_chunk(digest).ok().map(|content| (*digest, content)))
}

/// Damages a chunk of the target.
pub fn damage_chunk(world: &World, rng: &Rng) -> anyhow::Result<String> {
    let store = world.target.store();
    let Some((digest, content)) = any_chunk(world, &store, rng)? else { return Ok("there is none".to_owned()) };
    match damaged(&content, rng) {
        Some(bad) => {
            world.book.ledger().damaged.insert(digest);
            world.target.disk().damage(&chunk_path(&digest, ""), Some(bad));
        }
        None => take_away(world, &store, digest)?,
    }
    Ok(digest.to_string())
}

/// Notes who loses a chunk, then removes it.
fn take_away(world: &World, store: &Datastore, digest: Digest) -> anyhow::Result<()> {
    let mut losers = BTreeSet::new();
    for (ns, snapshot) in snapshots(store)? {
        if chunks_of(store, &ns, &snapshot).contains(&digest) {
            losers.insert((ns, snapshot));
        }
    }
    world.book.ledger().taken_away.entry(digest).or_default().extend(losers);
    world.book.ledger().taken_now.insert(digest);
    world.book.ledger().damaged.remove(&digest);
    world.target.disk().damage(&chunk_path(&digest, ""), None);
    Ok(())
}

/// Damages a chunk of the source; it is repaired before the last run.
pub fn damage_source_chunk(world: &World, rng: &Rng) -> anyhow::Result<String> {
    let store = world.source.store();
    let Some((digest, content)) = any_chunk(world, &store, rng)? else { return Ok("there is none".to_owned()) };
    let path = chunk_path(&digest, "");
    // Whole files come back more easily than ones that vanished.
    let Some(bad) = damaged(&content, rng) else { return Ok("nothing happened".to_owned()) };
    world.book.ledger().source_damage.entry(path.clone()).or_insert(content);
    world.source.disk().damage(&path, Some(bad));
    Ok(digest.to_string())
}

/// Reads every finished snapshot of the target, writes the results into the manifests and sets bad chunks aside.
pub fn verify_all(world: &World) -> anyhow::Result<String> {
    let store = world.target.store();
    let (mut reader, mut failed) = (Reader::default(), 0);
    for (ns, snapshot) in snapshots(&store)? {
        // Verification leaves alone what is being written.
        let Ok(_lock) = store.lock_snapshot_shared(&ns, &snapshot) else { continue };
        let Ok((manifest, _)) = store.read_manifest(&ns, &snapshot) else { continue };
        let Some(backup) = world.backup_at(&ns, &snapshot) else { continue };
        let faults = reader.faults(&store, &ns, &snapshot, &manifest, &backup);
        for fault in &faults {
            if let Fault::ChunkDamaged(digest) = fault {
                if let Ok(content) = store.read_chunk(digest) {
                    let aside = chunk_path(digest, ".0.bad").parse::<StorePath>()?;
                    let _ = world.target.mount().write_atomic(
                        &aside,
                        &content,
                        farhold_storage::Durability::Cached,
                        farhold_storage::Staging::Beside,
                    );
                }
                take_away(world, &store, *digest)?;
            }
        }
        let state = if faults.is_empty() { VerifyState::Ok } else { VerifyState::Failed };
        failed += usize::from(!faults.is_empty());
        world.book.ledger().changed.insert((ns.clone(), snapshot.group.clone()));
        mark_verified(&store, &ns, &snapshot, state)?;
    }
    Ok(format!("{failed} failed"))
}

fn index_paths(mount: &dyn Storage, directory: &StorePath, found: &mut Vec<StorePath>) -> anyhow::Result<()> {
    for entry in mount.list(directory)? {
        if entry.name.starts_with('.') {
            continue;
        }
        let path = directory.join(&entry.name)?;
        match entry.kind {
            EntryKind::Directory => index_paths(mount, &path, found)?,
            _ if path.as_str().ends_with(".fidx") || path.as_str().ends_with(".didx") => found.push(path),
            _ => {}
        }
    }
    Ok(())
}

/// Collects garbage on the target.
pub async fn collect_garbage(world: &World, rng: &Rng) -> anyhow::Result<String> {
    let store = world.target.store();
    let mount = world.target.mount();
    let _lock = store.lock_process_exclusive()?;
    let start = world.target.clock().now();
    let min_access = store.oldest_writer().map_or(start, |oldest| oldest.min(start)).0;
    let mut paths = Vec::new();
    index_paths(&mount, &StorePath::root(), &mut paths)?;
    // A snapshot that is replaced while its group is walked could hide chunks: walk again what came meanwhile.
    let mut seen = BTreeSet::new();
    while let Some(path) = paths.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let content = match mount.read(&path, 1 << 20) {
            Err(error) if error.is_not_found() => {
                index_paths(&mount, &StorePath::root(), &mut paths)?;
                continue;
            }
            content => content?,
        };
        let kind = if path.as_str().ends_with(".fidx") { ArchiveKind::FixedIndex } else { ArchiveKind::DynamicIndex };
        for digest in Index::parse(kind, content)?.digests() {
            store.touch_chunk(&digest)?;
        }
        if rng.chance(20) {
            tokio::time::sleep(rng.millis(1, 300)).await;
        }
    }
    tokio::time::sleep(rng.millis(1, 3000)).await;
    let (mut removed, mut kept) = (0, 0);
    let chunks: StorePath = ".chunks".parse()?;
    for folder in mount.list(&chunks)?.into_iter().filter(|entry| !entry.name.starts_with('.')) {
        let folder = chunks.join(&folder.name)?;
        for entry in mount.list(&folder)? {
            let path = folder.join(&entry.name)?;
            if mount.stat(&path)?.accessed.seconds < min_access {
                world.book.note(|| format!("garbage: {}", entry.name));
                mount.remove_file(&path)?;
                removed += 1;
            } else {
                kept += 1;
            }
        }
        if rng.chance(5) {
            tokio::time::sleep(rng.millis(1, 300)).await;
        }
    }
    Ok(format!("{removed} chunks removed, {kept} kept"))
}
