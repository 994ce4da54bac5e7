//! Who is no agent, no frontend, no server, and which checks say so.

use super::super::*;
use super::stage::*;
use ravelin_host::{Endpoint, Flaw, Flaws, HostRef};
use ravelin_pki::{Identity, ServerTrust, Usage};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Tries to become an agent, with this certificate and this token.
async fn pose(
    host: &HostRef,
    identity: Option<Identity>,
    token: Option<&str>,
) -> Result<danger::Impostor, String> {
    let stream = host.connect(&Endpoint::tcp(ip(100), AGENT_PORT)).await.unwrap().stream;
    let secured = ravelin_transport::danger::connect_http2(host, stream, "10.0.0.100", identity).await;
    let stream = secured.map_err(|error| error.to_string())?.stream;
    let pose = danger::Pose {
        agent_id: "node-1".to_owned(),
        identifiers: AgentIdentifiers::default(),
        token: token.map(str::to_owned),
    };
    danger::pose(host, stream, &pose).await.map_err(|refused| refused.reason)
}

fn with(stage: &Stage, authentication: AgentAuthentication) -> KonnectivityServerConfig {
    let mut config = stage.server_config();
    config.agents.authentication = authentication;
    config
}

#[tokio::test(start_paused = true)]
async fn only_a_certificate_of_the_cluster_makes_an_agent() {
    for flaw in [None, Some(Flaw::KonnectivityTakesAnyAgent)] {
        let stage = Stage::with_flaws(Flaws::danger(flaw));
        let config = with(&stage, AgentAuthentication::ClientCertificate(stage.anchors()));
        let server = stage.serve(config).await;
        let host = stage.network.host("rogue", ip(66));
        let foreign = identity(&authority(&stage.control, 9), &stage.control, Usage::Client);
        let for_servers = stage.identity(Usage::Server);
        let wrong = [(None, "CertificateRequired"), (Some(foreign), "UnknownCA"), (Some(for_servers), "")];
        for (shown, alert) in wrong {
            match (pose(&host, shown, None).await, flaw) {
                (Err(reason), None) => assert!(reason.contains(alert), "{reason}"),
                (Ok(_), Some(_)) => {}
                (result, _) => panic!("with {flaw:?}: {result:?}"),
            }
        }
        if flaw.is_none() {
            assert_eq!(server.agents(), Vec::<String>::new());
            let right = Some(stage.identity(Usage::Client));
            let _agent = pose(&host, right, None).await.unwrap();
            assert_eq!(server.agents(), ["node-1"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_honest_agent_shows_its_certificate() {
    let stage = Stage::new();
    let config = with(&stage, AgentAuthentication::ClientCertificate(stage.anchors()));
    let server = stage.serve(config).await;
    let host = stage.node(1).await;
    let identity = Some(stage.identity(Usage::Client));
    let config = KonnectivityAgentConfig { identity, ..stage.agent_config("node-1") };
    let agent = start(&host, config).await;
    until("the agent is connected", || agent.connected() == 1).await;
    assert_eq!(server.agents(), ["node-1"]);
}

fn account(name: &str, audience: &str) -> serde_json::Value {
    json!({ "authenticated": true, "audiences": [audience], "user": { "username": name } })
}

#[tokio::test(start_paused = true)]
async fn only_a_token_of_the_account_for_the_audience_makes_an_agent() {
    for flaw in [None, Some(Flaw::KonnectivityTakesAnyAgent)] {
        let stage = Stage::with_flaws(Flaws::danger(flaw));
        let right = "system:serviceaccount:kube-system:konnectivity-agent";
        let tokens = vec![
            ("right", account(right, "system:konnectivity-server")),
            ("other-audience", account(right, "kubernetes")),
            (
                "other-account",
                account("system:serviceaccount:kube-system:default", "system:konnectivity-server"),
            ),
            (
                "other-namespace",
                account("system:serviceaccount:default:konnectivity-agent", "system:konnectivity-server"),
            ),
        ];
        let (reviewer, _apiserver) = stage.reviewer(tokens).await;
        let authentication = AgentAuthentication::ServiceAccountToken {
            namespace: "kube-system".to_owned(),
            service_account: "konnectivity-agent".to_owned(),
            audience: "system:konnectivity-server".to_owned(),
            reviewer,
        };
        let server = stage.serve(with(&stage, authentication)).await;
        let host = stage.network.host("rogue", ip(66));
        for (token, why) in [
            (None, "Authentication context was not found in metadata"),
            (Some("made-up"), "service account jwt not valid"),
            (Some("other-audience"), "service account jwt not valid"),
            (Some("other-account"), "incoming request from \"default\" service account"),
            (Some("other-namespace"), "incoming request from \"default\" namespace"),
        ] {
            match (pose(&host, None, token).await, flaw) {
                (Err(reason), None) => assert!(reason.contains(why), "{reason}"),
                (Ok(_), Some(_)) => {}
                (result, _) => panic!("with {flaw:?}: {result:?}"),
            }
        }
        let _agent = pose(&host, None, Some("right")).await.unwrap();
        if flaw.is_none() {
            assert_eq!(server.agents(), ["node-1"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_of_the_apiserver_nobody_is_an_agent() {
    let stage = Stage::new();
    let (reviewer, apiserver) = stage.reviewer(Vec::new()).await;
    drop(apiserver);
    let authentication = AgentAuthentication::ServiceAccountToken {
        namespace: "kube-system".to_owned(),
        service_account: "konnectivity-agent".to_owned(),
        audience: "a".to_owned(),
        reviewer,
    };
    let server = stage.serve(with(&stage, authentication)).await;
    let host = stage.network.host("rogue", ip(66));
    let reason = pose(&host, None, Some("right")).await.unwrap_err();
    assert!(reason.contains("Failed to authenticate request. err:"), "{reason}");
    assert!(server.agents().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_token_is_read_anew_for_each_connection() {
    let stage = Stage::new();
    let name = "system:serviceaccount:kube-system:konnectivity-agent";
    let (reviewer, _apiserver) = stage.reviewer(vec![("second", account(name, "a"))]).await;
    let authentication = AgentAuthentication::ServiceAccountToken {
        namespace: "kube-system".to_owned(),
        service_account: "konnectivity-agent".to_owned(),
        audience: "a".to_owned(),
        reviewer,
    };
    let _server = stage.serve(with(&stage, authentication)).await;
    let host = stage.node(1).await;
    let token_file = Some("/var/run/token".to_owned());
    let agent = start(&host, KonnectivityAgentConfig { token_file, ..stage.agent_config("node-1") }).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    host.disk().write("/var/run/token", b"first").unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(agent.connected(), 0);
    host.disk().write("/var/run/token", b"second\n").unwrap();
    until("the agent is connected", || agent.connected() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_refuses_a_server_that_it_cannot_verify() {
    for flaw in [None, Some(Flaw::KonnectivityAgentTrustsAnyServer)] {
        let stage = Stage::new();
        let _server = stage.serve(stage.server_config()).await;
        let host = stage.network.flawed_host("node-1", ip(1), Flaws::danger(flaw));
        let foreign = authority(&stage.control, 9).certificate();
        let trust = ServerTrust::Anchors(ravelin_pki::TrustAnchors::new([foreign]).unwrap());
        let agent = start(&host, KonnectivityAgentConfig { trust, ..stage.agent_config("node-1") }).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(agent.connected(), usize::from(flaw.is_some()));
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_certificate_opens_the_frontends_port() {
    for flaw in [None, Some(Flaw::KonnectivityTakesAnyFrontend)] {
        let stage = Stage::with_flaws(Flaws::danger(flaw));
        let clients = FrontendClients::Certificate(stage.anchors());
        let frontend = stage.tls_frontend(FrontendMode::HttpConnect, clients);
        let _server = stage.serve(KonnectivityServerConfig { frontend, ..stage.server_config() }).await;
        let _agent = stage.agent(1).await;
        let foreign = identity(&authority(&stage.control, 9), &stage.control, Usage::Client);
        for (shown, alert) in [(None, "CertificateRequired"), (Some(foreign), "UnknownCA")] {
            match (dial(&stage.https_egress(shown), 1, SILENT).await, flaw) {
                (Err(error), None) => {
                    let text = error.to_string();
                    assert!(text.starts_with("refused: ") && text.contains(alert), "{text}");
                }
                (Ok(_), Some(_)) => {}
                (result, _) => panic!("with {flaw:?}: {:?}", result.err()),
            }
        }
        let right = stage.https_egress(Some(stage.identity(Usage::Client)));
        dial(&right, 1, SILENT).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_certificate_opens_the_frontends_port_by_grpc() {
    for (open, refused) in [(false, true), (true, false)] {
        let stage = Stage::new();
        let clients = match open {
            true => FrontendClients::DangerAnybody,
            false => FrontendClients::Certificate(stage.anchors()),
        };
        let frontend = stage.tls_frontend(FrontendMode::Grpc, clients);
        let _server = stage.serve(KonnectivityServerConfig { frontend, ..stage.server_config() }).await;
        let _agent = stage.agent(1).await;
        let host = stage.network.host("intruder", ip(66));
        let stream = host.connect(&Endpoint::tcp(ip(100), FRONTEND_PORT)).await.unwrap().stream;
        let secured = ravelin_transport::danger::connect_http2(&host, stream, "10.0.0.100", None).await;
        let dialled = match secured {
            Ok(secured) => danger::dial(&host, secured.stream, "10.0.0.1:7").await.is_ok(),
            Err(_) => false,
        };
        assert_eq!(dialled, !refused);
    }
}

#[tokio::test(start_paused = true)]
async fn the_apiserver_refuses_a_server_that_it_cannot_verify() {
    for flaw in [None, Some(Flaw::KonnectivityEgressTrustsAnyServer)] {
        let stage = Stage::with_flaws(Flaws::danger(flaw));
        let frontend = stage.tls_frontend(FrontendMode::HttpConnect, FrontendClients::DangerAnybody);
        let _server = stage.serve(KonnectivityServerConfig { frontend, ..stage.server_config() }).await;
        let _agent = stage.agent(1).await;
        let foreign = authority(&stage.control, 9).certificate();
        let config = KonnectivityEgressConfig::HttpConnectTls {
            host: ip(100).to_string(),
            port: FRONTEND_PORT,
            trust: ServerTrust::Anchors(ravelin_pki::TrustAnchors::new([foreign]).unwrap()),
            identity: None,
            server_name: None,
        };
        let egress = KonnectivityEgress::new(Arc::clone(&stage.control), config);
        let dialled = dial(&egress, 1, SILENT).await;
        assert_eq!(dialled.is_ok(), flaw.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn an_impostor_gets_what_the_server_sends_it() {
    let stage = Stage::new();
    let _server = stage.serve(stage.server_config()).await;
    let host = stage.network.host("rogue", ip(66));
    let mut rogue = pose(&host, None, None).await.unwrap();
    assert_eq!(rogue.server_id(), "server-1");
    let (dialled, forward) = tokio::join!(async { dial(&stage.egress(), 1, 10250).await.unwrap() }, async {
        rogue.next_forward().await.unwrap()
    },);
    let (mut dialled, mut forward) = (dialled, forward);
    assert_eq!((forward.host.as_str(), forward.port), ("10.0.0.1", 10250));
    dialled.write_all(b"secret").await.unwrap();
    let mut read = [0; 6];
    forward.stream.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"secret");
    forward.stream.write_all(b"forged").await.unwrap();
    drop(forward);
    let mut answer = String::new();
    dialled.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "forged");
}

#[tokio::test(start_paused = true)]
async fn an_open_frontend_lets_an_intruder_dial_anything() {
    let stage = Stage::new();
    let frontend = Frontend {
        mode: FrontendMode::HttpConnect,
        listener: FrontendListener::DangerPlain { listen: (ip(100), FRONTEND_PORT).into() },
    };
    let _server = stage.serve(KonnectivityServerConfig { frontend, ..stage.server_config() }).await;
    let _agent = stage.agent(1).await;
    let host = stage.network.host("intruder", ip(66));
    let stream = host.connect(&Endpoint::tcp(ip(100), FRONTEND_PORT)).await.unwrap().stream;
    let mut stream = danger::connect(stream, "10.0.0.1:6").await.unwrap();
    stream.write_all(b"hello\n").await.unwrap();
    assert_eq!(line(&mut stream).await, "hello");
}

#[tokio::test(start_paused = true)]
async fn a_frontend_closes_no_connection_but_its_own() {
    let stage = Stage::new();
    let _server = stage.serve(stage.server_config()).await;
    let _agent = stage.agent(1).await;
    let egress = stage.egress();
    let mut honest = echoing(&egress, 1).await;
    super::forging::close_of_another(&stage, 1).await;
    honest.write_all(b"still here\n").await.unwrap();
    assert_eq!(line(&mut honest).await, "still here");
}
