//! A certificate that the server makes for itself, and keeps, so that the exception of a browser lasts.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, date_time_ymd};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::{TlsError, chain, now_s};

/// Time for which such a certificate is valid, s: browsers refuse those that are valid for more than 398 days.
const VALID_S: i64 = 397 * DAY_S;
/// Time before its end at which another is made, s: nobody meets an expired one on the day of a lesson.
const RENEWED_BEFORE_END_S: i64 = 14 * DAY_S;
/// Time before now from which it is valid, s: clocks of a class differ.
const VALID_BEFORE_NOW_S: i64 = DAY_S;
const DAY_S: i64 = 86_400;

/// Where a self-made certificate is kept, and for which names it is.
#[derive(Debug, Clone)]
pub struct SelfSigned {
    folder: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    /// Names and addresses of the server.
    names: Vec<String>,
}

impl SelfSigned {
    /// Names a certificate in `folder`, for these names and addresses.
    pub fn new(folder: PathBuf, names: Vec<String>) -> Self {
        let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        Self { folder, certificate, key, names }
    }

    /// Returns the file of the certificate.
    pub(super) fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// Returns the file of its key.
    pub(super) fn key(&self) -> &Path {
        &self.key
    }

    /// Makes a certificate, unless there is one that can still be used.
    pub(super) fn make_if_needed(&self) -> Result<(), TlsError> {
        if self.certificate.exists() && self.key.exists() && self.still_fits()? {
            return Ok(());
        }
        let not_made = |why: String| TlsError::NotMade { folder: self.folder.clone(), why };
        let made = self.made().map_err(|error| not_made(error.to_string()))?;
        self.keep(&made).map_err(|error| not_made(error.to_string()))
    }

    /// Tells whether the certificate that is there is for all names, and for some days more.
    fn still_fits(&self) -> Result<bool, TlsError> {
        let chain = chain(&self.certificate)?;
        let Ok((_, parsed)) = X509Certificate::from_der(&chain[0]) else { return Ok(false) };
        let mut known = Vec::new();
        if let Ok(Some(alternatives)) = parsed.subject_alternative_name() {
            for name in &alternatives.value.general_names {
                match name {
                    GeneralName::DNSName(name) => known.push((*name).to_owned()),
                    GeneralName::IPAddress(bytes) => known.extend(address(bytes)),
                    _ => {}
                }
            }
        }
        let lasts = parsed.validity().not_after.timestamp() - now_s() > RENEWED_BEFORE_END_S;
        Ok(lasts && self.names.iter().all(|name| known.contains(name)))
    }

    fn made(&self) -> Result<Made, rcgen::Error> {
        let mut params = CertificateParams::new(self.names.clone())?;
        params.distinguished_name.push(DnType::CommonName, "wirelab, signed by itself");
        params.use_authority_key_identifier_extension = false;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // The library's own type for times counts from a date.
        let begin = date_time_ymd(1970, 1, 1);
        let from_1970 = |seconds: i64| begin + std::time::Duration::from_secs(seconds.unsigned_abs());
        params.not_before = from_1970(now_s() - VALID_BEFORE_NOW_S);
        params.not_after = from_1970(now_s() - VALID_BEFORE_NOW_S + VALID_S);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Made { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// Writes the key before the certificate: a crash in between leaves no certificate, and both are made again.
    fn keep(&self, made: &Made) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        remove(&self.certificate)?;
        let write = |path: &Path, mode: u32, text: &str| {
            // A file that is there would keep its mode.
            remove(path)?;
            let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write(&self.key, 0o600, &made.key)?;
        write(&self.certificate, 0o644, &made.certificate)
    }
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A certificate and its key, in PEM.
struct Made {
    certificate: String,
    key: String,
}

/// Returns the text of an address in a certificate.
fn address(bytes: &[u8]) -> Option<String> {
    let four: Result<[u8; 4], _> = bytes.try_into();
    let sixteen: Result<[u8; 16], _> = bytes.try_into();
    match (four, sixteen) {
        (Ok(four), _) => Some(std::net::Ipv4Addr::from(four).to_string()),
        (_, Ok(sixteen)) => Some(std::net::Ipv6Addr::from(sixteen).to_string()),
        (Err(_), Err(_)) => None,
    }
}
