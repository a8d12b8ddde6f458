//! Passwords, tokens, tickets and certificates: who is let in, who is asked, and what is kept.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use farhold_types::Role;

use crate::desk::{Desk, PASSWORD, TOKEN, USER, assert_nowhere, server};
use crate::site::Site;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Returns a desk that names the user, but neither password nor fingerprint.
fn bare(site: &Site) -> Desk {
    let mut desk = Desk::at(site, USER, "");
    desk.unset("PBS_PASSWORD");
    desk.unset("PBS_FINGERPRINT");
    desk
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_kept_in_a_private_file_until_the_logout() {
    let (site, _) = server().await;
    let mut desk = bare(&site);
    desk.set("PBS_FINGERPRINT", &site.fingerprint());
    let refused = desk.run(&["list"]).await.failed();
    assert!(refused.contains("no password for 'sync@pbs' was given"), "{refused}");
    assert!(refused.contains("hint: set PBS_PASSWORD"), "{refused}");

    desk.typed = Some(vec![PASSWORD]);
    let ran = desk.run(&["login"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    assert!(ran.err.starts_with("Password for \"sync@pbs\": \n"), "{}", ran.err);
    let tickets = desk.folders().tickets().unwrap();
    assert_eq!((mode(&tickets), mode(tickets.parent().unwrap())), (0o600, 0o700));
    assert_nowhere(&desk.path(""), PASSWORD);
    let text = fs::read_to_string(&tickets).unwrap();
    assert!(text.starts_with(&format!("{{\"127.0.0.1:{}\":{{\"sync@pbs\":{{\"timestamp\":", site.port())), "{text}");

    // Nobody is asked now.
    desk.typed = None;
    desk.run(&["list"]).await.ok();
    // A ticket is good for the server that gave it, and for nobody else.
    let mut other = Desk::new();
    other.variables = desk.variables.clone();
    other.set("PBS_REPOSITORY", &format!("other@pbs@127.0.0.1:{}:store1", site.port()));
    assert!(other.run(&["list"]).await.failed().contains("no password for 'other@pbs'"));
    desk.run(&["logout"]).await.ok();
    assert!(desk.run(&["list"]).await.failed().contains("no password for"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_the_server_does_not_take_gives_way_to_the_password() {
    let (site, _) = server().await;
    let mut desk = bare(&site);
    desk.set("PBS_FINGERPRINT", &site.fingerprint());
    desk.typed = Some(vec![PASSWORD]);
    desk.run(&["login"]).await.ok();
    let tickets = desk.folders().tickets().unwrap();
    let forged = fs::read_to_string(&tickets).unwrap().replace("PBS:sync@pbs", "PBS:root@pam");
    fs::write(&tickets, forged).unwrap();
    let ran = desk.run(&["list"]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.err.matches("Password for").count(), 1, "{}", ran.err);
    // The new ticket is in place of the wrong one.
    desk.typed = None;
    desk.run(&["list"]).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_come_from_files_and_commands_and_are_in_no_message() {
    let (site, secret) = server().await;
    let mut desk = Desk::at(&site, TOKEN, "");
    desk.unset("PBS_PASSWORD");
    let missing = desk.run(&["list"]).await.failed();
    assert!(missing.contains("no token secret for 'sync@pbs!t1' was given"), "{missing}");
    let file = desk.file("secret", format!("{secret}\nmore").as_bytes());
    desk.set("PBS_PASSWORD_FILE", &file);
    desk.run(&["list"]).await.ok();
    desk.unset("PBS_PASSWORD_FILE");
    desk.set("PBS_PASSWORD_CMD", &format!("cat '{file}'"));
    desk.run(&["list"]).await.ok();
    desk.unset("PBS_PASSWORD_CMD");
    let credentials = desk.path("credentials");
    fs::create_dir(&credentials).unwrap();
    let repository = desk.variables.remove("PBS_REPOSITORY").unwrap();
    let fingerprint = desk.variables.remove("PBS_FINGERPRINT").unwrap();
    for (name, text) in [("password", &secret), ("repository", &repository), ("fingerprint", &fingerprint)] {
        fs::write(credentials.join(format!("proxmox-backup-client.{name}")), text).unwrap();
    }
    desk.set("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap());
    desk.run(&["list"]).await.ok();

    for (account, wrong) in [(TOKEN, "wrong-token-secret"), (USER, "wrong-password")] {
        let desk = Desk::at(&site, account, wrong);
        let refused = desk.run(&["list"]).await.failed();
        assert!(refused.contains("hint: check user"), "{refused}");
        assert!(!refused.contains(wrong), "{refused}");
        assert_nowhere(&desk.path(""), wrong);
    }
    let token = Desk::at(&site, TOKEN, &secret).run(&["login"]).await.failed();
    assert!(token.contains("'sync@pbs!t1' is an API token, which needs no login"), "{token}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_certificate_is_refused_unless_somebody_accepts_it() {
    let (site, _) = server().await;
    let mut desk = bare(&site);
    desk.set("PBS_PASSWORD", PASSWORD);
    let fingerprint = site.fingerprint();
    let refused = desk.run(&["list"]).await.failed();
    assert!(refused.contains(&fingerprint), "{refused}");
    assert!(refused.contains("hint: compare the fingerprint with the one that 'farhold cert info' shows"), "{refused}");

    desk.typed = Some(vec!["n"]);
    let no = desk.run(&["list"]).await.failed();
    assert!(no.contains(&format!("fingerprint: {fingerprint}\n")) && no.contains("was not accepted"), "{no}");
    assert!(!desk.folders().fingerprints().unwrap().exists());

    // The password is typed once, although the connection is made twice.
    desk.unset("PBS_PASSWORD");
    desk.typed = Some(vec![PASSWORD, "y"]);
    desk.run(&["list"]).await.ok();
    let kept = desk.folders().fingerprints().unwrap();
    assert_eq!(fs::read_to_string(&kept).unwrap(), format!("127.0.0.1:{} {fingerprint}\n", site.port()));
    assert_eq!(mode(&kept), 0o600);
    desk.typed = None;
    desk.run(&["list"]).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_at_a_terminal_is_asked_about_the_certificate_too() {
    let (site, secret) = server().await;
    let mut desk = Desk::at(&site, TOKEN, &secret);
    desk.unset("PBS_FINGERPRINT");
    desk.typed = Some(vec!["y"]);
    desk.run(&["list"]).await.ok();
    desk.typed = Some(vec![]);
    desk.run(&["list"]).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_certificate_than_the_expected_one_is_told_and_not_kept_against_the_environment() {
    let (site, _) = server().await;
    let mut desk = bare(&site);
    desk.set("PBS_PASSWORD", PASSWORD);
    let wrong = ["ab"; 32].join(":");
    desk.set("PBS_FINGERPRINT", &wrong.to_uppercase());
    let refused = desk.run(&["list"]).await.failed();
    assert!(refused.contains(&wrong) && refused.contains(&site.fingerprint()), "{refused}");
    desk.typed = Some(vec!["y"]);
    let ran = desk.run(&["list"]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains(&format!("is not the expected one ({wrong})")), "{}", ran.err);
    assert!(!desk.folders().fingerprints().unwrap().exists());
    desk.set("PBS_FINGERPRINT", "no fingerprint");
    assert!(desk.run(&["list"]).await.failed().contains("'PBS_FINGERPRINT' is wrong"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_account_may_not_do_is_refused_in_the_servers_words() {
    let (site, _) = server().await;
    site.add_user("reader@pbs", PASSWORD);
    site.grant("/datastore/store1", "reader@pbs", Role::DatastoreReader);
    let desk = Desk::at(&site, "reader@pbs", PASSWORD);
    desk.run(&["list"]).await.ok();
    let refused = desk.run(&["namespace", "create", "nope"]).await.failed();
    assert!(refused.starts_with("Error: permission check failed"), "{refused}");
    let disk = desk.file("x.conf", b"x");
    let refused = desk.run(&["backup", &format!("x.conf:{disk}")]).await.failed();
    assert!(refused.contains("permission check failed"), "{refused}");
    // Nothing answers there.
    let mut nowhere = Desk::at(&site, USER, PASSWORD);
    nowhere.set("PBS_REPOSITORY", "sync@pbs@127.0.0.1:1:store1");
    let version = nowhere.run(&["version"]).await;
    assert_eq!(version.code, 0);
    assert!(version.err.starts_with("could not connect to server - "), "{}", version.err);
    assert!(version.out.starts_with("client version: ") && version.out.lines().count() == 1, "{}", version.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn used_repositories_are_offered_for_completion() {
    let (site, secret) = server().await;
    let desk = Desk::at(&site, TOKEN, &secret);
    desk.run(&["list"]).await.ok();
    let line = "client list --repository ";
    let offered = farhold_backup_cli::complete(line, line.len(), &desk.folders()).await;
    assert_eq!(offered, [desk.variables["PBS_REPOSITORY"].clone()]);
}
