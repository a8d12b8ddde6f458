//! Who is told how a sync job ended: over the wire to a listener, or by mail in legacy mode.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use farhold_testkit::relay::Faults;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::content::{Content, add_snapshot, snapshots};
use crate::pair::{Account, Pair, add_disk, until};

/// A listener that keeps the paths it is called at.
struct Listener {
    port: u16,
    called: Arc<Mutex<Vec<String>>>,
}

impl Listener {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, called) = (listener.local_addr().unwrap().port(), Arc::default());
        let kept: Arc<Mutex<Vec<String>>> = Arc::clone(&called);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                    if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                let request = String::from_utf8_lossy(&request);
                kept.lock().unwrap().extend(request.split(' ').nth(1).map(str::to_owned));
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { port, called }
    }

    fn calls(&self, start: &str) -> Vec<String> {
        let called = self.called.lock().unwrap();
        called.iter().filter(|path| path.starts_with(start)).cloned().collect()
    }
}

fn one_machine(store: &farhold_datastore::Datastore) {
    let conf = || ("qemu-server.conf.blob", Content::Blob(b"cores: 1"));
    add_snapshot(store, "", "vm/1/2026-01-01T10:00:00Z", &[conf()]);
    store.create_namespace(&"a".parse().unwrap()).unwrap();
    add_snapshot(store, "a", "vm/3/2026-01-01T10:00:00Z", &[conf()]);
}

async fn break_remote(pair: &Pair) {
    pair.target.run(&["remote", "update", "pbs2", "--fingerprint", &["00"; 32].join(":")]).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_101_every_end_of_a_run_is_told_exactly_once() {
    let mut pair = Pair::new(Account::Token, one_machine).await;
    let listener = Listener::start().await;
    let port = listener.port;
    let settings = format!(
        "matcher: default-matcher\n\tdisable true\n\nmatcher: all\n\ttarget hook\n\nwebhook: hook\n\tmethod get\n\turl \
         http://127.0.0.1:{port}/told/{{{{severity}}}}/{{{{fields.type}}}}/{{{{fields.datastore}}}}/{{{{fields.job-id}}}}\n"
    );
    std::fs::write(pair.target.root().join("etc/notifications.cfg"), settings).unwrap();
    let [well, badly] = ["well", "badly"].map(|how| format!("http://127.0.0.1:{port}/ping/{how}"));
    let options = ["job-options", "update", "sync", "pull", "--ping-success", &well, "--ping-failure", &badly];
    pair.target.run(&options).await.ok();
    pair.target.run(&["sync-job", "update", "pull", "--remove-vanished", "true"]).await.ok();
    pair.target.listen().await;
    let mut told = Vec::new();
    let mut pinged = Vec::new();
    let expect = async |severity: &str, how: &str, told: &mut Vec<String>, pinged: &mut Vec<String>| {
        told.push(format!("/told/{severity}/sync/local/pull"));
        pinged.push(format!("/ping/{how}"));
        until("the run is told", || told.len() <= listener.calls("/told/").len()).await;
        until("the run is pinged", || pinged.len() <= listener.calls("/ping/").len()).await;
    };

    let log = pair.pull().await.ok();
    assert!(log.contains("queued notification (id=") && log.contains("TASK OK"), "{log}");
    expect("info", "well", &mut told, &mut pinged).await;

    // The account sees a namespace no more: a warning, and still a success.
    pair.source.grant("/datastore/tank/a", "sync@pbs", farhold_types::Role::NoAccess);
    let log = pair.pull().await;
    let log = format!("{}{}", log.out, log.err);
    assert!(log.contains("TASK WARNINGS: "), "{log}");
    expect("info", "well", &mut told, &mut pinged).await;

    let good = pair.source.fingerprint();
    break_remote(&pair).await;
    pair.pull().await.failed();
    expect("error", "badly", &mut told, &mut pinged).await;

    pair.target.run(&["remote", "update", "pbs2", "--fingerprint", &good]).await.ok();
    add_disk(&pair.source.store("tank"), "vm/2/2026-01-01T10:00:00Z", 32);
    let started = pair.target.run(&["sync-job", "run", "pull", "--output-format", "json"]).await.ok();
    let upid: String = serde_json::from_str(&started).unwrap();
    pair.carried(4 << 20).await;
    pair.relay.set_faults(Faults { stalls_down: true, ..Faults::NONE });
    pair.target.run(&["task", "stop", &upid]).await.ok();
    expect("error", "badly", &mut told, &mut pinged).await;

    // Whatever were told twice would have come by now: what waits is looked at every few seconds.
    let waiting = || {
        let counts = pair.target.app.notifications.counts();
        counts.events + counts.deliveries
    };
    until("nothing waits", || waiting() == 0).await;
    assert_eq!(listener.calls("/told/"), told);
    assert_eq!(listener.calls("/ping/"), pinged);
    assert_eq!(pair.target.app.notifications.counts().delivered, 8);
}

/// Lets failures of sync jobs be mailed by a program that keeps the mails in the returned file.
async fn mail_failures(pair: &Pair) -> PathBuf {
    let root = pair.target.root();
    let mails = root.join("mails");
    let program = root.join("run/sendmail");
    std::fs::write(&program, format!("#!/bin/sh\ncat >> {0}\necho >> {0}\necho END >> {0}\n", mails.display()))
        .unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mode = ["--notification-mode", "legacy-sendmail", "--notify", "sync=error"];
    pair.target.run(&[&["datastore", "update", "local"][..], &mode].concat()).await.ok();
    mails
}

/// Returns the one mail that was sent, after everything that waited was.
async fn only_mail(pair: &Pair, mails: &Path) -> String {
    let app = &pair.target.app;
    until("the mail is sent", || 0 < app.notifications.counts().delivered).await;
    until("nothing waits", || app.notifications.counts().deliveries == 0).await;
    let text = std::fs::read_to_string(mails).unwrap();
    assert_eq!(text.matches("\nEND\n").count(), 1, "{text}");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_9_a_wrong_token_secret_is_told_in_the_notification() {
    let mut pair = Pair::new(Account::Token, one_machine).await;
    let mails = mail_failures(&pair).await;
    pair.target.run(&["user", "update", "root@pam", "--email", "root@example.org"]).await.ok();
    pair.target.run(&["remote", "update", "pbs2", "--password", "a wrong secret"]).await.ok();
    let text = pair.pull().await.failed();
    assert!(text.contains("TASK ERROR: ") && text.contains("status 401"), "{text}");
    pair.target.listen().await;
    let text = only_mail(&pair, &mails).await;
    assert!(text.contains("root@example.org") && text.contains("status 401"), "{text}");
    assert!(!text.contains("a wrong secret"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_45_a_corrupt_chunk_is_the_tasks_error_and_is_told_in_the_notification() {
    let mut pair = Pair::new(Account::Token, one_machine).await;
    let mails = mail_failures(&pair).await;
    pair.target.run(&["user", "update", "root@pam", "--email", "root@example.org"]).await.ok();
    add_snapshot(
        &pair.source.store("tank"),
        "",
        "vm/2/2026-01-01T10:00:00Z",
        &[("drive-scsi0.img.fidx", Content::Chunks(&[7], 4096))],
    );
    let folders = std::fs::read_dir(pair.source_store().join(".chunks")).unwrap().flatten();
    let folders = folders.filter(|folder| folder.file_name().len() == 4);
    let chunks: Vec<_> = folders.flat_map(|folder| std::fs::read_dir(folder.path()).unwrap().flatten()).collect();
    for chunk in &chunks {
        let mut content = std::fs::read(chunk.path()).unwrap();
        *content.last_mut().unwrap() ^= 1;
        std::fs::write(chunk.path(), content).unwrap();
    }
    assert_eq!(chunks.len(), 1);
    let text = pair.pull().await.failed();
    let error = text.lines().find(|line| line.contains("TASK ERROR: ")).unwrap_or_default();
    assert!(error.contains("sync failed with some errors"), "{text}");
    let copied: Vec<_> = snapshots(&pair.target_store()).into_keys().collect();
    assert!(!copied.is_empty() && !copied.iter().any(|path| path.starts_with("vm/2/")), "{copied:?}");
    pair.target.listen().await;
    let text = only_mail(&pair, &mails).await;
    assert!(text.contains("vm/2") && text.contains("sync failed with some errors"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_101_in_legacy_mode_only_what_the_level_says_is_mailed() {
    let mut pair = Pair::new(Account::Token, one_machine).await;
    let mails = mail_failures(&pair).await;
    let good = pair.source.fingerprint();

    // Without an address nobody is told, and the log says nothing of it.
    break_remote(&pair).await;
    let log = pair.pull().await.failed();
    assert!(!log.contains("queued notification"), "{log}");
    pair.target.run(&["user", "update", "root@pam", "--email", "root@example.org"]).await.ok();
    pair.target.run(&["remote", "update", "pbs2", "--fingerprint", &good]).await.ok();
    let log = pair.pull().await.ok();
    assert!(!log.contains("queued notification"), "{log}");
    break_remote(&pair).await;
    let log = pair.pull().await;
    assert!(format!("{}{}", log.out, log.err).contains("queued notification (id="), "{} {}", log.out, log.err);

    // No daemon ran so far; it sends what waits.
    assert!(!mails.exists());
    pair.target.listen().await;
    let text = only_mail(&pair, &mails).await;
    for part in ["root@example.org", "pbs2", "certificate"] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_made_on_the_command_line_can_be_tried_there() {
    let pair = Pair::new(Account::Token, one_machine).await;
    let listener = Listener::start().await;
    let url = format!("http://127.0.0.1:{}/told/{{{{url-encode title}}}}", listener.port);
    let create = ["notification", "endpoint", "webhook", "create", "hook", "--method", "get", "--url"];
    let refused = pair.target.run(&[&create[..], &["nonsense"]].concat()).await.failed();
    assert!(refused.contains("must begin with http:// or https://"), "{refused}");
    pair.target.run(&[&create[..], &[&url]].concat()).await.ok();
    pair.target.run(&["notification", "target", "test", "hook"]).await.ok();
    assert_eq!(listener.calls("/told/"), ["/told/Test%20of%20a%20notification%20target"]);
    // Nobody listens any more where nobody ever listened.
    pair.target
        .run(&["notification", "endpoint", "webhook", "update", "hook", "--url", "http://127.0.0.1:1"])
        .await
        .ok();
    let failed = pair.target.run(&["notification", "target", "test", "hook"]).await.failed();
    assert!(failed.contains("no connection"), "{failed}");
}
