//! Many streams over one upgraded connection, and what exec, attach and port-forward make of them.
//!
//! The framing is [`ravelin_stream`]'s; here are the tasks that move its bytes, the deadlines, and
//! the ends that components read and write. One task of the host drives a connection and ends with
//! it; a connection ends when nobody holds one of its ends any more, after what was written is sent.
//!
//! **Back-pressure** goes from end to end: a stream that nobody reads fills up to a bound, then the
//! connection is no longer read (all its streams wait, as with Kubernetes' own peers), and the
//! writer at the far end waits.

mod driver;
mod error;
mod half;
mod outcome;
mod remote;
mod remote_client;
mod spdy;
mod tunnel;
mod websocket;

pub use driver::{CLOSE_TIMEOUT, IDLE_TIMEOUT, PING_PERIOD, PING_TIMEOUT};
pub use error::StreamError;
pub use half::{BoxedReader, BoxedWriter};
pub use outcome::{OutcomeReader, OutcomeWriter};
pub use ravelin_stream::TerminalSize;
pub use ravelin_stream::channel::{Outcome, StreamProtocol, WebSocketProtocol};
pub use remote::{
    CREATION_TIMEOUT, RemoteCommand, RemoteOptions, remote_server_spdy, remote_server_websocket,
};
pub use remote_client::{RemoteClient, remote_client_spdy, remote_client_websocket};
pub use spdy::{Spdy, SpdyStream};
pub use tunnel::{tunnel_client, tunnel_server};
pub use websocket::{Kind, MAX_MESSAGE_BYTES, Message, WebSocket, WebSocketReceiver, WebSocketSender};

#[cfg(test)]
mod tests;
