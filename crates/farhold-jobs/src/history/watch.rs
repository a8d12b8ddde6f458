//! Taking samples while some datastores do not answer, such as one on a server that is gone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use farhold_types::DatastoreName;
use thiserror::Error;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout_at};

use super::sample::{Sample, StoreReading, configured, host_reading, store_reading};
use crate::App;

/// How long a sample waits for all datastores together: a device that sleeps may need seconds, and the next sample is
/// due after ten.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// A sample was not taken: the work panicked, or the runtime ends.
#[derive(Debug, Error)]
#[error("work on a blocking thread ended without a result")]
pub struct WatchError(#[from] tokio::task::JoinError);

/// Takes samples one after the other. A store that does not answer in time is left out of a sample, and not asked again
/// before it has answered: there is at most one waiting thread for each store.
#[derive(Debug)]
pub struct Watch {
    limit: Duration,
    waiting: HashMap<DatastoreName, JoinHandle<Option<StoreReading>>>,
}

impl Default for Watch {
    fn default() -> Self {
        Self { limit: LOOK_LIMIT, waiting: HashMap::new() }
    }
}

impl Watch {
    /// Takes a sample and adds it to the history of the server.
    ///
    /// # Errors
    /// [`WatchError`].
    ///
    /// # Cancel safety
    /// A sample that is under way is lost.
    pub async fn sample(&mut self, app: &Arc<App>) -> Result<(), WatchError> {
        let looker = Arc::clone(app);
        let look = spawn_blocking(move || (looker.clock.now(), host_reading(&*looker.host), configured(&looker)));
        let (time, host, configured) = look.await?;
        self.waiting.retain(|_, waiting| !waiting.is_finished());
        let mut asked = Vec::new();
        for store in configured {
            if !self.waiting.contains_key(&store.name) {
                let (name, looker) = (store.name.clone(), Arc::clone(app));
                asked.push((name, spawn_blocking(move || store_reading(&looker, &store))));
            }
        }
        let deadline = Instant::now() + self.limit;
        let mut stores = Vec::new();
        for (name, mut reading) in asked {
            match timeout_at(deadline, &mut reading).await {
                Ok(answered) => stores.extend(answered?),
                Err(_) => {
                    tracing::debug!("datastore '{name}' does not answer");
                    self.waiting.insert(name, reading);
                }
            }
        }
        let keeper = Arc::clone(app);
        spawn_blocking(move || keeper.history.add(Sample { time, host, stores })).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestServer;

    fn names(server: &TestServer) -> Vec<String> {
        let [newest] = &server.app.history.samples(None)[..] else { panic!("one sample") };
        newest.stores.iter().map(|store| store.name.to_string()).collect()
    }

    #[tokio::test]
    async fn a_store_that_does_not_answer_is_left_out_until_it_does() {
        let server = TestServer::new();
        server.add_datastore_without_chunks("local");
        server.add_datastore_without_chunks("gone");
        let mut watch = Watch { limit: Duration::from_millis(100), ..Watch::default() };
        server.host.set_hanging(Some(server.store_path("gone")));
        for _ in 0..3 {
            server.clock.advance(10);
            watch.sample(&server.app).await.unwrap();
            assert_eq!(names(&server), ["local"]);
            assert_eq!(watch.waiting.len(), 1, "nobody else waits for it");
        }
        server.host.set_hanging(None);
        let waiting = watch.waiting.remove(&"gone".parse().unwrap()).unwrap();
        assert!(waiting.await.unwrap().is_some(), "the thread ends");
        server.clock.advance(10);
        watch.limit = LOOK_LIMIT;
        watch.sample(&server.app).await.unwrap();
        assert_eq!(names(&server), ["local", "gone"]);
    }
}
