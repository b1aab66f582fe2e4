//! wirelab: one deployment log, every transport, delivery measured.
//!
//! This crate is what is measured: the server, the reports and the command line. What measures is the crate
//! `wirelab-clients`, which knows nothing of this one. From the top floor down:
//!
//! - [`commands`]: the command line; one file per command
//! - [`server`]: assembles the rest into a running service; its page and its description of itself
//! - [`api`]: the regular calls; [`transports`]: how lines leave the log; [`lab`]: what a teacher does to the server
//! - [`context`]: what every handler is given
//! - [`deployments`]: create, read, append, finish, delete, and what feeds a deployment; [`reader`]: a cursor on a log,
//!   all that a transport may use
//! - `lanes`: what the server counted for one lane of a page; `connection`: HTTP/1.1 and HTTP/2 on one port, bytes
//!   counted; [`metrics`]: the counters
//! - [`exchange`]: what a request says, how it is refused, how an answer is coded
//! - [`store`]: where logs live; `clock`: the time of day, for people
//! - [`report`]: results in, bytes out

pub mod api;
mod clock;
pub mod commands;
mod connection;
pub mod context;
pub mod deployments;
pub mod exchange;
pub mod lab;
mod lanes;
pub mod metrics;
pub mod reader;
pub mod report;
pub mod server;
pub mod store;
pub mod transports;
