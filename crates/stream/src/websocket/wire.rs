//! What every WebSocket does with its control frames, whatever its messages mean.

use super::frame::{Decoder, FrameError, Item, Kind, Opcode, encode};
use crate::Violation;
use crate::session::{MAX_ANSWER_BYTES, MAX_UNSENT_BYTES};
use bytes::{Bytes, BytesMut};

/// The codes of close frames that are sent here (RFC 6455 section 7.4.1).
pub mod close_code {
    /// All is done.
    pub const NORMAL: u16 = 1000;
    /// This end goes away before all was done.
    pub const GOING_AWAY: u16 = 1001;
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: u16 = 1002;
    /// The peer sent a message that is too long.
    pub const TOO_BIG: u16 = 1009;
    /// What this end did failed.
    pub const INTERNAL_ERROR: u16 = 1011;
}

/// Where a client's masks come from: unpredictable, for RFC 6455 section 10.3.
pub type MaskSource = Box<dyn FnMut() -> [u8; 4] + Send>;

/// Which end of a WebSocket this is.
pub enum Role {
    /// It masks what it sends.
    Client(MaskSource),
    /// It does not.
    Server,
}

impl std::fmt::Debug for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Client(_)) { "Client" } else { "Server" })
    }
}

/// How a peer closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// With code 1000.
    Normal,
    /// With another code, or without one (which counts as 1005).
    Code(u16),
    /// Without a close frame: the connection ended.
    Lost,
}

/// Something for the session above.
#[derive(Debug)]
pub(crate) enum Incoming<'a> {
    /// The next part of a message.
    Piece { kind: Kind, bytes: &'a [u8], ends: bool },
    /// The peer closed.
    Closed,
}

/// One end of a WebSocket below its messages.
#[derive(Debug)]
pub(crate) struct Wire {
    role: Role,
    decoder: Decoder,
    unsent: BytesMut,
    answers: usize,
    close_sent: bool,
    closed: Option<Close>,
}

impl Wire {
    pub(crate) fn new(role: Role) -> Self {
        let decoder = match role {
            Role::Client(_) => Decoder::from_server(),
            Role::Server => Decoder::from_client(),
        };
        Self { role, decoder, unsent: BytesMut::new(), answers: 0, close_sent: false, closed: None }
    }

    pub(crate) fn is_client(&self) -> bool {
        matches!(self.role, Role::Client(_))
    }

    /// How the peer closed, if it has.
    pub(crate) fn closed(&self) -> Option<Close> {
        self.closed
    }

    pub(crate) fn wants_input(&self) -> bool {
        self.closed.is_none() && self.answers < MAX_ANSWER_BYTES
    }

    /// Can a message be sent at all?
    pub(crate) fn is_open(&self) -> bool {
        !self.close_sent && self.closed.is_none()
    }

    /// Does so much wait to be sent that no more is taken?
    pub(crate) fn is_full(&self) -> bool {
        self.unsent.len() >= MAX_UNSENT_BYTES
    }

    pub(crate) fn unsent_bytes(&self) -> usize {
        self.unsent.len()
    }

    pub(crate) fn transmit(&mut self) -> Bytes {
        self.answers = 0;
        self.unsent.split().freeze()
    }

    pub(crate) fn send(&mut self, opcode: Opcode, parts: &[&[u8]]) {
        let mask = match &mut self.role {
            Role::Client(source) => Some(source()),
            Role::Server => None,
        };
        encode(&mut self.unsent, opcode, mask, parts);
    }

    /// Sends the close frame, once.
    pub(crate) fn close(&mut self, code: u16) {
        if !self.close_sent && self.closed != Some(Close::Lost) {
            self.close_sent = true;
            self.send(Opcode::Close, &[&code.to_be_bytes()]);
        }
    }

    pub(crate) fn lost(&mut self) {
        self.closed.get_or_insert(Close::Lost);
    }

    /// The next thing within these bytes that is the session's; pings are answered on the way.
    pub(crate) fn receive<'a>(
        &mut self,
        input: &mut &'a mut [u8],
    ) -> Result<Option<Incoming<'a>>, Violation> {
        loop {
            if self.closed.is_some() {
                return Ok(None);
            }
            match self.decoder.decode(input) {
                Ok(Some(Item::Piece { kind, bytes, ends })) => {
                    return Ok(Some(Incoming::Piece { kind, bytes, ends }));
                }
                Ok(Some(Item::Ping(payload))) => {
                    let before = self.unsent.len();
                    if !self.close_sent {
                        self.send(Opcode::Pong, &[&payload]);
                    }
                    self.answers += self.unsent.len() - before;
                }
                Ok(Some(Item::Pong)) => {}
                Ok(Some(Item::Close(code))) => {
                    self.close(code.unwrap_or(close_code::NORMAL));
                    self.closed = Some(match code {
                        Some(close_code::NORMAL) => Close::Normal,
                        other => Close::Code(other.unwrap_or(1005)),
                    });
                    return Ok(Some(Incoming::Closed));
                }
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.violated(error)),
            }
        }
    }

    /// Tells the peer what it did, and ends.
    pub(crate) fn violated(&mut self, error: FrameError) -> Violation {
        let too_long = matches!(error, FrameError::TooLong(_));
        self.close(if too_long { close_code::TOO_BIG } else { close_code::PROTOCOL_ERROR });
        self.lost();
        error.into()
    }
}
