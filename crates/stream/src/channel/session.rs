//! Channels over a WebSocket: each message begins with the number of its channel
//! (`k8s.io/apimachinery/pkg/util/httpstream/wsstream`).

use super::protocol::WebSocketProtocol;
use crate::session::{MAX_CONNECTION_BYTES, MAX_SENT_FRAME_BYTES, MAX_STREAM_BYTES};
use crate::websocket::{Close, FrameError, Incoming, Opcode, Role, Wire, close_code};
use crate::{Reading, Session, Violation, Writing};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes, BytesMut};

/// The number of v5 that says that a channel is closed; the channel's follows.
const CLOSE: u8 = 255;

/// The longest message in base64; it cannot be decoded before it is whole.
const MAX_BASE64_BYTES: usize = 256 * 1024;

/// The channels of exec and attach, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Channel {
    /// The command's standard input.
    Stdin = 0,
    /// Its standard output.
    Stdout = 1,
    /// Its standard error.
    Stderr = 2,
    /// How it ended.
    Error = 3,
    /// The sizes of its terminal.
    Resize = 4,
}

const CHANNELS: usize = 5;

/// What messages look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// A number, then bytes.
    Numbered { closes: bool },
    /// A digit, then base64.
    Base64,
    /// The bytes of channel 0 and nothing else.
    Bare,
}

#[derive(Debug, Default)]
struct Line {
    /// What may come on it is kept.
    readable: bool,
    received: BytesMut,
    ended: bool,
    finished: bool,
}

/// To which channel the message under way belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// Its number has not come yet.
    Unknown,
    /// A channel.
    Channel(usize),
    /// The number of a channel that is closed is to come.
    Closing,
    /// Nobody's.
    Nobody,
}

/// Channels as a session: its streams are the channels' numbers.
#[derive(Debug)]
pub struct Channels {
    wire: Wire,
    framing: Framing,
    lines: [Line; CHANNELS],
    target: Target,
    /// A message in base64 that is not whole.
    partial: Vec<u8>,
    unread: usize,
    touched: [bool; CHANNELS],
}

impl Channels {
    /// The channels of exec or attach; what comes on other channels than `readable` is thrown away.
    pub fn new(role: Role, protocol: WebSocketProtocol, readable: &[Channel]) -> Self {
        let framing = match protocol {
            _ if protocol.is_base64() => Framing::Base64,
            _ => Framing::Numbered { closes: protocol.has_close() },
        };
        let mut session = Self::framed(role, framing);
        for channel in readable {
            session.lines[*channel as usize].readable = true;
        }
        session
    }

    /// One stream of bytes, number 0, in binary messages without anything else: port-forward's SPDY.
    pub fn tunnel(role: Role) -> Self {
        let mut session = Self::framed(role, Framing::Bare);
        session.lines[0].readable = true;
        session
    }

    fn framed(role: Role, framing: Framing) -> Self {
        Self {
            wire: Wire::new(role),
            framing,
            lines: Default::default(),
            target: Target::Unknown,
            partial: Vec::new(),
            unread: 0,
            touched: [false; CHANNELS],
        }
    }

    /// Sends one message without bytes on a channel: how a server says that it is there.
    pub fn announce(&mut self, channel: Channel) {
        self.send(channel as u8, &[]);
    }

    fn send(&mut self, channel: u8, bytes: &[u8]) {
        match self.framing {
            Framing::Numbered { .. } => self.wire.send(Opcode::Binary, &[&[channel], bytes]),
            Framing::Base64 => {
                self.wire.send(Opcode::Text, &[&[b'0' + channel], STANDARD.encode(bytes).as_bytes()]);
            }
            Framing::Bare => self.wire.send(Opcode::Binary, &[bytes]),
        }
    }

    fn piece(&mut self, bytes: &[u8], ends: bool) -> Result<(), Violation> {
        match self.framing {
            Framing::Bare => self.keep(0, bytes),
            Framing::Numbered { closes } => self.numbered(bytes, closes),
            Framing::Base64 => {
                if self.partial.len() + bytes.len() > MAX_BASE64_BYTES {
                    return Err(self.wire.violated(FrameError::TooLong(MAX_BASE64_BYTES as u64)));
                }
                self.partial.extend_from_slice(bytes);
                if ends {
                    self.base64();
                }
            }
        }
        if ends {
            self.target = Target::Unknown;
        }
        Ok(())
    }

    fn numbered(&mut self, mut bytes: &[u8], closes: bool) {
        while let Some((first, rest)) = bytes.split_first() {
            match self.target {
                Target::Unknown => {
                    self.target = match *first {
                        CLOSE if closes => Target::Closing,
                        number if usize::from(number) < CHANNELS => Target::Channel(number.into()),
                        // `wsstream` and client-go throw such messages away.
                        _ => Target::Nobody,
                    };
                    bytes = rest;
                }
                Target::Channel(channel) => return self.keep(channel, bytes),
                Target::Closing => {
                    if let Some(line) = self.lines.get_mut(usize::from(*first)) {
                        line.ended = true;
                        self.touched[usize::from(*first)] = true;
                    }
                    self.target = Target::Nobody;
                }
                Target::Nobody => return,
            }
        }
    }

    fn base64(&mut self) {
        let message = std::mem::take(&mut self.partial);
        let Some((digit, text)) = message.split_first() else { return };
        let channel = usize::from(digit.wrapping_sub(b'0'));
        // `wsstream` logs what it cannot decode, and goes on.
        if let (true, Ok(bytes)) = (channel < CHANNELS, STANDARD.decode(text)) {
            self.keep(channel, &bytes);
        }
    }

    fn keep(&mut self, channel: usize, bytes: &[u8]) {
        let line = &mut self.lines[channel];
        if line.readable && !line.ended {
            line.received.extend_from_slice(bytes);
            self.unread += bytes.len();
            self.touched[channel] = true;
        }
    }

    fn line(&mut self, stream: u32) -> Option<&mut Line> {
        self.lines.get_mut(usize::try_from(stream).ok()?)
    }
}

impl Session for Channels {
    fn wants_input(&self) -> bool {
        self.wire.wants_input()
            && self.unread < MAX_CONNECTION_BYTES
            && self.lines.iter().all(|line| line.received.len() < MAX_STREAM_BYTES)
    }

    fn receive(&mut self, bytes: &mut [u8]) -> Result<(), Violation> {
        let mut input = bytes;
        loop {
            match self.wire.receive(&mut input) {
                Ok(Some(Incoming::Piece { bytes, ends, .. })) => self.piece(bytes, ends)?,
                Ok(Some(Incoming::Closed)) => self.touched = [true; CHANNELS],
                Ok(None) => return Ok(()),
                Err(violation) => {
                    self.touched = [true; CHANNELS];
                    return Err(violation);
                }
            }
        }
    }

    fn receive_end(&mut self) {
        self.wire.lost();
        self.touched = [true; CHANNELS];
    }

    fn transmit(&mut self) -> Bytes {
        self.wire.transmit()
    }

    fn has_unsent(&self) -> bool {
        self.wire.unsent_bytes() > 0
    }

    fn take_touched(&mut self) -> Vec<u32> {
        let touched = std::mem::take(&mut self.touched);
        (0..).zip(touched).filter_map(|(number, touched)| touched.then_some(number)).collect()
    }

    fn read(&mut self, stream: u32, into: &mut [u8]) -> Reading {
        let closed = self.wire.closed();
        let Some(line) = self.line(stream) else { return Reading::Broken };
        let length = line.received.len().min(into.len());
        if length > 0 {
            into[..length].copy_from_slice(&line.received[..length]);
            line.received.advance(length);
            self.unread -= length;
            return Reading::Bytes(length);
        }
        match closed {
            _ if !line.received.is_empty() => Reading::Bytes(0),
            _ if line.ended => Reading::End,
            // As client-go and `TunnelingConnection`: a normal close ends every channel in order.
            Some(Close::Normal) => Reading::End,
            Some(_) => Reading::Broken,
            None => Reading::Waiting,
        }
    }

    fn write(&mut self, stream: u32, bytes: &[u8]) -> Writing {
        let open = self.wire.is_open();
        match self.line(stream) {
            Some(line) if open && !line.finished => {}
            _ => return Writing::Closed,
        }
        if self.wire.is_full() {
            return Writing::Full;
        }
        let length = bytes.len().min(MAX_SENT_FRAME_BYTES);
        if length > 0 {
            self.send(stream as u8, &bytes[..length]);
        }
        Writing::Taken(length)
    }

    /// Only v5 can say that a channel ends, and only clients do (`wsstream`'s server says it with the
    /// whole connection); a tunnel's end is the connection's.
    fn finish(&mut self, stream: u32) {
        let tells = self.wire.is_open() && self.wire.is_client();
        let framing = self.framing;
        let Some(line) = self.line(stream) else { return };
        let first = !std::mem::replace(&mut line.finished, true);
        match framing {
            Framing::Numbered { closes: true } if tells && first => {
                self.wire.send(Opcode::Binary, &[&[CLOSE, stream as u8]]);
            }
            Framing::Bare => self.close(),
            _ => {}
        }
    }

    fn ignore(&mut self, stream: u32) {
        let Some(line) = self.line(stream) else { return };
        line.readable = false;
        let unread = std::mem::take(&mut line.received).len();
        self.unread -= unread;
    }

    /// No channel can be cut off alone; the peer learns it with the connection's end.
    fn reset(&mut self, stream: u32) {
        if let Some(line) = self.line(stream) {
            line.finished = true;
        }
    }

    fn release(&mut self, stream: u32) {
        self.reset(stream);
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
        self.unread + self.partial.len() + self.wire.unsent_bytes()
    }
}
