//! Asking the other side again after the connection broke: how often, with which pauses, and when to give up.
//!
//! The only place that decides it: whoever talks to the source of a pull or the target of a push tries once. One `Retry` serves a whole run, so that all
//! its groups share what is known about the line. A run gives up after a time without any answer, not after a number
//! of attempts; pauses double and are a little random, so that many servers do not come back to one source at the same
//! moment. Once the run gave up, nobody waits any more: the remaining requests fail at once, except for a probe now and
//! then, until something succeeds.
//!
//! Source: `docs/spec/sync.md` C.2 W29.

use std::error::Error;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::event::{EventSink, SyncEvent};
use crate::fault::RequestFault;
use crate::outcome::{GroupFailure, chain};
use crate::push::target::RemoteError;
use crate::source::SourceError;

/// A failed request to the other side of a run.
pub(crate) trait RequestError: Error + Sized {
    /// Returns whether the connection broke, so that the same request may succeed.
    fn is_connection_lost(&self) -> bool;

    /// Returns the error of a request that was not even sent, since the run gave up with `text`.
    fn given_up(text: String) -> Self;
}

impl RequestError for SourceError {
    fn is_connection_lost(&self) -> bool {
        self.fault == RequestFault::ConnectionLost
    }

    fn given_up(text: String) -> Self {
        Self::new(RequestFault::ConnectionLost, text)
    }
}

impl RequestError for RemoteError {
    fn is_connection_lost(&self) -> bool {
        self.fault == RequestFault::ConnectionLost
    }

    fn given_up(text: String) -> Self {
        Self::new(RequestFault::ConnectionLost, text)
    }
}

impl RequestError for GroupFailure {
    fn is_connection_lost(&self) -> bool {
        self.remote_fault() == Some(RequestFault::ConnectionLost)
    }

    fn given_up(text: String) -> Self {
        RemoteError::given_up(text).into()
    }
}

/// How long a run goes on without any answer of a source that answered before. Survives a restart of the source and a
/// line that is down for half a minute, also when that shows only after a connection was silent for a minute.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(120);

/// The same for a source that never answered in this run: somebody may wait for the news that its address is wrong.
const FIRST_CONTACT: Duration = Duration::from_secs(10);

/// The first pause: most connections that break can be replaced at once.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause: bounds how late the end of an outage is noticed.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How often one request may break the connection although the source answers others in between: one that always does
/// so would be repeated for ever.
const MOST_TRIES: u32 = 16;

/// How long after giving up the next request may find out whether the source is back.
const PROBE_AFTER: Duration = Duration::from_secs(30);

/// What a run knows about the line to its source.
pub(crate) struct Retry {
    events: Arc<dyn EventSink>,
    patience: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Answers so far, for telling whether there was one in between.
    answers: u64,
    /// Pauses so far.
    retries: u64,
    /// Of the first failure since the last answer.
    down_since: Option<Instant>,
    /// Pauses since the last answer.
    failures: u32,
    pause_end: Option<Instant>,
    /// When the run gave up, and with which text.
    given_up: Option<(Instant, String)>,
    random: u64,
}

/// What happened to one request so far.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    answers: u64,
    failures: u32,
}

impl Retry {
    /// `patience`: see [`DEFAULT_PATIENCE`]. `seed`: makes pauses differ between runs.
    pub(crate) fn new(events: Arc<dyn EventSink>, patience: Duration, seed: u64) -> Self {
        Self { events, patience, state: Mutex::new(State { random: seed, ..State::default() }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how often the run waited before it asked again.
    pub(crate) fn count(&self) -> u64 {
        self.state().retries
    }

    /// Notes that the source answered.
    pub(crate) fn succeeded(&self) {
        let mut state = self.state();
        state.answers += 1;
        state.down_since = None;
        state.failures = 0;
        state.pause_end = None;
        state.given_up = None;
    }

    /// Waits before the next attempt, or returns the error when it is not worth one. Requests that fail while a pause
    /// lasts were lost with the same connection: they wait for its end and count once.
    pub(crate) async fn failed<E: RequestError>(&self, tries: &mut Tries, error: E) -> Result<(), E> {
        if !error.is_connection_lost() {
            return Err(error);
        }
        let Some((pause_end, began)) = self.next_pause(Instant::now(), tries, &error) else {
            return Err(error);
        };
        if let Some((attempt, pause)) = began {
            self.events.event(&SyncEvent::Retry { attempt, pause, error: chain(&error) });
        }
        tokio::time::sleep_until(pause_end).await;
        Ok(())
    }

    /// Returns the end of the pause, with number and length if it begins now. `None` when it is time to give up.
    fn next_pause(
        &self,
        now: Instant,
        tries: &mut Tries,
        error: &impl RequestError,
    ) -> Option<(Instant, Option<(u32, Duration)>)> {
        let mut state = self.state();
        if tries.answers != state.answers {
            tries.answers = state.answers;
            tries.failures += 1;
        }
        if MOST_TRIES <= tries.failures {
            return None;
        }
        if let Some(end) = state.pause_end.filter(|end| now < *end) {
            return Some((end, None));
        }
        let patience = if state.answers == 0 { self.patience.min(FIRST_CONTACT) } else { self.patience };
        let deadline = *state.down_since.get_or_insert(now) + patience;
        if deadline <= now || state.given_up.is_some() {
            state.given_up = Some((now, chain(error)));
            return None;
        }
        // The last attempt comes exactly when patience ends.
        let pause = state.pause().min(deadline - now);
        state.failures += 1;
        state.retries += 1;
        let end = now + pause;
        state.pause_end = Some(end);
        Some((end, Some((state.failures, pause))))
    }

    /// Runs `request` until it succeeds, fails for another reason than a lost connection, or the run gives up.
    pub(crate) async fn run<T, E: RequestError, F: Future<Output = Result<T, E>>>(
        &self,
        request: impl Fn() -> F,
    ) -> Result<T, E> {
        self.look_whether_given_up()?;
        let mut tries = Tries::default();
        loop {
            match request().await {
                Ok(value) => {
                    self.succeeded();
                    return Ok(value);
                }
                Err(error) => self.failed(&mut tries, error).await?,
            }
        }
    }

    /// Returns the error that the run gave up with, unless it is time for another probe.
    pub(crate) fn look_whether_given_up<E: RequestError>(&self) -> Result<(), E> {
        match &self.state().given_up {
            Some((at, text)) if at.elapsed() < PROBE_AFTER => Err(E::given_up(text.clone())),
            _ => Ok(()),
        }
    }
}

impl State {
    /// Returns the next pause: doubled with each failure, and between half and all of that.
    fn pause(&mut self) -> Duration {
        let full = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE);
        // SplitMix64: every seed, zero too, gives an even sequence.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let share = u32::try_from((bits ^ (bits >> 31)) >> 54).unwrap_or_default();
        full / 2 + full / 2 * share / 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> SourceError {
        SourceError::new(RequestFault::ConnectionLost, "reset")
    }

    type Pauses = Arc<Mutex<Vec<Duration>>>;

    fn retry(seed: u64) -> (Retry, Pauses) {
        let pauses = Pauses::default();
        let seen = pauses.clone();
        let events = move |event: &SyncEvent| {
            if let SyncEvent::Retry { pause, .. } = event {
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(*pause);
            }
        };
        (Retry::new(Arc::new(events), DEFAULT_PATIENCE, seed), pauses)
    }

    fn seen(pauses: &Pauses) -> Vec<Duration> {
        pauses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_ten_seconds_and_differ_from_run_to_run() {
        let (first, pauses) = retry(1);
        first.succeeded();
        let mut tries = Tries::default();
        for _ in 0..10 {
            first.failed(&mut tries, lost()).await.unwrap();
        }
        for (i, pause) in seen(&pauses).iter().enumerate() {
            let full = Duration::from_millis(100 << i).min(Duration::from_secs(10));
            assert!((full / 2..=full).contains(pause), "pause {i} is {pause:?} of {full:?}");
        }
        let (second, others) = retry(2);
        second.succeeded();
        second.failed(&mut Tries::default(), lost()).await.unwrap();
        assert_ne!(seen(&others)[0], seen(&pauses)[0]);
        first.succeeded();
        first.failed(&mut Tries::default(), lost()).await.unwrap();
        assert!(*seen(&pauses).last().unwrap() <= Duration::from_millis(100), "an answer begins anew");
        assert_eq!(first.count(), 11);
    }

    #[tokio::test(start_paused = true)]
    async fn a_black_out_of_thirty_seconds_is_survived() {
        let (retry, _) = retry(3);
        retry.succeeded();
        let begin = Instant::now();
        let request = || async { if begin.elapsed() < Duration::from_secs(30) { Err(lost()) } else { Ok(7) } };
        assert_eq!(retry.run(request).await.unwrap(), 7);
        assert!(begin.elapsed() <= Duration::from_secs(40), "the end of the outage is noticed within a pause");
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_stays_away_is_given_up_when_patience_ends_and_nobody_waits_again() {
        for (has_answered, patience) in [(true, DEFAULT_PATIENCE), (false, FIRST_CONTACT)] {
            let (retry, _) = retry(4);
            if has_answered {
                retry.succeeded();
            }
            let begin = Instant::now();
            assert!(retry.run(|| async { Err::<(), _>(lost()) }).await.is_err());
            assert_eq!(begin.elapsed(), patience);
            // A thousand groups that are still to come do not even ask.
            for _ in 0..1000 {
                assert!(retry.run(|| async { Ok::<(), SourceError>(()) }).await.is_err());
            }
            assert_eq!(begin.elapsed(), patience);
            tokio::time::advance(PROBE_AFTER).await;
            assert!(retry.run(|| async { Err::<(), _>(lost()) }).await.is_err());
            assert_eq!(begin.elapsed(), patience + PROBE_AFTER, "a probe that fails is not repeated");
            tokio::time::advance(PROBE_AFTER).await;
            assert!(retry.run(|| async { Ok::<(), SourceError>(()) }).await.is_ok());
            assert!(retry.failed(&mut Tries::default(), lost()).await.is_ok(), "it is back");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_always_breaks_the_connection_fails_although_others_are_answered() {
        let (retry, _) = retry(5);
        let mut tries = Tries::default();
        let mut failures = 0;
        loop {
            retry.succeeded();
            if retry.failed(&mut tries, lost()).await.is_err() {
                break;
            }
            failures += 1;
        }
        assert_eq!(failures + 1, MOST_TRIES);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_lost_with_one_connection_count_once() {
        let (retry, pauses) = retry(6);
        let all = (0..20).map(|_| async { retry.failed(&mut Tries::default(), lost()).await });
        assert!(futures::future::join_all(all).await.into_iter().all(|result| result.is_ok()));
        assert_eq!(seen(&pauses).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_are_not_repeated() {
        let (retry, _) = retry(7);
        let refused = SourceError::new(RequestFault::Refused, "no");
        assert!(retry.failed(&mut Tries::default(), refused).await.is_err());
    }
}
