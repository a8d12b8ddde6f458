//! Every target with its seeds and with mutated seeds. `cargo xtask fuzz` goes on from there with coverage.

use std::panic::catch_unwind;

use farhold_fuzz::{TARGETS, Target, target};
use farhold_testkit::SeededRandomness;
use farhold_types::Randomness;

/// Mutated inputs for each target.
const MUTATIONS: u32 = 3000;

#[test]
fn every_target_has_a_name_of_its_own_and_accepts_one_of_its_seeds() {
    for (position, one) in TARGETS.iter().enumerate() {
        let found = target(one.name).expect(one.name);
        assert!(std::ptr::eq(found, &raw const TARGETS[position]), "{} is there twice", one.name);
        let seeds = (one.seeds)();
        assert!(seeds.iter().any(|seed| (one.run)(seed)), "{} accepts none of its {} seeds", one.name, seeds.len());
        let longest = seeds.iter().map(Vec::len).max().unwrap_or_default();
        assert!(longest <= one.max_input_bytes, "{}: a seed of {longest} bytes", one.name);
    }
}

#[test]
fn no_mutation_of_a_seed_makes_a_target_panic() {
    for one in TARGETS {
        let randomness = Random(SeededRandomness::new(1));
        let seeds = (one.seeds)();
        for _ in 0..MUTATIONS {
            let input = mutated(&seeds, one, &randomness);
            let run = one.run;
            assert!(catch_unwind(|| run(&input)).is_ok(), "{} with {:?}", one.name, String::from_utf8_lossy(&input));
        }
    }
}

struct Random(SeededRandomness);

impl Random {
    fn below(&self, limit: usize) -> usize {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        bytes.into_iter().fold(0, |number, byte| number << 8 | usize::from(byte)) % limit.max(1)
    }

    fn byte(&self) -> u8 {
        // Bytes with a meaning somewhere come more often.
        let special = b"\x00\xff\n\r\t :;,=/%&{}[]\"\\!@.-~*0919";
        if self.below(2) == 0 { special[self.below(special.len())] } else { self.below(256).to_le_bytes()[0] }
    }
}

/// Returns a seed after up to eight changes: bytes set, inserted and removed, pieces repeated, cut, taken from elsewhere.
fn mutated(seeds: &[Vec<u8>], target: &Target, random: &Random) -> Vec<u8> {
    let mut input = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(8) {
        let at = random.below(input.len() + 1);
        let length = random.below(16).min(input.len() - at);
        match random.below(7) {
            0 => input.truncate(at),
            1 => input.insert(at, random.byte()),
            2 => drop(input.drain(at..at + length)),
            3 => {
                let piece = input[at..at + length].to_vec();
                input.splice(at..at, piece.repeat(random.below(4)));
            }
            4 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                let piece = other[from..(from + random.below(64)).min(other.len())].to_vec();
                input.splice(at..at, piece);
            }
            _ if at < input.len() => input[at] = random.byte(),
            _ => input.push(random.byte()),
        }
    }
    input.truncate(target.max_input_bytes);
    input
}
