//! REST endpoints, declared once, and the protocol upgrades.
