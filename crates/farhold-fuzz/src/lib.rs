//! Fuzz targets: one function for each parser of bytes that come from outside.
//!
//! A target gives its input to the parser and, if that accepts it, demands what must hold then: writing it again gives
//! the same, sizes fit, nothing is counted twice. It must neither panic nor take more memory than its bound. `fuzz/`
//! feeds the targets with libFuzzer (`cargo xtask fuzz`); the tests of this crate feed them with mutated seeds.

mod archive;
mod config;
mod request;
mod seeds;
mod text;

/// One parser under test.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// Takes one input. Returns whether the parser accepted it.
    pub run: fn(&[u8]) -> bool,
    /// Longest input that is tried, in bytes.
    pub max_input_bytes: usize,
    /// Memory in bytes that one run may take at once, however hostile the input.
    pub max_memory_bytes: usize,
    /// Inputs to begin with; at least one of them is accepted.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Memory for an input that is turned into a tree of small values: some 100 bytes for two bytes of text.
const fn tree(max_input_bytes: usize) -> usize {
    (1 << 20) + 100 * max_input_bytes
}

/// All targets.
pub static TARGETS: &[Target] = &[
    Target {
        name: "blob",
        run: archive::blob,
        max_input_bytes: 64 << 10,
        max_memory_bytes: 8 << 20,
        seeds: seeds::blobs,
    },
    Target {
        name: "fixed-index",
        run: archive::fixed_index,
        max_input_bytes: 16 << 10,
        max_memory_bytes: 1 << 20,
        seeds: seeds::fixed_indexes,
    },
    Target {
        name: "dynamic-index",
        run: archive::dynamic_index,
        max_input_bytes: 16 << 10,
        max_memory_bytes: 1 << 20,
        seeds: seeds::dynamic_indexes,
    },
    Target {
        name: "manifest",
        run: archive::manifest,
        max_input_bytes: 16 << 10,
        max_memory_bytes: tree(16 << 10),
        seeds: seeds::manifests,
    },
    Target {
        name: "manifest-blob",
        run: archive::manifest_blob,
        max_input_bytes: 16 << 10,
        // The text may be much longer than the blob.
        max_memory_bytes: 512 << 20,
        seeds: seeds::manifest_blobs,
    },
    Target {
        name: "key-file",
        run: archive::key_file,
        max_input_bytes: 8 << 10,
        max_memory_bytes: tree(8 << 10),
        seeds: seeds::key_files,
    },
    Target {
        name: "section-config",
        run: config::section_config,
        max_input_bytes: 16 << 10,
        max_memory_bytes: tree(16 << 10),
        seeds: seeds::section_configs,
    },
    Target {
        name: "node-config",
        run: config::node_config,
        max_input_bytes: 8 << 10,
        max_memory_bytes: tree(8 << 10),
        seeds: seeds::node_configs,
    },
    Target {
        name: "acl",
        run: config::acl,
        max_input_bytes: 16 << 10,
        max_memory_bytes: tree(16 << 10),
        seeds: seeds::acls,
    },
    Target {
        name: "property-string",
        run: config::property_string,
        max_input_bytes: 4 << 10,
        max_memory_bytes: tree(4 << 10),
        seeds: seeds::property_strings,
    },
    Target {
        name: "calendar-event",
        run: text::calendar_event,
        max_input_bytes: 1 << 10,
        max_memory_bytes: tree(1 << 10),
        seeds: seeds::calendar_events,
    },
    Target {
        name: "upid",
        run: text::upid,
        max_input_bytes: 1 << 10,
        max_memory_bytes: tree(1 << 10),
        seeds: seeds::upids,
    },
    Target {
        name: "task-log",
        run: text::task_log,
        max_input_bytes: 8 << 10,
        max_memory_bytes: tree(8 << 10),
        seeds: seeds::task_logs,
    },
    Target {
        name: "names",
        run: text::names,
        max_input_bytes: 1 << 10,
        max_memory_bytes: tree(1 << 10),
        seeds: seeds::names,
    },
    Target {
        name: "group-filter",
        run: text::group_filter,
        max_input_bytes: 512,
        // The compiled expression is bounded; what the library needs while it compiles is a multiple of that.
        max_memory_bytes: 32 << 20,
        seeds: seeds::group_filters,
    },
    Target {
        name: "request-parameters",
        run: request::parameters,
        max_input_bytes: 8 << 10,
        // Some parameters are expressions, see `group-filter`.
        max_memory_bytes: (32 << 20) + tree(8 << 10),
        seeds: seeds::parameters,
    },
    Target {
        name: "upgrade",
        run: request::upgrade,
        max_input_bytes: 4 << 10,
        max_memory_bytes: tree(4 << 10),
        seeds: seeds::upgrades,
    },
    Target {
        name: "credentials",
        run: request::credentials,
        max_input_bytes: 4 << 10,
        max_memory_bytes: tree(4 << 10),
        seeds: seeds::credentials,
    },
    Target {
        name: "listing",
        run: request::listing,
        max_input_bytes: 8 << 10,
        max_memory_bytes: tree(8 << 10),
        seeds: seeds::listings,
    },
];

/// Returns the target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
