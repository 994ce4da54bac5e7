//! The control plane's end: the dialer over the sessions.

use super::fleet::{Fleet, Node};
use super::nodes::{Listed, NodeSource};
use super::session::Session;
use super::{HostKeyPolicy, SSH_PORT, SessionError, SshCertificate, SshKey, UnknownNode, probe};
use async_trait::async_trait;
use ravelin_client::{Client, ClientConfig};
use ravelin_host::{BoxedStream, HostRef, Task, field};
use ravelin_transport::egress::{Destination, Egress, EgressError, HealthCheck};
use ravelin_transport::metrics::Family;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// The longest user name: what is longer is cut off, as in Kubernetes (`pkg/master/tunneler/ssh.go`).
const MAX_USER: usize = 32;

/// What a tunneler is told.
#[derive(Clone, Debug)]
pub struct SshConfig {
    /// The user to log in as (`--ssh-user`), cut off after 32 characters.
    pub user: String,
    /// The user's key (`--ssh-keyfile`).
    pub key: SshKey,
    /// What an authority says of that key: it is shown first.
    pub certificate: Option<SshCertificate>,
    /// Which host keys are taken for a node's.
    pub host_keys: HostKeyPolicy,
    /// What to do with a target whose node nobody knows.
    pub unknown_node: UnknownNode,
    /// The types of node addresses to connect to, the preferred one first. Kubernetes knows
    /// `ExternalIP` only.
    pub address_types: Vec<String>,
    /// The port of the nodes' SSH servers: [`SSH_PORT`], where nothing says otherwise.
    pub port: u16,
    /// The port of a node's loopback at which `/healthz` is asked for through the tunnel: the
    /// kubelet's read-only port, or its healthz port. `None`: the SSH server itself is asked.
    pub health_port: Option<u16>,
}

impl SshConfig {
    /// For this user, key and policy; pods go through their own node, and nothing goes elsewhere.
    pub fn new(user: impl Into<String>, key: SshKey, host_keys: HostKeyPolicy) -> Self {
        Self {
            user: user.into(),
            key,
            certificate: None,
            host_keys,
            unknown_node: UnknownNode::Fail,
            address_types: vec!["ExternalIP".to_owned(), "InternalIP".to_owned()],
            port: SSH_PORT,
            health_port: None,
        }
    }
}

/// Fewer sessions were open at a deadline than were waited for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{open} of {wanted} SSH tunnels are open{last_failures}")]
pub struct NotReady {
    /// How many are open.
    pub open: usize,
    /// How many were waited for.
    pub wanted: usize,
    /// The last failure of each node without one.
    last_failures: String,
}

/// Keeps a session to each node, and dials through them. Dropping the last reference ends all.
pub struct SshTunneler {
    fleet: Arc<Fleet>,
    _follow: Task,
    _probe: Task,
}

impl SshTunneler {
    /// Starts following the nodes that the apiserver lists, by direct egress.
    pub fn start(host: HostRef, config: SshConfig, client: ClientConfig) -> Arc<Self> {
        let address_types = config.address_types.clone();
        let source = Listed { client: Client::new(Arc::clone(&host), client), address_types };
        Self::follow(host, config, Arc::new(source))
    }

    /// Starts following the nodes of a source.
    pub(crate) fn follow(host: HostRef, mut config: SshConfig, source: Arc<dyn NodeSource>) -> Arc<Self> {
        if config.user.chars().count() > MAX_USER {
            config.user = config.user.chars().take(MAX_USER).collect();
            host.observe("ssh.user", &[field("message", "SSH User is too long. Truncating to 32 chars")]);
        }
        let fleet = Fleet::new(Arc::clone(&host), config, source);
        let follow = host.spawn("ssh.follow", Box::pin(Fleet::follow(Arc::downgrade(&fleet))));
        let probe = host.spawn("ssh.probes", Box::pin(probe::probe_all(Arc::downgrade(&fleet))));
        Arc::new(Self { fleet, _follow: follow, _probe: probe })
    }

    /// How many sessions are open.
    pub fn open(&self) -> usize {
        *self.fleet.open().borrow()
    }

    /// Waits until at least this many sessions are open.
    ///
    /// # Errors
    /// Where fewer are when `deadline` has passed; it says why, node by node.
    pub async fn wait_ready(&self, wanted: usize, deadline: Duration) -> Result<(), NotReady> {
        let mut open = self.fleet.open();
        let ready = timeout(deadline, open.wait_for(|open| *open >= wanted)).await;
        match ready {
            Ok(Ok(_)) => Ok(()),
            _ => Err(NotReady { open: self.open(), wanted, last_failures: self.last_failures() }),
        }
    }

    fn last_failures(&self) -> String {
        self.fleet.with_nodes(|nodes| {
            nodes.values().filter_map(Node::failure).map(|failure| format!("; {failure}")).collect()
        })
    }

    /// The session that leads to a target.
    fn route(&self, to: IpAddr, what: &Destination) -> Result<Arc<Session>, EgressError> {
        self.fleet.with_nodes(|nodes| match self.fleet.config().unknown_node {
            UnknownNode::Fail => through_its_node(nodes, (to, what)),
            UnknownNode::DangerRandom => self.through_any(nodes, to),
        })
    }

    /// The tunnel to the address, else that of a random node.
    fn through_any(&self, nodes: &BTreeMap<String, Node>, to: IpAddr) -> Result<Arc<Session>, EgressError> {
        let own = nodes.values().filter(|node| node.is_at(to)).find_map(Node::session);
        if let Some(session) = own {
            return Ok(Arc::clone(session));
        }
        let open: Vec<&Arc<Session>> = nodes.values().filter_map(Node::session).collect();
        let user = &self.fleet.config().user;
        if open.is_empty() {
            let text = format!(
                "No SSH tunnels currently open. Were the targets able to accept an ssh-key for user {user:?}?"
            );
            return Err(unavailable(text, nodes.values().find_map(Node::failure)));
        }
        let message = format!("SSH tunnel not found for address \"{to}\", picking random node");
        let host = self.fleet.host();
        host.observe("ssh.random-node", &[field("message", message)]);
        let count = u64::try_from(open.len()).expect("a count of nodes fits");
        let chosen = host.entropy("ssh.random-node").below(count);
        Ok(Arc::clone(open[usize::try_from(chosen).expect("below a length")]))
    }
}

/// The tunnel of the node that the target is on, and no other. Which node that is, the apiserver's
/// own objects say; what a node says of its addresses leads nobody through another's tunnel.
fn through_its_node(
    nodes: &BTreeMap<String, Node>,
    (to, what): (IpAddr, &Destination),
) -> Result<Arc<Session>, EgressError> {
    let Some(name) = what.node() else {
        let text = format!("{to} ({what}) is on no node that is known: no SSH tunnel leads there");
        return Err(EgressError::Refused(text));
    };
    let Some(node) = nodes.get(name) else {
        let text = format!("{to} ({what}) is on {name}, which is no node: no SSH tunnel leads there");
        return Err(EgressError::Refused(text));
    };
    let missing = || unavailable(format!("no SSH tunnel to {name} is open"), node.failure());
    node.session().cloned().ok_or_else(missing)
}

/// A check that failed is a refusal; anything else may pass.
fn unavailable(text: String, failure: Option<&SessionError>) -> EgressError {
    match failure {
        Some(error) if error.is_refusal() => EgressError::Refused(format!("{text}: {error}")),
        Some(error) => EgressError::Unavailable(format!("{text}: {error}")),
        None => EgressError::Unavailable(text),
    }
}

#[async_trait]
impl Egress for SshTunneler {
    async fn dial(&self, to: SocketAddr, what: &Destination) -> Result<BoxedStream, EgressError> {
        let session = self.route(to.ip(), what)?;
        let dialled = session.dial(&to.ip().to_string(), to.port()).await;
        let outcome = dialled.as_ref().err().map_or("open".to_owned(), ToString::to_string);
        self.fleet
            .host()
            .observe("ssh.dial", &[field("to", to), field("what", what), field("outcome", outcome)]);
        dialled
    }

    fn name(&self) -> &str {
        "ssh"
    }

    fn health(&self) -> Vec<HealthCheck> {
        self.fleet.health.checks()
    }

    fn metrics(&self) -> Vec<Family> {
        self.fleet.health.metrics()
    }
}
