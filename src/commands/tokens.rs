//! The tokens of `wirelab serve --access`: read at the start from a file or from the environment.
//!
//! Also refuses to open a server to everybody that more than this machine can reach, unless that was asked for.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Failure, remark};
use crate::access::{ACCESS_VARIABLE, Access};
use crate::commands::cli::ServeArguments;

/// What `--access` names the environment by.
const ACCESS_OF_ENVIRONMENT: &str = "env";
/// Bits of a file's mode by which others than its owner may read or change it.
const OF_OTHERS: u32 = 0o077;

/// Reads who may do what. A server that more than this machine can reach is not opened to everybody by a forgotten flag.
pub(super) fn access(arguments: &ServeArguments) -> Result<Access, Failure> {
    let Some(source) = &arguments.access else {
        let is_local = arguments.bind.ip().to_canonical().is_loopback();
        if is_local || arguments.open {
            return Ok(Access::Everybody);
        }
        return Err(Failure::usage(format!(
            "without tokens everybody who reaches {} could delete every log and use the lab; give --access FILE with \
             tokens (`wirelab token owner > FILE` makes one), or --open if everybody may",
            arguments.bind
        )));
    };
    let (text, name) = match source.to_str() {
        Some(ACCESS_OF_ENVIRONMENT) => {
            let text = std::env::var(ACCESS_VARIABLE).map_err(|_| {
                Failure::usage(format!(
                    "--access env reads tokens from the variable {ACCESS_VARIABLE}, which is not set or is not text; set \
                     it, or name a file"
                ))
            })?;
            (text, ACCESS_VARIABLE.to_owned())
        }
        _ => (token_file(source)?, source.display().to_string()),
    };
    Access::of_text(&text, &name).map_err(Failure::usage)
}

/// Reads a file of tokens, and says so if others may read it, too.
fn token_file(path: &Path) -> Result<String, Failure> {
    let failed = |error: io::Error| {
        let path = path.display();
        Failure::usage(format!(
            "cannot read the tokens in {path}: {error}; name a file with lines that `wirelab token ROLE` prints"
        ))
    };
    let text = fs::read_to_string(path).map_err(failed)?;
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & OF_OTHERS != 0 {
        let path = path.display();
        remark(&format!(
            "other accounts of this machine may use the tokens in {path}; run `chmod 600 {path}`"
        ));
    }
    Ok(text)
}
