//! Repairs as tasks, between two datastores of one server.

use std::fs;
use std::path::PathBuf;

use farhold_datastore::Datastore;
use farhold_types::{Authid, Namespace, Role, Snapshot, VerifyState};

use super::{RepairOrigin, RepairRequest, may_repair, start_repair};
use crate::permission::JobDenied;
use crate::testing::{TestServer, back_up};

fn snapshot() -> Snapshot {
    "vm/100/2026-01-01T10:00:00Z".parse().expect("valid")
}

fn request(from: &str) -> RepairRequest {
    RepairRequest {
        store: "tank".parse().expect("valid"),
        ns: Namespace::root(),
        max_depth: None,
        from: from.parse().expect("valid"),
        remote_ns: Namespace::root(),
        groups: Vec::new(),
        owner: None,
        verifies_all: false,
        is_dry: false,
    }
}

struct Bench {
    server: TestServer,
    store: Datastore,
    chunk: PathBuf,
}

impl Bench {
    /// Two datastores with the same snapshot.
    fn new() -> Self {
        let server = TestServer::new();
        let stores = ["tank", "copy"].map(|name| server.add_datastore_without_chunks(name));
        let write = |store| back_up(store, &Namespace::root(), &snapshot(), &Authid::root(), &[7; 65_536]);
        let digest = stores.each_ref().map(write)[0].to_string();
        let chunk = server.store_path("tank").join(".chunks").join(&digest[..4]).join(&digest);
        let [store, _] = stores;
        Self { server, store, chunk }
    }

    fn permit(&self, caller: &str, request: RepairRequest) -> Result<super::RepairPermit, JobDenied> {
        may_repair(&self.server.app.acl().unwrap(), &caller.parse().unwrap(), request)
    }

    async fn log(&self, request: RepairRequest) -> Vec<String> {
        let permit = self.permit("root@pam", request).unwrap();
        let upid = start_repair(&self.server.app, permit).await.unwrap();
        let lines = self.server.log_of(upid.as_str()).await;
        lines.into_iter().filter(|line| !line.starts_with("  verified")).collect()
    }
}

#[test]
fn an_origin_is_a_remote_or_another_store_of_this_server() {
    for (text, shown) in [("pbs2", "pbs2"), ("pbs2:tank", "pbs2:tank"), (":copy", ":copy"), ("-:copy", ":copy")] {
        assert_eq!(text.parse::<RepairOrigin>().unwrap().to_string(), shown);
    }
    for text in ["", "-", ":", "a:", "a:b:c", "a b", "pbs2:../x"] {
        let error = text.parse::<RepairOrigin>().unwrap_err().to_string();
        assert!(error.contains("is neither 'remote'"), "{error}");
    }
}

#[tokio::test]
async fn a_missing_chunk_comes_from_the_other_store_and_the_log_tells_it() {
    let bench = Bench::new();
    fs::remove_file(&bench.chunk).unwrap();
    let dry = RepairRequest { verifies_all: true, is_dry: true, ..request(":copy") };
    let log = bench.log(dry).await;
    assert_eq!(log[0], "repair datastore 'tank' from ':copy' (dry run)");
    assert!(log.contains(&"  would fetch 1 chunk(s) of 'disk.img.fidx' of vm/100/2026-01-01T10:00:00Z".to_owned()));
    assert!(!bench.chunk.exists());
    assert_eq!(bench.log(request(":copy")).await[1], "found 1 snapshot(s), 0 of them to be examined");

    let log = bench.log(RepairRequest { verifies_all: true, ..request(":copy") }).await;
    let digest = bench.chunk.file_name().unwrap().to_str().unwrap();
    let missing = format!("chunk {digest} of 'disk.img.fidx' is bad: chunk {digest} is missing");
    let failed = "verify tank:vm/100/2026-01-01T10:00:00Z/disk.img.fidx failed: chunks could not be verified";
    let expected = [
        "repair datastore 'tank' from ':copy'",
        "found 1 snapshot(s), 1 of them to be examined",
        "verify tank:vm/100/2026-01-01T10:00:00Z",
        "  check disk.img.fidx",
        &missing,
        failed,
        "  fetched 1 chunk(s) (64.012 KiB) of 'disk.img.fidx' of vm/100/2026-01-01T10:00:00Z",
        "verify tank:vm/100/2026-01-01T10:00:00Z",
        "  check disk.img.fidx",
        "vm/100/2026-01-01T10:00:00Z is whole again",
        "summary: 1 snapshot(s) examined, 1 damaged, 1 of them mended; 1 chunk(s) (64.012 KiB) and 0 file(s) put in place",
        "whole again:",
        "\tvm/100/2026-01-01T10:00:00Z",
    ];
    assert_eq!(log[..expected.len()], expected.map(|line| line.replace("WARN: ", "")), "{log:#?}");
    assert!(bench.chunk.exists());
    let (manifest, _) = bench.store.read_manifest(&Namespace::root(), &snapshot()).unwrap();
    assert_eq!(manifest.verify_state().unwrap().state, VerifyState::Ok);
}

#[tokio::test]
async fn a_group_without_owner_is_told_with_the_command_that_gives_it_one_and_gets_the_one_asked_for() {
    let bench = Bench::new();
    let owner = bench.server.store_path("tank").join("vm/100/owner");
    fs::remove_file(&owner).unwrap();
    let log = bench.log(request(":copy")).await;
    let hint = "  set one with 'farhold client change-owner vm/100 AUTH-ID --repository USER@SERVER:tank', or repair with \
                '--owner AUTH-ID'";
    assert!(log.contains(&hint.to_owned()), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("that of the source belongs to 'root@pam'")), "{log:#?}");
    let asked = RepairRequest { owner: Some("ann@pbs".parse().unwrap()), ..request(":copy") };
    let permit = bench.permit("root@pam", asked.clone()).unwrap();
    let error = start_repair(&bench.server.app, permit).await.unwrap_err().to_string();
    assert_eq!(error, "'ann@pbs' does not exist or is not active");
    bench.server.grant("/datastore/tank", "ann@pbs", Role::DatastoreBackup);
    let log = bench.log(RepairRequest { groups: vec!["type:ct".parse().unwrap()], ..asked.clone() }).await;
    assert_eq!(log[1], "found 0 snapshot(s), 0 of them to be examined");
    assert!(!owner.exists());
    let log = bench.log(asked).await;
    assert!(log.contains(&"vm/100 belongs now to 'ann@pbs'".to_owned()), "{log:#?}");
    assert_eq!(fs::read_to_string(&owner).unwrap(), "ann@pbs\n");
}

#[tokio::test]
async fn what_the_other_store_lacks_too_fails_the_task() {
    let bench = Bench::new();
    fs::remove_file(&bench.chunk).unwrap();
    let copy = bench.server.store_path("copy");
    fs::remove_file(copy.join(bench.chunk.strip_prefix(bench.server.store_path("tank")).unwrap())).unwrap();
    let log = bench.log(RepairRequest { verifies_all: true, ..request(":copy") }).await;
    assert!(log.iter().any(|line| line == "still damaged:"), "{log:#?}");
    assert_eq!(log.last().unwrap(), "TASK ERROR: repair left something damaged - please check the log for details");
}

#[tokio::test]
async fn a_store_cannot_mend_itself_and_unknown_places_are_told_at_once() {
    let bench = Bench::new();
    for (from, text) in [
        (":tank", "a datastore cannot be repaired from itself"),
        (":gone", "gone"),
        ("nobody", "no such remote 'nobody'"),
    ] {
        let permit = bench.permit("root@pam", request(from)).unwrap();
        let error = start_repair(&bench.server.app, permit).await.unwrap_err().to_string();
        assert!(error.contains(text), "{from}: {error}");
    }
}

#[test]
fn who_may_repair_may_verify_and_change_the_store_and_read_the_copy() {
    let bench = Bench::new();
    let server = &bench.server;
    server.grant("/datastore/tank", "admin@pbs", Role::DatastoreAdmin);
    server.grant("/datastore/tank", "power@pbs", Role::DatastorePowerUser);
    server.grant("/datastore/copy", "power@pbs", Role::DatastoreAdmin);
    let may = |caller: &str, from: &str| bench.permit(caller, request(from)).is_ok();
    assert!(!may("admin@pbs", ":copy") && !may("admin@pbs", "pbs2") && !may("power@pbs", ":copy"));
    server.grant("/datastore/copy", "admin@pbs", Role::DatastoreReader);
    server.grant("/remote/pbs2/tank", "admin@pbs", Role::RemoteSyncOperator);
    assert!(may("admin@pbs", ":copy") && may("admin@pbs", "pbs2") && !may("admin@pbs", "pbs2:other"));
}
