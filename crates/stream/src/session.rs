//! What every way to carry several streams over one connection has in common.
//!
//! A [`Session`] is a state machine: bytes of the peer go in, bytes for the peer come out, and
//! between them are streams that are read, written and ended. Who moves the bytes, who waits, and
//! for how long, is for the crates above.
//!
//! **Back-pressure.** None of the protocols here has a flow control that its peers keep to, so a
//! session has one means: [`Session::wants_input`] says no while a stream holds as much as it may,
//! and whoever feeds it stops to read the connection until somebody reads that stream. The price is
//! head-of-line blocking: one stream that nobody reads holds up all others of its connection, as
//! it does with Kubernetes' own peers.

use bytes::Bytes;

/// The most received bytes that one stream holds before its connection is no longer read.
pub const MAX_STREAM_BYTES: usize = 256 * 1024;

/// The same for all streams of a connection together.
pub const MAX_CONNECTION_BYTES: usize = 1024 * 1024;

/// The most bytes that wait to be sent before writers have to wait.
pub const MAX_UNSENT_BYTES: usize = 128 * 1024;

/// The most bytes that one frame for the peer carries.
pub const MAX_SENT_FRAME_BYTES: usize = 32 * 1024;

/// The most bytes that wait as answers to the peer's own frames (pings, resets) before no more of
/// its frames are read.
pub const MAX_ANSWER_BYTES: usize = 16 * 1024;

/// What a peer did that ends the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A SPDY connection's peer.
    #[error("SPDY: {0}")]
    Spdy(#[from] crate::spdy::SpdyError),
    /// A WebSocket's peer.
    #[error("WebSocket: {0}")]
    WebSocket(#[from] crate::websocket::FrameError),
}

/// What reading a stream gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// This many bytes.
    Bytes(usize),
    /// Nothing yet.
    Waiting,
    /// The peer ended the stream in order, and everything was read.
    End,
    /// The peer cut this stream off, and nothing else; what came before was read.
    Reset,
    /// The stream was cut off with its connection; what came before was read.
    Broken,
}

/// What writing to a stream gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// This many bytes were taken.
    Taken(usize),
    /// Too much waits to be sent already.
    Full,
    /// The stream takes nothing any more.
    Closed,
}

/// Several streams over one connection.
pub trait Session: Send {
    /// May more of the connection be read?
    fn wants_input(&self) -> bool;

    /// Takes bytes of the peer. They may be changed: masks are taken off in place.
    ///
    /// # Errors
    /// Where the peer broke the protocol. Nothing more is received then; what is to be transmitted
    /// tells the peer.
    fn receive(&mut self, bytes: &mut [u8]) -> Result<(), Violation>;

    /// The connection ended: no more bytes will come.
    fn receive_end(&mut self);

    /// All that is to be sent now.
    fn transmit(&mut self) -> Bytes;

    /// Is there anything to transmit?
    fn has_unsent(&self) -> bool;

    /// The streams to which something happened since this was last asked, in order.
    fn take_touched(&mut self) -> Vec<u32>;

    /// Reads from a stream.
    fn read(&mut self, stream: u32, into: &mut [u8]) -> Reading;

    /// Writes to a stream.
    fn write(&mut self, stream: u32, bytes: &[u8]) -> Writing;

    /// Ends our half of a stream in order.
    fn finish(&mut self, stream: u32);

    /// Nobody will read this stream any more: what comes is thrown away.
    fn ignore(&mut self, stream: u32);

    /// Cuts a stream off, where the protocol can.
    fn reset(&mut self, stream: u32);

    /// Nobody holds this stream any more.
    fn release(&mut self, stream: u32);

    /// Asks the peer for a sign of life.
    fn ping(&mut self);

    /// Ends the connection in order, after what is still to be sent.
    fn close(&mut self);

    /// Ends the connection because nobody uses it any more, after what is still to be sent.
    fn abandon(&mut self);

    /// Has the peer said that it is done with the connection, so that it can be closed?
    fn is_over(&self) -> bool;

    /// How many bytes are held, received and unread or unsent.
    fn buffered_bytes(&self) -> usize;
}
