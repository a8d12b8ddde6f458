//! Mending a datastore from a remote: next to nothing but what is missing or bad crosses the line.

use std::fs;
use std::path::{Path, PathBuf};

use farhold_testkit::relay::Faults;

use crate::content::snapshots;
use crate::pair::{Account, Pair, add_disk};

const SNAPSHOT: &str = "vm/100/2026-01-01T10:00:00Z";
/// Content of a chunk of [`add_disk`].
const CHUNK_BYTES: u64 = 4 << 20;

fn chunks(store: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(store.join(".chunks")).unwrap().flatten();
    let folders = folders.filter(|folder| folder.file_name().len() == 4);
    let mut chunks: Vec<PathBuf> =
        folders.flat_map(|folder| fs::read_dir(folder.path()).unwrap().flatten()).map(|chunk| chunk.path()).collect();
    chunks.sort();
    chunks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_store_is_mended_over_a_line_that_breaks() {
    let pair = Pair::new(Account::Token, |store| add_disk(store, SNAPSHOT, 32)).await;
    pair.pull().await.ok();
    let store = pair.target_store();
    let good = snapshots(&store);
    let all = chunks(&store);
    fs::remove_file(&all[0]).unwrap();
    fs::write(&all[1], b"").unwrap();
    let mut flipped = fs::read(&all[2]).unwrap();
    flipped[100_000] ^= 1;
    fs::write(&all[2], flipped).unwrap();
    fs::write(store.join(SNAPSHOT).join("drive-scsi0.img.fidx"), b"not an index").unwrap();
    fs::remove_file(store.join(SNAPSHOT).join("qemu-server.conf.blob")).unwrap();
    pair.target.run(&["verify", "local"]).await.failed();

    // Nothing is longer than a connection lasts.
    let before = pair.relay.statistics();
    pair.relay.set_faults(Faults { cut_after_bytes: Some(3 << 20), ..Faults::NONE });
    let log = pair.target.run(&["datastore", "repair", "local", "--from", "pbs2:tank"]).await.ok();
    pair.relay.set_faults(Faults::NONE);
    let statistics = pair.relay.statistics();
    let carried = statistics.down_bytes - before.down_bytes;
    assert!(before.cut_count < statistics.cut_count && carried < 4 * CHUNK_BYTES, "{carried}: {log}");
    assert!(log.contains("1 damaged, 1 of them mended; 3 chunk(s)") && log.contains("2 file(s) put in place"), "{log}");
    pair.target.run(&["verify", "local", "--ignore-verified", "false"]).await.ok();
    for (path, content) in snapshots(&store) {
        assert!(path.ends_with("index.json.blob") || good[&path] == content, "{path}");
    }

    // A second run looks at nothing and does not ask.
    let before = pair.relay.statistics().down_bytes;
    let log = pair.target.run(&["datastore", "repair", "local", "--from", "pbs2:tank"]).await.ok();
    assert!(log.contains("found 1 snapshot(s), 0 of them to be examined"), "{log}");
    assert_eq!(pair.relay.statistics().down_bytes, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_account_may_not_read_stays_damaged_and_the_cause_is_told() {
    let pair = Pair::new(Account::Token, |store| add_disk(store, SNAPSHOT, 8)).await;
    pair.pull().await.ok();
    let store = pair.target_store();
    fs::remove_file(&chunks(&store)[0]).unwrap();
    pair.target.run(&["remote", "update", "pbs2", "--password", "a wrong secret"]).await.ok();
    let text = pair.target.run(&["datastore", "repair", "local", "--from", "pbs2:tank", "--verify"]).await.failed();
    assert!(text.contains("status 401") && text.contains("still damaged:"), "{text}");
    assert!(!text.contains("a wrong secret"), "{text}");
}
