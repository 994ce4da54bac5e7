//! Every packet of a cluster: with a tunnel, nothing that the apiserver has to say to kubelets, nodes,
//! pods and services is seen outside it.

use crate::services::stage::{Setting, Stage};
use ravelin_client::{Carrier, PodName, Remote, RemoteOptions};
use ravelin_cluster::Layout;
use ravelin_config::ClusterConfig;
use ravelin_host::Flaws;
use ravelin_sim::Segment;
use ravelin_tests::{Sample, verified_ssh_tunnels};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use tokio::io::AsyncReadExt;

/// What a control plane says on the segment of its nodes.
#[derive(Debug, Default)]
struct Seen {
    /// Bytes of each port that carries them: the apiserver's own, or a tunnel's.
    known: BTreeMap<&'static str, usize>,
    /// Other ends, the one of the node first.
    others: BTreeSet<(SocketAddr, SocketAddr)>,
}

/// Uses every way from the apiserver into the cluster, and looks at every packet.
fn seen(config: ClusterConfig) -> Seen {
    let layout = Layout::new(&config, 2).expect("two nodes have room");
    let setting = Setting { config, layout, flaws: Flaws::none() };
    setting.play(|stage| {
        Box::pin(async move {
            use_everything(&stage).await;
            looked_at(&stage)
        })
    })
}

async fn use_everything(stage: &Rc<Stage>) {
    let client = stage.cluster.operator();
    let at = "/api/v1/namespaces/ravelin";
    for path in [
        format!("{at}/pods/web-node-1/log"),
        "/api/v1/nodes/node-2/proxy/healthz".to_owned(),
        format!("{at}/pods/web-node-2:8080/proxy/"),
        format!("{at}/services/http:web:80/proxy/"),
    ] {
        let request = http::Request::get(&path).body(ravelin_transport::body::empty());
        let answer = client.raw(request.expect("it is a request")).await;
        let (status, _, body) = answer.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&body));
    }
    let pod = PodName { namespace: "ravelin", name: "web-node-1" };
    let options = RemoteOptions { stdout: true, ..RemoteOptions::default() };
    for carrier in [stage.cluster.kubectl_carrier(), Carrier::Spdy] {
        let how = Remote { container: None, options, carrier };
        let streams = client.exec(pod, &["echo", "hello"], how).await.expect("it is allowed");
        let mut said = String::new();
        streams.stdout.expect("asked for").read_to_string(&mut said).await.expect("it ends");
        assert_eq!(said, "hello\n");
        let forwarding = client.port_forward(pod, carrier).await.expect("it is allowed");
        drop(forwarding.connect(8080).await.expect("it is there"));
    }
}

fn looked_at(stage: &Stage) -> Seen {
    let control: BTreeSet<IpAddr> =
        stage.cluster.layout().control_planes().map(|place| place.address).collect();
    let api = stage.cluster.apiserver_address();
    let agents = stage.cluster.konnectivity().map(|at| at.agents);
    let mut seen = Seen::default();
    for packet in stage.world.wire().packets() {
        let (from, to) = (packet.source, packet.destination);
        let (own, other) = match (control.contains(&from.ip()), control.contains(&to.ip())) {
            (true, _) => (from, to),
            (_, true) => (to, from),
            _ => continue,
        };
        if packet.segment != Segment::Access {
            continue;
        }
        let tunnel = match stage.cluster.egress_name() {
            "ssh" if other.port() == ravelin_tunnel::SSH_PORT => Some("tunnel"),
            _ if Some(own) == agents => Some("tunnel"),
            _ => None,
        };
        let known = tunnel.or((own == api).then_some("apiserver"));
        match known {
            Some(known) => *seen.known.entry(known).or_default() += packet.payload_len,
            None => {
                seen.others.insert((other, own));
            }
        }
    }
    seen
}

#[test]
fn nothing_is_seen_outside_a_tunnel() {
    let clusters = [
        ("legacy", Sample::LegacySshTunnels.config()),
        ("verified", verified_ssh_tunnels()),
        ("konnectivity", Sample::Konnectivity.config()),
        ("konnectivity-open", Sample::KonnectivityOpen.config()),
    ];
    for (name, config) in clusters {
        let seen = seen(config);
        assert!(seen.others.is_empty(), "{name}: {:?}", seen.others);
        for port in ["tunnel", "apiserver"] {
            let bytes = seen.known.get(port).copied().unwrap_or_default();
            assert!(bytes > 10_000, "{name}: {bytes} bytes on {port}");
        }
    }
}

/// The same look at a cluster without a tunnel finds what it looks for.
#[test]
fn without_a_tunnel_it_is_seen() {
    let seen = seen(Sample::KubeadmDefault.config());
    let ports: BTreeSet<u16> = seen.others.iter().map(|(other, _)| other.port()).collect();
    assert_eq!(ports, [8080, 10_250].into());
}
