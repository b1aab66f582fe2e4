//! `wirelab token`: makes a token and prints its line for the file of `wirelab serve --access`.

use super::{Exit, Failure, remark, say};
use crate::access::{LOGIN, TOKEN_VARIABLE, Token};
use crate::commands::cli::TokenArguments;

/// Prints the line on stdout, and on stderr what to do with it.
pub fn run(arguments: &TokenArguments) -> Result<Exit, Failure> {
    let token = Token::make();
    let name = arguments.name.as_ref().map_or(String::new(), |name| format!(" {name}"));
    say(&format!("{} {}{name}\n", arguments.role, token.secret()))?;
    remark(&format!(
        "put this line into the file of `wirelab serve --access FILE`, which only you may read; its second word is the token: \
         give it to its holder, for {LOGIN} in a browser or as {TOKEN_VARIABLE} for the commands of wirelab"
    ));
    Ok(Exit::Ok)
}
