//! Random operations on chunks against a plain map.

use std::collections::BTreeMap;
use std::sync::Arc;

use farhold_datastore::{Datastore, Inserted};
use farhold_format::blob::BlobKind;
use farhold_types::Digest;
use proptest::prelude::*;

use crate::support::{container, memory, options};

#[derive(Debug, Clone)]
enum Action {
    Insert { chunk: u8, length: usize },
    Touch { chunk: u8 },
    Read { chunk: u8 },
    Reopen,
}

fn action() -> impl Strategy<Value = Action> {
    let chunk = 0..6u8;
    prop_oneof![
        4 => (chunk.clone(), 13..17usize).prop_map(|(chunk, length)| Action::Insert { chunk, length }),
        1 => chunk.clone().prop_map(|chunk| Action::Touch { chunk }),
        1 => chunk.prop_map(|chunk| Action::Read { chunk }),
        1 => Just(Action::Reopen),
    ]
}

fn digest(chunk: u8) -> Digest {
    let mut bytes = [0; 32];
    // Chunks 0 to 2 share a folder, the others do not.
    bytes[0] = chunk / 3 * chunk;
    bytes[31] = chunk;
    Digest(bytes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn chunks_behave_like_a_map_that_keeps_the_shorter_container(actions in prop::collection::vec(action(), 0..40)) {
        let locks = tempfile::tempdir().unwrap();
        let memory = memory();
        let open = || Datastore::open(options(Arc::new(memory.clone()), locks.path())).unwrap();
        let mut store = open();
        let mut model: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
        for (number, action) in actions.into_iter().enumerate() {
            match action {
                Action::Insert { chunk, length } => {
                    let encoded = container(BlobKind::Plain, length, u8::try_from(number).unwrap());
                    let inserted = store.insert_chunk(&digest(chunk), &encoded).unwrap();
                    let keeps = model.get(&chunk).is_some_and(|stored| stored.len() <= length);
                    prop_assert_eq!(inserted == Inserted::Duplicate, keeps);
                    if !keeps {
                        model.insert(chunk, encoded);
                    }
                }
                Action::Touch { chunk } => {
                    prop_assert_eq!(store.touch_chunk(&digest(chunk)).unwrap(), model.contains_key(&chunk));
                }
                Action::Read { chunk } => {
                    let content = store.read_chunk(&digest(chunk)).ok().map(|content| content.to_vec());
                    prop_assert_eq!(content.as_ref(), model.get(&chunk));
                }
                Action::Reopen => store = open(),
            }
        }
        drop(store);
        let on_disk: Vec<String> =
            memory.all_paths().into_iter().filter(|path| path.len() == ".chunks/0000/".len() + 64).collect();
        let mut expected: Vec<String> = model
            .keys()
            .map(|chunk| digest(*chunk).to_string())
            .map(|name| format!(".chunks/{}/{name}", &name[..4]))
            .collect();
        expected.sort();
        prop_assert_eq!(on_disk, expected);
        prop_assert!(!memory.all_paths().iter().any(|path| path.contains("tmp")));
    }
}
