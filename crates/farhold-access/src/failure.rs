//! Why somebody was not let in: one answer for outside, the reason for the authentication log.

use farhold_settings::SettingsError;
use thiserror::Error;

use crate::ticket::TicketError;

/// A refused login or request. Its display form tells nothing; [`Self::log_text`] is for the
/// authentication log.
#[derive(Debug, Error)]
#[error("authentication failed")]
pub struct AuthFailure {
    /// Who it was about, as far as known: a user or token id, as sent.
    pub who: Option<String>,
    /// What was wrong.
    #[source]
    pub reason: AuthFailureReason,
}

impl AuthFailure {
    pub(crate) fn new(who: impl ToString, reason: AuthFailureReason) -> Self {
        Self { who: Some(who.to_string()), reason }
    }

    /// Returns the reason with all its causes, for the authentication log.
    pub fn log_text(&self) -> String {
        let mut text = self.reason.to_string();
        let mut cause = std::error::Error::source(&self.reason);
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        text
    }
}

/// What was wrong.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuthFailureReason {
    /// Neither ticket nor token.
    #[error("no authentication credentials provided")]
    NoCredentials,
    /// User or token missing, switched off or expired.
    #[error("user account or API token missing, disabled or expired")]
    Inactive,
    /// Not the user's password.
    #[error("invalid credentials")]
    WrongPassword,
    /// The user has no password.
    #[error("no password set")]
    NoPassword,
    /// A password outside of the allowed form.
    #[error("password must have 1 to 1024 characters and no control characters")]
    PasswordForm,
    /// The operating system refused, or could not be asked.
    #[error("system account: {0}")]
    Pam(String),
    /// There is no such realm.
    #[error("unknown realm '{0}'")]
    UnknownRealm(String),
    /// A realm whose passwords this server cannot check.
    #[error("passwords of realm '{0}' cannot be checked by this server")]
    UnsupportedRealm(String),
    /// The user has a second factor, which this server cannot ask for.
    #[error("user has a second factor, which this server cannot check; use an API token")]
    SecondFactor,
    /// The ticket is not valid.
    #[error("invalid ticket")]
    Ticket(#[source] TicketError),
    /// A valid ticket of somebody else.
    #[error("ticket belongs to another user")]
    OtherUsersTicket,
    /// The anti-forgery token is missing.
    #[error("missing CSRF prevention token")]
    CsrfMissing,
    /// The anti-forgery token is not valid.
    #[error("invalid CSRF prevention token")]
    Csrf(#[source] TicketError),
    /// Not a token id.
    #[error("not an API token id")]
    TokenId,
    /// The token has no secret stored.
    #[error("no secret stored for this API token")]
    TokenSecretMissing,
    /// Not the token's secret.
    #[error("invalid API token secret")]
    WrongTokenSecret,
    /// Too many others wait for their password or secret to be checked.
    #[error("too many logins at once, not checked")]
    TooManyChecks,
    /// The stored configuration is not usable.
    #[error("stored configuration is not usable")]
    Settings(#[source] Box<SettingsError>),
}

impl From<SettingsError> for AuthFailureReason {
    fn from(error: SettingsError) -> Self {
        Self::Settings(Box::new(error))
    }
}
