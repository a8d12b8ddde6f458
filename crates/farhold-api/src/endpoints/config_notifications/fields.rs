//! What targets and matchers consist of: parameters, deletable fields and shapes of answers.
//!
//! Source: `docs/spec/rest-api.md` 11, `docs/spec/config-and-access.md` 3.13.

use farhold_rules::notification_match::{MatchField, parse_severities};
use farhold_settings::checkers;
use farhold_settings::records::notification::{
    ENTITY, MATCHER_MODES, NAMED_VALUE, SECRET, SMTP_MODES, WEBHOOK_METHODS,
};
use serde_json::Value;

use crate::schema::{DefaultValue, Field, Param, ParamKind, Shape, named, shapes};

/// `name` of a target or matcher.
pub const NAME: Param = Param::required("name", named::of_file(ENTITY), "Name of the target or matcher");

const TEXT: ParamKind = named::of_file(checkers::LINE);
const FILLED: ParamKind = named::of_file(checkers::FILLED_LINE);
const ENTITY_KIND: ParamKind = named::of_file(ENTITY);
const WINDOW_KIND: ParamKind = named::of_file(checkers::DAILY_WINDOW);
const MAIL_KIND: ParamKind = named::of_file(checkers::PERSON);
const NAMED_VALUE_KIND: ParamKind = ParamKind::Text {
    min_length: 1,
    max_length: None,
    check: Some(named_value),
    hint: "name=<string>[,value=<base64>]",
};
const BASE64: ParamKind = ParamKind::Text { min_length: 0, max_length: None, check: Some(base64), hint: "<base64>" };

const DISABLE: Param = named::flag("disable", "Do not use it");
const MAILTO: Param = Param::optional("mailto", ParamKind::List(&MAIL_KIND), "Addresses that get the mail");
const MAILTO_USER: Param =
    Param::optional("mailto-user", ParamKind::List(&named::USERID.kind), "Users whose addresses get the mail");
const FROM_ADDRESS: Param = Param::optional("from-address", FILLED, "Address that the mail comes from");
const AUTHOR: Param = Param::optional("author", TEXT, "Name that the mail comes from");

const NAME_FIELD: Field = Field::required("name", Shape::Text("name of a target or matcher"), "Its name");
const ORIGIN_FIELD: Field = Field::required(
    "origin",
    Shape::Word(&["user-created", "builtin", "modified-builtin"]),
    "Whether it is always there, was changed, or was made by somebody",
);
const COMMENT_FIELD: Field = Field::optional("comment", shapes::TEXT, "Comment");
const DISABLE_FIELD: Field = Field::optional("disable", Shape::Boolean, "Whether it is not used");
const TEXTS: Shape = Shape::List(&shapes::TEXT);
const MAILTO_FIELD: Field = Field::optional("mailto", TEXTS, "Addresses that get the mail");
const MAILTO_USER_FIELD: Field = Field::optional("mailto-user", TEXTS, "Users whose addresses get the mail");
const AUTHOR_FIELD: Field = Field::optional("author", shapes::TEXT, "Name that the mail comes from");

/// A kind of target.
pub struct Kind {
    /// Type of its sections, last part of its path.
    pub name: &'static str,
    /// Its list.
    pub list: &'static str,
    /// One of them.
    pub one: &'static str,
    /// Its fields besides the name and the secrets.
    pub fields: &'static [Param],
    /// Its fields that stand in the private file.
    pub secrets: &'static [Param],
    /// Fields that a new one needs.
    pub required: &'static [&'static str],
    /// What an update may reset.
    pub deletable: &'static ParamKind,
    /// Whether it sends mail, and so needs somebody who gets it.
    pub is_mail: bool,
    /// One of them in an answer.
    pub item: Shape,
    /// A list of them in an answer.
    pub items: Shape,
}

const SENDMAIL_SHAPE: Shape = Shape::Object(&[
    NAME_FIELD,
    MAILTO_FIELD,
    MAILTO_USER_FIELD,
    Field::optional("from-address", shapes::TEXT, "Address that the mail comes from"),
    AUTHOR_FIELD,
    COMMENT_FIELD,
    DISABLE_FIELD,
    ORIGIN_FIELD,
]);
const SMTP_SHAPE: Shape = Shape::Object(&[
    NAME_FIELD,
    Field::required("server", shapes::TEXT, "Mail server"),
    Field::required("from-address", shapes::TEXT, "Address that the mail comes from"),
    Field::optional("port", Shape::Integer, "Its port; that of the mode if absent"),
    Field::optional("mode", Shape::Word(SMTP_MODES), "Whether and how the connection is protected"),
    Field::optional("username", shapes::TEXT, "Whom we log in as"),
    MAILTO_FIELD,
    MAILTO_USER_FIELD,
    AUTHOR_FIELD,
    COMMENT_FIELD,
    DISABLE_FIELD,
    ORIGIN_FIELD,
]);
const GOTIFY_SHAPE: Shape = Shape::Object(&[
    NAME_FIELD,
    Field::required("server", Shape::Text("URL"), "URL of the server"),
    COMMENT_FIELD,
    DISABLE_FIELD,
    ORIGIN_FIELD,
]);
const WEBHOOK_SHAPE: Shape = Shape::Object(&[
    NAME_FIELD,
    Field::required("method", Shape::Word(WEBHOOK_METHODS), "How it is called"),
    Field::required("url", Shape::Text("URL template"), "What is called"),
    Field::optional("header", TEXTS, "Headers: name and value in base64"),
    Field::optional("body", Shape::Text("base64"), "Template of the body, in base64"),
    Field::optional("secret", TEXTS, "Names of the secrets that templates may use"),
    COMMENT_FIELD,
    DISABLE_FIELD,
    ORIGIN_FIELD,
]);

const fn deletable(values: &'static [&'static str]) -> ParamKind {
    ParamKind::Enumeration { values, strict: true }
}
const SENDMAIL_DELETABLE: ParamKind =
    deletable(&["mailto", "mailto-user", "from-address", "author", "comment", "disable"]);
const SMTP_DELETABLE: ParamKind =
    deletable(&["port", "mode", "username", "password", "mailto", "mailto-user", "author", "comment", "disable"]);
const GOTIFY_DELETABLE: ParamKind = deletable(&["comment", "disable"]);
const WEBHOOK_DELETABLE: ParamKind = deletable(&["header", "body", "secret", "comment", "disable"]);

/// All kinds of targets.
pub const KINDS: [Kind; 4] = [
    Kind {
        name: "sendmail",
        list: "/config/notifications/endpoints/sendmail",
        one: "/config/notifications/endpoints/sendmail/{name}",
        fields: &[MAILTO, MAILTO_USER, FROM_ADDRESS, AUTHOR, named::COMMENT, DISABLE],
        secrets: &[],
        required: &[],
        deletable: &SENDMAIL_DELETABLE,
        is_mail: true,
        item: SENDMAIL_SHAPE,
        items: Shape::List(&SENDMAIL_SHAPE),
    },
    Kind {
        name: "smtp",
        list: "/config/notifications/endpoints/smtp",
        one: "/config/notifications/endpoints/smtp/{name}",
        fields: &[
            Param::optional("server", named::HOST.kind, "Mail server"),
            FROM_ADDRESS,
            Param::optional("port", ParamKind::Integer { min: Some(0), max: Some(65_535) }, "Port of the mail server"),
            Param::optional("mode", ParamKind::Enumeration { values: SMTP_MODES, strict: true }, "Protection")
                .or_default(DefaultValue::Text("tls")),
            Param::optional("username", TEXT, "User at the mail server"),
            MAILTO,
            MAILTO_USER,
            AUTHOR,
            named::COMMENT,
            DISABLE,
        ],
        secrets: &[Param::optional("password", named::of_file(SECRET), "Password at the mail server")],
        required: &["server", "from-address"],
        deletable: &SMTP_DELETABLE,
        is_mail: true,
        item: SMTP_SHAPE,
        items: Shape::List(&SMTP_SHAPE),
    },
    Kind {
        name: "gotify",
        list: "/config/notifications/endpoints/gotify",
        one: "/config/notifications/endpoints/gotify/{name}",
        fields: &[Param::optional("server", FILLED, "URL of the server"), named::COMMENT, DISABLE],
        secrets: &[Param::optional("token", named::of_file(SECRET), "Token of the application at the server")],
        required: &["server", "token"],
        deletable: &GOTIFY_DELETABLE,
        is_mail: false,
        item: GOTIFY_SHAPE,
        items: Shape::List(&GOTIFY_SHAPE),
    },
    Kind {
        name: "webhook",
        list: "/config/notifications/endpoints/webhook",
        one: "/config/notifications/endpoints/webhook/{name}",
        fields: &[
            Param::optional("method", ParamKind::Enumeration { values: WEBHOOK_METHODS, strict: true }, "Method"),
            Param::optional("url", FILLED, "Template of the URL that is called"),
            Param::optional("header", ParamKind::List(&NAMED_VALUE_KIND), "Headers, their values in base64"),
            Param::optional("body", BASE64, "Template of the body, in base64"),
            named::COMMENT,
            DISABLE,
        ],
        secrets: &[Param::optional("secret", ParamKind::List(&NAMED_VALUE_KIND), "Secrets, their values in base64")],
        required: &["method", "url"],
        deletable: &WEBHOOK_DELETABLE,
        is_mail: false,
        item: WEBHOOK_SHAPE,
        items: Shape::List(&WEBHOOK_SHAPE),
    },
];

const MATCH_FIELD_KIND: ParamKind =
    ParamKind::Text { min_length: 1, max_length: None, check: None, hint: "exact|regex:<field>=<value>" };

/// The fields of a matcher besides its name.
pub const MATCHER_FIELDS: [Param; 8] = [
    Param::optional("match-field", ParamKind::List(&MATCH_FIELD_KIND), "Rules about fields of an event")
        .typed_by(match_field),
    Param::optional("match-severity", ParamKind::List(&FILLED), "Lists of severities").typed_by(severities),
    Param::optional("match-calendar", ParamKind::List(&WINDOW_KIND), "Parts of the day"),
    Param::optional("mode", ParamKind::Enumeration { values: MATCHER_MODES, strict: true }, "How rules are joined")
        .or_default(DefaultValue::Text("all")),
    named::flag("invert-match", "Let through what the rules do not fit"),
    Param::optional("target", ParamKind::List(&ENTITY_KIND), "Targets that are told"),
    named::COMMENT,
    DISABLE,
];
/// What an update of a matcher may reset.
pub const MATCHER_DELETABLE: ParamKind = deletable(&[
    "comment",
    "disable",
    "invert-match",
    "match-calendar",
    "match-field",
    "match-severity",
    "mode",
    "target",
]);
/// A matcher in an answer.
pub const MATCHER: Shape = Shape::Object(&[
    NAME_FIELD,
    Field::optional("match-field", TEXTS, "Rules about fields of an event"),
    Field::optional("match-severity", TEXTS, "Lists of severities"),
    Field::optional("match-calendar", TEXTS, "Parts of the day"),
    Field::optional("mode", Shape::Word(MATCHER_MODES), "How the rules are joined"),
    Field::optional("invert-match", Shape::Boolean, "Whether it lets through what the rules do not fit"),
    Field::optional("target", TEXTS, "Targets that are told"),
    COMMENT_FIELD,
    DISABLE_FIELD,
    ORIGIN_FIELD,
]);

/// The list of all targets in an answer.
pub const TARGETS: Shape = Shape::List(&Shape::Object(&[
    NAME_FIELD,
    Field::required("type", Shape::Word(&["sendmail", "smtp", "gotify", "webhook"]), "Its kind"),
    COMMENT_FIELD,
    DISABLE_FIELD,
    ORIGIN_FIELD,
]));

fn base64(text: &str) -> Result<(), String> {
    let body = text.trim_end_matches('=');
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    let fits = text.len().is_multiple_of(4) && text.len() - body.len() <= 2 && body.bytes().all(is_digit);
    if fits { Ok(()) } else { Err("value is no base64".to_owned()) }
}

fn named_value(text: &str) -> Result<(), String> {
    let properties = NAMED_VALUE.parse(text).map_err(|error| error.to_string())?;
    properties.get("value").map_or(Ok(()), base64)
}

// Checks of the second stage see the elements of a list one by one.

fn match_field(value: &Value) -> Result<(), String> {
    value.as_str().map_or(Ok(()), |text| text.parse::<MatchField>().map(drop).map_err(|error| error.to_string()))
}

fn severities(value: &Value) -> Result<(), String> {
    value.as_str().map_or(Ok(()), |text| parse_severities(text).map(drop).map_err(|error| error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_show_every_field_but_the_secrets() {
        let names = |shape: &Shape| {
            let mut names: Vec<&str> = shape.fields().map(|field| field.name).collect();
            names.retain(|name| !["name", "origin"].contains(name));
            names.sort_unstable();
            names
        };
        let of = |params: &[Param]| {
            let mut names: Vec<&str> = params.iter().map(|param| param.name).collect();
            names.sort_unstable();
            names
        };
        for kind in &KINDS {
            let mut expected = of(kind.fields);
            // The names of secrets are shown.
            expected.extend((kind.name == "webhook").then_some("secret"));
            expected.sort_unstable();
            assert_eq!(names(&kind.item), expected, "{}", kind.name);
        }
        assert_eq!(names(&MATCHER), of(&MATCHER_FIELDS));
    }

    #[test]
    fn values_of_web_hooks_are_base64() {
        for ok in ["name=a", "name=a,value=", "name=a,value=MQ==", "value=MTIz,name=a"] {
            assert_eq!(named_value(ok), Ok(()), "{ok}");
        }
        for bad in ["a", "value=MQ==", "name=a,value=M", "name=a,value=M===", "name=a,value=M*==", "name=a,other=1"] {
            assert!(named_value(bad).is_err(), "{bad}");
        }
    }
}
