//! Which tunnels there are, through which one a connection goes, and what is said of them.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_target_that_is_no_node_fails_or_goes_through_a_random_one() {
    let cluster = Cluster::new(3).await;
    let web = cluster.network.host("default/web", ip(200));
    echo(&web, 80, "web").await;
    let target = SocketAddr::new(ip(200), 80);
    let tunneler = cluster.tunneler(pinned(3), UnknownNode::Fail);
    tunneler.wait_ready(3, DEADLINE).await.unwrap();
    assert!(refusal(tunneler.dial(target, &pod()).await).contains("is on no node that is known"));

    let tunneler = cluster.tunneler(pinned(3), UnknownNode::DangerRandom);
    let none = tunneler.dial(target, &pod()).await.err().unwrap().to_string();
    let expected =
        "No SSH tunnels currently open. Were the targets able to accept an ssh-key for user \"tunnel\"?";
    assert!(none.contains(expected), "{none}");
    tunneler.wait_ready(3, DEADLINE).await.unwrap();
    let mut stream = tunneler.dial(target, &pod()).await.unwrap();
    assert_eq!(line(&mut stream).await, "web");
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_is_opened_again_and_a_gone_node_is_left() {
    let mut cluster = Cluster::new(2).await;
    let tunneler = cluster.tunneler(pinned(2), UnknownNode::Fail);
    tunneler.wait_ready(2, DEADLINE).await.unwrap();
    let mut stream = echo_through(&tunneler, 1).await;
    drop(cluster.servers.remove("node-1"));
    let ended = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut Vec::new())).await;
    let lost = ended.expect("streams of a lost session end").unwrap_err();
    assert_eq!(lost.to_string(), "the SSH tunnel to node-1 was lost");
    let error = tunneler.dial(SocketAddr::new(ip(1), 7), &node(1)).await.err().unwrap();
    assert!(error.to_string().contains("no SSH tunnel to node-1 is open"), "{error}");
    cluster.serve(1).await;
    tunneler.wait_ready(2, DEADLINE).await.unwrap();
    drop(echo_through(&tunneler, 1).await);

    cluster.nodes.remove("node-2");
    tokio::time::timeout(DEADLINE, async {
        while tunneler.open() != 1 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
    .await
    .expect("the tunnel of a node that is gone is closed");
}

/// Where a connection that reached `web` came from.
async fn arrives_from(web: &dyn ravelin_host::Listener) -> IpAddr {
    web.accept().await.unwrap().peer.socket_addr().unwrap().ip()
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_reached_through_the_node_that_hosts_it() {
    let cluster = Cluster::new(3).await;
    let web = cluster.network.host("default/web", ip(200)).listen(&Endpoint::tcp(ip(200), 80)).await.unwrap();
    let target = SocketAddr::new(ip(200), 80);
    let tunneler = cluster.tunneler(pinned(3), UnknownNode::Fail);
    tunneler.wait_ready(3, DEADLINE).await.unwrap();
    for number in [3, 1, 2] {
        let hosted = pod_on(Some(&format!("node-{number}")));
        let (dialled, from) = tokio::join!(tunneler.dial(target, &hosted), arrives_from(&*web));
        assert!(dialled.is_ok());
        assert_eq!(from, ip(number));
    }
    let gone = refusal(tunneler.dial(target, &pod_on(Some("node-9"))).await);
    assert_eq!(
        gone,
        "10.0.0.200 (pod default/web) is on node-9, which is no node: no SSH tunnel leads there"
    );
    // An address of another node leads nobody through that node.
    let second = node(2);
    let (dialled, from) = tokio::join!(tunneler.dial(target, &second), arrives_from(&*web));
    assert!(dialled.is_ok());
    assert_eq!(from, ip(2));
}

#[tokio::test(start_paused = true)]
async fn without_its_own_tunnel_a_node_is_reached_through_another_in_legacy_mode_only() {
    let mut cluster = Cluster::new(2).await;
    for (unknown, reached) in [(UnknownNode::Fail, false), (UnknownNode::DangerRandom, true)] {
        let tunneler = cluster.tunneler(pinned(2), unknown);
        tunneler.wait_ready(2, DEADLINE).await.unwrap();
        drop(cluster.servers.remove("node-1"));
        let gone = async {
            while tunneler.open() != 1 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(DEADLINE, gone).await.unwrap();
        let dialled = tunneler.dial(SocketAddr::new(ip(1), 7), &node(1)).await;
        assert_eq!(dialled.is_ok(), reached, "{:?}", dialled.err());
        cluster.serve(1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_address_of_a_node_is_tried_and_one_that_it_lost_is_left() {
    let cluster = Cluster::new(2).await;
    cluster.nodes.remove("node-2");
    // Nobody listens at the first; at the second is another node.
    cluster.nodes.add("node-1", &[ip(250), ip(2), ip(1)]);
    let tunneler = cluster.tunneler(pinned(1), UnknownNode::Fail);
    tunneler.wait_ready(1, DEADLINE).await.unwrap();
    let stream = echo_through(&tunneler, 1).await;
    cluster.nodes.add("node-1", &[ip(250), ip(2)]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(tunneler.open(), 0, "what is at its old address is not this node");
    let refused = refusal(tunneler.dial(SocketAddr::new(ip(1), 7), &node(1)).await);
    assert!(refused.contains("is not the one that is pinned for it"), "{refused}");
    drop(stream);
    cluster.nodes.add("node-1", &[ip(2), ip(1)]);
    tunneler.wait_ready(1, DEADLINE).await.unwrap();
}

/// Answers nothing, and tells when it was asked.
async fn silent_kubelet(host: &HostRef) -> Arc<Mutex<Vec<tokio::time::Instant>>> {
    let listener = host.listen(&Endpoint::tcp(IpAddr::from([127, 0, 0, 1]), 10255)).await.unwrap();
    let asked = Arc::<Mutex<Vec<tokio::time::Instant>>>::default();
    let told = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok(connection) = listener.accept().await {
            told.lock().unwrap().push(tokio::time::Instant::now());
            held.push(connection);
        }
    });
    asked
}

/// Answers every request with a complaint, which is an answer; tells when it was asked.
async fn ailing_kubelet(host: &HostRef) -> Arc<Mutex<Vec<tokio::time::Instant>>> {
    let listener = host.listen(&Endpoint::tcp(IpAddr::from([127, 0, 0, 1]), 10255)).await.unwrap();
    let asked = Arc::<Mutex<Vec<tokio::time::Instant>>>::default();
    let told = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok(mut connection) = listener.accept().await {
            told.lock().unwrap().push(tokio::time::Instant::now());
            let mut head = [0; 1024];
            let count = connection.stream.read(&mut head).await.unwrap();
            assert!(head[..count].starts_with(b"GET /healthz HTTP/1.1\r\n"));
            let answer = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
            connection.stream.write_all(answer).await.unwrap();
        }
    });
    asked
}

fn probing(cluster: &Cluster, health_port: Option<u16>) -> Arc<SshTunneler> {
    let config =
        SshConfig { health_port, ..SshConfig::new("tunnel", key(USER_KEY), HostKeyPolicy::DangerAny) };
    let host = cluster.network.host("control-plane", ip(100));
    SshTunneler::follow(host, config, Arc::new(cluster.nodes.clone()))
}

#[tokio::test(start_paused = true)]
async fn tunnels_are_probed_once_a_minute_and_not_all_at_once() {
    let cluster = Cluster::new(4).await;
    let mut asked = Vec::new();
    for number in 1..=4 {
        asked.push(ailing_kubelet(&cluster.hosts[&format!("node-{number}")]).await);
    }
    let tunneler = probing(&cluster, Some(10255));
    tunneler.wait_ready(4, DEADLINE).await.unwrap();
    let stream = echo_through(&tunneler, 1).await;
    tokio::time::sleep(Duration::from_secs(301)).await;
    let mut all: Vec<_> = asked.iter().flat_map(|one| one.lock().unwrap().clone()).collect();
    all.sort_unstable();
    assert!((15..=21).contains(&all.len()), "{} probes in five minutes", all.len());
    assert!(all.windows(2).all(|two| two[1] - two[0] >= Duration::from_secs(14)), "{all:?}");
    assert_eq!(tunneler.open(), 4, "any answer is a good one");
    drop(stream);
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_to_a_node_that_does_not_answer_is_opened_anew() {
    for port in [Some(10255), None] {
        let cluster = Cluster::new(1).await;
        let asked = silent_kubelet(&cluster.hosts["node-1"]).await;
        let tunneler = probing(&cluster, port);
        tunneler.wait_ready(1, DEADLINE).await.unwrap();
        let mut stream = echo_through(&tunneler, 1).await;
        tokio::time::sleep(Duration::from_secs(200)).await;
        if port.is_none() {
            assert_eq!(asked.lock().unwrap().len(), 0);
            stream.write_all(b"the server itself answers\n").await.unwrap();
            assert_eq!(line(&mut stream).await, "the server itself answers");
            continue;
        }
        assert!(asked.lock().unwrap().len() >= 2, "it was opened anew and probed again");
        let ended = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut Vec::new())).await;
        let lost = ended.expect("the stream ends").unwrap_err();
        assert_eq!(lost.to_string(), "the SSH tunnel to node-1 was lost");
        let opened = sample(&tunneler, "ssh_tunnel_open_count");
        assert!((2.0..=5.0).contains(&opened), "{opened} tunnels in 200 s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_kubelet_has_no_open_port_keeps_its_tunnel() {
    let cluster = Cluster::new(1).await;
    let tunneler = probing(&cluster, Some(10255));
    tunneler.wait_ready(1, DEADLINE).await.unwrap();
    let mut stream = echo_through(&tunneler, 1).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    stream.write_all(b"still here\n").await.unwrap();
    assert_eq!(line(&mut stream).await, "still here");
}

fn sample(tunneler: &SshTunneler, name: &str) -> f64 {
    let families = tunneler.metrics();
    families.iter().find(|family| family.name == name).unwrap().samples[0].value
}

#[tokio::test(start_paused = true)]
async fn what_is_counted_has_the_names_that_kubernetes_gave_it() {
    let cluster = Cluster::new(2).await;
    let tunneler = cluster.tunneler(pinned(1), UnknownNode::Fail);
    tunneler.wait_ready(1, DEADLINE).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let (opened, failed) =
        (sample(&tunneler, "ssh_tunnel_open_count"), sample(&tunneler, "ssh_tunnel_open_fail_count"));
    assert!(failed > 3.0, "node-2 is refused, again and again, in growing pauses");
    assert!(failed < 8.0);
    assert_eq!(opened, failed + 1.0);
    assert!(sample(&tunneler, "apiserver_proxy_tunnel_sync_duration_seconds") <= 15.0);
    assert!(sample(&tunneler, "apiserver_proxy_tunnel_sync_latency_secs") <= 15.0);
}

/// An apiserver that cannot be asked.
#[derive(Debug)]
struct NoNodes;

#[async_trait]
impl NodeSource for NoNodes {
    async fn nodes(&self) -> Result<BTreeMap<String, ListedNode>, String> {
        Err("connection refused".to_owned())
    }

    async fn record(&self, _node: &str, _key: &SshPublicKey) -> Result<SshPublicKey, String> {
        Err("connection refused".to_owned())
    }
}

#[tokio::test(start_paused = true)]
async fn the_health_check_fails_ten_minutes_after_the_last_list_of_nodes() {
    let cluster = Cluster::new(1).await;
    let check = |tunneler: &SshTunneler| tunneler.health().remove(0);
    let well = cluster.tunneler(pinned(1), UnknownNode::Fail);
    let config = SshConfig::new("tunnel", key(USER_KEY), HostKeyPolicy::DangerAny);
    let host = cluster.network.host("control-plane", ip(101));
    let late = SshTunneler::follow(host, config, Arc::new(NoNodes));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!((check(&late).name, check(&late).outcome), ("SSH Tunnel Check", Ok(())));
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(check(&late).outcome, Err("Tunnel sync is taking to long: 611".to_owned()));
    assert_eq!(check(&well).outcome, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn the_users_name_is_cut_off_as_in_kubernetes() {
    let mut cluster = Cluster::new(1).await;
    let name = "a-user-name-of-exactly-32-letters";
    let short: String = name.chars().take(32).collect();
    let config = SshNodeConfig {
        listen: SocketAddr::new(ip(1), SSH_PORT),
        host_key: key(11),
        host_certificate: None,
        user: short,
        authorized_keys: vec![key(USER_KEY).public()],
        user_authorities: Vec::new(),
        forwarding: Forwarding::DangerAnywhere,
    };
    cluster.stop(1).await;
    let _server = SshNodeServer::start(Arc::clone(&cluster.hosts["node-1"]), config).await.unwrap();
    let host = cluster.network.host("control-plane", ip(100));
    let config = SshConfig::new(format!("{name}-and-more"), key(USER_KEY), pinned(1));
    let tunneler = SshTunneler::follow(host, config, Arc::new(cluster.nodes.clone()));
    tunneler.wait_ready(1, DEADLINE).await.unwrap();
}
