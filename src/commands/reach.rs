//! How the commands reach a server beside its address: whom they trust by HTTPS, and the token that they show.

use std::env;

use wirelab_clients::tls::{ClientTls, Trust};
use wirelab_clients::{ServerUrl, Token};

use super::Failure;
use crate::access::TOKEN_VARIABLE;
use crate::commands::cli::TrustArguments;

/// What a command shows to servers, and whom it trusts.
#[derive(Debug)]
pub(super) struct Reach {
    /// `None`: as this machine does.
    tls: Option<ClientTls>,
    token: Option<Token>,
}

impl Reach {
    /// Reads the authorities and the token.
    pub(super) fn of(trust: &TrustArguments) -> Result<Self, Failure> {
        let trust = match (&trust.ca, trust.insecure) {
            (Some(file), _) => Some(Trust::File(file.clone())),
            (None, true) => Some(Trust::Anything),
            (None, false) => None,
        };
        let tls = trust.map(ClientTls::new).transpose().map_err(Failure::usage)?;
        let token = match env::var(TOKEN_VARIABLE) {
            Ok(text) => Some(
                Token::new(&text)
                    .map_err(|error| Failure::usage(format!("the variable {TOKEN_VARIABLE}: {error}")))?,
            ),
            Err(env::VarError::NotPresent) => None,
            Err(env::VarError::NotUnicode(_)) => {
                return Err(Failure::usage(format!(
                    "the variable {TOKEN_VARIABLE} is no text; set it again"
                )));
            }
        };
        Ok(Self { tls, token })
    }

    /// Returns the server as this command reaches it.
    pub(super) fn to(&self, server: ServerUrl) -> Result<ServerUrl, Failure> {
        let server = match (&self.tls, server.tls()) {
            (None, _) => server,
            (Some(tls), Some(_)) => server.secured_by(tls.clone()),
            (Some(_), None) => {
                return Err(Failure::usage(format!(
                    "--ca and --insecure are about https://, and {server} is not; leave them out, or write https://"
                )));
            }
        };
        Ok(match &self.token {
            Some(token) => server.with_token(token.clone()),
            None => server,
        })
    }

    /// Tells whether anything is said about trust.
    pub(super) fn says_whom_to_trust(&self) -> bool {
        self.tls.is_some()
    }
}
