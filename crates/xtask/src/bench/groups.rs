//! `bench groups` and `bench push-groups`: many groups of three small snapshots over a long line, where only round trips
//! cost.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::ensure;
use farhold_crypto::sha256;
use farhold_format::blob::{BlobEncoder, Compression};
use farhold_format::index::{FixedIndexBuilder, Index};
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_testkit::disk_image::CHUNK_BYTES;
use farhold_types::{ArchiveKind, CryptMode, Digest, Epoch, Group};

use super::Options;
use super::image::{FIRST, chunk_path, move_aside};
use super::server::connections_to;
use super::site::{Direction, Site};

const SNAPSHOTS_PER_GROUP: usize = 3;

/// Measures and returns a table.
pub(super) fn measure(site: &Site, options: &Options, direction: Direction) -> anyhow::Result<String> {
    let (from, to) = (site.sending_store(direction), site.receiving_store(direction));
    eprintln!("making {} groups", options.groups);
    let chunks = write_groups(from, options.groups)?;
    let mut table = String::from(
        "| line, run | first s | conn. | requests | wire KiB | nothing new s | conn. | requests | per group | wire KiB |\n",
    );
    for line in &options.lines {
        for run in 1..=options.runs {
            eprintln!("{} {run} of {}", line.name(), options.runs);
            let running = site.start(*line)?;
            let port = site.source.address().port();
            let mut cells = String::new();
            let (mut wire, mut requests) = (running.wire_bytes().unwrap_or_default(), site.source.requests()?);
            for is_first in [true, false] {
                let mut connections = 0;
                let arguments = direction.command(*line);
                let look = || connections = connections.max(connections_to(port));
                let elapsed = site.target.time_task(&arguments, look)?;
                let (wire_now, requests_now) = (running.wire_bytes().unwrap_or_default(), site.source.requests()?);
                write!(cells, " {:.2} | {connections} | {}", elapsed.as_secs_f64(), requests_now - requests)?;
                if !is_first {
                    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
                    write!(cells, " | {:.2}", (requests_now - requests) as f64 / options.groups as f64)?;
                }
                write!(cells, " | {} |", (wire_now - wire) / 1024)?;
                (wire, requests) = (wire_now, requests_now);
            }
            let peak = running.target.usage()?.peak_bytes >> 20;
            running.stop()?;
            compare(from, to, &chunks)?;
            move_aside(to, &to.with_file_name(format!("done-{}-{run}", line.name())), &chunks)?;
            writeln!(table, "| {} {run} |{cells} peak {peak} MiB", line.name())?;
        }
    }
    Ok(table)
}

/// Writes groups of three snapshots, each with a blob of 20 bytes and a fixed index of one chunk, into an empty datastore.
fn write_groups(store: &Path, groups: usize) -> anyhow::Result<Vec<Digest>> {
    let mut encoder = BlobEncoder::new();
    let mut chunks = Vec::new();
    for group in 0..groups {
        let name = format!("vm/{}", 1000 + group);
        let folder = store.join(&name);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("owner"), "root@pam\n")?;
        for snapshot in 0..SNAPSHOTS_PER_GROUP {
            let time = Epoch(FIRST.0 + i64::try_from(snapshot)? * 86_400);
            let content = format!("chunk of group {group}, snapshot {snapshot}\n").repeat(50).into_bytes();
            let digest = sha256(&content);
            fs::write(store.join(chunk_path(&digest)), encoder.encode(&content, Compression::On, None)?)?;
            chunks.push(digest);
            let size_bytes = content.len() as u64;
            let mut index = FixedIndexBuilder::new(*b"farhold bench gr", time, size_bytes, CHUNK_BYTES as u64)?;
            index.set(0, digest)?;
            let index = index.finish()?;
            let blob = encoder.encode(b"name: bench machine\n", Compression::Off, None)?;
            let file = |name: &str, size_bytes, checksum| {
                Ok::<_, anyhow::Error>(ManifestFile {
                    name: name.parse()?,
                    crypt_mode: CryptMode::None,
                    size_bytes,
                    checksum,
                })
            };
            let files = vec![
                file("qemu-server.conf.blob", blob.len() as u64, sha256(&blob))?,
                file("drive-scsi0.img.fidx", size_bytes, index.checksum())?,
            ];
            let manifest = Manifest { files, ..Manifest::new(&name.parse::<Group>()?.at(time)) };
            let folder = folder.join(time.to_string());
            fs::create_dir(&folder)?;
            fs::write(folder.join("qemu-server.conf.blob"), blob)?;
            fs::write(folder.join("drive-scsi0.img.fidx"), index.as_bytes())?;
            fs::write(folder.join("index.json.blob"), manifest.to_blob(&mut encoder)?)?;
        }
    }
    Ok(chunks)
}

fn compare(original: &Path, copy: &Path, chunks: &[Digest]) -> anyhow::Result<()> {
    let read = |path: &Path| fs::read(path).map_err(|error| anyhow::anyhow!("cannot read {}: {error}", path.display()));
    for chunk in chunks {
        let path = chunk_path(chunk);
        ensure!(read(&original.join(&path))? == read(&copy.join(&path))?, "chunk {chunk} differs");
    }
    for group in fs::read_dir(original.join("vm"))? {
        for snapshot in fs::read_dir(group?.path())? {
            let snapshot = snapshot?.path();
            if snapshot.is_dir() {
                for file in fs::read_dir(&snapshot)? {
                    let file = file?.path();
                    let same = copy.join(file.strip_prefix(original)?);
                    if file.ends_with("index.json.blob") {
                        // Who receives a push adds figures of the upload.
                        let (original, copy) =
                            (Manifest::from_blob(&read(&file)?)?, Manifest::from_blob(&read(&same)?)?);
                        ensure!(original.has_same_protected_content(&copy), "{} differs", same.display());
                    } else if file.extension().is_some_and(|extension| extension == "fidx") {
                        // A pushed index has a stamp of its own.
                        let index =
                            |path: &Path| anyhow::Ok(Index::parse(ArchiveKind::FixedIndex, read(path)?.into())?);
                        ensure!(index(&file)?.checksum() == index(&same)?.checksum(), "{} differs", same.display());
                    } else {
                        ensure!(read(&file)? == read(&same)?, "{} differs", same.display());
                    }
                }
            }
        }
    }
    Ok(())
}
