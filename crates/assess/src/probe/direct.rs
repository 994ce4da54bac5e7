//! Paths that the attacker itself asks: there is no honest use, and no canary. What the ports have
//! that is worth asking for.

use super::{Probe, Unusable};
use crate::path::Path;
use crate::stage::{Asked, Stage};
use futures_util::future::LocalBoxFuture;
use ravelin_adversary::{Ask, ServerKind, Target};
use ravelin_cluster::{Demo, NAMESPACE, PROBE_CONFIG_MAP, PortAt, Who, config_map_name, secret_name};
use ravelin_oracle::{Call, Executed, Issued};
use ravelin_transport::danger;
use serde_json::json;
use std::io::ErrorKind;
use std::time::Duration;

/// How long a port gets to answer the connection that shows whether it is there.
const KNOCK: Duration = Duration::from_secs(5);

/// A path that nobody uses but an attacker.
pub struct DirectProbe<'a> {
    stage: &'a Stage,
    path: Path,
    /// The ports that took a connection.
    ports: Vec<PortAt>,
}

impl<'a> DirectProbe<'a> {
    /// All ports of the path, whether or not anybody listens.
    pub fn new(stage: &'a Stage, path: Path) -> Self {
        let cluster = &stage.cluster;
        let tls = |name: &str, address| PortAt { name: name.to_owned(), address, tls: true };
        let ports = match path {
            Path::DirectApiserver => vec![tls("kube-apiserver", cluster.apiserver_address())],
            Path::DirectInsecure => vec![cluster.insecure_port()],
            Path::DirectKubelet => {
                let members = cluster.layout().members();
                let honest = cluster.layout().honest().into_iter().map(|node| &members[node].machine);
                let port = cluster.kubelet_port();
                honest.map(|node| tls(&node.name, (node.address, port).into())).collect()
            }
            Path::DirectReadOnly => cluster.read_only_ports(),
            _ => cluster.component_ports(),
        };
        Self { stage, path, ports }
    }

    /// Keeps the ports that take a connection from the network.
    ///
    /// # Errors
    /// Where none does.
    pub async fn knock(&mut self) -> Result<(), Unusable> {
        let mut open = Vec::new();
        let mut refusals = Vec::new();
        let mut listens = false;
        for port in std::mem::take(&mut self.ports) {
            match self.connect(&port).await {
                Ok(()) => open.push(port),
                Err(error) => {
                    listens |= error == ErrorKind::InvalidData;
                    refusals.push(format!("{} at {}: {error}", port.name, port.address));
                }
            }
        }
        self.ports = open;
        if self.ports.is_empty() {
            let why = refusals.join("; ");
            if listens {
                return Err(Unusable::Failed(format!("there is no TLS handshake: {why}")));
            }
            return Err(Unusable::Absent(format!("nobody listens there for others: {why}")));
        }
        Ok(())
    }

    /// Connects, and shakes hands where the port speaks TLS: without a certificate of its own (one
    /// that nobody signed yet) a server listens and serves nobody.
    async fn connect(&self, port: &PortAt) -> Result<(), ErrorKind> {
        let user = self.stage.world.host(&self.stage.cluster.layout().user.name);
        let to = port.address.into();
        let connecting = async {
            let connection = user.connect(&to).await.map_err(|error| error.kind())?;
            if !port.tls {
                return Ok(());
            }
            let name = port.address.ip().to_string();
            let secured = danger::connect(&user, connection.stream, &name, None).await;
            secured.map(|_| ()).map_err(|_| ErrorKind::InvalidData)
        };
        tokio::time::timeout(KNOCK, connecting).await.map_err(|_| ErrorKind::TimedOut)?
    }

    fn asked(&self) -> Asked {
        match self.path {
            Path::DirectApiserver | Path::DirectInsecure => apiserver(self.stage),
            Path::DirectKubelet => kubelet(self.stage),
            Path::DirectReadOnly => (vec![Ask::get("/pods", "the node's pods")], Vec::new()),
            _ => (component(), Vec::new()),
        }
    }
}

/// What belongs to others at an apiserver.
fn apiserver(stage: &Stage) -> Asked {
    let mark = json!({"metadata": {"annotations": {"ravelin.test/direct": "by the attacker"}}});
    let name = stage.cluster.node_name(0);
    let node = format!("/api/v1/nodes/{name}");
    let of_its_pods = |kind: &str, name: String| format!("/api/v1/namespaces/{NAMESPACE}/{kind}/{name}");
    let lease = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}");
    let asks = vec![
        Ask::get(&of_its_pods("secrets", secret_name(name)), "the secret of another node's pod"),
        Ask::get(&of_its_pods("configmaps", config_map_name(name)), "the ConfigMap of another node's pod"),
        Ask::patch(&lease, &mark, "another node's lease"),
        Ask::get("/api/v1/pods", "every pod"),
        Ask::get("/api/v1/configmaps", "every ConfigMap"),
        Ask::get("/apis/certificates.k8s.io/v1/certificatesigningrequests", "every signing request"),
        Ask::get(&node, "another's node"),
        Ask::patch(&node, &mark, "another's node"),
        Ask::patch(PROBE_CONFIG_MAP, &mark, "another's ConfigMap"),
        Ask::get("/metrics", "the metrics"),
    ];
    let account = stage.cluster.subject(Who::Pod(0)).common_name;
    let mut treasures = vec![Ask::get("/api/v1/secrets", "every secret")];
    let name = account.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    if let Some((namespace, name)) = name {
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": [], "expirationSeconds": 600},
        });
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        treasures.push(Ask::post(&path, Some(&request), "a token of another's service account"));
    }
    (asks, treasures)
}

/// What belongs to others at a kubelet.
fn kubelet(stage: &Stage) -> Asked {
    const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    let asks = vec![
        Ask::get("/pods", "the node's pods"),
        Ask::get("/runningpods/", "the node's running pods"),
        Ask::get("/metrics", "the node's metrics"),
    ];
    if !stage.cluster.reaches_into_containers() {
        return (asks, Vec::new());
    }
    let pods = stage.pods(Demo::Client).unwrap_or_default();
    let run = |pod: &ravelin_cluster::DemoPod| {
        let path = format!("/run/{}/{}/main?cmd=cat%20{TOKEN}", pod.namespace, pod.name);
        Ask::post(&path, None, "a command in another's container")
    };
    (asks, pods.iter().map(run).collect())
}

/// What is not everybody's at the controller manager and the scheduler.
fn component() -> Vec<Ask> {
    vec![
        Ask::get("/metrics", "the metrics"),
        Ask::get("/configz", "the configuration"),
        Ask::get("/debug/pprof/", "the profiles"),
    ]
}

impl Probe for DirectProbe<'_> {
    fn plant(&mut self) -> LocalBoxFuture<'_, Result<(), String>> {
        Box::pin(async {
            self.knock().await.map_err(|unusable| match unusable {
                Unusable::Absent(why) | Unusable::Failed(why) => why,
            })
        })
    }

    fn target(&self) -> Target {
        let server = match self.path {
            Path::DirectApiserver => ServerKind::Apiserver,
            Path::DirectKubelet => ServerKind::Kubelet,
            _ => ServerKind::Port,
        };
        self.stage.direct_target(&self.ports, server, self.asked())
    }

    fn exercise(&self) -> LocalBoxFuture<'_, Vec<Call>> {
        Box::pin(async { Vec::new() })
    }

    fn issued(&self) -> Vec<Issued> {
        Vec::new()
    }

    fn executed(&self) -> Vec<Executed> {
        Vec::new()
    }
}
