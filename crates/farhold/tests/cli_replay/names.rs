//! The program itself, called by the names that scripts know.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use crate::scratch::scratch;

/// Runs the program by a name, with files of its own and nothing of the environment.
fn run(folder: &Path, name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let program = folder.join(name);
    if !program.exists() {
        symlink(env!("CARGO_BIN_EXE_farhold"), &program).unwrap();
    }
    let mut command = Command::new(program);
    command.env_clear().env("FARHOLD_ROOT", folder.join("root")).env("HOME", folder).env("LANG", "C.UTF-8");
    command.args(arguments).envs(variables.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_program_is_what_its_name_says() {
    let folder = scratch();
    let run =
        |name: &str, arguments: &[&str], variables: &[(&str, &str)]| run(folder.path(), name, arguments, variables);
    let client = run("proxmox-backup-client", &["version"], &[]);
    assert!(text(&client.stdout).starts_with("client version: "), "{client:?}");
    let client = run("proxmox-backup-client", &["nosuch"], &[]);
    assert_eq!(client.status.code(), Some(255));
    assert!(text(&client.stderr).contains("\nproxmox-backup-client backup "), "{client:?}");
    let line = [("COMP_LINE", "proxmox-backup-client snapshot f"), ("COMP_POINT", "32")];
    assert_eq!(text(&run("proxmox-backup-client", &["bashcomplete"], &line).stdout), "files\nforget\n");
    assert!(!folder.path().join("root").exists(), "a client sets up no server");

    let line = [("COMP_LINE", "proxmox-backup-manager rem sh"), ("COMP_POINT", "29")];
    assert_eq!(text(&run("proxmox-backup-manager", &["bashcomplete"], &line).stdout), "show\n");
    let line = [("COMP_LINE", "farhold client snapshot f"), ("COMP_POINT", "25")];
    assert_eq!(text(&run("farhold", &["bashcomplete"], &line).stdout), "files\nforget\n");
    assert!(!folder.path().join("root").exists(), "completing sets up no server");
    let manager = run("proxmox-backup-manager", &["remote", "show"], &[]);
    assert_eq!(manager.status.code(), Some(255));
    assert!(text(&manager.stderr).contains("\nUsage: proxmox-backup-manager remote show <name> [OPTIONS]\n"));
    let script = run("farhold", &["completion", "bash"], &[]);
    assert!(text(&script.stdout).contains("complete -o default -F __farhold_complete farhold\n"), "{script:?}");
    let page = run("farhold", &["client", "printdoc", "--man"], &[]);
    assert!(text(&page.stdout).starts_with(".TH \"FARHOLD\\-CLIENT\" \"1\""), "{page:?}");
}
