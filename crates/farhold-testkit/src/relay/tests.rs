use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Bytes whose order shows: a counter in every eight.
fn payload(length: usize) -> Vec<u8> {
    (0..).flat_map(|n: u64| n.to_le_bytes()).take(length).collect()
}

async fn relay_to(target: SocketAddr, delay_ms: u64, window_bytes: usize) -> Relay {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let one_way_delay = Duration::from_millis(delay_ms);
    start(RelayOptions { listen, target, one_way_delay, window_bytes }).await.unwrap()
}

/// Sends `length` bytes through a relay to a server that sends them back once it has seen their end.
async fn there_and_back(delay_ms: u64, window_bytes: usize, length: usize) -> RelayStatistics {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = relay_to(server.local_addr().unwrap(), delay_ms, window_bytes).await;
    let echo = tokio::spawn(async move {
        let (mut stream, _) = server.accept().await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        stream.write_all(&all).await.unwrap();
    });
    let (mut reader, mut writer) = TcpStream::connect(relay.address()).await.unwrap().into_split();
    let sent = payload(length);
    writer.write_all(&sent).await.unwrap();
    writer.shutdown().await.unwrap();
    let mut received = Vec::new();
    reader.read_to_end(&mut received).await.unwrap();
    echo.await.unwrap();
    assert!(received == sent, "{} of {length} bytes came back, or in another order", received.len());
    relay.stop().await
}

#[tokio::test]
async fn bytes_come_complete_and_in_order_both_ways() {
    for (delay_ms, window_bytes, length) in [(0, 0, 3_000_000), (2, 0, 1_000_000), (1, 10_000, 100_001), (1, 1, 3)] {
        let statistics = there_and_back(delay_ms, window_bytes, length).await;
        assert_eq!((statistics.up_bytes, statistics.down_bytes), (length as u64, length as u64));
        assert_eq!((statistics.connection_count, statistics.max_open_count), (1, 1));
    }
}

#[tokio::test]
async fn no_more_than_the_window_is_in_flight() {
    // The target never reads, and its buffers hold far more than the window: without acknowledgement the relay
    // must stop reading. With an endless delay none arrives.
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = relay_to(server.local_addr().unwrap(), 3_600_000, 4096).await;
    let client = TcpStream::connect(relay.address()).await.unwrap();
    let (_target, _) = server.accept().await.unwrap();
    let mut taken = 0;
    // Buffers of the kernel fill up; the relay itself takes 4096 bytes.
    while tokio::time::timeout(Duration::from_millis(100), client.writable()).await.is_ok() {
        match client.try_write(&[7; 65536]) {
            Ok(count) => taken += count,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        assert!(taken < 64 * 1024 * 1024, "the relay takes bytes without end");
    }
    assert!(4096 <= taken);
    assert_eq!(relay.stop().await.up_bytes, 0);
}

#[tokio::test]
async fn a_target_that_refuses_ends_the_connection() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let relay = relay_to(gone, 1, 0).await;
    let mut client = TcpStream::connect(relay.address()).await.unwrap();
    assert_eq!(client.read(&mut [0]).await.unwrap_or(0), 0);
    assert_eq!(relay.stop().await.connection_count, 0);
}

#[tokio::test]
async fn stopping_the_relay_cuts_its_connections() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = relay_to(server.local_addr().unwrap(), 1, 0).await;
    let mut client = TcpStream::connect(relay.address()).await.unwrap();
    let (_target, _) = server.accept().await.unwrap();
    assert_eq!(relay.stop().await.max_open_count, 1);
    assert_eq!(client.read(&mut [0]).await.unwrap_or(0), 0);
}

/// A relay to a server that sends the same bytes back, and a connection through it.
async fn with_echo() -> (Relay, TcpStream) {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = relay_to(server.local_addr().unwrap(), 0, 0).await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = server.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
    let mut client = TcpStream::connect(relay.address()).await.unwrap();
    assert_eq!(echoed(&mut client, 10).await, Some(10));
    (relay, client)
}

/// Sends bytes and returns how many came back before the connection ended; `None` if it just stays silent.
async fn echoed(client: &mut TcpStream, count: usize) -> Option<usize> {
    let _ = client.write_all(&vec![7; count]).await;
    let mut back = 0;
    let mut buffer = vec![0; count];
    while back < count {
        match tokio::time::timeout(Duration::from_millis(200), client.read(&mut buffer)).await {
            Err(_) => return None,
            Ok(Ok(read)) if 0 < read => back += read,
            Ok(_) => break,
        }
    }
    Some(back)
}

#[tokio::test]
async fn connections_are_cut_on_demand_and_new_ones_work() {
    let (relay, mut first) = with_echo().await;
    let mut second = TcpStream::connect(relay.address()).await.unwrap();
    assert_eq!(echoed(&mut second, 5).await, Some(5));
    assert!(relay.cut_oldest());
    assert_eq!(echoed(&mut first, 5).await, Some(0));
    assert_eq!(echoed(&mut second, 5).await, Some(5));
    assert_eq!(relay.cut_all(), 1);
    assert_eq!(echoed(&mut second, 5).await, Some(0));
    assert!(!relay.cut_oldest());
    let mut third = TcpStream::connect(relay.address()).await.unwrap();
    assert_eq!(echoed(&mut third, 5).await, Some(5));
    assert_eq!(relay.stop().await.cut_count, 2);
}

#[tokio::test]
async fn a_connection_is_cut_after_so_many_bytes() {
    let (relay, mut client) = with_echo().await;
    relay.set_faults(Faults { cut_after_bytes: Some(1000), ..Faults::NONE });
    let back = echoed(&mut client, 300_000).await.unwrap();
    assert!((900..300_000).contains(&back), "{back}");
    relay.set_faults(Faults::NONE);
    let mut client = TcpStream::connect(relay.address()).await.unwrap();
    assert_eq!(echoed(&mut client, 300_000).await, Some(300_000));
}

#[tokio::test]
async fn a_black_out_delivers_nothing_and_everything_comes_after_it() {
    let (relay, mut client) = with_echo().await;
    relay.set_faults(Faults::BLACK_OUT);
    assert_eq!(echoed(&mut client, 5).await, None);
    let mut ignored = TcpStream::connect(relay.address()).await.unwrap();
    assert_eq!(echoed(&mut ignored, 5).await, None);
    relay.set_faults(Faults::NONE);
    let mut buffer = [0; 5];
    client.read_exact(&mut buffer).await.unwrap();
    ignored.read_exact(&mut buffer).await.unwrap();
    relay.set_faults(Faults { stalls_down: true, ..Faults::NONE });
    let before = relay.statistics();
    assert_eq!(echoed(&mut client, 5).await, None);
    let after = relay.statistics();
    assert_eq!((after.up_bytes - before.up_bytes, after.down_bytes - before.down_bytes), (5, 0));
}

#[tokio::test]
async fn refused_connections_end_at_once_and_open_ones_go_on() {
    let (relay, mut client) = with_echo().await;
    relay.set_faults(Faults::REFUSING);
    let mut refused = TcpStream::connect(relay.address()).await.unwrap();
    assert_eq!(echoed(&mut refused, 5).await, Some(0));
    assert_eq!(echoed(&mut client, 5).await, Some(5));
    assert_eq!(relay.stop().await.refused_count, 1);
}
