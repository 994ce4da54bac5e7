//! What Konnectivity's agents need of a cluster: their plan, their pods, their token, and the objects of
//! the documented set-up.

use crate::agents::{self, AgentPlan};
use crate::konnectivity::of;
use crate::layout::NodePlace;
use crate::settings::own_address;
use crate::start::Setup;
use ravelin_client::Client;
use ravelin_config as config;
use ravelin_host::HostRef;
use serde_json::{Value, json};

/// Who the server is at the apiserver, where its kubeconfig is a file of its own (kubernetes.io, "Set up
/// Konnectivity service").
pub(crate) const SERVER_USER: &str = "system:konnectivity-server";
/// Who an agent is that shows a certificate.
const AGENT_USER: &str = "konnectivity-agent";

impl Setup<'_> {
    /// What a node's agent is started from; `None` where it has none.
    pub(crate) fn agent_plan(&mut self, place: &NodePlace) -> Option<AgentPlan> {
        let given = of(self.config)?;
        let index = self.layout.members().iter().position(|node| node == place)?;
        let most = given.agent.pod.as_ref().and_then(|pod| pod.replicas);
        if most.is_some_and(|most| index >= usize::try_from(most).unwrap_or(usize::MAX)) {
            return None;
        }
        let mut options = given.agent.clone();
        for address in [&mut options.health, &mut options.admin] {
            *address = own_address(*address, place.machine.address);
        }
        let identity = given.agent.client.as_ref().map(|pair| {
            let issuer = match &given.server.authentication {
                config::AgentAuthentication::Certificate { ca } => ca.as_str(),
                _ => pair.cert.as_str(),
            };
            self.material.client_of(issuer, AGENT_USER)
        });
        let authority = self.agents_authority(given);
        Some(AgentPlan {
            options,
            identity,
            anchors: self.material.anchors(&authority),
            servers: self.layout.control_planes().map(|place| place.address).collect(),
            node: (place.machine.name.clone(), place.machine.address),
        })
    }

    /// Gives an agent that is a program of its node the token that its file holds: whoever installed it
    /// asked for one that the server accepts.
    pub(crate) async fn write_agent_token(&self, host: &HostRef, operator: &Client) {
        let Some(given) = of(self.config) else { return };
        let (Some(file), None) = (&given.agent.token, &given.agent.pod) else { return };
        let config::AgentAuthentication::Token { namespace, service_account, audience } =
            &given.server.authentication
        else {
            return;
        };
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token");
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": [audience], "expirationSeconds": 31_536_000},
        });
        let issued = operator.create(&path, &request).await.ok();
        let token = issued.as_ref().and_then(|issued| issued["status"]["token"].as_str()).unwrap_or_default();
        // A token that was not issued is an empty file, and the server says so.
        let _ = host.disk().write(file.as_str(), token.as_bytes());
    }

    /// The pods that agents are, node by node.
    pub(crate) fn agent_pods(&self) -> Vec<(String, Value)> {
        let Some(pod) = of(self.config).and_then(|given| given.agent.pod.as_ref()) else { return Vec::new() };
        let most = pod.replicas.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        let nodes = self.layout.members().iter().take(most);
        let path = format!("/api/v1/namespaces/{}/pods", pod.namespace);
        nodes.map(|node| (path.clone(), self.tolerating(agents::pod(pod, &node.machine.name)))).collect()
    }

    /// What the documented set-up has, and no file of the input: the agents' account, and the server's
    /// right to ask whose a token is.
    pub(crate) fn konnectivity_objects(&self) -> Vec<Value> {
        let Some(given) = of(self.config) else { return Vec::new() };
        let mut objects = Vec::new();
        let manifests = || self.config.manifests.iter().map(|manifest| &manifest.object);
        if let Some(pod) = &given.agent.pod {
            let (namespace, name) = (pod.namespace.as_str(), pod.service_account());
            let is_it = |object: &Value| {
                let metadata = &object["metadata"];
                let there = metadata["namespace"].as_str().unwrap_or("default");
                object["kind"] == "ServiceAccount" && metadata["name"] == name && there == namespace
            };
            if name != "default" && !manifests().any(is_it) {
                let metadata = json!({"name": name, "namespace": namespace});
                objects.push(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}));
            }
        }
        let is_bound = |object: &Value| {
            let mut subjects = object["subjects"].as_array().into_iter().flatten();
            object["kind"] == "ClusterRoleBinding" && subjects.any(|subject| subject["name"] == SERVER_USER)
        };
        let asks = matches!(given.server.authentication, config::AgentAuthentication::Token { .. });
        if asks && !manifests().any(is_bound) {
            objects.push(binding());
        }
        objects
    }
}

/// The server's right to ask whose a token is, as the documentation has it.
fn binding() -> Value {
    let group = "rbac.authorization.k8s.io";
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": SERVER_USER},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "system:auth-delegator"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": SERVER_USER}],
    })
}
