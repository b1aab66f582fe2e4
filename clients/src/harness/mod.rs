//! The harness: what measures.
//!
//! A run goes from top to bottom: the plan says which cells, the schedule when each line is due, the publisher
//! sends them on time whatever the server does, one recorder per subscriber notes what arrived when, the samplers
//! watch the server from outside, the gates say whether the numbers may be believed, and the metrics name them.

pub mod latency;
pub mod plan;
pub mod publisher;
pub mod recorder;
pub mod schedule;
pub mod statistics;
pub mod subscribers;
