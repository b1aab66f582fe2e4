//! One HTTP exchange: parsing of requests and bodies, refusals, coding of answers.
//!
//! Every handler needs these parts, whatever it answers. They depend neither on the server's state nor on a log.

pub mod arriving;
pub(crate) mod asked;
pub mod compression;
pub(crate) mod host;
pub(crate) mod incoming;
pub(crate) mod new_lines;
pub(crate) mod origin;
pub mod problem;
pub(crate) mod request;
pub(crate) mod route;
pub(crate) mod stopping;
pub(crate) mod turns;
pub(crate) mod upgrade;
