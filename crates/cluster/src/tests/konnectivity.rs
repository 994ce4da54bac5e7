//! Konnectivity in whole clusters: agents in pods with tokens of their own, and what goes through them.

use super::{sample, start, status};
use crate::{AgentProof, Cluster, Demo, Layout};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ravelin_client::{Client, Credential, TokenSource};
use ravelin_config::{AgentAuthentication, ClusterConfig, Egress, KonnectivityConfig};
use ravelin_transport::body;
use std::time::Duration;

/// The configuration's Konnectivity, to be changed.
fn konnectivity(config: &mut ClusterConfig) -> &mut KonnectivityConfig {
    match &mut config.apiserver.egress {
        Egress::Konnectivity(found) => found,
        other => panic!("{other:?}"),
    }
}

async fn two_nodes(config: &ClusterConfig) -> Cluster {
    start(config, Layout::new(config, 2).expect("two nodes have room")).await
}

/// Reads the log of each node's logger, as a user does.
async fn logs(cluster: &Cluster) -> Result<(), String> {
    let user = Client::new(cluster.hosts.user.clone(), cluster.facts.user.clone());
    for node in ["node-1", "node-2"] {
        let path = format!("/api/v1/namespaces/ravelin/pods/{}/log", Demo::Logger.pod_name(node));
        let request = http::Request::get(&path).body(body::empty()).expect("a path");
        let (status, _, body) = user.raw(request).await.map_err(|error| format!("{node}: {error}"))?;
        if !status.is_success() {
            return Err(format!("{node}: {status}: {}", String::from_utf8_lossy(&body)));
        }
    }
    Ok(())
}

/// What a token says.
fn claims(token: &str) -> serde_json::Value {
    let payload = token.split('.').nth(1).expect("it has three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64")).expect("JSON")
}

#[tokio::test(start_paused = true)]
async fn logs_are_read_through_agents_that_prove_themselves_by_tokens() {
    let config = sample("konnectivity");
    let cluster = two_nodes(&config).await;
    assert!(cluster.is_ready() && cluster.agents_are_connected());
    assert_eq!(cluster.egress_name(), "konnectivity");
    logs(&cluster).await.expect("both nodes' are there");
    let at = cluster.konnectivity().expect("it is the egress");
    let AgentProof::Token { subject, audience } = &at.proof else { panic!("{at:?}") };
    assert_eq!((at.agents.port(), at.servers, at.frontend), (8132, 1, None));
    // The kubelet asked for the token: it is its pod's, and good for nothing else.
    for node in 0..2 {
        let token = cluster.agent_credential(node).expect("it has one").token.expect("it is there");
        let said = claims(&token);
        assert_eq!(said["aud"], serde_json::json!([audience]));
        assert_eq!(said["sub"], subject.common_name.as_str());
        let pod = format!("konnectivity-agent-{}", cluster.node_name(node));
        assert_eq!(said["kubernetes.io"]["pod"]["name"], pod.as_str());
        let credential = Credential::Token(TokenSource::fixed(token));
        assert_eq!(status(&cluster, credential, "/version").await, 401);
    }
    assert!(cluster.agent_credential(2).is_none(), "the joiner has not joined");
}

#[tokio::test(start_paused = true)]
async fn without_authentication_agents_have_nothing_to_show() {
    let config = sample("konnectivity-open");
    let cluster = two_nodes(&config).await;
    assert!(cluster.is_ready());
    logs(&cluster).await.expect("both nodes' are there");
    assert_eq!(cluster.konnectivity().map(|at| &at.proof), Some(&AgentProof::Nothing));
    let credential = cluster.agent_credential(0).expect("it runs");
    assert!(credential.token.is_none() && credential.identity.is_none(), "{credential:?}");
}

#[tokio::test(start_paused = true)]
async fn a_token_for_somebody_else_makes_no_agent() {
    let mut config = sample("konnectivity");
    let server = &mut konnectivity(&mut config).server;
    let AgentAuthentication::Token { audience, .. } = &mut server.authentication else { panic!() };
    *audience = "another".to_owned();
    let cluster = two_nodes(&config).await;
    assert!(!cluster.agents_are_connected());
    let error = logs(&cluster).await.expect_err("no agent leads there");
    assert!(error.contains("No agent available") || error.contains("no agent"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn agents_come_back_with_their_nodes_and_with_their_servers() {
    let config = sample("konnectivity");
    let cluster = two_nodes(&config).await;
    cluster.restart_node(1).await;
    assert!(!cluster.agents_are_connected(), "its pod has not started yet");
    cluster.wait_for_agents(Duration::from_secs(60)).await;
    assert!(cluster.agents_are_connected());
    cluster.stop_apiserver(0);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(cluster.agents_are_connected(), "their server goes on");
    cluster.start_apiserver(0).await.expect("its port is free");
    cluster.wait_for_agents(Duration::from_secs(60)).await;
    assert!(cluster.agents_are_connected());
    tokio::time::sleep(Duration::from_secs(60)).await;
    logs(&cluster).await.expect("both nodes' are there");
}

#[tokio::test(start_paused = true)]
async fn agents_are_where_their_workload_has_them() {
    // Certificates, programs of the nodes, and one agent for two nodes.
    let mut config = sample("konnectivity");
    let found = konnectivity(&mut config);
    let file = ravelin_config::FileName::new;
    found.server.authentication = AgentAuthentication::Certificate { ca: file("/pki/agents-ca.crt") };
    found.agent.client =
        Some(ravelin_config::FilePair { cert: file("/pki/agent.crt"), key: file("/pki/agent.key") });
    found.agent.token = None;
    found.agent.pod.as_mut().expect("they run in pods").replicas = Some(1);
    let cluster = two_nodes(&config).await;
    assert!(cluster.agents_are_connected());
    assert!(cluster.agent_credential(0).is_some_and(|own| own.identity.is_some() && own.token.is_none()));
    assert!(cluster.agent_credential(1).is_none());
    logs(&cluster).await.expect("one agent reaches both nodes");
    // As programs, with a token in a file.
    let mut config = sample("konnectivity");
    konnectivity(&mut config).agent.pod = None;
    let cluster = two_nodes(&config).await;
    assert!(cluster.agents_are_connected());
    assert!(cluster.agent_credential(1).is_some_and(|own| own.token.is_some()));
    logs(&cluster).await.expect("both nodes' are there");
}

#[tokio::test(start_paused = true)]
async fn every_apiserver_has_a_server_that_every_agent_knows() {
    let mut config = sample("konnectivity");
    konnectivity(&mut config).server.count = 3;
    let layout = Layout::new(&config, 2).expect("two nodes have room").with_apiservers(3);
    let cluster = start(&config, layout).await;
    assert!(cluster.agents_are_connected(), "each agent is connected to three servers");
    assert_eq!(cluster.konnectivity().map(|at| at.servers), Some(3));
    logs(&cluster).await.expect("both nodes' are there");
}
