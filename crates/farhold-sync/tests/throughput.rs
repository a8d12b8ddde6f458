//! How fast the pipeline is without a network: run by hand with `--ignored --nocapture`, best in release.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Instant;

use farhold_crypto::sha256;
use farhold_datastore::{Datastore, OpenOptions};
use farhold_format::blob::BlobDecoder;
use farhold_storage::suite::SeededRandomness;
use farhold_sync::{LocalTarget, SyncEvent, Unrestricted};
use farhold_types::{Clock, Epoch};
use support::{Content, MemorySource, Shared, options};
use tokio_util::sync::CancellationToken;

const CHUNKS: u64 = 512;
const CHUNK_BYTES: usize = 4 << 20;

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Epoch {
        Epoch(1_800_000_000)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn measure_a_large_image_beside_one_thread_that_decodes_and_hashes_it() {
    let source = Arc::new(MemorySource::new());
    let seeds: Vec<u64> = (0..CHUNKS).collect();
    source.add("", "vm/1/2026-01-01T10:00:00Z", &[("drive.img.fidx", Content::Chunks(&seeds, CHUNK_BYTES))]);

    let begin = Instant::now();
    let (mut decoder, mut plain) = (BlobDecoder::new(), Vec::new());
    for (digest, chunk) in &*source.chunks.lock().unwrap() {
        decoder.decode_into(chunk, None, CHUNK_BYTES, &mut plain).unwrap();
        assert_eq!(sha256(&plain), *digest);
    }
    let one_thread = begin.elapsed();

    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("store/.chunks")).unwrap();
    let (clock, randomness) = (Arc::new(FixedClock), Arc::new(SeededRandomness::new(1)));
    let base = dir.path().join("store");
    let store = OpenOptions::local("target".parse().unwrap(), base, dir.path().join("locks"), clock, randomness);
    let target = Arc::new(LocalTarget::open(Datastore::open(store).unwrap()).unwrap());
    let begin = Instant::now();
    let (rights, events) = (Arc::new(Unrestricted), Arc::new(|_: &SyncEvent| {}));
    let mut options = options();
    options.state_dir = Some(dir.path().join("state"));
    let cancel = CancellationToken::new();
    let report = farhold_sync::run(options, Arc::new(Shared(source)), target, rights, events, cancel).await.unwrap();
    println!(
        "one thread {one_thread:?}, pull {:?}, of it chunks {:?}, {} bytes",
        begin.elapsed(),
        report.elapsed,
        report.bytes
    );
    assert_eq!(report.chunks, CHUNKS);
}
