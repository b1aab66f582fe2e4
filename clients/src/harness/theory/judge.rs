//! The judge: compares a run with the formulas.
//!
//! Pure: a run and its calibration in, rows of `theory.csv` out. The transport of a run decides which formulas apply.
//! The assumptions that the run broke are found here, and named in every row that needs them.
//!
//! Counts are those of the cohort's window: between two readings of every subscriber's counters, one when the cohort
//! began and one when its last line was published. Connecting, settling and draining are outside. λ is the rate of the
//! lines that arrived in that window, not the plan's. (A Poisson schedule of 500 lines typically misses its own rate
//! by 4 %.) The requests of a stream (F8) are counted over the whole run, because it asks once. So are bytes on a wire,
//! which are reported and not judged.

mod faults;
mod long_poll;
mod reading;
mod short_poll;
mod streams;
#[cfg(test)]
mod tests;

use super::calibration::{ArmCalibration, Calibration, Sizes};
use super::simulation::LinePattern;
use super::verdict::{Prediction, SIGMAS, TOLERANCE_RATIO, Unit, judged, noting, reported};
use crate::harness::network::emulated::NetworkKind;
use crate::harness::run_result::Residual;
use crate::harness::run_result::RunResult;
use crate::link::{Jitter, Link, Loss, OneWay};
use crate::options::{Compression, HttpVersion};
use crate::wire::{BATCH_BYTES_MAX, BATCH_LINES_MAX, Waits};

pub use reading::{Disturbance, Reading, Setting, Window, server_name};

/// Quantiles of latencies that are judged.
const QUANTILES: [(f64, &str); 3] = [(0.5, "p50"), (0.9, "p90"), (0.99, "p99")];

/// Judges a run. Returns no rows without a calibration of its server and arm: a server with a profile has no constants.
pub fn judge(run: &RunResult, calibrations: &[Calibration]) -> Vec<Residual> {
    let setting = Setting::of(&run.cell);
    let server = calibrations.iter().find(|calibration| calibration.server == setting.server);
    let found = server.and_then(|server| Some((server, server.arm(&setting.arm())?)));
    let Some((server, arm)) = found else { return Vec::new() };
    rows(&setting, &Reading::of(run), server, arm)
}

/// Judges a setting and a reading, which are a run in the units of the formulas.
pub fn rows(
    setting: &Setting,
    reading: &Reading,
    server: &Calibration,
    arm: &ArmCalibration,
) -> Vec<Residual> {
    let case = Case { setting, reading, server, arm };
    let mut rows = match setting.transport.waits() {
        Waits::Client => short_poll::rows(&case),
        Waits::ServerOnce => long_poll::rows(&case),
        Waits::ServerForever => streams::rows(&case),
    };
    rows.extend(faults::rows(&case));
    rows
}

/// Lists what makes the delay of a link another one at each moment. The formulas know one delay per direction.
fn link_varies(link: &Link) -> impl Iterator<Item = &'static str> {
    let ways = [&link.up, &link.down];
    let some = |is: fn(&OneWay) -> bool| ways.into_iter().any(is);
    [
        (some(|way| way.jitter != Jitter::None), "the link's delay is jittered"),
        (some(|way| way.loss != Loss::None), "the link loses packets"),
        (some(|way| way.rate.is_some()), "the link has a rate: bytes wait for those before them"),
        (some(|way| way.trace.is_some()), "a trace says when packets may pass the link"),
    ]
    .into_iter()
    .filter_map(|(varies, what)| varies.then_some(what))
}

/// Everything that a row is made of.
struct Case<'a> {
    setting: &'a Setting,
    reading: &'a Reading,
    server: &'a Calibration,
    arm: &'a ArmCalibration,
}

impl Case<'_> {
    fn subscribers(&self) -> f64 {
        self.setting.subscribers
    }

    /// Returns the lines of the cohort, at least 1, since numbers are divided by it.
    fn lines(&self) -> f64 {
        (self.reading.lines_count as f64).max(1.0)
    }

    /// Returns λ of one deployment, 1/s: the rate of the lines that arrived in the window, or of the cohort's lines
    /// without a window.
    fn line_rate_hz(&self) -> f64 {
        match &self.reading.window {
            Some(window) if window.delivered > 0 => {
                window.delivered as f64 / self.subscribers() / window.length_s
            }
            Some(_) | None => self.lines() / self.reading.cohort_s,
        }
    }

    /// Returns the lines as formulas see them, at the rate at which they came.
    fn pattern(&self) -> LinePattern {
        match self.setting.lines {
            Some(LinePattern::Periodic { .. }) => {
                LinePattern::Periodic { period_s: 1.0 / self.line_rate_hz() }
            }
            Some(LinePattern::Poisson { .. }) | None => LinePattern::Poisson { rate_hz: self.line_rate_hz() },
        }
    }

    /// Lists the broken assumptions that every formula needs.
    fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        if let Some(why) = &self.reading.invalid {
            broken.push(format!("the run is invalid: {why}"));
        }
        match &self.setting.disturbance {
            Disturbance::None => {}
            Disturbance::Stop { .. } => broken.push("the server was stopped".to_owned()),
            Disturbance::Cut => broken.push("connections were cut".to_owned()),
        }
        let failed = self.reading.traffic.requests.refused + self.reading.traffic.requests.error;
        if failed > 0 {
            broken.push(format!("{failed} requests failed"));
        }
        if self.setting.rungs_count > 0 {
            broken.push("subscribers may have stepped down to another transport".to_owned());
        }
        // A short poll is answered at once, with or without lines.
        if !self.setting.linger.is_zero() && self.setting.transport.waits() != Waits::Client {
            broken.push("the server lingers to fill a batch".to_owned());
        }
        broken.extend(link_varies(&self.setting.network.link).map(str::to_owned));
        broken
    }

    /// Returns why bytes on a wire are not those of the link: a delay line stands above TCP.
    fn wire_of_another(&self) -> Option<String> {
        match self.setting.network.kind {
            NetworkKind::Line => Some(
                "TCP sees the loopback behind the delay line: segments and ACKs are the loopback's"
                    .to_owned(),
            ),
            NetworkKind::None | NetworkKind::Tun | NetworkKind::Auto => None,
        }
    }

    /// Returns the broken assumption of formulas that need Poisson lines.
    fn not_poisson(&self) -> Option<String> {
        match self.setting.lines {
            Some(LinePattern::Poisson { .. }) => None,
            Some(LinePattern::Periodic { .. }) => Some("lines are periodic, not Poisson".to_owned()),
            None => Some("lines are replayed, not Poisson".to_owned()),
        }
    }

    /// Returns the broken assumption of formulas that need every answer to bring all lines: too many lines gather in
    /// `gathering_s`.
    fn more(&self, gathering_s: f64) -> Option<String> {
        // A Poisson count exceeds its mean by six standard deviations once in a thousand million.
        let mean = self.line_rate_hz() * gathering_s;
        let lines_max = mean + 6.0 * mean.sqrt();
        let bytes_max = lines_max * (self.setting.payload_bytes + self.line_overhead());
        let fits = lines_max <= BATCH_LINES_MAX as f64 && bytes_max <= BATCH_BYTES_MAX as f64;
        (!fits).then(|| "more lines gather than an answer may hold (`more`)".to_owned())
    }

    /// Lists the broken assumptions of formulas of bytes.
    fn weight_changes(&self) -> impl Iterator<Item = String> + use<> {
        let compressed = self.setting.options.compression != Compression::Identity;
        let http2 = self.setting.options.http == HttpVersion::Http2 && !self.setting.transport.is_upgraded();
        [
            compressed.then(|| "what the server sends is compressed".to_owned()),
            http2.then(|| "HTTP/2 shortens headers by what it sent before".to_owned()),
        ]
        .into_iter()
        .flatten()
    }

    /// Returns the broken assumption of formulas of latencies of about `latency_s`: the publisher was late.
    fn publisher_late(&self, latency_s: f64) -> Option<String> {
        let late_s = self.reading.send_late_mean_s?;
        let late = late_s > TOLERANCE_RATIO * latency_s + self.server.visible_s.mean_s;
        late.then(|| format!("the publisher was late by {:.0} us on average", late_s * 1e6))
    }

    /// Returns the bytes of a line around its text.
    fn line_overhead(&self) -> f64 {
        let digits = self.reading.digits_mean;
        match &self.arm.sizes {
            Sizes::Poll { line, .. } => line.bytes(digits),
            Sizes::Stream { line } => line.bytes(digits),
        }
    }

    /// Returns the bytes in the socket per line and subscriber, in the window.
    fn bytes_per_line(&self) -> Option<f64> {
        let window = self.reading.window.as_ref().filter(|window| window.delivered > 0)?;
        let bytes = window.traffic.up_bytes + window.traffic.down_bytes;
        Some(bytes as f64 / window.delivered as f64)
    }

    fn window(&self) -> Option<&Window> {
        self.reading.window.as_ref()
    }

    /// Returns the time over which counts were counted, s.
    fn counted_s(&self) -> f64 {
        self.window().map_or(self.reading.cohort_s, |window| window.length_s)
    }

    /// Returns the standard error of a time average of the age, for `looks` independent looks at Poisson lines. It is 0
    /// for periodic lines.
    fn age_error_s(&self, looks: f64) -> f64 {
        match self.setting.lines {
            Some(LinePattern::Periodic { .. }) => 0.0,
            Some(LinePattern::Poisson { .. }) | None => {
                (2.0 / looks.min(self.lines()).max(1.0)).sqrt() / self.line_rate_hz()
            }
        }
    }
}
