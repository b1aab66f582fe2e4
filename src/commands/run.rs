//! `wirelab run`.
use super::{Exit, Failure};
use crate::cli::Run;
pub async fn run(_: Run) -> Result<Exit, Failure> {
    Err(Failure::usage("x"))
}
