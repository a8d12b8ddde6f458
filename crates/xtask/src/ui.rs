//! The web interface: building it, and its tests in a real browser. The only place that calls npm.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::check::{cargo, run};

/// Oldest Node.js that the interface's tools work with.
const NODE_MAJOR: u32 = 20;

/// Returns the folder of the interface's sources.
fn web(root: &Path) -> PathBuf {
    root.join("crates/farhold-ui/web")
}

/// Returns why the interface cannot be built here, or `None` if it can.
pub fn what_is_missing() -> Option<String> {
    let Ok(output) = Command::new("node").arg("--version").output() else {
        return Some(format!("Node.js {NODE_MAJOR} or newer is not there"));
    };
    let text = String::from_utf8_lossy(&output.stdout);
    if major(&text).is_none_or(|major| major < NODE_MAJOR) {
        return Some(format!("Node.js {} is too old, {NODE_MAJOR} or newer is needed", text.trim()));
    }
    let npm = Command::new("npm").arg("--version").output().is_ok_and(|output| output.status.success());
    if npm { None } else { Some("npm is not there".to_owned()) }
}

/// Returns the first number of what `node --version` prints, such as `v20.20.2`.
fn major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// Installs what the lock file names, and builds the interface into `web/dist`, where the next build of the program
/// finds it.
///
/// # Errors
/// Node.js is missing, a package cannot be fetched, or the sources have a fault.
pub fn build(root: &Path) -> anyhow::Result<()> {
    if let Some(missing) = what_is_missing() {
        bail!("{missing}");
    }
    npm(root, &["ci", "--no-audit", "--no-fund", "--loglevel=error"])?;
    npm(root, &["run", "build"])
}

/// Runs the tests of the interface: those of its parts, then those in a real Chromium against real servers of this tree.
/// `options` go to the latter.
///
/// # Errors
/// The interface was not built, or a test fails.
pub fn test(root: &Path, options: &[String]) -> anyhow::Result<()> {
    require_build(root)?;
    npm(root, &["test"])?;
    browse(root, options, &[])
}

/// Makes the pictures of the documentation, `docs/screenshots`, and those that screens are compared with.
///
/// # Errors
/// As [`test`].
pub fn pictures(root: &Path) -> anyhow::Result<()> {
    require_build(root)?;
    browse(root, &["screens".to_owned(), "--update-snapshots".to_owned()], &[("FARHOLD_WRITE_DOCS", "1")])
}

fn require_build(root: &Path) -> anyhow::Result<()> {
    if !web(root).join("dist/index.html").is_file() {
        bail!("the interface is not built; `cargo xtask ui build` makes it");
    }
    Ok(())
}

/// Runs the end-to-end tests against a debug build of the program.
fn browse(root: &Path, options: &[String], environment: &[(&str, &str)]) -> anyhow::Result<()> {
    cargo(root, &["build", "--locked", "--package", "farhold"])?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder));
    let mut command = Command::new("npm");
    command.args(["run", "e2e", "--"]).args(options).current_dir(web(root));
    command.env("FARHOLD_BIN", target.join("debug/farhold")).envs(environment.iter().copied());
    run(&mut command)
}

fn npm(root: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    run(Command::new("npm").args(arguments).current_dir(web(root))).context("the web interface")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_node_is_read() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("v8.0.0"), Some(8));
        for nonsense in ["", "20.1", "vx.1", "v"] {
            assert_eq!(major(nonsense), None, "{nonsense}");
        }
    }
}
