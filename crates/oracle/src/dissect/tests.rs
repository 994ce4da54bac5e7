//! Real sessions of rustls and russh, read back; and garbage.

mod ssh_sessions;
mod tls_sessions;
mod tunnels;

use super::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn garbage_is_read_without_panic(client: Vec<u8>, server: Vec<u8>, which in 0..6_usize) {
        let starts: [&[u8]; 6] = [
            b"", b"SSH-2.0-x\r\n", &[0x16, 3, 1], b"POST / HTTP/1.1\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n",
        ];
        let client = [starts[which], &client].concat();
        let server = [starts[which], &server].concat();
        let _ = plain_streams(&client, &server, &Secrets::default());
        let _ = exchanges(&client, &server);
        for upgrade in ["websocket", "SPDY/3.1", "websocket\r\nSec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io"] {
            let request = [b"GET / HTTP/1.1\r\n\r\n", client.as_slice()].concat();
            let head = format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: {upgrade}\r\n\r\n");
            let response = [head.as_bytes(), server.as_slice()].concat();
            exchanges(&request, &response).iter().for_each(|exchange| drop(exchange.carried()));
        }
        let _ = contains_canary(&client, "canary-of-a-run");
    }
}
