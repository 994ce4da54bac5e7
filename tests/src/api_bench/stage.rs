//! A server, a bare handler beside it, and clients over TLS.

use crate::apiserver::{API, Authorities, configured};
use anyhow::{Result, anyhow, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::BodyExt;
use ravelin_apiserver::{Apiserver, Running};
use ravelin_entropy::Entropy;
use ravelin_host::memory::Network;
use ravelin_host::{Endpoint, HostRef, Task};
use ravelin_pki::{Identity, KeyPair, ServerTrust};
use ravelin_transport::{
    Body, Handler, HttpConnection, PeerInfo, Request, Response, Server, TlsClient, TlsServer, body,
};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::watch;

/// Where the floor's server listens, beside the apiserver.
const FLOOR: u16 = 7443;

/// Everything of one measurement.
pub(super) struct Stage {
    pub(super) api: Running,
    authorities: Authorities,
    admin: Identity,
    host: HostRef,
    caller: HostRef,
}

/// Which server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The API server.
    Api,
    /// The bare handler.
    Floor,
}

impl Stage {
    /// A server with its default objects.
    pub(super) async fn new() -> Result<Self> {
        let network = Network::new();
        let authorities = Authorities::new(&network);
        let host = network.host("api", API);
        let key = Arc::new(KeyPair::generate(&mut Entropy::operating_system()));
        let config = configured(&authorities, (&host, &key));
        let api = Apiserver::start(Arc::clone(&host), config).await?;
        let admin = authorities.client("cert", "admin").ok_or_else(|| anyhow!("no identity"))?;
        let caller = network.host("caller", [10, 0, 0, 9]);
        Ok(Self { api, authorities, admin, host, caller })
    }

    /// Starts the bare handler.
    pub(super) async fn floor(&self, handler: Bare) -> Result<Task> {
        let listener = self.host.listen(&Endpoint::tcp(API, FLOOR)).await?;
        let identity = self.authorities.server(&self.authorities.clients, Authorities::at(API));
        let tls = Some(Arc::new(TlsServer::new(identity).with_client_certificates()));
        Ok(Server { host: Arc::clone(&self.host), listener, tls, handler: Arc::new(handler) }.run())
    }

    /// A connection of the administrator.
    pub(super) async fn connect(&self, side: Side) -> Result<HttpConnection> {
        let port = if side == Side::Api { 6443 } else { FLOOR };
        let connection = self.caller.connect(&Endpoint::tcp(API, port)).await?;
        let trust = ServerTrust::Anchors(self.authorities.anchors());
        let tls = TlsClient { trust, identity: Some(self.admin.clone()), server_name: API.to_string() };
        let secured = tls.connect(&self.caller, connection.stream).await?;
        Ok(HttpConnection::open(&self.caller, secured.stream).await?)
    }
}

/// Sends a GET; the body is still to come.
pub(super) async fn get(connection: &mut HttpConnection, path: &str) -> Result<Body> {
    let request: Request = http::Request::builder().uri(path).body(body::empty())?;
    let answer = connection.send(request).await?;
    ensure!(answer.status().is_success(), "{path}: {}", answer.status());
    Ok(answer.into_body())
}

/// The next piece of a body; nothing where it has ended.
pub(super) async fn piece(body: &mut Body) -> Result<Option<Bytes>> {
    match body.frame().await {
        None => Ok(None),
        Some(Ok(frame)) => Ok(frame.into_data().ok()),
        Some(Err(error)) => Err(anyhow!("the body broke off: {error}")),
    }
}

/// The length of a whole body.
pub(super) async fn length(mut body: Body) -> Result<usize> {
    let mut length = 0;
    while let Some(piece) = piece(&mut body).await? {
        length += piece.len();
    }
    Ok(length)
}

/// Answers every request with the same bytes, at once or each time that it is told to.
pub(super) enum Bare {
    /// At once.
    Whole(Bytes),
    /// Each time that the value changes to other bytes; the first ones at once.
    Told(watch::Receiver<Bytes>),
}

#[async_trait]
impl Handler for Bare {
    async fn handle(&self, _: Request, _: &PeerInfo) -> Response {
        Response::new(match self {
            Self::Whole(bytes) => body::full(bytes.clone()),
            Self::Told(told) => {
                let mut told = told.clone();
                told.mark_changed();
                body::stream(futures_util::stream::unfold(told, |mut told| async move {
                    told.changed().await.ok()?;
                    let bytes = told.borrow_and_update().clone();
                    Some((Ok(bytes), told))
                }))
            }
        })
    }
}

/// A pod as a deployment has it.
pub(super) fn pod(n: usize) -> Value {
    let condition = |kind: &str| {
        json!({"type": kind, "status": "True", "lastProbeTime": null,
            "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let conditions = ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map(condition);
    let address = format!("10.244.{}.{}", n / 250, n % 250 + 1);
    let (name, node) = (format!("web-5d8c7b6f9d-{n:05}"), format!("node-{}", n % 100));
    json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "namespace": "default",
            "generateName": "web-5d8c7b6f9d-",
            "labels": {"app": "web", "pod-template-hash": "5d8c7b6f9d", "tier": "front"},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d8c7b6f9d",
                "uid": "6f1c1f0e-6d86-4a55-8f6c-0b8d0c0a7d11", "controller": true, "blockOwnerDeletion": true}],
        },
        "spec": {
            "nodeName": node,
            "serviceAccountName": "default",
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "schedulerName": "default-scheduler",
            "containers": [{
                "name": "web",
                "image": "registry.example/web:1.27.3",
                "imagePullPolicy": "IfNotPresent",
                "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                "env": [{"name": "MODE", "value": "production"}, {"name": "CONFIG", "value": "/etc/web/config"}],
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
                "volumeMounts": [
                    {"name": "config", "mountPath": "/etc/web"},
                    {"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
                        "readOnly": true},
                ],
            }],
            "volumes": [
                {"name": "config", "configMap": {"name": "web", "defaultMode": 420}},
                {"name": "token", "projected": {"defaultMode": 420, "sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                ]}},
            ],
            "tolerations": [
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute",
                    "tolerationSeconds": 300},
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute",
                    "tolerationSeconds": 300},
            ],
        },
        "status": {
            "phase": "Running",
            "hostIP": "10.0.1.7",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": "2026-01-01T00:00:00Z",
            "qosClass": "Burstable",
            "conditions": conditions,
            "containerStatuses": [{
                "name": "web",
                "image": "registry.example/web:1.27.3",
                "imageID": "registry.example/web@sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
                "containerID": "containerd://fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9",
                "ready": true,
                "started": true,
                "restartCount": 0,
                "state": {"running": {"startedAt": "2026-01-01T00:00:03Z"}},
            }],
        },
    })
}
