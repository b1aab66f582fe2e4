//! The harness: what measures.
//!
//! A run goes from top to bottom: the plan says which cells, the schedule when each line is due, the publisher
//! sends them on time whatever the server does, one recorder per subscriber notes what arrived when, the sampler
//! watches the server from outside, the gates say whether the numbers may be believed, the theory what they should have
//! been, and the metrics name them.
//!
//! `server_under_test` is the server of a run, ours or not, and [`network`] what happens to its connections.
//!
//! Pure, without clock or file: [`plan`], [`schedule`], [`latency`], [`recorder`], [`staleness`], [`shared_record`],
//! [`series`], [`statistics`], [`gates`], [`theory`], [`thresholds`], [`connection_memory`], [`distributions`], [`rows`]. At the rim:
//! [`calibration`], [`publisher`], [`hiccup`], [`process_sampler`], [`kernel_memory`], [`server_process`]. [`results`]
//! holds what a run found out; only its description of the machine reads files. [`two_way`] answers one question of
//! `wirelab claims` by a server of its own. [`crowd`] follows what somebody else feeds. [`example`] is a made-up result for tests.

pub mod calibration;
pub mod cell;
pub mod connection_memory;
pub mod crowd;
pub mod dictionary;
pub mod distributions;
pub mod due_table;
pub mod ending;
pub mod example;
mod followers;
pub mod gates;
pub mod hiccup;
pub mod kernel_memory;
pub mod latency;
pub mod network;
pub mod plan;
pub mod plan_files;
pub mod process_sampler;
pub mod publisher;
pub mod recorder;
pub mod results;
pub mod rows;
pub mod run;
pub mod run_error;
pub mod run_result;
pub mod schedule;
pub mod series;
mod server_counts;
pub mod server_process;
mod server_under_test;
pub mod shared_record;
pub mod staleness;
pub mod statistics;
pub mod subscribers;
pub mod theory;
pub mod thresholds;
pub mod two_way;
mod waiters;
mod watch;
