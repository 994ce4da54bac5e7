//! HTTP/1.1 as an attacker speaks it: by hand, so that it can say what no library would.

use crate::field::STEP;
use ravelin_oracle::dissect::{BodyEnd, Message, StartLine, exchanges};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// The longest message that an attacker reads.
const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// A request to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without body and credentials.
    pub fn new(method: &str, target: &str, host: &str) -> Self {
        let headers = vec![("host".to_owned(), host.to_owned()), ("accept".to_owned(), "*/*".to_owned())];
        Self { method: method.to_owned(), target: target.to_owned(), headers, body: Vec::new() }
    }

    /// The same with a bearer token.
    pub fn with_token(mut self, token: Option<&str>) -> Self {
        if let Some(token) = token {
            self.headers.push(("authorization".to_owned(), format!("Bearer {token}")));
        }
        self
    }

    /// The request that somebody else sent.
    pub fn of(message: &Message) -> Option<Self> {
        let StartLine::Request { method, target } = &message.start else { return None };
        let headers = message.headers.clone();
        Some(Self { method: method.clone(), target: target.clone(), headers, body: message.body.clone() })
    }

    fn bytes(&self) -> Vec<u8> {
        let first = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        encode(first, &self.headers, &self.body)
    }
}

/// A whole message with a content length.
fn encode(first: String, headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let mut head = first;
    for (name, value) in headers {
        if !matches!(name.as_str(), "content-length" | "transfer-encoding") {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// A response's status and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The content type.
    pub content_type: String,
    /// Where it sends its reader.
    pub location: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Was the request granted?
    pub fn granted(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The answer as it is sent.
    pub fn bytes(&self) -> Vec<u8> {
        let mut headers = vec![("content-type".to_owned(), self.content_type.clone())];
        headers.extend(self.location.clone().map(|to| ("location".to_owned(), to)));
        encode(format!("HTTP/1.1 {} Whatever\r\n", self.status), &headers, &self.body)
    }
}

/// Reads the next request; `None` where the peer sends no whole one.
pub async fn read_request<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Message> {
    let mut bytes = Vec::new();
    while grow(stream, &mut bytes).await.is_ok_and(|more| more) {
        let found = exchanges(&bytes, &[]).into_iter().next();
        if let Some(exchange) = found.filter(|exchange| exchange.request.end == BodyEnd::Complete) {
            return Some(exchange.request);
        }
    }
    None
}

/// Sends a request and reads its answer.
///
/// # Errors
/// What ended the stream before a whole answer, if it was more than its end or silence.
pub async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    request: &Request,
) -> Result<Answer, Option<io::Error>> {
    let sent = request.bytes();
    write(stream, &sent).await.map_err(Some)?;
    let mut bytes = Vec::new();
    loop {
        let more = grow(stream, &mut bytes).await;
        let response = exchanges(&sent, &bytes).into_iter().next().and_then(|exchange| exchange.response);
        let open = matches!(more, Ok(true));
        if let Some(response) = response {
            let whole = response.end == BodyEnd::Complete || !open && response.end == BodyEnd::UntilClose;
            if let (StartLine::Response { status }, true) = (&response.start, whole) {
                let content_type = response.header("content-type").unwrap_or("text/plain").to_owned();
                let location = response.header("location").map(str::to_owned);
                return Ok(Answer { status: *status, content_type, location, body: response.body });
            }
        }
        match more {
            Ok(true) => {}
            Ok(false) => return Err(None),
            Err(error) => return Err(Some(error)),
        }
    }
}

/// Sends an answer.
///
/// # Errors
/// Where the peer does not take it.
pub async fn answer<S: AsyncWrite + Unpin>(stream: &mut S, answer: &Answer) -> io::Result<()> {
    write(stream, &answer.bytes()).await
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> io::Result<()> {
    let writing = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    timeout(STEP, writing).await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// Reads some more; `false` at the end, and when nothing comes.
pub async fn grow<S: AsyncRead + Unpin>(stream: &mut S, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 8192];
    let Ok(read) = timeout(STEP, stream.read(&mut buffer)).await else { return Ok(false) };
    let n = read?;
    bytes.extend_from_slice(&buffer[..n]);
    Ok(n > 0 && bytes.len() < MAX_MESSAGE_BYTES)
}
