//! The ways that notifications leave this server by: what the settings and the host say of them, and one attempt.
//!
//! Which events there are and when they are tried again is not decided here.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use farhold_client::{Dialer, HttpProxy, ProxyTextError, TcpDialer, Trust};
pub use farhold_notify::{AddressFault, check_server, check_template};
use farhold_notify::{
    Configuration, DeliveryError, Event, EventId, Outside, Problem, Severity, Target, Templates, deliver,
};
use farhold_settings::{SettingsError, UserEntry};
use farhold_types::Userid;
use serde_json::json;
use thiserror::Error;

use crate::app::App;
use crate::host::full_name;
use crate::notifications::HostNames;
use crate::task_work::{self, Crashed};

/// The mail program of a host. Source: `docs/spec/schedules-and-tasks.md` 10.2.
pub const MAIL_PROGRAM: &str = "/usr/sbin/sendmail";

/// The ways out, as far as they never change.
pub struct NotificationWays {
    /// Opens connections.
    pub dialer: Arc<dyn Dialer>,
    /// Whose certificates are trusted.
    pub trust: Trust,
    /// The mail program.
    pub mail_program: PathBuf,
    /// Where the administrator's templates are; need not exist.
    pub templates: PathBuf,
}

impl NotificationWays {
    /// Returns the ways out of this host. `templates`: where the administrator's are.
    pub fn of_this_host(mail_program: PathBuf, templates: PathBuf) -> Self {
        Self { dialer: Arc::new(TcpDialer), trust: Trust::System, mail_program, templates }
    }
}

/// Why an attempt to notify failed. The chain of texts holds no secrets.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NotifyError {
    /// Settings cannot be read.
    #[error("settings cannot be read")]
    Settings(#[from] SettingsError),
    /// The node's proxy has another form.
    #[error("http-proxy of the node")]
    Proxy(#[from] ProxyTextError),
    /// There is no such target.
    #[error("no such target '{name}'")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The target's settings cannot be used.
    #[error("it cannot be used as it is set up")]
    Unusable(#[source] Problem),
    /// The delivery failed.
    #[error("the notification was not delivered")]
    Delivery(#[from] DeliveryError),
    /// Work of ours panicked.
    #[error("internal error")]
    Crashed(#[from] Crashed),
}

impl NotifyError {
    /// Returns whether another attempt makes no sense; see [`DeliveryError::is_permanent`].
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Delivery(error) if error.is_permanent())
    }
}

/// Returns what deliveries need to know of the settings and the host as they are now. Blocking.
fn outside(app: &App) -> Result<Outside, NotifyError> {
    let node = app.settings.node().load()?.entries;
    let users = app.settings.users().load()?.entries;
    let mut addresses: HashMap<Userid, String> = HashMap::new();
    for entry in users.usable() {
        if let UserEntry::User(user) = entry
            && let Some(email) = user.email.clone().filter(|email| !email.is_empty())
        {
            addresses.insert(user.userid.clone(), email);
        }
    }
    let ways = &app.notification_ways;
    Ok(Outside {
        dialer: Arc::clone(&ways.dialer),
        http_proxy: node.http_proxy().map(HttpProxy::parse).transpose()?,
        trust: ways.trust.clone(),
        mail_program: ways.mail_program.clone(),
        node: app.node.name.clone(),
        fqdn: full_name(&*app.host, &app.node.name),
        email_from: node.values.get("email-from").map(str::to_owned),
        address_of: Arc::new(move |user| addresses.get(user).cloned()),
    })
}

/// Makes one attempt to tell a target of an event, with the settings and templates as they are now.
///
/// # Errors
/// [`NotifyError`]; [`NotifyError::is_permanent`] says whether to try again.
///
/// # Cancel safety
/// As [`deliver`].
pub async fn notify(app: &Arc<App>, target: &Target, event: &Event) -> Result<(), NotifyError> {
    let (of_app, told) = (Arc::clone(app), event.clone());
    let (outside, words) = task_work::blocking(move || {
        let words = Templates::new(of_app.notification_ways.templates.clone()).render(&told);
        Ok::<_, NotifyError>((outside(&of_app)?, words))
    })
    .await?;
    Ok(deliver(target, event, &words, &outside).await?)
}

/// Tells a target that somebody wants to know whether it works. It may be a disabled one.
///
/// # Errors
/// [`NotifyError::Unknown`], or why the notification did not get there.
pub async fn notify_of_test(app: &Arc<App>, name: &str) -> Result<(), NotifyError> {
    let (of_app, wanted) = (Arc::clone(app), name.to_owned());
    let (target, event) = task_work::blocking(move || {
        let mut configuration = Configuration::load(&of_app.settings)?;
        let is_wanted = |problem: &Problem| matches!(problem, Problem::Target { name, .. } if *name == wanted);
        if let Some(at) = configuration.problems.iter().position(is_wanted) {
            return Err(NotifyError::Unusable(configuration.problems.swap_remove(at)));
        }
        let target = configuration.target(&wanted).cloned();
        let target = target.ok_or_else(|| NotifyError::Unknown { name: wanted.clone() })?;
        Ok((target, test_event(&of_app, &wanted)))
    })
    .await?;
    notify(app, &target, &event).await
}

fn test_event(app: &App, target: &str) -> Event {
    let mut data = HostNames::of(app).data();
    data.insert("target".to_owned(), json!(target));
    Event {
        id: EventId::random(&*app.randomness),
        severity: Severity::Info,
        timestamp: app.clock.now(),
        fields: [("hostname".to_owned(), app.node.name.clone())].into(),
        template: "test".to_owned(),
        data,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use farhold_settings::{SettingsError, UserConfig};

    use super::*;
    use crate::testing::TestServer;

    /// Returns a server whose mail program keeps what it gets.
    fn server() -> TestServer {
        let server = TestServer::new();
        let program = server.folder().join("sendmail");
        fs::write(&program, "#!/bin/sh\nhere=$(dirname \"$0\")\necho \"$@\" > \"$here/args\"\ncat > \"$here/mail\"\n")
            .unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        server
    }

    fn give_address(server: &TestServer, email: &str) {
        let user = UserConfig { email: Some(email.to_owned()), ..UserConfig::new("root@pam".parse().unwrap()) };
        let change = |users: &mut farhold_settings::Entries<_>| {
            users.remove("root@pam");
            users.insert(UserEntry::User(user))
        };
        server.app.settings.users().edit::<_, SettingsError>(None, change).unwrap();
    }

    #[tokio::test]
    async fn a_test_reaches_the_address_that_the_user_has_now_in_the_administrators_words() {
        let server = server();
        let read = |name: &str| fs::read_to_string(server.folder().join(name)).unwrap();
        let error = notify_of_test(&server.app, "mail-to-root").await.unwrap_err();
        assert!(matches!(error, NotifyError::Delivery(DeliveryError::NoRecipient)) && error.is_permanent());
        give_address(&server, "boss@example.org");
        server.host.set("/etc/hosts", "127.0.1.1 test.example test\n");
        notify_of_test(&server.app, "mail-to-root").await.unwrap();
        assert_eq!(read("args"), "-i -f root -- boss@example.org\n");
        // Long lines are wrapped on their way.
        let mail = read("mail").replace("=\n", "");
        assert!(mail.contains("Subject: Test of a notification target\n"), "{mail}");
        assert!(mail.contains("From: \"Farhold - test\" <root@test.example>\n"), "{mail}");
        assert!(mail.contains("'mail-to-root'") && mail.contains("https://test.example:8007"), "{mail}");
        let templates = &server.app.notification_ways.templates;
        fs::create_dir_all(templates).unwrap();
        fs::write(templates.join("test-subject.txt.hbs"), "Hello {{target}}").unwrap();
        notify_of_test(&server.app, "mail-to-root").await.unwrap();
        assert!(read("mail").contains("Subject: Hello mail-to-root\n"), "{}", read("mail"));
    }

    #[tokio::test]
    async fn a_test_of_what_is_no_target_or_cannot_be_used_says_so() {
        let server = server();
        for name in ["nosuch", "default-matcher"] {
            let error = notify_of_test(&server.app, name).await.unwrap_err();
            assert!(matches!(error, NotifyError::Unknown { .. }), "{error:?}");
        }
        let text = "gotify: phone\n\tserver https://gotify.example\n";
        fs::write(server.folder().join("etc/notifications.cfg"), text).unwrap();
        let error = notify_of_test(&server.app, "phone").await.unwrap_err();
        assert!(matches!(error, NotifyError::Unusable(_)), "{error:?}");
    }
}
