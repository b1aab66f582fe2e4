//! Lateness of the clients' timer on this machine.

use std::time::Duration;

use crate::harness::theory::spread::Spread;

const SLEEPS: u32 = 30;
/// Length of a sleep; each differs by a part of a millisecond.
const SLEEP: Duration = Duration::from_micros(2_037);

/// Measures how late the clients' timer fires. It counts whole milliseconds, so half of one is usual.
pub(super) async fn sleeps() -> Spread {
    let mut samples_s = Vec::new();
    for i in 0..SLEEPS {
        // Sleeps end at different parts of a millisecond; equal ends would all be late by the same amount.
        let until = tokio::time::Instant::now() + SLEEP + Duration::from_micros(u64::from(i * 31));
        tokio::time::sleep_until(until).await;
        samples_s.push(until.elapsed().as_secs_f64());
    }
    Spread::of(samples_s).expect("there is one")
}
