//! HTTP/1.1 as an attacker speaks it: by hand, so that it can say what no library would.

use crate::field::STEP;
use crate::target::Streams;
use ravelin_host::BoxedStream;
use ravelin_oracle::dissect::{BodyEnd, Exchange, Message, StartLine, exchanges};
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
    /// What comes after an upgrade, where it asks for one.
    pub streams: Option<Streams>,
}

impl Request {
    /// A request without body and credentials.
    pub fn new(method: &str, target: &str, host: &str) -> Self {
        let headers = vec![("host".to_owned(), host.to_owned()), ("accept".to_owned(), "*/*".to_owned())];
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers,
            body: Vec::new(),
            streams: None,
        }
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
        let (method, target, body) = (method.clone(), target.clone(), message.body.clone());
        Some(Self { method, target, headers, body, streams: None })
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
    fn of(response: &Message) -> Option<Self> {
        let StartLine::Response { status } = response.start else { return None };
        let content_type = response.header("content-type").unwrap_or("text/plain").to_owned();
        let location = response.header("location").map(str::to_owned);
        Some(Self { status, content_type, location, body: response.body.clone() })
    }

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
    let exchange = exchange(stream, request).await?;
    exchange.response.as_ref().and_then(Answer::of).ok_or(None)
}

/// What came of a request for another protocol.
pub enum Switch {
    /// The server speaks it: the connection from there on.
    Made(BoxedStream),
    /// The server answered.
    Not(Answer),
}

/// Sends a request for another protocol.
///
/// # Errors
/// As [`ask`].
pub async fn switch(mut stream: BoxedStream, request: &Request) -> Result<Switch, Option<io::Error>> {
    let exchange = exchange(&mut stream, request).await?;
    let Some((_, already_sent)) = exchange.upgraded else {
        let answer = exchange.response.as_ref().and_then(Answer::of);
        return answer.map(Switch::Not).ok_or(None);
    };
    let (reader, writer) = tokio::io::split(stream);
    let reader = io::Cursor::new(already_sent).chain(reader);
    Ok(Switch::Made(Box::new(tokio::io::join(reader, writer))))
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    request: &Request,
) -> Result<Exchange, Option<io::Error>> {
    let sent = request.bytes();
    write(stream, &sent).await.map_err(Some)?;
    let mut bytes = Vec::new();
    loop {
        let more = grow(stream, &mut bytes).await;
        let open = matches!(more, Ok(true));
        let exchange = exchanges(&sent, &bytes).into_iter().next();
        let end = exchange.as_ref().and_then(|exchange| Some(exchange.response.as_ref()?.end));
        let whole = end == Some(BodyEnd::Complete) || !open && end == Some(BodyEnd::UntilClose);
        if let Some(exchange) = exchange.filter(|_| whole) {
            return Ok(exchange);
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

/// Sends bytes.
///
/// # Errors
/// Where the peer does not take them.
pub async fn write<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> io::Result<()> {
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
