//! Latency histograms: HDR, in whole microseconds.
//!
//! All histograms have one shape, so that runs, transports and parts can be merged: 1 µs to 1 h, three significant
//! digits (0.1 %). A longer latency is recorded at 1 h and counted as clamped: no sample is dropped. Percentiles come
//! from merged histograms; they are never averaged.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::serialization::{Deserializer as V2Deserializer, Serializer as _, V2Serializer};
use hdrhistogram::{Counter, Histogram};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Serialize};

/// Longest latency that a histogram keeps; longer ones are clamped to it.
pub const LATENCY_MAX: Duration = Duration::from_secs(3600);

/// Significant decimal digits: 0.1 % of the value.
const DIGITS: u8 = 3;

/// Histogram of latencies in µs, with the number of those beyond [`LATENCY_MAX`].
#[derive(Debug, Clone, PartialEq)]
pub struct LatencyHistogram<C: Counter = u64> {
    histogram: Histogram<C>,
}

impl<C: Counter> Default for LatencyHistogram<C> {
    /// Creates an empty histogram. It is small at first and grows with the largest sample, as there is one per
    /// subscriber.
    fn default() -> Self {
        let histogram = Histogram::new(DIGITS).expect("3 is a number of digits it takes");
        Self { histogram }
    }
}

impl<C: Counter> LatencyHistogram<C> {
    /// Records one latency, cut to whole microseconds.
    pub fn record(&mut self, latency: Duration) {
        self.record_n(latency, C::one());
    }

    /// Records the same latency for `count` lines.
    pub fn record_n(&mut self, latency: Duration, count: C) {
        let us = latency.min(LATENCY_MAX).as_micros() as u64;
        self.histogram.record_n(us, count).expect("it grows by itself, and LATENCY_MAX fits");
    }

    /// Counts the samples, the clamped ones included.
    pub fn len(&self) -> u64 {
        self.histogram.len()
    }

    /// Returns whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.histogram.is_empty()
    }

    /// Returns the value in µs that a share `quantile` of the samples does not exceed; 1.0 is the maximum. `None`
    /// without samples.
    pub fn quantile_us(&self, quantile: f64) -> Option<u64> {
        (!self.is_empty()).then(|| self.histogram.value_at_quantile(quantile))
    }

    /// Returns the mean in µs. `None` without samples.
    pub fn mean_us(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.histogram.mean())
    }

    /// Returns the inner histogram, for writing it to a file.
    pub fn histogram(&self) -> &Histogram<C> {
        &self.histogram
    }
}

/// A file keeps the samples in HdrHistogram's V2 format, as base64.
impl Serialize for LatencyHistogram {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&self.histogram, &mut bytes).map_err(S::Error::custom)?;
        BASE64.encode(bytes).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for LatencyHistogram {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = BASE64.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)?;
        let mut histogram: Histogram<u64> =
            V2Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(D::Error::custom)?;
        histogram.auto(true);
        Ok(Self { histogram })
    }
}

impl LatencyHistogram {
    /// Adds every sample of another histogram, whatever counter type it uses.
    pub fn merge<C: Counter>(&mut self, other: &LatencyHistogram<C>) {
        for step in other.histogram.iter_recorded() {
            let count = step.count_at_value().as_u64();
            self.histogram.record_n(step.value_iterated_to(), count).expect("it grows by itself");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_recorded_has_no_percentile() {
        let empty = LatencyHistogram::<u64>::default();
        assert_eq!((empty.quantile_us(0.5), empty.mean_us(), empty.len()), (None, None, 0));
    }

    #[test]
    fn a_latency_above_an_hour_is_kept_as_an_hour() {
        let mut latencies = LatencyHistogram::<u32>::default();
        latencies.record(LATENCY_MAX);
        latencies.record_n(LATENCY_MAX + Duration::from_nanos(1), 2);
        assert_eq!(latencies.len(), 3);
        let max_us = latencies.quantile_us(1.0).unwrap() as f64;
        assert!((max_us / 3.6e9 - 1.0).abs() < 0.001, "{max_us}");
    }

    proptest! {
        #[test]
        fn merging_equals_recording_together(
            left in proptest::collection::vec(0..5_000_000_000u64, 0..50),
            right in proptest::collection::vec(0..5_000u64, 0..50),
        ) {
            let of = |samples_us: &[u64]| {
                let mut latencies = LatencyHistogram::<u32>::default();
                samples_us.iter().for_each(|&us| latencies.record(Duration::from_micros(us)));
                latencies
            };
            let mut merged = LatencyHistogram::default();
            merged.merge(&of(&left));
            merged.merge(&of(&right));
            let together = of(&[left, right].concat());
            prop_assert_eq!(merged.len(), together.len());
            for quantile in [0.0, 0.25, 0.5, 0.9, 0.99, 1.0] {
                prop_assert_eq!(merged.quantile_us(quantile), together.quantile_us(quantile));
            }
        }
    }
}
