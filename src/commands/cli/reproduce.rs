//! The arguments of `wirelab reproduce`. The doc comments are the texts of `--help`.

use std::path::PathBuf;

use clap::Args;

use super::{DATA_DEFAULT, SizeArgument, data_folder};

const REPRODUCE_RULES: &str = "\
Runs the plan of that name, or reads an existing folder, and writes reproduction.csv and reproduction.md into it; the
page shows the same. The verdict is one of: reproduced (law and constants as printed); same law, other constant;
contradicted (the law does not hold); cannot be shown here (too few valid runs, an interval that holds a limit, the short
size). It comes from the 95 % interval over runs, which needs 6.

Exit codes: those of `wirelab run`, whatever the verdict is. So 0 means that the runs hold. A contradicted source is a
finding about the source on this machine, and no failure of the program.";

/// Arguments of `wirelab reproduce`.
#[derive(Debug, Args)]
#[command(after_help = REPRODUCE_RULES)]
pub struct ReproduceArguments {
    /// Reproduction, such as lubbers2010 [default: all are listed with their questions]
    pub name: Option<String>,
    /// Judge this results folder again without running the plan.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["size", "results", "data"])]
    pub from: Option<PathBuf>,
    /// Size of the plan: as it is written, or short, to see that it works. The short form shows nothing.
    #[arg(long, default_value = "full")]
    pub size: SizeArgument,
    /// Folder with plans and recordings. What is not there comes from wirelab itself.
    #[arg(long, default_value = DATA_DEFAULT, value_parser = data_folder(DATA_DEFAULT))]
    pub data: PathBuf,
    /// Folder to which results are written.
    #[arg(long, default_value = "results")]
    pub results: PathBuf,
}
