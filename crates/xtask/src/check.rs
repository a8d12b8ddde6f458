//! The checks that every change passes, run one after the other. All run even if one fails.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use crate::{layers, ui};

/// What a step of `check` does.
enum Step {
    /// Runs cargo with these arguments.
    Cargo(&'static [&'static str]),
    /// Compares the manifests with the layer table.
    Layers,
    /// Builds the web interface, if that can be done here.
    WebInterface,
}

/// Steps of `check`, in order. The interface is built before what it is embedded in.
const STEPS: [(&str, Step); 6] = [
    ("format", Step::Cargo(&["fmt", "--all", "--check"])),
    ("layers", Step::Layers),
    ("web interface", Step::WebInterface),
    ("lints", Step::Cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])),
    ("tests", Step::Cargo(&["test", "--workspace", "--locked", "--no-fail-fast"])),
    ("licences, bans, sources", Step::Cargo(&["deny", "check", "licenses", "bans", "sources"])),
];

/// Runs every check on the workspace at `root`.
///
/// # Errors
/// Names the checks that failed, after all have run.
pub fn check(root: &Path) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for (name, step) in STEPS {
        let outcome = match step {
            Step::Cargo(arguments) => {
                println!("==> {name}: cargo {}", arguments.join(" "));
                cargo(root, arguments)
            }
            Step::Layers => {
                println!("==> {name}");
                check_layers(root)
            }
            Step::WebInterface => {
                println!("==> {name}");
                build_web_interface(root)
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

/// Builds the web interface. Where that is not possible it says so and goes on, unless `FARHOLD_UI=required` asks for it.
fn build_web_interface(root: &Path) -> anyhow::Result<()> {
    match ui::what_is_missing() {
        Some(missing) if std::env::var_os("FARHOLD_UI").is_none_or(|value| value != "required") => {
            println!("not built, and not checked: {missing}");
            Ok(())
        }
        _ => ui::build(root),
    }
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

/// Runs cargo with these arguments.
pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    run(Command::new(cargo_program()).args(arguments).current_dir(root))
}

/// Runs a command that has to succeed.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_owned();
    let status = command.status().with_context(|| format!("failed to run {}", program.display()))?;
    if !status.success() {
        let name = Path::new(&program).file_stem().unwrap_or_default().to_string_lossy();
        let argument = command.get_args().next().unwrap_or_default().to_string_lossy();
        bail!("{name} {argument} ended with {status}");
    }
    Ok(())
}
