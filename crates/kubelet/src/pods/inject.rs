//! What a kubelet puts into a pod: its service account's token, the cluster's root certificate,
//! and the environment that names the apiserver.

use ravelin_api::{object, time};
use ravelin_client::{Client, ClientError};
use ravelin_host::HostRef;
use ravelin_runtime::{PodView, SERVICE_ACCOUNT_DIRECTORY};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long a token is asked for, as the ServiceAccount admission plugin writes it into pods
/// (plugin/pkg/admission/serviceaccount/admission.go).
const TOKEN_SECONDS: u64 = 3607;

/// What goes into one pod.
#[derive(Debug, Default)]
pub(super) struct Injected {
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) env: BTreeMap<String, String>,
    /// When its token is to be asked for again.
    pub(super) refresh: Option<Instant>,
}

/// Why a pod cannot be given what it needs.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotInjected {
    #[error("no token for the pod: {0}")]
    Token(ClientError),
    #[error("the answer to the token request holds no token")]
    MalformedToken,
    #[error("no root certificate for the pod: {0}")]
    Root(ClientError),
    #[error("the root certificate's ConfigMap is malformed")]
    MalformedRoot,
    #[error("no kubernetes service yet: {0}")]
    Service(ClientError),
    #[error("the kubernetes service is malformed")]
    MalformedService,
}

/// Asks the apiserver for what pods need.
pub(super) struct Injector {
    host: HostRef,
    client: Client,
    /// The `kubernetes` service's address and port; they never change.
    service: Option<(String, String)>,
}

impl Injector {
    pub(super) fn new(host: &HostRef, client: Client) -> Self {
        Self { host: host.clone(), client, service: None }
    }

    /// What goes into this pod.
    pub(super) async fn inject(&mut self, pod: &Value, view: &PodView) -> Result<Injected, NotInjected> {
        let (address, port) = self.service().await?;
        let mut injected = Injected::default();
        injected.env.insert("KUBERNETES_SERVICE_HOST".to_owned(), address);
        injected.env.insert("KUBERNETES_SERVICE_PORT".to_owned(), port.clone());
        injected.env.insert("KUBERNETES_SERVICE_PORT_HTTPS".to_owned(), port);
        if mounts_token(pod, view) {
            let (token, refresh) = self.token(view).await?;
            let root = self.root(&view.namespace).await?;
            let mut put = |name: &str, content: Vec<u8>| {
                injected.files.insert(format!("{SERVICE_ACCOUNT_DIRECTORY}/{name}"), content);
            };
            put("token", token.into_bytes());
            put("ca.crt", root.into_bytes());
            put("namespace", view.namespace.clone().into_bytes());
            injected.refresh = Some(refresh);
        }
        Ok(injected)
    }

    async fn service(&mut self) -> Result<(String, String), NotInjected> {
        if let Some(known) = &self.service {
            return Ok(known.clone());
        }
        let path = "/api/v1/namespaces/default/services/kubernetes";
        let service = self.client.get(path).await.map_err(NotInjected::Service)?;
        let address = object::text(&service, "spec.clusterIP").to_owned();
        let port = object::list(&service, "spec.ports").first().and_then(|port| port["port"].as_u64());
        let port = port.filter(|_| !address.is_empty()).ok_or(NotInjected::MalformedService)?;
        let known = (address, port.to_string());
        self.service = Some(known.clone());
        Ok(known)
    }

    /// A token bound to the pod, and when four fifths of its life are over.
    async fn token(&self, view: &PodView) -> Result<(String, Instant), NotInjected> {
        let (namespace, account) = (&view.namespace, &view.service_account);
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "expirationSeconds": TOKEN_SECONDS,
                "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": view.name, "uid": view.uid },
            },
        });
        let answer = self.client.create(&path, &request).await.map_err(NotInjected::Token)?;
        let token = object::text(&answer, "status.token");
        if token.is_empty() {
            return Err(NotInjected::MalformedToken);
        }
        let expires = time::parse(object::text(&answer, "status.expirationTimestamp"));
        let life = expires.map_or(0, |expires| expires.as_second() - self.host.now().as_second());
        // A life that makes no sense is treated as a short one.
        let life = u64::try_from(life).unwrap_or(0).clamp(60, TOKEN_SECONDS);
        Ok((token.to_owned(), Instant::now() + Duration::from_secs(life) * 4 / 5))
    }

    async fn root(&self, namespace: &str) -> Result<String, NotInjected> {
        let path = format!("/api/v1/namespaces/{namespace}/configmaps/kube-root-ca.crt");
        let map = self.client.get(&path).await.map_err(NotInjected::Root)?;
        let root = map["data"]["ca.crt"].as_str().filter(|root| !root.is_empty());
        root.map(str::to_owned).ok_or(NotInjected::MalformedRoot)
    }
}

/// Does the pod get a token? Admission writes that into its volumes; a pod that came past
/// admission says it itself.
fn mounts_token(pod: &Value, view: &PodView) -> bool {
    let volumes = object::list(pod, "spec.volumes");
    let holds_token = |volume: &Value| {
        object::list(volume, "projected.sources")
            .iter()
            .any(|source| source.get("serviceAccountToken").is_some())
    };
    volumes.iter().any(holds_token) || (volumes.is_empty() && view.mounts_token)
}
