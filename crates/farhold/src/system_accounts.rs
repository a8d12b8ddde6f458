//! Accounts of the operating system, for logins in realm `pam`.

use std::net::IpAddr;

use farhold_access::SystemAccounts;
use farhold_pam::Pam;
use farhold_types::Secret;

/// The accounts of this host, through PAM.
#[derive(Debug)]
pub struct HostAccounts {
    pam: Pam,
}

impl HostAccounts {
    /// Returns the accounts that PAM knows; the library is looked for at the first login.
    pub const fn new(pam: Pam) -> Self {
        Self { pam }
    }
}

impl SystemAccounts for HostAccounts {
    fn check(&self, name: &str, password: &Secret, remote_host: Option<IpAddr>) -> Result<(), String> {
        self.pam.authenticate(name, password, remote_host).map_err(with_causes)
    }

    fn set(&self, name: &str, password: &Secret) -> Result<(), String> {
        // PAM asks everybody else for the old password, which the caller of this may not know.
        if !nix::unistd::geteuid().is_root() {
            return Err("only a server that runs as root can set passwords of system accounts".to_owned());
        }
        self.pam.set_password(name, password).map_err(with_causes)
    }
}

fn with_causes(error: impl Into<anyhow::Error>) -> String {
    format!("{:#}", error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_gets_the_whole_reason() {
        let accounts = HostAccounts::new(Pam::of_this_host().with_library("libpam-of-nobody.so.0"));
        let reason = accounts.check("root", &Secret::new("secret"), None).unwrap_err();
        assert!(reason.starts_with("this host has no PAM library (libpam-of-nobody.so.0), so passwords"), "{reason}");
        // What the loader says.
        assert!(reason.matches("libpam-of-nobody.so.0").count() == 2, "{reason}");
        let reason = accounts.set("root", &Secret::new("secret")).unwrap_err();
        assert!(reason.contains("PAM library") || reason.contains("runs as root"), "{reason}");
    }
}
