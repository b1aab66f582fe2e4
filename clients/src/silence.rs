//! The watch over a stream's silence: one timer for a connection, not one for each read.
//!
//! A stream that says nothing for too long is dead. A timer per read would be armed and disarmed with every line. This
//! one is left alone: when it goes off, it looks at the time of the last read and is set anew. Used by the client halves
//! of the streams.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::meter::Meter;

/// Watch over one connection.
pub(crate) struct Silence {
    longest: Duration,
    /// The timer; `None` before the first wait.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    /// Watches a connection that may be silent for `longest`.
    pub(crate) fn new(longest: Duration) -> Self {
        Self { longest, alarm: None }
    }

    /// Waits for `next`, what the connection of this meter brings next. `None`: nothing was read for too long.
    pub(crate) async fn limit<T>(&mut self, meter: &Meter, next: impl Future<Output = T>) -> Option<T> {
        let mut next = pin!(next);
        poll_fn(|cx| {
            if let Poll::Ready(next) = next.as_mut().poll(cx) {
                return Poll::Ready(Some(next));
            }
            let longest = self.longest;
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + longest)));
            loop {
                ready!(alarm.as_mut().poll(cx));
                let until = Instant::from_std(meter.last_read()) + longest;
                if until <= Instant::now() {
                    return Poll::Ready(None);
                }
                alarm.as_mut().reset(until);
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::{Layer, MeteredSocket};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn silence_counts_from_the_last_read_and_ends_the_wait() {
        const LONGEST: Duration = Duration::from_secs(1);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let meter = Meter::new();
        let mut socket = MeteredSocket::connect(&authority, Layer::Http, meter.clone()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let mut silence = Silence::new(LONGEST);
        let mut last = std::time::Instant::now();
        for _ in 0..6 {
            // Each wait is shorter than the limit, all together are longer.
            let written = async {
                tokio::time::sleep(LONGEST / 4).await;
                server.write_all(b"x").await.unwrap();
            };
            let (read, ()) = tokio::join!(silence.limit(&meter, socket.read_u8()), written);
            assert_eq!(read.expect("it was not silent").unwrap(), b'x');
            last = meter.last_read();
        }
        assert!(silence.limit(&meter, socket.read_u8()).await.is_none());
        assert!(last.elapsed() >= LONGEST, "{:?}", last.elapsed());
    }
}
