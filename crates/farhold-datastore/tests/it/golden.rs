//! Reading the stores that the reference wrote, and answering about them as it does.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use farhold_datastore::{AccessTimeCheck, Datastore, OpenError};
use farhold_types::{MAX_NAMESPACE_DEPTH, Namespace};
use serde_json::Value;

use crate::support::{check_whole, golden_path, local_options, root, unpack, unpack_into};

/// The recorded answer to one request by somebody who may see everything that it asks for.
fn recorded(path: &str) -> Value {
    let may_see_all = |who: &Value| who == "admin" || who == "nsaudit";
    let text = std::fs::read_to_string(golden_path("api/datastore-read.jsonl")).expect("present");
    for line in text.lines().skip(1) {
        let exchange: Value = serde_json::from_str(line).expect("JSON");
        if exchange["path"] == path && may_see_all(&exchange["as"]) && exchange["status"] == 200 {
            return exchange["response"]["data"].clone();
        }
    }
    panic!("no recorded answer to {path}");
}

fn by_key(items: Value, key: impl Fn(&Value) -> String) -> BTreeMap<String, Value> {
    let Value::Array(items) = items else { panic!("not a list") };
    items.into_iter().map(|item| (key(&item), item)).collect()
}

fn sorted_names(value: &mut Value) {
    if let Some(names) = value["files"].as_array_mut() {
        names.sort_by_key(ToString::to_string);
    }
}

#[test]
fn every_snapshot_of_every_recorded_store_is_whole() {
    for (name, expected) in [("golden", 24), ("pushed", 0), ("decrypted", 0)] {
        let golden = unpack(name);
        let mut count = 0;
        for namespace in golden.store.namespaces(&root(), MAX_NAMESPACE_DEPTH).unwrap() {
            for group in golden.store.groups(&namespace).unwrap() {
                for info in golden.store.snapshots(&namespace, &group.group).unwrap() {
                    check_whole(&golden.store, &namespace, &group.group.at(info.time));
                    count += 1;
                }
            }
        }
        assert!(expected <= count && 10 < count, "{name}: {count}");
    }
}

#[test]
fn snapshot_items_are_those_of_the_reference() {
    let golden = unpack("golden");
    for (ns, path) in [
        ("", "/api2/json/admin/datastore/golden/snapshots"),
        ("location_a", "/api2/json/admin/datastore/golden/snapshots?ns=location_a"),
        ("location_a/department_x", "/api2/json/admin/datastore/golden/snapshots?ns=location_a%2Fdepartment_x"),
    ] {
        let namespace: Namespace = ns.parse().unwrap();
        let mut ours = Vec::new();
        for group in golden.store.groups(&namespace).unwrap() {
            ours.extend(golden.store.snapshot_items(&namespace, &group.group).unwrap());
        }
        let key = |item: &Value| format!("{}/{}/{}", item["backup-type"], item["backup-id"], item["backup-time"]);
        let ours = by_key(serde_json::to_value(&ours).unwrap(), key);
        let theirs = by_key(recorded(path), key);
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
        for (name, item) in &ours {
            assert_eq!(item, &theirs[name], "{name}");
        }
    }
}

#[test]
fn group_items_are_those_of_the_reference() {
    let golden = unpack("golden");
    for (ns, path) in [
        ("", "/api2/json/admin/datastore/golden/groups"),
        ("location_a/department_x", "/api2/json/admin/datastore/golden/groups?ns=location_a%2Fdepartment_x"),
    ] {
        let namespace: Namespace = ns.parse().unwrap();
        let groups = golden.store.groups(&namespace).unwrap();
        let ours: Vec<_> =
            groups.iter().map(|info| golden.store.group_item(&namespace, &info.group).unwrap()).collect();
        let key = |item: &Value| format!("{}/{}", item["backup-type"], item["backup-id"]);
        let ours = by_key(serde_json::to_value(&ours).unwrap(), key);
        let theirs = by_key(recorded(path), key);
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
        for (name, item) in ours {
            let (mut item, mut other) = (item, theirs[&name].clone());
            sorted_names(&mut item);
            sorted_names(&mut other);
            assert_eq!(item, other, "{name}");
        }
    }
}

#[test]
fn namespaces_are_those_of_the_reference() {
    let golden = unpack("golden");
    for (anchor, depth, path) in [
        ("", 7, "/api2/json/admin/datastore/golden/namespace"),
        ("location_a", 1, "/api2/json/admin/datastore/golden/namespace?parent=location_a&max-depth=1"),
        ("", 0, "/api2/json/admin/datastore/golden/namespace?max-depth=0"),
        ("", 1, "/api2/json/admin/datastore/golden/namespace?max-depth=1"),
        ("nosuch", 7, "/api2/json/admin/datastore/golden/namespace?parent=nosuch"),
    ] {
        let ours = golden.store.namespaces(&anchor.parse().unwrap(), depth).unwrap();
        assert_eq!(ours[0].to_string(), anchor);
        let mut ours: Vec<String> = ours.iter().map(ToString::to_string).collect();
        let theirs = by_key(recorded(path), |item| item["ns"].as_str().expect("text").to_owned());
        ours.sort();
        assert_eq!(ours, theirs.keys().cloned().collect::<Vec<_>>(), "{path}");
    }
}

/// Golden check 19, as far as ownership does not matter. One test, because making 65,536 folders takes its time.
#[test]
fn a_created_store_takes_recorded_content_is_adopted_and_any_gap_is_named() {
    // In memory where the system offers that: 65,536 directories are 256 MiB of blocks on a disk.
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let locks = tempfile::tempdir().unwrap();
    let base = directory.path().join("golden");
    let options = || local_options(&base, locks.path());
    let adopt = || Datastore::adopt(options(), AccessTimeCheck::Run);
    let set = |path: &str, mode| {
        std::fs::set_permissions(base.join(path), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    std::fs::create_dir_all(base.join("lost+found")).unwrap();
    std::fs::write(base.join("foreign"), b"").unwrap();
    let refused = Datastore::create(options(), AccessTimeCheck::Run);
    assert!(matches!(refused, Err(OpenError::NotEmpty { entry }) if entry == "foreign"));
    std::fs::remove_file(base.join("foreign")).unwrap();
    Datastore::create(options(), AccessTimeCheck::Run).unwrap();
    assert!(matches!(Datastore::create(options(), AccessTimeCheck::Skip), Err(OpenError::Exists { .. })));
    let mode = |path: &str| std::fs::metadata(base.join(path)).unwrap().mode() & 0o777;
    assert_eq!((mode(""), mode(".chunks"), mode(".chunks/ffff"), mode(".lock")), (0o755, 0o750, 0o750, 0o644));
    assert_eq!(std::fs::read_dir(base.join(".chunks")).unwrap().count(), 65_536);
    let zero = "bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8";
    assert!(base.join(".chunks/bb9f").join(zero).is_file());

    unpack_into("golden", directory.path());
    let store = adopt().unwrap();
    check_whole(&store, &root(), &crate::support::snapshot("vm/100/2026-01-03T10:00:00Z"));
    drop(store);

    set(".chunks/0080", 0o755);
    assert!(matches!(adopt(), Err(OpenError::Mode { found: 0o755, .. })));
    set(".chunks/0080", 0o750);
    std::fs::remove_dir(base.join(".chunks/0001")).unwrap();
    assert!(matches!(adopt(), Err(OpenError::Missing { path }) if path.ends_with("/.chunks/0001")));
    std::fs::remove_file(base.join(".lock")).unwrap();
    assert!(matches!(adopt(), Err(OpenError::Missing { path }) if path.ends_with("/.lock")));
}
