//! What peers send, fed to what reads it: it may refuse, and never panics nor holds more than it may.
//!
//! One function a format, for libFuzzer (`fuzz_targets/`, `cargo fuzz run TARGET`) and for bolero under
//! `cargo test` (`tests/frames.rs`) alike.

use bytes::Bytes;
use ravelin_stream::Session;
use ravelin_stream::channel::{Channel, Channels, WebSocketProtocol};
use ravelin_stream::grpc::Deframer;
use ravelin_stream::konnectivity::{AgentIdentifiers, Packet};
use ravelin_stream::session::{MAX_CONNECTION_BYTES, MAX_UNSENT_BYTES};
use ravelin_stream::spdy::{Connection, Role as SpdyRole};
use ravelin_stream::websocket::Role;

/// How much is fed at once.
const PIECE_BYTES: usize = 4096;
/// The longest message of Konnectivity here.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// What a session holds at most while it is fed so.
const MAX_HELD_BYTES: usize = MAX_CONNECTION_BYTES + MAX_UNSENT_BYTES + 2 * PIECE_BYTES;

/// A SPDY server, which accepts, answers and reads.
pub fn spdy(input: &[u8]) {
    let mut connection = Connection::new(SpdyRole::Server);
    for piece in input.to_vec().chunks_mut(PIECE_BYTES) {
        if !connection.wants_input() || connection.receive(piece).is_err() {
            return;
        }
        assert!(connection.buffered_bytes() <= MAX_HELD_BYTES);
        while let Some((stream, _headers)) = connection.accept() {
            let _ = connection.write(stream, b"answer");
            let _ = connection.read(stream, &mut [0; 16]);
        }
        connection.take_touched();
        connection.transmit();
    }
}

/// A server of the channels of an exec over a WebSocket.
pub fn websocket(protocol: WebSocketProtocol, input: &[u8]) {
    let mut channels = Channels::new(Role::Server, protocol, &[Channel::Stdin, Channel::Resize]);
    for piece in input.to_vec().chunks_mut(PIECE_BYTES) {
        if !channels.wants_input() || channels.receive(piece).is_err() {
            return;
        }
        assert!(channels.buffered_bytes() <= MAX_HELD_BYTES);
        let _ = channels.read(Channel::Stdin as u32, &mut [0; 16]);
        channels.take_touched();
        channels.transmit();
    }
}

/// A server of Konnectivity: messages in a body, a packet in each, an agent's identifiers. What was
/// understood is understood again when it is written.
pub fn konnectivity(input: &[u8]) {
    let mut body = Deframer::new(MAX_MESSAGE_BYTES);
    for piece in input.chunks(PIECE_BYTES) {
        body.receive(piece);
        loop {
            match body.take() {
                Err(_) => return,
                Ok(None) => break,
                Ok(Some(message)) => packet(message),
            }
        }
    }
    if let Ok(identifiers) =
        std::str::from_utf8(input).map_err(drop).and_then(|text| AgentIdentifiers::parse(text).map_err(drop))
    {
        assert_eq!(AgentIdentifiers::parse(&identifiers.encode()).ok(), Some(identifiers));
    }
}

/// One packet.
pub fn packet(message: Bytes) {
    if let Ok(packet) = Packet::decode(message) {
        let again = Packet::decode(packet.encode().into());
        assert_eq!(again.ok(), Some(packet));
    }
}
