//! How much a connection carries at the moment: bytes by second, for the last few seconds.

use farhold_types::Epoch;

/// Seconds over which a rate is taken: short enough to be called current, long enough not to jump with every chunk.
const WINDOW_S: i64 = 5;
/// One more than the window, for the second that is not over yet.
const SLOTS: usize = 6;

/// Bytes per second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// What the server receives.
    pub received_bytes_per_s: u64,
    /// What the server sends.
    pub sent_bytes_per_s: u64,
}

/// Bytes of one second.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    second: Option<Epoch>,
    received: u64,
    sent: u64,
}

/// Bytes of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Slots([Slot; SLOTS]);

impl Slots {
    pub(super) fn received(&mut self, bytes: usize, now: Epoch) {
        let slot = self.slot(now);
        slot.received = slot.received.saturating_add(bytes as u64);
    }

    pub(super) fn sent(&mut self, bytes: usize, now: Epoch) {
        let slot = self.slot(now);
        slot.sent = slot.sent.saturating_add(bytes as u64);
    }

    fn slot(&mut self, now: Epoch) -> &mut Slot {
        let index = usize::try_from(now.0.rem_euclid(SLOTS as i64)).unwrap_or_default();
        let slot = &mut self.0[index];
        if slot.second != Some(now) {
            *slot = Slot { second: Some(now), ..Slot::default() };
        }
        slot
    }

    /// Returns the rates over the last full seconds.
    pub(super) fn rates(&self, now: Epoch) -> Rates {
        let is_recent = |slot: &&Slot| slot.second.is_some_and(|second| second < now && now.0 - WINDOW_S <= second.0);
        let recent = self.0.iter().filter(is_recent);
        let (received, sent) = recent
            .fold((0u64, 0u64), |sum, slot| (sum.0.saturating_add(slot.received), sum.1.saturating_add(slot.sent)));
        let seconds = WINDOW_S.unsigned_abs();
        Rates { received_bytes_per_s: received / seconds, sent_bytes_per_s: sent / seconds }
    }
}
