//! Talking to a remote: pinned TLS, login, REST calls, reader sessions.
