//! HTTP/1.1 messages (RFC 9112) in plaintext streams.

use super::cursor::Cursor;

const MAX_HEADERS: usize = 256;

/// The first line of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartLine {
    /// A request: method and target as sent.
    Request {
        /// `GET`.
        method: String,
        /// `/api/v1/pods?limit=5`.
        target: String,
    },
    /// A response.
    Response {
        /// 200.
        status: u16,
    },
}

/// How a message's body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    /// All of it is there.
    Complete,
    /// It lasts until the connection closes, so nobody can tell whether all of it is there.
    UntilClose,
    /// The stream ended first.
    Truncated,
}

/// One message, its body without transfer coding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its first line.
    pub start: StartLine,
    /// Names in lower case and values, in the order sent.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How the body ended.
    pub end: BodyEnd,
}

impl Message {
    /// The first header of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

/// A request and what was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The request.
    pub request: Message,
    /// The final response; `None` where none was sent.
    pub response: Option<Message>,
    /// After 101 or CONNECT: what each side sent in the other protocol, the client's first.
    pub upgraded: Option<(Vec<u8>, Vec<u8>)>,
}

/// The exchanges of a connection; reading stops at what is not HTTP/1.
pub fn exchanges(client: &[u8], server: &[u8]) -> Vec<Exchange> {
    let (mut requests, mut responses) = (Cursor(client), Cursor(server));
    let mut found = Vec::new();
    while let Some(request) = message(&mut requests, None) {
        let StartLine::Request { method, .. } = &request.start else { break };
        let response = final_response(&mut responses, method);
        let switched = response.as_ref().is_some_and(|response| switches(method, response));
        let upgraded = switched.then(|| (requests.0.to_vec(), responses.0.to_vec()));
        found.push(Exchange { request, response, upgraded });
        if switched {
            break;
        }
    }
    found
}

fn switches(method: &str, response: &Message) -> bool {
    match response.start {
        StartLine::Response { status: 101 } => true,
        StartLine::Response { status } => method == "CONNECT" && (200..300).contains(&status),
        StartLine::Request { .. } => false,
    }
}

/// The next response that is not an interim one.
fn final_response(responses: &mut Cursor<'_>, method: &str) -> Option<Message> {
    loop {
        let response = message(responses, Some(method))?;
        match response.start {
            StartLine::Response { status: 100 | 102..200 } => {}
            StartLine::Response { .. } => return Some(response),
            StartLine::Request { .. } => return None,
        }
    }
}

/// The next message; `answers` is the method that a response answers.
fn message(stream: &mut Cursor<'_>, answers: Option<&str>) -> Option<Message> {
    let mut cursor = *stream;
    let start = start_line(&line(&mut cursor)?)?;
    let mut headers = Vec::new();
    loop {
        let header = line(&mut cursor)?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':')?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        if headers.len() > MAX_HEADERS {
            return None;
        }
    }
    let mut message = Message { start, headers, body: Vec::new(), end: BodyEnd::Complete };
    message.read_body(&mut cursor, answers);
    *stream = cursor;
    Some(message)
}

impl Message {
    /// RFC 9112 section 6.3, in its order.
    fn read_body(&mut self, cursor: &mut Cursor<'_>, answers: Option<&str>) {
        let bodyless = match self.start {
            StartLine::Response { status: 100..200 | 204 | 304 } => true,
            StartLine::Response { status } => {
                answers == Some("HEAD") || answers == Some("CONNECT") && (200..300).contains(&status)
            }
            StartLine::Request { .. } => false,
        };
        if bodyless {
            return;
        }
        let chunked = self
            .header("transfer-encoding")
            .is_some_and(|coding| coding.to_ascii_lowercase().ends_with("chunked"));
        if chunked {
            let whole = chunks(cursor, &mut self.body).is_some();
            self.end = if whole { BodyEnd::Complete } else { BodyEnd::Truncated };
        } else if let Some(length) = self.header("content-length") {
            // A length that is no number is as good as none: nothing after it can be trusted.
            let length = length.parse().unwrap_or(usize::MAX);
            let available = length.min(cursor.0.len());
            self.body = cursor.take(available).unwrap_or_default().to_vec();
            self.end = if available == length { BodyEnd::Complete } else { BodyEnd::Truncated };
        } else if matches!(self.start, StartLine::Response { .. }) {
            self.body = std::mem::take(&mut cursor.0).to_vec();
            self.end = BodyEnd::UntilClose;
        }
    }
}

/// Reads chunks until the last one; what there is of a body that ends early is kept.
fn chunks(cursor: &mut Cursor<'_>, body: &mut Vec<u8>) -> Option<()> {
    loop {
        let Some(size) = line(cursor) else {
            cursor.0 = &[];
            return None;
        };
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            break;
        }
        let available = size.min(cursor.0.len());
        body.extend_from_slice(cursor.take(available)?);
        line(cursor)?;
    }
    while !line(cursor)?.is_empty() {}
    Some(())
}

fn start_line(line: &str) -> Option<StartLine> {
    let mut words = line.splitn(3, ' ');
    let (first, second) = (words.next()?, words.next()?);
    if first.starts_with("HTTP/1.") {
        return Some(StartLine::Response { status: second.parse().ok()? });
    }
    let is_token = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    let versioned = words.next().is_some_and(|version| version.starts_with("HTTP/1."));
    (is_token && versioned)
        .then(|| StartLine::Request { method: first.to_owned(), target: second.to_owned() })
}

/// The next line without its end.
fn line(cursor: &mut Cursor<'_>) -> Option<String> {
    let end = cursor.0.iter().position(|byte| *byte == b'\n')?;
    let line = cursor.take(end + 1)?;
    let line = &line[..end];
    Some(String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipelined_exchanges_are_told_apart() {
        let client = b"HEAD /a HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiGET /c HTTP/1.1\r\n\r\n";
        let server = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n\
            Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc";
        let found = exchanges(client, server);
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].request.start, StartLine::Request { method: "HEAD".into(), target: "/a".into() });
        assert_eq!(found[0].response.as_ref().unwrap().body, b"");
        assert_eq!(
            (found[1].request.body.as_slice(), found[1].request.header("content-length")),
            (&b"hi"[..], Some("2"))
        );
        let created = found[1].response.as_ref().unwrap();
        assert_eq!((created.body.as_slice(), created.end), (&b"abcde"[..], BodyEnd::Complete));
        let last = found[2].response.as_ref().unwrap();
        assert_eq!((last.body.as_slice(), last.end), (&b"abc"[..], BodyEnd::Truncated));
    }

    #[test]
    fn a_switched_connection_gives_the_other_protocols_bytes() {
        let client = b"GET / HTTP/1.1\r\nUpgrade: x\r\n\r\nhello";
        let server = b"HTTP/1.1 101 Switching Protocols\r\n\r\nworld";
        let found = exchanges(client, server);
        assert_eq!(found[0].upgraded, Some((b"hello".to_vec(), b"world".to_vec())));
    }

    #[test]
    fn a_chunked_body_that_ends_early_is_truncated() {
        for body in ["", "5", "5\r\nab", "5\r\nabcde", "5\r\nabcde\r\n", "5\r\nabcde\r\n0\r\n", "z\r\n"] {
            let server = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
            let found = exchanges(b"GET / HTTP/1.1\r\n\r\n", server.as_bytes());
            assert_eq!(found[0].response.as_ref().unwrap().end, BodyEnd::Truncated, "{body}");
        }
    }
}
