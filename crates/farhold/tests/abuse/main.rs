//! Rough handling of a real server process: requests that make no sense, senders that are slow or never stop, thousands of
//! connections that do nothing, guesses at speed.
//!
//! Whatever comes, an honest client is answered while it goes on, the server lives, its memory stays below a bound, no
//! answer is a server's error, and neither answers nor the log tell what they should not. All is on loopback; whoever
//! attacks comes from other addresses of it than the honest client. [`requests`]: what is asked. [`lines`]: how it is
//! sent. [`holding`], [`floods`] and [`frames`]: what is done to connections.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test that cannot continue should stop")]

mod dice;
mod floods;
mod frames;
mod holding;
mod honest;
mod lines;
mod requests;
#[path = "../support/scratch.rs"]
mod scratch;
#[path = "../product/site.rs"]
#[allow(dead_code, reason = "shared with other test programs")]
mod site;
mod stage;
#[path = "../support/trust_all.rs"]
mod trust_all;

use std::time::Duration;

use honest::Honest;
use stage::Stage;

/// How long a test waits for what must happen. Only a fault reaches it.
const PATIENCE: Duration = Duration::from_secs(150);

/// Fewest exchanges that the honest client must have had while an attack went on.
const FEWEST_EXCHANGES: usize = 3;

async fn patiently<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("{what}: nothing happens any more"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_broken_requests_do_no_harm() {
    let stage = Stage::start().await;
    let honest = Honest::of(&stage);
    let (faults, answered) = patiently("requests", honest.meanwhile(floods::requests(&stage))).await;
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n\n"));
    assert!(FEWEST_EXCHANGES <= answered, "{answered}");
    stage.finish("requests").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_do_nothing_or_little_or_too_much_hinder_nobody() {
    let stage = Stage::start().await;
    let honest = Honest::of(&stage);
    let idle = patiently("idle connections", holding::idle(&stage)).await;
    for _ in 0..FEWEST_EXCHANGES {
        patiently("beside idle connections", honest.exchange()).await;
    }
    // One address can have only its part; who speaks to the server on the host itself has places of his own.
    patiently("a greedy address", holding::greed(&stage, &honest)).await;
    drop(idle);
    let slow = holding::slow_senders(&stage).await;
    for _ in 0..FEWEST_EXCHANGES {
        patiently("beside slow senders", honest.exchange()).await;
    }
    let ((), answered) = patiently("frames", honest.meanwhile(frames::all(&stage))).await;
    assert!(FEWEST_EXCHANGES <= answered, "{answered}");
    patiently("oversized requests", floods::oversized(&stage)).await;
    patiently("bodies without credentials", floods::bodies_without_credentials(&stage)).await;
    patiently("afterwards", honest.exchange()).await;
    assert!(!slow.is_empty());
    drop(slow);
    stage.finish("connections").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_at_speed_keep_nobody_from_his_login() {
    let stage = Stage::start().await;
    let honest = Honest::of(&stage);
    let guessing = floods::guesses(&stage);
    let (faults, answered) = patiently("guesses", honest.logs_in_meanwhile(guessing)).await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(FEWEST_EXCHANGES <= answered, "{answered}");
    stage.finish("guesses").await;
}
