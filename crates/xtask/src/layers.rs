//! The layer table: which crate may import which. The crate graph is the architecture, so a new edge is a decision of
//! its own and changes this table in the same commit.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use toml::{Table, Value};

/// One room and the rooms that it may import.
struct Room {
    name: &'static str,
    may_import: &'static [&'static str],
}

const fn room(name: &'static str, may_import: &'static [&'static str]) -> Room {
    Room { name, may_import }
}

/// Rooms from the bottom up. Every crate of the workspace has a row.
const TABLE: &[Room] = &[
    room("types", &[]),
    room("crypto", &["types"]),
    room("rules", &["types"]),
    room("format", &["types", "crypto"]),
    room("storage", &["types"]),
    room("protocol", &["types", "format"]),
    room("datastore", &["types", "crypto", "format", "rules", "storage"]),
    room("settings", &["types", "rules", "format"]),
    room("access", &["types", "crypto", "rules", "settings"]),
    room("pam", &["types"]),
    room("tasks", &["types", "format", "rules"]),
    room("client", &["types", "crypto", "format", "rules", "protocol"]),
    room("notify", &["types", "rules", "format", "settings", "client"]),
    room("sync", &["types", "crypto", "format", "rules", "datastore", "client"]),
    room("backup", &["types", "crypto", "format", "client"]),
    room(
        "jobs",
        &[
            "types",
            "crypto",
            "rules",
            "format",
            "storage",
            "protocol",
            "datastore",
            "settings",
            "access",
            "tasks",
            "client",
            "notify",
            "sync",
        ],
    ),
    room(
        "api",
        &[
            "types",
            "crypto",
            "rules",
            "format",
            "storage",
            "protocol",
            "datastore",
            "settings",
            "access",
            "tasks",
            "client",
            "notify",
            "sync",
            "jobs",
        ],
    ),
    room("ui", &[]),
    room("cli", &["types", "client", "api"]),
    room("backup-cli", &["types", "crypto", "format", "protocol", "client", "backup", "api", "cli"]),
    room(
        "farhold",
        &[
            "types",
            "crypto",
            "rules",
            "format",
            "storage",
            "protocol",
            "datastore",
            "settings",
            "access",
            "pam",
            "tasks",
            "client",
            "notify",
            "sync",
            "jobs",
            "api",
            "ui",
            "cli",
            "backup",
            "backup-cli",
        ],
    ),
    // Beside the ladder.
    room(
        "testkit",
        &[
            "types",
            "crypto",
            "rules",
            "format",
            "storage",
            "protocol",
            "datastore",
            "settings",
            "access",
            "tasks",
            "client",
            "notify",
            "sync",
            "jobs",
            "api",
        ],
    ),
    room("simulation", &["types", "crypto", "format", "rules", "storage", "protocol", "datastore", "sync"]),
    room("fuzz", &["types", "crypto", "rules", "format", "protocol", "settings", "access", "jobs", "api"]),
    room("xtask", &["types", "crypto", "format", "testkit", "fuzz"]),
];

/// Rooms that every crate may import for its tests, besides those of its row.
const FOR_TESTS: &[&str] = &["testkit"];

/// One edge between crates that is not allowed, or a crate that the table does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A crate imports another one that its row does not name.
    Edge {
        /// The importing room.
        from: String,
        /// The imported room.
        to: String,
        /// The table of the manifest: `dependencies`, `dev-dependencies` or `build-dependencies`.
        kind: &'static str,
    },
    /// A crate without a row.
    UnknownCrate {
        /// Its room name.
        name: String,
    },
    /// A crate whose folder has another name than its package.
    FolderName {
        /// Name of the folder.
        folder: String,
        /// Name of the package.
        package: String,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edge { from, to, kind } => write!(f, "{from} -> {to} ({kind})"),
            Self::UnknownCrate { name } => write!(f, "{name} has no row in the layer table"),
            Self::FolderName { folder, package } => write!(f, "folder {folder} holds the package {package}"),
        }
    }
}

/// Returns the folder of the workspace, given the folder of one of its crates.
pub fn workspace_root(crate_folder: &Path) -> PathBuf {
    crate_folder.ancestors().nth(2).unwrap_or(crate_folder).to_owned()
}

/// Returns every edge of the workspace at `root` that the table does not allow, sorted by crate.
///
/// # Errors
/// A manifest cannot be read or parsed.
pub fn violations(root: &Path) -> anyhow::Result<Vec<Violation>> {
    let crates = root.join("crates");
    let mut folders = Vec::new();
    for item in std::fs::read_dir(&crates).with_context(|| format!("failed to list {}", crates.display()))? {
        let folder = item?.path();
        if folder.join("Cargo.toml").is_file() {
            folders.push(folder);
        }
    }
    folders.sort();
    let mut manifests = Vec::new();
    for folder in folders {
        let path = folder.join("Cargo.toml");
        let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
        let manifest: Table = text.parse().with_context(|| format!("failed to parse {}", path.display()))?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        manifests.push((name, manifest));
    }
    Ok(violations_of(&manifests))
}

/// Returns the violations of manifests given with the names of their folders.
fn violations_of(manifests: &[(String, Table)]) -> Vec<Violation> {
    let packages: BTreeSet<&str> = manifests.iter().map(|(folder, manifest)| package_name(folder, manifest)).collect();
    let mut found = Vec::new();
    for (folder, manifest) in manifests {
        let package = package_name(folder, manifest);
        if package != folder {
            found.push(Violation::FolderName { folder: folder.clone(), package: package.to_owned() });
        }
        let from = room_name(package);
        let Some(row) = TABLE.iter().find(|row| row.name == from) else {
            found.push(Violation::UnknownCrate { name: from.to_owned() });
            continue;
        };
        for (kind, dependency) in dependencies(manifest) {
            if !packages.contains(dependency.as_str()) {
                continue;
            }
            let to = room_name(&dependency);
            let is_for_tests = kind == "dev-dependencies" && (FOR_TESTS.contains(&to) || to == from);
            if !row.may_import.contains(&to) && !is_for_tests {
                found.push(Violation::Edge { from: from.to_owned(), to: to.to_owned(), kind });
            }
        }
    }
    found
}

fn package_name<'a>(folder: &'a str, manifest: &'a Table) -> &'a str {
    manifest.get("package").and_then(|package| package.get("name")).and_then(Value::as_str).unwrap_or(folder)
}

fn room_name(package: &str) -> &str {
    package.strip_prefix("farhold-").unwrap_or(package)
}

/// Returns the package names of all dependencies with the table they stand in, also of those for some platforms only.
fn dependencies(manifest: &Table) -> Vec<(&'static str, String)> {
    let platforms = manifest.get("target").and_then(Value::as_table);
    let tables: Vec<&Table> = std::iter::once(manifest)
        .chain(platforms.into_iter().flat_map(|targets| targets.values().filter_map(Value::as_table)))
        .collect();
    let mut found = Vec::new();
    for table in tables {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (key, value) in table.get(kind).and_then(Value::as_table).into_iter().flatten() {
                let renamed = value.get("package").and_then(Value::as_str);
                found.push((kind, renamed.unwrap_or(key).to_owned()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str, text: &str) -> (String, Table) {
        (name.to_owned(), format!("[package]\nname = \"{name}\"\n{text}").parse().unwrap())
    }

    #[test]
    fn the_manifests_follow_the_layer_table() {
        let found = violations(&workspace_root(Path::new(env!("CARGO_MANIFEST_DIR")))).unwrap();
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "not allowed:\n  {}", lines.join("\n  "));
    }

    #[test]
    fn the_table_is_a_ladder_and_covers_the_workspace() {
        for (position, row) in TABLE.iter().enumerate() {
            for import in row.may_import {
                let imported = TABLE.iter().position(|other| other.name == *import);
                assert!(imported.is_some_and(|below| below < position), "{} -> {import}", row.name);
            }
        }
        let root = workspace_root(Path::new(env!("CARGO_MANIFEST_DIR")));
        assert!(root.join("crates/farhold-types/Cargo.toml").is_file());
    }

    #[test]
    fn every_kind_of_forbidden_edge_is_named() {
        let manifests = [
            manifest("farhold-types", "[dependencies]\nserde = \"1\""),
            manifest("farhold-format", "[dependencies]\nfarhold-types = {}\n[dev-dependencies]\nfarhold-testkit = {}"),
            manifest("farhold-testkit", "[dependencies]\nfarhold-format = {}"),
            manifest(
                "farhold-rules",
                "[dependencies]\nx = { package = \"farhold-format\" }\n\
                 [build-dependencies]\nfarhold-testkit = {}\n\
                 [target.'cfg(unix)'.dev-dependencies]\nfarhold-storage = {}",
            ),
            manifest("farhold-storage", "[dependencies]\nfarhold-testkit = {}"),
            manifest("farhold-extra", ""),
            ("somewhere".to_owned(), manifest("farhold-crypto", "").1),
        ];
        let found: Vec<String> = violations_of(&manifests).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "rules -> format (dependencies)",
                "rules -> testkit (build-dependencies)",
                "rules -> storage (dev-dependencies)",
                "storage -> testkit (dependencies)",
                "extra has no row in the layer table",
                "folder somewhere holds the package farhold-crypto",
            ]
        );
    }
}
