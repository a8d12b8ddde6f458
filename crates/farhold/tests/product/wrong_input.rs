//! Wrong settings, wrong files and full disks: the error says what is wrong, and nothing is lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use farhold_types::Role;

use crate::content::{Content, add_snapshot, assert_no_leftovers, assert_same, assert_tidy, snapshots};
use crate::hostile::{bomb, empty_store};
use crate::peer::{Answer, Peer};
use crate::process::{Process, printed, program};
use crate::scratch::scratch;
use crate::site::{Site, files};

const PASSWORD: &str = "the right password";

/// Runs a pull that must fail, and checks that it changed nothing but logs and job states.
async fn refused(site: &Site, arguments: &[&str], words: &[&str]) {
    let lock = site.store_path("local").join(".lock");
    let own = [site.root().join("log"), site.root().join("run"), site.root().join("lib"), lock];
    let before = files(site.folder(), &own);
    let text = site.run(arguments).await.failed();
    for word in words {
        assert!(text.contains(word), "{arguments:?}: '{word}' is missing in:\n{text}");
    }
    for secret in [PASSWORD, "wrong password"] {
        assert!(!text.contains(secret), "{arguments:?} shows a secret:\n{text}");
    }
    assert!(files(site.folder(), &own) == before, "{arguments:?} changed something");
    site.run(&["remote", "list"]).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_remotes_accounts_and_names_are_told_apart() {
    let mut first = Site::new();
    first.add_store("local");
    let snapshot = [("a.conf.blob", Content::Blob(b"x"))];
    add_snapshot(&first.store("local"), "", "host/one/2026-01-01T10:00:00Z", &snapshot);
    first.add_user("sync@pbs", PASSWORD);
    first.add_user("nobody@pbs", PASSWORD);
    first.add_token("sync@pbs!t1");
    first.grant("/datastore/local", "sync@pbs", Role::DatastoreReader);
    first.listen().await;
    let (port, right) = (first.port(), first.fingerprint());
    let wrong = right.chars().rev().collect::<String>();
    let site = Site::new();
    site.add_store("local");
    // A port that nobody listens on: it was free a moment ago.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let remotes = [
        ("good", "127.0.0.1", &port, "sync@pbs", PASSWORD, Some(&right)),
        ("fingerprint", "127.0.0.1", &port, "sync@pbs", PASSWORD, Some(&wrong)),
        ("unpinned", "127.0.0.1", &port, "sync@pbs", PASSWORD, None),
        ("password", "127.0.0.1", &port, "sync@pbs", "wrong password", Some(&right)),
        ("token", "127.0.0.1", &port, "sync@pbs!t1", "wrong password", Some(&right)),
        ("user", "127.0.0.1", &port, "who@pbs", PASSWORD, Some(&right)),
        ("rights", "127.0.0.1", &port, "nobody@pbs", PASSWORD, Some(&right)),
        ("closed", "127.0.0.1", &closed, "sync@pbs", PASSWORD, Some(&right)),
        ("host", "no-such-host.invalid", &port, "sync@pbs", PASSWORD, Some(&right)),
    ];
    for (name, host, port, account, password, fingerprint) in remotes {
        let mut command = vec!["remote", "create", name, "--host", host, "--port", port, "--auth-id", account];
        command.extend(["--password", password]);
        command.extend(fingerprint.iter().flat_map(|fingerprint| ["--fingerprint", fingerprint.as_str()]));
        site.run(&command).await.ok();
    }
    let pull = |remote| ["pull", remote, "local", "local"];
    refused(&site, &pull("fingerprint"), &[&right, &wrong, "127.0.0.1"]).await;
    refused(&site, &pull("unpinned"), &[&right, "not trusted"]).await;
    refused(&site, &pull("password"), &["127.0.0.1", "refused the login of 'sync@pbs'"]).await;
    refused(&site, &pull("token"), &["401"]).await;
    refused(&site, &pull("user"), &["refused the login of 'who@pbs'"]).await;
    refused(&site, &pull("rights"), &["/admin/datastore/local"]).await;
    refused(&site, &["pull", "nosuch", "local", "local"], &["nosuch"]).await;
    refused(&site, &["pull", "good", "nosuch", "local"], &["nosuch"]).await;
    refused(&site, &["pull", "good", "local", "nosuch"], &["nosuch"]).await;
    refused(&site, &["pull", "good", "local", "local", "--remote-ns", "no/such"], &["no/such"]).await;
    refused(&site, &["pull", "good", "local", "local", "--ns", "../x"], &["ns"]).await;
    refused(&site, &["pull", "good", "local", "local", "--group-filter", "regex:("], &["group-filter"]).await;
    refused(&site, &["pull", "good", "local", "local", "--max-depth", "8"], &["max-depth"]).await;
    refused(&site, &pull("closed"), &["cannot connect to 127.0.0.1"]).await;
    refused(&site, &pull("host"), &["no-such-host.invalid"]).await;
    // And with everything right it works.
    site.run(&pull("good")).await.ok();
    assert_same(&first.store_path("local"), &site.store_path("local"));
}

/// One malformed input of each class of `docs/spec/config-and-access.md` 8: file, content, what the error names.
const MALFORMED: &[(&str, &str, &[&str])] = &[
    ("remote.cfg", "# my remotes\n", &["remote.cfg", "line 1"]),
    ("remote.cfg", "\thost a.example\n", &["remote.cfg", "line 1"]),
    ("remote.cfg", "remote: pbs2\n\thost a.example\nremote: pbs3\n", &["remote.cfg", "line 3"]),
    ("remote.cfg", "remote: pbs2\n\thost a.example\n\tfoo bar\n", &["remote.cfg", "line 3", "foo"]),
    ("remote.cfg", "remote: pbs2\n\thost a.example\n\thost b.example\n", &["remote.cfg", "line 3", "host"]),
    ("remote.cfg", "remote: pbs2\n\thost a.example\n\tauth-id sync@pbs\n", &["remote.cfg", "password"]),
    (
        "remote.cfg",
        "remote: pbs2\n\thost my_host\n\tauth-id sync@pbs\n\tpassword eA==\n",
        &["remote.cfg", "line 2", "host"],
    ),
    ("remote.cfg", "remote: p!\n\thost a.example\n", &["remote.cfg", "line 1"]),
    ("remote.cfg", "Remote: pbs2\n\thost a.example\n", &["remote.cfg", "line 1", "Remote"]),
    (
        "sync.cfg",
        "sync: j01\n\tstore local\n\tremote-store local\n\tmax-depth 8\n",
        &["sync.cfg", "line 4", "max-depth"],
    ),
    (
        "sync.cfg",
        "sync: j01\n\tstore local\n\tremote-store local\n\tschedule every tuesday\n",
        &["sync.cfg", "line 4", "schedule"],
    ),
    (
        "sync.cfg",
        "sync: j01\n\tstore local\n\tremote-store local\n\trate-in fast\n",
        &["sync.cfg", "line 4", "rate-in"],
    ),
    (
        "sync.cfg",
        "sync: j01\n\tstore local\n\tremote-store local\n\tgroup-filter vm/100\n",
        &["sync.cfg", "line 4", "group-filter"],
    ),
    ("sync.cfg", "sync: j01\n\tstore local\n", &["sync.cfg", "remote-store"]),
    ("sync.cfg", "sync: ab\n\tstore local\n\tremote-store local\n", &["sync.cfg", "line 1"]),
    ("datastore.cfg", "datastore: local\n\tpath /x\n\ttuning foo=1\n", &["datastore.cfg", "line 3", "tuning"]),
    ("datastore.cfg", "datastore: local\n\tcomment x\n", &["datastore.cfg", "path"]),
    ("user.cfg", "user: john\n", &["user.cfg", "line 1"]),
    ("user.cfg", "user: john@pbs\n\texpire -5\n", &["user.cfg", "line 2", "expire"]),
    ("acl.cfg", "acl:1:/:john@pbs:Administrator\n", &["acl.cfg", "line 1"]),
    ("acl.cfg", "# comment\n", &["acl.cfg", "line 1"]),
];

fn command_for(file: &str) -> &'static [&'static str] {
    match file {
        "remote.cfg" => &["remote", "list"],
        "sync.cfg" => &["sync-job", "list"],
        "datastore.cfg" => &["pull", "good", "local", "local"],
        "user.cfg" | "acl.cfg" => &["pull", "good", "local", "local"],
        other => panic!("no command reads {other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_configuration_is_refused_by_file_line_and_key_and_never_rewritten() {
    let site = Site::new();
    site.add_store("local");
    let create = ["remote", "create", "good", "--host", "127.0.0.1", "--auth-id", "a@pbs!t1", "--password", "secret-1"];
    site.run(&create).await.ok();
    let etc = site.root().join("etc");
    for (file, content, words) in MALFORMED {
        let path = etc.join(file);
        let before = fs::read(&path).ok();
        fs::write(&path, content).unwrap();
        let text = site.run(command_for(file)).await.failed();
        for word in *words {
            assert!(text.contains(word), "{file} {content:?}: '{word}' is missing in:\n{text}");
        }
        if *file == "remote.cfg" {
            site.run(&["remote", "create", "more", "--host", "b.example", "--auth-id", "a@pbs", "--password", "x"])
                .await
                .failed();
        }
        if *file == "sync.cfg" {
            site.run(&["sync-job", "create", "more", "--store", "local", "--remote-store", "x", "--remote", "good"])
                .await
                .failed();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), *content, "{file} was rewritten");
        match before {
            Some(before) => fs::write(&path, before).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        site.run(&["remote", "list"]).await.ok();
    }
    for (bytes, file) in
        [(&b"remote: pbs2\n\thost \xff\n"[..], "remote.cfg"), (b"\xef\xbb\xbfremote: pbs2\n", "remote.cfg")]
    {
        fs::write(etc.join(file), bytes).unwrap();
        let text = site.run(command_for(file)).await.failed();
        assert!(text.contains(file), "{text}");
        assert_eq!(fs::read(etc.join(file)).unwrap(), bytes);
    }
}

/// A remote with a snapshot that fits into little space and one that does not.
async fn large_source() -> (Peer, std::net::SocketAddr, tempfile::TempDir) {
    let folder = scratch();
    let store = empty_store(&folder.path().join("source"));
    add_snapshot(&store, "", "host/a/2026-01-01T10:00:00Z", &[("root.pxar.didx", Content::Chunks(&[1, 2], 30_000))]);
    let seeds: Vec<u64> = (10..30).collect();
    add_snapshot(&store, "", "vm/1/2026-01-01T10:00:00Z", &[("drive.img.fidx", Content::Chunks(&seeds, 1 << 20))]);
    let peer = Peer::new(store);
    let address = peer.listen().await;
    (peer, address, folder)
}

async fn add_job(site: &Site, peer: &Peer, address: std::net::SocketAddr) {
    let (port, fingerprint) = (address.port().to_string(), peer.fingerprint().to_string());
    let create = ["remote", "create", "pbs2", "--host", "127.0.0.1", "--port", &port, "--auth-id", "sync@pbs!t1"];
    let secret = ["--password", "any-secret", "--fingerprint", &fingerprint];
    site.run(&[&create[..], &secret[..]].concat()).await.ok();
    let job = ["sync-job", "create", "pbs2-local", "--remote", "pbs2", "--remote-store", "tank", "--store", "local"];
    site.run(&job).await.ok();
}

/// A file system of its own with little space, where the kernel lets us have one.
struct Small(PathBuf);

impl Small {
    fn mount(path: &Path) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"]).arg(path);
        let is_mounted = command.output().is_ok_and(|output| output.status.success());
        is_mounted.then(|| Self(path.to_owned()))
    }

    fn grow(&self) {
        let mut command = Command::new("mount");
        let output = command.args(["-o", "remount,size=200m"]).arg(&self.0).output().unwrap();
        assert!(output.status.success(), "{}", printed(&output));
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_named_and_the_next_run_with_space_completes() {
    let (peer, address, folder) = large_source().await;
    let site = Site::new();
    let path = site.store_path("local");
    let small = Small::mount(&path);
    let store = site.add_store("local");
    add_job(&site, &peer, address).await;
    let run = ["sync-job", "run", "pbs2-local"];
    let text = match &small {
        Some(_) => site.run(&run).await.failed(),
        None => {
            // Without the right to mount, files that may not grow stand in: the kernel refuses a write half way too.
            let mut command = Command::new("sh");
            command.arg("-c").arg("trap '' XFSZ; ulimit -f 1000; exec \"$@\"").arg("sh");
            let inner = program(&site.root(), &run);
            command.arg(inner.get_program()).args(inner.get_args());
            let output = command.output().unwrap();
            assert!(!output.status.success());
            printed(&output)
        }
    };
    let named = ["No space left on device", "File too large"];
    assert!(named.iter().any(|name| text.contains(name)) && text.contains("vm/1"), "{text}");
    let source = folder.path().join("source");
    assert_no_leftovers(&store);
    let finished = snapshots(&store);
    assert!(finished.contains_key("host/a/2026-01-01T10:00:00Z/index.json.blob"), "what fits is there");
    assert!(!finished.contains_key("vm/1/2026-01-01T10:00:00Z/index.json.blob"));
    let original = snapshots(&source);
    assert!(finished.iter().all(|(path, content)| original[path] == *content));
    if let Some(small) = &small {
        small.grow();
    }
    site.run(&run).await.ok();
    assert_same(&source, &store);
}

/// Runs the job in a process of its own; returns what it printed and the most memory it used, in MiB.
fn measured(site: &Site) -> (String, u64) {
    let mut process = Process::spawn(program(&site.root(), &["sync-job", "run", "pbs2-local"]));
    let (out, err) = (process.0.stdout.take().unwrap(), process.0.stderr.take().unwrap());
    let readers = [
        std::thread::spawn(move || std::io::read_to_string(out).unwrap()),
        std::thread::spawn(move || std::io::read_to_string(err).unwrap()),
    ];
    let mut most = 0;
    while process.0.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", process.0.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        most = most.max(kib.unwrap_or(0) / 1024);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    (readers.map(|reader| reader.join().unwrap()).concat(), most)
}

fn million(item: impl Fn(u32) -> String) -> Answer {
    let items: Vec<String> = (0..1_000_000).map(item).collect();
    Answer::bytes(format!("{{\"data\":[{}]}}", items.join(",")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_stays_bounded_whatever_a_peer_sends() {
    let (peer, address, folder) = large_source().await;
    type Lies = fn(&crate::peer::Ask) -> Option<Answer>;
    let cases: &[(&str, Lies, u64, &[&str])] = &[
        ("endless listing", |ask| ask.lists("groups").then_some(Answer::Endless), 700, &["larger than"]),
        (
            "a million wrong groups",
            |ask| ask.lists("groups").then(|| million(|_| "{\"x\":1}".to_owned())),
            700,
            &["more"],
        ),
        ("endless manifest", |ask| ask.is_file("index.json.blob").then_some(Answer::Endless), 150, &["larger than"]),
        (
            "inflating manifest",
            |ask| ask.is_file("index.json.blob").then(|| Answer::bytes(bomb(1 << 30))),
            150,
            &["larger than"],
        ),
        ("inflating chunks", |ask| ask.is_chunk().then(|| Answer::bytes(bomb(256 << 20))), 150, &["larger than"]),
    ];
    for (name, lie, limit_mib, words) in cases.iter().copied() {
        let site = Site::new();
        let store = site.add_store("local");
        add_job(&site, &peer, address).await;
        peer.lie(move |ask, _| lie(ask));
        let (text, most) = measured(&site);
        peer.be_honest();
        assert!(most != 0 && most < limit_mib, "{name}: {most} MiB");
        for word in words {
            assert!(text.contains(word), "{name}: {text}");
        }
        assert_tidy(&store);
        site.run(&["sync-job", "run", "pbs2-local"]).await.ok();
        assert_same(&folder.path().join("source"), &store);
    }
}
