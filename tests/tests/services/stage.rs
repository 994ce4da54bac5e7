//! A whole cluster in the simulator, and somebody who uses its API and its services.

use ravelin_assess::topology;
use ravelin_cluster::{Cluster, Hosts, Layout};
use ravelin_config::ClusterConfig;
use ravelin_host::{Endpoint, Flaws, HostRef};
use ravelin_runtime::Ledger;
use ravelin_sim::{SimConfig, World};
use ravelin_transport::{HttpConnection, body, collect};
use serde_json::{Value, json};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How long the cluster may take to be ready, in simulated time.
const BOOT: Duration = Duration::from_secs(120);
/// How long a condition is waited for, in simulated time.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running cluster.
pub struct Stage {
    pub world: World,
    pub cluster: Cluster,
}

type Scenario<T> = Pin<Box<dyn Future<Output = T>>>;

/// What a cluster is made of.
pub struct Setting {
    pub config: ClusterConfig,
    pub layout: Layout,
    pub flaws: Flaws,
}

impl Setting {
    /// The default sample with so many nodes.
    pub fn of(nodes: u32) -> Self {
        let config = ravelin_tests::Sample::KubeadmDefault.config();
        let layout = Layout::new(&config, nodes).expect("a few nodes have room");
        Self { config, layout, flaws: Flaws::none() }
    }

    /// Plays a scenario on it, for a simulated month at most.
    pub fn play<T: Send + 'static>(
        self,
        scenario: impl FnOnce(Rc<Stage>) -> Scenario<T> + Send + 'static,
    ) -> T {
        let mut config = SimConfig::new(11);
        config.flaws = self.flaws;
        config.conditions.limit = Duration::from_secs(31 * 24 * 3600);
        let finished = ravelin_sim::run(config, topology(&self.layout), move |world| {
            Box::pin(async move {
                let hosts = Hosts::of(&self.layout, |name| world.host(name));
                let cluster = Cluster::start(&self.config, self.layout, hosts, BOOT).await;
                scenario(Rc::new(Stage { world, cluster })).await
            })
        });
        finished.unwrap_or_else(|error| panic!("{error}")).value
    }
}

impl Stage {
    /// A pod that serves HTTP on port 8080, with more in its `spec`, in the namespace of the probes.
    pub async fn serve(&self, name: &str, node: &str, spec: Value) -> Arc<Ledger> {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": "echo"}},
            "spec": {
                "nodeSelector": {"kubernetes.io/hostname": node},
                "containers": [{"name": "main", "image": "ravelin.test/http",
                                "ports": [{"name": "http", "containerPort": 8080}]}],
            },
        });
        for (field, value) in spec.as_object().into_iter().flatten() {
            pod["spec"][field] = value.clone();
        }
        self.create("/api/v1/namespaces/ravelin/pods", pod).await;
        let path = format!("/api/v1/namespaces/ravelin/pods/{name}");
        self.until(&format!("{name} runs"), async || self.get(&path).await["status"]["phase"] == "Running")
            .await;
        let uid = self.get(&path).await["metadata"]["uid"].as_str().expect("it has one").to_owned();
        self.cluster.ledgers().remove(&uid).expect("a pod that runs has a ledger")
    }

    pub async fn create(&self, path: &str, object: Value) -> Value {
        let created = self.cluster.operator().create(path, &object).await;
        created.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub async fn get(&self, path: &str) -> Value {
        self.cluster.operator().get(path).await.unwrap_or_default()
    }

    /// Waits for a condition.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let deadline = self.world.elapsed() + PATIENCE;
        while !holds().await {
            assert!(self.world.elapsed() < deadline, "it never came to be that {what}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until a service has these endpoints in its slices: addresses of pods, and whether they
    /// are ready.
    pub async fn endpoints_become(&self, service: &str, wanted: &[(&str, bool)]) {
        let mut addresses = Vec::new();
        for (pod, ready) in wanted {
            addresses.push((self.address(pod).await, *ready));
        }
        addresses.sort();
        let (namespace, name) = service.split_once('/').expect("NAMESPACE/NAME");
        let path = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
        let query = format!("{path}?labelSelector=kubernetes.io/service-name%3D{name}");
        self.until(&format!("{service} leads to {wanted:?}"), async || {
            let slices = self.get(&query).await;
            let slices = slices["items"].as_array().cloned().unwrap_or_default();
            let endpoints =
                slices.iter().flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
            let mut found: Vec<(String, bool)> = endpoints
                .map(|one| {
                    let address = one["addresses"][0].as_str().unwrap_or_default().to_owned();
                    (address, one["conditions"]["ready"] == true)
                })
                .collect();
            found.sort();
            found == addresses
        })
        .await;
        // The proxies hear of it a little later.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    /// A pod's address.
    pub async fn address(&self, pod: &str) -> String {
        let pod = self.get(&format!("/api/v1/namespaces/ravelin/pods/{pod}")).await;
        pod["status"]["podIP"].as_str().unwrap_or_default().to_owned()
    }

    /// A node's address.
    pub fn node(&self, number: usize) -> std::net::IpAddr {
        self.cluster.layout().members()[number].machine.address
    }

    /// Opens a connection for HTTP.
    pub async fn dial(&self, host: &HostRef, to: SocketAddr) -> std::io::Result<HttpConnection> {
        let stream = host.connect(&Endpoint::Tcp(to)).await?.stream;
        HttpConnection::open(host, stream).await.map_err(std::io::Error::other)
    }

    /// Asks once, over a connection of its own: is there an answer?
    pub async fn answers(&self, host: &HostRef, to: SocketAddr) -> bool {
        match self.dial(host, to).await {
            Ok(mut connection) => ask(&mut connection).await,
            Err(_) => false,
        }
    }
}

/// Asks over an open connection: is there an answer?
pub async fn ask(connection: &mut HttpConnection) -> bool {
    let request = http::Request::get("/").body(body::empty()).expect("it is a request");
    let answer = tokio::time::timeout(Duration::from_secs(5), connection.send(request)).await;
    let Ok(Ok(answer)) = answer else { return false };
    collect(answer.into_body(), 1 << 16).await.is_ok()
}
