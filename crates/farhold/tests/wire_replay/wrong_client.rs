//! A client that sends each wrong order, size, digest, id, time and owner finds the store as it was, and what is right
//! goes on.

use std::fs;
use std::path::PathBuf;

use farhold_crypto::sha256;
use farhold_types::Digest;

use crate::runtime;
use crate::scripted::*;
use crate::stage::Stage;

#[test]
fn an_upgrade_with_a_wrong_id_time_owner_or_form_is_refused_and_leaves_nothing() {
    let stage = Stage::new("local");
    let client = Client { stage: &stage, account: "sync@pbs!t1" };
    runtime().block_on(async {
        good_backup(&client, "a", 1).await;
        stage.wait_for_sessions(0).await;
        fs::create_dir_all(stage.root.join("host/foreign/2026-01-01T10:00:00Z")).unwrap();
        fs::write(stage.root.join("host/foreign/2026-01-01T10:00:00Z/index.json.blob"), b"").unwrap();
        fs::write(stage.root.join("host/foreign/owner"), "other@pbs\n").unwrap();
        fs::create_dir_all(stage.root.join("host/left/2026-01-03T10:00:00Z")).unwrap();
        fs::write(stage.root.join("host/left/owner"), "sync@pbs!t1\n").unwrap();
        let before = stage.files();
        let cases = [
            (path("a", DAYS[1], ""), 400, "the time of the newest backup"),
            (path("a", DAYS[0], ""), 400, "an older time"),
            (path("a", DAYS[2], "&ns=nope"), 404, "a missing namespace"),
            (path("a", DAYS[2], "&ns=..%2Fa"), 400, "a wrong namespace"),
            (path("a", 0, ""), 400, "no time"),
            (path("a", 253_402_300_800, ""), 400, "a time after the year 9999"),
            (path("..%2Fa", DAYS[2], ""), 400, "a wrong id"),
            (path(&"x".repeat(255), DAYS[2], "").replace("host", "vm"), 400, "an id too long for a task"),
            (path("foreign", DAYS[2], ""), 400, "a group of somebody else"),
            (path("left", DAYS[2], ""), 400, "a directory of this time"),
            (path("benchmark", DAYS[2], ""), 400, "the group of benchmarks"),
            (path("a", DAYS[2], "&benchmark=1"), 400, "a benchmark elsewhere"),
            (path("a", DAYS[2], "&color=red"), 400, "an unknown parameter"),
            (path("a", DAYS[2], "").replace("local", "nolocal"), 400, "an unknown store"),
            (path("a", DAYS[2], "").replace("host", "tape"), 400, "an unknown type"),
        ];
        for (path, expected, what) in cases {
            assert_eq!(client.upgrade(&path).await.0, expected, "{what}");
            stage.wait_for_sessions(0).await;
            assert_unchanged(&before, &stage, what);
        }
        let nobody = Client { stage: &stage, account: "nobody@pbs!t3" };
        assert_eq!(nobody.upgrade(&path("new", DAYS[2], "")).await.0, 403);
        let other = Client { stage: &stage, account: "other@pbs!t2" };
        assert_eq!(other.upgrade(&path("a", DAYS[2], "")).await.0, 400, "a token of somebody else");
        assert_eq!(other.upgrade(&path("foreign", DAYS[2], "")).await.0, 400, "a token for its user's group");
        assert_unchanged(&before, &stage, "others");
        // The group is busy while a session runs, also for the same account.
        let session = client.session("a", DAYS[2]).await;
        assert_eq!(client.upgrade(&path("a", DAYS[2] + 1, "")).await.0, 400);
        drop(session);
        stage.wait_for_sessions(0).await;
        assert_unchanged(&before, &stage, "a session without requests");
    });
}

/// A wrong request inside of a session, and why it is wrong.
type Wrong = (&'static str, String, Vec<u8>, &'static str);

#[test]
fn wrong_orders_sizes_and_digests_are_refused_and_the_session_goes_on() {
    let stage = Stage::new("local");
    let client = Client { stage: &stage, account: "sync@pbs!t1" };
    runtime().block_on(async {
        let known = good_backup(&client, "a", 0).await;
        stage.wait_for_sessions(0).await;
        let chunks_before = chunks(&stage);
        let mut session = client.session("a", DAYS[1]).await;
        let session = &mut session;
        for (name, expected) in [("d.img.fidx", 1), ("e.img.fidx", 2)] {
            let made = ok(session, "POST", &format!("/fixed_index?archive-name={name}&size=8388608"), "").await;
            assert_eq!(made, expected);
        }
        assert_eq!(ok(session, "POST", "/dynamic_index?archive-name=r.pxar.didx", "").await, 3);
        let plain = content(9, 1000);
        let (digest, good) = (sha256(&plain), encoded(&plain));
        let foreign = sha256(b"something else");
        let chunk = |kind: &str, writer: u64, digest: &Digest, size: u64, body: &[u8]| {
            chunk_path(kind, writer, digest, size, body)
        };
        let damaged = {
            let mut bytes = good.clone();
            bytes[15] ^= 0xff;
            bytes
        };
        let mut no_crc = encoded(b"a blob");
        no_crc[9] ^= 1;
        let longer = [good.as_slice(), &[0]].concat();
        let large = content(7, SLOT + 1);
        let (large_digest, large_encoded) = (sha256(&large), encoded(&large));
        let append_to = |path: &str, writer, entries: &[(Digest, u64)], why| -> Wrong {
            ("PUT", path.to_owned(), append(writer, entries).into_bytes(), why)
        };
        let post = |path: String, body: &[u8], why| -> Wrong { ("POST", path, body.to_vec(), why) };
        let wrong: Vec<Wrong> = vec![
            post(chunk("fixed", 1, &foreign, 1000, &good), &good, "another digest"),
            post(chunk("fixed", 1, &digest, 999, &good), &good, "another size"),
            post(chunk("fixed", 1, &digest, 0, &good), &good, "no size"),
            post(chunk("fixed", 1, &digest, 16_777_217, &good), &good, "a size too large"),
            post(chunk("fixed", 0, &digest, 1000, &good), &good, "writer 0"),
            post(chunk("fixed", 257, &digest, 1000, &good), &good, "writer 257"),
            post(chunk("fixed", 9, &digest, 1000, &good), &good, "an unknown writer"),
            post(chunk("fixed", 3, &digest, 1000, &good), &good, "a writer of the other kind"),
            post(chunk("fixed", 1, &digest, 1000, &longer), &good, "a shorter body"),
            post(chunk("fixed", 1, &digest, 1000, &good), &longer, "a longer body"),
            post(chunk("fixed", 1, &digest, 1000, &damaged), &damaged, "a damaged body"),
            post(chunk("fixed", 1, &digest, 1000, &good), &vec![0; good.len()], "no container"),
            post(chunk("fixed", 1, &large_digest, SLOT + 1, &large_encoded), &large_encoded, "a large chunk"),
            append_to("/fixed_index", 1, &[(digest, 0)], "a chunk that was not uploaded"),
            append_to("/fixed_index", 1, &[(known[0], 0)], "a chunk of the base whose index was not read"),
            append_to("/dynamic_index", 1, &[], "an append of the other kind"),
            append_to("/fixed_index", 9, &[], "an append to an unknown writer"),
            post(close(1, 0, 0, &foreign), b"", "an end before the beginning"),
            post("/dynamic_close?wid=3&chunk-count=0&size=0&csum=".to_owned() + &foreign.to_string(), b"", "no chunks"),
            post("/finish".to_owned(), b"", "an end with open writers"),
            post("/fixed_index?archive-name=x.didx&size=1".to_owned(), b"", "another kind of name"),
            post("/fixed_index?archive-name=x.fidx&size=0".to_owned(), b"", "no size"),
            post("/fixed_index?archive-name=x.fidx&size=9223372036854775807".to_owned(), b"", "an endless image"),
            post("/fixed_index?archive-name=..%2Fx.fidx&size=1".to_owned(), b"", "a name with a path"),
            post(
                format!("/fixed_index?archive-name=d.img.fidx&size=8388608&reuse-csum={foreign}"),
                b"",
                "another base",
            ),
            post(
                format!("/fixed_index?archive-name=q.img.fidx&size=8388608&reuse-csum={}", checksum(&known)),
                b"",
                "no such index in the base",
            ),
            post(
                format!("/fixed_index?archive-name=d.img.fidx&size=12582912&reuse-csum={}", checksum(&known)),
                b"",
                "another number of chunks",
            ),
            post(
                format!("/fixed_index?archive-name=d.img.fidx&reuse-csum={}", checksum(&known)),
                b"",
                "reuse without size",
            ),
            post(format!("/blob?file-name=x.blob&encoded-size={}", no_crc.len()), &no_crc, "a blob with a wrong CRC"),
            post(format!("/blob?file-name=x.txt&encoded-size={}", good.len()), &good, "a blob without the ending"),
            ("GET", "/previous?archive-name=nope.fidx".to_owned(), Vec::new(), "an index that the base lacks"),
            ("GET", "/previous?archive-name=x.txt".to_owned(), Vec::new(), "a name without ending"),
        ];
        for (method, path, body, why) in wrong {
            let headers: &[_] = if method == "PUT" { &[("content-type", "application/json")] } else { &[] };
            let answer = session.send_with(method, &path, headers, body.into()).await.await;
            assert_eq!(answer.status, 400, "{why}: {:?}", answer.body);
        }
        assert_eq!(call(session, "GET", "/previous?archive-name=nope.blob", "").await.status, 404);
        assert_eq!(call(session, "GET", "/nonsense", "").await.status, 404);
        assert_eq!(call(session, "DELETE", "/finish", "").await.status, 404);
        assert_eq!(chunks(&stage), chunks_before, "nothing that was refused was stored");

        // After all of that, what is right goes on.
        let uploaded = upload(session, "dynamic", 3, 9, 1000).await;
        assert_eq!(uploaded, digest);
        assert_eq!(put(session, "/dynamic_index", append(3, &[(digest, 5)])).await.status, 400, "a wrong offset");
        assert_eq!(put(session, "/dynamic_index", append(3, &[(digest, 0)])).await.status, 200);
        assert_eq!(put(session, "/dynamic_index", append(3, &[(digest, 0)])).await.status, 400, "the same again");
        assert_eq!(put(session, "/fixed_index", append(1, &[(digest, 0)])).await.status, 400, "a short chunk in front");
        let mut sum = 1000_u64.to_le_bytes().to_vec();
        sum.extend(digest.0);
        let end = |count: u64, size: u64, csum: &Digest| {
            format!("/dynamic_close?wid=3&chunk-count={count}&size={size}&csum={csum}")
        };
        assert_eq!(call(session, "POST", &end(2, 1000, &sha256(&sum)), "").await.status, 400, "a wrong count");
        assert_eq!(call(session, "POST", &end(1, 999, &sha256(&sum)), "").await.status, 400, "a wrong size");
        ok(session, "POST", &end(1, 1000, &sha256(&sum)), "").await;
        assert_eq!(call(session, "POST", &end(1, 1000, &sha256(&sum)), "").await.status, 400, "closed already");
        assert_eq!(call(session, "POST", "/finish", "").await.status, 400, "open writers");
        // An index with a wrong checksum: the backup cannot be finished any more.
        ok(session, "GET", "/previous?archive-name=d.img.fidx", "").await;
        assert_eq!(put(session, "/fixed_index", append(1, &[(known[0], 0), (known[1], SLOT)])).await.status, 200);
        assert_eq!(call(session, "POST", &close(1, 2, 2 * SLOT, &foreign), "").await.status, 400);
        assert_eq!(call(session, "POST", &close(1, 2, 2 * SLOT, &checksum(&known)), "").await.status, 400);
        manifest(session, "host/a/2026-01-02T10:00:00Z").await;
        assert_eq!(call(session, "POST", "/finish", "").await.status, 400);
    });
    runtime().block_on(async {
        stage.wait_for_sessions(0).await;
        // Creating a store leaves a chunk of zeros.
        assert_eq!(chunks(&stage).len(), 4, "the two of the good backup, and the one that was right");
        let files = stage.files();
        let snapshots: Vec<&PathBuf> = files.keys().filter(|path| path.ends_with("index.json.blob")).collect();
        assert_eq!(snapshots.len(), 1, "{snapshots:?}");
    });
}
