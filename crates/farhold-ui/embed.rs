//! Lists the files of the built web interface and writes the Rust source that embeds them.
//!
//! Part of the build script, and a module of the crate's tests.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// One file to embed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path below the folder, with `/`.
    pub path: String,
    /// Where the file is.
    pub source: PathBuf,
    /// Where the same file in gzip form is, if the build made it.
    pub gzip: Option<PathBuf>,
    /// 16 hex digits that change with the content.
    pub tag: String,
}

/// Returns all files below `folder`, sorted by path; none if there is no such folder. `x.gz` belongs to `x`.
///
/// # Errors
/// A file or folder cannot be read.
pub fn entries(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    if folder.is_dir() {
        walk(folder, "", &mut found)?;
    }
    found.sort();
    let gzips: Vec<&(String, PathBuf)> = found.iter().filter(|(path, _)| path.ends_with(".gz")).collect();
    let mut entries = Vec::new();
    for (path, source) in found.iter().filter(|(path, _)| !path.ends_with(".gz")) {
        let gzip = gzips.iter().find(|(gzip, _)| gzip.strip_suffix(".gz") == Some(path));
        entries.push(Entry {
            path: path.clone(),
            source: source.clone(),
            gzip: gzip.map(|(_, source)| source.clone()),
            tag: tag(&std::fs::read(source)?),
        });
    }
    Ok(entries)
}

fn walk(folder: &Path, prefix: &str, found: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for item in std::fs::read_dir(folder)? {
        let item = item?;
        let name = item.file_name().into_string().map_err(|name| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{} is not UTF-8", name.to_string_lossy()))
        })?;
        // No path component of a request may begin with a dot.
        if name.starts_with('.') {
            continue;
        }
        let path = format!("{prefix}{name}");
        if item.file_type()?.is_dir() {
            walk(&item.path(), &format!("{path}/"), found)?;
        } else {
            found.push((path, item.path()));
        }
    }
    Ok(())
}

/// Returns an expression: a slice of `File`.
pub fn source(entries: &[Entry]) -> String {
    let mut text = "&[\n".to_owned();
    for Entry { path, source, gzip, tag } in entries {
        let content_type = content_type(path);
        let gzip = match gzip {
            Some(gzip) => format!("Some(include_bytes!({gzip:?}))"),
            None => "None".to_owned(),
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "    File {{ path: {path:?}, content_type: {content_type:?}, bytes: include_bytes!({source:?}), gzip: {gzip}, tag: {tag:?} }},"
        );
    }
    text + "]\n"
}

/// Returns the content type by the end of the name.
fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("txt") => "text/plain; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

/// Returns the 64-bit FNV-1a sum of the content. Nobody but us makes these files, so nobody looks for two with one sum.
fn tag(bytes: &[u8]) -> String {
    let sum = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{sum:016x}")
}
