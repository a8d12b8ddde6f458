//! What a job remembers about a group of the target from one run to the next.
//!
//! A small private JSON file per job and group: the times that a run skipped over because they failed, so that they are
//! asked for again although a newer snapshot exists, and what the source's manifest of the newest synced snapshot was when
//! it was applied, the common ancestor of both sides. It says nothing about what the target holds; whoever reads it
//! compares with the disk. It is read and written only under the lock of the group.
//!
//! A missing, unreadable or foreign file counts as empty. Files are replaced as a whole, so a crash leaves the old or the
//! new state.
//!
//! Source: `docs/spec/sync.md` C.2 W21 and W23, `docs/adr/0003`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use farhold_types::{Digest, Epoch, Group, Namespace};
use serde::{Deserialize, Serialize};

use crate::chunks::check_pool::CheckPool;
use crate::event::GroupEvent;
use crate::notes::journal::JournalScope;

/// Version of the file's shape. Another one counts as no record.
const VERSION: u32 = 1;

/// Failed times that are remembered per group. A group with more of them has a trouble of its own; see
/// [`GroupRecord::add_failed`].
pub(crate) const MAX_FAILED: usize = 10_000;

/// Largest file that is read: [`MAX_FAILED`] times of at most 20 digits and commas, and room.
const MAX_FILE_BYTES: u64 = 512 << 10;

/// The source's manifest as it was last applied to a snapshot of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Base {
    /// SHA-256 of the manifest blob as the source delivered it.
    pub(crate) manifest: Digest,
    /// Hash of its notes; none if it had none.
    pub(crate) notes: Option<Digest>,
    /// Hash of its verification; none if it had none.
    #[serde(default)]
    pub(crate) verification: Option<Digest>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    version: u32,
    ns: String,
    group: String,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    failed: BTreeSet<Epoch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<BaseOf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct BaseOf {
    time: Epoch,
    #[serde(flatten)]
    base: Base,
}

/// The record on one group. All functions that write block.
#[derive(Debug, Clone)]
pub(crate) struct GroupRecord {
    /// None if the job keeps no records.
    path: Option<PathBuf>,
    content: Content,
}

impl GroupRecord {
    /// Reads the record on a group of the target. Blocks.
    pub(crate) fn load(scope: Option<&JournalScope>, ns: &Namespace, group: &Group) -> Self {
        let path = scope.map(|scope| scope.record_path(ns, group));
        let empty = Content { version: VERSION, ns: ns.to_string(), group: group.to_string(), ..Content::default() };
        let found = path.as_deref().and_then(read).filter(|found| {
            found.version == VERSION
                && found.ns == empty.ns
                && found.group == empty.group
                && found.failed.len() <= MAX_FAILED
        });
        Self { path, content: found.unwrap_or(empty) }
    }

    /// Changes the record on the pool, since that may write a file. Returns nothing when it cannot be written, after
    /// telling `warn` so.
    pub(crate) async fn update<R: Send + 'static>(
        &mut self,
        pool: &CheckPool,
        change: impl FnOnce(&mut Self) -> io::Result<R> + Send + 'static,
        warn: impl FnOnce(GroupEvent),
    ) -> Option<R> {
        let mut record = self.clone();
        let changed = pool.run(move |_| {
            let result = change(&mut record);
            (record, result)
        });
        let (record, result) = changed.await.ok()?;
        *self = record;
        let tell =
            |error: &io::Error| warn(GroupEvent::Warning(format!("cannot write the record of the group - {error}")));
        result.inspect_err(tell).ok()
    }

    /// Returns whether anything can be remembered at all.
    pub(crate) const fn is_kept(&self) -> bool {
        self.path.is_some()
    }

    /// Returns the times that failed and have not been synced since.
    pub(crate) const fn failed(&self) -> &BTreeSet<Epoch> {
        &self.content.failed
    }

    /// Remembers that `time` failed. Returns whether it is remembered durably, so that a newer snapshot may follow.
    ///
    /// # Errors
    /// The file cannot be written; then nothing is remembered.
    pub(crate) fn add_failed(&mut self, time: Epoch) -> io::Result<bool> {
        if !self.is_kept() || (MAX_FAILED <= self.content.failed.len() && !self.content.failed.contains(&time)) {
            return Ok(false);
        }
        let mut content = self.content.clone();
        if content.failed.insert(time) {
            self.replace(content, Durability::Durable)?;
        }
        Ok(true)
    }

    /// Forgets those failed times for which `is_settled` says so.
    ///
    /// # Errors
    /// As [`Self::add_failed`]. What stays remembered costs a question to the source only.
    pub(crate) fn forget_failed(&mut self, is_settled: impl Fn(Epoch) -> bool) -> io::Result<()> {
        let mut content = self.content.clone();
        content.failed.retain(|time| !is_settled(*time));
        if content == self.content { Ok(()) } else { self.replace(content, Durability::AsTheSystemLikes) }
    }

    /// Returns what was last applied to the snapshot of `time`, if it is the newest synced one.
    pub(crate) fn base(&self, time: Epoch) -> Option<Base> {
        self.content.base.filter(|base| base.time == time).map(|base| base.base)
    }

    /// Remembers what was applied to the snapshot of `time`; that of a time before the remembered one is dropped, since
    /// only the newest is ever compared.
    ///
    /// # Errors
    /// As [`Self::add_failed`].
    pub(crate) fn set_base(&mut self, time: Epoch, base: Base) -> io::Result<()> {
        let new = BaseOf { time, base };
        let is_older = self.content.base.is_some_and(|known| time < known.time);
        if is_older || self.content.base == Some(new) {
            return Ok(());
        }
        self.replace(Content { base: Some(new), ..self.content.clone() }, Durability::AsTheSystemLikes)
    }

    fn replace(&mut self, content: Content, durability: Durability) -> io::Result<()> {
        if let Some(path) = &self.path {
            write(path, &content, durability)?;
        }
        self.content = content;
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// It survives a power failure.
    Durable,
    /// It survives a crash of the process.
    AsTheSystemLikes,
}

fn read(path: &Path) -> Option<Content> {
    let mut text = Vec::new();
    let length = File::open(path).ok()?.take(MAX_FILE_BYTES + 1).read_to_end(&mut text).ok()?;
    (length as u64 <= MAX_FILE_BYTES).then(|| serde_json::from_slice(&text).ok()).flatten()
}

/// Replaces the file as a whole. An empty record has no file.
fn write(path: &Path, content: &Content, durability: Durability) -> io::Result<()> {
    if content.failed.is_empty() && content.base.is_none() {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(&serde_json::to_vec(content)?)?;
    if durability == Durability::Durable {
        file.sync_all()?;
    }
    fs::rename(&temporary, path)?;
    if durability == Durability::Durable {
        // The folders may be as new as the file.
        for folder in folder.ancestors().take(3).filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use farhold_types::Authid;

    use super::*;

    fn scope(dir: &Path) -> JournalScope {
        JournalScope::new(dir, "job", &Authid::root(), "peer")
    }

    fn load(dir: &Path) -> GroupRecord {
        GroupRecord::load(Some(&scope(dir)), &"a/b".parse().unwrap(), &"vm/1".parse().unwrap())
    }

    fn base(byte: u8) -> Base {
        Base { manifest: Digest([byte; 32]), notes: None, verification: None }
    }

    #[test]
    fn what_is_remembered_is_there_in_the_next_run_and_survives_the_end_of_the_notes() {
        let dir = tempfile::tempdir().unwrap();
        let mut record = load(dir.path());
        assert!(record.add_failed(Epoch(7)).unwrap() && record.add_failed(Epoch(9)).unwrap());
        record.set_base(Epoch(20), base(1)).unwrap();
        record.forget_failed(|time| time == Epoch(7)).unwrap();
        scope(dir.path()).clear().unwrap();
        let record = load(dir.path());
        assert_eq!(record.failed().iter().copied().collect::<Vec<_>>(), [Epoch(9)]);
        assert_eq!(record.base(Epoch(20)), Some(base(1)));
        let other = GroupRecord::load(Some(&scope(dir.path())), &Namespace::root(), &"vm/1".parse().unwrap());
        assert!(other.failed().is_empty());
    }

    #[test]
    fn only_the_base_of_the_newest_time_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut record = load(dir.path());
        for time in [5, 8, 6] {
            record.set_base(Epoch(time), base(u8::try_from(time).unwrap())).unwrap();
        }
        assert_eq!([5, 6, 8].map(|time| load(dir.path()).base(Epoch(time))), [None, None, Some(base(8))]);
    }

    #[test]
    fn a_record_that_becomes_empty_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut record = load(dir.path());
        let path = record.path.clone().unwrap();
        record.add_failed(Epoch(7)).unwrap();
        assert!(path.exists());
        record.forget_failed(|_| true).unwrap();
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    }

    #[test]
    fn damage_of_any_kind_counts_as_no_record_and_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let mut record = load(dir.path());
        record.add_failed(Epoch(7)).unwrap();
        let path = record.path.clone().unwrap();
        let good = fs::read_to_string(&path).unwrap();
        let long = format!("{good}{}", " ".repeat(600 << 10));
        let damaged =
            ["", "{", &good[..good.len() / 2], &good.replace("vm/1", "vm/2"), &good.replace(":1,", ":2,"), &long];
        for text in damaged {
            assert_ne!(text, good);
            fs::write(&path, text).unwrap();
            let mut record = load(dir.path());
            assert!(record.failed().is_empty(), "{}", &text[..text.len().min(80)]);
            record.add_failed(Epoch(8)).unwrap();
            assert_eq!(load(dir.path()).failed().len(), 1);
        }
    }

    #[test]
    fn without_a_folder_or_beyond_the_bound_nothing_is_promised() {
        let mut record = GroupRecord::load(None, &Namespace::root(), &"vm/1".parse().unwrap());
        assert!(!record.add_failed(Epoch(1)).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let mut record = load(dir.path());
        record.content.failed = (0..).map(Epoch).take(MAX_FAILED).collect();
        assert!(!record.add_failed(Epoch(-1)).unwrap());
        assert!(record.add_failed(Epoch(5)).unwrap());
    }

    #[test]
    fn a_full_record_is_small_enough_to_be_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut record = load(dir.path());
        record.content.failed = (0..).map(|n| Epoch(i64::MAX - n)).take(MAX_FAILED - 1).collect();
        assert!(record.add_failed(Epoch(5)).unwrap());
        assert_eq!(load(dir.path()).failed().len(), MAX_FAILED);
    }
}
