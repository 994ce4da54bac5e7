//! Konnectivity's gRPC stream and HTTP CONNECT, read back; and damaged ones.

use super::super::*;
use proptest::prelude::*;
use ravelin_stream::konnectivity::Packet;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A DATA frame of stream 1.
fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[0, 0, 0, 0, 0, 1], payload].concat()
}

/// A field of a protobuf message that has a length.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
}

/// A packet of a type, with its content, as a gRPC message.
fn message(kind: u8, field_number: u8, content: &[u8]) -> Vec<u8> {
    let packet = [&[8, kind][..], &field(field_number, content)].concat();
    let length = u32::try_from(packet.len()).unwrap().to_be_bytes();
    [&[0][..], &length, &packet].concat()
}

fn dial(address: &str, random: u8) -> Vec<u8> {
    message(0, 2, &[field(1, b"tcp"), field(2, address.as_bytes()), vec![24, random]].concat())
}

fn dialled(connection: u8, random: u8) -> Vec<u8> {
    message(1, 3, &[16, connection, 24, random])
}

fn data(connection: u8, bytes: &[u8]) -> Vec<u8> {
    message(4, 4, &[vec![8, connection], field(3, bytes)].concat())
}

/// What an agent's side and a server's side sent: two connections, whose bytes alternate.
fn tunnel() -> (Vec<u8>, Vec<u8>) {
    let request = b"POST / HTTP/1.1\r\ncontent-length: 6\r\n\r\ncanary";
    let inner = "CONNECT 10.0.0.9:443 HTTP/1.1\r\n\r\nsecond";
    let server = [
        dial("10.0.0.7:80", 77),
        dial("10.0.0.8:3128", 78),
        data(1, &request[..20]),
        data(2, inner.as_bytes()),
        data(1, &request[20..]),
        message(2, 5, &[8, 1]),
    ];
    let agent = [
        dialled(2, 78),
        dialled(1, 77),
        data(2, b"HTTP/1.1 200 OK\r\n\r\nhello"),
        data(1, b"answer"),
        vec![0],
    ];
    let agent = agent.concat();
    // Frames end where they like.
    let (first, rest) = agent.split_at(9);
    ([PREFACE, &frame(first), &frame(rest)].concat(), frame(&server.concat()))
}

#[test]
fn connections_inside_konnectivity_are_told_apart_and_read_on() {
    let (agent, server) = tunnel();
    let found = plain_streams(&agent, &server, &Secrets::default());
    let shown: Vec<(Vec<&str>, String, String)> = found
        .iter()
        .map(|stream| {
            let layers = stream.layers.iter().map(String::as_str).collect();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (layers, text(&stream.client), text(&stream.server))
        })
        .collect();
    let (first, second) = ("konnectivity 10.0.0.7:80", "konnectivity 10.0.0.8:3128");
    let asked = "POST / HTTP/1.1\r\ncontent-length: 6\r\n\r\ncanary".to_owned();
    let (head, answer) =
        ("CONNECT 10.0.0.9:443 HTTP/1.1\r\n\r\n".to_owned(), "HTTP/1.1 200 OK\r\n\r\n".to_owned());
    let expected = [
        (vec!["http2", first], asked, "answer".to_owned()),
        (vec!["http2", second], head, answer),
        (vec!["http2", second, "connect 10.0.0.9:443"], "second".to_owned(), "hello".to_owned()),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn what_our_own_programs_send_is_read() {
    let (connect_id, random) = (7, -3_000_000_000_000);
    let dial = Packet::DialRequest { protocol: "tcp".into(), address: "10.0.0.7:80".into(), random };
    let data = |text: &'static str| Packet::data(connect_id, bytes::Bytes::from_static(text.as_bytes()));
    let frames = |packets: &[Packet]| frame(&packets.iter().flat_map(Packet::frame).collect::<Vec<u8>>());
    let (apiserver, server) = (
        [
            dial,
            data("re"),
            Packet::Credit { connect_id, bytes: 9 },
            data("quest"),
            Packet::Eof { connect_id },
        ],
        [
            Packet::DialResponse { error: String::new(), connect_id, random },
            data("answer"),
            Packet::CloseResponse { error: "EOF".into(), connect_id },
            Packet::Drain,
        ],
    );
    let client = [PREFACE, &frames(&apiserver)].concat();
    let found = plain_streams(&client, &frames(&server), &Secrets::default());
    let expected = PlainStream {
        layers: vec!["http2".into(), "konnectivity 10.0.0.7:80".into()],
        client: b"request".to_vec(),
        server: b"answer".to_vec(),
    };
    assert_eq!(found, [expected]);
}

#[test]
fn other_content_of_http2_is_given_as_it_is() {
    let client = [PREFACE, &frame(b"{\"no\": \"packet\"}")].concat();
    let found = plain_streams(&client, b"", &Secrets::default());
    assert_eq!(found[0].layers, ["http2"]);
    assert_eq!(found[0].client, b"{\"no\": \"packet\"}");
}

#[test]
fn a_proxy_that_says_no_connects_to_nothing() {
    let client = b"CONNECT 10.0.0.9:443 HTTP/1.1\r\n\r\nsecret";
    let server = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    let found = plain_streams(client, server, &Secrets::default());
    assert_eq!((found.len(), found[0].layers.len()), (1, 0), "{found:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn a_damaged_tunnel_is_read_without_panic(
        at in 0.0..1.0_f64, byte: u8, side: bool, cut in 0.0..=1.0_f64,
    ) {
        let (mut agent, mut server) = tunnel();
        let wire = if side { &mut agent } else { &mut server };
        let (at, cut) = ((at * wire.len() as f64) as usize, (cut * wire.len() as f64) as usize);
        wire[at] ^= byte;
        wire.truncate(cut);
        let _ = plain_streams(&agent, &server, &Secrets::default());
    }
}
