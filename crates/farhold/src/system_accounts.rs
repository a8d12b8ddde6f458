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
    /// Returns the accounts of this host. PAM is looked for at the first login.
    pub fn new() -> Self {
        Self { pam: Pam::of_this_host() }
    }
}

impl Default for HostAccounts {
    fn default() -> Self {
        Self::new()
    }
}

impl SystemAccounts for HostAccounts {
    fn check(&self, name: &str, password: &Secret, remote_host: Option<IpAddr>) -> Result<(), String> {
        self.pam.authenticate(name, password, remote_host).map_err(|error| chain(&error))
    }

    fn set(&self, name: &str, password: &Secret) -> Result<(), String> {
        // PAM asks everybody else for the old password, which the caller of this may not know.
        if !nix::unistd::geteuid().is_root() {
            return Err("only a server that runs as root can set passwords of system accounts".to_owned());
        }
        self.pam.set_password(name, password).map_err(|error| chain(&error))
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
