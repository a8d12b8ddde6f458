//! A stream on which no step waits for ever, and that ends when the peer says too much.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use farhold_client::ByteStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How much a peer may say on one connection, in bytes: certificates take up to ten thousand, answers a few lines. The
/// libraries above would keep an endless line, and look at every line of an answer again with each new one. Source: our own
/// choice.
const MAX_READ_BYTES: usize = 32 << 10;

/// A stream whose reads and writes have an end.
pub(crate) struct Patient {
    inner: Box<dyn ByteStream>,
    step: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    /// Whoever waited in vain once waits no more, not even to say goodbye.
    is_given_up: bool,
    read_bytes: usize,
}

impl Patient {
    /// Returns the stream with a limit for each wait.
    pub(crate) fn new(inner: Box<dyn ByteStream>, step: Duration) -> Self {
        Self { inner, step, waiting: None, is_given_up: false, read_bytes: 0 }
    }

    /// Returns what an operation gives, or an error once it has waited too long.
    fn limit<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut Box<dyn ByteStream>>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.is_given_up {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if let Poll::Ready(done) = poll(Pin::new(&mut self.inner), cx) {
            self.waiting = None;
            return Poll::Ready(done);
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(self.step)));
        ready!(waiting.as_mut().poll(cx));
        self.is_given_up = true;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if MAX_READ_BYTES < this.read_bytes {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the answer does not end")));
        }
        let before = buf.filled().len();
        let read = ready!(this.limit(cx, |inner, cx| inner.poll_read(cx, buf)));
        this.read_bytes += buf.filled().len() - before;
        Poll::Ready(read)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().limit(cx, |inner, cx| inner.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().limit(cx, |inner, cx| inner.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().limit(cx, |inner, cx| inner.poll_shutdown(cx))
    }
}
