//! Manifests, indexes and blobs of a snapshot: what proves the source's, and putting them in place.

use bytes::Bytes;
use farhold_crypto::sha256;
use farhold_datastore::{Datastore, DatastoreError, ErrorKind, SnapshotOrigin};
use farhold_format::blob::{self, BlobDecoder, MAX_INPUT_BYTES};
use farhold_format::index::Index;
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_types::{ArchiveKind, ArchiveName, CLIENT_LOG_NAME, MANIFEST_NAME, Namespace, Snapshot};

use crate::ahead::prepare::max_file_bytes;
use crate::outcome::chain;
use crate::repair::chunks::checked_index;
use crate::repair::form::is_other_form;
use crate::repair::run::{Copy, Run, blocking};
use crate::repair::{RepairError, RepairEvent};
use crate::source::Source;

/// Where the checksum of the entries stands in the header of an index of either kind. Source:
/// `docs/spec/datastore-format.md` 7 and 8.
const INDEX_CHECKSUM: std::ops::Range<usize> = 32..64;

/// What the store has of a file that the source's manifest lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Here {
    /// The same.
    Same,
    /// Nothing, or something that is damaged by its own checksum.
    Damaged,
    /// Another file that is whole.
    Other,
}

/// What is to be put in place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Needed {
    /// Whether the manifest of the store cannot be read.
    manifest: bool,
    files: Vec<ManifestFile>,
}

impl Needed {
    fn count(&self) -> u64 {
        self.files.len() as u64 + u64::from(self.manifest)
    }
}

impl<S: Source> Run<S> {
    /// Puts in place what is damaged of a snapshot's manifest, indexes and blobs. Returns how many files. The inner error
    /// says why none was touched.
    pub(super) async fn mend_files(
        &mut self,
        ns: &Namespace,
        snapshot: &Snapshot,
        copy: &Copy<S>,
    ) -> Result<Result<u64, String>, RepairError> {
        let (store, its_ns, its_snapshot) = (self.store.clone(), ns.clone(), snapshot.clone());
        let (manifest, raw) = (copy.manifest.clone(), copy.raw_manifest.clone());
        let look = move || {
            let basis = basis(&store, &its_ns, &its_snapshot, manifest, raw);
            needed(&store, &its_ns, &its_snapshot, &basis).map(|needed| (basis, needed))
        };
        let (basis, needed) = match blocking(look).await? {
            Ok(found) => found,
            Err(why) => return Ok(Err(why)),
        };
        let mut contents = Vec::new();
        for file in &needed.files {
            let made = match &basis {
                Basis::Source { .. } => self.proved_file(copy, file).await?,
                Basis::OtherForm { local, .. } => self.file_in_other_form(copy, local, file).await?,
            };
            match made {
                Ok(content) => contents.push((file.name.clone(), content)),
                Err(why) => return Ok(Err(format!("the source's '{}' cannot be used: {why}", file.name))),
            }
        }
        if !self.options.is_dry {
            let (store, ns, snapshot) = (self.store.clone(), ns.clone(), snapshot.clone());
            let replacement = Replacement { basis, needed: needed.clone(), contents: contents.clone() };
            if let Err(why) = blocking(move || put(&store, &ns, &snapshot, &replacement)).await? {
                return Ok(Err(why));
            }
        }
        let manifest = needed.manifest.then(|| (ArchiveName::manifest(), copy.raw_manifest.clone()));
        for (archive, content) in manifest.iter().chain(&contents) {
            self.events.event(&RepairEvent::File { archive, bytes: content.len() as u64 });
        }
        self.report.files += needed.count();
        Ok(Ok(needed.count()))
    }

    /// Returns a file of the source that is the one its manifest lists.
    pub(super) async fn proved_file(
        &self,
        copy: &Copy<S>,
        file: &ManifestFile,
    ) -> Result<Result<Bytes, String>, RepairError> {
        let content = match self.unless_cancelled(copy.reader.file(&file.name, max_file_bytes(file))).await? {
            Ok(content) => content,
            Err(error) => return Ok(Err(chain(&error))),
        };
        let file = file.clone();
        let proved = self.pool.run(move |_| prove(&file, content)).await;
        proved.map_err(|_| RepairError::Crashed)
    }
}

/// Checks that a file is the one that the manifest lists, and whole.
fn prove(file: &ManifestFile, content: Bytes) -> Result<Bytes, String> {
    if file.name.kind() != ArchiveKind::Blob {
        return checked_index(file, content).map(|index| index.as_bytes().clone());
    }
    if (content.len() as u64, sha256(&content)) != (file.size_bytes, file.checksum) {
        return Err("it is not the file that the manifest lists".to_owned());
    }
    match is_whole_blob(&content) {
        true => Ok(content),
        false => Err("it is damaged".to_owned()),
    }
}

fn is_whole_blob(content: &[u8]) -> bool {
    match blob::check(content) {
        Ok(kind) if kind.is_encrypted() => true,
        Ok(_) => BlobDecoder::new().decode(content, None, MAX_INPUT_BYTES).is_ok(),
        Err(_) => false,
    }
}

/// Compares what the store has under a file's name with what a manifest lists.
fn compare(store: &Datastore, ns: &Namespace, snapshot: &Snapshot, file: &ManifestFile) -> Result<Here, String> {
    let content = match store.read_file(ns, snapshot, &file.name) {
        Ok(content) => content,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => return Ok(Here::Damaged),
        Err(error) => return Err(chain(&error)),
    };
    Ok(match file.name.kind() {
        ArchiveKind::Blob if (content.len() as u64, sha256(&content)) == (file.size_bytes, file.checksum) => Here::Same,
        ArchiveKind::Blob => {
            if is_whole_blob(&content) {
                Here::Other
            } else {
                Here::Damaged
            }
        }
        kind => match Index::parse(kind, content.clone()) {
            Ok(index) if (index.size_bytes(), index.checksum()) == (file.size_bytes, file.checksum) => Here::Same,
            Ok(index) if content.get(INDEX_CHECKSUM) == Some(&index.checksum().0[..]) => Here::Other,
            Ok(_) | Err(_) => Here::Damaged,
        },
    })
}

/// Which manifest says what the files of the snapshot must be, with its stored form.
#[derive(Debug, Clone)]
enum Basis {
    /// The source's: the same as that of the store, or that cannot be read.
    Source { manifest: Manifest, raw: Bytes },
    /// The store's: the copy was encrypted or decrypted on its way.
    OtherForm { local: Manifest, raw: Bytes },
}

impl Basis {
    const fn manifest(&self) -> (&Manifest, &Bytes) {
        match self {
            Self::Source { manifest, raw } | Self::OtherForm { local: manifest, raw } => (manifest, raw),
        }
    }
}

fn basis(store: &Datastore, ns: &Namespace, snapshot: &Snapshot, source: Manifest, its_raw: Bytes) -> Basis {
    match store.read_manifest(ns, snapshot) {
        Ok((local, raw)) if is_other_form(&local, &source) => Basis::OtherForm { local, raw },
        _ => Basis::Source { manifest: source, raw: its_raw },
    }
}

/// Returns what must be put in place so that the snapshot is what the manifest says; an error if the source has another
/// backup, or if nothing shows that it is the same.
fn needed(store: &Datastore, ns: &Namespace, snapshot: &Snapshot, basis: &Basis) -> Result<Needed, String> {
    let (wanted, _) = basis.manifest();
    let mut here = Vec::new();
    for file in &wanted.files {
        here.push((file, compare(store, ns, snapshot, file)?));
    }
    let files = here.iter().filter(|(_, here)| *here != Here::Same).map(|(file, _)| (*file).clone()).collect();
    match store.read_manifest(ns, snapshot) {
        Ok((local, _)) if !local.has_same_protected_content(wanted) || local.signature != wanted.signature => {
            match basis {
                Basis::Source { .. } => Err("the source's copy has other content".to_owned()),
                Basis::OtherForm { .. } => Err("it was changed meanwhile".to_owned()),
            }
        }
        Ok(_) => Ok(Needed { manifest: false, files }),
        Err(_) if matches!(basis, Basis::OtherForm { .. }) => Err("it was changed meanwhile".to_owned()),
        Err(error) if is_lost(&error) => {
            if let Some((file, _)) = here.iter().find(|(_, here)| *here == Here::Other) {
                return Err(format!("the source's manifest lists another '{}' than lies here", file.name));
            }
            let info = store.snapshot_info(ns, snapshot).map_err(|error| chain(&error))?;
            let is_listed = |name: &ArchiveName| wanted.file(name).is_some();
            let beside = [MANIFEST_NAME, CLIENT_LOG_NAME];
            let unlisted = info.files.iter().find(|name| !is_listed(name) && !beside.contains(&name.as_str()));
            if let Some(name) = unlisted {
                return Err(format!("the source's manifest does not list '{name}', which lies here"));
            }
            if !here.iter().any(|(_, here)| *here == Here::Same) {
                return Err("nothing that is left here shows that the source's copy is the same backup".to_owned());
            }
            Ok(Needed { manifest: true, files })
        }
        Err(error) => Err(chain(&error)),
    }
}

/// Whether a manifest is missing or damaged, and not just out of reach.
fn is_lost(error: &DatastoreError) -> bool {
    let is_gone = matches!(error, DatastoreError::SnapshotMissing { .. });
    !is_gone && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt)
}

/// What replaces damaged files.
struct Replacement {
    basis: Basis,
    needed: Needed,
    contents: Vec<(ArchiveName, Bytes)>,
}

/// Puts files in place under the locks of group and snapshot, if they are still what is needed. Blocking.
fn put(store: &Datastore, ns: &Namespace, snapshot: &Snapshot, replacement: &Replacement) -> Result<(), String> {
    let failed = |error: DatastoreError| chain(&error);
    let group = store.lock_group(ns, &snapshot.group).map_err(failed)?;
    let mut writer = store.begin_snapshot(&group, snapshot.time).map_err(failed)?;
    if writer.origin() == SnapshotOrigin::New {
        return Err("it was removed meanwhile".to_owned());
    }
    if needed(store, ns, snapshot, &replacement.basis)? != replacement.needed {
        return Err("it was changed meanwhile".to_owned());
    }
    for (name, content) in &replacement.contents {
        writer.put(name, content).map_err(failed)?;
    }
    let (manifest, raw) = replacement.basis.manifest();
    let keep_or_replace = |stored: Option<&Bytes>| {
        let is_good = |stored: &&Bytes| {
            Manifest::from_blob(stored).is_ok_and(|stored| stored.has_same_protected_content(manifest))
        };
        Ok(stored.filter(is_good).unwrap_or(raw).clone())
    };
    writer.commit_with(&keep_or_replace).map_err(failed)
}

#[cfg(test)]
mod tests {
    use farhold_format::index::DynamicIndexBuilder;
    use farhold_types::Epoch;

    #[test]
    fn the_header_of_an_index_holds_its_checksum_where_it_is_looked_for() {
        let mut builder = DynamicIndexBuilder::new([1; 16], Epoch(1));
        builder.push(10, farhold_types::Digest([7; 32])).unwrap();
        let index = builder.finish().unwrap();
        assert_eq!(index.as_bytes()[super::INDEX_CHECKSUM], index.checksum().0);
    }
}
