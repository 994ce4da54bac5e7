//! The formats under bolero: `cargo test --manifest-path fuzz/Cargo.toml`, or `cargo bolero test NAME`.

use ravelin_fuzz::{konnectivity, packet, spdy, websocket};
use ravelin_stream::channel::WebSocketProtocol;

#[test]
fn a_spdy_server_survives_anything() {
    bolero::check!().for_each(|input: &[u8]| spdy(input));
}

#[test]
fn a_server_of_channels_survives_anything() {
    bolero::check!().for_each(|input: &[u8]| {
        for protocol in [WebSocketProtocol::V5, WebSocketProtocol::V4, WebSocketProtocol::V4Base64] {
            websocket(protocol, input);
        }
    });
}

#[test]
fn a_konnectivity_server_survives_anything() {
    bolero::check!().for_each(|input: &[u8]| {
        konnectivity(input);
        packet(input.to_vec().into());
    });
}
