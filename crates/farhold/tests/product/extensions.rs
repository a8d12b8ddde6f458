//! Commands that the reference does not have, or that reach deeper here.

use farhold_types::Role;
use serde_json::Value;

use crate::site::Site;

fn fingerprint(certificate: &str) -> &str {
    certificate.lines().find_map(|line| line.strip_prefix("Fingerprint (sha256): ")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_made_only_when_that_is_forced() {
    let site = Site::new();
    let before = site.run(&["cert", "info"]).await.ok();
    assert_eq!(site.run(&["cert", "update"]).await.ok(), "");
    assert_eq!(site.run(&["cert", "info"]).await.ok(), before);
    assert_eq!(site.run(&["cert", "update", "--force"]).await.ok(), "");
    let after = site.run(&["cert", "info"]).await.ok();
    assert_ne!(fingerprint(&after), fingerprint(&before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn access_is_explained_with_the_entries_that_decide() {
    let site = Site::new();
    for name in ["ann@pbs", "bob@pbs"] {
        site.add_user(name, "a long password");
    }
    site.grant("/datastore", "ann@pbs", Role::DatastoreAdmin);
    site.grant("/datastore/store1", "ann@pbs", Role::DatastoreReader);
    let text = site.run(&["acl", "check", "ann@pbs", "--path", "/datastore/store1"]).await.ok();
    assert!(text.starts_with("ann@pbs on /datastore/store1\n"), "{text}");
    assert!(text.contains("Datastore.Read (*)") && !text.contains("Datastore.Modify"), "{text}");
    assert!(text.contains("\n  grants       acl:1:/datastore/store1:ann@pbs:DatastoreReader\n"), "{text}");
    assert!(
        text.contains("\n  is replaced  acl:1:/datastore:ann@pbs:DatastoreAdmin  (by an entry on /datastore/store1)\n")
    );
    let asked = ["acl", "check", "--path", "/datastore/store1", "--privilege", "Datastore.Modify"];
    let all = site.run(&[&asked[..], &["--output-format", "json"]].concat()).await.ok();
    let all: Vec<Value> = serde_json::from_str(&all).unwrap();
    let allowed: Vec<&str> =
        all.iter().filter(|check| check["allowed"] == true).map(|check| check["auth-id"].as_str().unwrap()).collect();
    assert_eq!(allowed, ["root@pam"], "{all:#?}");
    // Who has no entry anywhere may do nothing, and is not listed.
    let mut all: Vec<&str> = all.iter().map(|check| check["auth-id"].as_str().unwrap()).collect();
    all.sort_unstable();
    assert_eq!(all, ["ann@pbs", "root@pam"]);
}
