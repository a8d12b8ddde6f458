//! Decrypting pulls over the wire: the recorded encrypted store on one server, its key on the other.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use farhold_datastore::Datastore;
use farhold_format::manifest::Manifest;

use crate::content::{assert_sound, golden, referenced, snapshots};
use crate::pair::{Account, Pair};
use crate::site::files;

/// Unpacks a recorded store into a folder below `parent`.
fn unpack(name: &str, parent: &Path) -> std::path::PathBuf {
    fs::create_dir_all(parent).unwrap();
    let packed = fs::File::open(golden(&format!("{name}.tar.zst"))).unwrap();
    tar::Archive::new(zstd::Decoder::new(packed).unwrap()).unpack(parent).unwrap();
    parent.join(name)
}

/// Moves what a folder holds into another one, which may have some of its folders.
fn move_into(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() && target.exists() {
            move_into(&entry.path(), &target);
        } else {
            fs::rename(entry.path(), target).unwrap();
        }
    }
}

fn fill_with_recorded(store: &Datastore) {
    let root = store.local_root().unwrap();
    let unpacked = root.with_extension("unpacked");
    move_into(&unpack("pushed", &unpacked), root);
    fs::remove_dir_all(unpacked).unwrap();
}

/// Manifests by path, as text.
fn manifests(store: &Path) -> BTreeMap<String, String> {
    let manifests = snapshots(store).into_iter().filter(|(path, _)| path.ends_with("index.json.blob"));
    manifests.map(|(path, raw)| (path, Manifest::from_blob(&raw).unwrap().to_json())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_88_the_recorded_encrypted_store_comes_over_the_wire_as_the_recorded_decrypted_one() {
    let pair = Pair::new(Account::Token, fill_with_recorded).await;
    let key = golden("key0.json").display().to_string();
    pair.target.run(&["encryption-key", "create", "key0", "--key-file", &key]).await.ok();
    pair.target.run(&["sync-job", "update", "pull", "--associated-key", "key0"]).await.ok();
    let log = pair.pull().await.ok();
    assert!(log.contains("Loaded encryption key 'key0' with fingerprint '4b:7a:23:96:66:9c:0e:fd'\n"), "{log}");
    assert!(log.contains("[vm/100]: Found matching key 'key0' with fingerprint 4b:7a:23:96:66:9c:0e:fd,"), "{log}");
    assert!(log.contains("[vm/200]: 2026-01-01T10:00:00Z: No matching key found, sync without decryption\n"), "{log}");
    let folder = pair.target.folder().join("recorded");
    let recorded = unpack("decrypted", &folder);
    assert_eq!(manifests(&pair.target_store()), manifests(&recorded));
    assert_eq!(referenced(&pair.target_store()), referenced(&recorded));
    assert_sound(&pair.target_store());
    let before = snapshots(&pair.target_store());
    let log = pair.pull().await.ok();
    assert!(log.contains("Summary: sync job found no new data to pull\n"), "{log}");
    assert_eq!(snapshots(&pair.target_store()), before);
    // Without the key the decrypted copies stay as they are, and the run says that it cannot compare them.
    pair.target.run(&["sync-job", "update", "pull", "--delete", "associated-key"]).await.ok();
    let text = pair.pull().await.failed();
    assert!(text.contains("[vm/100]: sync group vm/100 failed - refusing to overwrite"), "{text}");
    assert_eq!(snapshots(&pair.target_store()), before);
    assert_no_secret_is_told(&pair, &text);
}

/// Looks for the key and the remote's password in everything that the pulling server wrote beside its configuration.
fn assert_no_secret_is_told(pair: &Pair, output: &str) {
    let key: serde_json::Value = serde_json::from_slice(&fs::read(golden("key0.json")).unwrap()).unwrap();
    let remotes = pair.target.app.settings.remotes().load().unwrap().entries;
    let remotes = remotes.all().unwrap();
    let password = remotes[0].secret().unwrap();
    let secrets = [key["data"].as_str().unwrap(), password.expose()];
    let root = pair.target.root();
    let written = files(&root, &[root.join("etc")]);
    assert!(written.keys().any(|path| path.starts_with("log/tasks")), "{:?}", written.keys());
    for secret in secrets {
        assert!(16 < secret.len() && !output.contains(secret));
        for (path, content) in &written {
            assert!(!content.windows(secret.len()).any(|part| part == secret.as_bytes()), "{}", path.display());
        }
    }
}
