//! Which devices of removable datastores were plugged in since the last look, and are to be mounted.
//!
//! A device is mounted once for each time that it appears: whoever unmounts it by hand and leaves it plugged in does not
//! get it mounted again. Source: `docs/spec/schedules-and-tasks.md` 11.4.

use std::collections::BTreeMap;

/// What the last look found; by the UUIDs of the file systems that are configured.
///
/// What a device is told apart by is another text each time that it is plugged in.
#[derive(Debug, Clone, Default)]
pub struct PlugIns {
    has_looked: bool,
    seen: BTreeMap<String, Option<String>>,
}

impl PlugIns {
    /// Takes note of what is there now, and returns the UUIDs of the devices that have appeared.
    ///
    /// `now`: each configured UUID, and what tells its device from others if it is there. The first look finds what was
    /// plugged in while the server was off. A UUID that is new in the configuration later is only taken note of: making a
    /// datastore mounts it.
    pub fn look(&mut self, now: impl IntoIterator<Item = (String, Option<String>)>) -> Vec<String> {
        let now: BTreeMap<_, _> = now.into_iter().collect();
        let has_appeared = |(uuid, device): &(&String, &Option<String>)| match self.seen.get(*uuid) {
            Some(before) => device.is_some() && *device != before,
            None => device.is_some() && !self.has_looked,
        };
        let appeared = now.iter().filter(has_appeared).map(|(uuid, _)| uuid.clone()).collect();
        (self.has_looked, self.seen) = (true, now);
        appeared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(plug_ins: &mut PlugIns, now: &[(&str, Option<&str>)]) -> Vec<String> {
        plug_ins.look(now.iter().map(|(uuid, device)| ((*uuid).to_owned(), device.map(str::to_owned))))
    }

    #[test]
    fn a_device_appears_once_for_each_time_it_is_plugged_in() {
        let mut plug_ins = PlugIns::default();
        assert_eq!(look(&mut plug_ins, &[("a", Some("sda 1")), ("b", None)]), ["a"], "there when the server starts");
        assert!(look(&mut plug_ins, &[("a", Some("sda 1")), ("b", None)]).is_empty());
        assert_eq!(look(&mut plug_ins, &[("a", Some("sda 1")), ("b", Some("sdb 2"))]), ["b"]);
        assert!(look(&mut plug_ins, &[("a", None), ("b", Some("sdb 2"))]).is_empty());
        assert_eq!(
            look(&mut plug_ins, &[("a", Some("sda 3")), ("b", Some("sdc 4"))]),
            ["a", "b"],
            "b was away briefly"
        );
    }

    #[test]
    fn a_store_that_is_made_later_is_left_to_whoever_makes_it() {
        let mut plug_ins = PlugIns::default();
        assert!(look(&mut plug_ins, &[]).is_empty());
        assert!(look(&mut plug_ins, &[("a", Some("sda 1"))]).is_empty());
        assert!(look(&mut plug_ins, &[("a", None)]).is_empty());
        assert_eq!(look(&mut plug_ins, &[("a", Some("sda 2"))]), ["a"]);
    }
}
