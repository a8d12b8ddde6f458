//! Names and short texts.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use jiff::tz::TimeZone;

use farhold_format::task_log::{TaskListEntry, TaskStatus, split_stamp, status_from_tail};
use farhold_format::upid::Upid;
use farhold_rules::calendar::CalendarEvent;
use farhold_rules::daily_window::DailyWindow;
use farhold_rules::time_span::TimeSpan;
use farhold_types::{
    ArchiveName, Authid, BackupId, ByteSize, DatastoreName, Digest, Epoch, Fingerprint, Group, GroupFilter, JobId,
    KeyId, Namespace, Privileges, RemoteName, Role, Snapshot, Userid,
};

/// A calendar event, a daily window or a time span. The next time of an event is later than the one asked from.
pub(crate) fn calendar_event(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else {
        return false;
    };
    let is_other = DailyWindow::parse(text).is_ok() | text.parse::<TimeSpan>().is_ok();
    let Ok(event) = CalendarEvent::parse(text) else {
        return is_other;
    };
    let from = Epoch(1_774_742_400);
    let next = event.next_after(from, &TimeZone::UTC);
    assert!(next.is_none_or(|next| from < next), "{text:?} goes back to {next:?}");
    true
}

/// A UPID: the text that it prints is the text that was read.
pub(crate) fn upid(input: &[u8]) -> bool {
    let Some(upid) = parsed::<Upid>(input) else {
        return false;
    };
    let again = upid.to_string().parse::<Upid>();
    assert!(again.is_ok_and(|again| again == upid), "printed as {upid}");
    true
}

/// Lines of a task log and of the list of tasks.
pub(crate) fn task_log(input: &[u8]) -> bool {
    let _ = status_from_tail(input, Epoch(0));
    let Ok(text) = std::str::from_utf8(input) else {
        return false;
    };
    let mut is_accepted = false;
    for line in text.lines() {
        is_accepted |= split_stamp(line).is_some() | line.parse::<TaskStatus>().is_ok();
        is_accepted |= line.parse::<TaskListEntry>().is_ok();
        if let Some(status) = TaskStatus::from_result_message(line) {
            let again = TaskStatus::from_result_message(&status.result_message());
            assert!(again.is_some(), "'{line}' printed as '{}'", status.result_message());
        }
    }
    is_accepted
}

/// Everything that has a name: printed, it reads as the same.
pub(crate) fn names(input: &[u8]) -> bool {
    let one = round_trip::<Namespace>(input) | round_trip::<Group>(input) | round_trip::<Snapshot>(input);
    let two = round_trip::<BackupId>(input) | round_trip::<ArchiveName>(input) | round_trip::<Authid>(input);
    let three = round_trip::<Userid>(input) | round_trip::<Digest>(input);
    let four = round_trip::<Fingerprint>(input) | round_trip::<DatastoreName>(input) | round_trip::<RemoteName>(input);
    let five = round_trip::<JobId>(input) | round_trip::<KeyId>(input) | parsed::<Role>(input).is_some();
    // A size keeps its value, not its text.
    let six = parsed::<ByteSize>(input).is_some() | parsed::<Privileges>(input).is_some();
    one | two | three | four | five | six
}

/// Filters of jobs, which may hold regular expressions.
pub(crate) fn group_filter(input: &[u8]) -> bool {
    round_trip::<GroupFilter>(input)
}

fn parsed<T: FromStr>(input: &[u8]) -> Option<T> {
    std::str::from_utf8(input).ok()?.parse().ok()
}

fn round_trip<T: FromStr + Display + PartialEq + Debug>(input: &[u8]) -> bool {
    let Some(value) = parsed::<T>(input) else {
        return false;
    };
    let printed = value.to_string();
    assert_eq!(printed.parse::<T>().ok(), Some(value), "printed as {printed:?}");
    true
}
