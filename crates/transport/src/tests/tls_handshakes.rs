//! Who is refused in a handshake, what repeats and what must not.

use super::stage::*;
use crate::{HttpConnection, HttpError, TlsError, TlsServer, collect, danger};
use ravelin_host::memory::Network;
use ravelin_host::{Connection, Flaw, Flaws};
use ravelin_pki::{Identity, KeyPair, ServerTrust, Usage};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn refusal<T>(result: Result<T, TlsError>) -> String {
    result.err().map(|error| error.to_string()).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_client_refuses_a_server_that_it_cannot_verify() {
    let stage = Stage::new(Flaws::none());
    let _serving = stage.serve_tls().await;
    let good = stage.tls_client();
    assert!(stage.connect(&good).await.is_ok());

    let mut other_name = good.clone();
    other_name.server_name = "kubernetes".to_owned();
    assert!(refusal(stage.connect(&other_name).await).contains("not valid for name"));
    let mut other_authority = good.clone();
    let foreign = authority(&stage.client, 9).certificate();
    other_authority.trust = ServerTrust::Anchors(ravelin_pki::TrustAnchors::new([foreign]).unwrap());
    assert_eq!(refusal(stage.connect(&other_authority).await), "invalid peer certificate: UnknownIssuer");
    let mut anybody = other_name;
    anybody.trust = ServerTrust::DangerAny;
    assert!(stage.connect(&anybody).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn nobody_can_present_a_certificate_without_its_key() {
    let stage = Stage::new(Flaws::none());
    let stolen = Identity {
        chain: stage.identity(Usage::Server).chain,
        key: KeyPair::generate(&mut entropy(8)).into(),
    };
    let serving = stage.serve(Some(Arc::new(TlsServer::new(stolen.clone())))).await;
    let mut client = stage.tls_client();
    client.trust = ServerTrust::DangerAny;
    assert_eq!(refusal(stage.connect(&client).await), "invalid peer certificate: BadSignature");
    drop(serving);
    tokio::task::yield_now().await;

    let _serving = stage.serve_tls().await;
    let secured = danger::connect(&stage.client, stage.dial().await, "10.0.0.1", Some(stolen)).await;
    let mut http = HttpConnection::open(&stage.client, secured.unwrap().stream).await.unwrap();
    let answer = http.send(post("hello")).await;
    assert!(matches!(answer, Err(HttpError::Tls(TlsError::PeerRefusedUs { .. }))), "{answer:?}");
    assert!(stage.served.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_impostor_learns_how_it_was_refused() {
    let stage = Stage::new(Flaws::none());
    let foreign = authority(&stage.client, 9);
    let forged = foreign.identity(&profile(&stage.client, Usage::Server), &mut entropy(4));
    let listener = stage.server.listen(&endpoint()).await.unwrap();
    let client = stage.tls_client();
    let (accepted, connected) = tokio::join!(
        async { danger::accept(&stage.server, forged.clone(), listener.accept().await.unwrap()).await },
        stage.connect(&client),
    );
    assert!(refusal(connected).contains("UnknownIssuer"));
    let alerted = accepted.unwrap_err();
    assert_eq!((alerted.alert.as_str(), alerted.by_peer), ("UnknownCA", true));

    let mut anybody = client;
    anybody.trust = ServerTrust::DangerAny;
    anybody.identity = Some(stage.identity(Usage::Client));
    let (accepted, connected) = tokio::join!(
        async { danger::accept(&stage.server, forged, listener.accept().await.unwrap()).await },
        stage.connect(&anybody),
    );
    assert!(connected.is_ok());
    assert_eq!(accepted.unwrap().peer_chain, anybody.identity.unwrap().chain);
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_cannot_hold_a_handshake() {
    let stage = Stage::new(Flaws::none());
    let (near, _far) = tokio::io::duplex(1024);
    let started = tokio::time::Instant::now();
    let result = stage.tls_client().connect(&stage.client, Box::new(near)).await;
    assert!(matches!(result, Err(TlsError::Timeout)));
    let (near, _far) = tokio::io::duplex(1024);
    let connection = Connection { stream: Box::new(near), local: endpoint(), peer: endpoint() };
    let server = TlsServer::new(stage.identity(Usage::Server));
    let error = server.accept(&stage.server, connection).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(started.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_server_presents_its_new_identity_after_rotation() {
    let stage = Stage::new(Flaws::none());
    let tls = Arc::new(TlsServer::new(stage.identity(Usage::Server)));
    let _serving = stage.serve(Some(Arc::clone(&tls))).await;
    let before = stage.connect(&stage.tls_client()).await.unwrap().peer_chain;
    let next = profile(&stage.client, Usage::Server);
    let next = stage.authority.identity(&next, &mut entropy(7));
    tls.set_identity(&next);
    let after = stage.connect(&stage.tls_client()).await.unwrap().peer_chain;
    assert!(before != after && after == next.chain);
}

#[tokio::test(start_paused = true)]
async fn both_ends_hand_out_the_secrets_of_their_session() {
    let network = Network::new();
    let mut stage = Stage::new(Flaws::none());
    stage.client = network.host("client", [10, 0, 0, 2]);
    stage.server = network.host("server", server_ip());
    let _serving = stage.serve_tls().await;
    stage.connect(&stage.tls_client()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    // Four traffic secrets and the exporter's, from each end.
    assert_eq!(network.secrets().len(), 10);
}

/// One exchange; gives what the client sent and received.
async fn recorded(stage: &Stage) -> (Vec<u8>, Vec<u8>) {
    let tap = Tap::new(stage.dial().await);
    let (sent, received) = (Arc::clone(&tap.sent), Arc::clone(&tap.received));
    let mut client = stage.tls_client();
    client.identity = Some(stage.identity(Usage::Client));
    let secured = client.connect(&stage.client, Box::new(tap)).await.unwrap();
    let mut http = HttpConnection::open(&stage.client, secured.stream).await.unwrap();
    let answer = http.send(post("secret")).await.unwrap();
    let text = collect(answer.into_body(), 1000).await.unwrap();
    assert_eq!(&text[..], b"secret with 1 certificates");
    let (sent, received) = (sent.lock().unwrap().clone(), received.lock().unwrap().clone());
    (sent, received)
}

#[test]
fn a_seed_decides_every_byte_of_an_exchange() {
    let run = |seed| {
        let record = move || {
            let _simulated = ravelin_entropy::enter(seed);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(async {
                let stage = Stage::new(Flaws::none());
                let _serving = stage.serve_tls().await;
                recorded(&stage).await
            })
        };
        std::thread::spawn(record).join().unwrap()
    };
    let (one, again, other) = (run(1), run(1), run(2));
    assert_eq!(one, again);
    assert!(one.0 != other.0 && one.1 != other.1);
    assert!(one.0.len() > 500 && !one.0.windows(6).any(|window| window == b"secret"));
}

/// Sends a recorded client's bytes again; gives the bodies that the server executed after it.
async fn replayed(flaws: Flaws) -> (Vec<String>, Vec<u8>) {
    let stage = Stage::new(flaws);
    let _serving = stage.serve_tls().await;
    let (sent, _) = recorded(&stage).await;
    let mut wire = stage.client.connect(&endpoint()).await.unwrap().stream;
    // As on a real network, the client's second flight comes after the server's first.
    let hello = 5 + usize::from(u16::from_be_bytes([sent[3], sent[4]]));
    wire.write_all(&sent[..hello]).await.unwrap();
    let mut first = [0; 1];
    wire.read_exact(&mut first).await.unwrap();
    wire.write_all(&sent[hello..]).await.unwrap();
    let mut answer = Vec::new();
    let reading = wire.read_to_end(&mut answer);
    // A server that goes on waits for more requests: then the silence is the end.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(5), reading).await;
    let served = stage.served.lock().unwrap().clone();
    (served, answer)
}

#[tokio::test(start_paused = true)]
async fn a_recorded_connection_cannot_be_replayed() {
    let (served, answer) = replayed(Flaws::none()).await;
    assert_eq!(served, ["secret"], "executed once, for the client itself");
    assert!(!answer.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_repeats_handshakes_executes_a_replay() {
    let (served, _) = replayed(Flaws::danger([Flaw::ServersRepeatHandshakes])).await;
    assert_eq!(served, ["secret", "secret"]);
}
