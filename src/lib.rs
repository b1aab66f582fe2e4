//! wirelab: one deployment log, every transport, delivery measured.
//!
//! A deployment is one run of a build or a release; its log holds the lines that it prints. A transport is a way in
//! which lines reach subscribers. This crate holds the server that is measured, the reports and the command line. The
//! crate `wirelab-clients` measures; it knows nothing of this crate. The modules, from the top floor down:
//!
//! - [`commands`]: the command line, one file per command
//! - [`server`]: assembles the modules below into a running service; serves the page and `/openapi.json`
//! - [`api`]: the calls on deployments and lines; [`transports`]: how lines leave a log; [`lab`]: what a teacher does
//!   to the server
//! - [`context`]: the state that every handler receives
//! - [`deployments`]: create, read, append, finish, delete, and the sources that feed a deployment; [`reader`]: a
//!   cursor on a log, all that a transport may use
//! - `lanes`: the server's counts for each lane of a page, where a lane shows one transport; `connection`: HTTP/1.1 and
//!   HTTP/2 on one port, with bytes counted; [`tls`]: the certificate; [`metrics`]: the counters for Prometheus
//! - [`exchange`]: what a request says, how a request is refused, how an answer is coded
//! - [`access`]: roles, tokens and the bounds of one address; [`store`]: where logs live; `clock`: the time of day, for people; [`terminal`]: what is said to people
//! - [`report`]: results in, bytes out

#![cfg_attr(not(test), warn(clippy::print_stderr))]

pub mod access;
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
pub mod terminal;
pub mod tls;
pub mod transports;
