//! A mail server on a port of this host. What it says comes from a server library.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use farhold_client::ByteStream;
use mailin::{Action, AuthMechanism, Handler, Response, SessionBuilder, response};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A mail that arrived.
#[derive(Debug, Clone, Default)]
pub struct Arrived {
    pub hello: String,
    pub from: String,
    pub to: Vec<String>,
    /// Who had logged in.
    pub login: Option<String>,
    pub text: String,
}

impl Arrived {
    /// Returns the head, each header as one line.
    pub fn head(&self) -> Vec<String> {
        let (head, _) = self.text.split_once("\r\n\r\n").unwrap();
        head.replace("\r\n ", " ").split("\r\n").map(str::to_owned).collect()
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let start = format!("{name}: ");
        self.head().iter().find_map(|line| line.strip_prefix(&start).map(str::to_owned))
    }
}

/// What the server does.
#[derive(Clone, Default)]
pub struct Rules {
    /// TLS from the start.
    pub tls: Option<TlsAcceptor>,
    /// TLS once the client asks for it.
    pub start_tls: Option<TlsAcceptor>,
    /// Who may log in, and with which password; nobody else may send.
    pub login: Option<(&'static str, &'static str)>,
    /// Recipients that are refused, and with what.
    pub refused: &'static [(&'static str, u16)],
    /// What it says to the whole mail.
    pub verdict: Option<u16>,
    /// What somebody on the way says in its name, in the clear, right behind its consent to TLS.
    pub put_in: &'static [u8],
}

pub struct MailServer {
    pub port: u16,
    pub mails: Arc<Mutex<Vec<Arrived>>>,
}

impl MailServer {
    pub async fn start(rules: Rules) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mails = Arc::new(Mutex::new(Vec::new()));
        let arriving = Arc::clone(&mails);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (rules, mails) = (rules.clone(), Arc::clone(&arriving));
                tokio::spawn(async move {
                    let stream: Box<dyn ByteStream> = match &rules.tls {
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => Box::new(stream),
                            Err(_) => return,
                        },
                        None => Box::new(stream),
                    };
                    serve(stream, &rules, &mails).await;
                });
            }
        });
        Self { port, mails }
    }

    pub fn mails(&self) -> Vec<Arrived> {
        self.mails.lock().unwrap().clone()
    }
}

struct Desk {
    rules: Rules,
    mails: Arc<Mutex<Vec<Arrived>>>,
    mail: Arrived,
}

impl Desk {
    fn login(&mut self, name: &str, password: &str) -> Response {
        if self.rules.login == Some((name, password)) {
            self.mail.login = Some(name.to_owned());
            response::AUTH_OK
        } else {
            // As rude as a server can be.
            Response::custom(535, format!("wrong password {password}"))
        }
    }
}

impl Handler for Desk {
    fn helo(&mut self, _: IpAddr, domain: &str) -> Response {
        self.mail.hello = domain.to_owned();
        response::OK
    }

    fn mail(&mut self, _: IpAddr, _: &str, from: &str) -> Response {
        if self.rules.login.is_some() && self.mail.login.is_none() {
            return response::AUTHENTICATION_REQUIRED;
        }
        self.mail.from = from.to_owned();
        response::OK
    }

    fn rcpt(&mut self, to: &str) -> Response {
        if let Some((_, code)) = self.rules.refused.iter().find(|(refused, _)| *refused == to) {
            return Response::custom(*code, format!("not {to}"));
        }
        self.mail.to.push(to.to_owned());
        response::OK
    }

    fn data(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.mail.text.push_str(std::str::from_utf8(bytes).unwrap());
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        if let Some(code) = self.rules.verdict {
            return Response::custom(code, "no".to_owned());
        }
        self.mails.lock().unwrap().push(self.mail.clone());
        response::OK
    }

    fn auth_plain(&mut self, _: &str, name: &str, password: &str) -> Response {
        self.login(name, password)
    }

    fn auth_login(&mut self, name: &str, password: &str) -> Response {
        self.login(name, password)
    }
}

async fn serve(stream: Box<dyn ByteStream>, rules: &Rules, mails: &Arc<Mutex<Vec<Arrived>>>) {
    let mut builder = SessionBuilder::new("mail.example");
    if rules.start_tls.is_some() {
        builder.enable_start_tls();
    }
    if rules.login.is_some() {
        builder.enable_auth(AuthMechanism::Plain).enable_auth(AuthMechanism::Login);
        if rules.start_tls.is_none() {
            builder.insecure_enable_plaintext_auth();
        }
    }
    let desk = Desk { rules: rules.clone(), mails: Arc::clone(mails), mail: Arrived::default() };
    let mut session = builder.build("127.0.0.1".parse().unwrap(), desk);
    let mut stream = BufReader::new(stream);
    let greeting = session.greeting().buffer().unwrap();
    stream.write_all(&greeting).await.unwrap();
    loop {
        let mut line = Vec::new();
        match stream.read_until(b'\n', &mut line).await {
            Ok(read) if 0 < read => {}
            _ => return,
        }
        let answer = session.process(&line);
        if answer.action != Action::NoReply {
            let mut said = answer.buffer().unwrap();
            if answer.action == Action::UpgradeTls {
                said.extend_from_slice(rules.put_in);
            }
            let _ = stream.write_all(&said).await;
            let _ = stream.flush().await;
        }
        match answer.action {
            Action::Close => return,
            Action::UpgradeTls => {
                let acceptor = rules.start_tls.as_ref().unwrap();
                let Ok(protected) = acceptor.accept(stream.into_inner()).await else { return };
                stream = BufReader::new(Box::new(protected));
                session.tls_active();
            }
            _ => {}
        }
    }
}
