//! Options of jobs that only Farhold has, and the kinds of jobs that can have them.
//!
//! They are kept beside the configuration, never in its files, so that those stay exactly the reference's.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::secret::Secret;

/// Longest ping address in bytes: what servers and proxies accept without asking.
const MAX_URL_BYTES: usize = 2048;

/// A kind of job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JobKind {
    /// Pulls from or pushes to another datastore.
    Sync,
    /// Removes snapshots that nobody wants to keep.
    Prune,
    /// Checks snapshots.
    Verify,
    /// Garbage collection of a datastore; its name is that of the datastore.
    Gc,
}

impl JobKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Sync, Self::Prune, Self::Verify, Self::Gc];

    /// Returns the word for it in our own calls and files: `sync`, `prune`, `verify` or `gc`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Prune => "prune",
            Self::Verify => "verify",
            Self::Gc => "gc",
        }
    }

    /// Returns its word in names of job states. Source: `docs/spec/schedules-and-tasks.md` 9.1.
    pub const fn job_type(self) -> &'static str {
        match self {
            Self::Sync => "syncjob",
            Self::Prune => "prunejob",
            Self::Verify => "verificationjob",
            Self::Gc => "garbage_collection",
        }
    }

    /// Returns the kind with this word in names of job states.
    pub fn of_job_type(job_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.job_type() == job_type)
    }
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no kind of job.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no kind of job; one of sync, prune, verify, gc")]
pub struct UnknownJobKind;

impl FromStr for JobKind {
    type Err = UnknownJobKind;

    fn from_str(text: &str) -> Result<Self, UnknownJobKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownJobKind)
    }
}

/// Options of one job that only Farhold has; all are optional. The serde form is that of their file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobOptions {
    /// Sync jobs that pull: whether the snapshots that came are verified afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_after: Option<bool>,
    /// Sync jobs: whether the connections to the remote fall under the traffic-control rules of this server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_control: Option<bool>,
    /// How long the job may be without success before somebody is told; whole seconds in the file.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "whole_seconds")]
    pub stale_after: Option<Duration>,
    /// Address that is called after a run that succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ping_success: Option<PingUrl>,
    /// Address that is called after a run that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ping_failure: Option<PingUrl>,
}

impl JobOptions {
    /// Returns whether snapshots are verified after they were pulled; not unless it is asked for.
    pub fn verifies_after(&self) -> bool {
        self.verify_after.unwrap_or(false)
    }

    /// Returns whether connections to the remote fall under traffic-control rules; not unless it is asked for, as the
    /// reference has it (`docs/spec/schedules-and-tasks.md` 4).
    pub fn follows_traffic_control(&self) -> bool {
        self.traffic_control.unwrap_or(false)
    }

    /// Returns whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

mod whole_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "the signature that serde asks for")]
    pub fn serialize<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        span.map(|span| span.as_secs()).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_secs))
    }
}

/// Why a text is no ping address. Never holds the text: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PingUrlError {
    /// Another scheme, or none.
    #[error("the address must begin with http:// or https://")]
    Scheme,
    /// No host, or one that makes no sense.
    #[error("the address names no host and port that make sense")]
    Host,
    /// User and password would be sent to the host in another way than most people expect.
    #[error("the address must not hold a user or password")]
    Credentials,
    /// Blanks, control characters, letters beyond ASCII or a fragment.
    #[error("the address may hold visible ASCII characters only, and no '#'; encode others as %XX")]
    Characters,
    /// Too long.
    #[error("the address may have at most {MAX_URL_BYTES} bytes")]
    TooLong,
}

/// An http or https address to call. Such addresses are secrets: who knows one can pretend that the job ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PingUrl(Secret);

impl PingUrl {
    /// Returns the whole address, for who calls it and who may change it.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Returns scheme, host and port: what may be told to everybody who may see the job.
    pub fn origin(&self) -> String {
        let text = self.expose();
        let host = text.find("://").map_or(0, |at| at + 3);
        let end = text[host..].find(['/', '?']).map_or(text.len(), |at| host + at);
        text[..end].to_owned()
    }
}

impl FromStr for PingUrl {
    type Err = PingUrlError;

    fn from_str(text: &str) -> Result<Self, PingUrlError> {
        if MAX_URL_BYTES < text.len() {
            return Err(PingUrlError::TooLong);
        }
        let rest =
            text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or(PingUrlError::Scheme)?;
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte)) {
            return Err(PingUrlError::Characters);
        }
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(PingUrlError::Credentials);
        }
        check_authority(authority)?;
        Ok(Self(Secret::new(text)))
    }
}

/// Checks a host name or an address, in brackets for IPv6, with or without a port.
fn check_authority(authority: &str) -> Result<(), PingUrlError> {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, after)) => {
            address.parse::<std::net::Ipv6Addr>().map_err(|_| PingUrlError::Host)?;
            (address, if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or(PingUrlError::Host)?) })
        }
        None => {
            let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
            let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            if !host.bytes().all(is_host_byte) {
                return Err(PingUrlError::Host);
            }
            (host, port)
        }
    };
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p != 0);
    if host.is_empty() || !port.is_none_or(is_port) {
        return Err(PingUrlError::Host);
    }
    Ok(())
}

impl Serialize for PingUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for PingUrl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_form_holds_what_is_set_and_nothing_else() {
        let options = JobOptions {
            verify_after: Some(true),
            stale_after: Some(Duration::from_secs(93_600)),
            ping_success: Some("https://ping.example/abc?x=1".parse().unwrap()),
            ..JobOptions::default()
        };
        let text = serde_json::to_string(&options).unwrap();
        assert_eq!(text, r#"{"verify-after":true,"stale-after":93600,"ping-success":"https://ping.example/abc?x=1"}"#);
        assert_eq!(serde_json::from_str::<JobOptions>(&text).unwrap(), options);
        assert_eq!(serde_json::to_string(&JobOptions::default()).unwrap(), "{}");
        assert!(JobOptions::default().is_empty() && !options.is_empty());
        assert!(!JobOptions::default().verifies_after() && !JobOptions::default().follows_traffic_control());
    }

    #[test]
    fn ping_addresses_are_checked_and_hidden() {
        for good in [
            "http://a",
            "https://ping.example/a/b?c=%20d",
            "http://127.0.0.1:8080/x",
            "https://[::1]:443/x",
            "https://[2001:db8::1]?q",
        ] {
            assert!(good.parse::<PingUrl>().is_ok(), "{good}");
        }
        use PingUrlError::{Characters, Credentials, Host, Scheme, TooLong};
        let long = format!("https://a/{}", "x".repeat(MAX_URL_BYTES));
        for (bad, reason) in [
            ("ftp://a/", Scheme),
            ("ping.example", Scheme),
            ("HTTPS://a", Scheme),
            ("https://", Host),
            ("https:///x", Host),
            ("https://a:0/", Host),
            ("https://a:70000/", Host),
            ("https://a:+1/", Host),
            ("https://[::1", Host),
            ("https://[::1]x/", Host),
            ("https://user:pw@a/", Credentials),
            ("https://a/ b", Characters),
            ("https://a/\r\nHost: b", Characters),
            ("https://a/#part", Characters),
            ("https://\u{e4}.example/", Characters),
            (long.as_str(), TooLong),
        ] {
            assert_eq!(bad.parse::<PingUrl>().unwrap_err(), reason, "{bad}");
        }
        let url: PingUrl = "https://ping.example:8443/secret?token=1".parse().unwrap();
        assert_eq!(url.origin(), "https://ping.example:8443");
        assert_eq!("http://a?secret".parse::<PingUrl>().unwrap().origin(), "http://a");
        assert!(!format!("{url:?}").contains("ping"));
    }

    #[test]
    fn kinds_have_one_word_here_and_one_in_names_of_states() {
        for kind in JobKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(JobKind::of_job_type(kind.job_type()), Some(kind));
        }
        assert!("syncjob".parse::<JobKind>().is_err());
    }
}
