//! Clients for configured remotes.

use farhold_client::{Client, ClientConfig, ClientError, Credentials, HttpProxy, ProxyTextError, Throttles};
use farhold_settings::{FieldError, RemoteConfig, SettingsError};
use farhold_types::{RateLimits, RemoteName};
use thiserror::Error;

use crate::app::App;

/// Why a configured remote cannot be talked to.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RemoteClientError {
    /// No remote of this name is configured.
    #[error("no such remote '{name}'")]
    Unknown {
        /// The name asked for.
        name: RemoteName,
    },
    /// The remote asks for the node's proxy, and the text that names it is wrong.
    #[error("remote '{name}' cannot be reached through the node's proxy")]
    Proxy {
        /// The remote.
        name: RemoteName,
        /// What is wrong.
        #[source]
        source: ProxyTextError,
    },
    /// The remote's stored password cannot be read.
    #[error("password of remote '{name}' cannot be used")]
    Secret {
        /// The remote.
        name: RemoteName,
        /// What is wrong with it.
        #[source]
        source: FieldError,
    },
    /// The connection to the remote cannot be prepared.
    #[error("remote '{name}' cannot be used")]
    Client {
        /// The remote.
        name: RemoteName,
        /// Why.
        #[source]
        source: Box<ClientError>,
    },
    /// The configuration cannot be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// Returns a client for a configured remote. Opens no connection. Blocking.
///
/// # Errors
/// [`RemoteClientError`].
pub fn remote_client(
    app: &App,
    name: &RemoteName,
    limits: &RateLimits,
) -> Result<(Client, RemoteConfig), RemoteClientError> {
    run_client(app, name, limits, None)
}

/// Returns a client for a configured remote whose connections also keep to `throttles`. Opens no connection. Blocking.
///
/// # Errors
/// As [`remote_client`].
pub fn run_client(
    app: &App,
    name: &RemoteName,
    limits: &RateLimits,
    throttles: Option<Throttles>,
) -> Result<(Client, RemoteConfig), RemoteClientError> {
    let loaded = app.settings.remotes().load()?;
    let Some(remote) = loaded.entries.get(name.as_str())? else {
        return Err(RemoteClientError::Unknown { name: name.clone() });
    };
    Ok((build(app, remote, limits, throttles)?, remote.clone()))
}

/// Returns a client for a remote that need not be configured. Opens no connection. Blocking.
///
/// # Errors
/// As [`remote_client`].
pub fn client_of(app: &App, remote: &RemoteConfig, limits: &RateLimits) -> Result<Client, RemoteClientError> {
    build(app, remote, limits, None)
}

fn build(
    app: &App,
    remote: &RemoteConfig,
    limits: &RateLimits,
    throttles: Option<Throttles>,
) -> Result<Client, RemoteClientError> {
    let name = &remote.name;
    let proxy = match remote.use_node_proxy {
        Some(true) => app.settings.node().load()?.entries.http_proxy().map(HttpProxy::parse).transpose(),
        _ => Ok(None),
    };
    let proxy = proxy.map_err(|source| RemoteClientError::Proxy { name: name.clone(), source })?;
    let secret = remote.secret().map_err(|source| RemoteClientError::Secret { name: name.clone(), source })?;
    let config = ClientConfig {
        port: remote.effective_port(),
        fingerprint: remote.pinned_fingerprint(),
        rates: limits.clone(),
        throttles,
        ..ClientConfig::new(remote.host.clone(), Credentials::new(remote.auth_id.clone(), secret))
    };
    let client = match proxy {
        Some(proxy) => Client::with_dialer(config, proxy.dialer()),
        None => Client::new(config),
    };
    client.map_err(|source| RemoteClientError::Client { name: name.clone(), source: Box::new(source) })
}
