//! Whether a server that is to be sent figures can be reached at all. Source: `docs/spec/rest-api.md` 11.

use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpStream;

/// How long a server may take to accept a connection. Long for one next door, short for somebody who waits for an answer.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// Why a metric server cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MetricProbeError {
    /// The URL has no host.
    #[error("'{url}' names no host")]
    NoHost {
        /// The URL.
        url: String,
    },
    /// Nobody accepts a connection.
    #[error("connecting to {address} failed")]
    Unreachable {
        /// Host and port.
        address: String,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// Nobody answers.
    #[error("{address} did not accept a connection within {} s", CONNECT_WAIT.as_secs())]
    Silent {
        /// Host and port.
        address: String,
    },
}

/// Checks that somebody accepts connections where `url` points to.
///
/// # Errors
/// See [`MetricProbeError`].
pub async fn reach(url: &str) -> Result<(), MetricProbeError> {
    let address = address_of(url).ok_or_else(|| MetricProbeError::NoHost { url: url.to_owned() })?;
    match tokio::time::timeout(CONNECT_WAIT, TcpStream::connect(&address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(source)) => Err(MetricProbeError::Unreachable { address, source }),
        Err(_) => Err(MetricProbeError::Silent { address }),
    }
}

/// Returns `host:port` of a URL, with the port of its scheme if it names none.
fn address_of(url: &str) -> Option<String> {
    let (rest, port) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
        (Some(rest), _) => (rest, 80),
        (_, Some(rest)) => (rest, 443),
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // The colons of a bare address stand in brackets.
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    match authority {
        "" => None,
        _ if has_port => Some(authority.to_owned()),
        _ => Some(format!("{authority}:{port}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_that_of_the_scheme_unless_the_url_names_one() {
        for (url, address) in [
            ("http://a.example", Some("a.example:80")),
            ("https://a.example/path?x=1:2", Some("a.example:443")),
            ("http://a.example:8086/", Some("a.example:8086")),
            ("https://[2001:db8::1]", Some("[2001:db8::1]:443")),
            ("https://[2001:db8::1]:8086", Some("[2001:db8::1]:8086")),
            ("http:///x", None),
            ("ftp://a.example", None),
        ] {
            assert_eq!(address_of(url).as_deref(), address, "{url}");
        }
    }

    #[tokio::test]
    async fn a_server_that_listens_is_reached_and_a_closed_port_is_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        reach(&url).await.unwrap();
        drop(listener);
        assert!(matches!(reach(&url).await, Err(MetricProbeError::Unreachable { .. })));
    }
}
