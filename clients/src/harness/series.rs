//! Time series: how a run went, second by second, for `timeseries.csv`.
//!
//! Deliveries come from the recorders. The run reads everything else from counters, which are turned into rates here.
//! Series are named only here. Pure.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One value of one time series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesPoint {
    /// Time of the value, seconds since the first due time; negative before it.
    pub t_s: f64,
    /// Name of the series, one of [`SERIES`].
    pub metric: Cow<'static, str>,
    /// Value of the series at that time.
    pub value: f64,
    /// Unit of the value.
    pub unit: Cow<'static, str>,
}

/// Name, unit and definition of a time series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Series {
    /// Name in the column `metric`.
    pub name: &'static str,
    /// Unit of the values.
    pub unit: &'static str,
    /// Definition in one sentence.
    pub definition: &'static str,
}

impl Series {
    /// Makes a point of the series.
    pub(super) fn point(&self, t_s: f64, value: f64) -> SeriesPoint {
        SeriesPoint { t_s, metric: self.name.into(), value, unit: self.unit.into() }
    }
}

pub(super) const LINES_DELIVERED: Series = Series {
    name: "lines_delivered",
    unit: "count",
    definition: "Lines × subscribers that were due in the second that begins at t_s and arrived, then or later.",
};
pub(super) const LATENCY_MEAN: Series = Series {
    name: "delivery_latency_mean",
    unit: "µs",
    definition: "Mean delivery latency of the lines that were due in the second that begins at t_s.",
};
pub(super) const LATENCY_MAX: Series = Series {
    name: "delivery_latency_max",
    unit: "µs",
    definition: "Longest delivery latency of the lines that were due in the second that begins at t_s.",
};
const REQUESTS: Series = Series {
    name: "requests",
    unit: "1/s",
    definition: "Requests that were answered since the last sample, per second.",
};
const L7: Series = Series {
    name: "l7",
    unit: "bytes/s",
    definition: "Bytes through the subscribers' sockets, up and down, since the last sample, per second.",
};
const STALENESS: Series = Series {
    name: "staleness",
    unit: "ms",
    definition: "Age of the newest line at t_s, mean over subscribers; without a line, the time since the first due time.",
};
const SERVER_CPU: Series = Series {
    name: "server_cpu",
    unit: "ratio",
    definition: "CPU time of wirelab's own server per second of wall time since the last sample.",
};
const CONNECTIONS_OPEN: Series = Series {
    name: "connections_open",
    unit: "count",
    definition: "Connections of the subscribers that are open at t_s.",
};

/// Every time series.
pub const SERIES: &[Series] =
    &[LINES_DELIVERED, LATENCY_MEAN, LATENCY_MAX, REQUESTS, L7, STALENESS, SERVER_CPU, CONNECTIONS_OPEN];

/// Time between two samples: as fine as the bins of the deliveries, and too rare to cost anything.
pub const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// Counters and levels at one instant. Counters count from the start of the run.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sample {
    /// Requests that have an outcome.
    pub requests_count: u64,
    /// Bytes through the subscribers' sockets, up and down.
    pub l7_bytes: u64,
    /// CPU time of the server.
    pub server_cpu: Option<Duration>,
    /// Connections that are open.
    pub connections_open_count: u64,
    /// Mean age of the subscribers' newest lines; `None` before the first due time.
    pub staleness: Option<Duration>,
}

/// Turns samples into time series.
#[derive(Debug, Default)]
pub struct Sampler {
    last: Option<(f64, Sample)>,
    points: Vec<SeriesPoint>,
}

impl Sampler {
    /// Returns whether it is time for the next sample.
    pub fn is_due(&self, t_s: f64) -> bool {
        self.last.as_ref().is_none_or(|(last_s, _)| t_s - last_s >= SAMPLE_EVERY.as_secs_f64())
    }

    /// Notes a sample taken at `t_s`. Rates begin with the second sample.
    pub fn note(&mut self, t_s: f64, sample: Sample) {
        let levels = [
            (CONNECTIONS_OPEN, Some(sample.connections_open_count as f64)),
            (STALENESS, sample.staleness.map(|age| age.as_secs_f64() * 1e3)),
        ];
        let rates = self.last.as_ref().map(|(last_s, last)| {
            let passed_s = t_s - last_s;
            let rate = |now: u64, then: u64| now.checked_sub(then).map(|more| more as f64 / passed_s);
            let cpu = sample.server_cpu.zip(last.server_cpu).and_then(|(now, then)| now.checked_sub(then));
            [
                (REQUESTS, rate(sample.requests_count, last.requests_count)),
                (L7, rate(sample.l7_bytes, last.l7_bytes)),
                (SERVER_CPU, cpu.map(|cpu| cpu.as_secs_f64() / passed_s)),
            ]
        });
        for (series, value) in levels.into_iter().chain(rates.into_iter().flatten()) {
            self.points.extend(value.filter(|value| value.is_finite()).map(|value| series.point(t_s, value)));
        }
        self.last = Some((t_s, sample));
    }

    /// Returns all points of all series.
    pub fn into_points(self) -> Vec<SeriesPoint> {
        self.points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_become_rates_and_levels_stay() {
        let mut sampler = Sampler::default();
        assert!(sampler.is_due(-0.5));
        let first =
            Sample { requests_count: 10, l7_bytes: 1_000, connections_open_count: 2, ..Sample::default() };
        sampler.note(-0.5, first);
        assert!(!sampler.is_due(0.25) && sampler.is_due(0.5));
        let second = Sample {
            requests_count: 30,
            l7_bytes: 5_000,
            server_cpu: Some(Duration::from_millis(100)),
            connections_open_count: 3,
            staleness: Some(Duration::from_millis(40)),
        };
        sampler.note(1.5, second);
        sampler.note(2.5, Sample { server_cpu: Some(Duration::from_millis(350)), ..second });
        let points = sampler.into_points();
        let of = |series: Series| {
            points.iter().filter(|p| p.metric == series.name).map(|p| (p.t_s, p.value)).collect::<Vec<_>>()
        };
        assert_eq!(of(CONNECTIONS_OPEN), [(-0.5, 2.0), (1.5, 3.0), (2.5, 3.0)]);
        assert_eq!(of(STALENESS), [(1.5, 40.0), (2.5, 40.0)]);
        assert_eq!(of(REQUESTS), [(1.5, 10.0), (2.5, 0.0)]);
        assert_eq!(of(L7), [(1.5, 2_000.0), (2.5, 0.0)]);
        assert_eq!(of(SERVER_CPU), [(2.5, 0.25)]);
    }

    #[test]
    fn every_series_has_a_name_of_its_own_and_is_explained() {
        let mut names: Vec<_> = SERIES.iter().map(|series| series.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SERIES.len());
        assert!(SERIES.iter().all(|series| series.definition.ends_with('.')));
    }
}
