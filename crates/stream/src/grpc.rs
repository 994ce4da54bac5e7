//! gRPC as far as a stream of messages needs it: how messages are framed in a body, and how a call's
//! end is told (gRPC over HTTP/2, `PROTOCOL-HTTP2.md`).
//!
//! Compressed messages are refused: nobody here asks for them. HTTP/2 is for the crates above.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The longest message, as `grpc-go` takes by default (`defaultServerMaxReceiveMessageSize`).
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// The flag and the length before each message.
pub const PREFIX_BYTES: usize = 5;

/// The longest text of a status that is kept.
pub const MAX_STATUS_BYTES: usize = 4 * 1024;

/// The `content-type` of requests and responses.
pub const CONTENT_TYPE: &str = "application/grpc";
/// The trailer with the status code.
pub const STATUS: &str = "grpc-status";
/// The trailer with the status text.
pub const MESSAGE: &str = "grpc-message";

/// Why a body is not a sequence of messages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrpcError {
    /// A message is longer than its reader takes.
    #[error("grpc: received message larger than max ({length} vs. {max})")]
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A message is compressed, though no compression was agreed on.
    #[error("grpc: compressed flag set with identity or empty encoding")]
    Compressed,
    /// The flag is neither 0 nor 1.
    #[error("grpc: received unexpected payload format {0}")]
    Flag(u8),
    /// The body ended within a message.
    #[error("grpc: unexpected EOF")]
    Truncated,
}

/// A message with its prefix.
pub fn frame(message: &[u8]) -> Bytes {
    framed(|out| out.put_slice(message))
}

/// A message with its prefix, written in place.
pub(crate) fn framed(write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::zeroed(PREFIX_BYTES);
    write(&mut out);
    let length = u32::try_from(out.len() - PREFIX_BYTES).expect("our own messages are short");
    out[1..PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
    out.freeze()
}

/// Takes messages out of a body that comes in pieces. It never holds more than one message and the
/// piece that was given last.
#[derive(Debug)]
pub struct Deframer {
    held: BytesMut,
    max_bytes: usize,
}

impl Default for Deframer {
    fn default() -> Self {
        Self::new(MAX_MESSAGE_BYTES)
    }
}

impl Deframer {
    /// One that takes messages of up to `max_bytes`.
    pub fn new(max_bytes: usize) -> Self {
        Self { held: BytesMut::new(), max_bytes }
    }

    /// Adds a piece. Take all messages out ([`Deframer::take`]) before the next is added.
    pub fn receive(&mut self, piece: &[u8]) {
        self.held.extend_from_slice(piece);
    }

    /// The next whole message, or `None` until more has come.
    ///
    /// # Errors
    /// As [`GrpcError`] says, as soon as the prefix shows it; nothing can be read afterwards.
    pub fn take(&mut self) -> Result<Option<Bytes>, GrpcError> {
        let Some(flag) = self.held.first() else { return Ok(None) };
        match flag {
            0 => {}
            1 => return Err(GrpcError::Compressed),
            other => return Err(GrpcError::Flag(*other)),
        }
        let Some(mut prefix) = self.held.get(1..PREFIX_BYTES) else { return Ok(None) };
        let length = prefix.get_u32() as usize;
        if length > self.max_bytes {
            return Err(GrpcError::TooLong { length, max: self.max_bytes });
        }
        if self.held.len() < PREFIX_BYTES + length {
            return Ok(None);
        }
        self.held.advance(PREFIX_BYTES);
        Ok(Some(self.held.split_to(length).freeze()))
    }

    /// Checks that the body may end here.
    ///
    /// # Errors
    /// [`GrpcError::Truncated`] within a message.
    pub fn finish(&self) -> Result<(), GrpcError> {
        if self.held.is_empty() { Ok(()) } else { Err(GrpcError::Truncated) }
    }

    /// How many bytes wait for the rest of their message.
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }
}

/// The codes of a status that are used here (`google.golang.org/grpc/codes`).
pub mod code {
    /// The call succeeded.
    pub const OK: u32 = 0;
    /// The caller gave up.
    pub const CANCELLED: u32 = 1;
    /// What a handler's plain error becomes.
    pub const UNKNOWN: u32 = 2;
    /// A message is too long.
    pub const RESOURCE_EXHAUSTED: u32 = 8;
    /// No such method.
    pub const UNIMPLEMENTED: u32 = 12;
    /// A message cannot be read.
    pub const INTERNAL: u32 = 13;
    /// Nobody can serve now.
    pub const UNAVAILABLE: u32 = 14;
    /// Who calls is not known.
    pub const UNAUTHENTICATED: u32 = 16;
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rpc error: code = {} desc = {message}", code_name(*.code))]
pub struct Status {
    /// One of [`code`], or another number that the peer sent.
    pub code: u32,
    /// Why, for people.
    pub message: String,
}

impl Status {
    /// Success.
    pub fn ok() -> Self {
        Self { code: code::OK, message: String::new() }
    }

    /// A failure.
    pub fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The text as the trailer `grpc-message` holds it: everything but printable ASCII, and `%`,
    /// is percent-encoded.
    pub fn encoded_message(&self) -> String {
        let mut out = String::new();
        for byte in self.message.bytes() {
            match byte {
                b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
                other => out.push_str(&format!("%{other:02X}")),
            }
        }
        out
    }

    /// The status that two trailers tell. One that is missing or is no number is `UNKNOWN`, as
    /// failure to decide is denial.
    pub fn from_trailers(status: Option<&str>, message: Option<&str>) -> Self {
        let code = status.and_then(|text| text.parse().ok()).unwrap_or(code::UNKNOWN);
        let message = message.unwrap_or_default();
        let cut = message.as_bytes().get(..MAX_STATUS_BYTES).unwrap_or(message.as_bytes());
        Self { code, message: decoded(cut) }
    }
}

/// Percent-decoding that leaves alone what is no escape, as the specification asks for.
fn decoded(text: &[u8]) -> String {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        let ahead = rest.as_slice();
        match (byte, digit(ahead.first()), digit(ahead.get(1))) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                rest = ahead[2..].iter();
            }
            _ => out.push(*byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The names that `grpc-go` prints.
fn code_name(code: u32) -> String {
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    let name = usize::try_from(code).ok().and_then(|index| NAMES.get(index));
    name.map_or_else(|| format!("Code({code})"), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests;
