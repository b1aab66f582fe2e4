//! How sure a mean is that was taken of samples at random instants: those of the waiters probe.

use std::time::Duration;

/// Mean gap between two samples: ten a second cost a server next to nothing, and give 600 in a minute.
pub const GAP_MEAN: Duration = Duration::from_millis(100);

/// Returns the standard error of the probe's mean over `window_s`, while `held` of `subscribers` polls are held on
/// average. It assumes that all polls are answered at once, as they are when all follow one log.
pub fn standard_error(held: f64, subscribers: f64, window_s: f64) -> f64 {
    let share = (held / subscribers).clamp(0.0, 1.0);
    let samples = window_s / GAP_MEAN.as_secs_f64();
    subscribers * (share * (1.0 - share)).sqrt() / samples.sqrt()
}
