//! TLS of the clients: whom they trust, and whether they resume sessions.
//!
//! [`ServerUrl`](crate::ServerUrl) carries it, so whoever knows a server knows how to speak to it. The harness's
//! publisher does the handshake itself, on a blocking socket.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme,
    WantsVerifier,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::HttpVersion;

/// Name of HTTP/2 in ALPN (RFC 9113 §3.2).
const HTTP_2: &[u8] = b"h2";
/// Sessions that one client keeps: it speaks to one server, perhaps by two names.
const SESSIONS_MAX: usize = 2;

/// Certificates that a client trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Those of this machine's authorities.
    Machine,
    /// Those of the authorities in this file (PEM), and no others.
    File(PathBuf),
    /// Every certificate, whoever shows it: the server may be another one.
    Anything,
}

/// Whether a connection resumes the TLS session of an earlier one (RFC 8446 §2.2): no certificate is sent or checked then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sessions {
    /// Each client resumes its own sessions, as browsers do.
    Resumed,
    /// Every connection makes the whole handshake.
    Anew,
}

/// How a client speaks TLS.
#[derive(Clone)]
pub struct ClientTls {
    trust: Arc<Trust>,
    sessions: Sessions,
    config: Arc<ClientConfig>,
}

/// Error of a file of authorities that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read authorities from {}: {why}; give a file in PEM with at least one certificate", path.display())]
pub struct InvalidAuthorities {
    path: PathBuf,
    why: String,
}

/// What this machine trusts, read once.
static MACHINE: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    // What cannot be read is not trusted; a server that it would have vouched for is refused by name.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    trusting(roots)
});

/// Reason why there is no connection.
#[derive(Debug)]
pub(crate) enum NotConnected {
    /// It may pass by itself.
    Passing(io::Error),
    /// The server cannot be trusted, or speaks another protocol: it would be the same again.
    Mistrusted(String),
}

impl From<io::Error> for NotConnected {
    fn from(error: io::Error) -> Self {
        match mistrust(&error) {
            Some(why) => Self::Mistrusted(why),
            None => Self::Passing(error),
        }
    }
}

impl ClientTls {
    /// Trusts `trust`, and resumes sessions.
    pub fn new(trust: Trust) -> Result<Self, InvalidAuthorities> {
        let config = match &trust {
            Trust::Machine => return Ok(Self::machine()),
            Trust::File(path) => trusting(authorities(path)?),
            Trust::Anything => {
                let anybody = Arc::new(Anybody(ring::default_provider()));
                let config = versions().dangerous().with_custom_certificate_verifier(anybody);
                Arc::new(config.with_no_client_auth())
            }
        };
        Ok(Self { trust: Arc::new(trust), sessions: Sessions::Resumed, config })
    }

    /// Trusts what this machine trusts, and resumes sessions.
    pub fn machine() -> Self {
        Self { trust: Arc::new(Trust::Machine), sessions: Sessions::Resumed, config: MACHINE.clone() }
    }

    /// The same with other sessions.
    pub fn with_sessions(self, sessions: Sessions) -> Self {
        Self { sessions, ..self }
    }

    /// Returns which certificates are trusted.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Returns a place for the sessions of one client.
    pub(crate) fn own_sessions(&self) -> Resumption {
        match self.sessions {
            Sessions::Resumed => Resumption::in_memory_sessions(SESSIONS_MAX),
            Sessions::Anew => Resumption::disabled(),
        }
    }

    /// Does the handshake with the server `authority` on a connected socket, for this version of HTTP.
    pub(crate) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        authority: &str,
        http: HttpVersion,
        sessions: Resumption,
        socket: S,
    ) -> Result<TlsStream<S>, NotConnected> {
        let connector = TlsConnector::from(self.config(http, sessions));
        let stream = connector.connect(server_name(authority)?, socket).await?;
        if http == HttpVersion::Http2 && stream.get_ref().1.alpn_protocol() != Some(HTTP_2) {
            let why = "it does not speak HTTP/2 by HTTPS; ask over HTTP/1.1".to_owned();
            return Err(NotConnected::Mistrusted(why));
        }
        Ok(stream)
    }

    /// Returns the configuration of a connection that offers this version of HTTP (ALPN, RFC 7301).
    pub(crate) fn config(&self, http: HttpVersion, sessions: Resumption) -> Arc<ClientConfig> {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = sessions;
        config.alpn_protocols = match http {
            HttpVersion::Http1 => vec![b"http/1.1".to_vec()],
            HttpVersion::Http2 => vec![HTTP_2.to_vec()],
        };
        Arc::new(config)
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trust, sessions, config: _ } = self;
        f.debug_struct("ClientTls").field("trust", trust).field("sessions", sessions).finish_non_exhaustive()
    }
}

impl PartialEq for ClientTls {
    fn eq(&self, other: &Self) -> bool {
        // The configuration follows from them.
        self.trust == other.trust && self.sessions == other.sessions
    }
}

impl Eq for ClientTls {}

fn versions() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has the suites of both versions")
}

fn trusting(roots: RootCertStore) -> Arc<ClientConfig> {
    Arc::new(versions().with_root_certificates(roots).with_no_client_auth())
}

fn authorities(path: &Path) -> Result<RootCertStore, InvalidAuthorities> {
    let invalid = |why: String| InvalidAuthorities { path: path.to_owned(), why };
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut roots = RootCertStore::empty();
    for certificate in read.map_err(|error| invalid(error.to_string()))? {
        roots.add(certificate).map_err(|error| invalid(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(invalid("there is no certificate in it".to_owned()));
    }
    Ok(roots)
}

/// Returns the name that a server's certificate must be for.
pub(crate) fn server_name(authority: &str) -> io::Result<ServerName<'static>> {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// Tells whether a handshake failed for a reason that will not pass, and says which: the certificate is not trusted, or
/// there is no TLS.
pub(crate) fn mistrust(error: &io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(why) => Some(format!(
            "its certificate is not trusted ({why}); name its authority with --ca FILE, or trust any certificate with \
             --insecure"
        )),
        rustls::Error::InvalidMessage(_) => {
            Some("what answers does not speak TLS; write its address with http://".to_owned())
        }
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            Some("it does not speak this version of HTTP by HTTPS; ask over the other one".to_owned())
        }
        rustls::Error::AlertReceived(alert) => {
            Some(format!("it ended the TLS handshake ({alert:?}); if it speaks no TLS, write http://"))
        }
        _ => None,
    }
}

/// Trusts any certificate. The other side must still have the key of the one that it shows.
#[derive(Debug)]
struct Anybody(CryptoProvider);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
