//! HTTP/1.1 read out of plaintext that was captured.

use std::str;

const MAX_HEADERS: usize = 128;

/// The first line of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// A request's.
    Request {
        /// `GET`, `POST`, …
        method: String,
        /// The target as it was sent: path and query.
        target: String,
    },
    /// A response's.
    Response {
        /// The status code.
        status: u16,
    },
}

/// A request or response, as far as it was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its first line.
    pub start: Start,
    /// Its headers in their order, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its body, without the framing of chunks.
    pub body: Vec<u8>,
    /// Was its end captured?
    pub complete: bool,
}

impl Message {
    /// The first header of this (lower-case) name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(n, _)| n == name)?;
        str::from_utf8(value).ok()
    }
}

/// The requests in what a client sent, in order. Stops at the first byte that is no HTTP.
pub fn requests(bytes: &[u8]) -> Vec<Message> {
    messages(bytes, request_head)
}

/// The responses in what a server sent, in order. Stops at the first byte that is no HTTP.
/// Answers to HEAD are not told apart.
pub fn responses(bytes: &[u8]) -> Vec<Message> {
    messages(bytes, response_head)
}

type Head = (usize, Start, Vec<(String, Vec<u8>)>);

fn messages(mut bytes: &[u8], head: fn(&[u8]) -> Option<Head>) -> Vec<Message> {
    let mut found = Vec::new();
    while let Some((length, start, headers)) = head(bytes) {
        bytes = &bytes[length..];
        let mut message = Message { start, headers, body: Vec::new(), complete: false };
        let used = body_of(&mut message, bytes);
        bytes = &bytes[used..];
        let complete = message.complete;
        found.push(message);
        if !complete {
            break;
        }
    }
    found
}

fn request_head(bytes: &[u8]) -> Option<Head> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = request.parse(bytes).ok()? else { return None };
    let method = request.method?.to_owned();
    let target = request.path?.to_owned();
    Some((length, Start::Request { method, target }, owned(request.headers)))
}

fn response_head(bytes: &[u8]) -> Option<Head> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = response.parse(bytes).ok()? else { return None };
    let status = response.code?;
    Some((length, Start::Response { status }, owned(response.headers)))
}

fn owned(headers: &[httparse::Header<'_>]) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|h| (h.name.to_ascii_lowercase(), h.value.to_vec())).collect()
}

/// Reads the body of a message (RFC 9112 section 6.3); gives the bytes used.
fn body_of(message: &mut Message, bytes: &[u8]) -> usize {
    let chunked = message
        .header("transfer-encoding")
        .is_some_and(|value| value.to_ascii_lowercase().ends_with("chunked"));
    if chunked {
        return chunks_of(message, bytes);
    }
    let length = message.header("content-length").and_then(|v| v.trim().parse::<usize>().ok());
    let bodiless = match message.start {
        Start::Request { .. } => length.is_none(),
        Start::Response { status } => status < 200 || status == 204 || status == 304,
    };
    let wanted = if bodiless { 0 } else { length.unwrap_or(usize::MAX) };
    let used = wanted.min(bytes.len());
    message.body = bytes[..used].to_vec();
    message.complete = used == wanted;
    used
}

fn chunks_of(message: &mut Message, bytes: &[u8]) -> usize {
    let mut used = 0;
    while let Ok(httparse::Status::Complete((head, size))) = httparse::parse_chunk_size(&bytes[used..]) {
        used += head;
        if size == 0 {
            return used + trailers_of(message, &bytes[used..]);
        }
        let available = bytes.len() - used;
        let taken = usize::try_from(size).unwrap_or(usize::MAX).min(available);
        message.body.extend_from_slice(&bytes[used..used + taken]);
        used += taken;
        if !bytes[used..].starts_with(b"\r\n") {
            break;
        }
        used += 2;
    }
    used
}

/// Skips what follows the last chunk up to the empty line.
fn trailers_of(message: &mut Message, bytes: &[u8]) -> usize {
    let mut used = 0;
    while let Some(line) = bytes[used..].windows(2).position(|pair| pair == b"\r\n") {
        used += line + 2;
        if line == 0 {
            message.complete = true;
            break;
        }
    }
    used
}
