//! What an attacker finds who owns a node: all that lies on its disk.

use crate::cluster::Cluster;
use crate::nodes::PROXY_TOKEN;
use ravelin_client::Credential;
use ravelin_host::HostRef;
use ravelin_kubelet as kubelet;
use ravelin_pki::Identity;
use ravelin_tunnel::SshKey;
use std::net::IpAddr;

/// A member node that is the attacker's, and its credentials.
#[derive(Clone)]
pub struct Rogue {
    /// The node's name.
    pub node: String,
    /// The node's address.
    pub address: IpAddr,
    /// The node's computer.
    pub host: HostRef,
    /// Its kubelet's client certificate.
    pub client: Identity,
    /// Its kubelet's serving certificate, once there is one.
    pub serving: Option<Identity>,
    /// A serving certificate that it was issued by the same authority, and by the rules, when it
    /// had the address that the first member node has now, and that is still valid. That
    /// addresses are given out again within a certificate's life is an assumption: it is the case
    /// that KEP-4872 is about. `None` where nobody issues kubelets' serving certificates.
    pub former_serving: Option<Identity>,
    /// The tokens that lie on its disk: those of its pods, of its service proxy where that runs in
    /// a pod, and the bootstrap token where nobody deleted it.
    pub tokens: Vec<String>,
    /// Its service proxy's certificate, where that has one.
    pub proxy: Option<Identity>,
    /// The host key of its SSH server, where it has one.
    pub ssh_host_key: Option<SshKey>,
}

impl std::fmt::Debug for Rogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rogue")
            .field("node", &self.node)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// What the attacker holds who owns the rogue node.
    ///
    /// # Errors
    /// Why there is no such node, or why it has not joined, in a sentence.
    pub fn rogue(&self) -> Result<Rogue, String> {
        let node = self.layout.rogue().ok_or("no node of this cluster is the attacker's")?;
        let member = &self.members[node];
        let running = member.running.borrow();
        let kubelet = running.kubelet.as_ref().filter(|kubelet| kubelet.is_registered());
        let config = kubelet.and_then(kubelet::Running::client_config);
        let config = config.ok_or_else(|| self.why_not_joined(node))?;
        let Credential::Certificate(client) = config.credential else {
            return Err(format!("the kubelet of {} has no client certificate", self.node_name(node)));
        };
        let proxy = match &member.plan.proxy.credential {
            Credential::Certificate(identity) => Some(identity.clone()),
            Credential::Token(_) | Credential::Anonymous => None,
        };
        let mut tokens = vec![self.tenant()?.token];
        if proxy.is_none() {
            let file = member.host.disk().read(PROXY_TOKEN);
            let token = file.and_then(|token| String::from_utf8(token).ok());
            tokens.extend(token.filter(|token| !token.is_empty()));
        }
        tokens.extend(self.bootstrap_token().filter(|_| self.facts.bootstrap_token_stays));
        Ok(Rogue {
            node: self.node_name(node).to_owned(),
            address: self.layout.members()[node].machine.address,
            host: member.host.clone(),
            client,
            serving: kubelet.and_then(kubelet::Running::serving_identity),
            former_serving: self.former_serving.clone(),
            tokens,
            proxy,
            ssh_host_key: member.plan.ssh.as_ref().map(|ssh| ssh.host_key.clone()),
        })
    }
}
