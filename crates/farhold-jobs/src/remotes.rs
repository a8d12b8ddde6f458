//! Clients for configured remotes.

use farhold_client::{Client, ClientConfig, ClientError, Credentials};
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
    /// Something that this server does not do yet.
    #[error("{0} is not supported yet")]
    Unsupported(&'static str),
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
    let loaded = app.settings.remotes().load()?;
    let Some(remote) = loaded.entries.get(name.as_str())? else {
        return Err(RemoteClientError::Unknown { name: name.clone() });
    };
    Ok((client_of(app, remote, limits)?, remote.clone()))
}

/// Returns a client for a remote that need not be configured. Opens no connection. Blocking.
///
/// # Errors
/// As [`remote_client`].
pub fn client_of(app: &App, remote: &RemoteConfig, limits: &RateLimits) -> Result<Client, RemoteClientError> {
    let name = &remote.name;
    if remote.use_node_proxy == Some(true) && app.settings.node().load()?.entries.http_proxy().is_some() {
        return Err(RemoteClientError::Unsupported("connecting to a remote through the node's proxy"));
    }
    let secret = remote.secret().map_err(|source| RemoteClientError::Secret { name: name.clone(), source })?;
    let config = ClientConfig {
        port: remote.effective_port(),
        fingerprint: remote.pinned_fingerprint(),
        rates: limits.clone(),
        ..ClientConfig::new(remote.host.clone(), Credentials::new(remote.auth_id.clone(), secret))
    };
    Client::new(config).map_err(|source| RemoteClientError::Client { name: name.clone(), source: Box::new(source) })
}
