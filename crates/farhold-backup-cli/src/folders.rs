//! Where the client keeps its few local files.
//!
//! The places and names are those of the reference's client, so that tickets, accepted fingerprints and the default key
//! serve both programs. Source: `docs/spec/cli.md` 5.2.

use std::path::{Path, PathBuf};

/// Name of the client's folder inside the user's folders.
const PREFIX: &str = "proxmox-backup";

/// The folders of one user. A folder is missing if nothing tells where it should be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folders {
    /// For what does not outlive the login session: tickets.
    pub runtime: Option<PathBuf>,
    /// For settings: accepted fingerprints, keys.
    pub config: Option<PathBuf>,
    /// For what can be had again: the list of recent repositories.
    pub cache: Option<PathBuf>,
}

impl Folders {
    /// Returns the folders by the rules of the XDG base directories.
    ///
    /// `variable`: value of an environment variable; `user_id`: of this process, for the usual runtime folder where no
    /// variable names one.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>, user_id: u32) -> Self {
        // Relative paths are to be ignored, says the XDG specification.
        let path = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let below_home = |folder: &str| path("HOME").map(|home| home.join(folder));
        let usual = PathBuf::from(format!("/run/user/{user_id}"));
        let runtime = path("XDG_RUNTIME_DIR").or_else(|| usual.is_dir().then_some(usual));
        let own = |folder: PathBuf| folder.join(PREFIX);
        Self {
            runtime: runtime.map(own),
            config: path("XDG_CONFIG_HOME").or_else(|| below_home(".config")).map(own),
            cache: path("XDG_CACHE_HOME").or_else(|| below_home(".cache")).map(own),
        }
    }

    /// Returns the file of tickets.
    pub fn tickets(&self) -> Option<PathBuf> {
        self.file(self.runtime.as_deref(), "tickets")
    }

    /// Returns the file of accepted fingerprints.
    pub fn fingerprints(&self) -> Option<PathBuf> {
        self.file(self.config.as_deref(), "fingerprints")
    }

    /// Returns the file of the default encryption key.
    pub fn default_key(&self) -> Option<PathBuf> {
        self.file(self.config.as_deref(), "encryption-key.json")
    }

    /// Returns the file of the default master public key.
    pub fn default_master_key(&self) -> Option<PathBuf> {
        self.file(self.config.as_deref(), "master-public.pem")
    }

    /// Returns the file of recent repositories.
    pub fn recent(&self) -> Option<PathBuf> {
        self.file(self.cache.as_deref(), "repo-list")
    }

    fn file(&self, folder: Option<&Path>, name: &str) -> Option<PathBuf> {
        Some(folder?.join(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A user without a folder under `/run/user`.
    const NOBODY: u32 = 4_000_000_000;

    fn folders(variables: &[(&str, &str)]) -> Folders {
        let variable = |name: &str| variables.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
        Folders::from_environment(variable, NOBODY)
    }

    #[test]
    fn variables_beat_the_home_folder_and_relative_ones_do_not_count() {
        let home = folders(&[("HOME", "/home/ann"), ("XDG_RUNTIME_DIR", "/run/user/1000")]);
        assert_eq!(home.tickets().unwrap(), Path::new("/run/user/1000/proxmox-backup/tickets"));
        assert_eq!(home.fingerprints().unwrap(), Path::new("/home/ann/.config/proxmox-backup/fingerprints"));
        assert_eq!(home.default_key().unwrap(), Path::new("/home/ann/.config/proxmox-backup/encryption-key.json"));
        assert_eq!(home.recent().unwrap(), Path::new("/home/ann/.cache/proxmox-backup/repo-list"));
        let set = folders(&[("HOME", "/home/ann"), ("XDG_CONFIG_HOME", "/etc/ann"), ("XDG_CACHE_HOME", "cache")]);
        assert_eq!(set.config.unwrap(), Path::new("/etc/ann/proxmox-backup"));
        assert_eq!(set.cache.unwrap(), Path::new("/home/ann/.cache/proxmox-backup"));
        assert_eq!(folders(&[]), Folders::default());
    }
}
