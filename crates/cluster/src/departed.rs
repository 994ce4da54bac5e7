//! The pod that is gone: what a thief has left who copied its token while it ran.

use crate::cluster::{Cluster, uid};
use crate::tenant::TENANT_NAMESPACE;
use jiff::Timestamp;
use ravelin_client::{Client, ClientError};
use ravelin_host::HostRef;
use ravelin_runtime::{Builtin, SERVICE_ACCOUNT_DIRECTORY};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The pod's name.
const NAME: &str = "departed";
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How many looks it gets to run.
const LOOKS: usize = 300;

/// A pod that ran and was deleted, without grace, before the cluster was ready.
#[derive(Clone, PartialEq, Eq)]
pub struct Departed {
    /// Its name.
    pub pod: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
    /// The token that it had: unexpired, and bound to a pod that is gone.
    pub token: String,
    /// When the apiserver had deleted it.
    pub deleted_at: Timestamp,
}

impl std::fmt::Debug for Departed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Departed");
        shown.field("pod", &self.pod).field("deleted_at", &self.deleted_at).finish_non_exhaustive()
    }
}

/// What came of it, once that is known.
pub(crate) type Outcome = Arc<Mutex<Option<Departed>>>;

/// What it is, where it runs, who asks for it, and where the outcome goes.
pub(crate) struct Plan {
    pub(crate) pod: Value,
    pub(crate) runtime: Arc<Builtin>,
    pub(crate) operator: Client,
    pub(crate) outcome: Outcome,
}

impl Plan {
    /// Creates the pod, waits until it runs, copies its token and deletes it.
    pub(crate) async fn play(self, host: HostRef) {
        let found = match self.departed(&host).await {
            Ok(found) => found,
            Err(error) => {
                let fields =
                    [ravelin_host::field("what", "departed pod"), ravelin_host::field("error", error)];
                return host.observe("setup.not-created", &fields);
            }
        };
        if let Ok(mut outcome) = self.outcome.lock() {
            *outcome = found;
        }
    }

    async fn departed(&self, host: &HostRef) -> Result<Option<Departed>, ClientError> {
        let pods = format!("/api/v1/namespaces/{TENANT_NAMESPACE}/pods");
        let path = format!("{pods}/{NAME}");
        let Some(uid) = self.created(&pods).await? else { return Ok(None) };
        for _ in 0..LOOKS {
            tokio::time::sleep(LOOK).await;
            let Some(token) = self.token(&uid) else { continue };
            self.operator.delete(&format!("{path}?gracePeriodSeconds=0")).await?;
            let (pod, namespace) = (NAME.to_owned(), TENANT_NAMESPACE.to_owned());
            return Ok(Some(Departed { pod, namespace, uid, token, deleted_at: host.now() }));
        }
        Ok(None)
    }

    /// The uid of the pod, once the apiserver takes it: its service account has to be there.
    async fn created(&self, pods: &str) -> Result<Option<String>, ClientError> {
        for _ in 0..LOOKS {
            match self.operator.create(pods, &self.pod).await {
                Ok(pod) => return Ok(Some(uid(&pod))),
                Err(error) if error.code().is_some_and(|code| code == 403 || code >= 500) => {
                    tokio::time::sleep(LOOK).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// What the pod's file holds, once it is there.
    fn token(&self, uid: &str) -> Option<String> {
        let sandbox = self.runtime.sandbox(uid)?;
        let file = format!("{}{SERVICE_ACCOUNT_DIRECTORY}/token", sandbox.root);
        sandbox.host.disk().read(&file).and_then(|token| String::from_utf8(token).ok())
    }
}

/// The pod, for a node.
pub(crate) fn pod(node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": NAME, "namespace": TENANT_NAMESPACE},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "containers": [{"name": "main", "image": "ravelin.test/logger"}],
        },
    })
}

impl Cluster {
    /// The pod that is gone, where the layout asked for one (`Layout::with_departed`) and it ran.
    pub fn departed(&self) -> Option<Departed> {
        self.departed.lock().ok()?.clone()
    }
}
