//! A server of channels that reads anything.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_stream::channel::WebSocketProtocol;

fuzz_target!(|input: (bool, &[u8])| {
    let protocol = if input.0 { WebSocketProtocol::V5 } else { WebSocketProtocol::V4Base64 };
    ravelin_fuzz::websocket(protocol, input.1);
});
