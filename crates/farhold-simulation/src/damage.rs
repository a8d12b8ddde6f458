//! Damage: chunks that go bad or vanish behind the servers' backs.

use std::collections::BTreeSet;

use bytes::Bytes;
use farhold_datastore::Datastore;
use farhold_types::{ArchiveKind, Digest, Namespace, Snapshot};

use crate::rng::Rng;
use crate::server::snapshots;
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
    let _used = world.use_target()?;
    let store = world.target.store();
    let Some((digest, content)) = any_chunk(world, &store, rng)? else { return Ok("there is none".to_owned()) };
    world.book.ledger().damage_log.push(digest);
    match damaged(&content, rng) {
        Some(bad) => {
            world.book.ledger().damaged.insert(digest);
            world.target.disk().damage(&chunk_path(&digest, ""), Some(bad));
        }
        None => {
            note_loss(world, &store, digest)?;
            world.target.disk().damage(&chunk_path(&digest, ""), None);
        }
    }
    Ok(digest.to_string())
}

/// Notes who loses a chunk that is about to vanish, or just did.
///
/// # Errors
/// The store cannot be listed.
pub fn note_loss(world: &World, store: &Datastore, digest: Digest) -> anyhow::Result<()> {
    let mut losers = BTreeSet::new();
    for (ns, snapshot) in snapshots(store)? {
        if chunks_of(store, &ns, &snapshot).contains(&digest) {
            losers.insert((ns, snapshot));
        }
    }
    let mut ledger = world.book.ledger();
    ledger.taken_away.entry(digest).or_default().extend(losers);
    ledger.taken_now.insert(digest);
    ledger.damaged.remove(&digest);
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
