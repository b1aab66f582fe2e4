//! TLS of the server: its certificate, checked when it is read, and the handshake (TLS 1.2 and 1.3).
//!
//! `wirelab serve` reads the certificate at its start and again at SIGHUP; `connection` asks for the configuration of each
//! new connection, so that open streams keep theirs. Nothing here touches a socket.

mod self_signed;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ProducesTickets;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

pub use self::self_signed::SelfSigned;

/// Protocols by ALPN (RFC 7301), the better one first: a client that offers none of them speaks HTTP/1.1.
const PROTOCOLS: [&[u8]; 2] = [HTTP_2, b"http/1.1"];
/// Name of HTTP/2 in ALPN (RFC 9113 §3.2).
pub(crate) const HTTP_2: &[u8] = b"h2";

/// Where the certificate of a server comes from.
#[derive(Debug, Clone)]
pub enum CertificateSource {
    /// Two files in PEM: the chain of certificates, the server's first, and the key of the first.
    Files {
        /// Chain of certificates.
        certificate: PathBuf,
        /// Private key.
        key: PathBuf,
    },
    /// A certificate that the server makes itself, and keeps.
    SelfSigned(SelfSigned),
}

/// What a server needs to speak TLS.
pub struct ServerTls {
    source: CertificateSource,
    /// Keys of session tickets (RFC 8446 §4.6.1), changed by the library every six hours. They outlive a new certificate:
    /// clients resume their sessions.
    tickets: Arc<dyn ProducesTickets>,
    current: RwLock<Current>,
}

/// A certificate that is in use.
struct Current {
    config: Arc<ServerConfig>,
    fingerprint: String,
}

/// Reason why a server cannot speak TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or has nothing of its kind.
    #[error("cannot read the {what} from {}: {why}; give a file in PEM that this user may read", path.display())]
    Unreadable {
        /// What the file should hold.
        what: &'static str,
        /// File.
        path: PathBuf,
        /// Reason.
        why: String,
    },
    /// The certificate is not valid now.
    #[error("the certificate in {} {when}; give one that is valid now", path.display())]
    NotValidNow {
        /// File.
        path: PathBuf,
        /// Since when or until when it was not or is not.
        when: String,
    },
    /// The key is not that of the certificate.
    #[error("the key in {} is not that of the certificate in {}; give the key that belongs to it", key.display(), certificate.display())]
    OtherKey {
        /// File with the certificate.
        certificate: PathBuf,
        /// File with the key.
        key: PathBuf,
    },
    /// The library refuses the certificate or the key.
    #[error("the certificate in {} cannot be used: {why}; give another", path.display())]
    Unusable {
        /// File.
        path: PathBuf,
        /// Reason, in the words of the library.
        why: String,
    },
    /// A certificate cannot be made or kept.
    #[error("cannot make a certificate in {}: {why}; give another folder with --tls-folder, or a certificate with --tls-cert and --tls-key", folder.display())]
    NotMade {
        /// Folder of the certificate.
        folder: PathBuf,
        /// Reason.
        why: String,
    },
}

impl ServerTls {
    /// Reads the certificate, or makes it.
    pub fn new(source: CertificateSource) -> Result<Arc<Self>, TlsError> {
        let tickets = ring::Ticketer::new()
            .map_err(|error| TlsError::Unusable { path: source.file().to_owned(), why: error.to_string() })?;
        let current = RwLock::new(Current::read(&source, tickets.clone())?);
        Ok(Arc::new(Self { source, tickets, current }))
    }

    /// Reads the certificate again, for connections that open from now on. After an error the last one stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        let current = Current::read(&self.source, self.tickets.clone())?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
        Ok(())
    }

    /// Returns the SHA-256 of the server's certificate, in pairs of hexadecimal digits, as browsers show it.
    pub fn fingerprint(&self) -> String {
        self.current.read().unwrap_or_else(PoisonError::into_inner).fingerprint.clone()
    }

    /// Returns the file with the server's certificate.
    pub fn certificate(&self) -> &Path {
        self.source.file()
    }

    /// Returns the configuration of a connection that opens.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).config.clone()
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("source", &self.source).finish_non_exhaustive()
    }
}

impl CertificateSource {
    fn file(&self) -> &Path {
        match self {
            Self::Files { certificate, .. } => certificate,
            Self::SelfSigned(made) => made.certificate(),
        }
    }
}

impl Current {
    fn read(source: &CertificateSource, tickets: Arc<dyn ProducesTickets>) -> Result<Self, TlsError> {
        let (certificate, key) = match source {
            CertificateSource::Files { certificate, key } => (certificate.as_path(), key.as_path()),
            CertificateSource::SelfSigned(made) => {
                made.make_if_needed()?;
                (made.certificate(), made.key())
            }
        };
        let chain = chain(certificate)?;
        let first = chain.first().cloned().expect("a chain that was read is not empty");
        check_time(&first, certificate)?;
        let private =
            PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable("private key", key, error))?;
        let unusable = |why: rustls::Error| match why {
            rustls::Error::InconsistentKeys(_) => {
                TlsError::OtherKey { certificate: certificate.to_owned(), key: key.to_owned() }
            }
            why => TlsError::Unusable { path: certificate.to_owned(), why: why.to_string() },
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(unusable)?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        config.ticketer = tickets;
        Ok(Self { config: Arc::new(config), fingerprint: fingerprint(&first) })
    }
}

/// Reads a chain of certificates, at least one.
fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(unreadable("certificate", path, pem::Error::NoItemsFound)),
        Err(error) => Err(unreadable("certificate", path, error)),
    }
}

fn unreadable(what: &'static str, path: &Path, error: pem::Error) -> TlsError {
    let why = match error {
        pem::Error::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            "there is no such file".to_owned()
        }
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => format!("there is no {what} in it"),
        error => error.to_string(),
    };
    TlsError::Unreadable { what, path: path.to_owned(), why }
}

/// Checks that a certificate is valid now (RFC 5280 §4.1.2.5).
fn check_time(certificate: &CertificateDer<'_>, path: &Path) -> Result<(), TlsError> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| TlsError::Unusable { path: path.to_owned(), why: error.to_string() })?;
    let validity = parsed.validity();
    let when = match now_s() {
        now if now > validity.not_after.timestamp() => format!("expired on {}", validity.not_after),
        now if now < validity.not_before.timestamp() => {
            format!("is not valid before {}", validity.not_before)
        }
        _ => return Ok(()),
    };
    Err(TlsError::NotValidNow { path: path.to_owned(), when })
}

/// Returns the seconds since 1970.
fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn fingerprint(certificate: &[u8]) -> String {
    let pairs: Vec<_> = Sha256::digest(certificate).iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

#[cfg(test)]
mod tests;
