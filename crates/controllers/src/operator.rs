//! Somebody who approves kubelets' requests for serving certificates, since Kubernetes itself
//! never does: an administrator who knows which addresses each node has.

use crate::csr::{CSRS, Csr, Signer};
use crate::follow::{Controller, Informers, Outcome, objects, run};
use async_trait::async_trait;
use ravelin_api::time;
use ravelin_client::{Client, ClientConfig, ClientError, Store, Watches};
use ravelin_host::{Flaw, HostRef, Task, field};
use ravelin_pki::San;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What an operator needs.
#[derive(Clone, Debug)]
pub struct OperatorConfig {
    /// How it reaches the apiserver, as an administrator.
    pub client: ClientConfig,
    /// The addresses of each node, known from elsewhere: what node objects say of themselves, any
    /// node could have written.
    pub nodes: BTreeMap<String, Vec<IpAddr>>,
    /// Approves every serving request, whatever its names, as approvers do that prove nothing
    /// (kubelet-rubber-stamp).
    pub danger_rubber_stamp: bool,
    /// How it watches.
    pub watches: Watches,
}

/// A running operator; it ends when this is dropped.
#[derive(Debug)]
pub struct Operator {
    _tasks: Vec<Task>,
}

impl Operator {
    /// Starts an operator.
    pub fn start(host: HostRef, config: OperatorConfig) -> Self {
        let client = Client::new(host.clone(), config.client).with_watches(config.watches);
        let mut informers = Informers::new(&client);
        let csrs = informers.all(CSRS);
        let danger_anyway = config.danger_rubber_stamp || host.flaws().has(Flaw::SignersTrustRequests);
        let approving = Approving { client, csrs: csrs.clone(), nodes: config.nodes, danger_anyway };
        let mut tasks = vec![run(&host, approving, vec![csrs])];
        tasks.extend(informers.into_tasks());
        Self { _tasks: tasks }
    }
}

struct Approving {
    client: Client,
    csrs: Store,
    nodes: BTreeMap<String, Vec<IpAddr>>,
    danger_anyway: bool,
}

#[async_trait]
impl Controller for Approving {
    fn name(&self) -> &'static str {
        "operator"
    }

    async fn reconcile(&mut self) -> Result<(), ClientError> {
        let mut outcome = Outcome::default();
        for object in objects(&self.csrs) {
            let Some(csr) = Csr::read(&object).filter(Csr::is_undecided) else { continue };
            if csr.signer != Signer::KubeletServing {
                continue;
            }
            let (kind, message) = match judge(&csr, &self.nodes) {
                Ok(()) => ("Approved", "the names are this node's"),
                Err(_) if self.danger_anyway => ("Approved", "every request is approved"),
                Err(broken) => ("Denied", broken),
            };
            let fields = [field("csr", csr.name), field("user", csr.username), field("result", message)];
            self.client.host().observe("operator.csr", &fields);
            let now = time::format(self.client.host().now());
            let decided = csr.with_condition(kind, "OperatorDecision", message, &now);
            outcome.note(self.client.update(&format!("{CSRS}/{}/approval", csr.name), &decided).await);
        }
        outcome.result()
    }
}

/// May this request for a serving certificate be approved?
fn judge(csr: &Csr<'_>, nodes: &BTreeMap<String, Vec<IpAddr>>) -> Result<(), &'static str> {
    let request = csr.request()?;
    csr.signer.check(&request, &csr.usages).map_err(|_| "the request breaks its signer's rules")?;
    let name = &request.subject.common_name;
    if name != csr.username {
        return Err("a node may only ask for itself");
    }
    let node = name.strip_prefix("system:node:").ok_or("the requester is no node")?;
    let addresses = nodes.get(node).ok_or("there is no such node")?;
    let is_own = |san: &San| match san {
        San::Ip(address) => addresses.contains(address),
        San::Dns(name) => name == node,
    };
    if request.sans.iter().all(is_own) { Ok(()) } else { Err("a name is not this node's") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use ravelin_entropy::Entropy;
    use ravelin_pki::{KeyPair, SigningRequest, Subject};
    use serde_json::json;

    #[test]
    fn only_a_nodes_own_names_are_approved() {
        let nodes = BTreeMap::from([
            ("n1".to_owned(), vec![IpAddr::from([10, 0, 0, 1])]),
            ("n2".to_owned(), vec![IpAddr::from([10, 0, 0, 2])]),
        ]);
        let key = KeyPair::generate(&mut Entropy::from_key([3; 32]));
        let (own, foreign) = (San::Ip([10, 0, 0, 1].into()), San::Ip([10, 0, 0, 2].into()));
        let dns = |name: &str| San::Dns(name.to_owned());
        let table = [
            ("system:node:n1", "system:node:n1", vec![own.clone(), dns("n1")], true),
            ("system:node:n1", "system:node:n1", vec![own.clone(), foreign.clone()], false),
            ("system:node:n1", "system:node:n1", vec![own.clone(), dns("kubernetes")], false),
            ("system:node:n2", "system:node:n1", vec![own.clone()], false),
            ("system:node:n9", "system:node:n9", vec![own.clone()], false),
            ("admin", "system:node:n1", vec![own], false),
        ];
        for (user, subject, sans, approved) in table {
            let pem = SigningRequest::create(&Subject::new(subject, &["system:nodes"]), &sans, &key);
            let object = json!({
                "metadata": { "name": "c" },
                "spec": {
                    "signerName": "kubernetes.io/kubelet-serving", "username": user,
                    "usages": ["digital signature", "server auth"], "request": STANDARD.encode(pem),
                },
            });
            let csr = Csr::read(&object).unwrap();
            assert_eq!(judge(&csr, &nodes).is_ok(), approved, "{user} {subject} {sans:?}");
        }
    }
}
