//! A server of channels that reads anything: it may refuse, and never panics nor holds more than it
//! may.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_stream::Session;
use ravelin_stream::channel::{Channel, Channels, WebSocketProtocol};
use ravelin_stream::session::{MAX_CONNECTION_BYTES, MAX_UNSENT_BYTES};
use ravelin_stream::websocket::Role;

/// How much is fed at once.
const PIECE_BYTES: usize = 4096;

fuzz_target!(|input: (bool, &[u8])| {
    let protocol = if input.0 { WebSocketProtocol::V5 } else { WebSocketProtocol::V4Base64 };
    let mut channels = Channels::new(Role::Server, protocol, &[Channel::Stdin, Channel::Resize]);
    for piece in input.1.to_vec().chunks_mut(PIECE_BYTES) {
        if !channels.wants_input() || channels.receive(piece).is_err() {
            return;
        }
        assert!(channels.buffered_bytes() <= MAX_CONNECTION_BYTES + MAX_UNSENT_BYTES + 2 * PIECE_BYTES);
        let _ = channels.read(Channel::Stdin as u32, &mut [0; 16]);
        channels.take_touched();
        channels.transmit();
    }
});
