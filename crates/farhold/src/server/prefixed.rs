//! A stream some bytes of which were read already, to find out which protocol the peer speaks.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What an HTTP/2 client with prior knowledge sends first.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Gives `prefix` first, then what `inner` gives. Writing goes to `inner`.
#[derive(Debug)]
pub(super) struct Prefixed<T> {
    prefix: Vec<u8>,
    given: usize,
    inner: T,
}

/// Reads until it is clear whether the peer speaks HTTP/2; returns the stream as if nothing had been read.
///
/// At the end of the stream the answer is "no". Not cancel safe: what was read is lost with the future.
pub(super) async fn detect_http2<T: AsyncRead + Unpin>(mut inner: T) -> io::Result<(bool, Prefixed<T>)> {
    let mut prefix = vec![0; HTTP2_PREFACE.len()];
    let mut length = 0;
    while length < prefix.len() {
        let count = inner.read(&mut prefix[length..]).await?;
        length += count;
        if count == 0 || !HTTP2_PREFACE.starts_with(&prefix[..length]) {
            break;
        }
    }
    prefix.truncate(length);
    Ok((prefix == HTTP2_PREFACE, Prefixed { prefix, given: 0, inner }))
}

impl<T: AsyncRead + Unpin> AsyncRead for Prefixed<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let rest = &this.prefix[this.given..];
        if !rest.is_empty() {
            let count = rest.len().min(buffer.remaining());
            buffer.put_slice(&rest[..count]);
            this.given += count;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.inner).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Prefixed<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_protocols_are_told_apart_and_nothing_is_lost() {
        for (input, expected) in [
            (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nrest"[..], true),
            (&b"GET / HTTP/1.1\r\n\r\n"[..], false),
            (&b"PRI"[..], false),
            (&b"PUT /x HTTP/1.1\r\n\r\n"[..], false),
            (&b""[..], false),
        ] {
            let (is_http2, mut stream) = detect_http2(input).await.unwrap();
            assert_eq!(is_http2, expected, "{input:?}");
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, input);
        }
    }
}
