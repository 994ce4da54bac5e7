//! The workload that asks the apiserver, as a program in a pod does: with the injected token and root
//! certificate, at the address in its environment.

use super::Container;
use crate::Sandbox;
use ravelin_client::{Client, ClientConfig, ClientError, NotInCluster};
use ravelin_host::{HostRef, Task};
use std::sync::Arc;
use std::time::Duration;

/// The first pause between two tries; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

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

impl InCluster {
    /// Reads the pod's files and environment.
    ///
    /// # Errors
    /// Where one is missing or malformed.
    pub fn of(sandbox: &Sandbox) -> Result<Self, NotInCluster> {
        let loaded = ravelin_client::InCluster::load(&sandbox.host, &sandbox.root, &sandbox.env)?;
        Ok(Self { host: sandbox.host.clone(), config: loaded.config, namespace: loaded.namespace })
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
    let again = container.view.env.get("EVERY_SECONDS").and_then(|text| text.parse::<u64>().ok());
    let again = again.filter(|seconds| *seconds > 0).map(Duration::from_secs);
    let host = sandbox.host.clone();
    let asking = async move {
        let mut pause = FIRST_PAUSE;
        let mut pod = None;
        loop {
            let (outcome, is_final) = ask(&sandbox, &mut pod, &config_map).await;
            ledger.log_line(sandbox.host.now(), &name, &outcome);
            match (is_final, again) {
                (true, None) => break,
                (true, Some(again)) => {
                    pause = FIRST_PAUSE;
                    tokio::time::sleep(again).await;
                }
                (false, _) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    };
    host.spawn("apiclient", Box::pin(asking))
}

/// What came of one try, and whether the apiserver has answered. A client that could be made is
/// kept: its token is renewed behind it.
async fn ask(sandbox: &Sandbox, known: &mut Option<(Client, String)>, config_map: &str) -> (String, bool) {
    if known.is_none() {
        match InCluster::of(sandbox) {
            Ok(pod) => *known = Some((pod.client(), pod.namespace)),
            Err(error) => return (error.to_string(), false),
        }
    }
    let Some((client, namespace)) = known else { return (String::new(), false) };
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/{config_map}");
    match client.get(&path).await {
        Ok(_) => (format!("read the ConfigMap {config_map}"), true),
        Err(error @ ClientError::Status(_)) => (error.to_string(), true),
        Err(error) => (error.to_string(), false),
    }
}
