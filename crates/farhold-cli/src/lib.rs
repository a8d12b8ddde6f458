//! Command line: arguments, tables, output, exit codes.
