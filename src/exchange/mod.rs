//! One HTTP exchange: what a request says, what its body holds, how it is refused, how an answer is coded.
//!
//! What every handler needs, whatever it answers. Knows neither the server's state nor a log.

pub mod compression;
pub(crate) mod new_lines;
pub mod problem;
pub(crate) mod request;
pub(crate) mod route;
pub(crate) mod upgrade;
