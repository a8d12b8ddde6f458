//! Moves as tasks: what their logs say, what stays, what is tried again.

use farhold_format::task_log::TaskStatus;
use farhold_rules::acl::AclPath;
use farhold_types::{Authid, Privileges};

use super::*;
use crate::Operation;
use crate::testing::TestServer;

struct Bench {
    server: TestServer,
    store: Datastore,
}

impl Bench {
    /// A server with a store that has these groups, as `namespace/type/id`, of one snapshot each.
    fn new(namespaces: &[&str], groups: &[(&str, &str)]) -> Self {
        let server = TestServer::new();
        let store = server.add_datastore_without_chunks("tank");
        for namespace in namespaces {
            store.create_namespace(&ns(namespace)).unwrap();
        }
        let bench = Self { server, store };
        for (namespace, group) in groups {
            bench.add(namespace, group, "2026-01-01T10:00:00Z");
        }
        bench
    }

    fn add(&self, namespace: &str, group: &str, time: &str) {
        let group: Group = group.parse().unwrap();
        drop(self.store.create_group(&ns(namespace), &group, &"a@pbs".parse().unwrap()).unwrap());
        let directory = self.store.local_path(&ns(namespace), &group, None).unwrap();
        std::fs::create_dir(directory.join(time)).unwrap();
    }

    fn handle(&self) -> StoreHandle {
        self.server.app.stores.open(&"tank".parse().unwrap(), Operation::Write).unwrap()
    }

    fn granted(&self) -> Granted {
        let root: Authid = "root@pam".parse().unwrap();
        let path = AclPath::datastore(&"tank".parse().unwrap(), &Namespace::root());
        self.server.app.acl().unwrap().require_all(&root, &path, Privileges::DATASTORE_MODIFY).unwrap()
    }

    async fn ended(&self, upid: Upid) -> (TaskStatus, Vec<String>) {
        let status = self.server.ended(&upid.to_string()).await;
        let page = self.server.app.tasks.log_lines(&upid, 0, 0).unwrap();
        let text = |line: farhold_tasks::LogLine| line.t.split_once(": ").unwrap().1.to_owned();
        (status, page.lines.into_iter().map(text).collect())
    }

    fn check(&self, source: &str, target: &str) -> Result<NamespaceMoveRequest, MoveRequestError> {
        let ends = (ns(source), ns(target));
        NamespaceMoveRequest::check(self.handle(), ends, None, Merge::Allowed, EmptiedNamespaces::Remove)
    }

    async fn move_namespace(&self, source: &str, target: &str) -> (TaskStatus, Vec<String>) {
        let request = self.check(source, target).unwrap();
        self.ended(super::move_namespace(&self.server.app, &self.granted(), request).await.unwrap()).await
    }

    fn shown(&self) -> Vec<String> {
        let mut shown = Vec::new();
        for namespace in self.store.namespaces(&Namespace::root(), 7).unwrap() {
            shown.push(format!("{namespace}:"));
            let groups = self.store.groups(&namespace).unwrap();
            shown.extend(groups.iter().map(|info| format!("{namespace}:{}", info.group)));
        }
        shown
    }
}

fn ns(text: &str) -> Namespace {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_group_moves_and_the_log_is_as_recorded() {
    let bench = Bench::new(&["x", "target"], &[("x", "vm/300")]);
    let request =
        GroupMoveRequest::check(bench.handle(), ns("x"), "vm/300".parse().unwrap(), ns("target"), Merge::Allowed);
    let upid = move_group(&bench.server.app, &bench.granted(), request.unwrap()).await.unwrap();
    assert_eq!((upid.worker_type(), upid.worker_id()), ("move-group", Some("tank:x/vm/300:target")));
    let (status, log) = bench.ended(upid).await;
    let former = bench.server.store_path("tank").join("ns/x/vm/300");
    let expected = [
        "moving group 'vm/300' from 'x' to 'target'".to_owned(),
        format!("removing backup group \"{}\"", former.display()),
        "TASK OK".to_owned(),
    ];
    assert_eq!((status, log), (TaskStatus::Ok, expected.to_vec()));
    assert_eq!(bench.shown(), [":", "target:", "target:vm/300", "x:"]);
}

#[tokio::test]
async fn a_namespace_moves_with_everything_below_and_the_log_is_as_recorded() {
    let groups = [("x/y", "host/small"), ("x/y/one", "host/small"), ("x/y/two", "vm/1")];
    let bench = Bench::new(&["x", "x/y", "x/y/one", "x/y/two", "target"], &groups);
    let (status, log) = bench.move_namespace("x/y", "target/moved").await;
    assert_eq!(status, TaskStatus::Ok);
    let lines: Vec<_> = log.iter().filter(|line| !line.starts_with("removing")).map(String::as_str).collect();
    let expected = [
        "moving namespace 'x/y' -> 'target/moved': 3 namespace(s)",
        "moving group 'host/small' from 'x/y' to 'target/moved'",
        "moved group 1 ('host/small' in 'x/y')",
        "moving group 'host/small' from 'x/y/one' to 'target/moved/one'",
        "moved group 2 ('host/small' in 'x/y/one')",
        "moving group 'vm/1' from 'x/y/two' to 'target/moved/two'",
        "moved group 3 ('vm/1' in 'x/y/two')",
        "TASK OK",
    ];
    assert_eq!(lines, expected);
    let left = [
        ":",
        "target:",
        "target/moved:",
        "target/moved:host/small",
        "target/moved/one:",
        "target/moved/one:host/small",
        "target/moved/two:",
        "target/moved/two:vm/1",
        "x:",
    ];
    assert_eq!(bench.shown(), left);
}

#[tokio::test]
async fn a_group_in_use_is_tried_again_and_then_stays_with_its_namespace() {
    let bench = Bench::new(&["x", "x/y"], &[("x", "vm/1"), ("x/y", "vm/2")]);
    let held = bench.store.lock_group(&ns("x"), &"vm/1".parse().unwrap()).unwrap();
    let (status, log) = bench.move_namespace("x", "z").await;
    assert_eq!(status, TaskStatus::Error("1 group(s) could not be moved, 1 were".to_owned()));
    assert_eq!(log.iter().filter(|line| line.starts_with("moving group 'vm/1'")).count(), 2, "{log:?}");
    assert_eq!(bench.shown(), [":", "x:", "x:vm/1", "z:", "z/y:", "z/y:vm/2"]);
    drop(held);
    // The next move goes on where this one stopped.
    assert_eq!(bench.move_namespace("x", "z").await.0, TaskStatus::Ok);
    assert_eq!(bench.shown(), [":", "z:", "z:vm/1", "z/y:", "z/y:vm/2"]);
}

#[tokio::test]
async fn a_namespace_can_replace_its_parent_without_mixing_groups() {
    let bench = Bench::new(&["a", "a/b", "a/b/b"], &[("a", "vm/1"), ("a/b", "vm/1"), ("a/b/b", "vm/1")]);
    // The group in a/b cannot go to a: it is not newer than the one there. So the one of a/b/b must not join it.
    let (status, _) = bench.move_namespace("a/b", "a").await;
    assert!(matches!(status, TaskStatus::Error(_)), "{status}");
    assert_eq!(bench.shown(), [":", "a:", "a:vm/1", "a/b:", "a/b:vm/1", "a/b/b:", "a/b/b:vm/1"]);
    let bench = Bench::new(&["a", "a/b", "a/b/b"], &[("a/b", "vm/1"), ("a/b/b", "vm/1")]);
    assert_eq!(bench.move_namespace("a/b", "a").await.0, TaskStatus::Ok);
    assert_eq!(bench.shown(), [":", "a:", "a:vm/1", "a/b:", "a/b:vm/1"]);
}

#[tokio::test]
async fn moves_that_make_no_sense_are_refused_before_anything_is_done() {
    let bench = Bench::new(&["x", "x/y", "d", "d/d", "d/d/d", "d/d/d/d", "d/d/d/d/d", "d/d/d/d/d/d"], &[]);
    let before = bench.shown();
    let refused = |source: &str, target: &str| bench.check(source, target).map(drop).unwrap_err();
    assert!(matches!(refused("", "z"), MoveRequestError::RootNamespace));
    assert!(matches!(refused("x", "x"), MoveRequestError::SameNamespace));
    assert!(matches!(refused("x", "x/z"), MoveRequestError::IntoItself { .. }));
    assert!(matches!(refused("nosuch", "z"), MoveRequestError::Datastore(DatastoreError::NamespaceMissing { .. })));
    assert!(matches!(refused("x", "no/such"), MoveRequestError::Datastore(DatastoreError::NamespaceMissing { .. })));
    assert!(matches!(refused("d", "x/y/d"), MoveRequestError::Map(MapError::DiscoveredDepth { .. })));
    let group = |from: &str, id: &str, to: &str| {
        GroupMoveRequest::check(bench.handle(), ns(from), id.parse().unwrap(), ns(to), Merge::Allowed).map(drop)
    };
    assert!(matches!(group("x", "vm/1", "x"), Err(MoveRequestError::SameNamespace)));
    assert!(matches!(group("", "vm/9", "x"), Err(MoveRequestError::Datastore(DatastoreError::GroupMissing { .. }))));
    assert!(group("x", "vm/1", "nosuch").is_err());
    assert_eq!(bench.shown(), before);
}

#[tokio::test]
async fn notes_that_go_are_told_in_the_log() {
    let bench = Bench::new(&["x"], &[("", "vm/1")]);
    bench.add("x", "vm/1", "2025-12-01T10:00:00Z");
    for (namespace, notes) in [("", "line 1\nline 2"), ("x", "others")] {
        let lock = bench.store.lock_group(&ns(namespace), &"vm/1".parse().unwrap()).unwrap();
        bench.store.set_group_notes(&lock, notes).unwrap();
    }
    let request = GroupMoveRequest::check(bench.handle(), ns(""), "vm/1".parse().unwrap(), ns("x"), Merge::Allowed);
    let upid = move_group(&bench.server.app, &bench.granted(), request.unwrap()).await.unwrap();
    let (status, log) = bench.ended(upid).await;
    assert_eq!(status, TaskStatus::Warnings(1));
    assert!(log.iter().any(|line| line.ends_with(r#"these are gone: "line 1\nline 2""#)), "{log:?}");
}

#[tokio::test]
async fn a_move_ends_when_the_server_stops() {
    let bench = Bench::new(&["x"], &[("x", "vm/1")]);
    let request = bench.check("x", "z").unwrap();
    let worker = move |context: TaskContext| async move {
        context.shutdown().cancelled().await;
        move_all(&request, &context)
    };
    let kind = TaskKind::new("move-namespace", None);
    let upid = bench.server.app.tasks.spawn(kind, &"root@pam".parse().unwrap(), worker).await.unwrap();
    bench.server.app.tasks.shutdown(std::time::Duration::from_secs(60)).await;
    let status = bench.server.ended(upid.as_str()).await;
    assert_eq!(status, TaskStatus::Error("Server shutdown requested - aborting task".to_owned()));
    assert_eq!(bench.shown(), [":", "x:", "x:vm/1", "z:"]);
}
