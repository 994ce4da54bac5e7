//! Peers that send what no honest one does, packet by packet.

use super::super::call::{self, Incoming, Origin, Outgoing, Segments};
use super::super::metrics::{self, Metrics, Segment};
use super::super::*;
use super::stage::*;
use bytes::Bytes;
use ravelin_host::Endpoint;
use ravelin_stream::konnectivity::{AGENT_ID, CONNECT_METHOD, PROXY_METHOD, Packet, SERVER_ID};
use ravelin_transport::http2::Http2Connection;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn segments() -> Segments {
    let metrics = Arc::new(Metrics::new("forged", metrics::CLIENT));
    let segment = |name| Segment { metrics: Arc::clone(&metrics), name };
    Segments { out: segment("out"), incoming: segment("in") }
}

/// A frontend's call over the Unix socket, without any extension.
async fn frontend(stage: &Stage) -> (Outgoing, Incoming) {
    let stream = stage.control.connect(&Endpoint::Unix(SOCKET.to_owned())).await.unwrap().stream;
    let connection = Http2Connection::open(&stage.control, stream, KEEPALIVE).await.unwrap();
    call::begin(connection, (&Origin::socket(), PROXY_METHOD), &Vec::new(), segments()).unwrap()
}

/// An agent's call, without any extension: what an original agent is.
async fn original_agent(stage: &Stage, id: &str) -> (Outgoing, Incoming) {
    let host = stage.network.host("original", ip(77));
    let stream = host.connect(&Endpoint::tcp(ip(100), AGENT_PORT)).await.unwrap().stream;
    let secured = ravelin_transport::danger::connect_http2(&host, stream, "10.0.0.100", None).await;
    let connection = Http2Connection::open(&host, secured.unwrap().stream, KEEPALIVE).await.unwrap();
    let metadata = vec![(AGENT_ID, id.to_owned())];
    let (out, mut incoming) = call::begin(
        connection,
        (&Origin::tls("10.0.0.100", AGENT_PORT), CONNECT_METHOD),
        &metadata,
        segments(),
    )
    .unwrap();
    let head = incoming.head().await.unwrap();
    assert_eq!(head.get(SERVER_ID).unwrap(), "server-1");
    assert!(head.get("ravelin-flow").is_none(), "nothing is said that was not asked for");
    (out, incoming)
}

async fn next(incoming: &mut Incoming) -> Packet {
    tokio::time::timeout(DEADLINE, incoming.next()).await.unwrap().unwrap().unwrap()
}

async fn dialled(out: &Outgoing, incoming: &mut Incoming, address: &str) -> i64 {
    let (protocol, address) = ("tcp".to_owned(), address.to_owned());
    out.send(Packet::DialRequest { protocol, address, random: 5 }).unwrap();
    match next(incoming).await {
        Packet::DialResponse { error, connect_id, random: 5 } if error.is_empty() => connect_id,
        other => panic!("{other:?}"),
    }
}

/// Opens a connection and closes another one, which belongs to somebody else.
pub(super) async fn close_of_another(stage: &Stage, another: i64) {
    let (out, mut incoming) = frontend(stage).await;
    let own = dialled(&out, &mut incoming, "10.0.0.1:7").await;
    assert_ne!(own, another);
    out.send(Packet::CloseRequest { connect_id: another }).unwrap();
    let mut closed = Vec::new();
    while let Some(packet) = incoming.next().await.unwrap() {
        if let Packet::CloseResponse { error, connect_id } = packet {
            assert_eq!(error, "mismatched connection IDs");
            closed.push(connect_id);
        }
    }
    assert_eq!(closed, [another, own]);
}

#[tokio::test(start_paused = true)]
async fn an_original_frontend_is_served_in_the_originals_order() {
    let stage = Stage::new();
    let server = stage.serve(stage.server_config()).await;
    let (out, mut incoming) = frontend(&stage).await;
    let (protocol, address) = ("tcp".to_owned(), "10.0.0.1:7".to_owned());
    out.send(Packet::DialRequest { protocol, address, random: 5 }).unwrap();
    let refused = Packet::DialResponse { error: "No agent available".to_owned(), connect_id: 0, random: 5 };
    assert_eq!(next(&mut incoming).await, refused);
    assert_eq!(incoming.next().await, Ok(None), "the call ends with status OK");

    let _agent = stage.agent(1).await;
    let (out, mut incoming) = frontend(&stage).await;
    let id = dialled(&out, &mut incoming, "10.0.0.1:7").await;
    assert_eq!(next(&mut incoming).await, Packet::data(id, Bytes::from_static(b"node-1\n")));
    out.send_data(id, Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(next(&mut incoming).await, Packet::data(id, Bytes::from_static(b"hello")));
    out.send(Packet::CloseRequest { connect_id: id }).unwrap();
    // The target's last word may come before.
    let mut last = next(&mut incoming).await;
    while let Packet::Data { .. } = last {
        last = next(&mut incoming).await;
    }
    assert_eq!(last, Packet::CloseResponse { error: String::new(), connect_id: id });
    assert_eq!(incoming.next().await, Ok(None));
    until("nothing is left open", || server.established() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn an_original_agent_is_told_and_believed_in_the_originals_packets() {
    let stage = Stage::new();
    let server = stage.serve(stage.server_config()).await;
    let (out, mut incoming) = original_agent(&stage, "original").await;
    let egress = stage.egress();
    let agent = async {
        let Packet::DialRequest { protocol, address, random } = next(&mut incoming).await else { panic!() };
        assert_eq!((protocol.as_str(), address.as_str()), ("tcp", "10.0.0.1:10250"));
        out.send(Packet::DialResponse { error: String::new(), connect_id: 3, random }).unwrap();
        out.send_data(3, Bytes::from_static(b"first\n")).await.unwrap();
        out.send(Packet::Unknown(99)).unwrap();
    };
    let (stream, ()) = tokio::join!(dial(&egress, 1, 10250), agent);
    let mut stream = stream.unwrap();
    assert_eq!(line(&mut stream).await, "first");
    stream.write_all(b"bytes").await.unwrap();
    assert_eq!(next(&mut incoming).await, Packet::data(3, Bytes::from_static(b"bytes")));
    // Bytes of a connection that nobody knows, and a dial that nobody asked for.
    out.send_data(8, Bytes::from_static(b"lost")).await.unwrap();
    assert_eq!(next(&mut incoming).await, Packet::CloseRequest { connect_id: 8 });
    out.send(Packet::DialResponse { error: String::new(), connect_id: 9, random: 1 }).unwrap();
    assert_eq!(next(&mut incoming).await, Packet::CloseRequest { connect_id: 9 });
    // Its end is the connection's: neither half is told to it alone.
    stream.shutdown().await.unwrap();
    out.send_data(3, Bytes::from_static(b"last")).await.unwrap();
    out.send(Packet::CloseResponse { error: String::new(), connect_id: 3 }).unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "last");
    drop(stream);
    until("nothing is left open", || server.established() == 0).await;
    let more = tokio::time::timeout(Duration::from_secs(5), incoming.next()).await;
    assert!(more.is_err(), "what is closed is not closed again: {more:?}");
}

#[tokio::test(start_paused = true)]
async fn without_windows_a_slow_reader_loses_its_connection_and_nobody_else() {
    let stage = Stage::new();
    let server = stage.serve(stage.server_config()).await;
    let (out, mut incoming) = original_agent(&stage, "original").await;
    let egress = stage.egress();
    let mut streams = Vec::new();
    for id in [1, 2] {
        let agent = async {
            let Packet::DialRequest { random, .. } = next(&mut incoming).await else { panic!() };
            out.send(Packet::DialResponse { error: String::new(), connect_id: id, random }).unwrap();
        };
        streams.push(tokio::join!(dial(&egress, 1, 80), agent).0.unwrap());
    }
    let (mut slow, mut quick) = (streams.remove(0), streams.remove(0));
    let block = Bytes::from(vec![b'x'; 32 * 1024]);
    for _ in 0..80 * 32 {
        out.send_data(1, block.clone()).await.unwrap();
    }
    out.send_data(2, Bytes::from_static(b"quick\n")).await.unwrap();
    assert_eq!(line(&mut quick).await, "quick");
    until("the slow one is closed", || server.established() == 1).await;
    let mut read = Vec::new();
    let error = slow.read_to_end(&mut read).await.unwrap_err().to_string();
    assert!(error.contains("the reader of this connection is too slow"), "{error}");
    assert_eq!(next(&mut incoming).await, Packet::CloseRequest { connect_id: 1 });
    quick.write_all(b"on").await.unwrap();
    // What was under way of the slow one is answered alike.
    let mut last = next(&mut incoming).await;
    while last == (Packet::CloseRequest { connect_id: 1 }) {
        last = next(&mut incoming).await;
    }
    assert_eq!(last, Packet::data(2, Bytes::from_static(b"on")));
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_no_agent_answers_ends_in_time_and_is_taken_back() {
    let stage = Stage::new();
    let backend_dial_timeout = Some(Duration::from_secs(7));
    let _server =
        stage.serve(KonnectivityServerConfig { backend_dial_timeout, ..stage.server_config() }).await;
    let (_out, mut incoming) = original_agent(&stage, "mute").await;
    let text = failure(dial(&stage.egress(), 1, 80).await);
    assert_eq!(text, "unavailable: timed out waiting for backend dial");
    let Packet::DialRequest { random, .. } = next(&mut incoming).await else { panic!() };
    assert_eq!(next(&mut incoming).await, Packet::CloseDial { random });
}
