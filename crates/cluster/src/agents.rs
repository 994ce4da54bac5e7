//! Konnectivity's agents: the pods that they are, and the runtime that runs them on nodes.

use crate::known_host::knowing;
use crate::member::told;
use crate::tunnel_settings::{self, TunnelAgentParts};
use async_trait::async_trait;
use ravelin_client::SERVICE_ACCOUNT_DIRECTORY;
use ravelin_config::{AgentPod, KonnectivityAgent as Options};
use ravelin_host::{BoxedStream, HostRef};
use ravelin_pki::{Identity, ServerTrust, TrustAnchors};
use ravelin_runtime::{
    ContainerState, LogOptions, LogStream, PodState, PodView, ProcessIo, Runtime, RuntimeError, Sandbox,
};
use ravelin_tunnel::konnectivity::KonnectivityAgent;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// What the container of an agent's pod runs besides the agent: it writes a line, and stays.
const IMAGE: &str = "ravelin.test/logger";

/// What a node's agent is started from.
#[derive(Clone)]
pub(crate) struct AgentPlan {
    /// Its options.
    pub(crate) options: Options,
    /// What it presents.
    pub(crate) identity: Option<Identity>,
    /// Whom `--ca-cert` stands for, where that is no file of its pod's.
    pub(crate) anchors: TrustAnchors,
    /// Where the servers are.
    pub(crate) servers: Vec<IpAddr>,
    /// Its node's name and address.
    pub(crate) node: (String, IpAddr),
}

impl AgentPlan {
    /// Does it run in this pod?
    pub(crate) fn is_in(&self, pod: &PodView) -> bool {
        let own = self.options.pod.as_ref();
        own.is_some_and(|own| pod.namespace == own.namespace && pod.name == name(own, &self.node.0))
    }

    /// Starts the agent on a computer: a pod's, whose files have names that begin with `root`, or the
    /// node itself.
    async fn start(
        &self,
        host: &HostRef,
        (root, pod): (&str, Option<&PodView>),
    ) -> io::Result<KonnectivityAgent> {
        let host = knowing(host, &self.options.server_host, &self.servers);
        let own_address = host.addresses()[0];
        let filled = |text: &str| {
            let of_pod = |of: fn(&PodView) -> &str| pod.map_or("", of).to_owned();
            let values = [
                ("{metadata.name}", of_pod(|pod| &pod.name)),
                ("{metadata.namespace}", of_pod(|pod| &pod.namespace)),
                ("{metadata.uid}", of_pod(|pod| &pod.uid)),
                ("{spec.nodeName}", self.node.0.clone()),
                ("{status.hostIP}", self.node.1.to_string()),
                ("{status.podIP}", own_address.to_string()),
            ];
            values.iter().fold(text.to_owned(), |text, (field, value)| text.replace(field, value))
        };
        let trust = ServerTrust::Anchors(self.trusted(&host, root));
        let parts = TunnelAgentParts {
            id: match &self.options.id {
                Some(id) => filled(id),
                None => host.entropy("konnectivity agent").uuid(),
            },
            identifiers: filled(&self.options.identifiers),
            trust,
            identity: self.identity.clone(),
            token_file: self.options.token.as_ref().map(|file| format!("{root}{file}")),
        };
        let config = tunnel_settings::tunnel_agent(&self.options, parts).map_err(io::Error::other)?;
        KonnectivityAgent::start(host, config).await
    }

    /// The authorities of its file: as its pod has it, where it does.
    fn trusted(&self, host: &HostRef, root: &str) -> TrustAnchors {
        let read = host.disk().read(&format!("{root}{}", self.options.ca));
        let text = read.and_then(|bytes| String::from_utf8(bytes).ok());
        text.and_then(|pem| TrustAnchors::from_pem(&pem).ok()).unwrap_or_else(|| self.anchors.clone())
    }

    /// Does its file of authorities come from its pod?
    pub(crate) fn trusts_its_pod(options: &Options) -> bool {
        options.ca.as_str().starts_with(SERVICE_ACCOUNT_DIRECTORY)
    }
}

/// The name of a node's pod.
fn name(pod: &AgentPod, node: &str) -> String {
    format!("{}-{node}", pod.name)
}

/// The pod of a node: the workload's own, with what a simulated kubelet can give it.
pub(crate) fn pod(given: &AgentPod, node: &str) -> Value {
    let mut spec = given.spec.clone();
    let volumes: Vec<Value> = projected(&spec);
    let kept = |mount: &&Value| volumes.iter().any(|volume| volume["name"] == mount["name"]);
    let given_container = &spec["containers"][0];
    let mounts: Vec<Value> =
        given_container["volumeMounts"].as_array().into_iter().flatten().filter(kept).cloned().collect();
    let name = given_container["name"].as_str().unwrap_or("konnectivity-agent");
    spec["containers"] = json!([{"name": name, "image": IMAGE, "volumeMounts": mounts}]);
    spec["volumes"] = json!(volumes);
    spec["nodeSelector"] = json!({"kubernetes.io/hostname": node});
    if let Some(spec) = spec.as_object_mut() {
        for key in ["initContainers", "nodeName", "affinity", "priorityClassName", "priority"] {
            spec.remove(key);
        }
    }
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": self::name(given, node), "namespace": given.namespace},
        "spec": spec,
    })
}

/// The volumes with tokens: all else comes from files that are names here.
fn projected(spec: &Value) -> Vec<Value> {
    let mut volumes: Vec<Value> = spec["volumes"].as_array().cloned().unwrap_or_default();
    volumes.retain_mut(|volume| {
        let Some(sources) = volume["projected"]["sources"].as_array_mut() else { return false };
        sources.retain(|source| source.get("serviceAccountToken").is_some());
        !sources.is_empty()
    });
    volumes
}

/// A runtime that runs a node's agent where it is asked to run the agent's pod.
pub(crate) struct WithAgent {
    builtin: Arc<dyn Runtime>,
    plan: AgentPlan,
    /// The agent by the uid of its pod; that of an agent that is a program has none.
    running: Mutex<BTreeMap<String, KonnectivityAgent>>,
}

impl WithAgent {
    /// Of this runtime. An agent that runs in no pod is started now.
    pub(crate) async fn new(host: &HostRef, builtin: Arc<dyn Runtime>, plan: AgentPlan) -> Self {
        let mut running = BTreeMap::new();
        if plan.options.pod.is_none() {
            let started = plan.start(host, ("", None)).await;
            running.extend(told(host, "tunnel agent", started).map(|agent| (String::new(), agent)));
        }
        Self { builtin, plan, running: Mutex::new(running) }
    }

    /// To how many servers its agent is connected.
    pub(crate) fn connected(&self) -> usize {
        self.running().values().map(KonnectivityAgent::connected).max().unwrap_or(0)
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, KonnectivityAgent>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Runtime for WithAgent {
    async fn run_pod(&self, sandbox: Sandbox) -> Result<PodState, RuntimeError> {
        let state = self.builtin.run_pod(sandbox.clone()).await?;
        let uid = sandbox.pod.uid.clone();
        if self.plan.is_in(&sandbox.pod) && !self.running().contains_key(&uid) {
            let started = self.plan.start(&sandbox.host, (&sandbox.root, Some(&sandbox.pod))).await;
            if let Some(agent) = told(&sandbox.host, "tunnel agent", started) {
                self.running().insert(uid, agent);
            }
        }
        Ok(state)
    }

    async fn restart(&self, uid: &str, container: &str) -> Result<ContainerState, RuntimeError> {
        self.builtin.restart(uid, container).await
    }

    async fn write_files(&self, uid: &str, files: &BTreeMap<String, Vec<u8>>) -> Result<(), RuntimeError> {
        self.builtin.write_files(uid, files).await
    }

    async fn stop_pod(&self, uid: &str, grace: Duration) -> bool {
        // As the original does when it is told to end.
        if let Some(agent) = self.running().get(uid) {
            agent.drain();
        }
        let ended = self.builtin.stop_pod(uid, grace).await;
        if ended {
            self.running().remove(uid);
        }
        ended
    }

    async fn status(&self, uid: &str) -> Option<PodState> {
        self.builtin.status(uid).await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.builtin.changes()
    }

    async fn exec(
        &self,
        uid: &str,
        container: &str,
        argv: &[String],
        io: ProcessIo,
    ) -> Result<i32, RuntimeError> {
        self.builtin.exec(uid, container, argv, io).await
    }

    async fn attach(&self, uid: &str, container: &str, io: ProcessIo) -> Result<(), RuntimeError> {
        self.builtin.attach(uid, container, io).await
    }

    async fn port_forward(&self, uid: &str, port: u16) -> Result<BoxedStream, RuntimeError> {
        self.builtin.port_forward(uid, port).await
    }

    async fn logs(
        &self,
        uid: &str,
        container: &str,
        options: &LogOptions,
    ) -> Result<LogStream, RuntimeError> {
        self.builtin.logs(uid, container, options).await
    }
}
