//! Clients that stop reading: their connections end, so that nobody holds memory, threads and places for ever.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Whether the answer on a connection may stand still. Clones are about the same connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Patience(Arc<AtomicBool>);

impl Patience {
    /// The answer that begins now may stand still, or not.
    pub(crate) fn set(&self, endless: bool) {
        self.0.store(endless, Ordering::Relaxed);
    }
}

/// A stream whose writes fail when the other side takes no byte for too long.
pub(super) struct Patient<S> {
    stream: S,
    patience: Patience,
    idle: Duration,
    /// Set while a write waits.
    until: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, patience: Patience, idle: Duration) -> Patient<S> {
        Patient { stream, patience, idle, until: None }
    }

    /// Passes on what a write came to; one that waits for too long is an error.
    fn judge<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.until = None;
            return outcome;
        }
        let idle = self.idle;
        let until = self.until.get_or_insert_with(|| Box::pin(sleep(idle)));
        ready!(until.as_mut().poll(context));
        if !self.patience.0.load(Ordering::Relaxed) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client stopped reading")));
        }
        // Looks again later: the timer has to be asked once more to wake this task.
        let mut next = Box::pin(sleep(idle));
        let _ = next.as_mut().poll(context);
        self.until = Some(next);
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.judge(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn pair() -> (Patient<tokio::io::DuplexStream>, tokio::io::DuplexStream, Patience) {
        let (here, there) = tokio::io::duplex(16);
        let patience = Patience::default();
        (Patient::new(here, patience.clone(), Duration::from_millis(20)), there, patience)
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_reading_is_cut_off() {
        let (mut here, _there, _) = pair();
        let error = here.write_all(&[0; 100]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_journal_may_stand_still_and_a_slow_reader_is_no_dead_one() {
        let (mut here, mut there, patience) = pair();
        patience.set(true);
        let reader = tokio::spawn(async move {
            // Two looks at the clock pass in between.
            tokio::time::sleep(Duration::from_millis(70)).await;
            let mut bytes = [0; 100];
            there.read_exact(&mut bytes).await.map(|_| there)
        });
        here.write_all(&[0; 100]).await.unwrap();
        let mut there = reader.await.unwrap().unwrap();
        patience.set(false);
        let reader = tokio::spawn(async move {
            let mut byte = [0];
            for _ in 0..40 {
                tokio::time::sleep(Duration::from_millis(15)).await;
                there.read_exact(&mut byte).await.unwrap();
            }
            there
        });
        here.write_all(&[0; 56]).await.unwrap();
        drop(reader.await.unwrap());
    }
}
