//! The checks that every change passes, run one after the other. All run even if one fails.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use crate::layers;

/// Commands of `check`, in order: name and arguments of cargo. `None` stands for the layer table.
const STEPS: [(&str, Option<&[&str]>); 5] = [
    ("format", Some(&["fmt", "--all", "--check"])),
    ("layers", None),
    ("lints", Some(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])),
    ("tests", Some(&["test", "--workspace", "--locked", "--no-fail-fast"])),
    ("licences, bans, sources", Some(&["deny", "check", "licenses", "bans", "sources"])),
];

/// Runs every check on the workspace at `root`.
///
/// # Errors
/// Names the checks that failed, after all have run.
pub fn check(root: &Path) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for (name, arguments) in STEPS {
        let outcome = match arguments {
            None => {
                println!("==> {name}");
                check_layers(root)
            }
            Some(arguments) => {
                println!("==> {name}: cargo {}", arguments.join(" "));
                cargo(root, arguments)
            }
        };
        if let Err(error) = outcome {
            eprintln!("==> {name} failed: {error:#}");
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join("; "));
    }
    println!("==> all checks passed");
    Ok(())
}

/// Compares the manifests with the layer table.
///
/// # Errors
/// Lists every edge that is not allowed.
pub fn check_layers(root: &Path) -> anyhow::Result<()> {
    let violations = layers::violations(root)?;
    if violations.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = violations.iter().map(|violation| format!("\n  {violation}")).collect();
    bail!("edges that the layer table does not allow:{}", lines.concat())
}

/// Lives through simulated worlds with these options of the simulation's own command line.
///
/// # Errors
/// A world ended badly.
pub fn simulate(root: &Path, options: &[String]) -> anyhow::Result<()> {
    let mut arguments = vec!["run", "--quiet", "--release", "--package", "farhold-simulation", "--"];
    arguments.extend(options.iter().map(String::as_str));
    cargo(root, &arguments)
}

/// Writes the description of the REST interface into `docs/openapi.json`.
///
/// The test that compares it writes it, so that no build of the automation needs the whole server.
///
/// # Errors
/// The test cannot be built.
pub fn write_openapi(root: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(cargo_program());
    command.args(["test", "--quiet", "--package", "farhold-api", "--lib", "openapi::"]);
    run(command.env("FARHOLD_WRITE_DOCS", "1").current_dir(root))
}

/// Returns the program to call as cargo: under `cargo run` the very one that runs us.
pub(crate) fn cargo_program() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn cargo(root: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    run(Command::new(cargo_program()).args(arguments).current_dir(root))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_owned();
    let status = command.status().with_context(|| format!("failed to run {}", program.display()))?;
    if !status.success() {
        let argument = command.get_args().next().unwrap_or_default().to_string_lossy();
        bail!("cargo {argument} ended with {status}");
    }
    Ok(())
}
