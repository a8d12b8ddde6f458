//! The sync engine: sources, targets, planner and pipeline.
