//! The pod of somebody who is not one of the probes: an ordinary tenant of the cluster.

use crate::cluster::{Cluster, uid};
use crate::demo;
use ravelin_entropy::Entropy;
use ravelin_host::HostRef;
use ravelin_runtime::SERVICE_ACCOUNT_DIRECTORY;
use serde_json::{Value, json};
use std::net::IpAddr;

/// The namespace of the tenant: an ordinary one.
pub const TENANT_NAMESPACE: &str = "tenant";

/// An ordinary pod without rights of its own, on the last member node: the place of an attacker
/// who owns a pod.
#[derive(Clone)]
pub struct Tenant {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its node.
    pub node: String,
    /// Its address in the pod network.
    pub address: IpAddr,
    /// The computer it runs on.
    pub host: HostRef,
    /// The token of its service account (`default`), as its file holds it now.
    pub token: String,
    /// The name of the Secret that it uses.
    pub secret: String,
}

impl std::fmt::Debug for Tenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Tenant");
        shown.field("name", &self.name).field("node", &self.node).field("address", &self.address);
        shown.finish_non_exhaustive()
    }
}

/// The namespace, as an installer writes it.
pub(crate) fn namespace() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": TENANT_NAMESPACE, "labels": {"kubernetes.io/metadata.name": TENANT_NAMESPACE}},
        "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
    })
}

/// The Secret that the tenant's pod uses, with a value of its own.
pub(crate) fn secret(node: &str, entropy: &mut Entropy) -> Value {
    demo::secret((TENANT_NAMESPACE, &secret_name(node)), &format!("canary-{}", entropy.word(24)))
}

/// Its name.
fn secret_name(node: &str) -> String {
    format!("tenant-{node}")
}

/// The tenant's pod, for a node.
pub(crate) fn pod(node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": pod_name(node), "namespace": TENANT_NAMESPACE},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "containers": [{"name": "main", "image": "ravelin.test/logger"}],
            "volumes": [{"name": "credentials", "secret": {"secretName": secret_name(node)}}],
        },
    })
}

fn pod_name(node: &str) -> String {
    format!("tenant-{node}")
}

impl Cluster {
    /// The tenant's pod.
    ///
    /// # Errors
    /// Why it does not run, in a sentence.
    pub fn tenant(&self) -> Result<Tenant, String> {
        let node = self.tenant_node();
        let name = pod_name(self.node_name(node));
        let pod = self.running_pod((TENANT_NAMESPACE, &name), node)?;
        let sandbox = self.members[node].running.borrow().runtime.sandbox(&uid(&pod));
        let sandbox = sandbox.ok_or_else(|| format!("{name} does not run"))?;
        let address = pod["status"]["podIP"].as_str().and_then(|ip| ip.parse().ok());
        let address = address.ok_or_else(|| format!("{name} has no address"))?;
        let file = format!("{}{SERVICE_ACCOUNT_DIRECTORY}/token", sandbox.root);
        let token = sandbox.host.disk().read(&file).and_then(|token| String::from_utf8(token).ok());
        let token = token.ok_or_else(|| format!("{name} has no token"))?;
        Ok(Tenant {
            namespace: TENANT_NAMESPACE.to_owned(),
            name,
            node: self.node_name(node).to_owned(),
            address,
            host: sandbox.host,
            token,
            secret: secret_name(self.node_name(node)),
        })
    }

    /// Does the tenant's pod run?
    pub(crate) fn has_tenant(&self) -> bool {
        let node = self.tenant_node();
        self.running_pod((TENANT_NAMESPACE, &pod_name(self.node_name(node))), node).is_ok()
    }

    fn tenant_node(&self) -> usize {
        self.layout.members().len() - 1
    }
}
