//! The server under test inside of TLS: the real binary with a certificate that it makes for itself.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use wirelab_clients::ServerUrl;
use wirelab_clients::api::Api;
use wirelab_clients::tls::{ClientTls, Trust};

use crate::server::Binary;

/// A server that speaks HTTPS.
pub(crate) struct Secure {
    pub(crate) binary: Binary,
    folder: TempDir,
}

impl Secure {
    /// `wirelab serve --tls self-signed ARGUMENTS`, with a store in memory.
    pub(crate) fn serve(arguments: &[&str]) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let tls = folder.path().to_str().expect("its name is text");
        let own = ["--store", "memory", "--tls", "self-signed", "--tls-folder", tls];
        Self { binary: Binary::serve("127.0.0.1:0", &[&own, arguments].concat()), folder }
    }

    /// The file of the certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    /// Makes another certificate, which the server reads when it is told to.
    pub(crate) fn forget_certificate(&self) {
        fs::remove_file(self.certificate()).expect("it was made");
    }

    /// The URL of the server, whoever's certificates are trusted.
    pub(crate) fn url_trusting(&self, trust: Trust) -> ServerUrl {
        let tls = ClientTls::new(trust).expect("the certificates can be read");
        let url: ServerUrl =
            format!("https://{}", self.binary.authority).parse().expect("an authority makes a URL");
        url.secured_by(tls)
    }

    /// The URL of the server, whose certificate is trusted.
    pub(crate) fn url(&self) -> ServerUrl {
        self.url_trusting(Trust::File(self.certificate()))
    }

    pub(crate) fn api(&self) -> Api {
        Api::new(self.url())
    }
}
