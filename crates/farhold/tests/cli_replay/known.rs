//! Where our programs differ from the recorded ones on purpose.

/// Numbers of invocations, from 1, and the reason.
pub const DIFFERENCES: &[(&[usize], &str)] = &[
    (&[11, 12, 29], "cli.md 1.2: --help is help"),
    (&[19, 285], "cli.md 4: commands that the reference does not have are shown too"),
    (&[21, 153], "a job can be planned without being made: --dry-run"),
    (&[25, 190], "without wishes the datastore's tuning says how many threads verify"),
    (&[37, 43], "cli.md 1.1: -- only ends the options"),
    (&[45], "cli.md 3.2: --userid is another name of --auth-id"),
    (&[108], "the message names the parameter, and usage follows"),
    (&[139], "rest-api.md 19.3: resync-corrupt can be deleted"),
    (&[143], "cli.md 3.3: an update refuses what a creation refuses"),
    (&[246], "the recorded server keeps its logs in turns; the text of an error is our own"),
    (&[258], "the packages of that machine are not ours"),
    (&[266], "that garbage is collected first stands in the log of the task"),
    (&[274], "cli.md 2: the exit code tells that a task failed"),
    (&[297], "our client has a version of its own"),
];

/// Returns why an invocation differs; none if it must not.
pub fn reason(number: usize) -> Option<&'static str> {
    DIFFERENCES.iter().find(|(numbers, _)| numbers.contains(&number)).map(|(_, reason)| *reason)
}
