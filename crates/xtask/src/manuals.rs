//! Manual pages and shell completions, made by the program itself from its commands.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::check::cargo_program;

/// What is made: file below the folder, and the arguments that print it.
const FILES: &[(&str, &[&str])] = &[
    ("man1/farhold.1", &["printdoc", "--man"]),
    ("man1/farhold-client.1", &["client", "printdoc", "--man"]),
    ("completions/farhold.bash", &["completion", "bash"]),
    ("completions/farhold.fish", &["completion", "fish"]),
    ("completions/_farhold", &["completion", "zsh"]),
];

/// Writes manual pages and completions below `folder`, after building the program.
///
/// # Errors
/// The program cannot be built, or a file cannot be written.
pub fn write(root: &Path, folder: &Path) -> anyhow::Result<()> {
    for (name, arguments) in FILES {
        let mut command = Command::new(cargo_program());
        command.current_dir(root).args(["run", "--quiet", "--package", "farhold", "--bin", "farhold", "--"]);
        let output = command.args(*arguments).output().context("cargo cannot be started")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let path = folder.join(name);
        let parent = path.parent().context("the file has no folder")?;
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        fs::write(&path, &output.stdout).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}
