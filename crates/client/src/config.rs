//! Whom a client talks to, and as whom.

use crate::ClientError;
use http::HeaderValue;
use ravelin_host::Disk;
use ravelin_pki::{Identity, ServerTrust};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A token that was read from a file is used for so long: a minute, less ten seconds
/// (`NewCachedFileTokenSource` of client-go's transport/token_source.go).
const TOKEN_USE: Duration = Duration::from_secs(50);

/// What a client needs to know.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Where the apiserver is.
    pub server: SocketAddr,
    /// The DNS name or address that its certificate must be for.
    pub server_name: String,
    /// How its certificate is judged.
    pub trust: ServerTrust,
    /// What the client proves itself with.
    pub credential: Credential,
    /// How long one request may take, connecting included. A watch only has to start in this time.
    pub request_timeout: Duration,
}

/// What a client proves itself with.
#[derive(Clone)]
pub enum Credential {
    /// A client certificate.
    Certificate(Identity),
    /// A bearer token.
    Token(TokenSource),
    /// Nothing.
    Anonymous,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(identity) => f.debug_tuple("Certificate").field(identity).finish(),
            Self::Token(source) => f.debug_tuple("Token").field(source).finish(),
            Self::Anonymous => f.write_str("Anonymous"),
        }
    }
}

/// Where a bearer token comes from.
#[derive(Clone)]
pub struct TokenSource(Source);

#[derive(Clone)]
enum Source {
    Fixed(String),
    File(Arc<TokenFile>),
    Renewed(Arc<Renewed>),
}

/// A token that its owner renews.
struct Renewed {
    token: Mutex<(Instant, String)>,
    refused: Notify,
}

/// The owner's end of a token that is renewed.
#[derive(Clone)]
pub struct TokenRenewal(Arc<Renewed>);

impl Renewed {
    fn token(&self) -> MutexGuard<'_, (Instant, String)> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenRenewal {
    /// From now on this is the token.
    pub fn set(&self, token: impl Into<String>) {
        *self.0.token() = (Instant::now(), token.into());
    }

    /// Waits until an apiserver did not know the token that was last set.
    pub async fn refused(&self) {
        self.0.refused.notified().await;
    }
}

/// A file, and the token that was last read from it.
struct TokenFile {
    name: String,
    last: Mutex<Option<(Instant, String)>>,
}

impl TokenFile {
    fn last(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token: the last one for a while, and also where the file cannot be read any more.
    fn token(&self, disk: &dyn Disk) -> Result<String, ClientError> {
        let mut last = self.last();
        if let Some((_, token)) = last.as_ref().filter(|(read, _)| read.elapsed() < TOKEN_USE) {
            return Ok(token.clone());
        }
        match (self.read(disk), last.as_ref()) {
            (Ok(token), _) => {
                *last = Some((Instant::now(), token.clone()));
                Ok(token)
            }
            (Err(_), Some((_, token))) => Ok(token.clone()),
            (Err(error), None) => Err(error),
        }
    }

    fn read(&self, disk: &dyn Disk) -> Result<String, ClientError> {
        let content = disk.read(&self.name).ok_or(ClientError::Credential("there is no token file"))?;
        let text = String::from_utf8(content);
        let text = text.map_err(|_| ClientError::Credential("the token file is not text"))?;
        match text.trim() {
            "" => Err(ClientError::Credential("the token is empty")),
            token => Ok(token.to_owned()),
        }
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Fixed(_) | Source::Renewed(_) => f.write_str("TokenSource(hidden)"),
            Source::File(file) => write!(f, "TokenSource({})", file.name),
        }
    }
}

impl TokenSource {
    /// This token.
    pub fn fixed(token: impl Into<String>) -> Self {
        Self(Source::Fixed(token.into()))
    }

    /// The content of a file of the client's computer, read again within a minute, and after an
    /// apiserver did not know it, so that a token that was renewed is used.
    pub fn file(name: impl Into<String>) -> Self {
        Self(Source::File(Arc::new(TokenFile { name: name.into(), last: Mutex::default() })))
    }

    /// This token, until its owner sets another.
    pub fn renewed(token: impl Into<String>) -> (Self, TokenRenewal) {
        let token = Mutex::new((Instant::now(), token.into()));
        let renewed = Arc::new(Renewed { token, refused: Notify::new() });
        (Self(Source::Renewed(Arc::clone(&renewed))), TokenRenewal(renewed))
    }

    /// An apiserver did not know the token of a request that began then: one that is not newer is read
    /// again when it is next needed (`ResetTokenOlderThan`), or its owner is told.
    pub(crate) fn forget_before(&self, then: Instant) {
        match &self.0 {
            Source::Fixed(_) => {}
            Source::File(file) => {
                let mut last = file.last();
                if last.as_ref().is_some_and(|(read, _)| *read < then) {
                    *last = None;
                }
            }
            Source::Renewed(renewed) => {
                if renewed.token().0 <= then {
                    renewed.refused.notify_one();
                }
            }
        }
    }

    /// The token as it is now.
    ///
    /// # Errors
    /// Where its file is missing, or there is no token.
    pub fn reveal(&self, disk: &dyn Disk) -> Result<String, ClientError> {
        let token = match &self.0 {
            Source::Fixed(token) => token.trim().to_owned(),
            Source::File(file) => file.token(disk)?,
            Source::Renewed(renewed) => renewed.token().1.trim().to_owned(),
        };
        if token.is_empty() { Err(ClientError::Credential("the token is empty")) } else { Ok(token) }
    }

    /// The `Authorization` header; marked so that nothing prints it.
    pub(crate) fn authorization(&self, disk: &dyn Disk) -> Result<HeaderValue, ClientError> {
        let token = self.reveal(disk)?;
        let mut value = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| ClientError::Credential("the token has characters that HTTP forbids"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}
