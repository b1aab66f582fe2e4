//! Thresholds: what a plan demands of its results.

use std::fmt;
use std::str::FromStr;

/// One demand, such as `sse.delivery_latency_us_p99 < 80000`.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold(String);

impl FromStr for Threshold {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
