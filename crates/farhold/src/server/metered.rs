//! A stream under traffic control: counts the bytes of its connection, TLS included, and keeps to the limits of its rule.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use farhold_client::{Direction, Limit, Pauses, poll_read_at_most, poll_write_at_most};
use farhold_jobs::traffic::Connection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream and its connection. What was transferred is never held back: the transfer after it waits.
pub(super) struct Metered<T> {
    stream: T,
    limit: Limit,
    pauses: Pauses,
}

impl<T> Metered<T> {
    /// Counts and limits what passes through `stream` from now on.
    pub(super) fn new(stream: T, connection: Arc<Connection>) -> Self {
        let pauses = connection.pauses().clone();
        Self { stream, limit: Limit::new(connection), pauses }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Metered<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.limit.poll_turn(Direction::In, &this.pauses, cx));
        let most = this.limit.most_bytes(Direction::In);
        let bytes = ready!(poll_read_at_most(&mut this.stream, most, cx, buffer))?;
        this.limit.transferred(Direction::In, bytes, &this.pauses);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Metered<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.limit.poll_turn(Direction::Out, &this.pauses, cx));
        let most = this.limit.most_bytes(Direction::Out);
        let bytes = ready!(poll_write_at_most(&mut this.stream, most, cx, buffers))?;
        this.limit.transferred(Direction::Out, bytes, &this.pauses);
        Poll::Ready(Ok(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
