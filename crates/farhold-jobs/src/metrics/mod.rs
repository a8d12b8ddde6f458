//! Metrics for Prometheus: what the jobs, the datastores and the program itself do.
//!
//! [`Facts`] are gathered at most every few seconds, whoever asks, without a look into any datastore. [`Samples`] are
//! what one caller may see of them. [`METRICS`] is the table of everything that may be among them.

mod facts;
mod jobs;
mod process;
mod samples;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use farhold_rules::acl::AclTree;
use farhold_types::Authid;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::app::App;
use facts::Facts;
use samples::Samples;

pub use jobs::{JobListError, ListedJob, all_jobs, known_keys};
pub use samples::sees_all;
pub use table::{METRICS, Metric, MetricKind};

/// How long gathered facts are good enough, in seconds: shorter than any sensible interval between two scrapes, and long
/// enough that many callers cost no more than one.
const FACTS_AGE_S: i64 = 5;

/// The metrics of one server.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Option<Arc<Facts>>>);

impl Metrics {
    /// Returns what `caller` may see, in the text form of Prometheus. Blocking.
    ///
    /// # Errors
    /// A configuration file cannot be read.
    pub fn text(&self, app: &App, acl: &AclTree, caller: &Authid) -> Result<String, JobListError> {
        let facts = self.facts(app)?;
        Ok(encode(Samples::of(&facts, acl, caller)))
    }

    /// Callers that come at the same time wait for the one that gathers.
    fn facts(&self, app: &App) -> Result<Arc<Facts>, JobListError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let age = |facts: &Arc<Facts>| app.clock.now().seconds_since(facts.time);
        if let Some(facts) = kept.as_ref().filter(|facts| (0..FACTS_AGE_S).contains(&age(facts))) {
            return Ok(Arc::clone(facts));
        }
        let facts = Arc::new(Facts::gather(app)?);
        *kept = Some(Arc::clone(&facts));
        Ok(facts)
    }
}

fn encode(samples: Samples) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(samples));
    let mut text = String::new();
    // Writing into a text does not fail.
    let _ = prometheus_client::encoding::prometheus_text::encode(&mut text, &registry);
    text
}

impl Collector for Samples {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in METRICS {
            let Some(samples) = self.0.get(metric.name) else { continue };
            let kind = match metric.kind {
                MetricKind::Gauge => MetricType::Gauge,
                MetricKind::Counter => MetricType::Counter,
            };
            let mut family = encoder.encode_descriptor(metric.name, metric.help, None, kind)?;
            for (labels, value) in samples {
                let mut sample = family.encode_family(labels)?;
                match metric.kind {
                    MetricKind::Gauge => sample.encode_gauge(value)?,
                    MetricKind::Counter => sample.encode_counter::<NoLabelSet, f64, f64>(value, None)?,
                }
            }
        }
        Ok(())
    }
}
