//! The `kubernetes` service, by which pods reach the apiservers.
//!
//! Upstream each apiserver writes it itself (`pkg/controlplane/controller/kubernetesservice`), and
//! several of them agree on its endpoints by keys in etcd that expire
//! (`pkg/controlplane/reconcilers/lease.go`). Here a client beside each apiserver does, with the
//! apiserver's identity, and the keys are Leases in `kube-system`, next to where apiservers keep
//! those of their identity (KEP-1965): an address is an endpoint for as long as its lease is renewed.

use crate::follow::jittered;
use ravelin_api::{object, time};
use ravelin_client::{Client, ClientConfig, ClientError};
use ravelin_host::{HostRef, Task, field};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How often it is looked at again where one apiserver is alone.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);
/// The same where it has to be shown that each is alive (`DefaultEndpointReconcilerInterval`).
const RENEW_INTERVAL: Duration = Duration::from_secs(10);
/// For how long an address is an endpoint without that (`DefaultEndpointReconcilerTTL`).
const LEASE_SECONDS: i64 = 15;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
/// What marks the leases.
const LABEL: (&str, &str) = ("ravelin.test/endpoint-of", "kubernetes");

/// What is said of one apiserver.
#[derive(Clone, Debug)]
pub struct KubernetesServiceConfig {
    /// How the writer reaches the apiserver.
    pub client: ClientConfig,
    /// The service's own address.
    pub cluster_ip: IpAddr,
    /// The address that this apiserver advertises, and its port, which all share.
    pub apiserver: SocketAddr,
    /// Is it the only one? Then nothing has to be shared.
    pub alone: bool,
}

/// The writer of the `kubernetes` service for one apiserver.
pub struct KubernetesService {
    client: Client,
    config: KubernetesServiceConfig,
}

impl KubernetesService {
    /// Keeps the service as it shall be, until the task is dropped. The apiserver's address is then
    /// taken away by the others.
    pub fn start(host: HostRef, config: KubernetesServiceConfig) -> Task {
        let client = Client::new(host.clone(), config.client.clone());
        host.spawn("controller kubernetes-service", Box::pin(Self { client, config }.keep()))
    }

    async fn keep(self) {
        let host = self.client.host().clone();
        let mut entropy = host.entropy("kubernetes service");
        let mut pause = FIRST_PAUSE;
        let interval = if self.config.alone { CHECK_INTERVAL } else { RENEW_INTERVAL };
        loop {
            match self.ensure().await {
                Ok(()) => {
                    pause = FIRST_PAUSE;
                    tokio::time::sleep(jittered(interval, &mut entropy)).await;
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
        let addresses = self.addresses().await?;
        // Endpoints first: whoever sees the service finds where it leads.
        let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
        self.put(slices, self.slice(&addresses), &["endpoints", "ports"]).await?;
        self.put("/api/v1/namespaces/default/endpoints", self.endpoints(&addresses), &["subsets"]).await?;
        self.put("/api/v1/namespaces/default/services", self.service(), &[]).await
    }

    /// The addresses of the apiservers that are alive, in order.
    async fn addresses(&self) -> Result<BTreeSet<IpAddr>, ClientError> {
        let own = self.config.apiserver.ip();
        let mut addresses = BTreeSet::from([own]);
        if self.config.alone {
            return Ok(addresses);
        }
        self.renew(own).await?;
        let (key, value) = LABEL;
        let selector = format!("{key}={value}");
        let leases = self.client.list(LEASES, &[("labelSelector", &selector)]).await?;
        let now = self.client.host().now();
        addresses.extend(object::list(&leases, "items").iter().filter_map(|lease| {
            let renewed = time::parse(object::text(lease, "spec.renewTime"))?;
            let is_alive = now.as_second() - renewed.as_second() < LEASE_SECONDS;
            object::text(lease, "spec.holderIdentity").parse::<IpAddr>().ok().filter(|_| is_alive)
        }));
        Ok(addresses)
    }

    async fn renew(&self, own: IpAddr) -> Result<(), ClientError> {
        let (key, value) = LABEL;
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": format!("apiserver-{}", own.to_string().replace([':', '.'], "-")),
                "namespace": "kube-system",
                "labels": { key: value },
            },
            "spec": {
                "holderIdentity": own,
                "leaseDurationSeconds": LEASE_SECONDS,
                "renewTime": time::format_micro(self.client.host().now()),
            },
        });
        self.put(LEASES, lease, &["spec"]).await
    }

    /// Creates the object, or corrects these parts of it.
    async fn put(&self, collection: &str, wanted: Value, parts: &[&str]) -> Result<(), ClientError> {
        let path = format!("{collection}/{}", object::name(&wanted));
        let mut known = match self.client.get(&path).await {
            Err(error) if error.code() == Some(404) => {
                return match self.client.create(collection, &wanted).await {
                    // Another apiserver was faster.
                    Err(error) if error.code() == Some(409) && parts.is_empty() => Ok(()),
                    created => created.map(|_| ()),
                };
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
                "clusterIP": self.config.cluster_ip,
                "clusterIPs": [self.config.cluster_ip],
                "ports": [{
                    "name": "https", "protocol": "TCP", "port": 443,
                    "targetPort": self.config.apiserver.port(),
                }],
            },
        })
    }

    fn endpoints(&self, addresses: &BTreeSet<IpAddr>) -> Value {
        let addresses: Vec<Value> = addresses.iter().map(|ip| json!({ "ip": ip })).collect();
        json!({
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {
                "name": "kubernetes", "namespace": "default",
                "labels": { "endpointslice.kubernetes.io/skip-mirror": "true" },
            },
            "subsets": [{ "addresses": addresses, "ports": self.ports() }],
        })
    }

    fn slice(&self, addresses: &BTreeSet<IpAddr>) -> Value {
        let endpoint = |ip: &IpAddr| json!({ "addresses": [ip], "conditions": { "ready": true } });
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "kubernetes", "namespace": "default",
                "labels": { "kubernetes.io/service-name": "kubernetes" },
            },
            "addressType": if self.config.apiserver.is_ipv4() { "IPv4" } else { "IPv6" },
            "endpoints": addresses.iter().map(endpoint).collect::<Vec<_>>(),
            "ports": self.ports(),
        })
    }

    fn ports(&self) -> Value {
        json!([{ "name": "https", "port": self.config.apiserver.port(), "protocol": "TCP" }])
    }
}
