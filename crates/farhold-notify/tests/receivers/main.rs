//! Every kind of target against a real receiver on this host: a mail server over a server library, an HTTP listener, a mail
//! program; and against peers that hang, refuse, talk nonsense, or go away.
#![allow(clippy::unwrap_used, reason = "a test may end with a panic")]

mod hostile;
mod mail_server;
mod program;
mod smtp;
mod support;
mod web;
mod web_server;
