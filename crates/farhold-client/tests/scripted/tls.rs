//! Which certificates are accepted, and what the error says when one is not.

use std::sync::Arc;

use farhold_client::{Client, ClientConfig, ClientError, TcpDialer, Trust};
use farhold_types::Fingerprint;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SerialNumber};

use crate::peer::{Connection, Identity, Peer, chain, params, token};

async fn answer_version(mut connection: Connection) {
    while connection.request().await.is_some() {
        connection.data(r#"{"version":"4.2","release":"1","repoid":"x"}"#).await;
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_pinned_certificate_is_accepted_whatever_its_name() {
    let peer = Peer::new(answer_version);
    let mut config = peer.config();
    config.host = "another.example".to_owned();
    assert_eq!(peer.client_with(config).version().await.unwrap().version, "4.2");
    assert_eq!(peer.client().version().await.unwrap().version, "4.2");
}

#[tokio::test(start_paused = true)]
async fn another_certificate_is_refused_and_the_error_names_both() {
    let peer = Peer::new(answer_version);
    let mut config = peer.config();
    let expected = Fingerprint([7; 32]);
    config.fingerprint = Some(expected);
    let error = peer.client_with(config).version().await.unwrap_err();
    let ClientError::FingerprintMismatch { expected: e, found, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!((*e, *found), (expected, peer.identity.fingerprint()));
    let text = chain(&error);
    assert!(text.contains(&expected.to_string()) && text.contains(&found.to_string()), "{text}");
    assert!(text.contains("UnknownIssuer"), "{text}");
    assert_eq!(error.hint(), Some("the remote's certificate changed; compare the fingerprint, then update the remote"));
    assert!(!error.is_transient());
    assert_eq!(peer.dial_count(), 1, "a wrong certificate is no reason to try again");
    assert!(peer.seen().is_empty(), "nothing may be sent to a stranger");
}

#[tokio::test(start_paused = true)]
async fn without_a_fingerprint_an_unknown_certificate_is_refused() {
    let peer = Peer::new(answer_version);
    let mut config = peer.config();
    config.fingerprint = None;
    let error = peer.client_with(config).version().await.unwrap_err();
    assert!(matches!(error, ClientError::Untrusted { found, .. } if found == peer.identity.fingerprint()), "{error:?}");
    assert!(error.hint().is_some());
}

#[tokio::test(start_paused = true)]
async fn scenario_7_a_trusted_authority_wins_over_a_wrong_fingerprint_but_only_with_the_right_name() {
    let authority = authority();
    let peer = Peer::with_identity(Identity::signed_by(params(), &authority), answer_version);
    let trusting = |host: &str, fingerprint| {
        let mut config = peer.config();
        config.trust = Trust::Only(vec![authority.der().clone()]);
        (config.host, config.fingerprint) = (host.to_owned(), fingerprint);
        config
    };
    let (right, wrong) = (Some(peer.identity.fingerprint()), Some(Fingerprint([7; 32])));
    for (host, fingerprint, is_accepted) in [
        ("pbs.example", None, true),
        ("pbs.example", wrong, true),
        ("other.example", None, false),
        ("other.example", wrong, false),
        ("other.example", right, true),
    ] {
        let result = peer.client_with(trusting(host, fingerprint)).version().await;
        assert_eq!(result.is_ok(), is_accepted, "{host} {fingerprint:?}: {result:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn serial_number_zero_is_accepted_when_pinned() {
    let mut params = params();
    params.serial_number = Some(SerialNumber::from_slice(&[0]));
    let peer = Peer::with_identity(Identity::new(params), answer_version);
    assert!(peer.client().version().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_key_of_4096_bits_is_accepted_when_pinned() {
    let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_4096).unwrap();
    let peer = Peer::with_identity(Identity::with_key(params(), key), answer_version);
    assert!(peer.client().version().await.is_ok());
}

#[tokio::test]
async fn knowing_the_pinned_certificate_without_its_key_does_not_help() {
    let honest = Identity::new(params());
    let thief = Identity { chain: honest.chain.clone(), key: Identity::new(params()).key };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = provider.key_provider.load_private_key(thief.key.clone_key()).unwrap();
    // This constructor does not check whether the two belong together.
    let pair = Arc::new(rustls::sign::CertifiedKey::new(thief.chain.clone(), key));
    #[derive(Debug)]
    struct Fixed(Arc<rustls::sign::CertifiedKey>);
    impl rustls::server::ResolvesServerCert for Fixed {
        fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }
    }
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Fixed(pair)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = tokio_rustls::TlsAcceptor::from(Arc::new(server)).accept(stream).await;
    });
    let mut config = ClientConfig::new("127.0.0.1", token());
    (config.port, config.trust, config.fingerprint) = (port, Trust::Only(Vec::new()), Some(honest.fingerprint()));
    let error = Client::new(config).unwrap().version().await.unwrap_err();
    assert!(matches!(error, ClientError::Tls { .. }), "{error:?}");
}

/// Serves one TCP connection with what `serve` does and returns the error of a first request.
async fn over_tcp<F, R>(serve: F) -> ClientError
where
    F: FnOnce(tokio::net::TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = ClientConfig::new("127.0.0.1", token());
    config.port = listener.local_addr().unwrap().port();
    config.trust = Trust::Only(Vec::new());
    tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await });
    Client::with_dialer(config, Arc::new(TcpDialer)).unwrap().version().await.unwrap_err()
}

#[tokio::test]
async fn a_peer_that_speaks_no_tls_is_named_as_such() {
    let error = over_tcp(|mut stream| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let _ = stream.read(&mut [0; 16]).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = stream.read(&mut [0; 1024]).await;
    })
    .await;
    assert!(matches!(error, ClientError::Tls { .. }), "{error:?}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn over_real_tcp_on_loopback_an_address_needs_no_name() {
    let identity = Identity::new(params());
    let (acceptor, fingerprint) = (identity.acceptor(), identity.fingerprint());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = ClientConfig::new("127.0.0.1", token());
    config.port = listener.local_addr().unwrap().port();
    (config.trust, config.fingerprint) = (Trust::System, Some(fingerprint));
    let server = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        let sni = stream.get_ref().1.server_name().map(str::to_owned);
        let _ = stream.read(&mut [0; 4096]).await.unwrap();
        let body = r#"{"data":{"version":"4.2","release":"1","repoid":"x"}}"#;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        sni
    });
    let client = Client::new(config).unwrap();
    assert_eq!(client.version().await.unwrap().release, "1");
    assert_eq!(server.await.unwrap(), None, "addresses are not sent as SNI");
    let traffic = client.traffic();
    assert_eq!(traffic.connections, 1);
    assert!(500 < traffic.received_bytes && 300 < traffic.sent_bytes, "{traffic:?}");
}
