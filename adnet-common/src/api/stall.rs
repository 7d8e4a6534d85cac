//! A connection whose writes must make progress: the answer to a client that sends a request and
//! then does not read, or takes a byte now and then so that what it asked for stays in memory.
//!
//! hyper bounds the time for request headers, not the time a client takes to accept an answer.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// What a client takes at least within the patience while it holds up the rest, or all of it: with ten
/// seconds, half the speed of a modem.
const PACE_BYTES: usize = 32 << 10;

/// Fails with `TimedOut` once less than [`PACE_BYTES`] were taken within `patience` and there is more.
pub(super) struct StallGuard<S> {
    stream: S,
    patience: Duration,
    /// While the stream does not take what is to be written.
    held_up: Option<HeldUp>,
}

struct HeldUp {
    until: Pin<Box<Sleep>>,
    taken_bytes: usize,
}

impl<S> StallGuard<S> {
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            held_up: None,
        }
    }

    fn written(
        &mut self,
        cx: &mut Context<'_>,
        progress: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match progress {
            Poll::Ready(Ok(bytes)) => {
                if let Some(held_up) = &mut self.held_up {
                    held_up.taken_bytes += bytes;
                    if held_up.taken_bytes >= PACE_BYTES {
                        self.held_up = None;
                    }
                }
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.wait(cx),
        }
    }

    /// After a flush the client has taken everything, however slowly.
    fn flushed(
        &mut self,
        cx: &mut Context<'_>,
        progress: Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        if progress.is_pending() {
            return self.wait(cx);
        }
        self.held_up = None;
        progress
    }

    fn wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let patience = self.patience;
        let held_up = self.held_up.get_or_insert_with(|| HeldUp {
            until: Box::pin(sleep(patience)),
            taken_bytes: 0,
        });
        match held_up.until.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallGuard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallGuard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.written(cx, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_flush(cx);
        self.flushed(cx, progress)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.flushed(cx, progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::time::{Instant, timeout};

    /// Takes some bytes at a time, with a pause before each.
    struct Slow {
        at_a_time: usize,
        pause: Duration,
        next: Pin<Box<Sleep>>,
    }

    impl Slow {
        fn new(at_a_time: usize, pause: Duration) -> Self {
            let next = Box::pin(sleep(pause));
            Self {
                at_a_time,
                pause,
                next,
            }
        }
    }

    impl AsyncWrite for Slow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            if self.next.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let pause = self.pause;
            self.next.as_mut().reset(Instant::now() + pause);
            Poll::Ready(Ok(bytes.len().min(self.at_a_time)))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    const PATIENCE: Duration = Duration::from_millis(300);

    async fn write(slow: Slow, bytes: usize) -> io::Result<()> {
        let mut guarded = StallGuard::new(slow, PATIENCE);
        let content = vec![0; bytes];
        let write = async {
            guarded.write_all(&content).await?;
            guarded.flush().await
        };
        timeout(Duration::from_secs(30), write)
            .await
            .expect("it does not go on for ever")
    }

    #[tokio::test]
    async fn who_takes_a_byte_now_and_then_is_cut_off() {
        let trickle = Slow::new(1, Duration::from_millis(20));
        let error = write(trickle, 1 << 20).await.expect_err("too slow");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_keeps_the_pace_may_take_longer_than_the_patience() {
        let began = Instant::now();
        let steady = Slow::new(PACE_BYTES, PATIENCE / 10);
        write(steady, 16 * PACE_BYTES).await.expect("quick enough");
        assert!(began.elapsed() > PATIENCE);
    }

    #[tokio::test]
    async fn what_was_taken_is_forgiven_after_a_flush() {
        let mut guarded = StallGuard::new(Slow::new(1, PATIENCE / 3), PATIENCE);
        for _ in 0..5 {
            guarded.write_all(b"x").await.expect("in time each");
            guarded.flush().await.expect("a flush");
        }
    }
}
