//! Runs one target of `farhold-fuzz` under libFuzzer. The environment variable `FARHOLD_FUZZ_TARGET` names it.
//!
//! Memory is bounded by the allocator itself: an allocation beyond the target's bound fails, which ends the process like
//! any other crash.
#![no_main]

use std::alloc::System;
use std::panic;
use std::sync::OnceLock;

use cap::Cap;
use farhold_fuzz::{Target, target};
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

fn chosen() -> &'static Target {
    static CHOSEN: OnceLock<&'static Target> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let name = std::env::var("FARHOLD_FUZZ_TARGET").expect("FARHOLD_FUZZ_TARGET names the target");
        let target = target(&name).expect("there is a target of that name");
        // Telling of a panic takes memory of its own.
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            ALLOCATOR.set_limit(usize::MAX).expect("any amount is allowed");
            tell(panic);
        }));
        // What is made once and kept does not count.
        for seed in (target.seeds)() {
            (target.run)(&seed);
        }
        target
    })
}

fuzz_target!(|data: &[u8]| {
    let target = chosen();
    let limit = ALLOCATOR.allocated().saturating_add(target.max_memory_bytes);
    ALLOCATOR.set_limit(limit).expect("the limit lies above what is taken");
    (target.run)(data);
    ALLOCATOR.set_limit(usize::MAX).expect("any amount is allowed");
});
