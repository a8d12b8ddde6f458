//! Taking one event to one target: where the outside begins for the dispatcher.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use farhold_notify::{DeliveryError, Event, Target};
use farhold_tasks::TaskFailure;

use crate::app::App;
use crate::notification_ways::{NotifyError, notify};

/// Why an event did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// For the server's log; holds no secrets.
    pub reason: String,
    /// Whether another attempt makes no sense.
    pub is_permanent: bool,
    /// Whether there is nobody who could be told: the target's users have no mail address, as root has none at first.
    pub is_for_nobody: bool,
}

/// One attempt to deliver.
pub type Attempt = Pin<Box<dyn Future<Output = Result<(), Undelivered>> + Send>>;

/// Takes events to targets.
pub trait Courier: Send + Sync + 'static {
    /// Makes one attempt.
    fn deliver(&self, target: Target, event: Event) -> Attempt;
}

/// The ways out of this host.
pub struct HostCourier {
    app: Arc<App>,
}

impl HostCourier {
    /// Returns those of a server.
    pub const fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

impl Courier for HostCourier {
    fn deliver(&self, target: Target, event: Event) -> Attempt {
        let app = Arc::clone(&self.app);
        Box::pin(async move {
            notify(&app, &target, &event).await.map_err(|error| Undelivered {
                is_permanent: error.is_permanent(),
                is_for_nobody: matches!(error, NotifyError::Delivery(DeliveryError::NoRecipient)),
                reason: TaskFailure::from_error(&error).text().to_owned(),
            })
        })
    }
}
