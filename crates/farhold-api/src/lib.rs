//! REST endpoints, declared once, and the protocol upgrades.
//!
//! [`schema`] says what parameters look like, [`declare`] what an endpoint is, [`Router`] takes a request to its endpoint.
//! Nothing here listens on a socket or opens a file.

pub mod backup;
mod context;
pub mod declare;
mod dispatch;
pub mod docs_page;
pub mod endpoints;
mod error;
pub mod h2_session;
pub mod health_page;
pub mod openapi;
pub mod reader;
pub mod schema;

pub use dispatch::{Call, DeclarationError, FORBIDDEN_DELAY, Fallback, Router, UNAUTHORIZED_DELAY};
pub use error::ApiError;
