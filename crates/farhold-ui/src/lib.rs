//! The web interface as files: what `web/` was built to, embedded in the program.
//!
//! Pure: bytes by path. `farhold` answers HTTP with them. A program that was built without the interface has one page
//! that says how to get it.

/// What the index holds where the nonce of its styles belongs.
const NONCE_MARK: &str = "__CSP_NONCE__";

/// The page of a program without the interface.
const NOTICE: &str = include_str!("notice.html");

static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// One file of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// Path below the interface's root, such as `assets/index-4fe1.js`.
    pub path: &'static str,
    /// What `Content-Type` says.
    pub content_type: &'static str,
    /// The content.
    pub bytes: &'static [u8],
    /// The content in gzip form, if that is shorter.
    pub gzip: Option<&'static [u8]>,
    /// 16 hex digits that change with the content.
    pub tag: &'static str,
}

impl File {
    /// Returns whether the content behind this path never changes, since the name changes with it.
    pub fn is_immutable(&self) -> bool {
        self.path.starts_with("assets/")
    }
}

/// Returns whether the interface was embedded.
pub fn is_built() -> bool {
    file_of(FILES, "index.html").is_some()
}

/// Returns the file at this path below the root, without a leading `/`. The index is not a file, see [`index`].
pub fn file(path: &str) -> Option<File> {
    if path == "index.html" { None } else { file_of(FILES, path) }
}

/// Returns all files, sorted by path.
pub fn files() -> impl Iterator<Item = File> {
    FILES.iter().copied()
}

/// Returns the page at the root, whose styles carry `nonce`; a notice if the interface was not embedded.
///
/// `nonce`: letters, digits, `+`, `/` and `=`, fresh for every answer.
pub fn index(nonce: &str) -> String {
    index_of(FILES, nonce)
}

fn file_of(files: &'static [File], path: &str) -> Option<File> {
    // The build script sorts them.
    files.binary_search_by(|file| file.path.cmp(path)).ok().map(|position| files[position])
}

fn index_of(files: &'static [File], nonce: &str) -> String {
    let built = file_of(files, "index.html").map(|index| String::from_utf8_lossy(index.bytes));
    built.as_deref().unwrap_or(NOTICE).replace(NONCE_MARK, nonce)
}

#[cfg(test)]
#[path = "../embed.rs"]
mod embed;

#[cfg(test)]
mod tests;
