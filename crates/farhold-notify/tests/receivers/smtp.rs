//! Mails to a real mail server.

use farhold_notify::{DeliveryError, Encryption, Recipients, Rendered, Sender, Target, TargetKind, deliver};
use farhold_types::Secret;

use crate::mail_server::{MailServer, Rules};
use crate::support::{Authority, event, outside, recipients, shown, target, words};

fn to(port: u16, encryption: Encryption, login: Option<(&str, &str)>, recipients: Recipients) -> Target {
    target(TargetKind::Smtp {
        server: "localhost".to_owned(),
        port,
        encryption,
        login: login.map(|(name, password)| (name.to_owned(), Secret::new(password))),
        recipients,
        sender: Sender { address: Some("backup@example.net".to_owned()), author: Some("Bäckup \"1\"".to_owned()) },
    })
}

#[tokio::test]
async fn a_mail_arrives_with_head_and_body() {
    let server = MailServer::start(Rules::default()).await;
    let to =
        to(server.port, Encryption::None, None, recipients(&["a@example.org", "root"], &["root@pam", "nobody@pbs"]));
    let words = Rendered {
        title: "Sync mit »pbs2« fehlgeschlagen".to_owned(),
        body_text: "First.\n.\nA dot alone, and ü.\n".to_owned(),
        body_html: None,
    };
    deliver(&to, &event(), &words, &outside()).await.unwrap();
    let [mail] = &server.mails()[..] else { panic!() };
    assert_eq!(mail.hello, "vm.example");
    assert_eq!(mail.from, "backup@example.net");
    assert_eq!(mail.to, ["a@example.org", "root@vm.example", "boss@example.org"]);
    assert_eq!(mail.header("Date").unwrap(), "Sun, 22 Nov 2026 21:30:30 +0000");
    assert_eq!(mail.header("Message-ID").unwrap(), format!("<{}.t@example.net>", event().id));
    assert_eq!(mail.header("Auto-Submitted").unwrap(), "auto-generated");
    assert_eq!(mail.header("To").unwrap(), "a@example.org, root@vm.example, boss@example.org");
    assert!(mail.header("Subject").unwrap().starts_with("Sync mit =?utf-8?"), "{:?}", mail.header("Subject"));
    assert!(mail.header("From").unwrap().ends_with("<backup@example.net>"));
    assert_eq!(mail.header("Content-Transfer-Encoding").unwrap(), "quoted-printable");
    assert!(mail.text.ends_with("First.\r\n.\r\nA dot alone, and =C3=BC.\r\n"), "{}", mail.text);
    assert!(mail.text.is_ascii());
}

#[tokio::test]
async fn html_stands_beside_the_text() {
    let server = MailServer::start(Rules::default()).await;
    let to = to(server.port, Encryption::None, None, recipients(&["a@example.org"], &[]));
    let words = Rendered { body_html: Some("<p>it broke</p>".to_owned()), ..words() };
    deliver(&to, &event(), &words, &outside()).await.unwrap();
    let [mail] = &server.mails()[..] else { panic!() };
    assert!(mail.header("Content-Type").unwrap().starts_with("multipart/alternative; boundary="));
    assert!(mail.text.contains("<p>it broke</p>") && mail.text.contains("client error (Connect)"));
}

#[tokio::test]
async fn tls_and_starttls_protect_login_and_mail() {
    let authority = Authority::new();
    let acceptor = authority.acceptor("localhost");
    let login = Some(("me", "hunter2"));
    for (encryption, rules) in [
        (Encryption::Tls, Rules { tls: Some(acceptor.clone()), login, ..Rules::default() }),
        (Encryption::StartTls, Rules { start_tls: Some(acceptor), login, ..Rules::default() }),
    ] {
        let server = MailServer::start(rules).await;
        let trusting = farhold_notify::Outside { trust: authority.trust.clone(), ..outside() };
        let mail = |login| to(server.port, encryption, login, recipients(&["a@example.org"], &[]));
        deliver(&mail(login), &event(), &words(), &trusting).await.unwrap();
        assert_eq!(server.mails()[0].login.as_deref(), Some("me"));
        // Whoever is not trusted gets nothing.
        let error = deliver(&mail(login), &event(), &words(), &outside()).await.unwrap_err();
        assert!(!error.is_permanent(), "{error:?}");
        // A wrong password, which this server repeats to us.
        let error = deliver(&mail(Some(("me", "s3cr3t"))), &event(), &words(), &trusting).await.unwrap_err();
        assert!(matches!(error, DeliveryError::Refused { code: 535, .. }), "{error:?}");
        assert!(!error.is_permanent() && !shown(&error).contains("s3cr3t"), "{}", shown(&error));
        assert_eq!(server.mails().len(), 1);
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    for (encryption, with_tls) in [(Encryption::Tls, true), (Encryption::StartTls, false)] {
        let acceptor = Some(authority.acceptor("other.example"));
        let rules = if with_tls {
            Rules { tls: acceptor, ..Rules::default() }
        } else {
            Rules { start_tls: acceptor, ..Rules::default() }
        };
        let server = MailServer::start(rules).await;
        let outside = farhold_notify::Outside { trust: authority.trust.clone(), ..outside() };
        let mail = to(server.port, encryption, None, recipients(&["a@example.org"], &[]));
        assert!(deliver(&mail, &event(), &words(), &outside).await.is_err());
        assert!(server.mails().is_empty());
    }
}

#[tokio::test]
async fn what_is_said_before_tls_does_not_count_as_said_over_it() {
    let authority = Authority::new();
    let outside = farhold_notify::Outside { trust: authority.trust.clone(), ..outside() };
    for put_in in [&b"250-mail.example\r\n250 AUTH PLAIN LOGIN\r\n"[..], b"2", b"\r\n"] {
        let start_tls = Some(authority.acceptor("localhost"));
        let login = Some(("me", "hunter2"));
        let server = MailServer::start(Rules { start_tls, login, put_in, ..Rules::default() }).await;
        let mail = to(server.port, Encryption::StartTls, login, recipients(&["a@example.org"], &[]));
        let error = deliver(&mail, &event(), &words(), &outside).await.unwrap_err();
        assert!(!error.is_permanent() && shown(&error).contains("STARTTLS"), "{}", shown(&error));
        assert!(server.mails().is_empty());
    }
}

#[tokio::test]
async fn nothing_goes_out_in_the_clear_where_protection_is_asked_for() {
    let server = MailServer::start(Rules::default()).await;
    let mail = to(server.port, Encryption::StartTls, Some(("me", "hunter2")), recipients(&["a@example.org"], &[]));
    let error = deliver(&mail, &event(), &words(), &outside()).await.unwrap_err();
    assert!(matches!(error, DeliveryError::NotOffered { what: "STARTTLS" }), "{error:?}");
    let mail = to(server.port, Encryption::None, Some(("me", "hunter2")), recipients(&["a@example.org"], &[]));
    let error = deliver(&mail, &event(), &words(), &outside()).await.unwrap_err();
    assert!(matches!(error, DeliveryError::NotOffered { .. }), "{error:?}");
    assert!(server.mails().is_empty());
}

#[tokio::test]
async fn one_refused_recipient_does_not_keep_the_mail_from_the_others() {
    let refused = &[("bad@example.org", 550), ("later@example.org", 450)];
    let server = MailServer::start(Rules { refused, ..Rules::default() }).await;
    let send = async |addresses: &[&str]| {
        let mail = to(server.port, Encryption::None, None, recipients(addresses, &[]));
        deliver(&mail, &event(), &words(), &outside()).await
    };
    let error = send(&["bad@example.org", "a@example.org"]).await.unwrap_err();
    assert!(matches!(error, DeliveryError::SomeRefused { accepted: 1, refused: 1, code: 550, .. }), "{error:?}");
    assert!(error.is_permanent(), "whoever got it must not get it again");
    assert_eq!(server.mails()[0].to, ["a@example.org"]);
    let error = send(&["bad@example.org"]).await.unwrap_err();
    assert!(error.is_permanent() && shown(&error).contains("550"), "{}", shown(&error));
    let error = send(&["bad@example.org", "later@example.org"]).await.unwrap_err();
    assert!(!error.is_permanent(), "{error:?}");
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test]
async fn a_refused_mail_is_tried_again_only_if_that_makes_sense() {
    for (verdict, is_permanent) in [(451, false), (554, true)] {
        let server = MailServer::start(Rules { verdict: Some(verdict), ..Rules::default() }).await;
        let mail = to(server.port, Encryption::None, None, recipients(&["a@example.org"], &[]));
        let error = deliver(&mail, &event(), &words(), &outside()).await.unwrap_err();
        assert_eq!(error.is_permanent(), is_permanent, "{error:?}");
    }
}

#[tokio::test]
async fn nothing_can_begin_a_line_of_the_head_or_of_the_conversation() {
    let server = MailServer::start(Rules::default()).await;
    for address in [
        "a@example.org\r\nRCPT TO:<b@example.org>",
        "a@example.org>\u{0}",
        "-oQ/tmp a@example.org",
        "a b@example.org",
        "@",
        "",
    ] {
        let mail = to(server.port, Encryption::None, None, recipients(&[address], &[]));
        let error = deliver(&mail, &event(), &words(), &outside()).await.unwrap_err();
        assert!(matches!(error, DeliveryError::Address { .. }) && error.is_permanent(), "{address:?}: {error:?}");
        assert!(!error.to_string().contains('\n'));
    }
    let mail = target(TargetKind::Smtp {
        server: "localhost".to_owned(),
        port: server.port,
        encryption: Encryption::None,
        login: None,
        recipients: recipients(&["a@example.org"], &[]),
        sender: Sender {
            address: Some("backup@example.net".to_owned()),
            author: Some("Me\r\nBcc: everybody@example.org".to_owned()),
        },
    });
    let words = Rendered { title: "Title\r\nBcc: everybody@example.org\r\n\r\nBody".to_owned(), ..words() };
    deliver(&mail, &event(), &words, &outside()).await.unwrap();
    let [mail] = &server.mails()[..] else { panic!() };
    assert_eq!(mail.header("Bcc"), None, "{:?}", mail.head());
    assert_eq!(mail.to, ["a@example.org"]);
    assert_eq!(mail.header("Subject").unwrap(), "Title  Bcc: everybody@example.org    Body");
}

#[tokio::test]
async fn events_of_impossible_times_are_delivered_too() {
    let server = MailServer::start(Rules::default()).await;
    let mail = to(server.port, Encryption::None, None, recipients(&["a@example.org"], &[]));
    for time in [i64::MIN, -1, i64::MAX] {
        let event = farhold_notify::Event { timestamp: farhold_types::Epoch(time), ..event() };
        deliver(&mail, &event, &words(), &outside()).await.unwrap();
    }
    assert_eq!(server.mails().len(), 3);
}
