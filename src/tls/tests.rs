//! The certificate of a server: what is refused, what is kept, what is read again.

use std::fs;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::*;

fn self_signed(folder: &Path, names: &[&str]) -> CertificateSource {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateSource::SelfSigned(SelfSigned::new(folder.to_owned(), names))
}

/// Writes a certificate that is valid from and until these years, and its key.
fn files(folder: &TempDir, from: i32, until: i32) -> CertificateSource {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
    let key = KeyPair::generate().unwrap();
    let (cert_file, key_file) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&cert_file, params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(&key_file, key.serialize_pem()).unwrap();
    CertificateSource::Files { certificate: cert_file, key: key_file }
}

fn refused(source: CertificateSource) -> String {
    ServerTls::new(source).unwrap_err().to_string()
}

#[test]
fn a_self_made_certificate_is_kept_until_a_name_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("made/tls");
    let first = ServerTls::new(self_signed(&folder, &["localhost", "127.0.0.1", "::1"])).unwrap();
    let mode = fs::metadata(folder.join("key.pem")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
    let again = ServerTls::new(self_signed(&folder, &["::1", "localhost"])).unwrap();
    assert_eq!(first.fingerprint(), again.fingerprint());
    assert_eq!(first.fingerprint().len(), 32 * 3 - 1);
    let other = ServerTls::new(self_signed(&folder, &["localhost", "lab.example"])).unwrap();
    assert_ne!(first.fingerprint(), other.fingerprint());
}

#[test]
fn a_certificate_that_is_not_valid_now_is_refused_with_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let expired = refused(files(&folder, 2001, 2002));
    assert!(expired.contains("cert.pem expired on Jan  1") && expired.contains("2002"), "{expired}");
    let early = refused(files(&folder, 2900, 2901));
    assert!(early.contains("is not valid before"), "{early}");
}

#[test]
fn a_key_of_another_certificate_and_what_is_no_pem_are_refused_by_file() {
    let folder = tempfile::tempdir().unwrap();
    let source = files(&folder, 2001, 2900);
    ServerTls::new(source.clone()).unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let own_key = fs::read_to_string(&key).unwrap();

    fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let other = refused(source.clone());
    assert!(other.contains("key.pem is not that of the certificate in"), "{other}");

    for (content, why) in [("no PEM", "there is no private key in it"), ("", "there is no private key in it")]
    {
        fs::write(&key, content).unwrap();
        let refused = refused(source.clone());
        assert!(refused.contains(why) && refused.contains("key.pem"), "{refused}");
    }
    fs::remove_file(&key).unwrap();
    assert!(refused(source.clone()).contains("there is no such file"));

    fs::write(&key, &own_key).unwrap();
    fs::write(&cert, &own_key).unwrap();
    let no_certificate = refused(source);
    assert!(no_certificate.contains("there is no certificate in it"), "{no_certificate}");
}

#[test]
fn a_certificate_is_read_again_and_the_last_one_stays_when_the_new_one_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let source = files(&folder, 2001, 2900);
    let tls = ServerTls::new(source).unwrap();
    let (first, before) = (tls.fingerprint(), tls.config());
    files(&folder, 2001, 2900);
    tls.reload().unwrap();
    let second = tls.fingerprint();
    assert_ne!(first, second);
    assert!(Arc::ptr_eq(&before.ticketer, &tls.config().ticketer), "sessions could not be resumed");
    files(&folder, 2001, 2002);
    tls.reload().unwrap_err();
    assert_eq!(tls.fingerprint(), second);
}
