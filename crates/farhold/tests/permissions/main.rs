//! Who may do what: roles, paths, propagation, tokens, owners and namespaces, as a matrix of calls that are really made.
//!
//! What is expected comes from the specification: its tables are read (`table`), its rules are written down a second time
//! (`rules`), and both know nothing of the product. Calls go through the router of a composed server.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test that cannot continue should stop")]

mod cells;
mod lists;
mod rules;
mod scene;
#[allow(dead_code, reason = "shared by tests that need different parts")]
#[path = "../support/mod.rs"]
mod support;
mod table;

use cells::Sheet;
use rules::Line;
use scene::Scene;
use table::Rule;

/// How many cells the matrix has at least.
const CELLS: usize = 2000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_may_do_what_the_specification_says_and_nothing_else() {
    let scene = Scene::new().await;
    let rows = table::rows();
    let times = cells::newest_times(&scene).await;
    let mut sheet = Sheet::default();
    for lines in lists::all() {
        scene.set_acl(&lines);
        cells::declared(&scene, &rows, &lines, &mut sheet).await;
        cells::groups(&scene, &rows, &times, &lines, &mut sheet).await;
        cells::lists(&scene, &lines, &mut sheet).await;
    }
    println!("{} cells, {} calls", sheet.cells, sheet.allowed.union(&sheet.refused).count());
    let wrong: Vec<&str> = sheet.wrong.iter().map(|(_, text)| text.as_str()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(CELLS <= sheet.cells, "only {} cells", sheet.cells);
    // A call that nobody was refused, or nobody allowed, shows nothing.
    let open = |call: &&String| {
        let (method, path) = call.split_once(' ').unwrap();
        cells::row_of(&rows, method, path).is_some_and(|row| row.rule == Rule::Any)
    };
    let never_refused: Vec<_> = sheet.allowed.difference(&sheet.refused).filter(|call| !open(call)).collect();
    let never_allowed: Vec<_> = sheet.refused.difference(&sheet.allowed).collect();
    assert!(never_refused.is_empty(), "refused to nobody: {never_refused:?}");
    assert!(never_allowed.is_empty(), "allowed to nobody: {never_allowed:?}");
}

#[tokio::test]
async fn every_call_has_a_row() {
    let scene = Scene::new().await;
    let rows = table::rows();
    let missing: Vec<_> =
        scene.declared().into_iter().filter(|(method, path)| cells::row_of(&rows, method, path).is_none()).collect();
    assert!(missing.is_empty(), "calls of which the tables do not say who may make them: {missing:?}");
}

#[tokio::test]
async fn a_rule_that_is_weaker_than_the_product_is_noticed() {
    let scene = Scene::new().await;
    let mut rows = table::rows();
    let audit = rows.iter_mut().find(|row| row.path == "/config/remote/{name}" && row.method == "GET").unwrap();
    audit.rule = Rule::Any;
    let lines = [Line::new("/remote/near", scene::USER, "RemoteAudit", true)];
    scene.set_acl(&lines);
    let mut sheet = Sheet::default();
    cells::declared(&scene, &rows, &lines, &mut sheet).await;
    assert!(sheet.wrong.iter().any(|(call, _)| call == "GET /config/remote/{name}"), "{:?}", sheet.wrong);
}
