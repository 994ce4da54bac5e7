//! PEM of certificates and requests (RFC 7468).

use base64::Engine;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::fmt::Write;

/// Writes one PEM section, with lines of 64 characters.
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|&b| char::from(b)));
        pem.push('\n');
    }
    writeln!(pem, "-----END {label}-----").expect("writing to a string succeeds");
    pem
}

/// Writes certificates as a PEM bundle.
pub fn certificates_to_pem(chain: &[CertificateDer<'_>]) -> String {
    chain.iter().map(|der| encode("CERTIFICATE", der)).collect()
}

/// Reads every certificate of a PEM bundle, or `None` where the bundle is damaged.
pub(crate) fn certificates(pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().ok()
}
