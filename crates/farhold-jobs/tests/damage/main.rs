//! Every kind of file of a store, hurt in every way: what verification says, what else suffers, what mends it.
//!
//! Each cell of the table is played on stores of its own. A run with `FARHOLD_WRITE_DOCS` writes what was seen to
//! `docs/damage.md`; otherwise it is compared with it. What must hold whatever the table says is asserted here.
#![allow(clippy::unwrap_used)]

mod faults;
mod play;
mod world;

use std::fmt::Write as _;
use std::path::Path;

use crate::play::{Seen, play};
use crate::world::{DAMAGES, Damage, KINDS, Kind};

const INTRODUCTION: &str = "# What becomes of damage

Written by `cargo test -p farhold-jobs --test damage` with `FARHOLD_WRITE_DOCS=1`, otherwise compared by it. In a store
with two groups and four snapshots one file is damaged: a chunk that only the older snapshot of a group refers to, a file
of that snapshot, a file of the group, or the lock file of the store. A second store has the same backups.

- *verification says*: what a verification of the whole store tells about it, with the place; `other snapshots are whole`
  and `all is listed` hold in every row and are asserted by the test.
- *garbage collection*: what it does after that. Whatever it does, no chunk of another snapshot is removed.
- *repair*: what `farhold datastore repair --from :copy` does; `mended` means that a verification finds the snapshot whole
  afterwards.
- *re-sync*: what a pull with `resync-corrupt` does, after the verification.

A bit of notes or of an owner's name that has flipped cannot be seen: nothing tells what they were. The same is true of
notes that are gone. An owner is given back with `change-owner`, notes are set anew; both replace whatever lies there. What
lies in `.lock` means nothing, and a missing one is made anew.

`unreadable` is a file of which the disk says that it cannot be read (EIO). Bad chunks and directories in the place of a
file are kept beside it under a name that ends in `.bad`.
";

fn table(rows: &[(Kind, Damage, Seen)]) -> String {
    let mut text = INTRODUCTION.to_owned();
    text +=
        "\n| file | damage | verification says | garbage collection | repair | re-sync |\n|---|---|---|---|---|---|\n";
    for (kind, damage, seen) in rows {
        let Seen { verification, collection, repair, resync } = seen;
        let (kind, damage) = (kind.word(), damage.word());
        let _ = writeln!(text, "| {kind} | {damage} | {verification} | {collection} | {repair} | {resync} |");
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_damage_is_told_hurts_nothing_else_and_is_mended_if_that_is_possible() {
    let mut rows = Vec::new();
    for kind in KINDS {
        for damage in DAMAGES {
            rows.push((kind, damage, play(kind, damage).await));
        }
    }
    for (kind, damage, seen) in &rows {
        if kind.is_backup() {
            let cell = format!("{} {}", kind.word(), damage.word());
            assert!(seen.verification.contains("failed"), "{cell}: {seen:?}");
            assert_eq!(seen.repair, "mended", "{cell}: {seen:?}");
            assert_eq!(seen.resync, "mended", "{cell}: {seen:?}");
        }
    }
    let text = table(&rows);
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/damage.md"));
    if std::env::var_os("FARHOLD_WRITE_DOCS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    let changed: Vec<&str> = text.lines().filter(|line| !committed.lines().any(|other| other == *line)).collect();
    assert!(committed == text, "FARHOLD_WRITE_DOCS=1 writes docs/damage.md anew; new lines: {changed:#?}");
}
