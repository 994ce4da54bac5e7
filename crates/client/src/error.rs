//! Why a request did not succeed, by who is at fault.

use ravelin_api::Status;
use ravelin_transport::streams::StreamError;
use ravelin_transport::{BodyError, HttpError, TlsError};
use std::{fmt, io};

/// Why a request did not succeed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// The apiserver said no.
    Status(Box<Status>),
    /// One of both refused the other.
    Tls(TlsError),
    /// The apiserver cannot be reached, or the connection failed.
    Unavailable(io::Error),
    /// No answer came in time.
    Timeout,
    /// The connection ended before the answer was whole. The apiserver may have executed the
    /// request.
    Truncated,
    /// The answer is not what the Kubernetes API sends.
    Malformed(String),
    /// The streams that an upgrade was to bring did not come, or broke.
    Streams(StreamError),
    /// The client's own credential cannot be used, so nothing was sent.
    Credential(&'static str),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => {
                write!(f, "the apiserver answered {}: {}", status.code, status.message)
            }
            Self::Tls(TlsError::PeerRefused { reason }) => {
                write!(f, "the apiserver's certificate was refused: {reason}")
            }
            Self::Tls(TlsError::PeerRefusedUs { alert }) => {
                write!(f, "the apiserver refused the TLS connection: {alert}")
            }
            Self::Tls(error) => write!(f, "no TLS connection to the apiserver: {error}"),
            Self::Unavailable(error) => write!(f, "the apiserver cannot be reached: {error}"),
            Self::Timeout => f.write_str("timed out waiting for the apiserver"),
            Self::Truncated => f.write_str("the apiserver's answer ended early"),
            Self::Malformed(what) => write!(f, "the apiserver's answer is malformed: {what}"),
            Self::Streams(error) => write!(f, "the streams failed: {error}"),
            Self::Credential(what) => write!(f, "the credential cannot be used: {what}"),
        }
    }
}

impl std::error::Error for ClientError {}

impl ClientError {
    /// The HTTP status that the apiserver answered with, where it answered.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Status(status) => Some(status.code),
            _ => None,
        }
    }
}

impl From<TlsError> for ClientError {
    fn from(error: TlsError) -> Self {
        match error {
            TlsError::Timeout => Self::Timeout,
            TlsError::Unavailable(error) => Self::Unavailable(error),
            other => Self::Tls(other),
        }
    }
}

impl From<HttpError> for ClientError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Tls(error) => error.into(),
            HttpError::Truncated => Self::Truncated,
            HttpError::Malformed(what) => Self::Malformed(what),
            HttpError::BadRequest(what) => {
                Self::Unavailable(io::Error::new(io::ErrorKind::InvalidInput, what))
            }
            HttpError::Closed => Self::Unavailable(io::ErrorKind::ConnectionAborted.into()),
            other => Self::Unavailable(io::Error::other(other)),
        }
    }
}

impl From<StreamError> for ClientError {
    fn from(error: StreamError) -> Self {
        Self::Streams(error)
    }
}

impl From<BodyError> for ClientError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Timeout => Self::Timeout,
            BodyError::TooLong(_) => Self::Malformed(error.to_string()),
            _ => Self::Truncated,
        }
    }
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Timeout,
            _ => Self::Unavailable(error),
        }
    }
}
