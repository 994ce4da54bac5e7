//! Logs and watches in the messages of a WebSocket, as browsers get them.

use super::stage::{As, NODE, Stage};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue};
use ravelin_host::{Endpoint, Flaws, Task};
use ravelin_transport::streams::{Kind, WebSocket, WebSocketReceiver, WebSocketSender};
use ravelin_transport::upgrade::WebSocketOffer;
use ravelin_transport::{Handler, PeerInfo, Request, Response, Server, TlsServer, Upgraded, body, collect};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const LOG: &str = "/api/v1/namespaces/default/pods/p1/log";
const WATCH: &str = "/api/v1/namespaces/default/configmaps?watch=1";

/// A kubelet whose container has said this.
struct Logs(Vec<u8>);

#[async_trait]
impl Handler for Logs {
    async fn handle(&self, _: Request, _: &PeerInfo) -> Response {
        Response::new(body::full(self.0.clone()))
    }
}

async fn with_log(log: &[u8]) -> (Stage, Task) {
    let stage = Stage::new().await;
    stage.given_pod("10.1.0.1");
    let host = stage.network.host("n1", NODE);
    let listener = host.listen(&Endpoint::tcp(NODE, 10250)).await.unwrap();
    let tls = Some(Arc::new(TlsServer::new(stage.issuer.server(NODE)).with_client_certificates()));
    let kubelet = Server { host, listener, tls, handler: Arc::new(Logs(log.to_vec())) };
    (stage, kubelet.run())
}

impl Stage {
    /// Asks for a WebSocket, from a page where there is one.
    async fn browse(&self, (who, uri): (&As, &str), protocols: &[&str], page: Option<&str>) -> Upgraded {
        let mut headers = HeaderMap::new();
        WebSocketOffer::new(&self.caller, protocols).write(&mut headers);
        if let Some(page) = page {
            headers.insert("origin", HeaderValue::from_str(page).unwrap());
        }
        self.upgrade(who, ("GET", uri), headers).await
    }

    async fn opened(&self, asked: (&As, &str), protocols: &[&str]) -> (WebSocketSender, WebSocketReceiver) {
        match self.browse(asked, protocols, Some("https://page.example")).await {
            Upgraded::Switched { head, stream } => {
                let taken = head.headers.get("sec-websocket-protocol").map(|name| name.to_str().unwrap());
                assert_eq!(taken, protocols.first().copied());
                WebSocket::client(&self.caller, stream).into_split()
            }
            Upgraded::Refused(answer) => panic!("{}", answer.status()),
        }
    }

    async fn refused_with(&self, asked: (&As, &str), protocols: &[&str], page: Option<&str>) -> u16 {
        match self.browse(asked, protocols, page).await {
            Upgraded::Switched { .. } => panic!("it switched"),
            Upgraded::Refused(answer) => {
                let status = answer.status().as_u16();
                collect(answer.into_body(), 1 << 20).await.unwrap();
                status
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_comes_in_messages_of_bytes_or_of_base64() {
    let log: Vec<u8> = (0..20_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let (stage, _kubelet) = with_log(&log).await;
    for (protocols, kind) in
        [(&["binary.k8s.io"][..], Kind::Binary), (&["base64.binary.k8s.io"], Kind::Text), (&[], Kind::Binary)]
    {
        let (_sender, mut receiver) = stage.opened((&stage.admin(), LOG), protocols).await;
        let first = receiver.receive().await.unwrap().unwrap();
        assert_eq!((first.kind, first.bytes.len()), (kind, 0), "an empty message begins");
        let mut got = Vec::new();
        while let Some(message) = receiver.receive().await.unwrap() {
            assert_eq!(message.kind, kind);
            match kind {
                Kind::Binary => got.extend_from_slice(&message.bytes),
                Kind::Text => got.extend(STANDARD.decode(&message.bytes).unwrap()),
            }
        }
        assert!(got == log, "{protocols:?}: {} bytes", got.len());
    }
    let other = stage.refused_with((&stage.admin(), LOG), &["channel.k8s.io"], None).await;
    assert_eq!(other, 403);
    let missing = "/api/v1/namespaces/default/pods/none/log";
    assert_eq!(stage.refused_with((&stage.admin(), missing), &["binary.k8s.io"], None).await, 404);
}

#[tokio::test(start_paused = true)]
async fn a_watch_comes_as_a_message_an_event_and_ends_with_its_client() {
    let stage = Stage::new().await;
    let (sender, mut receiver) = stage.opened((&stage.admin(), WATCH), &["x"]).await;
    for name in ["one", "two"] {
        stage.given(json!({"kind": "ConfigMap", "apiVersion": "v1",
            "metadata": {"name": name, "namespace": "default"}, "data": {"a": "b"}}));
        let message = receiver.receive().await.unwrap().unwrap();
        assert_eq!(message.kind, Kind::Text);
        let event: Value = serde_json::from_slice(&message.bytes).unwrap();
        assert_eq!((&event["type"], &event["object"]["metadata"]["name"]), (&json!("ADDED"), &json!(name)));
    }
    // Whatever a client sends is thrown away.
    let mut sender = sender;
    sender.send(Kind::Text, b"hello").await.unwrap();
    sender.close(1000).await;
    assert!(!matches!(receiver.receive().await, Ok(Some(_))));
    let soon = format!("{WATCH}&timeoutSeconds=5");
    let (_sender, mut receiver) = stage.opened((&stage.admin(), &soon), &[]).await;
    while let Some(message) = receiver.receive().await.unwrap() {
        assert!(message.bytes.starts_with(b"{\"type\":\"ADDED\""));
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_needs_an_origin_and_one_protocol_at_most() {
    let stage = Stage::new().await;
    let (admin, page) = (stage.admin(), Some("https://page.example"));
    assert_eq!(stage.refused_with((&admin, WATCH), &[], None).await, 403);
    assert_eq!(stage.refused_with((&admin, WATCH), &[], Some("null")).await, 403);
    assert_eq!(stage.refused_with((&admin, WATCH), &["a", "b"], page).await, 400);
    assert_eq!(stage.refused_with((&As::Nobody, WATCH), &[], page).await, 403, "nobody may watch");
}

#[tokio::test(start_paused = true)]
async fn a_browser_proves_itself_by_a_subprotocol_that_no_kubelet_sees() {
    let stage = Stage::configured(Flaws::none(), |_| {}).await;
    stage.given(json!({"kind": "ClusterRole", "apiVersion": "rbac.authorization.k8s.io/v1",
        "metadata": {"name": "x"}, "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["watch"]}]}));
    stage.given(json!({"kind": "ClusterRoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1",
        "metadata": {"name": "x"}, "roleRef": {"kind": "ClusterRole", "name": "x"},
        "subjects": [{"kind": "User", "name": "bob"}]}));
    let named =
        |token: &str| format!("base64url.bearer.authorization.k8s.io.{}", URL_SAFE_NO_PAD.encode(token));
    let (good, bad, page) = (named("stat1c"), named("other"), Some("https://page.example"));
    let upgraded = stage.browse((&As::Nobody, WATCH), &["x", &good], page).await;
    let Upgraded::Switched { head, .. } = upgraded else { panic!("{upgraded:?}") };
    assert_eq!(head.headers["sec-websocket-protocol"], "x", "the token is not repeated");
    assert_eq!(stage.refused_with((&As::Nobody, WATCH), &["x", &bad], page).await, 401);
    assert_eq!(stage.refused_with((&As::Nobody, WATCH), &[&good], page).await, 401, "none beside it");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_vanishes_ends_its_watch() {
    let stage = Stage::new().await;
    let (sender, receiver) = stage.opened((&stage.admin(), WATCH), &[]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let held = Arc::strong_count(&stage.api_host);
    drop((sender, receiver));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(Arc::strong_count(&stage.api_host) < held, "its task has ended");
}
