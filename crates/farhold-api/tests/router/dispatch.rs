//! The dispatcher's own promises: delays, order of checks, handlers that outlive their client, bounded bodies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::scene::{ADMIN, NOBODY, Scene, router, send};
use bytes::Bytes;
use farhold_api::declare::{Body, BodyError, ConnectionInfo, Endpoint, Reply};
use farhold_api::schema::named;
use farhold_api::{Call, DeclarationError, FORBIDDEN_DELAY, Router, UNAUTHORIZED_DELAY};
use http::Method;
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::json;
use tokio::time::Instant;

const RULES: &str = "/api2/json/config/traffic-control";

#[tokio::test(start_paused = true)]
async fn refusals_are_delayed_and_successes_are_not() {
    let router = router();
    let start = Instant::now();
    assert_eq!(send(&router, "GET", "/api2/json/version", &[("authorization", ADMIN)], vec![]).await.status, 200);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(send(&router, "GET", "/api2/json/version", &[], vec![]).await.status, 401);
    assert_eq!(start.elapsed(), UNAUTHORIZED_DELAY);
    let start = Instant::now();
    assert_eq!(send(&router, "GET", RULES, &[("authorization", NOBODY)], vec![]).await.status, 403);
    assert_eq!(start.elapsed(), FORBIDDEN_DELAY);
}

#[tokio::test(start_paused = true)]
async fn permission_is_checked_before_parameters() {
    let router = router();
    let wrong = format!("{RULES}?bogus=1");
    assert_eq!(send(&router, "GET", &wrong, &[("authorization", NOBODY)], vec![]).await.status, 403);
    assert_eq!(send(&router, "GET", &wrong, &[("authorization", ADMIN)], vec![]).await.status, 400);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let router = router();
    let stalled = StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, BodyError>>());
    let request = http::Request::post(RULES).header("authorization", ADMIN).body(Body::new(stalled)).unwrap();
    let response = router.dispatch(request, ConnectionInfo { peer: None, trusted: None }).await;
    assert_eq!(response.status(), 400);
}

#[tokio::test(start_paused = true)]
async fn a_body_without_end_is_read_only_up_to_a_limit() {
    let router = router();
    let endless = futures::stream::repeat_with(|| Ok::<_, BodyError>(Frame::data(Bytes::from(vec![b'a'; 65_536]))));
    let request =
        http::Request::post(RULES).header("authorization", ADMIN).body(Body::new(StreamBody::new(endless))).unwrap();
    let response = router.dispatch(request, ConnectionInfo { peer: None, trusted: None }).await;
    assert_eq!(response.status(), 400);
}

fn one(endpoint: Endpoint<Scene>) -> Result<Router<Scene>, DeclarationError> {
    Router::new(Arc::new(Scene::default()), vec![endpoint])
}

#[tokio::test(start_paused = true)]
async fn a_handler_runs_to_its_end_although_the_client_went_away() {
    let done = Arc::new(AtomicBool::new(false));
    let flag = done.clone();
    let router = one(Endpoint::get("/slow", "Take a while", move |_, _| {
        let flag = flag.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(10)).await;
            flag.store(true, Ordering::SeqCst);
            Ok(Reply::null())
        }
    }))
    .unwrap();
    let call = send(&router, "GET", "/api2/json/slow", &[("authorization", ADMIN)], vec![]);
    assert!(tokio::time::timeout(Duration::from_secs(1), call).await.is_err());
    assert!(!done.load(Ordering::SeqCst));
    router.shut_down(Duration::from_secs(60)).await;
    assert!(done.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_answers_500() {
    let router = one(Endpoint::get("/bad", "Fail", |_, _| async { panic!("a bug, on purpose") })).unwrap();
    let found = send(&router, "GET", "/api2/json/bad", &[("authorization", ADMIN)], vec![]).await;
    assert_eq!(found.status, 500);
}

#[tokio::test(start_paused = true)]
async fn calls_in_process_keep_permissions_and_parameters() {
    let router = router();
    let call = |caller: &str, path, params: serde_json::Value| {
        let params = params.as_object().unwrap().clone();
        router.call(Call { method: Method::POST, path, params, caller: caller.parse().unwrap() })
    };
    let path = "/config/traffic-control";
    let rule = json!({"name": "rule1", "network": ["10.0.0.0/8"]});
    assert_eq!(call(NOBODY, path, rule.clone()).await.unwrap_err().status(), 403);
    assert!(call(ADMIN, path, rule).await.is_ok());
    let error = call(ADMIN, path, json!({"name": "rule1"})).await.unwrap_err();
    assert_eq!(error.parameters().unwrap().iter().map(|(n, _)| n).collect::<Vec<_>>(), ["network"]);
    assert_eq!(call(ADMIN, "/nothing", json!({})).await.unwrap_err().status(), 404);
}

#[test]
fn declarations_that_contradict_each_other_make_no_router() {
    let endpoint = |path| Endpoint::get(path, "Do nothing", |_, _| async { Ok(Reply::null()) });
    assert!(matches!(one(endpoint("/a/{name}")), Err(DeclarationError::Variable { variable: "name", .. })));
    let twice = endpoint("/a").params(&[named::NS, named::NS]);
    assert!(matches!(one(twice), Err(DeclarationError::Parameter { name: "ns", .. })));
    let pair = vec![endpoint("/a/{store}").params(&[named::STORE]), endpoint("/a/{store}").params(&[named::STORE])];
    assert!(matches!(Router::new(Arc::new(Scene::default()), pair), Err(DeclarationError::Twice { .. })));
}

#[tokio::test(start_paused = true)]
async fn only_the_exact_protocol_name_over_http_1_is_upgraded() {
    let router =
        one(Endpoint::get("/session", "Switch", |_, request: farhold_api::declare::Request<Scene>| async move {
            request.check_upgrade("farhold-test")?;
            Ok(Reply::upgrade("farhold-test", |_| async {}))
        }))
        .unwrap();
    for (upgrade, expected) in [
        (None, 400),
        (Some("FARHOLD-TEST"), 400),
        (Some("farhold-test, other"), 400),
        (Some("other"), 400),
        (Some("farhold-test"), 101),
    ] {
        let mut headers = vec![("authorization", ADMIN)];
        headers.extend(upgrade.map(|name| ("upgrade", name)));
        let found = send(&router, "GET", "/api2/json/session", &headers, vec![]).await;
        assert_eq!(found.status, expected, "{upgrade:?}");
        if expected == 101 {
            assert_eq!((found.header("connection"), found.header("upgrade")), (Some("upgrade"), upgrade));
        }
    }
}
