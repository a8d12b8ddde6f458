//! Looking for chunks in all snapshots of the source: those of the same groups first, nearest in time, then all others.

use std::collections::BTreeSet;

use farhold_types::{ArchiveKind, ArchiveName, CryptMode, Epoch, Group, Namespace, SnapshotItem};

use crate::fault::RequestFault;
use crate::outcome::chain;
use crate::repair::run::{Run, Wanted};
use crate::repair::{RepairError, RepairEvent};
use crate::source::Source;

/// Snapshots of the source that are opened for the search: it bounds the time spent for chunks that nobody may have, at
/// some requests and index files each.
const MAX_SEARCHED: u64 = 10_000;

impl<S: Source> Run<S> {
    /// Looks for the wanted chunks everywhere at and below the source's anchor.
    pub(super) async fn search(&mut self) -> Result<(), RepairError> {
        self.events.event(&RepairEvent::Searching { chunks: self.wanted.len() as u64 });
        let mut places: Vec<((Namespace, Group), Option<Epoch>)> =
            self.near.iter().map(|(place, time)| (place.clone(), Some(*time))).collect();
        let known: BTreeSet<_> = self.near.keys().cloned().collect();
        let others = self.groups_of_source().await?;
        places.extend(others.into_iter().filter(|place| !known.contains(place)).map(|place| (place, None)));
        let mut wanted = std::mem::take(&mut self.wanted);
        let (mut searched, all) = (0, wanted.len());
        for ((ns, group), near) in places {
            if wanted.is_empty() || self.is_full || MAX_SEARCHED <= searched {
                break;
            }
            let Ok(mut items) = self.listed(&ns, &group).await? else { continue };
            match near {
                Some(near) => items.sort_by_key(|item| item.backup_time.0.abs_diff(near.0)),
                None => items.sort_by_key(|item| std::cmp::Reverse(item.backup_time)),
            }
            for item in items.into_iter().filter(|item| item.is_finished()) {
                if wanted.is_empty() || self.is_full || MAX_SEARCHED <= searched {
                    break;
                }
                let snapshot = item.snapshot();
                if snapshot.group != group || self.tried.contains(&(ns.clone(), snapshot.clone())) {
                    continue;
                }
                if !may_list(&item, &wanted) {
                    continue;
                }
                self.events.event(&RepairEvent::SearchGoesOn {
                    snapshots: searched,
                    found: (all - wanted.len()) as u64,
                    missing: wanted.len() as u64,
                });
                searched += 1;
                if let Ok(copy) = self.open(&ns, &snapshot).await? {
                    self.take_chunks(&copy, &mut wanted).await?;
                    copy.reader.close().await;
                }
            }
        }
        self.wanted = wanted;
        self.events.event(&RepairEvent::Searched { snapshots: searched, missing: self.wanted.len() as u64 });
        Ok(())
    }

    /// Lists all groups at and below the source's anchor; what cannot be listed is left out.
    async fn groups_of_source(&self) -> Result<Vec<(Namespace, Group)>, RepairError> {
        let anchor = &self.options.source_anchor;
        let retry = self.retry();
        let asked = retry.run(|| self.source.namespaces(anchor, None));
        let namespaces = match self.unless_cancelled(asked).await? {
            Ok(listed) => listed.items,
            Err(error) if error.fault == RequestFault::Unsupported => vec![anchor.clone()],
            Err(error) => {
                let why = format!("namespaces of the source cannot be listed: {}", chain(&error));
                self.events.event(&RepairEvent::FilesRefused { why: &why });
                return Ok(Vec::new());
            }
        };
        let mut groups = Vec::new();
        for ns in namespaces.into_iter().filter(|ns| ns.is_at_or_below(anchor)) {
            let asked = retry.run(|| self.source.groups(&ns));
            match self.unless_cancelled(asked).await? {
                Ok(listed) => groups.extend(listed.items.into_iter().map(|group| (ns.clone(), group))),
                Err(error) => {
                    let why = format!("groups of the source cannot be listed: {}", chain(&error));
                    self.events.event(&RepairEvent::FilesRefused { why: &why });
                }
            }
        }
        Ok(groups)
    }
}

/// Returns whether a snapshot can have any of the chunks: an encrypted index names only encrypted ones, another none.
fn may_list(item: &SnapshotItem, wanted: &Wanted) -> bool {
    let is_index = |name: &str| name.parse::<ArchiveName>().is_ok_and(|name| name.kind() != ArchiveKind::Blob);
    item.files.iter().filter(|file| is_index(&file.filename)).any(|file| {
        let is_encrypted = file.crypt_mode.map(|mode| mode == CryptMode::Encrypt);
        is_encrypted.is_none_or(|is_encrypted| wanted.values().any(|chunk| chunk.is_encrypted == is_encrypted))
    })
}
