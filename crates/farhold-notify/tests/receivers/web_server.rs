//! An HTTP listener on a port of this host that keeps what it is told.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use farhold_client::ByteStream;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Called {
    pub method: String,
    /// What the request line names.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Called {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

pub struct WebServer {
    pub port: u16,
    calls: Arc<Mutex<Vec<Called>>>,
}

impl WebServer {
    /// Starts one that answers everything with a status and a header.
    pub async fn start(tls: Option<TlsAcceptor>, status: u16, header: Option<(&'static str, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let arriving = Arc::clone(&calls);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tls, calls, header) = (tls.clone(), Arc::clone(&arriving), header.clone());
                tokio::spawn(async move {
                    let stream: Box<dyn ByteStream> = match tls {
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => Box::new(stream),
                            Err(_) => return,
                        },
                        None => Box::new(stream),
                    };
                    let service = service_fn(|request| answer(request, &calls, status, header.clone()));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { port, calls }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn calls(&self) -> Vec<Called> {
        self.calls.lock().unwrap().clone()
    }
}

async fn answer(
    request: Request<Incoming>,
    calls: &Mutex<Vec<Called>>,
    status: u16,
    header: Option<(&'static str, String)>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let header_text =
        |(name, value): (&http::HeaderName, &http::HeaderValue)| (name.to_string(), value.to_str().unwrap().to_owned());
    calls.lock().unwrap().push(Called {
        method: head.method.to_string(),
        target: head.uri.to_string(),
        headers: head.headers.iter().map(header_text).collect(),
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    let mut response = Response::builder().status(status);
    if let Some((name, value)) = header {
        response = response.header(name, value);
    }
    // The answer repeats what it was told, as a careless server does.
    Ok(response.body(Full::new(body)).unwrap())
}
