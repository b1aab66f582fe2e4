//! The waiters probe: how many subscribers the server holds, on average over time.
//!
//! The probe asks `/metrics` at random instants of the cohort, on a connection of its own that is counted for no
//! transport. The gaps are random and independent, so that the mean of the samples is the time average (Wolff 1982:
//! Poisson arrivals see time averages). At fixed intervals it would always meet periodic lines in the same phase.
//! Little's law is checked with it.

use std::ops::Range;
use std::time::{Duration, Instant};

use rand::RngExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::server_counts::waiters_now;
use super::statistics::sampling::GAP_MEAN;
use crate::api::Api;
use crate::wire::Transport;

/// A probe that is running.
#[derive(Debug)]
pub(super) struct WaitersProbe {
    task: JoinHandle<Option<f64>>,
    stop: watch::Sender<bool>,
}

impl WaitersProbe {
    /// Starts a probe of all these transports together during `window`. Must be called inside a tokio runtime.
    pub(super) fn start(api: Api, transports: Vec<Transport>, window: Range<Instant>) -> Self {
        let stop = watch::Sender::new(false);
        Self { task: tokio::spawn(probe(api, transports, window, stop.subscribe())), stop }
    }

    /// Ends the probe, even before its window ends, and returns the mean. `None`: the server could not always say.
    pub(super) async fn finish(self) -> Option<f64> {
        self.stop.send_replace(true);
        self.task.await.ok().flatten()
    }
}

/// Samples until the window or the probe ends, and returns the mean.
async fn probe(
    mut api: Api,
    transports: Vec<Transport>,
    window: Range<Instant>,
    mut stop: watch::Receiver<bool>,
) -> Option<f64> {
    let mut samples: Vec<u64> = Vec::new();
    let mut next = window.start + gap();
    while next < window.end {
        tokio::select! {
            () = tokio::time::sleep_until(next.into()) => {}
            // This also ends the probe when the run itself is gone.
            _ = stop.wait_for(|stop| *stop) => break,
        }
        samples.push(waiters_now(&mut api, &transports).await?);
        // After a late answer, the samples that it delayed are skipped, not taken in a burst.
        next = next.max(Instant::now()) + gap();
    }
    (!samples.is_empty()).then(|| samples.iter().sum::<u64>() as f64 / samples.len() as f64)
}

/// Draws an exponential gap.
fn gap() -> Duration {
    let uniform: f64 = rand::rng().random_range(f64::MIN_POSITIVE..1.0);
    GAP_MEAN.mul_f64(-uniform.ln())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ServerUrl;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Starts a server whose `/metrics` gives `waiters(n)` for request number n, from 0.
    async fn server(waiters: impl Fn(u64) -> Option<u64> + Send + 'static) -> (ServerUrl, Arc<AtomicU64>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let asked = Arc::new(AtomicU64::new(0));
        let count = asked.clone();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            while socket.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
                let waiters = waiters(count.fetch_add(1, Ordering::Relaxed));
                let line = waiters.map(|n| format!("wirelab_waiters{{transport=\"sse\"}} {n}\n"));
                let body = line.unwrap_or_default();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (url, asked)
    }

    /// Returns a window that holds several samples, whatever the gaps are.
    fn window() -> Range<Instant> {
        Instant::now()..Instant::now() + GAP_MEAN * 30
    }

    /// Returns the mean over the whole window.
    async fn mean(url: ServerUrl, window: Range<Instant>) -> Option<f64> {
        let stop = watch::Sender::new(false);
        probe(Api::new(url), vec![Transport::Sse], window, stop.subscribe()).await
    }

    #[tokio::test]
    async fn the_mean_is_that_of_the_servers_own_gauge() {
        let (url, asked) = server(|n| Some(n % 2 * 10)).await;
        let mean = mean(url, window()).await.unwrap();
        let asked = asked.load(Ordering::Relaxed);
        let sum = asked / 2 * 10;
        assert!(asked > 1 && (mean - sum as f64 / asked as f64).abs() < 1e-9, "{mean} of {asked}");
    }

    #[tokio::test]
    async fn a_server_that_cannot_say_has_no_mean() {
        let (url, _) = server(|n| (n == 0).then_some(3)).await;
        assert_eq!(mean(url, window()).await, None);
        let (url, _) = server(Some).await;
        let over = Instant::now()..Instant::now();
        assert_eq!(mean(url, over).await, None);
    }

    #[tokio::test]
    async fn a_run_that_ends_early_waits_for_no_window() {
        let (url, _) = server(Some).await;
        let began = Instant::now();
        let probe = WaitersProbe::start(
            Api::new(url),
            vec![Transport::Sse],
            began..began + Duration::from_secs(3_600),
        );
        let _ = probe.finish().await;
        assert!(began.elapsed() < Duration::from_secs(600));
    }

    #[test]
    fn gaps_are_exponential_about_their_mean() {
        let gaps: Vec<f64> = (0..20_000).map(|_| gap().as_secs_f64()).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        // Standard error 0.7 %.
        assert!((mean / GAP_MEAN.as_secs_f64() - 1.0).abs() < 0.05, "{mean}");
    }
}
