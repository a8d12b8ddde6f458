//! How many chunks of an archive are asked for at once, as far as the line bears it.
//!
//! When a connection breaks, everything that was half there may have to come again. So a loss halves the number of
//! requests on their way, and each answer allows one more: over a line that breaks all the time chunks come one by one,
//! and some get through.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Requests at once over all sessions of an archive, at most: far more than the byte budget allows for usual chunks.
const MOST: usize = 256;

pub(crate) struct Turns {
    free: Semaphore,
    state: Mutex<State>,
}

struct State {
    /// Permits that exist.
    limit: usize,
    /// Where the last loss wants the limit to go.
    target: usize,
}

/// One request's turn. Dropped without a word, it changes nothing.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    /// There is one unless the semaphore was closed, which nobody does.
    permit: Option<SemaphorePermit<'a>>,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self { free: Semaphore::new(MOST), state: Mutex::new(State { limit: MOST, target: MOST }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn, in the order of asking.
    pub(crate) async fn take(&self) -> Turn<'_> {
        Turn { turns: self, permit: self.free.acquire().await.ok() }
    }
}

impl Turn<'_> {
    /// Notes an answer.
    pub(crate) fn succeeded(self) {
        let mut state = self.turns.state();
        if state.limit < MOST {
            state.limit += 1;
            self.turns.free.add_permits(1);
        }
    }

    /// Notes a loss. `is_news`: whether this request is the first to say that its session broke.
    pub(crate) fn lost(mut self, is_news: bool) {
        let mut state = self.turns.state();
        if is_news {
            // Turns that nobody uses are no measure of what the line bears.
            state.limit -= self.turns.free.forget_permits(MOST);
            state.target = (state.limit / 2).max(1);
        }
        if state.target < state.limit
            && let Some(permit) = self.permit.take()
        {
            permit.forget();
            state.limit -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_loss_halves_what_is_on_its_way_and_each_answer_allows_one_more() {
        let turns = Turns::new();
        for (before, after) in [(20, 10), (10, 5), (5, 2), (2, 1), (1, 1)] {
            let mut taken = Vec::new();
            for _ in 0..before {
                taken.push(turns.take().await);
            }
            for (i, turn) in taken.into_iter().enumerate() {
                turn.lost(i == 0);
            }
            assert_eq!((turns.free.available_permits(), turns.state().limit), (after, after));
        }
        for limit in 2..=MOST {
            turns.take().await.succeeded();
            assert_eq!((turns.free.available_permits(), turns.state().limit), (limit, limit));
        }
        turns.take().await.succeeded();
        drop(turns.take().await);
        assert_eq!((turns.free.available_permits(), turns.state().limit), (MOST, MOST));
    }

    #[tokio::test]
    async fn requests_over_sessions_that_still_work_keep_their_turns() {
        let turns = Turns::new();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for _ in 0..8 {
            first.push(turns.take().await);
            second.push(turns.take().await);
        }
        for (i, turn) in first.into_iter().enumerate() {
            turn.lost(i == 0);
        }
        assert_eq!((turns.free.available_permits(), turns.state().limit), (0, 8));
        for turn in second {
            turn.succeeded();
        }
        assert_eq!((turns.free.available_permits(), turns.state().limit), (16, 16));
    }
}
