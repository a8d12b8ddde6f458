//! Groups that an administrator moves to other namespaces of the target.

use std::fs::{File, TryLockError};
use std::time::Duration;

use anyhow::ensure;
use farhold_datastore::Merge;
use farhold_types::{Group, Namespace};

use crate::ledger::Place;
use crate::rng::Rng;
use crate::server::groups;
use crate::world::World;

/// Pause between two looks at the journal of moves.
const PAUSE: Duration = Duration::from_millis(100);

impl World {
    /// Moves a group of the target. Waits while a collection reads the journal of moves, as the product does.
    pub(crate) async fn move_group(&self, rng: &Rng) -> anyhow::Result<String> {
        while self.is_journal_busy() {
            tokio::time::sleep(PAUSE).await;
        }
        self.move_group_now(rng)
    }

    /// Does something to the target while a collection pauses.
    pub(crate) fn disturb(&self, rng: &Rng) {
        if self.target.is_dead() || self.is_journal_busy() {
            return;
        }
        let outcome = self.move_group_now(rng);
        self.note_outcome("a move meanwhile", outcome);
    }

    /// Whether a collection reads the journal of moves.
    pub(crate) fn is_journal_busy(&self) -> bool {
        let Ok(journal) = File::open(self.target.journal()) else { return false };
        matches!(journal.try_lock(), Err(TryLockError::WouldBlock))
    }

    fn move_group_now(&self, rng: &Rng) -> anyhow::Result<String> {
        let _used = self.use_target()?;
        let store = self.target.store();
        let all = groups(&store)?;
        let Some((from, group, _)) = rng.pick(&all) else { return Ok("there is nothing".to_owned()) };
        let mut namespaces = store.namespaces(&Namespace::root(), usize::MAX)?;
        namespaces.retain(|ns| ns != from);
        let to = match rng.pick(&namespaces) {
            Some(ns) if rng.chance(70) => ns.clone(),
            _ => Namespace::root().child(rng.pick(&["a", "m", "z"]).unwrap_or(&"m"))?,
        };
        self.book.ledger().changed.insert((to.clone(), group.clone()));
        store.create_namespace(&to)?;
        let times = store.snapshots(from, group)?;
        let places: Vec<(Place, Place)> = times
            .iter()
            .map(|info| group.at(info.time))
            .map(|snapshot| ((from.clone(), snapshot.clone()), (to.clone(), snapshot)))
            .collect();
        for (old, new) in &places {
            ensure!(self.backup_at(&new.0, &new.1).is_none(), "{new:?} was something else before");
            ensure!(self.backup_at(&old.0, &old.1).is_some(), "nobody knows {old:?}");
        }
        self.note_move(from, group, &places);
        let merge = if rng.chance(50) { Merge::Allowed } else { Merge::Refused };
        let outcome = store.move_group(from, &to, group, merge);
        let mut ledger = self.book.ledger();
        for (old, new) in &places {
            // Some may have stayed.
            let arrived = store.is_protected(&new.0, &new.1).unwrap_or(false);
            if arrived && ledger.protected.remove(old) {
                ledger.protected.insert(new.clone());
            }
        }
        // One that failed half-way moved something too.
        ledger.done.moves += 1;
        drop(ledger);
        Ok(format!("{group} from {} to {}: {:?}", from.log_name(), to.log_name(), outcome?))
    }

    /// Writes a move into the ledger before it begins.
    fn note_move(&self, from: &Namespace, group: &Group, places: &[(Place, Place)]) {
        for (old, new) in places {
            let Some(backup) = self.backup_at(&old.0, &old.1) else { continue };
            let mut ledger = self.book.ledger();
            ledger.native.insert(new.clone(), backup);
            ledger.left_target.insert(old.clone());
            for losers in ledger.taken_away.values_mut().filter(|losers| losers.contains(old)) {
                losers.insert(new.clone());
            }
        }
        self.book.ledger().changed.insert((from.clone(), group.clone()));
    }
}
