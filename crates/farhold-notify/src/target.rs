//! Who is told, as the settings say it.
//!
//! Targets and matchers stand in `notifications.cfg`, secrets of targets in `notifications-priv.cfg`. What cannot be
//! used is a [`Problem`] with its name; all else works without it. Source: `docs/spec/config-and-access.md` 3.13,
//! `docs/spec/schedules-and-tasks.md` 10.3.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use farhold_format::section_config::Section;
use farhold_settings::records::notification::NAMED_VALUE;
use farhold_settings::{Entries, NotificationSecrets, Notifications, Settings, SettingsError};
use farhold_types::{Secret, Userid};
use thiserror::Error;

use crate::matcher::{Matcher, MatcherError};

/// Why a section makes no target.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TargetError {
    /// A value is missing.
    #[error("{key} is missing")]
    Missing {
        /// Its key.
        key: &'static str,
    },
    /// A value has another form. It is not shown, for it may be secret.
    #[error("{key} has another form")]
    Value {
        /// Its key.
        key: &'static str,
    },
    /// Nothing of this kind is known.
    #[error("nothing is known of targets of the kind '{kind}'")]
    Kind {
        /// The kind.
        kind: String,
    },
}

/// Something in the settings that cannot be used.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum Problem {
    /// A target.
    #[error("notification target '{name}' cannot be used")]
    Target {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: TargetError,
    },
    /// A matcher.
    #[error("notification matcher '{name}' cannot be used")]
    Matcher {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: MatcherError,
    },
}

/// Who gets a mail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recipients {
    /// Addresses; also names of the local mail system, such as `root`.
    pub addresses: Vec<String>,
    /// Users, who get it at the addresses that they have.
    pub users: Vec<Userid>,
}

/// Whom a mail comes from; where nothing is said, the node decides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sender {
    /// The address.
    pub address: Option<String>,
    /// The name before it.
    pub author: Option<String>,
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// TLS from the start.
    Tls,
    /// TLS after a word in the clear; without it nothing is sent.
    StartTls,
    /// None.
    None,
}

impl Encryption {
    /// Returns the port of a server that names none. Source: `docs/spec/schedules-and-tasks.md` 10.3.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Tls => 465,
            Self::StartTls => 587,
            Self::None => 25,
        }
    }
}

/// How a web hook is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// POST.
    Post,
    /// PUT.
    Put,
    /// GET.
    Get,
}

/// A header of a web hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedTemplate {
    /// Its name.
    pub name: String,
    /// The template of its value, in which secrets may stand as they are.
    pub template: Secret,
}

/// How a target is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetKind {
    /// Through the mail program of the host.
    Sendmail {
        /// Who gets it.
        recipients: Recipients,
        /// Whom it comes from.
        sender: Sender,
    },
    /// Through a mail server.
    Smtp {
        /// Name or address of the server.
        server: String,
        /// Its port.
        port: u16,
        /// How the connection is protected.
        encryption: Encryption,
        /// Name and password there.
        login: Option<(String, Secret)>,
        /// Who gets it.
        recipients: Recipients,
        /// Whom it comes from; the address is always given.
        sender: Sender,
    },
    /// Through a Gotify server.
    Gotify {
        /// URL of the server.
        server: String,
        /// What the application is known by there.
        token: Secret,
    },
    /// A call of a web address made of templates.
    Webhook {
        /// How it is called.
        method: Method,
        /// Template of the URL, in which secrets may stand as they are.
        url: Secret,
        /// Headers.
        headers: Vec<NamedTemplate>,
        /// Template of the body; may hold secrets, too.
        body: Option<Secret>,
        /// What the templates may name.
        secrets: BTreeMap<String, Secret>,
    },
    /// A call of an address without words: that it is called is the news.
    Ping {
        /// The address, which is secret with such services.
        url: Secret,
    },
}

/// Somebody who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Name in the settings.
    pub name: String,
    /// Whether nothing is to be sent.
    pub is_disabled: bool,
    /// How it is reached.
    pub kind: TargetKind,
}

impl Target {
    /// Reads a target from its section and that of its secrets, which the schemas of the files have accepted.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn read(section: &Section, secrets: Option<&Section>) -> Result<Self, TargetError> {
        let secrets = secrets.filter(|secrets| secrets.section_type() == section.section_type());
        let kind = match section.section_type() {
            "sendmail" => TargetKind::Sendmail { recipients: recipients(section), sender: sender(section) },
            "smtp" => smtp(section, secrets)?,
            "gotify" => TargetKind::Gotify {
                server: required(section, "server")?,
                token: secrets
                    .and_then(|secrets| secrets.get("token"))
                    .map(Secret::new)
                    .ok_or(TargetError::Missing { key: "token" })?,
            },
            "webhook" => webhook(section, secrets)?,
            other => return Err(TargetError::Kind { kind: other.to_owned() }),
        };
        Ok(Self { name: section.id().to_owned(), is_disabled: section.get("disable") == Some("true"), kind })
    }

    /// Returns a target that is only called: one GET of `url`, an address of http or https.
    pub fn ping(name: impl Into<String>, url: Secret) -> Self {
        Self { name: name.into(), is_disabled: false, kind: TargetKind::Ping { url } }
    }

    /// Returns a target that mails through the host's mail program to one user, as datastores in legacy mode do.
    pub fn legacy_mail(user: Userid) -> Self {
        let recipients = Recipients { addresses: Vec::new(), users: vec![user] };
        let kind = TargetKind::Sendmail { recipients, sender: Sender::default() };
        Self { name: "legacy-sendmail".to_owned(), is_disabled: false, kind }
    }
}

fn required(section: &Section, key: &'static str) -> Result<String, TargetError> {
    section.get(key).map(str::to_owned).ok_or(TargetError::Missing { key })
}

fn recipients(section: &Section) -> Recipients {
    let users = section.list("mailto-user").iter().filter_map(|text| match text.parse::<Userid>() {
        Ok(user) => Some(user),
        Err(_) => {
            // The others are told all the same.
            tracing::warn!(target = section.id(), user = text, "mailto-user names nobody");
            None
        }
    });
    Recipients { addresses: section.list("mailto").to_vec(), users: users.collect() }
}

fn sender(section: &Section) -> Sender {
    let text = |key: &str| section.get(key).filter(|text| !text.is_empty()).map(str::to_owned);
    Sender { address: text("from-address"), author: text("author") }
}

fn smtp(section: &Section, secrets: Option<&Section>) -> Result<TargetKind, TargetError> {
    let encryption = match section.get("mode") {
        None | Some("tls") => Encryption::Tls,
        Some("starttls") => Encryption::StartTls,
        Some("insecure") => Encryption::None,
        Some(_) => return Err(TargetError::Value { key: "mode" }),
    };
    let port = match section.get("port") {
        None => encryption.default_port(),
        Some(text) => text.parse().map_err(|_| TargetError::Value { key: "port" })?,
    };
    let password = || secrets.and_then(|secrets| secrets.get("password")).map(Secret::new);
    // A user without a password logs in with an empty one; a password alone is of no use.
    let login = section
        .get("username")
        .filter(|name| !name.is_empty())
        .map(|name| (name.to_owned(), password().unwrap_or_else(|| Secret::new(""))));
    Ok(TargetKind::Smtp {
        server: required(section, "server")?,
        port,
        encryption,
        login,
        recipients: recipients(section),
        sender: Sender { address: Some(required(section, "from-address")?), ..sender(section) },
    })
}

fn webhook(section: &Section, secrets: Option<&Section>) -> Result<TargetKind, TargetError> {
    let method = match section.get("method") {
        Some("post") => Method::Post,
        Some("put") => Method::Put,
        Some("get") => Method::Get,
        _ => return Err(TargetError::Value { key: "method" }),
    };
    let headers = named_values(section.list("header"), "header")?;
    let headers = headers.into_iter().map(|(name, template)| NamedTemplate { name, template }).collect();
    let stored = secrets.map(|secrets| secrets.list("secret")).unwrap_or_default();
    Ok(TargetKind::Webhook {
        method,
        url: Secret::new(required(section, "url")?),
        headers,
        body: section.get("body").map(|text| decoded(text, "body")).transpose()?,
        secrets: named_values(stored, "secret")?.into_iter().collect(),
    })
}

/// Returns the pairs of a list of `name=...,value=<base64>`, in order; what has no value has an empty one.
fn named_values(list: &[String], key: &'static str) -> Result<Vec<(String, Secret)>, TargetError> {
    let pair = |text: &String| {
        let properties = NAMED_VALUE.parse(text).map_err(|_| TargetError::Value { key })?;
        let name = properties.get("name").ok_or(TargetError::Value { key })?;
        Ok((name.to_owned(), decoded(properties.get("value").unwrap_or_default(), key)?))
    };
    list.iter().map(pair).collect()
}

fn decoded(text: &str, key: &'static str) -> Result<Secret, TargetError> {
    let bytes = BASE64.decode(text).map_err(|_| TargetError::Value { key })?;
    String::from_utf8(bytes).map(Secret::new).map_err(|_| TargetError::Value { key })
}

/// All targets and matchers of the settings.
#[derive(Debug, Clone, Default)]
pub struct Configuration {
    /// Targets, in the order of the file.
    pub targets: Vec<Target>,
    /// Matchers, in the order of the file.
    pub matchers: Vec<Matcher>,
    /// What cannot be used.
    pub problems: Vec<Problem>,
}

impl Configuration {
    /// Loads targets and matchers. Blocking.
    ///
    /// # Errors
    /// One of the two files cannot be read.
    pub fn load(settings: &Settings) -> Result<Self, SettingsError> {
        let entries = settings.notifications().load()?.entries;
        let secrets = settings.notification_secrets().load()?.entries;
        Ok(Self::read(&entries, &secrets))
    }

    /// Reads targets and matchers from the entries of the two files.
    pub fn read(entries: &Entries<Notifications>, secrets: &Entries<NotificationSecrets>) -> Self {
        let mut configuration = Self::default();
        for section in entries.usable() {
            let name = section.id().to_owned();
            if section.section_type() == "matcher" {
                match Matcher::read(section) {
                    Ok(matcher) => configuration.matchers.push(matcher),
                    Err(source) => configuration.problems.push(Problem::Matcher { name, source }),
                }
                continue;
            }
            match Target::read(section, secrets.section(&name)) {
                Ok(target) => configuration.targets.push(target),
                Err(source) => configuration.problems.push(Problem::Target { name, source }),
            }
        }
        configuration
    }

    /// Returns the target of a name, also a disabled one.
    pub fn target(&self, name: &str) -> Option<&Target> {
        self.targets.iter().find(|target| target.name == name)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use farhold_settings::ConfigDir;
    use farhold_types::Randomness;

    use super::*;

    struct Zeros;
    impl Randomness for Zeros {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(0);
        }
    }

    fn configuration(public: &str, private: &str) -> Configuration {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("notifications.cfg"), public).unwrap();
        std::fs::write(directory.path().join("notifications-priv.cfg"), private).unwrap();
        Configuration::load(&Settings::new(ConfigDir::new(directory.path(), Arc::new(Zeros)))).unwrap()
    }

    #[test]
    fn without_a_file_everything_goes_to_root() {
        let configuration = configuration("", "");
        let [target] = &configuration.targets[..] else { panic!("{:?}", configuration.targets) };
        assert_eq!(target.name, "mail-to-root");
        let users = vec!["root@pam".parse::<Userid>().unwrap()];
        let recipients = Recipients { addresses: Vec::new(), users };
        assert_eq!(target.kind, TargetKind::Sendmail { recipients, sender: Sender::default() });
        assert_eq!(configuration.matchers[0].targets, ["mail-to-root"]);
        assert_eq!(configuration.problems, []);
    }

    #[test]
    fn targets_of_all_kinds_are_read_with_their_secrets() {
        let public = "\
smtp: mail
\tserver mail.example
\tfrom-address backup@example.org
\tmode starttls
\tusername me
\tmailto a@example.org
\tmailto b@example.org
\tmailto-user root@pam
\tdisable true

gotify: phone
\tserver https://gotify.example

webhook: hook
\tmethod put
\turl https://example.org/{{secrets.path}}
\theader name=X-Token,value=e3tzZWNyZXRzLnRva2VufX0=
\tbody eyJhIjoxfQ==
";
        let private = "\
smtp: mail
\tpassword pw

gotify: phone
\ttoken tok

webhook: hook
\tsecret name=token,value=aHVudGVyMg==
\tsecret name=path,value=c2VjcmV0LXBhdGg=
";
        let configuration = configuration(public, private);
        assert_eq!(configuration.problems, []);
        let mail = configuration.target("mail").unwrap();
        assert!(mail.is_disabled);
        let TargetKind::Smtp { port, encryption, login, recipients, sender, .. } = &mail.kind else { panic!() };
        assert_eq!((*port, *encryption), (587, Encryption::StartTls));
        assert_eq!(login.as_ref().unwrap(), &("me".to_owned(), Secret::new("pw")));
        assert_eq!(recipients.addresses, ["a@example.org", "b@example.org"]);
        assert_eq!(sender.address.as_deref(), Some("backup@example.org"));
        let TargetKind::Gotify { token, .. } = &configuration.target("phone").unwrap().kind else { panic!() };
        assert_eq!(token.expose(), "tok");
        let TargetKind::Webhook { method, headers, body, secrets, .. } = &configuration.target("hook").unwrap().kind
        else {
            panic!()
        };
        assert_eq!(*method, Method::Put);
        assert_eq!(headers[0].name, "X-Token");
        assert_eq!(headers[0].template.expose(), "{{secrets.token}}");
        assert_eq!(body.as_ref().unwrap().expose(), "{\"a\":1}");
        assert_eq!(secrets["token"].expose(), "hunter2");
        let shown = format!("{configuration:?}");
        for secret in ["hunter2", "tok\"", "pw\"", "secret-path", "{{secrets"] {
            assert!(!shown.contains(secret), "{secret}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named_and_the_rest_works() {
        let public = "\
gotify: phone
\tserver https://gotify.example

matcher: odd
\tmatch-field regex:type=(
\ttarget phone

webhook: hook
\tmethod post
\turl https://example.org/
\tbody bm90IHV0ZjogIP8=
";
        let configuration = configuration(public, "");
        let problems: Vec<String> = configuration.problems.iter().map(|problem| problem.to_string()).collect();
        assert_eq!(
            problems,
            [
                "notification target 'phone' cannot be used",
                "notification matcher 'odd' cannot be used",
                "notification target 'hook' cannot be used",
            ]
        );
        assert!(configuration.target("mail-to-root").is_some());
    }
}
