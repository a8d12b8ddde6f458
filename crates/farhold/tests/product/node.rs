//! The host's proxy and the server's certificate, with real connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use farhold_cli::{ApiCall, ApiCaller};
use farhold_types::Role;
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::site::Site;

const PASSWORD: &str = "a long password";

/// A proxy on loopback that wants `me:pw` and counts what it connected.
struct Proxy {
    address: SocketAddr,
    connected: Arc<AtomicUsize>,
}

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, connected) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&connected);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream, Arc::clone(&counter)));
            }
        });
        Self { address, connected }
    }
}

async fn carry(mut stream: TcpStream, connected: Arc<AtomicUsize>) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    if !head.contains("Proxy-Authorization: Basic bWU6cHc=\r\n") {
        return stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
    }
    let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap();
    let mut other = TcpStream::connect(target).await?;
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    connected.fetch_add(1, Ordering::SeqCst);
    tokio::io::copy_bidirectional(&mut stream, &mut other).await.map(drop)
}

async fn call(site: &Site, method: Method, path: &str, params: Value) -> Result<Value, String> {
    let Value::Object(params) = params else { panic!("parameters are an object") };
    let call = ApiCall { method, path: path.to_owned(), params };
    site.caller("root@pam").call(call).await.map(|reply| reply.data).map_err(|error| error.to_string())
}

/// A listening server with a store and an account, and one that has it as remote `pbs2`.
async fn pair() -> (Site, Site) {
    let mut remote = Site::new();
    remote.add_store("store1");
    remote.add_user("sync@pbs", PASSWORD);
    remote.grant("/datastore/store1", "sync@pbs", Role::DatastoreReader);
    remote.listen().await;
    let home = Site::new();
    let (port, fingerprint) = (remote.port(), remote.fingerprint());
    let place = ["--host", "127.0.0.1", "--port", &port, "--fingerprint", &fingerprint];
    let account = ["--auth-id", "sync@pbs", "--password", PASSWORD];
    home.run(&[&["remote", "create", "pbs2"][..], &place, &account].concat()).await.ok();
    (remote, home)
}

async fn scan(home: &Site) -> Result<Value, String> {
    call(home, Method::GET, "/config/remote/{name}/scan", json!({ "name": "pbs2" })).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_that_asks_for_it_is_reached_through_the_hosts_proxy_and_others_are_not() {
    let (_remote, home) = pair().await;
    let proxy = Proxy::start().await;
    let set = async |text: String| {
        let params = json!({ "node": "localhost", "http-proxy": text });
        call(&home, Method::PUT, "/nodes/{node}/config", params).await.unwrap();
    };
    set(format!("http://me:pw@{}", proxy.address)).await;
    scan(&home).await.unwrap();
    assert_eq!(proxy.connected.load(Ordering::SeqCst), 0, "the remote does not ask for it");
    home.run(&["remote", "update", "pbs2", "--use-node-proxy", "true"]).await.ok();
    let stores = scan(&home).await.unwrap();
    assert_eq!(stores[0]["store"], "store1");
    assert!(0 < proxy.connected.load(Ordering::SeqCst));
    // A proxy that refuses is an error that names it, and nobody goes past it.
    set(format!("http://me:wrong@{}", proxy.address)).await;
    let error = scan(&home).await.unwrap_err();
    assert!(error.contains("407") && error.contains(&proxy.address.to_string()), "{error}");
    assert!(!error.contains("wrong"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_shown_to_new_connections_without_a_restart() {
    let (remote, home) = pair().await;
    scan(&home).await.unwrap();
    let before = remote.fingerprint();
    // From another server, so that the key differs as well.
    let other = Site::new();
    let read = |name: &str| std::fs::read_to_string(other.root().join("etc").join(name)).unwrap();
    let params = json!({ "node": "localhost", "certificates": read("proxy.pem"), "key": read("proxy.key") });
    let installed = call(&remote, Method::POST, "/nodes/{node}/certificates/custom", params).await.unwrap();
    let fingerprint = installed[0]["fingerprint"].as_str().unwrap();
    assert_ne!(fingerprint, before);
    let error = scan(&home).await.unwrap_err();
    assert!(error.contains("fingerprint"), "{error}");
    home.run(&["remote", "update", "pbs2", "--fingerprint", fingerprint]).await.ok();
    scan(&home).await.unwrap();
    let status = call(&remote, Method::GET, "/nodes/{node}/status", json!({ "node": "localhost" })).await.unwrap();
    assert_eq!(status["info"]["fingerprint"], fingerprint);
    call(&remote, Method::DELETE, "/nodes/{node}/certificates/custom", json!({ "node": "localhost" })).await.unwrap();
    let error = scan(&home).await.unwrap_err();
    assert!(error.contains("fingerprint"), "{error}");
}
