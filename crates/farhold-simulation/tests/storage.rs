//! The simulated disk keeps every promise of a storage backend.

use std::sync::Arc;

use farhold_simulation::disk::Disk;
use farhold_simulation::rng::Rng;

#[test]
fn a_mount_passes_the_suite() {
    farhold_storage::suite::run(&|| (Box::new(Disk::new(Arc::new(|| 0), Rng::new(1)).mount()), Box::new(())));
}
