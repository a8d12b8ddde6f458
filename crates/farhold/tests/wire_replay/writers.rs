//! Records of sessions that write, against our server. Listings between them name what the recorded ones name.

use farhold_jobs::Operation;
use farhold_types::{ArchiveKind, Digest, Namespace};

use crate::play::{Line, lines};
use crate::runtime;
use crate::stage::Stage;
use crate::writing::Writing;

/// The records of the reference's client that write to the store `tank`, in the order in which they were made.
const CLIENT: &[&str] = &[
    "client-image-first",
    "client-image-incremental",
    "client-image-unchanged",
    "client-image-encrypted",
    "client-image-encrypted-incremental",
    "client-image-sign-only",
    "client-image-80-chunks",
    "client-image-older-time-refused",
    "client-dir-first",
    "client-dir-unchanged",
    "client-dir-metadata-first",
    "client-dir-metadata-second",
    "client-dir-data-mode",
    "client-namespace-create",
    "client-dir-in-namespace",
    "client-upload-log",
    "client-benchmark",
];

/// The records of pushes to the store `inbox`, likewise.
const PUSHES: &[&str] = &[
    "push-new",
    "push-noop",
    "push-incremental",
    "push-remove-vanished",
    "push-foreign-owner",
    "push-missing-target-namespace",
];

/// Those to the store `inbox2`.
const ENCRYPTING_PUSHES: &[&str] = &["push-encrypt-new", "push-encrypt-noop", "push-encrypt-incremental"];

fn play(store: &str, records: &[&str], is_expected: impl Fn(&str) -> bool) {
    let mut stage = Stage::new(store);
    if store == "local" {
        std::fs::create_dir_all(stage.root.join("ns/a1")).unwrap();
    }
    let all: Vec<Vec<Line>> = records.iter().map(|record| lines(record)).collect();
    let mut wrong = String::new();
    runtime().block_on(async {
        let mut writing = Writing::new(&mut stage, &all);
        for (record, lines) in records.iter().zip(&all) {
            if *record == "push-foreign-owner" {
                writing.stage.give_away("vm/201", "sync@pbs");
            }
            // The manifests of the probes are wrong on purpose, and ours are not the same ones.
            writing.compares_listings = !record.starts_with("probe-");
            writing.play(lines).await;
            println!("{record:<40} {:>5} requests", std::mem::take(&mut writing.requests));
            for line in writing.wrong.drain(..).filter(|line| !is_expected(line)) {
                wrong += &format!("{record} {line}\n");
            }
        }
    });
    assert!(wrong.is_empty(), "answers have another form than the recorded ones:\n{wrong}");
    check_snapshots(&stage);
}

/// Checks that every finished snapshot can be read to its last chunk.
fn check_snapshots(stage: &Stage) {
    let name = stage.root.file_name().unwrap().to_str().unwrap().parse().unwrap();
    let store = stage.app().stores.open(&name, Operation::Read).unwrap();
    for ns in store.namespaces(&Namespace::root(), 7).unwrap() {
        for group in store.groups(&ns).unwrap() {
            for info in store.snapshots(&ns, &group.group).unwrap().iter().filter(|info| info.has_manifest) {
                let snapshot = group.group.at(info.time);
                // The one that the recorder spoilt.
                let Ok((manifest, _)) = store.read_manifest(&ns, &snapshot) else { continue };
                let is_by_server = manifest.unprotected.contains_key("chunk_upload_stats");
                assert!(is_by_server, "{snapshot} has no statistics");
                for archive in info.files.iter().filter(|archive| archive.kind() != ArchiveKind::Blob) {
                    let index = store.open_index(&ns, &snapshot, archive).unwrap();
                    for digest in index.digests().filter(|digest| *digest != Digest([0; 32])) {
                        let chunk = store.read_chunk(&digest).unwrap();
                        farhold_format::blob::check(&chunk).unwrap();
                    }
                }
            }
        }
    }
}

#[test]
fn what_the_client_sends_to_back_up_gets_answers_of_the_recorded_form() {
    play("tank", CLIENT, |_| false);
}

#[test]
fn what_pushes_send_gets_answers_of_the_recorded_form_and_leaves_the_recorded_snapshots() {
    play("inbox", PUSHES, |_| false);
}

#[test]
fn what_encrypting_pushes_send_gets_answers_of_the_recorded_form_and_leaves_the_recorded_snapshots() {
    play("inbox2", ENCRYPTING_PUSHES, |_| false);
}

#[test]
fn wrong_calls_for_dynamic_indexes_are_answered_as_recorded() {
    play("local", &["probe-dynamic-writer"], |_| false);
}

#[test]
fn wrong_calls_for_fixed_indexes_blobs_and_the_end_are_answered_as_recorded() {
    // The reference takes blobs after the end, too; they would change a finished snapshot.
    let is_late_blob = |line: &str| line.contains("[blob after") && line.contains("ours 400");
    play("local", &["probe-fixed-writer-blob-finish"], is_late_blob);
}

#[test]
fn bases_and_owners_are_looked_at_as_recorded() {
    // A group without owner and without any backup is one whose first backup a power failure cut off: we take it.
    // Verification is a later issue.
    let is_expected = |line: &str| line.contains("[group w/o owner]") || line.contains("[verify base while session]");
    play("local", &["probe-previous-reuse-base-owner"], is_expected);
}

#[test]
fn upgrades_are_checked_as_recorded() {
    play("local", &["probe-upgrade"], |_| false);
}
