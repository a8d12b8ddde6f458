//! Embeds the built web interface, `web/dist`. It does not build it: `cargo xtask ui build` does.

use std::path::{Path, PathBuf};

#[path = "embed.rs"]
mod embed;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/dist");
    // Cargo looks into a folder that it is told to watch, but one that is missing makes every build a new one, of all
    // that stands above this crate. So there is one, if this source tree can be written.
    let _ = std::fs::create_dir_all(&dist);
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=embed.rs");
    println!("cargo::rerun-if-changed={}", dist.display());
    println!("cargo::rerun-if-env-changed=FARHOLD_UI");

    let entries = embed::entries(&dist)?;
    if !entries.iter().any(|entry| entry.path == "index.html") {
        let hint = "the web interface is not built; `cargo xtask ui build` makes it (needs Node.js 20 or newer)";
        if std::env::var_os("FARHOLD_UI").is_some_and(|value| value == "required") {
            return Err(format!("{hint}, and FARHOLD_UI=required asks for it").into());
        }
        println!("cargo::warning={hint}. This build shows a page that says so.");
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo names no OUT_DIR")?);
    std::fs::write(out.join("files.rs"), embed::source(&entries))?;
    Ok(())
}
