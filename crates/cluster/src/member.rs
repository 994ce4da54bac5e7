//! One node of a cluster: what runs on it, and how that is started again.

use crate::agents::{AgentPlan, WithAgent};
use crate::workloads::Workloads;
use ravelin_client::ClientConfig;
use ravelin_host::HostRef;
use ravelin_kubelet::{self as kubelet, Kubelet, KubeletConfig};
use ravelin_runtime::{Builtin, Runtime};
use ravelin_tunnel::{SshNodeConfig, SshNodeServer};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

/// How often a component is started anew whose port is held.
const RESTARTS: u32 = 20;
/// The pause before that (`RestartSec=` of systemd).
const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// One node of a running cluster.
pub(crate) struct Member {
    pub(crate) host: HostRef,
    pub(crate) plan: MemberPlan,
    pub(crate) running: RefCell<Components>,
}

/// What a node's components are started from.
pub(crate) struct MemberPlan {
    pub(crate) kubelet: KubeletConfig,
    pub(crate) proxy: ClientConfig,
    pub(crate) ssh: Option<SshNodeConfig>,
    pub(crate) agent: Option<AgentPlan>,
    pub(crate) workloads: Workloads,
}

/// What runs on a node.
pub(crate) struct Components {
    pub(crate) kubelet: Option<kubelet::Running>,
    pub(crate) runtime: Arc<Builtin>,
    _proxy: Option<ravelin_proxy::Proxy>,
    _ssh: Option<SshNodeServer>,
    pub(crate) agent: Option<Arc<WithAgent>>,
}

impl Components {
    /// Nothing runs.
    pub(crate) fn none() -> Self {
        Self { kubelet: None, runtime: Arc::default(), _proxy: None, _ssh: None, agent: None }
    }

    /// Starts a node's components. One that cannot listen does not run: its node shows it.
    pub(crate) async fn start(host: &HostRef, plan: &MemberPlan) -> Self {
        let runtime = plan.workloads.builtin();
        let of_node = plan.workloads.runtime(&runtime);
        let agent = match plan.agent.clone() {
            Some(plan) => Some(Arc::new(WithAgent::new(host, Arc::clone(&of_node), plan).await)),
            None => None,
        };
        let of_pods: Arc<dyn Runtime> = match &agent {
            Some(agent) => Arc::clone(agent) as Arc<dyn Runtime>,
            None => of_node,
        };
        let config = KubeletConfig { runtime: of_pods, ..plan.kubelet.clone() };
        let kubelet = supervised(|| Kubelet::start(host.clone(), config.clone())).await;
        let kubelet = told(host, "kubelet", kubelet);
        let ssh = match plan.ssh.clone() {
            Some(config) => {
                let ssh = supervised(|| SshNodeServer::start(host.clone(), config.clone())).await;
                told(host, "ssh server", ssh)
            }
            None => None,
        };
        let proxy = Some(ravelin_proxy::Proxy::start(host.clone(), plan.proxy.clone()));
        Self { kubelet, runtime, _proxy: proxy, _ssh: ssh, agent }
    }
}

/// Starts what listens. A port that is still held by what comes to its end is asked for again, as
/// a supervisor does.
pub(crate) async fn supervised<T, F: Future<Output = std::io::Result<T>>>(
    start: impl Fn() -> F,
) -> std::io::Result<T> {
    for _ in 0..RESTARTS {
        match start().await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                tokio::time::sleep(RESTART_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
    start().await
}

/// What was started, where that succeeded; a failure is in the trace.
pub(crate) fn told<T>(host: &HostRef, what: &str, started: std::io::Result<T>) -> Option<T> {
    let failed = |error| {
        let fields = [ravelin_host::field("what", what), ravelin_host::field("error", error)];
        host.observe("setup.not-started", &fields);
    };
    started.map_err(failed).ok()
}
