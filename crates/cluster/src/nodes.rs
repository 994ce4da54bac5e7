//! What the nodes are started from: kubelet, service proxy, SSH server.

use crate::layout::NodePlace;
use crate::member::{Components, Member, MemberPlan};
use crate::settings::{self, KubeletParts};
use crate::start::Setup;
use ravelin_client::{Client, ClientConfig, Credential, TokenSource};
use ravelin_config as config;
use ravelin_host::HostRef;
use ravelin_kubelet::{ApiserverTarget, KubeletConfig, Serving};
use ravelin_pki::{Identity, San};
use serde_json::json;
use std::cell::RefCell;

/// Where a service proxy that runs in a pod has its token.
pub(crate) const PROXY_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

impl Setup<'_> {
    /// Starts everything that runs on a node.
    pub(crate) async fn member(&mut self, index: usize, operator: &Client) -> Member {
        let place = self.layout.members()[index].clone();
        let host = self.hosts.nodes[index].clone();
        self.write_agent_token(&host, operator).await;
        let plan = MemberPlan {
            kubelet: self.kubelet_config(&place),
            proxy: self.proxy_client(&host, operator).await,
            ssh: self.ssh_config(&place),
            agent: self.agent_plan(&place),
            workloads: self.hosts.workloads.clone(),
        };
        let running = RefCell::new(Components::start(&host, &plan).await);
        Member { host, plan, running }
    }

    fn kubelet_config(&mut self, place: &NodePlace) -> KubeletConfig {
        let node = &place.machine.name;
        let names = vec![San::Ip(place.machine.address), San::Dns(node.clone())];
        let token = self.bootstrap.token().map(str::to_owned);
        let identity =
            token.is_none().then(|| self.material.client(&format!("system:node:{node}"), &["system:nodes"]));
        let mut kubelet = settings::kubelet(
            self.config,
            KubeletParts {
                node_name: node.clone(),
                address: place.machine.address,
                apiserver: ApiserverTarget {
                    address: self.base.server,
                    server_name: self.base.server_name.clone(),
                    trust: self.base.trust.clone(),
                },
                bootstrap_token: token,
                client_identity: identity,
                serving: match &self.config.kubelet.serving {
                    config::KubeletServing::SelfSigned => Serving::SelfSigned,
                    config::KubeletServing::Bootstrap => Serving::Bootstrap,
                    config::KubeletServing::Files(_) => {
                        Serving::Given(self.material.kubelet_serving(node, names))
                    }
                },
                client_ca: self.material.kubelet_client_anchors(),
                pod_cidr: Some(place.pod_cidr),
            },
        );
        kubelet.events = self.hosts.workloads.events;
        if self.layout.rogue().is_some_and(|rogue| self.layout.members()[rogue] == *place) {
            // What is said of a node and of its pods that the attacker owns, the attacker says.
            kubelet.status_update_interval = None;
        }
        kubelet
    }

    /// The service proxy's way to the apiserver: a certificate where its kubeconfig is a file of
    /// its own, a service account's token where it runs in a pod (kubeadm).
    async fn proxy_client(&mut self, host: &HostRef, operator: &Client) -> ClientConfig {
        const IN_POD: &str = "/var/lib/kube-proxy/kubeconfig.conf";
        let own_file = self.config.proxy.kubeconfig.as_ref().filter(|file| file.as_str() != IN_POD);
        if own_file.is_some() {
            return self.client("system:kube-proxy", &["system:node-proxier"]);
        }
        let path = "/api/v1/namespaces/kube-system/serviceaccounts/kube-proxy/token";
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": [], "expirationSeconds": 31_536_000},
        });
        let issued = operator.create(path, &request).await.ok();
        let token = issued.as_ref().and_then(|issued| issued["status"]["token"].as_str()).unwrap_or_default();
        // A token that was not issued is an empty file, and the client says so.
        let _ = host.disk().write(PROXY_TOKEN, token.as_bytes());
        ClientConfig { credential: Credential::Token(TokenSource::file(PROXY_TOKEN)), ..self.base.clone() }
    }

    /// What the rogue node was issued when it had the first member's address.
    pub(crate) fn former_serving(&mut self) -> Option<Identity> {
        let rogue = &self.layout.members()[self.layout.rogue()?].machine.name;
        let address = self.layout.members().first()?.machine.address;
        let names = vec![San::Ip(address), San::Dns(rogue.clone())];
        match &self.config.kubelet.serving {
            config::KubeletServing::SelfSigned => None,
            config::KubeletServing::Bootstrap => self.material.requested_serving(rogue, names),
            config::KubeletServing::Files(_) => Some(self.material.kubelet_serving(rogue, names)),
        }
    }
}
