//! The Rust client `kube` (kube-rs) as a second independent client: list, watch, logs, exec, attach
//! and port-forward on sockets against `ravelin up`, and the same in a simulation.
//!
//! It is built with `--deep` alone (the feature `kube-client`): it brings sixty crates.

mod service;
mod steps;

use super::rig::Up;
use crate::services::stage::Setting;
use ravelin_client::Credential;
use ravelin_cluster::Who;
use ravelin_host::os::{Computer, computer};
use ravelin_pki::{Identity, ServerTrust, TrustAnchors};
use service::{Reached, client};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// What all steps together may take on sockets.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn kube_lists_watches_and_streams_on_sockets() {
    let up = Up::start(&["--nodes", "2"]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime can be had");
    let host = computer(Computer {
        name: "tester".to_owned(),
        address: Ipv4Addr::LOCALHOST.into(),
        files: up.folder().join("files"),
        places: Vec::new(),
        observer: None,
    });
    let reached = of_kubeconfig(&up);
    let all = async { tokio::time::timeout(PATIENCE, steps::all(client(host, reached))).await };
    let done = runtime.block_on(all).expect("it does not take so long");
    assert_eq!(done, steps::NAMES, "{}", up.messages());
}

/// The same steps where the same client is on a machine of the simulated network, and every byte is
/// what the seed makes it.
#[test]
fn kube_lists_watches_and_streams_in_a_simulation() {
    let done = Setting::of(2).play(|stage| {
        Box::pin(async move {
            let user = stage.cluster.client(Who::User).expect("it runs").expect("there is one");
            let config = user.config().clone();
            let Credential::Certificate(identity) = config.credential else {
                panic!("the administrator has a certificate");
            };
            let (server, name, trust) = (config.server, config.server_name, config.trust);
            let reached = Reached { server, name, trust, identity };
            steps::all(client(user.host().clone(), reached)).await
        })
    });
    assert_eq!(done, steps::NAMES);
}

/// The cluster as its kubeconfig names it.
fn of_kubeconfig(up: &Up) -> Reached {
    let read = kube::config::Kubeconfig::read_from(up.kubeconfig()).expect("it is a kubeconfig");
    let cluster = read.clusters[0].cluster.as_ref().expect("it names a cluster");
    let user = read.auth_infos[0].auth_info.as_ref().expect("it names a user");
    let server = cluster.server.as_deref().and_then(|server| server.strip_prefix("https://"));
    let server: SocketAddr = server.expect("it is https").parse().expect("it is an address");
    let authority = text(cluster.certificate_authority_data.as_deref());
    let chain = text(user.client_certificate_data.as_deref());
    // kube itself does not show it.
    let file = std::fs::read_to_string(up.kubeconfig()).expect("it can be read");
    let key = text(file.lines().find_map(|line| line.trim().strip_prefix("client-key-data: ")));
    Reached {
        server,
        name: server.ip().to_string(),
        trust: ServerTrust::Anchors(TrustAnchors::from_pem(&authority).expect("it is a certificate")),
        identity: Identity::from_pem(&chain, &key).expect("they belong together"),
    }
}

fn text(encoded: Option<&str>) -> String {
    use base64::Engine;
    let encoded = encoded.expect("it is in the file");
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded).expect("it is base64");
    String::from_utf8(decoded).expect("it is PEM")
}
