//! A SPDY server that reads anything: it may refuse, and never panics nor holds more than it may.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_stream::Session;
use ravelin_stream::session::{MAX_CONNECTION_BYTES, MAX_UNSENT_BYTES};
use ravelin_stream::spdy::{Connection, Role};

/// How much is fed at once.
const PIECE_BYTES: usize = 4096;

fuzz_target!(|input: &[u8]| {
    let mut connection = Connection::new(Role::Server);
    for piece in input.to_vec().chunks_mut(PIECE_BYTES) {
        if !connection.wants_input() || connection.receive(piece).is_err() {
            return;
        }
        assert!(connection.buffered_bytes() <= MAX_CONNECTION_BYTES + MAX_UNSENT_BYTES + 2 * PIECE_BYTES);
        while let Some((stream, _headers)) = connection.accept() {
            let _ = connection.write(stream, b"answer");
            let _ = connection.read(stream, &mut [0; 16]);
        }
        connection.take_touched();
        connection.transmit();
    }
});
