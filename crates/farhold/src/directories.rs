//! Where configuration, state, logs and run-time files live.
//!
//! Run as root without further wishes, the places are the reference's own, so that an existing configuration can be
//! copied over. A root folder puts everything under one directory and needs no privilege. Otherwise the user's state
//! folder is taken. Source: `docs/spec/config-and-access.md` 4.1; choice of places: `ARCHITECTURE.md`.

use std::path::{Path, PathBuf};

/// The places of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    /// Configuration files.
    pub etc: PathBuf,
    /// Persistent state: job states, journals.
    pub lib: PathBuf,
    /// Task logs and access logs.
    pub log: PathBuf,
    /// Sockets and locks; may be lost at reboot.
    pub run: PathBuf,
    /// Where removable datastores are mounted.
    pub mounts: PathBuf,
}

/// What the choice depends on, read from the environment by `main` only.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Value of `--root`, or else of `FARHOLD_ROOT`.
    pub root: Option<PathBuf>,
    /// Whether the effective user is root.
    pub is_root: bool,
    /// Value of `XDG_STATE_HOME`.
    pub xdg_state_home: Option<PathBuf>,
    /// Value of `HOME`.
    pub home: Option<PathBuf>,
}

impl Directories {
    /// Returns the places below one folder: `etc`, `lib`, `log`, `run` and `mnt`.
    pub fn below(root: &Path) -> Self {
        let at = |name: &str| root.join(name);
        Self { etc: at("etc"), lib: at("lib"), log: at("log"), run: at("run"), mounts: at("mnt") }
    }

    /// Returns the places for these surroundings, or `None` if there is neither a root folder nor a home.
    pub fn choose(surroundings: &Surroundings) -> Option<Self> {
        let absolute = |path: &PathBuf| path.is_absolute();
        if let Some(root) = &surroundings.root {
            return Some(Self::below(root));
        }
        if surroundings.is_root {
            return Some(Self {
                etc: "/etc/proxmox-backup".into(),
                lib: "/var/lib/proxmox-backup".into(),
                log: "/var/log/proxmox-backup".into(),
                run: "/run/proxmox-backup".into(),
                mounts: "/mnt/datastore".into(),
            });
        }
        let state = surroundings.xdg_state_home.clone().filter(absolute);
        let state = state.or_else(|| Some(surroundings.home.clone().filter(absolute)?.join(".local/state")))?;
        Some(Self::below(&state.join("farhold")))
    }

    /// Returns the path of the daemon's Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.run.join("farhold.sock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_the_reference_places_and_others_their_state_folder() {
        let root = Surroundings { is_root: true, ..Surroundings::default() };
        assert_eq!(Directories::choose(&root).unwrap().etc, Path::new("/etc/proxmox-backup"));
        let user = Surroundings { home: Some("/home/ann".into()), ..Surroundings::default() };
        assert_eq!(Directories::choose(&user).unwrap().run, Path::new("/home/ann/.local/state/farhold/run"));
        let folder = Surroundings { root: Some("/srv/far".into()), is_root: true, ..Surroundings::default() };
        assert_eq!(Directories::choose(&folder).unwrap().socket(), Path::new("/srv/far/run/farhold.sock"));
        assert_eq!(Directories::choose(&Surroundings::default()), None);
    }
}
