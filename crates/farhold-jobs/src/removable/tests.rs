use std::fs;
use std::path::Path;
use std::time::Duration;

use farhold_settings::{DatastoreConfig, Entries, SettingsError};
use farhold_storage::{BackingDevices, FileSystemUuid};
use farhold_types::{KeepOptions, SyncJob};

use super::*;
use crate::datastore_jobs::{
    DatastoreJobError, NewDatastore, RemoveDatastore, create_datastore, prepare_removal, remove_datastore,
};
use crate::stores::Operation;
use crate::testing::TestServer;

const UUID: &str = "7f3c9a10-0000-4000-8000-00000000c0de";

fn uuid() -> FileSystemUuid {
    UUID.parse().unwrap()
}

fn usb() -> DatastoreName {
    "usb".parse().unwrap()
}

fn config(name: &str, path: &str) -> DatastoreConfig {
    let config = DatastoreConfig::new(name.parse().unwrap(), path.to_owned());
    DatastoreConfig { backing_device: Some(UUID.to_owned()), ..config }
}

/// A server with a device that holds a small store, plugged in and configured.
fn server() -> TestServer {
    let server = TestServer::new();
    let device = server.folder().join("device");
    fs::create_dir_all(device.join("pbs/.chunks")).unwrap();
    server.devices.plug(&uuid(), &device);
    let add = |stores: &mut Entries<_>| stores.insert(config("usb", "pbs"));
    server.app.settings.datastores().edit::<_, SettingsError>(None, add).unwrap();
    server
}

fn permit(server: &TestServer) -> MountPermit {
    may_mount(&server.app.acl().unwrap(), &Authid::root(), &usb()).unwrap()
}

fn status(server: &TestServer) -> (MountStatus, Option<String>) {
    let stores = server.app.settings.datastores().load().unwrap().entries;
    let config = stores.get("usb").unwrap().unwrap();
    (server.app.stores.mount_status(config), config.maintenance_mode.clone())
}

async fn ended(server: &TestServer, upid: &Upid) -> TaskStatus {
    server.app.tasks.wait(upid).await.unwrap()
}

fn log_of(server: &TestServer, upid: &Upid) -> Vec<String> {
    let page = server.app.tasks.log_lines(upid, 0, 0).unwrap();
    // Each line has a time stamp in front.
    page.lines.iter().map(|line| line.t[27..].to_owned()).collect()
}

async fn mount_it(server: &TestServer) -> Upid {
    let upid = mount(&server.app, &permit(server)).await.unwrap();
    assert_eq!(ended(server, &upid).await, TaskStatus::Ok);
    upid
}

async fn unmount_it(server: &TestServer) -> TaskStatus {
    let upid = unmount(&server.app, &permit(server)).await.unwrap();
    ended(server, &upid).await
}

/// Returns the tasks of a type, oldest first.
fn tasks(server: &TestServer, worker_type: &str) -> Vec<Upid> {
    let filter = farhold_tasks::TaskFilter { type_part: Some(worker_type.to_owned()), ..Default::default() };
    let page = server.app.tasks.list(&filter, |_| true).unwrap();
    let mut tasks: Vec<Upid> = page.items.iter().map(|item| item.upid.parse().unwrap()).collect();
    tasks.sort_by_key(Upid::to_string);
    tasks
}

fn is_empty(folder: &Path) -> bool {
    !folder.exists() || fs::read_dir(folder).unwrap().next().is_none()
}

#[tokio::test(start_paused = true)]
async fn a_store_can_be_used_only_while_its_device_is_mounted() {
    let server = server();
    let open = || server.app.stores.open(&usb(), Operation::Read);
    assert!(matches!(open(), Err(StoreAccessError::NotMounted { .. })));
    let upid = mount_it(&server).await;
    let log = log_of(&server, &upid);
    assert!(log[0].starts_with(&format!("temporarily mounting '{UUID}' to '")), "{log:?}");
    assert!(log[1].starts_with("bind mount 'usb'(pbs) to '"), "{log:?}");
    assert_eq!(log[2..], ["TASK OK"]);
    assert!(is_empty(&server.folder().join("run/mount")), "nothing is left of the temporary mount");
    open().unwrap();

    let again = mount_it(&server).await;
    assert!(log_of(&server, &again)[0].starts_with("device is already mounted at '"));
    server.devices.pull(&uuid());
    assert!(matches!(open(), Err(StoreAccessError::NotMounted { .. })), "it was pulled out");
}

#[tokio::test(start_paused = true)]
async fn a_device_that_is_not_there_is_named_and_nothing_is_left_behind() {
    let server = server();
    server.devices.pull(&uuid());
    let upid = mount(&server.app, &permit(&server)).await.unwrap();
    let expected = format!("no device with the file system {UUID} found");
    assert_eq!(ended(&server, &upid).await, TaskStatus::Error(expected));
    assert!(is_empty(&server.folder().join("run/mount")));
    assert_eq!(status(&server), (MountStatus::NotMounted, None));
}

#[tokio::test(start_paused = true)]
async fn a_failed_run_says_that_the_device_was_pulled_out_meanwhile() {
    let server = server();
    mount_it(&server).await;
    let failed = TaskStatus::Error("namespace 'a' does not exist".to_owned());
    assert_eq!(gone_meanwhile(&server.app, &usb(), &failed), None, "it failed for another reason");
    server.devices.pull(&uuid());
    let line = gone_meanwhile(&server.app, &usb(), &failed).unwrap();
    assert!(line.starts_with("datastore 'usb' is not mounted any more: "), "{line}");
    assert_eq!(gone_meanwhile(&server.app, &usb(), &TaskStatus::Ok), None);
    let refused = server.app.stores.open(&usb(), Operation::Write).err().unwrap();
    let refused = TaskStatus::Error(refused.to_string());
    assert_eq!(gone_meanwhile(&server.app, &usb(), &refused), None, "that error says it already: {refused}");
    server.add_datastore_without_chunks("fixed");
    assert_eq!(gone_meanwhile(&server.app, &"fixed".parse().unwrap(), &failed), None);
}

#[tokio::test(start_paused = true)]
async fn only_removable_stores_are_mounted_and_only_mounted_ones_unmounted() {
    let server = server();
    server.add_datastore_without_chunks("fixed");
    let acl = server.app.acl().unwrap();
    let of = |name: &str| may_mount(&acl, &Authid::root(), &name.parse().unwrap()).unwrap();
    let refused = mount(&server.app, &of("fixed")).await.unwrap_err();
    assert_eq!(refused.to_string(), "datastore 'fixed' is not removable");
    let refused = mount(&server.app, &of("nosuch")).await.unwrap_err();
    assert_eq!(refused.to_string(), "no such datastore 'nosuch'");
    let refused = unmount(&server.app, &permit(&server)).await.unwrap_err();
    assert_eq!(refused.to_string(), "datastore 'usb' is not mounted");
    assert_eq!(status(&server), (MountStatus::NotMounted, None));
}

#[tokio::test(start_paused = true)]
async fn unmounting_lets_nobody_in_and_waits_for_who_is_there() {
    let server = server();
    mount_it(&server).await;
    let reader = server.app.stores.open(&usb(), Operation::Read).unwrap();
    let first = unmount(&server.app, &permit(&server)).await.unwrap();
    assert_eq!(status(&server), (MountStatus::Mounted, Some("unmount".to_owned())));
    let refused = server.app.stores.open(&usb(), Operation::Read).err().unwrap();
    assert!(matches!(refused, StoreAccessError::Maintenance { .. }), "{refused}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(log_of(&server, &first), ["waiting for active operations to finish: read 1, write 0"]);

    let second = unmount(&server.app, &permit(&server)).await.unwrap();
    drop(reader);
    let ends = [ended(&server, &first).await, ended(&server, &second).await];
    assert!(ends.contains(&TaskStatus::Ok), "{ends:?}");
    assert!(ends.iter().any(|end| matches!(end, TaskStatus::Error(_))), "one of them comes too late: {ends:?}");
    assert_eq!(status(&server), (MountStatus::NotMounted, None));
}

#[tokio::test(start_paused = true)]
async fn a_stopped_unmount_leaves_the_store_mounted_and_usable() {
    let server = server();
    mount_it(&server).await;
    let _writer = server.app.stores.open(&usb(), Operation::Write).unwrap();
    let upid = unmount(&server.app, &permit(&server)).await.unwrap();
    server.app.tasks.abort(&upid);
    assert_eq!(ended(&server, &upid).await, TaskStatus::Error("aborted, due to user request".to_owned()));
    assert_eq!(status(&server), (MountStatus::Mounted, None));
    server.app.stores.open(&usb(), Operation::Write).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_mode_that_was_set_meanwhile_stops_unmounting_and_stays() {
    let server = server();
    mount_it(&server).await;
    let reader = server.app.stores.open(&usb(), Operation::Read).unwrap();
    let upid = unmount(&server.app, &permit(&server)).await.unwrap();
    let set_offline = |stores: &mut Entries<_>| {
        stores.update(DatastoreConfig { maintenance_mode: Some("offline".to_owned()), ..config("usb", "pbs") })
    };
    server.app.settings.datastores().edit::<_, SettingsError>(None, set_offline).unwrap();
    assert!(matches!(ended(&server, &upid).await, TaskStatus::Error(_)));
    assert_eq!(status(&server), (MountStatus::Mounted, Some("offline".to_owned())));
    drop(reader);
}

#[tokio::test(start_paused = true)]
async fn garbage_is_collected_before_unmounting_if_the_store_wants_it_and_it_can_be() {
    let server = server();
    let wanted = DatastoreConfig { gc_on_unmount: Some(true), ..config("usb", "pbs") };
    let update = |config: DatastoreConfig| {
        let update = |stores: &mut Entries<_>| stores.update(config);
        server.app.settings.datastores().edit::<_, SettingsError>(None, update).unwrap();
    };
    update(wanted.clone());
    mount_it(&server).await;
    assert_eq!(unmount_it(&server).await, TaskStatus::Ok);
    let [collection] = &tasks(&server, "garbage_collection")[..] else { panic!() };
    assert_eq!(collection.authid(), &Authid::root());
    assert!(!server.app.tasks.is_running(collection), "unmounting waits for it");

    // A store that may not be written is unmounted without.
    mount_it(&server).await;
    update(DatastoreConfig { maintenance_mode: Some("read-only".to_owned()), ..wanted });
    let upid = unmount(&server.app, &permit(&server)).await.unwrap();
    assert_eq!(ended(&server, &upid).await, TaskStatus::Ok);
    assert!(log_of(&server, &upid)[0].starts_with("no garbage is collected: "));
    assert_eq!(tasks(&server, "garbage_collection").len(), 1);
    assert_eq!(status(&server), (MountStatus::NotMounted, None));
}

#[tokio::test(start_paused = true)]
async fn a_busy_device_keeps_the_mode_until_a_later_unmount_succeeds() {
    let server = server();
    mount_it(&server).await;
    server.devices.set_busy(true);
    let end = unmount_it(&server).await;
    assert!(matches!(&end, TaskStatus::Error(text) if text.starts_with("failed to unmount ")), "{end:?}");
    assert_eq!(status(&server), (MountStatus::Mounted, Some("unmount".to_owned())));
    assert!(server.app.stores.open(&usb(), Operation::Read).is_err());
    server.devices.set_busy(false);
    assert_eq!(unmount_it(&server).await, TaskStatus::Ok);
    assert_eq!(status(&server), (MountStatus::NotMounted, None));
}

#[tokio::test(start_paused = true)]
async fn mounting_ends_an_unmount_that_was_cut_off_and_no_other_mode() {
    let server = server();
    for (left, stays) in [("unmount", None), ("offline", Some("offline".to_owned()))] {
        let mode = Some(left.to_owned());
        let set =
            |stores: &mut Entries<_>| stores.update(DatastoreConfig { maintenance_mode: mode, ..config("usb", "pbs") });
        // As if the server had been killed when the device was gone and the mode was not.
        server.app.settings.datastores().edit::<_, SettingsError>(None, set).unwrap();
        let upid = mount_it(&server).await;
        let told = log_of(&server, &upid).iter().any(|line| line.contains("which was left over"));
        assert_eq!((told, status(&server)), (stays.is_none(), (MountStatus::Mounted, stays)));
        server.app.stores.close(&usb());
        let place = server.app.stores.content_path(&config("usb", "pbs"));
        server.app.stores.removable().devices.unmount(&place).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn scenario_100_a_job_that_fails_stops_neither_the_next_ones_nor_the_unmounting_after_them() {
    let server = server();
    server.add_datastore_without_chunks("local");
    let job = |id: &str, ns: &str, done: bool| {
        let mut job = SyncJob::new(id.parse().unwrap(), usb(), "local".parse().unwrap());
        job.ns = (!ns.is_empty()).then(|| ns.parse().unwrap());
        (job.run_on_mount, job.unmount_on_done) = (Some(true), Some(done));
        job
    };
    // The middle one reads from a namespace that does not exist, and fails.
    let failing = SyncJob { remote_ns: Some("nosuch".parse().unwrap()), ..job("mmm", "", false) };
    let other = SyncJob { run_on_mount: None, ..job("not-on-mount", "", true) };
    for job in [job("zzz", "", false), failing, job("aaa", "", true), other] {
        let add = |jobs: &mut Entries<_>| jobs.insert(job);
        server.app.settings.sync_jobs().edit::<_, SettingsError>(None, add).unwrap();
    }
    let upid = mount_it(&server).await;
    assert_eq!(log_of(&server, &upid)[2..], ["starting 3 sync jobs", "TASK OK"]);
    let [runner] = &tasks(&server, "mount-sync-jobs")[..] else { panic!() };
    assert_eq!(ended(&server, runner).await, TaskStatus::Ok);
    let log = [
        "will run 3 sync jobs: aaa, mmm, zzz",
        "[1/3] starting 'aaa'...",
        "[2/3] starting 'mmm'...",
        "[3/3] starting 'zzz'...",
        "unmounting the datastore",
        "TASK OK",
    ];
    assert_eq!(log_of(&server, runner), log);
    let runs = tasks(&server, "syncjob");
    let mut ends = Vec::new();
    for run in &runs {
        assert_eq!(run.authid(), &Authid::root());
        ends.push(matches!(ended(&server, run).await, TaskStatus::Ok));
    }
    assert_eq!(ends, [true, false, true]);
    let [unmounting] = &tasks(&server, "unmount-device")[..] else { panic!() };
    assert_eq!(ended(&server, unmounting).await, TaskStatus::Ok);
    assert_eq!(status(&server), (MountStatus::NotMounted, None));

    // A run by hand never unmounts.
    let no_jobs = |stored: &mut Entries<farhold_settings::SyncJobs>| {
        let jobs: Vec<SyncJob> = stored.usable().cloned().collect();
        jobs.into_iter().try_for_each(|job| stored.update(SyncJob { run_on_mount: None, ..job }))
    };
    server.app.settings.sync_jobs().edit::<_, SettingsError>(None, no_jobs).unwrap();
    mount_it(&server).await;
    let job = server.app.settings.sync_jobs().load().unwrap().entries.get("aaa").unwrap().unwrap().clone();
    assert_eq!(job.unmount_on_done, Some(true));
    let may_run = crate::permission::may_change_stored(&server.app.acl().unwrap(), &Authid::root(), &job).unwrap();
    let upid = crate::sync_run::start_job(&server.app, &may_run, job, None).await.unwrap();
    assert_eq!(ended(&server, &upid).await, TaskStatus::Ok);
    assert_eq!(status(&server), (MountStatus::Mounted, None));
    assert_eq!(tasks(&server, "unmount-device").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn scenario_99_mounting_runs_the_jobs_of_the_store_in_order_and_mounting_again_none() {
    let server = server();
    for store in ["local", "other"] {
        server.add_datastore_without_chunks(store);
    }
    for (id, store) in [("bbb", "usb"), ("aaa", "usb"), ("ccc", "other")] {
        let mut job = SyncJob::new(id.parse().unwrap(), store.parse().unwrap(), "local".parse().unwrap());
        job.run_on_mount = Some(true);
        let add = |jobs: &mut Entries<_>| jobs.insert(job);
        server.app.settings.sync_jobs().edit::<_, SettingsError>(None, add).unwrap();
    }
    mount_it(&server).await;
    let [runner] = &tasks(&server, "mount-sync-jobs")[..] else { panic!() };
    assert_eq!(ended(&server, runner).await, TaskStatus::Ok);
    assert_eq!(log_of(&server, runner)[0], "will run 2 sync jobs: aaa, bbb");
    let ids: Vec<String> = tasks(&server, "syncjob").iter().map(|run| run.worker_id().unwrap().to_owned()).collect();
    assert_eq!(ids, ["-:local:usb::aaa", "-:local:usb::bbb"]);
    mount_it(&server).await;
    assert_eq!(tasks(&server, "mount-sync-jobs").len(), 1);
    assert_eq!(status(&server), (MountStatus::Mounted, None));
}

#[test]
fn a_uuid_belongs_to_a_store_only_if_it_is_the_only_one() {
    let server = server();
    assert_eq!(store_on_device(&server.app, UUID).unwrap(), Some(usb()));
    for text in ["00000000-1111-2222-3333-444444444444", "no uuid", ""] {
        assert_eq!(store_on_device(&server.app, text).unwrap(), None);
    }
    let add = |stores: &mut Entries<_>| stores.insert(config("usb2", "other"));
    server.app.settings.datastores().edit::<_, SettingsError>(None, add).unwrap();
    assert_eq!(store_on_device(&server.app, UUID).unwrap(), None);
}

#[test]
fn mounting_needs_the_store_and_the_disks() {
    let server = TestServer::new();
    let who: Authid = "ann@pbs".parse().unwrap();
    server.grant("/datastore/usb", "ann@pbs", farhold_types::Role::DatastoreAdmin);
    let denied = may_mount(&server.app.acl().unwrap(), &who, &usb()).unwrap_err();
    assert_eq!(denied.path.to_string(), "/system/disks");
    server.grant("/system/disks", "ann@pbs", farhold_types::Role::Admin);
    may_mount(&server.app.acl().unwrap(), &who, &usb()).unwrap();
    may_mount(&server.app.acl().unwrap(), &who, &"other".parse().unwrap()).unwrap_err();
}

fn new_store(name: &str, path: &str, reuses_existing: bool) -> NewDatastore {
    let mut config = config(name, path);
    config.tuning = Some("gc-atime-safety-check=0".to_owned());
    NewDatastore { config, reuses_existing, prune_schedule: None, keep: KeepOptions::default() }
}

#[tokio::test(start_paused = true)]
async fn stores_of_one_device_lie_beside_each_other_and_failed_ones_are_unmounted() {
    let server = server();
    let root = Authid::root();
    for path in ["pbs", "pbs/sub", "."] {
        let upid = create_datastore(&server.app, &root, new_store("usb2", path, false)).await.unwrap();
        let end = ended(&server, &upid).await;
        assert!(matches!(&end, TaskStatus::Error(text) if text.contains("cannot be nested")), "{path}: {end:?}");
    }
    let upid = create_datastore(&server.app, &root, new_store("usb2", "empty", true)).await.unwrap();
    assert!(matches!(ended(&server, &upid).await, TaskStatus::Error(_)), "there is nothing to adopt");
    let stores = server.app.settings.datastores().load().unwrap().entries;
    assert!(!stores.contains("usb2"));
    assert!(!server.devices.is_mounted(&uuid(), &server.folder().join("mnt/usb2")), "unmounted again");
}

#[tokio::test(start_paused = true)]
async fn a_store_is_made_on_its_device_and_removed_from_it() {
    let server = server();
    let root = Authid::root();
    let name: DatastoreName = "usb2".parse().unwrap();
    let upid = create_datastore(&server.app, &root, new_store("usb2", "two", false)).await.unwrap();
    assert_eq!(ended(&server, &upid).await, TaskStatus::Ok);
    assert!(server.folder().join("device/two/.chunks/ffff").is_dir());
    server.app.stores.open(&name, Operation::Write).unwrap();

    let destroy = RemoveDatastore { keeps_job_configs: false, destroys_data: true };
    let acl = server.app.acl().unwrap();
    server.devices.pull(&uuid());
    let refused = prepare_removal(&server.app, &acl, &root, &name, None, destroy).unwrap_err();
    assert!(matches!(refused, DatastoreJobError::DataNotMounted { .. }), "{refused}");
    server.devices.plug(&uuid(), &server.folder().join("device"));
    prepare_removal(&server.app, &acl, &root, &name, None, destroy).unwrap();
    let upid = remove_datastore(&server.app, &root, &name, destroy).await.unwrap();
    assert_eq!(ended(&server, &upid).await, TaskStatus::Ok);
    assert!(is_empty(&server.folder().join("device/two")));
    assert!(!server.folder().join("mnt/usb2").exists());
    assert!(server.folder().join("device/pbs/.chunks").is_dir(), "the other store stays");

    let keep = RemoveDatastore { destroys_data: false, ..destroy };
    mount_it(&server).await;
    let upid = remove_datastore(&server.app, &root, &usb(), keep).await.unwrap();
    assert_eq!(ended(&server, &upid).await, TaskStatus::Ok);
    assert!(server.folder().join("device/pbs/.chunks").is_dir());
    assert!(!server.devices.is_mounted(&uuid(), &server.folder().join("mnt/usb")));
}
