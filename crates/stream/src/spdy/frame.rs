//! Frames of SPDY/3.1 (draft-mbelshe-httpbis-spdy-00, section 2.2 and 2.6).

use super::header_block::{Deflater, Headers, Inflater};
use bytes::{BufMut, BytesMut};

/// The most bytes of a control frame after its head. Data frames may have any length: their bytes
/// are passed on as they come.
pub const MAX_CONTROL_FRAME_BYTES: usize = 16 * 1024;

const HEAD_BYTES: usize = 8;
const VERSION: u16 = 3;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const SETTINGS: u16 = 4;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const WINDOW_UPDATE: u16 = 9;
const FLAG_FIN: u8 = 1;
const FLAG_UNIDIRECTIONAL: u8 = 2;
const STREAM_ID: u32 = 0x7fff_ffff;

/// The numbers of `RST_STREAM` that are sent here.
pub mod status {
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: u32 = 1;
    /// A frame for a stream that is not open.
    pub const INVALID_STREAM: u32 = 2;
    /// There are too many streams.
    pub const REFUSED_STREAM: u32 = 3;
    /// The stream is no longer needed.
    pub const CANCEL: u32 = 5;
}

/// Why a connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpdyError {
    /// Another version than 3.
    #[error("a control frame of version {0}")]
    Version(u16),
    /// Longer than [`MAX_CONTROL_FRAME_BYTES`].
    #[error("a control frame of {0} bytes")]
    FrameTooLong(usize),
    /// A frame that is not what its type says.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// A header block that does not continue the connection's zlib context.
    #[error("a header block that cannot be inflated")]
    Compression,
    /// More headers, or longer ones, than a stream may have.
    #[error("too many or too long headers")]
    HeadersTooLong,
}

/// What a decoder found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// The peer opens a stream.
    SynStream {
        /// The stream.
        stream: u32,
        /// What it is for.
        headers: Headers,
        /// The peer will send nothing on it.
        fin: bool,
        /// The peer will take nothing on it.
        unidirectional: bool,
    },
    /// The peer takes a stream that we opened.
    SynReply {
        /// The stream.
        stream: u32,
        /// The peer will send nothing on it.
        fin: bool,
    },
    /// The peer cuts a stream off.
    Reset {
        /// The stream.
        stream: u32,
        /// Why.
        status: u32,
    },
    /// More headers of a stream, which mean nothing to Kubernetes.
    Headers {
        /// The stream.
        stream: u32,
        /// The peer will send no more on it.
        fin: bool,
    },
    /// A ping, or the answer to one.
    Ping(u32),
    /// The peer takes no new streams.
    GoAway,
    /// A frame that changes nothing here: settings, window updates, types that are not known.
    Nothing,
    /// A part of a stream's bytes.
    Data {
        /// The stream.
        stream: u32,
        /// The bytes, none only at the end of a frame.
        bytes: &'a [u8],
        /// The peer will send no more on it.
        fin: bool,
    },
}

#[derive(Debug)]
enum State {
    Head,
    Control { kind: u16, flags: u8, length: usize },
    Data { stream: u32, fin: bool, left: usize },
}

/// Takes frames apart as their bytes come.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// The part of a head or of a control frame that has come; never more than
    /// [`MAX_CONTROL_FRAME_BYTES`], and never allocated before the bytes are there.
    partial: Vec<u8>,
    inflater: Inflater,
}

impl Decoder {
    /// At a connection's beginning.
    pub fn new() -> Self {
        Self { state: State::Head, partial: Vec::new(), inflater: Inflater::new() }
    }

    /// The next item within these bytes, of which it takes what it needs; `None` when it took all
    /// and needs more.
    ///
    /// # Errors
    /// Where the peer broke the protocol; the decoder is of no use then.
    pub fn decode<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Item<'a>>, SpdyError> {
        loop {
            match self.state {
                State::Head => {
                    if !self.gather(input, HEAD_BYTES) {
                        return Ok(None);
                    }
                    self.head()?;
                }
                State::Control { kind, flags, length } => {
                    if !self.gather(input, length) {
                        return Ok(None);
                    }
                    let body = std::mem::take(&mut self.partial);
                    self.state = State::Head;
                    return self.control(kind, flags, &body).map(Some);
                }
                State::Data { stream, fin, left } => {
                    if left > 0 && input.is_empty() {
                        return Ok(None);
                    }
                    let (bytes, rest) = input.split_at(left.min(input.len()));
                    *input = rest;
                    let left = left - bytes.len();
                    self.state = if left == 0 { State::Head } else { State::Data { stream, fin, left } };
                    return Ok(Some(Item::Data { stream, bytes, fin: fin && left == 0 }));
                }
            }
        }
    }

    /// Takes what is missing to `length` bytes; are they there?
    fn gather(&mut self, input: &mut &[u8], length: usize) -> bool {
        let (bytes, rest) = input.split_at((length - self.partial.len()).min(input.len()));
        self.partial.extend_from_slice(bytes);
        *input = rest;
        self.partial.len() == length
    }

    fn head(&mut self) -> Result<(), SpdyError> {
        let first = number(&self.partial, 0);
        let second = number(&self.partial, 4);
        self.partial.clear();
        let (flags, length) = ((second >> 24) as u8, (second & 0x00ff_ffff) as usize);
        if first & !STREAM_ID == 0 {
            if first == 0 {
                return Err(SpdyError::Malformed("data on stream 0"));
            }
            self.state = State::Data { stream: first, fin: flags & FLAG_FIN != 0, left: length };
            return Ok(());
        }
        let version = ((first & STREAM_ID) >> 16) as u16;
        if version != VERSION {
            return Err(SpdyError::Version(version));
        }
        if length > MAX_CONTROL_FRAME_BYTES {
            return Err(SpdyError::FrameTooLong(length));
        }
        self.state = State::Control { kind: first as u16, flags, length };
        Ok(())
    }

    fn control(&mut self, kind: u16, flags: u8, body: &[u8]) -> Result<Item<'static>, SpdyError> {
        let fin = flags & FLAG_FIN != 0;
        match kind {
            SYN_STREAM => {
                let stream = stream_id(body, 10, "SYN_STREAM")?;
                let headers = self.inflater.inflate(&body[10..])?;
                let unidirectional = flags & FLAG_UNIDIRECTIONAL != 0;
                Ok(Item::SynStream { stream, headers, fin, unidirectional })
            }
            SYN_REPLY => {
                let stream = stream_id(body, 4, "SYN_REPLY")?;
                self.inflater.inflate(&body[4..])?;
                Ok(Item::SynReply { stream, fin })
            }
            HEADERS => {
                let stream = stream_id(body, 4, "HEADERS")?;
                self.inflater.inflate(&body[4..])?;
                Ok(Item::Headers { stream, fin })
            }
            RST_STREAM if body.len() == 8 => {
                let stream = stream_id(body, 8, "RST_STREAM")?;
                Ok(Item::Reset { stream, status: number(body, 4) })
            }
            RST_STREAM => Err(SpdyError::Malformed("RST_STREAM")),
            PING if body.len() == 4 => Ok(Item::Ping(number(body, 0))),
            PING => Err(SpdyError::Malformed("PING")),
            GOAWAY if body.len() == 8 => Ok(Item::GoAway),
            GOAWAY => Err(SpdyError::Malformed("GOAWAY")),
            SETTINGS if !settings_fit(body) => Err(SpdyError::Malformed("SETTINGS")),
            WINDOW_UPDATE if body.len() != 8 => Err(SpdyError::Malformed("WINDOW_UPDATE")),
            _ => Ok(Item::Nothing),
        }
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

/// CVE-2026-35469: the number of settings is the peer's word, and must agree with the frame's
/// length before anything is made of it.
fn settings_fit(body: &[u8]) -> bool {
    body.len() >= 4 && u64::from(number(body, 0)) * 8 == body.len() as u64 - 4
}

fn stream_id(body: &[u8], at_least: usize, frame: &'static str) -> Result<u32, SpdyError> {
    if body.len() < at_least {
        return Err(SpdyError::Malformed(frame));
    }
    match number(body, 0) & STREAM_ID {
        0 => Err(SpdyError::Malformed(frame)),
        stream => Ok(stream),
    }
}

/// The number at this place; the caller knows that it is there.
fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Writes frames.
#[derive(Debug, Default)]
pub struct Encoder {
    deflater: Deflater,
}

impl Encoder {
    /// Opens a stream.
    pub fn syn_stream(&mut self, out: &mut BytesMut, stream: u32, headers: &[(&str, &str)]) {
        let block = self.deflater.deflate(headers);
        control(out, SYN_STREAM, block.len() + 10);
        out.put_u32(stream);
        out.put_u32(0);
        out.put_u16(0);
        out.extend_from_slice(&block);
    }

    /// Takes a stream.
    pub fn syn_reply(&mut self, out: &mut BytesMut, stream: u32) {
        let block = self.deflater.deflate(&[]);
        control(out, SYN_REPLY, block.len() + 4);
        out.put_u32(stream);
        out.extend_from_slice(&block);
    }
}

/// Cuts a stream off.
pub(super) fn rst_stream(out: &mut BytesMut, stream: u32, status: u32) {
    control(out, RST_STREAM, 8);
    out.put_u32(stream);
    out.put_u32(status);
}

/// A ping, or the answer to one.
pub(super) fn ping(out: &mut BytesMut, id: u32) {
    control(out, PING, 4);
    out.put_u32(id);
}

/// Takes no new streams after `last`.
pub(super) fn go_away(out: &mut BytesMut, last: u32, status: u32) {
    control(out, GOAWAY, 8);
    out.put_u32(last);
    out.put_u32(status);
}

/// A stream's bytes, at most 2^24 - 1.
pub(super) fn data(out: &mut BytesMut, stream: u32, bytes: &[u8], fin: bool) {
    out.put_u32(stream);
    out.put_u32(u32::from(fin) << 24 | bytes.len() as u32);
    out.extend_from_slice(bytes);
}

fn control(out: &mut BytesMut, kind: u16, length: usize) {
    out.put_u16(0x8000 | VERSION);
    out.put_u16(kind);
    out.put_u32(length as u32);
}
