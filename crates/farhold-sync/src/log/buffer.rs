//! Lines of groups that are handled at the same time, kept together in small packets.
//!
//! A packet is due when a sixth line arrives, when its group has been quiet for a second, and when the group ends.
//!
//! Source: `docs/spec/sync.md` 13.

use std::collections::BTreeMap;
use std::time::Duration;

use farhold_types::Group;

use crate::event::NamespaceIndex;
use crate::log::lines::LogLine;

/// Lines that a group keeps back.
const GROUP_BUFFER_LINES: usize = 5;

/// How long a group that says nothing keeps its lines back.
const QUIET: Duration = Duration::from_secs(1);

/// Which group a packet belongs to.
type Key = (NamespaceIndex, Group);

#[derive(Debug, Default)]
struct Packet {
    lines: Vec<LogLine>,
    /// When it was first seen without a new line.
    quiet_since: Option<Duration>,
}

/// The packets of all groups at work.
#[derive(Debug, Default)]
pub(crate) struct GroupBuffers {
    packets: BTreeMap<Key, Packet>,
}

impl GroupBuffers {
    /// Adds lines of a group; returns those that are due.
    pub(crate) fn push(&mut self, key: Key, lines: impl IntoIterator<Item = LogLine>, is_end: bool) -> Vec<LogLine> {
        for line in lines {
            let packet = self.packets.entry(key.clone()).or_default();
            packet.lines.push(line);
            packet.quiet_since = None;
        }
        let is_full = self.packets.get(&key).is_some_and(|packet| GROUP_BUFFER_LINES < packet.lines.len());
        if is_end || is_full { self.packets.remove(&key).unwrap_or_default().lines } else { Vec::new() }
    }

    /// Returns the packets of groups that have been quiet long enough. `now`: time since any fixed moment.
    pub(crate) fn tick(&mut self, now: Duration) -> Vec<(NamespaceIndex, Vec<LogLine>)> {
        let mut due = Vec::new();
        self.packets.retain(|(index, _), packet| {
            let since = *packet.quiet_since.get_or_insert(now);
            let is_due = QUIET <= now.saturating_sub(since);
            if is_due {
                due.push((*index, std::mem::take(&mut packet.lines)));
            }
            !is_due
        });
        due
    }

    /// Returns everything that is kept back.
    pub(crate) fn take_all(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.packets).into_values().flat_map(|packet| packet.lines).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::lines::LogLevel;

    fn line(text: &str) -> LogLine {
        LogLine { level: LogLevel::Info, text: text.to_owned() }
    }

    fn key(group: &str) -> Key {
        (0, group.parse().unwrap())
    }

    #[test]
    fn a_packet_is_due_with_its_sixth_line_and_at_the_end() {
        let mut buffers = GroupBuffers::default();
        for _ in 0..5 {
            assert!(buffers.push(key("vm/1"), Some(line("a")), false).is_empty());
        }
        assert!(buffers.push(key("vm/2"), Some(line("b")), false).is_empty());
        assert_eq!(buffers.push(key("vm/1"), Some(line("a")), false).len(), 6);
        assert_eq!(buffers.push(key("vm/2"), None, true), [line("b")]);
        assert!(buffers.push(key("vm/2"), None, true).is_empty() && buffers.take_all().is_empty());
    }

    #[test]
    fn a_group_that_is_quiet_for_a_second_shows_what_it_has() {
        let mut buffers = GroupBuffers::default();
        let at = Duration::from_millis;
        assert!(buffers.push(key("vm/1"), Some(line("a")), false).is_empty());
        assert!(buffers.push(key("vm/2"), Some(line("b")), false).is_empty());
        assert!(buffers.tick(at(100)).is_empty());
        assert!(buffers.tick(at(1000)).is_empty());
        // A new line starts the second anew, an event without a line does not.
        assert!(buffers.push(key("vm/1"), Some(line("a")), false).is_empty());
        assert!(buffers.push(key("vm/2"), None, false).is_empty());
        assert_eq!(buffers.tick(at(1100)), [(0, vec![line("b")])]);
        assert!(buffers.tick(at(2099)).is_empty());
        assert_eq!(buffers.tick(at(2100)), [(0, vec![line("a"), line("a")])]);
        assert!(buffers.tick(at(9999)).is_empty());
    }
}
