//! Why a stream, or the connection under it, ended.

use ravelin_stream::Violation;
use std::io;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Violation(#[from] Violation),
    /// The connection ended before the stream did.
    #[error("the connection ended before the stream")]
    Lost,
    /// The peer cut the stream off.
    #[error("the peer cut the stream off")]
    Reset,
    /// The network failed.
    #[error("the connection failed: {0}")]
    Network(String),
    /// The peer gave no sign of life.
    #[error("the peer does not answer pings")]
    Silent,
    /// Nothing passed for too long.
    #[error("the connection was idle for too long")]
    Idle,
    /// The peer does not take the stream.
    #[error("the peer refused the stream")]
    Refused,
    /// The peer did not take the stream in time.
    #[error("timed out waiting for the peer to take the stream")]
    Unanswered,
    /// The client did not open the streams that it asked for.
    #[error("timed out waiting for client to create streams")]
    MissingStreams,
    /// No such protocol.
    #[error("unknown stream protocol")]
    Protocol,
    /// What the peer sent is longer than allowed.
    #[error("the peer sent more than {0} bytes")]
    TooLong(usize),
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match &error {
            StreamError::Silent | StreamError::Idle | StreamError::Unanswered => io::ErrorKind::TimedOut,
            StreamError::Violation(_) | StreamError::TooLong(_) => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::ConnectionReset,
        };
        Self::new(kind, error)
    }
}
