//! A WebSocket as whole messages in both directions.

use super::frame::{FrameError, Kind, Opcode};
use super::wire::{Close, Incoming, Role, Wire, close_code};
use crate::session::MAX_CONNECTION_BYTES;
use crate::{Reading, Session, Violation, Writing};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// The most received messages that wait before the connection is no longer read.
pub const MAX_QUEUED_MESSAGES: usize = 256;

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Text or bytes. That text is UTF-8 is not checked: Kubernetes' peers do not either.
    pub kind: Kind,
    /// What it says.
    pub bytes: Bytes,
}

/// A session of messages. It is one stream, number 0, which [`Messages::take_message`] reads and
/// [`Messages::send`] writes.
#[derive(Debug)]
pub struct Messages {
    wire: Wire,
    max_bytes: usize,
    partial: BytesMut,
    queue: VecDeque<Message>,
    queued_bytes: usize,
    touched: bool,
}

impl Messages {
    /// At its beginning; a message of the peer may have `max_bytes`.
    pub fn new(role: Role, max_bytes: usize) -> Self {
        Self {
            wire: Wire::new(role),
            max_bytes,
            partial: BytesMut::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            touched: false,
        }
    }

    /// The next message that was received whole.
    pub fn take_message(&mut self) -> Option<Message> {
        let message = self.queue.pop_front()?;
        self.queued_bytes -= message.bytes.len();
        Some(message)
    }

    /// How the peer closed, if it has. Messages that came before may still wait.
    pub fn closed(&self) -> Option<Close> {
        self.wire.closed()
    }

    /// Sends a message, unless too much waits or the WebSocket is closed.
    pub fn send(&mut self, kind: Kind, bytes: &[u8]) -> Writing {
        if !self.wire.is_open() {
            return Writing::Closed;
        }
        if self.wire.is_full() {
            return Writing::Full;
        }
        let opcode = if kind == Kind::Text { Opcode::Text } else { Opcode::Binary };
        self.wire.send(opcode, &[bytes]);
        Writing::Taken(bytes.len())
    }

    /// Sends the close frame.
    pub fn close_with(&mut self, code: u16) {
        self.wire.close(code);
    }
}

impl Session for Messages {
    fn wants_input(&self) -> bool {
        self.wire.wants_input()
            && self.queue.len() < MAX_QUEUED_MESSAGES
            && self.queued_bytes < MAX_CONNECTION_BYTES
    }

    fn receive(&mut self, bytes: &mut [u8]) -> Result<(), Violation> {
        let mut input = bytes;
        while let Some(incoming) = self.wire.receive(&mut input)? {
            self.touched = true;
            let Incoming::Piece { kind, bytes, ends } = incoming else { continue };
            if self.partial.len() + bytes.len() > self.max_bytes {
                return Err(self.wire.violated(FrameError::TooLong(self.max_bytes as u64)));
            }
            self.partial.extend_from_slice(bytes);
            if ends {
                let bytes = self.partial.split().freeze();
                self.queued_bytes += bytes.len();
                self.queue.push_back(Message { kind, bytes });
            }
        }
        Ok(())
    }

    fn receive_end(&mut self) {
        self.wire.lost();
        self.touched = true;
    }

    fn transmit(&mut self) -> Bytes {
        self.wire.transmit()
    }

    fn has_unsent(&self) -> bool {
        self.wire.unsent_bytes() > 0
    }

    fn take_touched(&mut self) -> Vec<u32> {
        if std::mem::take(&mut self.touched) { vec![0] } else { Vec::new() }
    }

    /// Messages are read whole, by [`Messages::take_message`].
    fn read(&mut self, _stream: u32, _into: &mut [u8]) -> Reading {
        Reading::Broken
    }

    fn write(&mut self, _stream: u32, bytes: &[u8]) -> Writing {
        self.send(Kind::Binary, bytes)
    }

    fn finish(&mut self, _stream: u32) {
        self.close();
    }

    fn ignore(&mut self, _stream: u32) {
        self.queue.clear();
        self.queued_bytes = 0;
    }

    fn reset(&mut self, _stream: u32) {}

    fn release(&mut self, stream: u32) {
        self.ignore(stream);
    }

    fn ping(&mut self) {
        if self.wire.is_open() {
            self.wire.send(Opcode::Ping, &[]);
        }
    }

    fn close(&mut self) {
        self.wire.close(close_code::NORMAL);
    }

    fn abandon(&mut self) {
        self.wire.close(close_code::GOING_AWAY);
    }

    fn is_over(&self) -> bool {
        self.wire.closed().is_some()
    }

    fn buffered_bytes(&self) -> usize {
        self.partial.len() + self.queued_bytes + self.wire.unsent_bytes()
    }
}
