//! Tests of the datastore through its public interface.

mod golden;

mod support;
