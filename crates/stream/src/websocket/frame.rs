//! Frames (RFC 6455 section 5).

use bytes::{BufMut, BytesMut};

/// The longest payload of one frame (`DefaultMaxPayloadBytes` of Go's `x/net/websocket`). Payloads
/// are passed on as they come; this bounds what a peer can announce, not what is held.
pub const MAX_FRAME_BYTES: u64 = 32 * 1024 * 1024;

/// The longest payload of a control frame (RFC 6455 section 5.5).
pub const MAX_CONTROL_BYTES: usize = 125;

/// Why a WebSocket cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Reserved bits are set; no extension was negotiated.
    #[error("reserved bits")]
    ReservedBits,
    /// An opcode that is not known.
    #[error("unknown opcode {0}")]
    Opcode(u8),
    /// A control frame that is fragmented, too long, or malformed.
    #[error("malformed control frame")]
    Control,
    /// A client's frame without a mask, or a server's with one.
    #[error("wrong masking")]
    Mask,
    /// A continuation of nothing, or a new message within another.
    #[error("wrong fragmentation")]
    Fragmentation,
    /// A length that is not written as short as it can be.
    #[error("malformed length")]
    Length,
    /// A frame or message longer than allowed.
    #[error("too long: more than {0} bytes")]
    TooLong(u64),
}

/// What kind of message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text, which is UTF-8.
    Text,
    /// Bytes.
    Binary,
}

/// What kind of frame it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// The next part of a message.
    Continuation = 0,
    /// A text message, or its first part.
    Text = 1,
    /// A binary message, or its first part.
    Binary = 2,
    /// The last frame of its sender.
    Close = 8,
    /// Asks for a pong.
    Ping = 9,
    /// Answers a ping.
    Pong = 10,
}

/// What a decoder found.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// The next part of a message's bytes.
    Piece {
        /// Of which kind the message is.
        kind: Kind,
        /// The bytes, without mask. None at the end of an empty frame.
        bytes: &'a [u8],
        /// Was this the last part?
        ends: bool,
    },
    /// A ping, with what the pong must repeat.
    Ping(Vec<u8>),
    /// A pong.
    Pong,
    /// The peer's last frame: its code, if it gave one.
    Close(Option<u16>),
}

#[derive(Clone, Copy, Debug)]
struct Head {
    fin: bool,
    opcode: Opcode,
    left: u64,
    mask: Option<[u8; 4]>,
}

/// Takes frames apart as their bytes come.
#[derive(Debug)]
pub struct Decoder {
    /// Must frames be masked (they come from a client)?
    masked: bool,
    /// The part of a frame's head that has come, at most 14 bytes.
    partial: Vec<u8>,
    head: Option<Head>,
    control: Vec<u8>,
    /// The message that is under way.
    message: Option<Kind>,
}

impl Decoder {
    /// For what a server receives: frames with masks.
    pub fn from_client() -> Self {
        Self { masked: true, partial: Vec::new(), head: None, control: Vec::new(), message: None }
    }

    /// For what a client receives: frames without masks.
    pub fn from_server() -> Self {
        Self { masked: false, ..Self::from_client() }
    }

    /// The next item within these bytes, of which it takes what it needs (taking masks off in
    /// place); `None` when it took all and needs more.
    ///
    /// # Errors
    /// Where the peer broke the protocol; the decoder is of no use then.
    pub fn decode<'a>(&mut self, input: &mut &'a mut [u8]) -> Result<Option<Item<'a>>, FrameError> {
        let Some(mut head) = self.head.take() else {
            if !self.gather_head(input)? {
                return Ok(None);
            }
            return self.decode(input);
        };
        let control = head.opcode as u8 >= 8;
        if head.left > 0 && input.is_empty() {
            self.head = Some(head);
            return Ok(None);
        }
        let length = input.len().min(usize::try_from(head.left).unwrap_or(usize::MAX));
        let (bytes, rest) = std::mem::take(input).split_at_mut(length);
        *input = rest;
        head.left -= length as u64;
        if let Some(mask) = &mut head.mask {
            unmask(mask, bytes);
        }
        let whole = head.left == 0;
        if control {
            self.control.extend_from_slice(bytes);
            if !whole {
                self.head = Some(head);
                return Ok(None);
            }
            let payload = std::mem::take(&mut self.control);
            return control_item(head.opcode, payload).map(Some);
        }
        let kind = self.message.unwrap_or(Kind::Binary);
        let ends = whole && head.fin;
        if ends {
            self.message = None;
        }
        if !whole {
            self.head = Some(head);
        }
        Ok(Some(Item::Piece { kind, bytes, ends }))
    }

    /// Takes bytes until a frame's head is whole; is it?
    fn gather_head(&mut self, input: &mut &mut [u8]) -> Result<bool, FrameError> {
        loop {
            let wanted = self.head_length()?;
            if self.partial.len() == wanted {
                let head = self.parse_head()?;
                self.partial.clear();
                self.head = Some(head);
                return Ok(true);
            }
            let missing = (wanted - self.partial.len()).min(input.len());
            if missing == 0 {
                return Ok(false);
            }
            let (bytes, rest) = std::mem::take(input).split_at_mut(missing);
            self.partial.extend_from_slice(bytes);
            *input = rest;
        }
    }

    /// How long the head is, as far as can be seen.
    fn head_length(&self) -> Result<usize, FrameError> {
        let Some(second) = self.partial.get(1) else { return Ok(2) };
        if (second & 0x80 != 0) != self.masked {
            return Err(FrameError::Mask);
        }
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        Ok(2 + extended + if self.masked { 4 } else { 0 })
    }

    fn parse_head(&mut self) -> Result<Head, FrameError> {
        let (first, second) = (self.partial[0], self.partial[1]);
        if first & 0x70 != 0 {
            return Err(FrameError::ReservedBits);
        }
        let opcode = opcode(first & 0x0f)?;
        let fin = first & 0x80 != 0;
        let mask_at = self.partial.len() - if self.masked { 4 } else { 0 };
        let short = u64::from(second & 0x7f);
        let extended = self.partial[2..mask_at].iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
        let left = match short {
            126 if extended < 126 => return Err(FrameError::Length),
            127 if extended <= 0xffff => return Err(FrameError::Length),
            126 | 127 => extended,
            _ => short,
        };
        if left > MAX_FRAME_BYTES {
            return Err(FrameError::TooLong(MAX_FRAME_BYTES));
        }
        match (opcode, self.message) {
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => {
                if !fin || left > MAX_CONTROL_BYTES as u64 {
                    return Err(FrameError::Control);
                }
            }
            (Opcode::Continuation, Some(_)) => {}
            (Opcode::Text, None) => self.message = Some(Kind::Text),
            (Opcode::Binary, None) => self.message = Some(Kind::Binary),
            _ => return Err(FrameError::Fragmentation),
        }
        let mask = self.partial.get(mask_at..mask_at + 4).and_then(|bytes| bytes.try_into().ok());
        Ok(Head { fin, opcode, left, mask })
    }
}

fn opcode(number: u8) -> Result<Opcode, FrameError> {
    match number {
        0 => Ok(Opcode::Continuation),
        1 => Ok(Opcode::Text),
        2 => Ok(Opcode::Binary),
        8 => Ok(Opcode::Close),
        9 => Ok(Opcode::Ping),
        10 => Ok(Opcode::Pong),
        other => Err(FrameError::Opcode(other)),
    }
}

fn control_item(opcode: Opcode, payload: Vec<u8>) -> Result<Item<'static>, FrameError> {
    match opcode {
        Opcode::Ping => Ok(Item::Ping(payload)),
        Opcode::Pong => Ok(Item::Pong),
        // What stands in the reason, UTF-8 or not, changes nothing.
        _ => match payload.as_slice() {
            [] => Ok(Item::Close(None)),
            [high, low, ..] => match u16::from_be_bytes([*high, *low]) {
                // RFC 6455 section 7.4: these are never on the wire.
                0..1000 | 1004..=1006 | 1015 | 5000.. => Err(FrameError::Control),
                code => Ok(Item::Close(Some(code))),
            },
            _ => Err(FrameError::Control),
        },
    }
}

/// Takes a mask off (or puts it on), and turns it to where the next byte needs it.
fn unmask(mask: &mut [u8; 4], bytes: &mut [u8]) {
    let wide = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let length = bytes.len();
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (index, byte) in rest.iter_mut().enumerate() {
        *byte ^= mask[index % 4];
    }
    mask.rotate_left(length % 4);
}

/// Writes one whole message or control frame, whose payload is these parts in order. A mask is for
/// clients, and only for them.
pub fn encode(out: &mut BytesMut, opcode: Opcode, mask: Option<[u8; 4]>, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let masked = if mask.is_some() { 0x80 } else { 0 };
    out.reserve(length + 14);
    out.put_u8(0x80 | opcode as u8);
    match length {
        0..126 => out.put_u8(masked | length as u8),
        126..0x1_0000 => {
            out.put_u8(masked | 126);
            out.put_u16(length as u16);
        }
        _ => {
            out.put_u8(masked | 127);
            out.put_u64(length as u64);
        }
    }
    if let Some(mask) = mask {
        out.put_slice(&mask);
    }
    let start = out.len();
    for part in parts {
        out.put_slice(part);
    }
    if let Some(mut mask) = mask {
        unmask(&mut mask, &mut out[start..]);
    }
}
