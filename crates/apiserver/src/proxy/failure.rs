//! What went wrong on the way into the cluster, in the words of the real server (Go's `net` and
//! `crypto/tls`), since its users search for them.

use ravelin_api::Status;
use ravelin_transport::egress::EgressError;
use ravelin_transport::{HttpError, TlsError};
use std::net::SocketAddr;

/// A request into the cluster that failed before its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure(String);

impl Failure {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// What a proxy answers.
    pub(super) fn status(&self) -> Status {
        Status::service_unavailable(format!("error trying to reach service: {}", self.0))
    }

    /// A connection that could not be opened.
    pub(super) fn dialling(address: SocketAddr, egress: &str, error: EgressError) -> Self {
        Self(match error {
            EgressError::Timeout => format!("dial tcp {address}: i/o timeout"),
            EgressError::Refused(_) if egress == "direct" => {
                format!("dial tcp {address}: connect: connection refused")
            }
            EgressError::Refused(why) | EgressError::Unavailable(why) => why,
            other => other.to_string(),
        })
    }

    /// A handshake that did not succeed. `name` is what the certificate had to be for.
    pub(super) fn handshake(error: &TlsError, name: &str) -> Self {
        Self(match error {
            TlsError::PeerRefused { reason } => match unverified(reason, name) {
                Some(why) => format!("tls: failed to verify certificate: x509: {why}"),
                // What does not begin as TLS: the real server sees the end of the stream.
                None if reason.contains("corrupt message") => "EOF".to_owned(),
                None => format!("tls: {reason}"),
            },
            TlsError::PeerRefusedUs { alert } => format!("remote error: tls: {alert}"),
            TlsError::Unavailable(error) => match error.kind() {
                std::io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
                std::io::ErrorKind::ConnectionReset => "read: connection reset by peer".to_owned(),
                _ => error.to_string(),
            },
            TlsError::Timeout => "net/http: TLS handshake timeout".to_owned(),
            _ => error.to_string(),
        })
    }

    /// A request without an answer.
    pub(super) fn exchange(error: &HttpError, name: &str) -> Self {
        match error {
            HttpError::Tls(error) => Self::handshake(error, name),
            HttpError::Closed | HttpError::Truncated => Self::new("EOF"),
            HttpError::Malformed(_) => {
                Self::new("net/http: HTTP/1.x transport connection broken: malformed HTTP response")
            }
            other => Self(other.to_string()),
        }
    }
}

/// The reason for which a certificate was refused, in Go's words.
fn unverified(reason: &str, name: &str) -> Option<String> {
    let why = reason.strip_prefix("invalid peer certificate: ")?;
    Some(match why {
        // Before the rest: the names in it may be any words.
        _ if why.starts_with("certificate has common name") => why.to_owned(),
        _ if why.starts_with("UnknownIssuer") => "certificate signed by unknown authority".to_owned(),
        _ if why.contains("not valid for any names")
            || why.contains("NotValidForName") && !why.contains("Context") =>
        {
            without_names(name)
        }
        _ if why.contains("not valid for name") => for_other_names(why, name),
        _ if why.contains("expired")
            || why.starts_with("Expired")
            || why.contains("not valid yet")
            || why.starts_with("NotValidYet") =>
        {
            "certificate has expired or is not yet valid".to_owned()
        }
        _ if why.to_ascii_lowercase().contains("purpose") || why.contains("ExtendedKeyUsage") => {
            "certificate specifies an incompatible key usage".to_owned()
        }
        _ => why.to_owned(),
    })
}

fn without_names(name: &str) -> String {
    if name.parse::<std::net::IpAddr>().is_ok() {
        format!("cannot validate certificate for {name} because it doesn't contain any IP SANs")
    } else {
        format!("certificate is not valid for any names, but wanted to match {name}")
    }
}

/// rustls says `certificate not valid for name "a"; certificate is only valid for X or Y`.
fn for_other_names(why: &str, name: &str) -> String {
    let Some((_, valid)) = why.split_once("only valid for ") else { return without_names(name) };
    let is_ip = name.parse::<std::net::IpAddr>().is_ok();
    let presented: Vec<&str> = valid
        .split([',', ' '])
        .map(|part| part.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '*' && c != ']'))
        .filter(|part| !part.is_empty() && !matches!(*part, "or" | "and" | "DnsName" | "IpAddress"))
        .map(|part| part.trim_start_matches("DnsName(\"").trim_start_matches("IpAddress("))
        .filter(|part| part.parse::<std::net::IpAddr>().is_ok() == is_ip)
        .collect();
    if presented.is_empty() {
        return without_names(name);
    }
    format!("certificate is valid for {}, not {name}", presented.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_certificates_are_told_in_gos_words() {
        let refused = |reason: &str| {
            let error = TlsError::PeerRefused { reason: reason.to_owned() };
            Failure::handshake(&error, "10.0.0.1").text().to_owned()
        };
        let verify = "tls: failed to verify certificate: x509: ";
        assert_eq!(
            refused("invalid peer certificate: UnknownIssuer"),
            format!("{verify}certificate signed by unknown authority")
        );
        assert_eq!(
            refused(
                "invalid peer certificate: certificate not valid for name \"10.0.0.1\"; certificate is only valid for IpAddress(10.0.0.9)"
            ),
            format!("{verify}certificate is valid for 10.0.0.9, not 10.0.0.1")
        );
        assert_eq!(
            refused(
                "invalid peer certificate: certificate not valid for name \"10.0.0.1\"; certificate is not valid for any names (according to its subjectAltName extension)"
            ),
            format!(
                "{verify}cannot validate certificate for 10.0.0.1 because it doesn't contain any IP SANs"
            )
        );
        assert_eq!(refused("received corrupt message of type InvalidContentType"), "EOF");
    }
}
