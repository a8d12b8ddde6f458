//! The client that means well and must be served whatever others do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::lines::{Answer, Line, Speech, Wanted};
use crate::stage::{HONEST, PASSWORD, Stage};

/// Address that only the honest client comes from.
const ADDRESS: u8 = 1;

pub struct Honest {
    server: std::net::SocketAddr,
    key: String,
    longest_ms: AtomicU64,
}

impl Honest {
    pub fn of(stage: &Stage) -> Self {
        Self { server: stage.address, key: stage.honest.clone(), longest_ms: AtomicU64::new(0) }
    }

    async fn ask(&self, wanted: Wanted) -> Answer {
        // A connection of its own, so that getting one counts too.
        let mut line = Line::new(self.server, ADDRESS, Speech::Http1);
        let begin = Instant::now();
        let answer = line.exchange(&wanted).await.unwrap_or_else(|error| panic!("honest client: {error}"));
        let took = u64::try_from(begin.elapsed().as_millis()).unwrap();
        self.longest_ms.fetch_max(took, Ordering::Relaxed);
        assert_eq!(answer.status, 200, "honest client: {}", answer.text());
        answer
    }

    /// Asks something with an API token.
    pub async fn exchange(&self) {
        let wanted = Wanted::get("/api2/json/admin/datastore/honest/groups").with("authorization", &self.key);
        assert_eq!(self.ask(wanted).await.text(), r#"{"data":[]}"#);
    }

    /// Logs in with a password and asks something with the ticket.
    async fn login(&self) {
        let body = format!("username={}&password={PASSWORD}", HONEST.replace('@', "%40"));
        let answer = self.ask(Wanted::form("POST", "/api2/json/access/ticket", body)).await;
        let answer: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
        let cookie = format!("PBSAuthCookie={}", answer["data"]["ticket"].as_str().unwrap().replace(':', "%3A"));
        self.ask(Wanted::get("/api2/json/version").with("cookie", &cookie)).await;
    }

    /// Asks again and again until the attack is over; returns what came of it and how often there was an answer.
    pub async fn meanwhile<T>(&self, attack: impl Future<Output = T>) -> (T, usize) {
        self.beside(attack, false).await
    }

    pub async fn logs_in_meanwhile<T>(&self, attack: impl Future<Output = T>) -> (T, usize) {
        self.beside(attack, true).await
    }

    async fn beside<T>(&self, attack: impl Future<Output = T>, logs_in: bool) -> (T, usize) {
        let mut attack = std::pin::pin!(attack);
        let mut answered = 0;
        loop {
            let ask = async {
                self.exchange().await;
                if logs_in {
                    self.login().await;
                }
            };
            tokio::select! {
                biased;
                result = &mut attack => return (result, answered),
                () = ask => answered += 1,
            }
        }
    }
}

impl Drop for Honest {
    fn drop(&mut self) {
        // For people; nothing is asserted on time.
        eprintln!("honest client: waited {} ms at most", self.longest_ms.load(Ordering::Relaxed));
    }
}
