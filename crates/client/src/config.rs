//! Whom a client talks to, and as whom.

use crate::ClientError;
use http::HeaderValue;
use ravelin_host::Disk;
use ravelin_pki::{Identity, ServerTrust};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

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
    File(String),
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Fixed(_) => f.write_str("TokenSource(hidden)"),
            Source::File(name) => write!(f, "TokenSource({name})"),
        }
    }
}

impl TokenSource {
    /// This token.
    pub fn fixed(token: impl Into<String>) -> Self {
        Self(Source::Fixed(token.into()))
    }

    /// The content of a file of the client's computer, read for each request, so that a token
    /// that was renewed is used at once.
    pub fn file(name: impl Into<String>) -> Self {
        Self(Source::File(name.into()))
    }

    /// The token as it is now.
    ///
    /// # Errors
    /// Where its file is missing or holds no token.
    pub fn reveal(&self, disk: &dyn Disk) -> Result<String, ClientError> {
        let token = match &self.0 {
            Source::Fixed(token) => token.clone(),
            Source::File(name) => {
                let content = disk.read(name).ok_or(ClientError::Credential("there is no token file"))?;
                String::from_utf8(content)
                    .map_err(|_| ClientError::Credential("the token file is not text"))?
            }
        };
        match token.trim() {
            "" => Err(ClientError::Credential("the token is empty")),
            token => Ok(token.to_owned()),
        }
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
