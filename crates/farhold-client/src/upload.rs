//! Sending the body of a request inside a session, piece by piece as the peer's windows allow.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::Response;

/// Largest piece of a body that is handed over at once, and so the largest frame: short requests, answers to pings and
/// other bodies get in between, also on a slow line.
const PIECE_BYTES: usize = 256 * 1024;

/// What a step of an upload brought.
pub(crate) enum Sent {
    /// A piece was handed over; it is taken off the body.
    Piece,
    /// The peer closed its end: the answer, or the reason, is on its way.
    Refused,
    /// The answer, or an error, came before the whole body was sent.
    Answered(Result<Response<RecvStream>, h2::Error>),
}

/// Hands over the next piece of a body that is not empty as soon as there is room for it.
///
/// # Cancel safety
/// A piece is taken off the body at the moment it is handed over, so nothing is lost or sent twice.
pub(crate) async fn send_body(stream: &mut SendStream<Bytes>, body: &mut Bytes, response: &mut ResponseFuture) -> Sent {
    let wanted = body.len().min(PIECE_BYTES);
    stream.reserve_capacity(wanted);
    let event = poll_fn(|cx| {
        if let Poll::Ready(answer) = Pin::new(&mut *response).poll(cx) {
            return Poll::Ready(Some(Sent::Answered(answer)));
        }
        loop {
            if 0 < stream.capacity() {
                return Poll::Ready(None);
            }
            match stream.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Some(Sent::Refused)),
                Poll::Pending => return Poll::Pending,
            }
        }
    });
    if let Some(end) = event.await {
        return end;
    }
    let piece = body.split_to(wanted.min(stream.capacity()));
    match stream.send_data(piece, body.is_empty()) {
        Ok(()) => Sent::Piece,
        Err(_) => Sent::Refused,
    }
}
