//! REST endpoints, declared once, and the protocol upgrades.
//!
//! [`schema`] says what parameters look like, [`declare`] what an endpoint is; later modules dispatch requests to
//! endpoints without listening on sockets themselves.

pub mod declare;
mod error;
pub mod schema;

pub use error::ApiError;
