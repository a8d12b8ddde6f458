//! What the tests share: an event, its words, and the world around a delivery.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use farhold_client::{TcpDialer, Trust};
use farhold_notify::{
    DeliveryError, Event, Outside, Recipients, Rendered, Sender, Severity, Target, TargetKind, Templates,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::TlsAcceptor;

pub const RECORDED: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/notifications.jsonl"));

/// The recorded event of a failed sync.
pub fn event() -> Event {
    let mut events = RECORDED.lines().map(|line| Event::from_json(line.as_bytes()).unwrap());
    events.find(|event| event.template == "sync-err").unwrap()
}

pub fn words() -> Rendered {
    Templates::default().render(&event())
}

/// An authority, and who it vouches for: `localhost` and 127.0.0.1.
pub struct Authority {
    pub trust: Trust,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { trust: Trust::Only(vec![issuer.der().clone()]), issuer }
    }

    pub fn acceptor(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let chain = vec![params.signed_by(&key, &self.issuer).unwrap().der().clone()];
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A world in which nobody is trusted and root's mail goes to `boss@example.org`.
pub fn outside() -> Outside {
    Outside {
        dialer: Arc::new(TcpDialer),
        http_proxy: None,
        trust: Trust::Only(Vec::new()),
        mail_program: PathBuf::from("/nonexistent/sendmail"),
        node: "vm".to_owned(),
        fqdn: "vm.example".to_owned(),
        email_from: None,
        address_of: Arc::new(|user| (user.to_string() == "root@pam").then(|| "boss@example.org".to_owned())),
    }
}

pub fn recipients(addresses: &[&str], users: &[&str]) -> Recipients {
    Recipients {
        addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
        users: users.iter().map(|user| user.parse().unwrap()).collect(),
    }
}

pub fn target(kind: TargetKind) -> Target {
    Target { name: "t".to_owned(), is_disabled: false, kind }
}

pub fn sendmail(recipients: Recipients) -> Target {
    target(TargetKind::Sendmail { recipients, sender: Sender::default() })
}

pub fn ping(url: &str) -> Target {
    Target::ping("t", farhold_types::Secret::new(url))
}

pub fn webhook(url: &str) -> Target {
    target(TargetKind::Webhook {
        method: farhold_notify::Method::Post,
        url: farhold_types::Secret::new(url),
        headers: Vec::new(),
        body: Some(farhold_types::Secret::new("{{message}}")),
        secrets: BTreeMap::new(),
    })
}

pub async fn deliver(target: &Target, outside: &Outside) -> Result<(), DeliveryError> {
    farhold_notify::deliver(target, &event(), &words(), outside).await
}

/// Returns an error with all its causes, as it would be shown, and its debug text.
pub fn shown(error: &DeliveryError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    format!("{text} {error:?}")
}

pub fn severities() -> [Severity; 5] {
    [Severity::Info, Severity::Notice, Severity::Warning, Severity::Error, Severity::Unknown]
}
