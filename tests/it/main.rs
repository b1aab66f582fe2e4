//! x
mod store_crash;
