//! What went wrong with TLS, by who is at fault.

use std::io;

/// Why there is no secure connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// We refused the peer.
    #[error("{reason}")]
    PeerRefused {
        /// The check that failed, such as `invalid peer certificate: UnknownIssuer`.
        reason: String,
    },
    /// The peer refused us.
    #[error("the peer refused the connection: {alert}")]
    PeerRefusedUs {
        /// The alert that it sent, such as `UnknownCA`.
        alert: String,
    },
    /// The network failed.
    #[error("connection failed during the TLS handshake")]
    Unavailable(#[source] io::Error),
    /// The handshake did not end in time.
    #[error("timed out during the TLS handshake")]
    Timeout,
}

impl TlsError {
    /// A short word for traces.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PeerRefused { .. } => "refused",
            Self::PeerRefusedUs { .. } => "refused by peer",
            Self::Unavailable(_) => "unavailable",
            Self::Timeout => "timeout",
        }
    }

    /// The TLS failure within another error, such as an alert that came with the first answer.
    pub(crate) fn within(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref::<rustls::Error>() {
                return Some(found.into());
            }
            // `io::Error` hides the error that it wraps behind that error's own source.
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            if let Some(found) = inner.and_then(|e| e.downcast_ref::<rustls::Error>()) {
                return Some(found.into());
            }
            cause = error.source();
        }
        None
    }
}

impl From<&rustls::Error> for TlsError {
    fn from(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::AlertReceived(alert) => Self::PeerRefusedUs { alert: format!("{alert:?}") },
            // Its own `Display` prints what is inside as code.
            rustls::Error::InvalidCertificate(rustls::CertificateError::Other(why)) => {
                Self::PeerRefused { reason: format!("invalid peer certificate: {why}") }
            }
            other => Self::PeerRefused { reason: other.to_string() },
        }
    }
}

impl From<io::Error> for TlsError {
    fn from(error: io::Error) -> Self {
        Self::within(&error).unwrap_or(Self::Unavailable(error))
    }
}
