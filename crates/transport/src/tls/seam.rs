//! The host's clock and key log in the shapes that rustls asks for.

use ravelin_host::{HostRef, SessionSecret};
use rustls::time_provider::TimeProvider;
use rustls::{CommonState, KeyLog};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The wall clock that certificates are judged by.
pub(crate) fn host_time(host: &HostRef) -> Arc<dyn TimeProvider> {
    Arc::new(Seam(Arc::clone(host)))
}

/// Hands every session's secrets to the host.
pub(crate) fn key_log(host: &HostRef) -> Arc<dyn KeyLog> {
    Arc::new(Seam(Arc::clone(host)))
}

/// The certificates that the peer presented.
pub(crate) fn chain_of(state: &CommonState) -> Vec<CertificateDer<'static>> {
    state
        .peer_certificates()
        .map(|chain| chain.iter().map(|der| der.clone().into_owned()).collect())
        .unwrap_or_default()
}

struct Seam(HostRef);

impl fmt::Debug for Seam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seam({})", self.0.name())
    }
}

impl TimeProvider for Seam {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

impl KeyLog for Seam {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        self.0.session_secret(SessionSecret::Tls {
            label: label.to_owned(),
            client_random: client_random.to_vec(),
            secret: secret.to_vec(),
        });
    }
}
