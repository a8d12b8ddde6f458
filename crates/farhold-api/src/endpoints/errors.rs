//! From errors of the rooms below to answers.
//!
//! Nearly everything is a 400, also what does not exist: peers read a 404 as "the server is too old for this call"
//! (`docs/spec/rest-api.md` 1.4, 3.5). Calls that answer otherwise say so themselves with
//! [`ApiError::with_status`].

use farhold_access::{AccountError, AclChangeError, CheckError, PasswordChangeError};
use farhold_datastore::{DatastoreError, LockError, OpenError};
use farhold_jobs::StoreAccessError;
use farhold_rules::acl;
use farhold_settings::{FieldError, SettingsError};
use farhold_tasks::TaskError;
use farhold_tasks::job_state::JobStateError;
use http::StatusCode;

use crate::error::ApiError;

macro_rules! bad_requests {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for ApiError {
            fn from(error: $error) -> Self {
                Self::from_chain(&error)
            }
        })*
    };
}

bad_requests!(
    AclChangeError,
    CheckError,
    DatastoreError,
    FieldError,
    JobStateError,
    LockError,
    OpenError,
    SettingsError,
    StoreAccessError,
    TaskError,
    // A check inside of a handler; declared ones and those on namespaces are 403.
    acl::Denied,
);

impl From<PasswordChangeError> for ApiError {
    /// Source of the statuses: `docs/spec/rest-api.md` 5.2.
    fn from(error: PasswordChangeError) -> Self {
        let text = error.to_string();
        match error {
            // The cause is for the authentication log.
            PasswordChangeError::ConfirmationMissing
            | PasswordChangeError::ConfirmationWrong(_)
            | PasswordChangeError::UnknownUser { .. } => Self::unauthorized(text),
            PasswordChangeError::UnsupportedRealm { .. } => Self::not_implemented(text),
            other => Self::from_chain(&other),
        }
    }
}

impl From<AccountError> for ApiError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Password(error) => error.into(),
            other => Self::from_chain(&other),
        }
    }
}

/// Returns the 403 of a check on a namespace, which is answered without delay.
pub(crate) fn forbidden(denied: &acl::Denied) -> ApiError {
    ApiError::from_chain(denied).with_status(StatusCode::FORBIDDEN)
}

/// Returns how a creation answers what its file refuses: a parameter error if `what` exists already.
pub(crate) fn taken(parameter: &'static str, what: String) -> impl FnOnce(SettingsError) -> ApiError {
    move |error| match error {
        SettingsError::Exists { .. } => ApiError::parameter(parameter, format!("{what} already exists")),
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_exist_is_a_bad_request() {
        let missing = DatastoreError::NamespaceMissing { namespace: "a".parse().unwrap() };
        assert_eq!(ApiError::from(missing).status(), StatusCode::BAD_REQUEST);
        let unknown = StoreAccessError::Unknown { name: "store".to_owned() };
        assert_eq!(ApiError::from(unknown).status(), StatusCode::BAD_REQUEST);
    }
}
