//! One end of a SPDY connection: its streams and what waits in them.

use super::frame::{self, Decoder, Encoder, Item, SpdyError, status};
use super::header_block::Headers;
use crate::session::{
    MAX_ANSWER_BYTES, MAX_CONNECTION_BYTES, MAX_SENT_FRAME_BYTES, MAX_STREAM_BYTES, MAX_UNSENT_BYTES,
};
use crate::{Reading, Session, Violation, Writing};
use bytes::{Buf, Bytes, BytesMut};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The most streams at a time; further ones are refused.
pub const MAX_STREAMS: usize = 1024;

/// What the headers of all open streams of the peer hold together; streams beyond are refused. The
/// headers of a block are compressed: a peer sends a hundredth of what they take here.
pub const MAX_HEADERS_BYTES: usize = 512 * 1024;

const GOAWAY_OK: u32 = 0;
const GOAWAY_PROTOCOL_ERROR: u32 = 1;

/// Which end of a connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It sent the request; its streams and pings have odd numbers.
    Client,
    /// It answered; its streams and pings have even numbers.
    Server,
}

#[derive(Debug, Default)]
struct Stream {
    received: BytesMut,
    /// The peer took it (or opened it).
    replied: bool,
    /// The peer ended its half.
    ended: bool,
    /// We ended ours.
    finished: bool,
    /// Cut off by either side.
    reset: bool,
    /// Nobody reads it any more.
    ignored: bool,
    /// What its headers hold.
    header_bytes: usize,
}

/// A connection as a state machine.
///
/// The streams that the peer opens are taken at once, as Kubernetes' servers do, and wait in
/// [`Connection::accept`].
#[derive(Debug)]
pub struct Connection {
    role: Role,
    decoder: Decoder,
    encoder: Encoder,
    streams: BTreeMap<u32, Stream>,
    incoming: VecDeque<(u32, Headers)>,
    touched: BTreeSet<u32>,
    unsent: BytesMut,
    /// How much of it answers the peer's frames.
    answers: usize,
    /// Bytes received and unread in all streams.
    unread: usize,
    /// What the headers of all streams hold.
    header_bytes: usize,
    next_stream: u32,
    last_of_peer: u32,
    next_ping: u32,
    said_goodbye: bool,
    heard_goodbye: bool,
    ended: bool,
}

impl Connection {
    /// At its beginning.
    pub fn new(role: Role) -> Self {
        let first = if role == Role::Client { 1 } else { 2 };
        Self {
            role,
            decoder: Decoder::new(),
            encoder: Encoder::default(),
            streams: BTreeMap::new(),
            incoming: VecDeque::new(),
            touched: BTreeSet::new(),
            unsent: BytesMut::new(),
            answers: 0,
            unread: 0,
            header_bytes: 0,
            next_stream: first,
            last_of_peer: 0,
            next_ping: first,
            said_goodbye: false,
            heard_goodbye: false,
            ended: false,
        }
    }

    /// Opens a stream; `None` where no more can be opened. It can be written to at once.
    pub fn open(&mut self, headers: &[(&str, &str)]) -> Option<u32> {
        let over = self.ended || self.said_goodbye || self.heard_goodbye;
        if over || self.streams.len() >= MAX_STREAMS || self.next_stream > i32::MAX as u32 {
            return None;
        }
        let stream = self.next_stream;
        self.next_stream += 2;
        self.streams.insert(stream, Stream::default());
        self.encoder.syn_stream(&mut self.unsent, stream, headers);
        Some(stream)
    }

    /// Has the peer taken (`true`) or refused (`false`) this stream of ours? `None` before either.
    pub fn replied(&self, stream: u32) -> Option<bool> {
        match self.streams.get(&stream) {
            Some(stream) if stream.replied => Some(true),
            Some(stream) if !stream.reset && !self.ended => None,
            _ => Some(false),
        }
    }

    /// The next stream that the peer opened, and what it is for.
    pub fn accept(&mut self) -> Option<(u32, Headers)> {
        self.incoming.pop_front()
    }

    /// Will the peer open no more streams?
    pub fn no_more_streams(&self) -> bool {
        self.ended || self.heard_goodbye
    }

    fn item(&mut self, item: Item<'_>) {
        match item {
            Item::SynStream { stream, headers, fin, unidirectional } => {
                let new = Stream { replied: true, ended: fin, finished: unidirectional, ..Stream::default() };
                self.opened(stream, headers, new);
            }
            Item::SynReply { stream, fin } => {
                self.touch(stream, |stream| {
                    stream.replied = true;
                    stream.ended |= fin;
                });
            }
            Item::Headers { stream, fin } => self.touch(stream, |stream| stream.ended |= fin),
            Item::Reset { stream, .. } => self.touch(stream, |stream| stream.reset = true),
            Item::Ping(id) => {
                let ours = if self.role == Role::Client { 1 } else { 0 };
                if id % 2 != ours {
                    self.answer(|out| frame::ping(out, id));
                }
            }
            Item::GoAway => {
                self.heard_goodbye = true;
                self.touched.extend(self.streams.keys());
            }
            Item::Nothing => {}
            Item::Data { stream, bytes, fin } => self.data(stream, bytes, fin),
        }
    }

    fn opened(&mut self, id: u32, headers: Headers, stream: Stream) {
        let theirs = if self.role == Role::Client { 0 } else { 1 };
        if id % 2 != theirs || id <= self.last_of_peer {
            return self.answer(|out| frame::rst_stream(out, id, status::PROTOCOL_ERROR));
        }
        self.last_of_peer = id;
        let header_bytes = headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
            + headers.len() * size_of::<(String, String)>();
        let has_room =
            self.streams.len() < MAX_STREAMS && self.header_bytes + header_bytes <= MAX_HEADERS_BYTES;
        if self.said_goodbye || !has_room {
            return self.answer(|out| frame::rst_stream(out, id, status::REFUSED_STREAM));
        }
        self.header_bytes += header_bytes;
        self.streams.insert(id, Stream { header_bytes, ..stream });
        self.incoming.push_back((id, headers));
        self.touched.insert(id);
        let before = self.unsent.len();
        self.encoder.syn_reply(&mut self.unsent, id);
        self.answers += self.unsent.len() - before;
    }

    fn data(&mut self, id: u32, bytes: &[u8], fin: bool) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.ended || stream.reset {
            return;
        }
        if !stream.replied {
            stream.reset = true;
            self.touched.insert(id);
            return self.answer(|out| frame::rst_stream(out, id, status::PROTOCOL_ERROR));
        }
        if !stream.ignored {
            stream.received.extend_from_slice(bytes);
            self.unread += bytes.len();
        }
        stream.ended |= fin;
        self.touched.insert(id);
    }

    fn touch(&mut self, id: u32, change: impl FnOnce(&mut Stream)) {
        if let Some(stream) = self.streams.get_mut(&id) {
            change(stream);
            self.touched.insert(id);
        }
    }

    fn answer(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let before = self.unsent.len();
        write(&mut self.unsent);
        self.answers += self.unsent.len() - before;
    }

    fn say_goodbye(&mut self, status: u32) {
        if !self.said_goodbye && !self.ended {
            self.said_goodbye = true;
            frame::go_away(&mut self.unsent, self.last_of_peer, status);
        }
    }
}

impl Session for Connection {
    fn wants_input(&self) -> bool {
        !self.ended
            && self.answers < MAX_ANSWER_BYTES
            && self.unread < MAX_CONNECTION_BYTES
            && (self.unread < MAX_STREAM_BYTES
                || self.streams.values().all(|stream| stream.received.len() < MAX_STREAM_BYTES))
    }

    fn receive(&mut self, bytes: &mut [u8]) -> Result<(), Violation> {
        let mut input: &[u8] = bytes;
        loop {
            match self.decoder.decode(&mut input) {
                Ok(Some(item)) => self.item(item),
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.say_goodbye(GOAWAY_PROTOCOL_ERROR);
                    self.receive_end();
                    return Err(SpdyError::into(error));
                }
            }
        }
    }

    fn receive_end(&mut self) {
        self.ended = true;
        self.touched.extend(self.streams.keys());
    }

    fn transmit(&mut self) -> Bytes {
        self.answers = 0;
        self.unsent.split().freeze()
    }

    fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    fn take_touched(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.touched).into_iter().collect()
    }

    fn read(&mut self, id: u32, into: &mut [u8]) -> Reading {
        let Some(stream) = self.streams.get_mut(&id) else { return Reading::Broken };
        let length = stream.received.len().min(into.len());
        if length > 0 {
            into[..length].copy_from_slice(&stream.received[..length]);
            stream.received.advance(length);
            self.unread -= length;
            return Reading::Bytes(length);
        }
        match stream {
            stream if !stream.received.is_empty() => Reading::Bytes(0),
            Stream { ended: true, .. } => Reading::End,
            Stream { reset: true, .. } => Reading::Reset,
            _ if self.ended => Reading::Broken,
            _ => Reading::Waiting,
        }
    }

    fn write(&mut self, id: u32, bytes: &[u8]) -> Writing {
        let Some(stream) = self.streams.get_mut(&id) else { return Writing::Closed };
        if stream.finished || stream.reset || self.ended {
            return Writing::Closed;
        }
        if self.unsent.len() >= MAX_UNSENT_BYTES {
            return Writing::Full;
        }
        let length = bytes.len().min(MAX_SENT_FRAME_BYTES);
        if length > 0 {
            frame::data(&mut self.unsent, id, &bytes[..length], false);
        }
        Writing::Taken(length)
    }

    fn finish(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if !stream.finished && !stream.reset && !self.ended {
            frame::data(&mut self.unsent, id, &[], true);
        }
        stream.finished = true;
    }

    fn ignore(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.ignored = true;
        self.unread -= stream.received.len();
        stream.received = BytesMut::new();
    }

    fn reset(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let over = stream.reset || self.ended || (stream.ended && stream.finished);
        if !over {
            frame::rst_stream(&mut self.unsent, id, status::CANCEL);
        }
        stream.reset = true;
        self.touched.insert(id);
    }

    fn release(&mut self, id: u32) {
        self.reset(id);
        self.ignore(id);
        self.header_bytes -= self.streams.remove(&id).map_or(0, |stream| stream.header_bytes);
    }

    fn ping(&mut self) {
        frame::ping(&mut self.unsent, self.next_ping);
        self.next_ping =
            if self.next_ping > 0x7fff_fffd { self.next_ping % 2 + 2 } else { self.next_ping + 2 };
    }

    fn close(&mut self) {
        self.say_goodbye(GOAWAY_OK);
    }

    fn abandon(&mut self) {
        self.say_goodbye(GOAWAY_OK);
    }

    /// A peer that said goodbye still serves the streams that are open.
    fn is_over(&self) -> bool {
        self.heard_goodbye && self.streams.is_empty()
    }

    fn buffered_bytes(&self) -> usize {
        self.unread + self.unsent.len()
    }
}
