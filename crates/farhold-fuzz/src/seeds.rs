//! Inputs to begin with: what the parsers accept, so that a mutation of it goes deep.

use farhold_format::blob::{BlobEncoder, Compression};
use farhold_format::index::{DynamicIndexBuilder, FIXED_CHUNK_BYTES, FixedIndexBuilder, Index};
use farhold_format::manifest::Manifest;
use farhold_types::{Digest, Epoch, Snapshot};

use crate::archive::key;
use crate::config::{FILES, PROPERTIES};
use crate::request::declarations;

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// All kinds of blobs: plain and compressed, with and without encryption.
pub(crate) fn blobs() -> Vec<Vec<u8>> {
    let key = key();
    let mut seeds = Vec::new();
    for plain in [&b""[..], b"a few bytes", &[b'x'; 5000]] {
        for compression in [Compression::Off, Compression::On] {
            for encryption in [None, Some((&key, [3; 16]))] {
                seeds.extend(BlobEncoder::new().encode(plain, compression, encryption).ok());
            }
        }
    }
    seeds
}

pub(crate) fn fixed_indexes() -> Vec<Vec<u8>> {
    let index = |size: u64| -> Option<Index> {
        let mut builder = FixedIndexBuilder::new([1; 16], Epoch(1_700_000_000), size, FIXED_CHUNK_BYTES).ok()?;
        for position in 0..size.div_ceil(FIXED_CHUNK_BYTES) {
            builder.set(usize::try_from(position).ok()?, Digest([u8::try_from(position).ok()?; 32])).ok()?;
        }
        builder.finish().ok()
    };
    let sizes = [1, FIXED_CHUNK_BYTES, 3 * FIXED_CHUNK_BYTES + 5];
    sizes.into_iter().filter_map(index).map(|index| index.as_bytes().to_vec()).collect()
}

pub(crate) fn dynamic_indexes() -> Vec<Vec<u8>> {
    let index = |ends: &[u64]| -> Option<Index> {
        let mut builder = DynamicIndexBuilder::new([1; 16], Epoch(1_700_000_000));
        for end in ends {
            builder.push(*end, Digest([u8::try_from(*end % 251).ok()?; 32])).ok()?;
        }
        builder.finish().ok()
    };
    let ends: [&[u64]; 2] = [&[17], &[100_000, 4_000_000, 4_000_001]];
    ends.into_iter().filter_map(index).map(|index| index.as_bytes().to_vec()).collect()
}

const MANIFEST: &str = r#"{"backup-id":"web1","backup-time":1700000000,"backup-type":"host","files":[
{"crypt-mode":"encrypt","csum":"0101010101010101010101010101010101010101010101010101010101010101","filename":"root.pxar.didx","size":70000},
{"crypt-mode":"sign-only","csum":"0202020202020202020202020202020202020202020202020202020202020202","filename":"etc.conf.blob","size":12}],
"signature":"0303030303030303030303030303030303030303030303030303030303030303",
"unprotected":{"notes":"of web1","key-fingerprint":"04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04",
"verify_state":{"state":"ok","upid":"UPID:pbs:00000C35:00000D3B:00000001:65A0BC00:verify:store1:root@pam:"},
"chunk_upload_stats":{"compressed_size":1,"count":2,"duplicates":3,"size":4}}}"#;

pub(crate) fn manifests() -> Vec<Vec<u8>> {
    let mut seeds = texts(&[MANIFEST]);
    let snapshot = "vm/100/2023-11-14T22:13:20Z".parse::<Snapshot>();
    seeds.extend(snapshot.map(|snapshot| Manifest::new(&snapshot).to_json().into_bytes()));
    seeds
}

pub(crate) fn manifest_blobs() -> Vec<Vec<u8>> {
    let blob = |text: Vec<u8>, compression| BlobEncoder::new().encode(&text, compression, None).ok();
    let pairs = manifests().into_iter().flat_map(|text| [(text.clone(), Compression::Off), (text, Compression::On)]);
    pairs.filter_map(|(text, compression)| blob(text, compression)).collect()
}

pub(crate) fn key_files() -> Vec<Vec<u8>> {
    let plain = include_bytes!("../../../tests/golden/client.key").to_vec();
    let mut seeds = vec![plain, include_bytes!("../../../tests/golden/key0.json").to_vec()];
    seeds.extend(texts(&[
        r#"{"kdf":{"Scrypt":{"n":65536,"r":8,"p":1,"salt":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}},"created":"2023-11-14T22:13:20+00:00","modified":"2023-11-14T22:13:20+00:00","data":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==","hint":"the usual one"}"#,
        r#"{"kdf":{"PBKDF2":{"iter":65535,"salt":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}},"created":"2023-11-14T22:13:20+00:00","modified":"2023-11-14T22:13:20+00:00","data":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="}"#,
    ]));
    seeds
}

pub(crate) fn section_configs() -> Vec<Vec<u8>> {
    let samples: [(&str, &[u8]); 9] = [
        ("remote.cfg", include_bytes!("../../farhold-settings/tests/samples/remote.cfg")),
        ("sync.cfg", include_bytes!("../../farhold-settings/tests/samples/sync.cfg")),
        ("datastore.cfg", include_bytes!("../../farhold-settings/tests/samples/datastore.cfg")),
        ("prune.cfg", include_bytes!("../../farhold-settings/tests/samples/prune.cfg")),
        ("verification.cfg", include_bytes!("../../farhold-settings/tests/samples/verification.cfg")),
        ("traffic-control.cfg", include_bytes!("../../farhold-settings/tests/samples/traffic-control.cfg")),
        ("encryption-keys.cfg", include_bytes!("../../farhold-settings/tests/samples/encryption-keys.cfg")),
        ("user.cfg", include_bytes!("../../farhold-settings/tests/samples/user.cfg")),
        ("domains.cfg", include_bytes!("../../farhold-settings/tests/samples/domains.cfg")),
    ];
    let with_choice = |(name, text): (&str, &[u8])| {
        let position = FILES.iter().position(|(file, _)| *file == name)?;
        Some([&[u8::try_from(position).ok()?], text].concat())
    };
    samples.into_iter().filter_map(with_choice).collect()
}

pub(crate) fn node_configs() -> Vec<Vec<u8>> {
    vec![include_bytes!("../../farhold-settings/tests/samples/node.cfg").to_vec()]
}

pub(crate) fn acls() -> Vec<Vec<u8>> {
    vec![include_bytes!("../../farhold-settings/tests/samples/acl.cfg").to_vec()]
}

pub(crate) fn property_strings() -> Vec<Vec<u8>> {
    let samples =
        ["chunk-order=inode,sync-level=file", "offline,message=moved to another room", "gc=always,sync=error"];
    samples.iter().zip(0_u8..).map(|(text, choice)| [&[choice], text.as_bytes()].concat()).collect()
}

pub(crate) fn calendar_events() -> Vec<Vec<u8>> {
    let cases = include_str!("../../../tests/golden/calendar-events.json");
    let cases: serde_json::Value = serde_json::from_str(cases).unwrap_or_default();
    let events = cases["cases"].as_array().into_iter().flatten().filter_map(|case| case["event"].as_str());
    let mut seeds: Vec<Vec<u8>> = events.map(|event| event.as_bytes().to_vec()).collect();
    seeds.sort();
    seeds.dedup();
    seeds.extend(texts(&["mon..fri 8-17:30", "sat 10-12"]));
    seeds
}

pub(crate) fn upids() -> Vec<Vec<u8>> {
    texts(&[
        "UPID:pbs:00000C35:00000D3B:00000001:65A0BC00:verify:store1:root@pam:",
        "UPID:pbs:00000C35:00000D3B:0000000A:65A0BC00:backup:store1\\x3ahost-web1:sync@pbs!t1:",
        "UPID:pbs:00000C35:00000D3B:00000001:65A0BC00:logrotate::root@pam:",
    ])
}

pub(crate) fn task_logs() -> Vec<Vec<u8>> {
    texts(&[
        "2023-11-14T22:13:20+00:00: starting\n2023-11-14T22:13:21+01:00: TASK OK\n",
        "2023-11-14T22:13:20+00:00: TASK WARNINGS: 3\nTASK ERROR: connection lost\n",
        "UPID:pbs:00000C35:00000D3B:00000001:65A0BC00:verify:store1:root@pam: 65A0BC01 OK\n",
        "UPID:pbs:00000C35:00000D3B:00000001:65A0BC00:verify:store1:root@pam:\n",
    ])
}

pub(crate) fn names() -> Vec<Vec<u8>> {
    texts(&[
        "a/b/c",
        "vm/100",
        "host/web1/2023-11-14T22:13:20Z",
        "drive-scsi0.img.fidx",
        "root@pam",
        "sync@pbs!job1",
        "0101010101010101010101010101010101010101010101010101010101010101",
        "04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04:04",
        "1.5 MiB",
        "DatastoreAdmin",
        "Datastore.Audit",
    ])
}

pub(crate) fn group_filters() -> Vec<Vec<u8>> {
    texts(&["type:vm", "exclude:regex:^vm/1.*", "group:ct/101", r"include:regex:^(host|ct)/[\w-]{1,20}$"])
}

pub(crate) fn parameters() -> Vec<Vec<u8>> {
    let samples: [(&str, &str, &str); 7] = [
        ("GET", "/version", ""),
        ("GET", "/admin/datastore/{store}/snapshots", "store=tank&ns=a%2Fb&backup-type=vm&backup-id=100"),
        (
            "POST",
            "/config/sync",
            r#"{"id":"far","store":"tank","remote":"home","remote-store":"main","schedule":"daily","group-filter":["type:vm"]}"#,
        ),
        ("PUT", "/config/remote/{name}", "name=home&host=far.example&port=8007&delete=comment&delete=fingerprint"),
        ("POST", "/fixed_index", "archive-name=drive.img.fidx&size=5000000"),
        (
            "PUT",
            "/dynamic_index",
            r#"{"wid":1,"digest-list":["0101010101010101010101010101010101010101010101010101010101010101"],"offset-list":[0]}"#,
        ),
        ("POST", "/access/ticket", "username=root%40pam&password=secret"),
    ];
    let with_choice = |(method, path, text): (&str, &str, &str)| {
        let is_it = |declaration: &farhold_api::declare::Declaration| {
            declaration.method.as_str() == method && declaration.path == path
        };
        let position = u16::try_from(declarations().iter().position(is_it)?).ok()?;
        Some([&position.to_le_bytes()[..], text.as_bytes()].concat())
    };
    samples.into_iter().filter_map(with_choice).collect()
}

pub(crate) fn upgrades() -> Vec<Vec<u8>> {
    texts(&[
        "backup-id=100&backup-time=1700000000&backup-type=vm&debug=true&ns=a%2Fb&store=tank",
        "backup-id=100&backup-time=1700000000&backup-type=vm&benchmark=false&debug=0&no-cache=1&store=tank",
    ])
}

pub(crate) fn credentials() -> Vec<Vec<u8>> {
    texts(&[
        "PBSAuthCookie=PBS%3Aroot%40pam%3A65A0BC00%3A%3Aabcdef; other=1\n",
        "a=1\nPBSAPIToken sync@pbs!job1:0f3c5d1e-0000-4000-8000-000000000000",
        "PBSAPIToken=sync@pbs!job1:0f3c5d1e-0000-4000-8000-000000000000",
    ])
}

pub(crate) fn listings() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"backup-type":"vm","backup-id":"100","backup-time":1700000000,"size":5,"protected":false,"owner":"root@pam","comment":"a","files":[{"filename":"drive.img.fidx","size":5,"crypt-mode":"none"}],"verification":{"upid":"UPID:pbs:00000C35:00000D3B:00000001:65A0BC00:verify:store1:root@pam:","state":"ok"}}"#,
        r#"{"backup-type":"vm","backup-id":"100","last-backup":1700000000,"backup-count":2,"files":["drive.img.fidx"],"owner":"a@pbs!t"}"#,
        r#"{"ns":"a/b","comment":"first line"}"#,
        r#"{"version":"4.2","release":"1","repoid":"abc"}"#,
        r#"{"removed-groups":1,"protected-snapshots":2,"removed-snapshots":3}"#,
    ])
}

const _: () = assert!(PROPERTIES.len() == 4, "one more property string needs a seed");
