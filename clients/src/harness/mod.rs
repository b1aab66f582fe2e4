//! The harness: measures how servers deliver lines.
//!
//! A run goes through these parts in order:
//! - the [`plan`] names the cells to run, and the [`schedule`] says when each line is due;
//! - the [`publisher`] sends each line on time, whatever the server does;
//! - one [`recorder`] per subscriber notes what arrived when, and the [`process_sampler`] watches the server from
//!   outside;
//! - the [`gates`] decide whether the numbers may be believed, and the [`theory`] predicts what they should have been;
//! - the [`rows`] name the numbers.
//!
//! `server_under_test` is the server of a run, ours or not. [`network`] holds its network, and the faults of its
//! connections.
//!
//! Pure, without clock or file: [`plan`], [`schedule`], [`latency`](crate::latency), [`recorder`], [`receipts`], [`staleness`], [`shared_record`],
//! [`series`], [`statistics`], [`gates`], [`theory`], [`forecast`], [`thresholds`], [`connection_memory`], [`distributions`],
//! [`rows`], [`ending`]. At the rim: [`calibration`], [`publisher`], [`hiccup`], [`process_sampler`],
//! [`kernel_memory`], [`server_process`]. [`run_result`] holds the results of a run, and [`results`] those of a plan;
//! only [`machine`], which describes the machine, reads files. [`two_way`] answers one question of `wirelab claims` with a server
//! of its own. [`crowd`] follows a log that another program feeds. [`example`] is a made-up result for tests.

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
pub mod forecast;
pub mod gates;
pub mod hiccup;
pub mod kernel_memory;
pub mod link_check;
pub mod machine;
pub mod network;
pub mod plan;
pub mod plan_files;
pub mod process_sampler;
pub mod publisher;
mod reachable;
pub mod receipts;
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
