//! What can be said about a remote in one go: can it be reached, is it the right one, does it let us in, what may we do.
//!
//! A probe goes the way that a sync goes, step by step, and stops where a sync would fail; the steps behind are told as
//! skipped. Credentials are sent only after the certificate was accepted by the rules of a sync. Nothing is changed on
//! either side.

use farhold_client::{Client, ClientError, PeerIdentity, RemoteDatastore};
use farhold_rules::acl::AclPath;
use farhold_rules::peer_version::PeerVersion;
use farhold_tasks::TaskFailure;
use farhold_types::{Authid, Clock, DatastoreName, Epoch, Fingerprint, Namespace, VersionItem};
use serde::Serialize;

/// Most datastores and namespaces that a report lists; the counts go on.
const MAX_LISTED: usize = 100;

/// Difference of clocks that is worth a warning, in seconds. Tickets from the future are refused after 300 s
/// (`docs/spec/wire-protocol.md`), and schedules and ages of backups should agree long before that.
const NOTABLE_DIFFERENCE_S: i64 = 30;

/// Time before a certificate ends from which on that is worth a warning, in seconds: two weeks.
const ENDS_SOON_S: i64 = 14 * 24 * 3600;

/// What a probe is to find out.
#[derive(Debug, Clone)]
pub struct ProbeQuestion {
    /// Whom we log in as.
    pub account: Authid,
    /// The fingerprint that the certificate should have, if one is pinned.
    pub fingerprint: Option<Fingerprint>,
    /// The datastore that is of interest.
    pub store: Option<DatastoreName>,
    /// The namespace in it; the root without further wishes.
    pub ns: Namespace,
}

/// What a step of a probe is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeStep {
    /// Reaching it, with TLS.
    Connection,
    /// Whether it is the one that was meant.
    Certificate,
    /// Whether it lets us in.
    Login,
    /// Which version it has.
    Version,
    /// How far its clock is from ours.
    Clock,
    /// Which datastores we see.
    Datastores,
    /// Whether the datastore that was named can be used.
    Datastore,
    /// Which namespaces we see in it.
    Namespaces,
    /// What we may do there.
    Privileges,
}

/// The steps in their order.
const STEPS: [ProbeStep; 9] = [
    ProbeStep::Connection,
    ProbeStep::Certificate,
    ProbeStep::Login,
    ProbeStep::Version,
    ProbeStep::Clock,
    ProbeStep::Datastores,
    ProbeStep::Datastore,
    ProbeStep::Namespaces,
    ProbeStep::Privileges,
];

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeState {
    /// As it should be.
    Ok,
    /// A sync works, but somebody should know.
    Warning,
    /// A sync fails here.
    Failed,
    /// Not tried: an earlier step failed, or nobody asked.
    Skipped,
}

/// One step and how it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProbeFinding {
    /// The step.
    pub step: ProbeStep,
    /// How it went.
    pub state: ProbeState,
    /// In words: a fragment without full stop.
    pub text: String,
    /// What can be done about it, if there is something particular to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The certificate of the remote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProbedCertificate {
    /// SHA-256, as it is pinned.
    pub fingerprint: Fingerprint,
    /// Whether a trusted authority vouches for it and the name.
    pub is_trusted: bool,
    /// The names and addresses that it is for.
    pub names: Vec<String>,
    /// When it ends; none if it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notafter: Option<Epoch>,
}

/// Everything that a probe found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProbeReport {
    /// `host:port`.
    pub peer: String,
    /// Whom we logged in as.
    pub auth_id: Authid,
    /// Whether no step failed.
    pub usable: bool,
    /// All steps in their order.
    pub steps: Vec<ProbeFinding>,
    /// Its certificate, if it was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<ProbedCertificate>,
    /// Its version, if it let us in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Seconds that its clock is ahead of ours; negative if it is behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_difference: Option<i64>,
    /// Datastores that we see, at most a hundred.
    pub datastores: Vec<DatastoreName>,
    /// Namespaces that we see in the datastore, at most a hundred.
    pub namespaces: Vec<String>,
    /// How many namespaces we see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_count: Option<usize>,
    /// Our privileges on the namespace.
    pub privileges: Vec<String>,
}

/// Ends a probe early; the finding is in the report already.
struct Stopped;

/// Probes a remote. Every wait is bounded by the limits of the client, which should make single attempts.
///
/// # Cancel safety
/// Dropping the future closes the connections.
pub async fn probe(client: &Client, question: &ProbeQuestion, clock: &dyn Clock) -> ProbeReport {
    let mut probe = Probe { client, question, clock, report: ProbeReport::new(client, question) };
    // Whether it went to the end shows in the steps.
    let _ = probe.all().await;
    probe.report.finished()
}

impl ProbeReport {
    fn new(client: &Client, question: &ProbeQuestion) -> Self {
        Self {
            peer: client.peer().to_string(),
            auth_id: question.account.clone(),
            usable: false,
            steps: Vec::new(),
            certificate: None,
            version: None,
            clock_difference: None,
            datastores: Vec::new(),
            namespaces: Vec::new(),
            namespace_count: None,
            privileges: Vec::new(),
        }
    }

    fn add(&mut self, step: ProbeStep, state: ProbeState, text: impl Into<String>) {
        self.steps.push(ProbeFinding { step, state, text: text.into(), hint: None });
    }

    fn hint(&mut self, hint: impl Into<String>) {
        if let Some(last) = self.steps.last_mut() {
            last.hint = Some(hint.into());
        }
    }

    /// Adds the steps that were not taken.
    fn finished(mut self) -> Self {
        let has_failed = self.steps.iter().any(|finding| finding.state == ProbeState::Failed);
        let why = if has_failed { "an earlier step failed" } else { "no datastore was named" };
        for step in STEPS {
            if !self.steps.iter().any(|finding| finding.step == step) {
                self.add(step, ProbeState::Skipped, why);
            }
        }
        self.usable = !has_failed;
        self
    }
}

struct Probe<'a> {
    client: &'a Client,
    question: &'a ProbeQuestion,
    clock: &'a dyn Clock,
    report: ProbeReport,
}

/// What the remote says its time is, and ours before and after it was asked.
struct TimeAsked {
    told: Option<Epoch>,
    before: Epoch,
    after: Epoch,
}

impl Probe<'_> {
    async fn all(&mut self) -> Result<(), Stopped> {
        let identity = self.client.identity().await;
        let identity = self.or_stop(ProbeStep::Connection, identity)?;
        self.report.add(ProbeStep::Connection, ProbeState::Ok, format!("reached with {}", identity.protocol));
        self.certificate(&identity)?;
        let (version, clock) = self.login().await?;
        self.version(&version);
        self.clocks(&clock);
        let stores = self.client.datastores().await;
        let stores = self.or_stop(ProbeStep::Datastores, stores)?;
        self.datastores(&stores.items);
        let Some(store) = &self.question.store else { return Ok(()) };
        self.datastore(store, &stores.items)?;
        self.namespaces(store).await?;
        self.privileges(store).await
    }

    /// Returns what came, or notes the error with its causes and ends the probe.
    fn or_stop<T>(&mut self, step: ProbeStep, result: Result<T, ClientError>) -> Result<T, Stopped> {
        result.map_err(|error| {
            self.report.add(step, ProbeState::Failed, TaskFailure::from_error(&error).to_string());
            if let Some(hint) = error.hint() {
                self.report.hint(hint);
            }
            Stopped
        })
    }

    /// Judges the certificate by the rules of a sync: an authority or the pinned fingerprint, either is enough.
    fn certificate(&mut self, identity: &PeerIdentity) -> Result<(), Stopped> {
        use ProbeState::{Failed, Ok as Good, Warning};
        let found = identity.fingerprint;
        self.report.certificate = Some(ProbedCertificate {
            fingerprint: found,
            is_trusted: identity.doubt.is_none(),
            names: identity.names.clone(),
            notafter: identity.validity.map(|(_, end)| end),
        });
        let names = identity.names.join(", ");
        let (state, text, hint) = match (self.question.fingerprint, &identity.doubt) {
            (Some(pinned), _) if pinned == found => (Good, format!("is the pinned one, for {names}"), None),
            (None, None) => (Good, format!("a trusted authority vouches for it, for {names}"), None),
            (Some(pinned), None) => (
                Warning,
                format!(
                    "a trusted authority vouches for it, but it is not the pinned one: {found} instead of {pinned}"
                ),
                Some("remove the fingerprint from the remote, or set the new one".to_owned()),
            ),
            (Some(pinned), Some(_)) => (
                Failed,
                format!("has fingerprint {found}, expected {pinned}"),
                Some("the certificate changed; compare the fingerprint, then update the remote".to_owned()),
            ),
            (None, Some(doubt)) => (
                Failed,
                format!("is not trusted: {doubt}"),
                Some(format!("compare the fingerprint with what 'cert info' shows there, then pin it: {found}")),
            ),
        };
        let (state, text) = match identity.validity {
            Some((_, end)) if state == Good && end.0 < self.clock.now().0 => {
                (Warning, format!("{text}; it has expired"))
            }
            Some((_, end)) if state == Good && end.0 < self.clock.now().0 + ENDS_SOON_S => {
                (Warning, format!("{text}; it expires within two weeks"))
            }
            _ => (state, text),
        };
        self.report.add(ProbeStep::Certificate, state, text);
        if let Some(hint) = hint {
            self.report.hint(hint);
        }
        if state == Failed { Err(Stopped) } else { Ok(()) }
    }

    /// Logs in, and asks for version and time.
    async fn login(&mut self) -> Result<(VersionItem, TimeAsked), Stopped> {
        let account = &self.question.account;
        let ticket = self.client.log_in().await;
        self.or_stop(ProbeStep::Login, ticket)?;
        let before = self.clock.now();
        let asked = self.client.version_and_clock().await;
        let after = self.clock.now();
        let refused = matches!(asked.as_ref().map_err(ClientError::status), Err(Some(401 | 403)));
        let step = if refused { ProbeStep::Login } else { ProbeStep::Version };
        if !refused {
            self.report.add(ProbeStep::Login, ProbeState::Ok, format!("as {account}"));
        }
        let asked = self.or_stop(step, asked);
        if refused {
            self.report.hint("check the account, and the password or the secret of the API token");
        }
        let (version, told) = asked?;
        Ok((version, TimeAsked { told, before, after }))
    }

    fn clocks(&mut self, asked: &TimeAsked) {
        let TimeAsked { told, before, after } = *asked;
        let Some(time) = told else {
            self.report.add(ProbeStep::Clock, ProbeState::Skipped, "the remote does not tell its time");
            return;
        };
        // Where the answer was made between question and answer is not known; what lies between is no difference.
        let difference = if time.0 < before.0 {
            time.0.saturating_sub(before.0)
        } else if after.0 < time.0 {
            time.0.saturating_sub(after.0)
        } else {
            0
        };
        self.report.clock_difference = Some(difference);
        let text = match difference {
            0 => "shows the same time as ours".to_owned(),
            1.. => format!("{difference} s ahead of ours"),
            _ => format!("{} s behind ours", difference.unsigned_abs()),
        };
        if difference.unsigned_abs() < NOTABLE_DIFFERENCE_S.unsigned_abs() {
            self.report.add(ProbeStep::Clock, ProbeState::Ok, text);
        } else {
            self.report.add(ProbeStep::Clock, ProbeState::Warning, text);
            self.report.hint("let both servers take their time from a time server");
        }
    }

    fn version(&mut self, version: &VersionItem) {
        let text = format!("{}.{}", version.version, version.release);
        let checked = PeerVersion::parse(&version.version, &version.release).and_then(PeerVersion::check_push);
        match checked {
            Ok(()) => self.report.add(ProbeStep::Version, ProbeState::Ok, text.clone()),
            Err(error) => self.report.add(ProbeStep::Version, ProbeState::Warning, format!("{text}: {error}")),
        }
        self.report.version = Some(text);
    }

    fn datastores(&mut self, stores: &[RemoteDatastore]) {
        self.report.datastores = stores.iter().take(MAX_LISTED).map(|store| store.store.clone()).collect();
        if stores.is_empty() {
            self.report.add(ProbeStep::Datastores, ProbeState::Warning, "none is visible");
            self.report
                .hint("the account needs a role on a datastore there, such as DatastoreReader or DatastoreBackup");
            return;
        }
        let mut names: Vec<&str> = self.report.datastores.iter().map(DatastoreName::as_str).collect();
        names.sort_unstable();
        let text = format!("{} visible: {}", stores.len(), names.join(", "));
        self.report.add(ProbeStep::Datastores, ProbeState::Ok, text);
    }

    fn datastore(&mut self, name: &DatastoreName, stores: &[RemoteDatastore]) -> Result<(), Stopped> {
        let Some(store) = stores.iter().find(|store| store.store == *name) else {
            let text = format!("'{name}' is not there, or the account may not see it");
            self.report.add(ProbeStep::Datastore, ProbeState::Failed, text);
            return Err(Stopped);
        };
        if store.mount_status.as_deref() == Some("notmounted") {
            self.report.add(ProbeStep::Datastore, ProbeState::Failed, format!("'{name}' is not mounted"));
            return Err(Stopped);
        }
        match &store.maintenance {
            None => self.report.add(ProbeStep::Datastore, ProbeState::Ok, format!("'{name}' can be used")),
            Some(mode) => {
                let text = format!("'{name}' is in maintenance mode: {mode}");
                self.report.add(ProbeStep::Datastore, ProbeState::Warning, text);
            }
        }
        Ok(())
    }

    async fn namespaces(&mut self, store: &DatastoreName) -> Result<(), Stopped> {
        let ns = &self.question.ns;
        let listed = self.client.namespaces(store, ns, None).await;
        let items = match listed {
            Err(ClientError::NamespacesUnsupported { .. }) => {
                self.report.add(ProbeStep::Namespaces, ProbeState::Warning, "the remote is too old to know namespaces");
                return Ok(());
            }
            other => self.or_stop(ProbeStep::Namespaces, other)?.items,
        };
        // The listing names where it begins also if that does not exist; groups can only be listed where it does.
        let groups = self.client.groups(store, ns).await;
        let is_hidden = matches!(groups.as_ref().map_err(ClientError::status), Err(Some(403)));
        if !is_hidden {
            self.or_stop(ProbeStep::Namespaces, groups)?;
        }
        self.report.namespace_count = Some(items.len());
        let name = |ns: &Namespace| if ns.is_root() { "root".to_owned() } else { ns.to_string() };
        self.report.namespaces = items.iter().take(MAX_LISTED).map(|item| item.ns.to_string()).collect();
        let shown: Vec<String> = items.iter().take(10).map(|item| name(&item.ns)).collect();
        let more = if shown.len() < items.len() { ", ..." } else { "" };
        let text = format!("{} visible: {}{more}", items.len(), shown.join(", "));
        self.report.add(ProbeStep::Namespaces, ProbeState::Ok, text);
        Ok(())
    }

    async fn privileges(&mut self, store: &DatastoreName) -> Result<(), Stopped> {
        let ns = &self.question.ns;
        let path = AclPath::datastore(store, ns).to_string();
        let found = self.client.own_privileges(&path).await;
        let found = self.or_stop(ProbeStep::Privileges, found)?;
        self.report.privileges = found.into_keys().collect();
        let (text, is_useful) = abilities(&self.report.privileges);
        let state = if is_useful { ProbeState::Ok } else { ProbeState::Failed };
        self.report.add(ProbeStep::Privileges, state, text);
        if !is_useful {
            self.report.hint(format!(
                "give the account a role on {path} there: DatastoreReader to pull, DatastoreBackup to push"
            ));
        }
        Ok(())
    }
}

/// Returns what these privileges on a namespace allow a sync to do, and whether that is anything.
///
/// Source: `docs/spec/rest-api.md` 12 (permissions of the calls that a sync makes).
fn abilities(privileges: &[String]) -> (String, bool) {
    let has = |name: &str| privileges.iter().any(|privilege| privilege == name);
    let can_pull_all = has("Datastore.Read") && has("Datastore.Audit");
    let can_back_up = has("Datastore.Backup");
    let mut abilities = Vec::new();
    if can_pull_all {
        abilities.push("pull all groups");
    } else if can_back_up {
        abilities.push("pull own groups");
    }
    if can_back_up {
        abilities.push("push");
    }
    if has("Datastore.Modify") {
        abilities.push("create and remove namespaces");
    }
    if has("Datastore.Prune") || has("Datastore.Modify") {
        abilities.push("remove what vanished");
    }
    let is_useful = can_pull_all || can_back_up;
    match (abilities.is_empty(), is_useful) {
        (true, _) => ("no privilege that a sync needs".to_owned(), false),
        (false, true) => (format!("enough to {}", abilities.join(", ")), true),
        (false, false) => (format!("neither pull nor push is allowed, only: {}", abilities.join(", ")), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privileges_are_told_as_what_they_allow() {
        let of = |names: &[&str]| abilities(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["Datastore.Audit", "Datastore.Read"]), ("enough to pull all groups".to_owned(), true));
        assert_eq!(of(&["Datastore.Backup"]), ("enough to pull own groups, push".to_owned(), true));
        assert!(!of(&["Datastore.Audit"]).1);
        assert_eq!(of(&["Datastore.Prune"]).0, "neither pull nor push is allowed, only: remove what vanished");
        assert_eq!(of(&[]), ("no privilege that a sync needs".to_owned(), false));
    }
}
