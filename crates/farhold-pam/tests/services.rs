//! The host's PAM library with service files of our own: nothing of the host's configuration or accounts is touched.
//!
//! Where the library or one of its modules is missing, tests say so and check nothing.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use farhold_pam::{LIBRARY, Pam, PamError, Step};
use farhold_types::Secret;

const PASSWORD: &str = "correct horse 1";

/// PAM with one service that has these lines; `None` if the host has no PAM, or one without such folders.
fn with_service(folder: &Path, lines: &str) -> Option<Pam> {
    std::fs::write(folder.join("farhold-test"), lines).unwrap();
    // The library wants this one too.
    std::fs::write(folder.join("other"), "auth required pam_deny.so\npassword required pam_deny.so\n").unwrap();
    let pam = Pam::of_this_host().with_service(folder, "farhold-test");
    match pam.authenticate("probe", &Secret::new("x"), None) {
        Err(error @ (PamError::NoLibrary { .. } | PamError::NoFunction { .. })) => {
            eprintln!("not run: {error}");
            None
        }
        _ => Some(pam),
    }
}

#[test]
fn a_host_without_the_library_gets_a_clear_message() {
    let pam = Pam::of_this_host().with_library("libpam-of-nobody.so.0");
    let error = pam.authenticate("root", &Secret::new(PASSWORD), None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "this host has no PAM library (libpam-of-nobody.so.0), so passwords of system accounts cannot be checked"
    );
    assert!(matches!(pam.set_password("root", &Secret::new(PASSWORD)), Err(PamError::NoLibrary { .. })));
    // Something that is a library, but not this one.
    let other = Pam::of_this_host().with_library("libc.so.6");
    if let Err(error) = other.authenticate("root", &Secret::new(PASSWORD), None) {
        assert!(error.to_string().contains("PAM library"), "{error}");
    }
    assert_eq!(LIBRARY, "libpam.so.0");
}

#[test]
fn a_service_lets_everybody_in_or_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let permit = "auth required pam_permit.so\npassword required pam_permit.so\n";
    let Some(pam) = with_service(folder.path(), permit) else { return };
    pam.authenticate("anybody", &Secret::new(PASSWORD), None).unwrap();
    pam.set_password("anybody", &Secret::new(PASSWORD)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let Some(pam) = with_service(folder.path(), "auth required pam_deny.so\npassword required pam_deny.so\n") else {
        return;
    };
    let refused = pam.authenticate("anybody", &Secret::new(PASSWORD), None).unwrap_err();
    assert!(matches!(refused, PamError::Refused { step: Step::Authenticate, .. }), "{refused}");
    let refused = pam.set_password("anybody", &Secret::new(PASSWORD)).unwrap_err();
    assert!(matches!(refused, PamError::Refused { step: Step::ChangePassword, .. }), "{refused}");
}

/// A module that really asks: it hands the password to a program, which also sees user and remote host.
#[test]
fn modules_see_user_password_and_remote_host() {
    let folder = tempfile::tempdir().unwrap();
    let (program, seen) = (folder.path().join("check"), folder.path().join("seen"));
    let script = format!(
        "#!/bin/sh\nread -r given\nprintf '%s|%s|%s' \"$PAM_USER\" \"$PAM_RHOST\" \"$PAM_SERVICE\" > {}\n\
         [ \"$given\" = '{PASSWORD}' ]\n",
        seen.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let line = format!("auth required pam_exec.so quiet expose_authtok {}\n", program.display());
    let Some(pam) = with_service(folder.path(), &line) else { return };
    let check =
        |password: &str| pam.authenticate("alice", &Secret::new(password), Some("2001:db8::7".parse().unwrap()));
    if let Err(error) = check(PASSWORD) {
        let has_module = seen.exists();
        assert!(!has_module, "{error}");
        eprintln!("not run: no pam_exec on this host");
        return;
    }
    assert_eq!(std::fs::read_to_string(&seen).unwrap(), "alice|2001:db8::7|farhold-test");
    let refused = check("wrong").unwrap_err();
    assert!(matches!(refused, PamError::Refused { step: Step::Authenticate, .. }), "{refused}");
    assert!(!refused.to_string().contains("wrong"));
}

#[test]
fn texts_that_c_cannot_hold_are_refused_before_pam_sees_them() {
    let folder = tempfile::tempdir().unwrap();
    let Some(pam) = with_service(folder.path(), "auth required pam_permit.so\n") else { return };
    let long = "x".repeat(512);
    for (name, password) in [("", PASSWORD), ("a\0b", PASSWORD), ("a", ""), ("a", "x\0y"), ("a", &long), (&long, "x")] {
        let refused = pam.authenticate(name, &Secret::new(password), None).unwrap_err();
        assert!(matches!(refused, PamError::Text { .. }), "{refused}");
    }
    pam.authenticate("a", &Secret::new("x".repeat(511)), None).unwrap();
}

/// The service file lies elsewhere: the library's fallback service decides, which denies.
#[test]
fn a_service_without_a_file_falls_back_to_other() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_) = with_service(folder.path(), "auth required pam_permit.so\n") else { return };
    let pam = Pam::of_this_host().with_service(folder.path(), "farhold-nowhere");
    assert!(pam.authenticate("a", &Secret::new(PASSWORD), None).is_err());
}

/// Handles are independent: many checks at once.
#[test]
fn checks_run_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let Some(pam) = with_service(folder.path(), "auth required pam_permit.so\n") else { return };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|_| pam.authenticate("a", &Secret::new(PASSWORD), None).unwrap()));
        }
    });
}
