//! wirelab: one deployment log, every transport, delivery measured.
//!
//! This crate is what is measured: the server, the reports and the command line. What measures is the crate
//! `wirelab-clients`, which knows nothing of this one.
//!
//! - [`cli`], [`commands`]: the command line; one file per command
//! - [`server`]: the actix application; [`api`]: the regular calls; [`transports`]: how lines leave the log;
//!   [`openapi`]: all of them described
//! - `protocol`, `http2`, `connection`, `connections`: HTTP/1.1 and HTTP/2 on one port, bytes counted; [`compression`]:
//!   gzip
//! - [`reader`]: a cursor on a log, all that a transport may use
//! - [`deployments`]: create, read, append, finish, delete; [`sources`]: what feeds a deployment
//! - [`store`]: where logs live
//! - [`lab`]: what a teacher does to the server itself
//! - `theory`: what the formulas say, for the page
//! - `page`: the files of `static/` at `/`
//! - `lanes`: what the server counted for one lane of a page, streamed back to it
//! - `plan_files`: the plans on disk; `run_progress`: what a run says to the program that started it
//! - [`metrics`], [`problem`]: what the server counts, and how it refuses
//! - [`report`]: results in, bytes out

pub mod api;
pub mod cli;
mod clock;
pub mod command_output;
pub mod commands;
pub mod compression;
mod connection;
mod connections;
pub mod deployments;
mod http2;
pub mod lab;
mod lanes;
pub mod metrics;
mod new_lines;
pub mod openapi;
mod page;
mod plan_files;
pub mod problem;
mod protocol;
pub mod reader;
pub mod report;
mod request;
mod run_progress;
pub mod server;
pub mod sources;
pub mod store;
mod theory;
pub mod transports;
mod upgrade;
