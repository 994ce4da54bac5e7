//! What passes through, how it ends, and what one connection may not do to the others.

use super::super::*;
use super::stage::*;
use ravelin_host::{BoxedStream, Endpoint, HostRef};
use ravelin_pki::Usage;
use ravelin_transport::egress::Egress;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Sends megabytes to an echo, ends its own direction, and reads everything back.
async fn echoed(stream: BoxedStream, length: u32) {
    let sent: Vec<u8> = (0..length).map(|number| (number % 251) as u8).collect();
    let (mut read, mut write) = tokio::io::split(stream);
    let mut received = Vec::new();
    let writing = async {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let both = async { tokio::join!(writing, read.read_to_end(&mut received)).1.unwrap() };
    timeout(DEADLINE, both).await.expect("neither end waits for the other for good");
    assert_eq!(received.pop(), Some(b'.'), "the target saw the end and answered after it");
    assert!(received == sent);
}

#[tokio::test(start_paused = true)]
async fn megabytes_pass_both_ways_and_halves_close_alone() {
    let stage = Stage::new();
    let server = stage.serve(stage.server_config()).await;
    let _agent = stage.agent(1).await;
    let egress = stage.egress();
    echoed(echoing(&egress, 1).await, 5_000_000).await;
    until("nothing is left open", || server.established() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn megabytes_pass_by_connect_over_tls() {
    let stage = Stage::new();
    let clients = FrontendClients::Certificate(stage.anchors());
    let frontend = stage.tls_frontend(FrontendMode::HttpConnect, clients);
    let server = stage.serve(KonnectivityServerConfig { frontend, ..stage.server_config() }).await;
    let _agent = stage.agent(1).await;
    let egress = stage.https_egress(Some(stage.identity(Usage::Client)));
    let stream = dial(&egress, 1, SILENT).await.unwrap();
    echoed(stream, 5_000_000).await;
    until("nothing is left open", || server.established() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn megabytes_pass_by_connect_over_a_socket() {
    let stage = Stage::new();
    let frontend = stage.frontend(FrontendMode::HttpConnect);
    let _server = stage.serve(KonnectivityServerConfig { frontend, ..stage.server_config() }).await;
    let _agent = stage.agent(1).await;
    let config = KonnectivityEgressConfig::HttpConnectUnix { path: SOCKET.to_owned() };
    let egress = KonnectivityEgress::new(Arc::clone(&stage.control), config);
    echoed(dial(&egress, 1, SILENT).await.unwrap(), 1_000_000).await;
}

#[tokio::test(start_paused = true)]
async fn two_hundred_connections_do_not_mix() {
    let stage = Stage::new();
    let server = stage.serve(stage.server_config()).await;
    let _agent = stage.agent(1).await;
    let egress = Arc::new(stage.egress());
    let mut all = Vec::new();
    for number in 0..200_u32 {
        let egress = Arc::clone(&egress);
        all.push(tokio::spawn(async move {
            let mut stream = echoing(&*egress, 1).await;
            for round in 0..20 {
                let text = format!("{number} in round {round}\n");
                stream.write_all(text.as_bytes()).await.unwrap();
                assert_eq!(line(&mut stream).await, text.trim_end());
            }
            stream
        }));
    }
    let mut open = Vec::new();
    for one in all {
        open.push(timeout(DEADLINE, one).await.unwrap().unwrap());
    }
    assert_eq!(server.established(), 200);
    drop(open);
    until("nothing is left open", || server.established() == 0).await;
}

/// Sends without end whatever comes, and counts what it could send.
async fn flood(host: &HostRef, port: u16) -> Arc<std::sync::atomic::AtomicUsize> {
    let listener = host.listen(&Endpoint::tcp(host.addresses()[0], port)).await.unwrap();
    let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    tokio::spawn(async move {
        while let Ok(mut connection) = listener.accept().await {
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                let block = vec![b'x'; 64 * 1024];
                while connection.stream.write_all(&block).await.is_ok() {
                    count.fetch_add(block.len(), std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
    });
    sent
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stalls_holds_up_nobody_and_fills_no_memory() {
    let stage = Stage::new();
    let server = stage.serve(stage.server_config()).await;
    let host = stage.node(1).await;
    let sent = flood(&host, 8).await;
    let agent = start(&host, stage.agent_config("node-1")).await;
    until("the agent is connected", || agent.connected() == 1).await;
    let egress = stage.egress();
    let mut stalled = dial(&egress, 1, 8).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let before = sent.load(std::sync::atomic::Ordering::Relaxed);
    assert!(before > 512 * 1024 && before < 4 * 1024 * 1024, "{before} bytes are under way");
    echoed(echoing(&egress, 1).await, 3_000_000).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(sent.load(std::sync::atomic::Ordering::Relaxed), before, "the sender waits");
    assert_eq!(server.established(), 1, "and is not closed");
    let mut some = vec![0; 8 * 1024 * 1024];
    timeout(DEADLINE, stalled.read_exact(&mut some)).await.expect("it goes on").unwrap();
    drop(stalled);
    until("nothing is left open", || server.established() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_target_that_stalls_holds_up_nobody() {
    let stage = Stage::new();
    let _server = stage.serve(stage.server_config()).await;
    let host = stage.node(1).await;
    let listener = host.listen(&Endpoint::tcp(ip(1), 9)).await.unwrap();
    tokio::spawn(async move {
        let _unread = listener.accept().await;
        std::future::pending::<()>().await;
    });
    let agent = start(&host, stage.agent_config("node-1")).await;
    until("the agent is connected", || agent.connected() == 1).await;
    let egress = stage.egress();
    let mut stuck = dial(&egress, 1, 9).await.unwrap();
    let block = vec![0; 64 * 1024];
    let filling = async {
        loop {
            stuck.write_all(&block).await.unwrap();
        }
    };
    assert!(timeout(Duration::from_secs(20), filling).await.is_err(), "the writer waits");
    echoed(echoing(&egress, 1).await, 3_000_000).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_vanishes_breaks_its_connections_with_an_error() {
    let stage = Stage::new();
    let server = stage.serve(stage.server_config()).await;
    let agent = stage.agent(1).await;
    let egress = stage.egress();
    let mut stream = echoing(&egress, 1).await;
    drop(agent);
    let mut rest = Vec::new();
    let error = timeout(DEADLINE, stream.read_to_end(&mut rest)).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("the agent's connection has ended"), "{error}");
    assert!(rest.is_empty());
    assert_eq!(server.agents(), Vec::<String>::new());
    assert!(failure(dial(&egress, 1, 7).await).contains("No agent available"));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_vanishes_breaks_connections_and_is_found_again() {
    let stage = Stage::new();
    let server = stage.serve(stage.server_config()).await;
    let agent = stage.agent(1).await;
    let egress = stage.egress();
    let mut stream = echoing(&egress, 1).await;
    drop(server);
    let mut rest = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut rest)).await.unwrap().unwrap_err();
    until("the agent has noticed", || agent.connected() == 0).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let _server = stage.serve(stage.server_config()).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(agent.connected(), 1, "the pause between two attempts is bounded");
    echoed(echoing(&egress, 1).await, 1_000).await;
}

#[tokio::test(start_paused = true)]
async fn a_target_that_refuses_or_is_unknown_is_told_in_the_originals_words() {
    let stage = Stage::new();
    let _server = stage.serve(stage.server_config()).await;
    let _agent = stage.agent(1).await;
    let text = failure(dial(&stage.egress(), 1, 99).await);
    assert_eq!(text, "refused: dial tcp 10.0.0.1:99: connect: connection refused");

    let stream = stage.control.connect(&Endpoint::Unix(SOCKET.to_owned())).await.unwrap().stream;
    let text = failure(danger::dial(&stage.control, stream, "nowhere:80").await);
    assert_eq!(text, "unavailable: dial tcp: lookup nowhere: no such host");
}

#[tokio::test(start_paused = true)]
async fn what_a_target_said_before_its_end_arrives_and_then_the_end() {
    let stage = Stage::new();
    let _server = stage.serve(stage.server_config()).await;
    let host = stage.node(1).await;
    let listener = host.listen(&Endpoint::tcp(ip(1), 10)).await.unwrap();
    tokio::spawn(async move {
        let mut connection = listener.accept().await.unwrap();
        connection.stream.write_all(&vec![7; 300_000]).await.unwrap();
    });
    let agent = start(&host, stage.agent_config("node-1")).await;
    until("the agent is connected", || agent.connected() == 1).await;
    let mut stream = dial(&stage.egress(), 1, 10).await.unwrap();
    let mut read = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut read)).await.unwrap().unwrap();
    assert_eq!(read, vec![7; 300_000]);
}

#[tokio::test(start_paused = true)]
async fn what_was_written_before_a_stream_was_dropped_arrives() {
    let stage = Stage::new();
    let server = stage.serve(stage.server_config()).await;
    let host = stage.node(1).await;
    let listener = host.listen(&Endpoint::tcp(ip(1), 10)).await.unwrap();
    let (all, mut received) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        let mut connection = listener.accept().await.unwrap();
        let mut read = Vec::new();
        connection.stream.read_to_end(&mut read).await.unwrap();
        all.send(read.len()).await.unwrap();
    });
    let agent = start(&host, stage.agent_config("node-1")).await;
    until("the agent is connected", || agent.connected() == 1).await;
    let mut stream = dial(&stage.egress(), 1, 10).await.unwrap();
    stream.write_all(&vec![7; 900_000]).await.unwrap();
    drop(stream);
    assert_eq!(timeout(DEADLINE, received.recv()).await.unwrap(), Some(900_000));
    until("nothing is left open", || server.established() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn health_and_metrics_show_what_is_there() {
    let stage = Stage::new();
    let host = stage.node(1).await;
    let health = std::net::SocketAddr::new(ip(1), AGENT_HEALTH_PORT);
    let config = KonnectivityAgentConfig { health: Some(health), ..stage.agent_config("node-1") };
    let agent = start(&host, config).await;
    assert_eq!(page(&host, health, "/readyz").await, (500, "no servers connected".to_owned()));
    assert_eq!(page(&host, health, "/healthz").await, (200, "ok".to_owned()));
    let server = stage.serve(stage.server_config()).await;
    let address = std::net::SocketAddr::new(ip(100), SERVER_HEALTH_PORT);
    let ready = page(&stage.control, address, "/readyz").await;
    assert_eq!(ready, (500, "no connection to any proxy agent".to_owned()));
    until("the agent is connected", || agent.connected() == 1).await;
    assert_eq!(page(&host, health, "/readyz").await, (200, "ok".to_owned()));
    assert_eq!(page(&stage.control, address, "/readyz").await, (200, "ok".to_owned()));
    let egress = stage.egress();
    let stream = echoing(&egress, 1).await;
    let _ = dial(&egress, 1, 99).await;
    let metrics = page(&stage.control, address, "/metrics").await.1;
    for expected in [
        "konnectivity_network_proxy_server_ready_backends{proxy_strategy=\"default\"} 1",
        "konnectivity_network_proxy_server_established_connections 1",
        "konnectivity_network_proxy_server_pending_backend_dials 0",
        "konnectivity_network_proxy_server_dial_failure_count{reason=\"error_response\"} 1",
        "konnectivity_network_proxy_server_stream_packets_total{packet_type",
    ] {
        let expected =
            expected.replace("{packet_type", "{segment=\"from_agent\",packet_type=\"DIAL_RSP\"} 2");
        assert!(metrics.contains(&expected), "{expected} is not in {metrics}");
    }
    let metrics = page(&host, health, "/metrics").await.1;
    for expected in [
        "konnectivity_network_proxy_agent_open_server_connections 1",
        "konnectivity_network_proxy_agent_open_endpoint_connections 1",
        "konnectivity_network_proxy_agent_endpoint_dial_failure_total{reason=\"unknown\"} 1",
    ] {
        assert!(metrics.contains(expected), "{expected} is not in {metrics}");
    }
    let metrics = ravelin_transport::metrics::text(&egress.metrics());
    for expected in [
        "apiserver_egress_dialer_dial_start_total{protocol=\"grpc\",transport=\"uds\"} 2",
        "apiserver_egress_dialer_dial_failure_count{protocol=\"grpc\",transport=\"uds\",stage=\"proxy\"} 1",
        "konnectivity_network_proxy_client_dial_failure_total{reason=\"endpoint\"} 1",
        "konnectivity_network_proxy_client_client_connections{status=\"ok\"} 1",
    ] {
        assert!(metrics.contains(expected), "{expected} is not in {metrics}");
    }
    drop((stream, server));
}
