//! Starting a kubelet.

use crate::config::KubeletConfig;
use crate::credentials::{client_config, node_identity};
use crate::journal::Journal;
use crate::state::{Member, Shared};
use crate::{heartbeat, lease, node, pods, rotation, serving};
use ravelin_client::{Client, ClientConfig, Credential};
use ravelin_host::{Endpoint, HostRef, Task};
use ravelin_pki::Identity;
use std::sync::Arc;

/// A kubelet to be started.
#[derive(Debug)]
pub struct Kubelet;

/// A running kubelet; it ends, and its pods with it, when this is dropped.
pub struct Running {
    shared: Arc<Shared>,
    _tasks: Vec<Task>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("node", &self.shared.config.node_name).finish_non_exhaustive()
    }
}

impl Kubelet {
    /// Starts a kubelet: its ports listen when this returns; it joins the cluster in the
    /// background.
    ///
    /// # Errors
    /// Where a port cannot be listened on.
    pub async fn start(host: HostRef, config: KubeletConfig) -> std::io::Result<Running> {
        let listener = match config.enable_server {
            true => Some(host.listen(&Endpoint::tcp(config.address, config.port)).await?),
            false => None,
        };
        let read_only = match config.read_only_port {
            Some(port) => Some(host.listen(&Endpoint::tcp(config.address, port)).await?),
            None => None,
        };
        let shared = Arc::new(Shared::new(host.clone(), config));
        let mut tasks = vec![host.spawn("kubelet", Box::pin(run(Arc::clone(&shared))))];
        if let Some(listener) = listener {
            let serve = serving::serve(Arc::clone(&shared), listener);
            tasks.push(host.spawn("kubelet endpoint", Box::pin(serve)));
        }
        if let Some(listener) = read_only {
            let serve = serving::serve_read_only(Arc::clone(&shared), listener);
            tasks.push(host.spawn("kubelet read-only port", Box::pin(serve)));
        }
        Ok(Running { shared, _tasks: tasks })
    }
}

impl Running {
    /// How this kubelet now reaches the apiserver; `None` until it has an identity.
    pub fn client_config(&self) -> Option<ClientConfig> {
        self.shared.member().map(|member| member.config)
    }

    /// What its HTTPS endpoint proves itself by; `None` until it has a certificate.
    pub fn serving_identity(&self) -> Option<Identity> {
        self.shared.serving()
    }

    /// Has it registered its node?
    pub fn is_registered(&self) -> bool {
        self.shared.is_registered()
    }

    /// Why it has not joined yet, as far as it was told.
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble()
    }

    /// What its endpoint answered.
    pub fn journal(&self) -> Arc<Journal> {
        Arc::clone(&self.shared.journal)
    }
}

async fn run(shared: Arc<Shared>) {
    let (host, config) = (&shared.host, &shared.config);
    let identity = node_identity(&shared).await;
    let client_config = client_config(config, Credential::Certificate(identity.clone()));
    let client = Client::new(host.clone(), client_config.clone()).with_watches(config.watches);
    shared.join(Member { client: client.clone(), config: client_config, identity });
    let uid = node::register(&shared, &client).await;
    shared.registered();
    let lease = lease::keep(host.clone(), client.clone(), config.clone(), uid);
    let pods = pods::run(Arc::clone(&shared), client.clone());
    let heartbeat = heartbeat::keep(Arc::clone(&shared), client.clone());
    let rotation = rotation::keep_client(Arc::clone(&shared));
    tokio::join!(biased; lease, heartbeat, pods, rotation);
}
