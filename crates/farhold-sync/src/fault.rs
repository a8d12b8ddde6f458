//! What can go wrong with a request to either side of a run, and what a client's errors mean for it.

use std::error::Error;
use std::fmt;

use farhold_client::ClientError;

/// What kind of thing went wrong, as far as the engine acts on it. "The other side" is the source of a pull or the target
/// of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestFault {
    /// The thing asked for does not exist.
    NotFound,
    /// The other side has no such call at all; for the namespace listing of a source: it has no namespaces.
    Unsupported,
    /// The connection broke or went silent; asking again may help.
    ConnectionLost,
    /// The other side answered that it will not: wrong login, missing privilege, bad request, busy.
    Refused,
    /// The answer is larger than the caller allowed.
    TooLarge,
    /// The answer makes no sense.
    Invalid,
}

/// A client's error as the errors of both sides keep it.
pub(crate) struct Told {
    pub(crate) fault: RequestFault,
    pub(crate) text: String,
    pub(crate) cause: Option<Box<dyn Error + Send + Sync>>,
}

impl From<ClientError> for Told {
    fn from(error: ClientError) -> Self {
        let fault = match &error {
            ClientError::NamespacesUnsupported { .. } => RequestFault::Unsupported,
            ClientError::Vanished { .. } | ClientError::Status { status: 404, .. } => RequestFault::NotFound,
            ClientError::TooLarge { .. } => RequestFault::TooLarge,
            ClientError::Protocol { .. } => RequestFault::Invalid,
            error if error.is_transient() => RequestFault::ConnectionLost,
            // A proxy before the server answers so while the server restarts, a server while it is overloaded.
            ClientError::Status { status: 502..=504, .. } => RequestFault::ConnectionLost,
            _ => RequestFault::Refused,
        };
        let text = match error.hint() {
            Some(hint) => format!("{error} (hint: {hint})"),
            None => error.to_string(),
        };
        let cause = error.source().is_some().then(|| Box::new(Below(error)) as Box<dyn Error + Send + Sync>);
        Self { fault, text, cause }
    }
}

/// What caused a client's error. The error itself is told already, and would otherwise be told twice.
#[derive(Debug)]
struct Below(ClientError);

impl fmt::Display for Below {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.source().map_or(Ok(()), |cause| fmt::Display::fmt(cause, f))
    }
}

impl Error for Below {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source().and_then(Error::source)
    }
}
