//! Compares two datastores snapshot by snapshot, byte for byte, and every chunk that their indexes name.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use farhold_datastore::Datastore;
use farhold_types::{ArchiveKind, Digest, Group, Namespace};

/// What was found to be the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sameness {
    /// Namespaces, the root included.
    pub namespaces: usize,
    /// Groups.
    pub groups: usize,
    /// Snapshots.
    pub snapshots: usize,
    /// Files of snapshots.
    pub files: usize,
    /// Different chunks.
    pub chunks: usize,
}

/// Compares all that a sync carries over: namespaces, groups, snapshots, their files, and the chunks.
///
/// # Errors
/// The first difference, by name.
pub fn compare(left: &Datastore, right: &Datastore) -> anyhow::Result<Sameness> {
    let mut same = Sameness::default();
    let mut digests = BTreeSet::new();
    let namespaces = sorted(left.namespaces(&Namespace::root(), usize::MAX)?);
    if namespaces != sorted(right.namespaces(&Namespace::root(), usize::MAX)?) {
        bail!("the namespaces differ");
    }
    for namespace in &namespaces {
        same.namespaces += 1;
        let groups = groups(left, namespace)?;
        if groups != self::groups(right, namespace)? {
            bail!("the groups of {} differ", namespace.log_name());
        }
        for group in &groups {
            same.groups += 1;
            compare_group((left, right), namespace, group, &mut same, &mut digests)
                .with_context(|| format!("{}, group {group}", namespace.log_name()))?;
        }
    }
    for digest in &digests {
        if left.read_chunk(digest)? != right.read_chunk(digest)? {
            bail!("chunk {digest} differs");
        }
    }
    same.chunks = digests.len();
    Ok(same)
}

/// Returns how many snapshots there are, all of which are encrypted.
///
/// # Errors
/// The first one with a file that is not.
pub fn count_encrypted(store: &Datastore) -> anyhow::Result<usize> {
    let mut snapshots = 0;
    for namespace in store.namespaces(&Namespace::root(), usize::MAX)? {
        for group in groups(store, &namespace)? {
            for snapshot in store.snapshots(&namespace, &group)? {
                let name = group.at(snapshot.time);
                if !store.read_manifest(&namespace, &name)?.0.is_fully_encrypted() {
                    bail!("snapshot {name} in {} is not encrypted", namespace.log_name());
                }
                snapshots += 1;
            }
        }
    }
    Ok(snapshots)
}

fn compare_group(
    (left, right): (&Datastore, &Datastore),
    namespace: &Namespace,
    group: &Group,
    same: &mut Sameness,
    digests: &mut BTreeSet<Digest>,
) -> anyhow::Result<()> {
    let snapshots = left.snapshots(namespace, group)?;
    let copies = right.snapshots(namespace, group)?;
    if snapshots.len() != copies.len() {
        bail!("{} snapshots and {} copies", snapshots.len(), copies.len());
    }
    for (snapshot, copy) in snapshots.iter().zip(&copies) {
        let name = group.at(snapshot.time);
        // Protection is local and not carried over; everything else of a snapshot is.
        if (snapshot.time, &snapshot.files) != (copy.time, &copy.files) {
            bail!("snapshot {name} has other files");
        }
        same.snapshots += 1;
        for archive in &snapshot.files {
            if left.read_file(namespace, &name, archive)? != right.read_file(namespace, &name, archive)? {
                bail!("file {archive} of snapshot {name} differs");
            }
            same.files += 1;
            if archive.kind() != ArchiveKind::Blob {
                digests.extend(left.open_index(namespace, &name, archive)?.chunks().map(|chunk| chunk.digest));
            }
        }
    }
    Ok(())
}

fn groups(store: &Datastore, namespace: &Namespace) -> anyhow::Result<Vec<Group>> {
    Ok(sorted(store.groups(namespace)?.into_iter().map(|found| found.group).collect()))
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort();
    items
}
