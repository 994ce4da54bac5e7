//! Which agent a dial goes to, and which servers an agent is connected to.

use super::super::*;
use super::stage::*;
use ravelin_host::{BoxedStream, HostRef};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Agents without networks of their own: each answers for every target, with its name.
async fn namesake(stage: &Stage, number: u8, identifiers: &str) -> (danger::Impostor, String) {
    let name = format!("agent-{number}");
    let host = stage.network.host(&name, ip(number));
    let pose = danger::Pose {
        agent_id: name.clone(),
        identifiers: AgentIdentifiers::parse(identifiers).unwrap(),
        token: None,
    };
    let stream = secured(&host).await;
    (danger::pose(&host, stream, &pose).await.unwrap(), name)
}

async fn secured(host: &HostRef) -> BoxedStream {
    let to = ravelin_host::Endpoint::tcp(ip(100), AGENT_PORT);
    let stream = host.connect(&to).await.unwrap().stream;
    let secured = ravelin_transport::danger::connect_http2(host, stream, "10.0.0.100", None).await;
    secured.unwrap().stream
}

fn answering((mut agent, name): (danger::Impostor, String)) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(mut forward) = agent.next_forward().await {
            let text = format!("{name} for {}:{}\n", forward.host, forward.port);
            forward.stream.write_all(text.as_bytes()).await.unwrap();
            forward.stream.shutdown().await.unwrap();
        }
    })
}

async fn answers(stage: &Stage, target: u8) -> String {
    let mut stream = dial(&stage.egress(), target, 80).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text.split(' ').next().unwrap().to_owned()
}

async fn served(stage: &Stage, strategies: &[Strategy]) -> KonnectivityServer {
    let strategies = strategies.to_vec();
    stage.serve(KonnectivityServerConfig { strategies, ..stage.server_config() }).await
}

#[tokio::test(start_paused = true)]
async fn by_default_every_agent_gets_its_share() {
    let stage = Stage::new();
    let _server = served(&stage, &[Strategy::Default]).await;
    for number in 1..=3 {
        answering(namesake(&stage, number, "").await);
    }
    let mut shares = BTreeMap::<String, u32>::new();
    for _ in 0..60 {
        *shares.entry(answers(&stage, 50).await).or_default() += 1;
    }
    assert_eq!(shares.len(), 3);
    assert!(shares.values().all(|share| *share >= 8), "{shares:?}");
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_chosen_by_its_address_then_by_the_default_route() {
    let stage = Stage::new();
    let _server = served(&stage, &[Strategy::DestHost, Strategy::DefaultRoute]).await;
    answering(namesake(&stage, 1, "ipv4=10.0.0.51&host=node-51").await);
    answering(namesake(&stage, 2, "ipv4=10.0.0.52").await);
    answering(namesake(&stage, 3, "default-route=true").await);
    for _ in 0..5 {
        assert_eq!(answers(&stage, 51).await, "agent-1");
        assert_eq!(answers(&stage, 52).await, "agent-2");
        assert_eq!(answers(&stage, 53).await, "agent-3");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_fallback_only_the_named_are_reached() {
    let stage = Stage::new();
    let _server = served(&stage, &[Strategy::DestHost]).await;
    answering(namesake(&stage, 1, "ipv4=10.0.0.51").await);
    assert_eq!(answers(&stage, 51).await, "agent-1");
    assert_eq!(failure(dial(&stage.egress(), 52, 80).await), "unavailable: No agent available");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_drains_gets_no_new_connections_unless_it_is_the_last() {
    let stage = Stage::new();
    let server = stage.serve(stage.server_config()).await;
    let first = stage.agent(1).await;
    let egress = stage.egress();
    let mut open = echoing(&egress, 1).await;
    first.drain();
    tokio::time::sleep(Duration::from_secs(1)).await;
    // The only one there is.
    let through_first = echoing(&egress, 1).await;
    let second = stage.agent(2).await;
    for _ in 0..20 {
        drop(echoing(&egress, 1).await);
    }
    until("new connections have gone", || server.established() == 2).await;
    let through = |agent: &KonnectivityAgent| {
        let text = ravelin_transport::metrics::text(&agent.metrics());
        let needle = "konnectivity_network_proxy_agent_dial_duration_seconds_count ";
        text.lines().find_map(|line| line.strip_prefix(needle)).map(str::to_owned)
    };
    assert_eq!(through(&first), Some("2".to_owned()));
    assert_eq!(through(&second), Some("20".to_owned()));
    open.write_all(b"still here\n").await.unwrap();
    assert_eq!(line(&mut open).await, "still here");
    drop(through_first);
}

/// Servers of one name, each with an address and a socket of its own.
async fn servers(stage: &Stage, count: u8) -> Vec<(HostRef, KonnectivityServer)> {
    let mut servers = Vec::new();
    for number in 0..count {
        let host = stage.network.host(&format!("server-{number}"), ip(110 + number));
        let mut config = stage.server_config();
        config.server_id = format!("server-{number}");
        config.server_count = u32::from(count);
        config.agents.listen = SocketAddr::new(ip(110 + number), AGENT_PORT);
        config.health = None;
        let server = KonnectivityServer::start(Arc::clone(&host), config).await.unwrap();
        servers.push((host, server));
    }
    servers
}

/// A proxy in front of servers that gives each connection to the next of them.
async fn balanced(stage: &Stage, count: u8) {
    let listener = stage.control.listen(&ravelin_host::Endpoint::tcp(ip(100), AGENT_PORT)).await.unwrap();
    let control = Arc::clone(&stage.control);
    tokio::spawn(async move {
        for number in (0..count).cycle() {
            let Ok(mut taken) = listener.accept().await else { return };
            let to = ravelin_host::Endpoint::tcp(ip(110 + number), AGENT_PORT);
            let Ok(mut given) = control.connect(&to).await else { continue };
            tokio::spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut taken.stream, &mut given.stream).await;
            });
        }
    });
}

#[tokio::test(start_paused = true)]
async fn an_agent_connects_to_every_server_behind_one_address() {
    let stage = Stage::new();
    let servers = servers(&stage, 3).await;
    balanced(&stage, 3).await;
    let host = stage.node(1).await;
    let agent = start(&host, stage.agent_config("node-1")).await;
    until("it has found all", || agent.connected() == 3).await;
    for (control, server) in &servers {
        assert_eq!(server.agents(), ["node-1"]);
        let config = KonnectivityEgressConfig::Grpc { path: SOCKET.to_owned() };
        let egress = KonnectivityEgress::new(Arc::clone(control), config);
        drop(echoing(&egress, 1).await);
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(servers.iter().all(|(_, server)| server.agents().len() == 1), "no connection is double");
}

#[tokio::test(start_paused = true)]
async fn a_connection_to_a_server_that_is_known_is_closed_again() {
    let stage = Stage::new();
    let mut config = stage.server_config();
    // It says there are two, and the address leads to this one alone.
    config.server_count = 2;
    let server = stage.serve(config).await;
    let agent = stage.agent(1).await;
    let mut open = echoing(&stage.egress(), 1).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(agent.connected(), 1);
    assert_eq!(server.agents(), ["node-1"]);
    open.write_all(b"the first one stays\n").await.unwrap();
    assert_eq!(line(&mut open).await, "the first one stays");
}

#[tokio::test(start_paused = true)]
async fn an_agent_finds_as_many_servers_as_there_are_leases() {
    let stage = Stage::new();
    let leases = Arc::new(Leases::default());
    let (client, _apiserver) = stage.apiserver(leases.clone()).await;
    let (namespace, label) = ("kube-system".to_owned(), "k8s-app=konnectivity-server".to_owned());
    let at = LeasesAt { client, namespace, label };
    let mut servers = servers(&stage, 2).await;
    balanced(&stage, 2).await;
    let mut held = Vec::new();
    for (host, _) in &servers {
        held.push(ServerLease::start(host, host.name(), at.clone()));
    }
    let names = || leases.0.lock().unwrap().keys().cloned().collect::<Vec<_>>();
    until("both are held", || names().len() == 2).await;
    assert_eq!(names(), ["konnectivity-proxy-server-server-0", "konnectivity-proxy-server-server-1"]);
    // One that is gone, and was not removed.
    let gone = serde_json::json!({
        "metadata": { "name": "gone", "labels": { "k8s-app": "konnectivity-server" } },
        "spec": { "renewTime": "2025-01-01T00:00:00.000000Z", "leaseDurationSeconds": 30 },
    });
    leases.0.lock().unwrap().insert("gone".to_owned(), gone);
    let host = stage.node(1).await;
    let count = LeaseCount { at: at.clone(), larger: false };
    let config = stage.agent_config("node-1");
    let agent = KonnectivityAgent::counting(Arc::clone(&host), config, Some(count)).await.unwrap();
    until("it has found both", || agent.connected() == 2).await;
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(names().len(), 2, "the one that was gone is removed");
    assert_eq!(agent.connected(), 2);
    let known = "konnectivity_network_proxy_agent_known_server_count ";
    let count = || {
        let text = ravelin_transport::metrics::text(&agent.metrics());
        text.lines().find_map(|line| line.strip_prefix(known)).map(str::to_owned)
    };
    assert_eq!(count().as_deref(), Some("2"));
    held.pop().unwrap().release().await.unwrap();
    servers.pop();
    until("it knows of one only", || count().as_deref() == Some("1")).await;
}
