//! Mails through a program that is called like sendmail.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use farhold_notify::{DeliveryError, Outside, Sender, TargetKind};

use crate::support::{deliver, event, outside, recipients, sendmail, shown, target};

/// Returns a world with a shell script as mail program. The script finds its folder in `$0`.
fn with_program(folder: &Path, script: &str) -> Outside {
    let program = folder.join("sendmail");
    fs::write(&program, format!("#!/bin/sh\nhere=$(dirname \"$0\")\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    Outside { mail_program: program, ..outside() }
}

const KEEP: &str = "printf '%s\\n' \"$@\" > \"$here/args\"; cat > \"$here/mail\"; env > \"$here/env\"";

#[tokio::test]
async fn the_program_gets_addresses_as_arguments_and_the_mail_at_its_input() {
    let folder = tempfile::tempdir().unwrap();
    let outside = with_program(folder.path(), KEEP);
    let everybody = recipients(&["a@example.org", "root", "a@example.org"], &["root@pam", "nobody@pbs"]);
    deliver(&sendmail(everybody), &outside).await.unwrap();
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read("args"), "-i\n-f\nroot\n--\na@example.org\nroot\nboss@example.org\n");
    let mail = read("mail");
    assert!(!mail.contains('\r'));
    let (head, body) = mail.split_once("\n\n").unwrap();
    assert!(head.contains("From: \"Farhold - vm\" <root@vm.example>\n"), "{head}");
    assert!(head.contains("Subject: Sync with remote 'pbs2', datastore 'nosuch', failed\n"), "{head}");
    assert!(body.contains("client error (Connect)"), "{body}");
    // What the server was started with is not the program's business.
    assert!(!read("env").contains("CARGO"), "{}", read("env"));
}

#[tokio::test]
async fn the_sender_is_the_targets_or_the_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let outside = Outside { email_from: Some("node@example.net".to_owned()), ..with_program(folder.path(), KEEP) };
    let of = |address: Option<&str>| {
        let sender = Sender { address: address.map(str::to_owned), author: Some("Me".to_owned()) };
        target(TargetKind::Sendmail { recipients: recipients(&["a@example.org"], &[]), sender })
    };
    for (address, expected) in [(None, "node@example.net"), (Some("own@example.net"), "own@example.net")] {
        deliver(&of(address), &outside).await.unwrap();
        let mail = fs::read_to_string(folder.path().join("mail")).unwrap();
        assert!(mail.contains(&format!("From: Me <{expected}>\n")), "{mail}");
        assert!(fs::read_to_string(folder.path().join("args")).unwrap().contains(expected));
    }
}

#[tokio::test]
async fn without_an_address_nothing_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let outside = with_program(folder.path(), KEEP);
    let error = deliver(&sendmail(recipients(&[], &["nobody@pbs"])), &outside).await.unwrap_err();
    assert!(matches!(error, DeliveryError::NoRecipient) && error.is_permanent());
    assert!(!folder.path().join("args").exists());
}

#[tokio::test]
async fn a_program_that_fails_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let everybody = || sendmail(recipients(&["a@example.org"], &[]));
    for (script, status, is_permanent) in [
        ("echo queue is full >&2; exit 75", 75, false),
        ("exec >&2; echo; printf 'no\\033[0m such user'; exit 67", 67, true),
        ("kill -9 $$", -1, false),
        ("yes no | head -c 300000 >&2; exit 1", 1, false),
    ] {
        let outside = with_program(folder.path(), script);
        let error = deliver(&everybody(), &outside).await.unwrap_err();
        let DeliveryError::ProgramFailed { status: found, text } = &error else { panic!("{error:?}") };
        assert_eq!((*found, error.is_permanent()), (status, is_permanent), "{script}");
        assert!(text.len() <= 200 && !text.chars().any(char::is_control), "{text}");
    }
    let missing = Outside { mail_program: folder.path().join("other"), ..outside() };
    let error = deliver(&everybody(), &missing).await.unwrap_err();
    assert!(matches!(error, DeliveryError::Program { .. }) && !error.is_permanent(), "{error:?}");
    assert!(shown(&error).contains("other"));
}

#[tokio::test]
async fn a_program_need_not_read_its_mail_nor_close_its_outputs() {
    let folder = tempfile::tempdir().unwrap();
    let outside = with_program(folder.path(), "sleep 300 & exit 0");
    deliver(&sendmail(recipients(&["a@example.org"], &[])), &outside).await.unwrap();
}

#[tokio::test]
async fn a_program_that_hangs_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let outside = with_program(folder.path(), "echo $$ > \"$here/pid\"; exec sleep 300");
    let mail = sendmail(recipients(&["a@example.org"], &[]));
    let attempt = tokio::spawn(async move { deliver(&mail, &outside).await });
    let pid = loop {
        let pid = fs::read_to_string(folder.path().join("pid")).unwrap_or_default();
        if let Ok(pid) = pid.trim().parse::<u32>() {
            break pid;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    // Only now does the clock run ahead to the limit.
    tokio::time::pause();
    let error = attempt.await.unwrap().unwrap_err();
    assert!(matches!(error, DeliveryError::TimedOut { seconds: 30 }) && !error.is_permanent(), "{error:?}");
    tokio::time::resume();
    // It is gone, or about to be: only its parent has still to hear of it.
    let is_gone = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.is_empty() || stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
    };
    while !is_gone() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(event().template, "sync-err");
}
