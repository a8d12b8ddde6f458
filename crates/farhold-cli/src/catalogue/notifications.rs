//! Commands about notifications: where they go, and which go where.
//!
//! Source: `docs/spec/cli.md` 3.14; `docs/spec/rest-api.md` 11.

use http::Method;

use crate::command::{Column, Command, OptionChoice, number, text};

const MATCHERS: &str = "/config/notifications/matchers";
const MATCHER: &str = "/config/notifications/matchers/{name}";

/// A way for notifications to leave: its paths and the words of its commands.
struct Endpoint {
    list: &'static str,
    item: &'static str,
    /// Words and summaries of list, show, create, update, delete.
    commands: [(&'static [&'static str], &'static str); 5],
    /// What tells endpoints of this type apart; shown behind the name.
    columns: &'static [&'static str],
}

/// Declares the paths and words of one type of endpoints.
macro_rules! endpoint {
    ($type:literal, $what:literal, $columns:expr) => {
        Endpoint {
            list: concat!("/config/notifications/endpoints/", $type),
            item: concat!("/config/notifications/endpoints/", $type, "/{name}"),
            commands: [
                (&["notification", "endpoint", $type, "list"], concat!("List the ", $what, "s")),
                (&["notification", "endpoint", $type, "show"], concat!("Show a ", $what)),
                (&["notification", "endpoint", $type, "create"], concat!("Create a ", $what)),
                (&["notification", "endpoint", $type, "update"], concat!("Change a ", $what)),
                (&["notification", "endpoint", $type, "delete"], concat!("Remove a ", $what)),
            ],
            columns: $columns,
        }
    };
}

const ENDPOINTS: &[Endpoint] = &[
    endpoint!("gotify", "notification endpoint of a Gotify server", &["server"]),
    endpoint!("sendmail", "notification endpoint of the local mail system", &["mailto", "mailto-user"]),
    endpoint!("smtp", "notification endpoint of a mail server", &["server", "mailto", "mailto-user"]),
    endpoint!("webhook", "notification endpoint of a web server", &["url"]),
];

pub(super) fn commands() -> Vec<Command> {
    let mut commands = vec![
        Command::call(
            &["notification", "target", "list"],
            Method::GET,
            "/config/notifications/targets",
            "List the notification targets",
        )
        .table(vec![number("disable"), text("name"), text("type"), text("origin"), text("comment")]),
        Command::call(
            &["notification", "target", "test"],
            Method::POST,
            "/config/notifications/targets/{name}/test",
            "Send a test notification to a target",
        )
        .positional(&["name"]),
        Command::call(
            &["notification", "matcher", "list"],
            Method::GET,
            MATCHERS,
            "List the matchers that send notifications to targets",
        )
        .table(matcher_columns()),
        Command::call(&["notification", "matcher", "show"], Method::GET, MATCHER, "Show a notification matcher")
            .positional(&["name"])
            .object(&["name"], &[]),
        Command::call(&["notification", "matcher", "create"], Method::POST, MATCHERS, "Create a notification matcher")
            .positional(&["name"]),
        Command::call(&["notification", "matcher", "update"], Method::PUT, MATCHER, "Change a notification matcher")
            .positional(&["name"]),
        Command::call(&["notification", "matcher", "delete"], Method::DELETE, MATCHER, "Remove a notification matcher")
            .positional(&["name"]),
    ];
    commands.extend(ENDPOINTS.iter().flat_map(endpoint_commands));
    commands
}

fn endpoint_commands(endpoint: &Endpoint) -> Vec<Command> {
    let Endpoint { list, item, commands: [list_words, show, create, update, delete], columns } = endpoint;
    let mut shown = vec![number("disable"), text("name")];
    shown.extend(columns.iter().copied().map(text));
    shown.extend([text("origin"), text("comment")]);
    vec![
        Command::call(list_words.0, Method::GET, list, list_words.1).options(OptionChoice::Only(&[])).table(shown),
        Command::call(show.0, Method::GET, item, show.1).positional(&["name"]).object(&["name"], &[]),
        Command::call(create.0, Method::POST, list, create.1).positional(&["name"]),
        Command::call(update.0, Method::PUT, item, update.1).positional(&["name"]),
        Command::call(delete.0, Method::DELETE, item, delete.1).positional(&["name"]),
    ]
}

fn matcher_columns() -> Vec<Column> {
    vec![number("disable"), text("name"), text("origin"), text("comment")]
}
