//! The `kubernetes` service, by which pods reach the apiserver.
//!
//! Upstream the apiserver writes it itself (`pkg/controlplane/controller/kubernetesservice`); here
//! a client with its own identity does.

use crate::follow::jittered;
use ravelin_client::{Client, ClientError};
use ravelin_host::field;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How often it is looked at again.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// What the service shall be.
pub(crate) struct KubernetesService {
    pub(crate) client: Client,
    /// Its own address.
    pub(crate) cluster_ip: IpAddr,
    /// Where the apiserver is.
    pub(crate) apiserver: SocketAddr,
}

impl KubernetesService {
    /// Keeps it as it shall be, for ever.
    pub(crate) async fn keep(self) {
        let host = self.client.host().clone();
        let mut entropy = host.entropy("kubernetes service");
        let mut pause = FIRST_PAUSE;
        loop {
            match self.ensure().await {
                Ok(()) => {
                    pause = FIRST_PAUSE;
                    tokio::time::sleep(jittered(CHECK_INTERVAL, &mut entropy)).await;
                }
                Err(error) => {
                    let fields = [field("controller", "kubernetes-service"), field("error", error)];
                    host.observe("controller.failed", &fields);
                    tokio::time::sleep(jittered(pause, &mut entropy)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn ensure(&self) -> Result<(), ClientError> {
        // Endpoints first: whoever sees the service finds where it leads.
        let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
        self.put(slices, self.slice(), &["endpoints", "ports"]).await?;
        self.put("/api/v1/namespaces/default/endpoints", self.endpoints(), &["subsets"]).await?;
        self.put("/api/v1/namespaces/default/services", self.service(), &[]).await
    }

    /// Creates the object, or corrects these parts of it.
    async fn put(&self, collection: &str, wanted: Value, parts: &[&str]) -> Result<(), ClientError> {
        let path = format!("{collection}/kubernetes");
        let mut known = match self.client.get(&path).await {
            Err(error) if error.code() == Some(404) => {
                return self.client.create(collection, &wanted).await.map(|_| ());
            }
            known => known?,
        };
        if parts.iter().all(|&part| known[part] == wanted[part]) {
            return Ok(());
        }
        for &part in parts {
            known[part] = wanted[part].clone();
        }
        self.client.update(&path, &known).await.map(|_| ())
    }

    fn service(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": "kubernetes", "namespace": "default",
                "labels": { "component": "apiserver", "provider": "kubernetes" },
            },
            "spec": {
                "type": "ClusterIP",
                "clusterIP": self.cluster_ip,
                "clusterIPs": [self.cluster_ip],
                "ports": [{
                    "name": "https", "protocol": "TCP", "port": 443,
                    "targetPort": self.apiserver.port(),
                }],
            },
        })
    }

    fn endpoints(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": { "name": "kubernetes", "namespace": "default" },
            "subsets": [{
                "addresses": [{ "ip": self.apiserver.ip() }],
                "ports": [{ "name": "https", "port": self.apiserver.port(), "protocol": "TCP" }],
            }],
        })
    }

    fn slice(&self) -> Value {
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "kubernetes", "namespace": "default",
                "labels": { "kubernetes.io/service-name": "kubernetes" },
            },
            "addressType": if self.apiserver.is_ipv4() { "IPv4" } else { "IPv6" },
            "endpoints": [{ "addresses": [self.apiserver.ip()], "conditions": { "ready": true } }],
            "ports": [{ "name": "https", "port": self.apiserver.port(), "protocol": "TCP" }],
        })
    }
}
