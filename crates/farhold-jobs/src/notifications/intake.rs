//! Turning events into deliveries, and finding the deliveries there are. Blocking.

use std::collections::{BTreeSet, HashSet};

use farhold_notify::{Configuration, Event, EventId, MAX_EVENT_BYTES, route};
use tokio::time::Instant;

use super::delivery::{Delivery, MAX_DELIVERY_BYTES, lane_of};
use super::lane::Waiting;
use super::{MAX_WAITING, Notifications, Recipient};
use crate::app::App;

/// Events that one look turns into deliveries, so that a flood keeps nobody from being told meanwhile.
const EVENTS_PER_LOOK: usize = 200;

/// A delivery that was found.
pub(super) struct Found {
    pub(super) lane: String,
    pub(super) only_newest: bool,
    pub(super) waiting: Waiting,
}

/// What one look has found.
pub(super) struct Look {
    /// In the order in which they were queued.
    pub(super) deliveries: Vec<Found>,
    /// What is left for the next look: events, and what could not be written.
    pub(super) events_left: usize,
    /// Whether another look would find more events to turn into deliveries right away.
    pub(super) has_more: bool,
}

/// Looks for events and deliveries.
#[derive(Debug, Default)]
pub(super) struct Intake {
    /// Warnings of the last look, so that each is given once and not every few seconds.
    told: BTreeSet<String>,
    /// What cannot be used of the settings, and targets that are named and missing: told once, as long as it stays so,
    /// however many events there are.
    told_of_settings: BTreeSet<String>,
    missing: BTreeSet<String>,
    /// Events whose deliveries are written, but that could not be removed. Nobody is to get them again.
    done: HashSet<EventId>,
}

impl Intake {
    /// Turns events into deliveries, oldest first, and returns the deliveries that are not `known` yet.
    ///
    /// Deliveries of an event of which some could not be written are not returned: they are written anew with the next
    /// look, and whoever had them by then would get them twice.
    pub(super) fn look(&mut self, app: &App, known: &HashSet<String>) -> Look {
        let mut warnings = BTreeSet::new();
        warnings.extend(app.notifications.write_kept());
        let Events { left, has_more } = self.take_events(app, &mut warnings);
        let deliveries = find_deliveries(app, known, &left, &mut warnings);
        for warning in warnings.difference(&self.told) {
            tracing::warn!("{warning}");
        }
        self.told = warnings;
        Look { deliveries, events_left: left.len() + app.notifications.kept_count(), has_more }
    }

    fn take_events(&mut self, app: &App, warnings: &mut BTreeSet<String>) -> Events {
        let spool = &app.notifications.spool;
        let names = spool.names(MAX_WAITING).unwrap_or_else(|error| {
            warnings.insert(format!("notifications cannot be looked for: {error}"));
            Vec::new()
        });
        let mut events = Vec::new();
        for name in names {
            match name.strip_suffix(".json").and_then(|id| id.parse::<EventId>().ok()) {
                Some(id) => events.push((spool.age_mark(&name), id, name)),
                None => drop(warnings.insert(format!("'{name}' among the notifications is none and is ignored"))),
            }
        }
        events.sort();
        let mut left: HashSet<EventId> = events.iter().map(|(_, id, _)| *id).collect();
        self.done.retain(|id| left.contains(id));
        if events.is_empty() {
            return Events { left, has_more: false };
        }
        let configuration = match Configuration::load(&app.settings) {
            Ok(configuration) => configuration,
            Err(error) => {
                warnings.insert(format!("notifications wait until their settings can be read: {}", chain(&error)));
                return Events { left, has_more: false };
            }
        };
        let problems: BTreeSet<String> = configuration.problems.iter().map(|problem| chain(problem)).collect();
        for problem in problems.difference(&self.told_of_settings) {
            tracing::warn!("{problem}");
        }
        self.told_of_settings = problems;
        self.missing.retain(|name| configuration.target(name).is_none());
        let mut handled = 0;
        for (_, id, name) in events {
            if handled == EVENTS_PER_LOOK {
                break;
            }
            if !self.done.contains(&id) {
                match take_event(app, &configuration, &mut self.missing, id, &name) {
                    Ok(()) => drop(self.done.insert(id)),
                    Err(reason) => {
                        warnings.insert(format!("notification {id} waits: {reason}"));
                        continue;
                    }
                }
            }
            left.remove(&id);
            match spool.remove(&name) {
                Ok(()) => drop(self.done.remove(&id)),
                Err(error) => drop(warnings.insert(format!("notification {id} cannot be removed: {error}"))),
            }
            handled += 1;
        }
        Events { has_more: handled == EVENTS_PER_LOOK, left }
    }
}

/// What became of the events.
struct Events {
    /// Those that are not turned into deliveries yet.
    left: HashSet<EventId>,
    has_more: bool,
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    farhold_tasks::TaskFailure::from_error(error).text().to_owned()
}

/// Writes one delivery for each target of an event.
fn take_event(
    app: &App,
    configuration: &Configuration,
    missing: &mut BTreeSet<String>,
    id: EventId,
    name: &str,
) -> Result<(), String> {
    let Notifications { spool, deliveries, .. } = &app.notifications;
    let Some(bytes) = spool.read(name, MAX_EVENT_BYTES).map_err(|error| error.to_string())? else { return Ok(()) };
    let event = Event::from_json(&bytes).map_err(|error| chain(&error))?;
    if event.id != id {
        return Err("it has another name than its file".to_owned());
    }
    for target in route(&event, &configuration.matchers, &app.time_zone) {
        match configuration.target(&target) {
            None if missing.contains(&target) => {
                tracing::debug!("notification {id} is not delivered to {target}, which is missing");
            }
            None => {
                tracing::error!(
                    "notification {id} has a target '{target}' that does not exist or cannot be used; it and all that follow \
                     are not delivered there until the target or the matchers that name it are mended"
                );
                missing.insert(target);
            }
            Some(target) if target.is_disabled => {}
            Some(_) => {
                let delivery = app.notifications.delivery(Recipient::Target(target), event.clone(), app.clock.now());
                deliveries.put(&delivery.file_name(), &delivery.to_json()).map_err(|error| error.to_string())?;
            }
        }
    }
    Ok(())
}

fn find_deliveries(
    app: &App,
    known: &HashSet<String>,
    unfinished: &HashSet<EventId>,
    warnings: &mut BTreeSet<String>,
) -> Vec<Found> {
    // Lanes hold more together than may be queued from outside; beyond this they wait for others to go.
    let names = app.notifications.deliveries.names(4 * MAX_WAITING).unwrap_or_else(|error| {
        warnings.insert(format!("waiting deliveries cannot be looked for: {error}"));
        Vec::new()
    });
    let (now, at) = (app.clock.now(), Instant::now());
    let mut found = Vec::new();
    let is_unfinished = |name: &str| {
        name.split_once('.').and_then(|(id, _)| id.parse().ok()).is_some_and(|id| unfinished.contains(&id))
    };
    for name in names.into_iter().filter(|name| !known.contains(name) && !is_unfinished(name)) {
        match read_delivery(&app.notifications, &name) {
            Ok(None) => {}
            // The event itself stays in its file: thousands of them may wait.
            Ok(Some(delivery)) => found.push((
                (delivery.queued, delivery.sequence),
                Found {
                    lane: delivery.recipient.lane(),
                    only_newest: delivery.recipient.only_newest(),
                    waiting: Waiting::new(&delivery, now, at),
                },
            )),
            Err(reason) => {
                warnings.insert(format!("delivery '{name}' is ignored: {reason}"));
            }
        }
    }
    found.sort_by_key(|(order, _)| *order);
    found.into_iter().map(|(_, found)| found).collect()
}

/// Returns the delivery in a file; `None` if it is gone.
pub(super) fn read_delivery(notifications: &Notifications, name: &str) -> Result<Option<Delivery>, String> {
    if lane_of(name).is_none() {
        return Err("it has another name".to_owned());
    }
    let bytes = notifications.deliveries.read(name, MAX_DELIVERY_BYTES).map_err(|error| error.to_string())?;
    let Some(bytes) = bytes else { return Ok(None) };
    let delivery = Delivery::from_json(&bytes).map_err(|error| error.to_string())?;
    if delivery.file_name() == name { Ok(Some(delivery)) } else { Err("it has another name".to_owned()) }
}
