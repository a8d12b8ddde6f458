//! Notifications: what happened, who is told, in which words, and the ways out of the house.
//!
//! An [`Event`] says that something happened. [`Configuration`] holds the targets and matchers of the settings;
//! [`route`] decides which targets an event goes to. [`Templates`] turns the event into words, and [`deliver`] takes
//! them to one target: the local mail system, a mail server, a Gotify server, a web hook, or an address that is only
//! called ([`Target::ping`]).
//!
//! Each delivery is one attempt with a bound on every wait. Its error says whether another attempt makes sense; keeping
//! events until then is the caller's business, and so is which events there are. Nothing of a target's secrets is ever
//! part of an error or of a debug text.
//!
//! Source: `docs/spec/schedules-and-tasks.md` 10.

mod address;
mod delivery;
mod engine;
mod event;
mod mail;
mod matcher;
mod patience;
mod sendmail;
mod smtp;
mod target;
mod tls;
mod visible;
mod web;
mod words;

pub use address::{AddressFault, check_server, check_template};
pub use delivery::{AddressOf, DeliveryError, Outside, deliver};
pub use engine::TemplateFault;
pub use event::{Event, EventError, EventId, MAX_EVENT_BYTES, Severity};
pub use matcher::{Matcher, MatcherError, route};
pub use target::{
    Configuration, Encryption, Method, NamedTemplate, Problem, Recipients, Sender, Target, TargetError, TargetKind,
};
pub use words::{Rendered, Templates};
