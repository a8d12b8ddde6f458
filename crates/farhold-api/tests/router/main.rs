//! The dispatcher from outside: recorded exchanges and its own promises, over one small scene.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue should stop")]

mod dispatch;
mod replay;
mod scene;
