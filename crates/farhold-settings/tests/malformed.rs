//! The table of malformed inputs, row by row. Source: `docs/spec/config-and-access.md` 8; the numbers are its rows.

#![allow(clippy::unwrap_used, reason = "tests")]

use farhold_format::config_error::ConfigTextErrorKind as K;
use farhold_settings::{
    Acl, ConfigFile, Datastores, Document, Entries, MaintenanceType, MetricServers, NodeConfig, NotificationSecrets,
    Notifications, PasswordHashes, Realms, Remotes, SettingsError, SyncJobs, TokenHashes, TrafficRules, Users,
    VerifyJobs,
};

/// Returns the class letter of what happens to a file when all its sections are used.
fn class<F: ConfigFile>(text: impl AsRef<[u8]>) -> &'static str {
    match Entries::<F>::parse(Some(text.as_ref())) {
        Ok(entries) => match entries.all() {
            Ok(_) => "OK",
            Err(SettingsError::Field(error)) => {
                assert_eq!(error.file, F::FILE);
                assert!(!error.section.is_empty() && !error.key.is_empty(), "{error}");
                "2"
            }
            Err(other) => panic!("{other}"),
        },
        Err(SettingsError::Text(error)) => {
            assert_eq!(error.file, F::FILE);
            assert!(error.line != 0 || error.kind == K::NotUtf8, "an error of a text has a line: {error}");
            assert!(error.to_string().starts_with(&place(F::FILE, error.line)), "{error}");
            letter(&error.kind)
        }
        Err(other) => panic!("{other}"),
    }
}

/// How an error text begins.
fn place(file: &str, line: usize) -> String {
    if line == 0 { file.to_owned() } else { format!("{file} line {line}") }
}

fn letter(kind: &K) -> &'static str {
    match kind {
        K::HeaderExpected => "H",
        K::PropertyExpected => "P",
        K::UnknownType { .. } => "T",
        K::BadId { .. } => "I",
        K::UnknownKey { .. } => "K",
        K::DuplicateKey { .. } => "D",
        K::MissingKey { .. } => "M",
        K::BadValue { .. } | K::KeyValueExpected => "V",
        K::PropertyString { .. } => "S",
        K::NotUtf8 | K::TooLarge { .. } => "U",
        K::AclLine { .. } => "A",
        other => panic!("{other}"),
    }
}

#[track_caller]
fn rows<F: ConfigFile>(rows: &[(&str, &str, String)]) {
    for (number, expected, text) in rows {
        assert_eq!(class::<F>(text), *expected, "row {number}: {text:?}");
    }
}

/// A sync job with further lines.
fn sync(lines: &str) -> String {
    format!("sync: j01\n\tstore local1\n\tremote-store vault\n\tremote r01\n{lines}\n")
}

/// A remote with further lines in place of those with the same key.
fn remote(lines: &str) -> String {
    let mut text = "remote: r01\n".to_owned();
    for (key, value) in [("host", "a.example"), ("auth-id", "sync@pbs"), ("password", "eA==")] {
        if !lines.contains(&format!("\t{key} ")) {
            text.push_str(&format!("\t{key} {value}\n"));
        }
    }
    text + lines + "\n"
}

fn datastore(lines: &str) -> String {
    format!("datastore: s01\n\tpath /s01\n{lines}\n")
}

#[test]
fn structure_of_files() {
    rows::<Remotes>(&[
        ("1", "H", format!("# my remotes\n{}", remote(""))),
        ("2", "H", "\thost a.example\n".into()),
        ("3", "P", format!("{}{}", remote("").trim_end(), "\nremote: r02\n\thost x\n")),
        ("4", "M", "remote: r01\n\thost a.example\n\n\tauth-id sync@pbs\n\tpassword eA==\n".into()),
        ("4", "H", format!("{}\n\tcomment late\n", remote(""))),
        ("5", "P", "remote: r01\nhost a.example\n".into()),
        ("6", "K", remote("\t# note")),
        ("7", "P", remote("\tcomment")),
        ("8", "OK", remote("\tcomment ")),
        ("17", "K", remote("\tfoo bar")),
        ("20", "M", "remote: r01\n\thost a.example\n\tauth-id sync@pbs\n".into()),
        ("50", "OK", format!("{}\n{}", remote(""), remote("\tport 1"))),
        ("51", "H", format!("\u{feff}{}", remote(""))),
        ("52", "OK", remote("\tcomment a\u{85}b")),
    ]);
    let mut bytes = remote("").into_bytes();
    bytes.push(0xff);
    assert_eq!(class::<Remotes>(bytes), "U", "row 51");
    rows::<SyncJobs>(&[
        ("9", "H", "sync pull-nightly\n\tstore x01\n".into()),
        ("10", "H", " sync: x1y\n".into()),
        ("11", "H", "1sync: abc\n".into()),
        ("12", "T", "Sync: abc\n".into()),
        ("14", "I", "sync: ab\n".into()),
        ("14", "I", "sync: -abc\n".into()),
        ("14", "I", format!("sync: {}\n", "a".repeat(33))),
        ("14", "I", "sync:\n".into()),
        ("15", "I", "sync: a/b1\n".into()),
        ("16", "K", sync("\tStore local1")),
        ("18", "D", sync("\tschedule daily\n\tschedule daily")),
        ("19", "OK", sync("\tgroup-filter type:vm\n\tgroup-filter type:ct")),
        ("20", "M", "sync: j01\n\tstore local1\n".into()),
        ("50b", "OK", format!("{} \t\n{}", sync(""), sync("").replace("j01", "j02"))),
        ("50b", "OK", sync("\u{a0}comment x").replace('\n', "\r\n").trim_end().to_owned()),
        ("50b", "OK", sync("").replace("sync: j01", "sync:j01")),
    ]);
    rows::<VerifyJobs>(&[("13", "T", "verify: abc\n\tstore local1\n".into())]);
    rows::<TrafficRules>(&[
        ("21", "M", "rule: abc\n\tcomment x\n".into()),
        ("38", "V", "rule: abc\n\tnetwork 10.0.0.0/8\n\ttimeframe 18:00-8:00\n".into()),
        ("38", "V", "rule: abc\n\tnetwork 10.0.0.0/8\n\ttimeframe 8-24\n".into()),
        ("39", "V", "rule: abc\n\tnetwork 10.0.0.0\n".into()),
        ("40", "OK", "rule: abc\n\tnetwork 10.0.0.0/99\n".into()),
    ]);
    rows::<farhold_settings::PruneJobs>(&[
        ("20", "M", "prune: abc\n\tstore local1\n".into()),
        ("26", "V", "prune: abc\n\tstore local1\n\tschedule daily\n\tkeep-daily 0\n".into()),
    ]);
}

#[test]
fn realms_and_users() {
    let ldap = "ldap: corp\n\tserver1 a.example\n\tbase-dn dc=x\n\tuser-attr uid\n";
    rows::<Realms>(&[
        ("22", "M", "pam: pam\n\tcomment x\n".into()),
        ("22", "OK", "pam: pam\n\ttype ldap\n".into()),
        ("23", "K", format!("{ldap}\ttype ldap\n")),
        ("28", "V", format!("{ldap}\tport 70000\n")),
        // A lenient set; the realm's own keys are not used here, so the second stage never looks at it.
        ("43", "OK", format!("{ldap}\tmode tls\n")),
    ]);
    rows::<Users>(&[
        ("27", "V", "user: a@pbs\n\texpire -5\n".into()),
        ("48", "I", "token: sync@pbs\n".into()),
        ("48", "I", "user: sync@pbs!x1\n".into()),
        ("49", "V", "user: a@pbs\n\tfirstname J\n".into()),
    ]);
}

#[test]
fn values_of_sync_jobs() {
    let v = |lines: &str| ("", "V", sync(&format!("\t{lines}")));
    rows::<SyncJobs>(&[
        v("remove-vanished maybe"),
        v("max-depth 8"),
        v("max-depth -1"),
        v("max-depth two"),
        v("max-depth 1.0"),
        v("worker-threads 0"),
        v("worker-threads 33"),
        v("transfer-last 0"),
        v("ns a//b"),
        v("ns /a"),
        ("36", "2", sync("\tns a/b/c/d/e/f/g/h")),
        v("ns a/b/c/d/e/f/g/h/i"),
        v("schedule every tuesday"),
        v("rate-in -5MB"),
        v("rate-in fast"),
        v("rate-in 10 XB"),
        v("group-filter vm/100"),
        v("group-filter regex:("),
        v("group-filter type:lxc"),
        v("group-filter group:vm"),
        ("43", "2", sync("\tsync-direction both")),
    ]);
}

#[test]
fn values_of_remotes() {
    let v = |lines: &str| ("", "V", remote(&format!("\t{lines}")));
    rows::<Remotes>(&[
        ("28", "2", remote("\tport 70000")),
        ("28", "2", remote("\tport -1")),
        v(&format!("fingerprint {}", vec!["ab"; 31].join(":"))),
        v(&format!("fingerprint {}", "ab".repeat(32))),
        ("29", "OK", remote(&format!("\tfingerprint {}", ["Ab"; 32].join(":")))),
        v("host my_host"),
        v("host [::1]"),
        v("host a.example:8007"),
        v("host a.example."),
        ("30", "OK", remote("\thost 2001:db8::17")),
        v(&format!("comment {}", "x".repeat(129))),
        ("31", "OK", remote(&format!("\tcomment {}", "ä".repeat(128)))),
        v("comment a\tb"),
        v("auth-id sync"),
        v("auth-id a b@pbs"),
        ("33", "2", remote("\tauth-id sync@p")),
    ]);
    // Row 34: only the secret itself is unusable; listings do not need it.
    let remotes = Entries::<Remotes>::parse(Some(remote("\tpassword %%%").as_bytes())).unwrap();
    let error = remotes.require("r01").unwrap().secret().unwrap_err();
    assert_eq!((error.key.as_str(), error.section.as_str()), ("password", "r01"));
    let unpadded = Entries::<Remotes>::parse(Some(remote("\tpassword eA").as_bytes())).unwrap();
    assert_eq!(unpadded.require("r01").unwrap().secret().unwrap().expose(), "x");
}

#[test]
fn values_of_datastores() {
    let s = |lines: &str| ("", "S", datastore(&format!("\t{lines}")));
    rows::<Datastores>(&[
        ("24", "V", datastore("\tverify-new 2")),
        ("43", "2", datastore("\tnotification-mode mail")),
        s("tuning foo=1"),
        s("tuning none"),
        s("tuning chunk-order=none,chunk-order=none"),
        s("tuning chunk-order=none, sync-level=file"),
        s("tuning gc-atime-cutoff=0"),
        ("44b", "OK", datastore("\ttuning ")),
        ("44b", "OK", datastore("\ttuning chunk-order=none,")),
        s("maintenance-mode offline,message=\"x"),
        s("maintenance-mode offline,message=\"x\"y"),
        s("maintenance-mode offline,message=a,b"),
        s("maintenance-mode message=x"),
        s("maintenance-mode "),
        ("45a", "OK", datastore("\tmaintenance-mode asleep")),
        ("45a", "OK", datastore("\tnotify gc=foo")),
        s("backend type=s3"),
        s("backend filesystem,client=c1x"),
        s("backend foo"),
        ("46", "OK", datastore("\tbackend s3,client=c1x,bucket=b,max-cache-size=10G")),
        ("47", "V", datastore("\tbacking-device 3F2B8A1C-5D6E-4F70-8192-A3B4C5D6E7F8")),
        ("50a", "OK", "datastore: s01\n\tpath relative/path\n".into()),
    ]);
    let parsed = |lines| Entries::<Datastores>::parse(Some(datastore(lines).as_bytes())).unwrap();
    let stores = parsed("\ttuning chunk-order=random");
    assert!(stores.require("s01").unwrap().tuning_options().is_err(), "row 44a");
    let stores = parsed("\tmaintenance-mode asleep");
    assert_eq!(stores.require("s01").unwrap().maintenance().unwrap().maintenance_type, MaintenanceType::Offline);
}

#[test]
fn other_formats() {
    for (row, expected, text) in [
        ("62", "V", "email-from backup@x"),
        ("62", "V", ": x"),
        ("62", "K", "email-from : x"),
        ("62", "K", "foo: 1"),
        ("63", "V", "default-lang: xx"),
        ("63", "V", "http-proxy: https://p:1"),
    ] {
        let Err(SettingsError::Text(error)) = NodeConfig::parse(Some(text.as_bytes())) else {
            panic!("row {row}: {text}");
        };
        assert_eq!(letter(&error.kind), expected, "row {row}: {text}");
    }
    for proxy in ["p.example", "http://u:p%40@p.example:3128", "[2001:db8::1]:80", "10.0.0.1:1"] {
        assert!(NodeConfig::parse(Some(format!("http-proxy: {proxy}").as_bytes())).is_ok(), "{proxy}");
    }
}

#[test]
fn lines_of_the_access_control_list() {
    let class = |text: &str| match Acl::parse(Some(text.as_bytes())) {
        Ok(_) => "OK",
        Err(SettingsError::Text(error)) => {
            assert_eq!((error.file.as_str(), error.line), ("acl.cfg", 2), "{error}");
            letter(&error.kind)
        }
        Err(other) => panic!("{other}"),
    };
    for (row, expected, line) in [
        ("53", "A", "acl:1:/datastore:john@pbs"),
        ("53", "A", "acl:1:/:a@pbs:Admin:x"),
        ("54", "A", "acl:2:/:a@pbs:Admin"),
        ("54", "A", "ACL:1:/:a@pbs:Admin"),
        ("54", "A", "acl:true:/:a@pbs:Admin"),
        ("55", "A", "acl:1:/:a@pbs:Administrator"),
        ("55", "A", "acl:1:/:a@pbs:"),
        ("56", "A", "acl:1:/:john:Admin"),
        ("56", "A", "acl:1:/::Admin"),
        ("57", "OK", "acl:1:/nonsense/x:a@pbs:Audit"),
        ("58", "OK", "acl:1:/:@admins:Admin"),
        ("58a", "A", "acl: 1:/:a@pbs:Admin"),
        ("58b", "OK", "acl:1:/:a@pbs:NoAccess,Admin"),
        ("59", "A", "# comment"),
    ] {
        assert_eq!(class(&format!("acl:1:/:b@pbs:Audit\n{line}\n")), expected, "row {row}: {line}");
    }
}

/// Rows 60 and 61.
#[test]
fn files_of_hashes() {
    let is_refused = |text: &str| TokenHashes::parse(Some(text.as_bytes())).is_err();
    for bad in ["", "[]", r#"{"nobody":"x"}"#, r#"{"a@pbs!t1":5}"#, "{"] {
        assert!(is_refused(bad), "{bad}");
    }
    assert!(!is_refused("null") && !is_refused("{}"));
    assert!(PasswordHashes::parse(Some(b"")).is_err() && PasswordHashes::parse(Some(b"[]")).is_err());
    let hashes = PasswordHashes::parse(Some(br#"{"a":"","b":"*","c":7}"#)).unwrap();
    assert_eq!(hashes.to_bytes().unwrap(), b"{\n  \"a\": \"\",\n  \"b\": \"*\",\n  \"c\": 7\n}", "all are kept");
    let Err(error) = TokenHashes::parse(Some(b"{\n\"a\": oops")) else { panic!("no error") };
    assert!(error.to_string().starts_with("token.shadow: ") && error.to_string().contains("line 2"), "{error}");
}

#[test]
fn notifications_and_metric_servers() {
    let matcher = |lines: &str| format!("matcher: m01\n\t{lines}\n");
    rows::<Notifications>(&[
        ("28", "V", "smtp: s01\n\tserver a.example\n\tfrom-address a@b.example\n\tport 70000\n".into()),
        ("", "M", "smtp: s01\n\tserver a.example\n".into()),
        ("", "V", matcher("mode some")),
        ("", "V", matcher("match-calendar 18:00-8:00")),
        ("", "I", "matcher: m\n".into()),
        ("", "OK", "matcher: m1\n".into()),
        ("", "V", "webhook: w01\n\tmethod patch\n\turl http://x\n".into()),
        ("", "S", "webhook: w01\n\tmethod post\n\turl http://x\n\theader value=eA==\n".into()),
        ("", "T", "mail: m01\n".into()),
        ("", "OK", "gotify: g01\n\tserver http://x\n\torigin user-created\n\tfilter old\n".into()),
    ]);
    rows::<NotificationSecrets>(&[("", "M", "gotify: g01\n".into()), ("", "T", "sendmail: s01\n".into())]);
    rows::<MetricServers>(&[
        ("", "M", "influxdb-udp: u01\n\tmtu 1500\n".into()),
        ("", "V", "influxdb-udp: u01\n\thost a:1\n\tmtu 0\n".into()),
        ("", "K", "influxdb-udp: u01\n\thost a:1\n\ttoken x\n".into()),
    ]);
}

/// The line is that of the fault; a key that is missing is reported where its section ends.
#[test]
fn errors_name_the_line() {
    let line = |text: &str| match Entries::<SyncJobs>::parse(Some(text.as_bytes())) {
        Err(SettingsError::Text(error)) => error.line,
        _ => panic!("no error: {text:?}"),
    };
    let good = sync("");
    let lines = good.lines().count();
    for (expected, text) in [
        (1, format!("# note\n{good}")),
        (lines, format!("{good}x\n").replace("\n\nx", "\n# note")),
        (lines + 1, format!("{good}\tlate 1\n")),
        (2, "sync: j01\n\tfoo bar\n".to_owned()),
        (3, "sync: j01\n\tstore local1\n\tmax-depth 9\n\tremote-store vault\n".to_owned()),
        (3, "sync: j01\n\tschedule daily\n\tschedule daily\n".to_owned()),
        (3, "sync: j01\n\tstore local1\n\nsync: j02\n\tstore local1\n\tremote-store vault\n".to_owned()),
        (2, "sync: j01\n\tstore local1\n".to_owned()),
        (5, "\n\n\n\nSync: j01\n".to_owned()),
    ] {
        assert_eq!(line(&text), expected, "{text:?}");
    }
}
