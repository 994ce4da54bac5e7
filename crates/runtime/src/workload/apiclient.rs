//! The workload that asks the apiserver once, as a program in a pod does: with the injected token
//! and root certificate, at the address in its environment.

use super::Container;
use crate::Sandbox;
use ravelin_client::{Client, ClientConfig, ClientError, Credential, ServerTrust, TokenSource};
use ravelin_host::{HostRef, Task};
use ravelin_pki::TrustAnchors;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Where a pod finds its token (`token`), root certificate (`ca.crt`) and namespace (`namespace`).
pub const SERVICE_ACCOUNT_DIRECTORY: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Each request ends within this.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How a program in a pod reaches the apiserver.
#[derive(Clone)]
pub struct InCluster {
    /// The pod's computer.
    pub host: HostRef,
    /// What its client is made with. The token is read from its file for each request.
    pub config: ClientConfig,
    /// The pod's namespace, as its file says.
    pub namespace: String,
}

/// What a pod lacks to reach the apiserver.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not in a cluster: {0} is missing or malformed")]
pub struct NotInCluster(&'static str);

impl InCluster {
    /// Reads the pod's files and environment, as `rest.InClusterConfig` of client-go does.
    ///
    /// # Errors
    /// Where one is missing or malformed.
    pub fn of(sandbox: &Sandbox) -> Result<Self, NotInCluster> {
        let directory = format!("{}{SERVICE_ACCOUNT_DIRECTORY}", sandbox.root);
        let read = |name: &'static str| {
            let content = sandbox.host.disk().read(&format!("{directory}/{name}"));
            content.and_then(|content| String::from_utf8(content).ok()).ok_or(NotInCluster(name))
        };
        let variable = |name: &'static str| sandbox.env.get(name).ok_or(NotInCluster(name));
        let address = variable("KUBERNETES_SERVICE_HOST")?;
        let ip: IpAddr = address.parse().map_err(|_| NotInCluster("KUBERNETES_SERVICE_HOST"))?;
        let port: u16 = variable("KUBERNETES_SERVICE_PORT")?
            .parse()
            .map_err(|_| NotInCluster("KUBERNETES_SERVICE_PORT"))?;
        // A root that cannot be read trusts nobody.
        let root = TrustAnchors::from_pem(&read("ca.crt")?).map_err(|_| NotInCluster("ca.crt"))?;
        read("token")?;
        let config = ClientConfig {
            server: SocketAddr::new(ip, port),
            server_name: address.clone(),
            trust: ServerTrust::Anchors(root),
            credential: Credential::Token(TokenSource::file(format!("{directory}/token"))),
            request_timeout: REQUEST_TIMEOUT,
        };
        Ok(Self { host: sandbox.host.clone(), config, namespace: read("namespace")? })
    }

    /// A client of the apiserver, as the pod.
    pub fn client(&self) -> Client {
        Client::new(self.host.clone(), self.config.clone())
    }
}

pub(super) fn start(container: &Container<'_>) -> Task {
    let (sandbox, ledger) = (container.sandbox.clone(), Arc::clone(container.ledger));
    let name = container.view.name.clone();
    let config_map = container.view.env.get("CONFIGMAP").cloned();
    let config_map = config_map.unwrap_or_else(|| "kube-root-ca.crt".to_owned());
    let host = sandbox.host.clone();
    let asking = async move {
        let mut pause = Duration::from_secs(1);
        loop {
            let (outcome, is_final) = ask(&sandbox, &config_map).await;
            ledger.log_line(sandbox.host.now(), &name, &outcome);
            if is_final {
                break;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    };
    host.spawn("apiclient", Box::pin(asking))
}

/// What came of one try, and whether another makes no sense: the apiserver has answered.
async fn ask(sandbox: &Sandbox, config_map: &str) -> (String, bool) {
    let pod = match InCluster::of(sandbox) {
        Ok(pod) => pod,
        Err(error) => return (error.to_string(), false),
    };
    let path = format!("/api/v1/namespaces/{}/configmaps/{config_map}", pod.namespace);
    match pod.client().get(&path).await {
        Ok(_) => (format!("read the ConfigMap {config_map}"), true),
        Err(error @ ClientError::Status(_)) => (error.to_string(), true),
        Err(error) => (error.to_string(), false),
    }
}
