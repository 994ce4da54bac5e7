//! The control plane's end: a session to each node, and the dialer over them.

use super::nodes::{Listed, NodeSource};
use super::session::{Login, Session};
use super::{CONNECT_TIMEOUT, HostKeyPolicy, SessionError, SshKey, UnknownNode};
use async_trait::async_trait;
use ravelin_client::{Client, ClientConfig};
use ravelin_host::{BoxedStream, Endpoint, HostRef, Task, field};
use ravelin_transport::egress::{Destination, Egress, EgressError};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How often nodes are listed, as in Kubernetes (`pkg/master/tunneler/ssh.go`).
const SYNC_INTERVAL: Duration = Duration::from_secs(15);
/// How soon a list that failed or was empty is asked for again.
const SYNC_RETRY: Duration = Duration::from_secs(1);
const MIN_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// What a tunneler is told.
#[derive(Clone, Debug)]
pub struct SshConfig {
    /// The user to log in as (`--ssh-user`).
    pub user: String,
    /// The user's key (`--ssh-keyfile`).
    pub key: SshKey,
    /// Which host keys are taken for a node's.
    pub host_keys: HostKeyPolicy,
    /// What to do with a target that is no node.
    pub unknown_node: UnknownNode,
    /// The types of node addresses to connect to, the preferred one first. Kubernetes knows
    /// `ExternalIP` only.
    pub address_types: Vec<String>,
    /// The port of the nodes' SSH servers: [`SSH_PORT`](super::SSH_PORT), where nothing says otherwise.
    pub port: u16,
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
    shared: Arc<Shared>,
    _follow: Task,
}

struct Shared {
    host: HostRef,
    config: SshConfig,
    nodes: Mutex<BTreeMap<String, Node>>,
    /// How many sessions are open.
    open: watch::Sender<usize>,
}

/// One node, and the task that keeps its session.
struct Node {
    address: IpAddr,
    session: Option<Arc<Session>>,
    failure: Option<SessionError>,
    _keep: Task,
}

impl Node {
    fn session(&self) -> Option<&Arc<Session>> {
        self.session.as_ref().filter(|session| !session.is_closed())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SshTunneler {
    /// Starts following the nodes that the apiserver lists, by direct egress.
    pub fn start(host: HostRef, config: SshConfig, client: ClientConfig) -> Arc<Self> {
        let address_types = config.address_types.clone();
        let source = Listed { client: Client::new(Arc::clone(&host), client), address_types };
        Self::follow(host, config, Arc::new(source))
    }

    /// Starts following the nodes of a source.
    pub(crate) fn follow(host: HostRef, config: SshConfig, source: Arc<dyn NodeSource>) -> Arc<Self> {
        let shared = Arc::new(Shared {
            host: Arc::clone(&host),
            config,
            nodes: Mutex::default(),
            open: watch::Sender::new(0),
        });
        let following = Arc::downgrade(&shared);
        let follow = host.spawn(
            "ssh.follow",
            Box::pin(async move {
                loop {
                    let listed = source.nodes().await;
                    let Some(shared) = following.upgrade() else { return };
                    let pause = shared.take_over(listed);
                    drop(shared);
                    sleep(pause).await;
                }
            }),
        );
        Arc::new(Self { shared, _follow: follow })
    }

    /// How many sessions are open.
    pub fn open(&self) -> usize {
        *self.shared.open.borrow()
    }

    /// Waits until at least this many sessions are open.
    ///
    /// # Errors
    /// Where fewer are when `deadline` has passed; it says why, node by node.
    pub async fn wait_ready(&self, wanted: usize, deadline: Duration) -> Result<(), NotReady> {
        let mut open = self.shared.open.subscribe();
        let ready = timeout(deadline, open.wait_for(|open| *open >= wanted)).await;
        match ready {
            Ok(Ok(_)) => Ok(()),
            _ => Err(NotReady { open: self.open(), wanted, last_failures: self.shared.last_failures() }),
        }
    }
}

impl Shared {
    /// Takes over the nodes that were listed; returns when to list them again. A list that failed
    /// changes nothing: nodes do not go because the apiserver did.
    fn take_over(self: &Arc<Self>, listed: Result<BTreeMap<String, IpAddr>, String>) -> Duration {
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) => {
                self.host.observe("ssh.list-failed", &[field("error", error)]);
                return SYNC_RETRY;
            }
        };
        let mut nodes = lock(&self.nodes);
        nodes.retain(|name, node| listed.get(name) == Some(&node.address));
        for (name, address) in listed {
            nodes.entry(name.clone()).or_insert_with(|| Node {
                address,
                session: None,
                failure: None,
                _keep: self.keep(name, address),
            });
        }
        self.count(&nodes);
        // A cluster that has no nodes yet is about to get some.
        if nodes.is_empty() { SYNC_RETRY } else { SYNC_INTERVAL }
    }

    /// The task that keeps a session to one node.
    fn keep(self: &Arc<Self>, node: String, address: IpAddr) -> Task {
        let shared = Arc::downgrade(self);
        let (host, mut backoff) = (Arc::clone(&self.host), Backoff::new(&self.host, &node));
        let port = self.config.port;
        let login = Login {
            node,
            user: self.config.user.clone(),
            key: self.config.key.clone(),
            policy: self.config.host_keys.clone(),
        };
        let keep = async move {
            loop {
                let opened = connect(&host, (address, port), &login).await.map(Arc::new);
                let Some(here) = shared.upgrade() else { return };
                here.set(&login.node, &opened);
                drop(here);
                if let Ok(session) = opened {
                    backoff.reset();
                    session.ended().await;
                    let Some(here) = shared.upgrade() else { return };
                    here.lost(&login.node);
                }
                sleep(backoff.next()).await;
            }
        };
        self.host.spawn("ssh.keep", Box::pin(keep))
    }

    fn set(&self, name: &str, opened: &Result<Arc<Session>, SessionError>) {
        let outcome = opened.as_ref().err().map_or("open".to_owned(), ToString::to_string);
        self.host.observe("ssh.tunnel", &[field("node", name), field("outcome", outcome)]);
        let mut nodes = lock(&self.nodes);
        if let Some(node) = nodes.get_mut(name) {
            node.session = opened.as_ref().ok().cloned();
            node.failure = opened.as_ref().err().cloned();
        }
        self.count(&nodes);
    }

    fn lost(&self, name: &str) {
        self.host.observe("ssh.tunnel", &[field("node", name), field("outcome", "closed")]);
        let mut nodes = lock(&self.nodes);
        if let Some(node) = nodes.get_mut(name) {
            node.session = None;
        }
        self.count(&nodes);
    }

    fn count(&self, nodes: &BTreeMap<String, Node>) {
        let open = nodes.values().filter(|node| node.session().is_some()).count();
        self.open.send_replace(open);
    }

    fn last_failures(&self) -> String {
        let nodes = lock(&self.nodes);
        nodes
            .values()
            .filter_map(|node| node.failure.as_ref())
            .map(|failure| format!("; {failure}"))
            .collect()
    }

    /// The session that leads to a target.
    fn route(&self, to: IpAddr, what: &Destination) -> Result<Arc<Session>, EgressError> {
        let nodes = lock(&self.nodes);
        let wanted = match what {
            Destination::Kubelet { node } | Destination::Node { node } => nodes.get_key_value(node),
            Destination::Pod { .. } | Destination::Service { .. } => None,
        };
        let wanted = wanted.or_else(|| nodes.iter().find(|(_, node)| node.address == to));
        if let Some((name, node)) = wanted {
            return node.session().cloned().ok_or_else(|| not_open(name, node.failure.as_ref()));
        }
        let open: Vec<&Arc<Session>> = nodes.values().filter_map(Node::session).collect();
        let user = &self.config.user;
        match (self.config.unknown_node, open.len()) {
            (_, 0) => Err(unavailable(
                format!(
                    "No SSH tunnels currently open. Were the targets able to accept an ssh-key for user {user:?}?"
                ),
                nodes.values().find_map(|node| node.failure.as_ref()),
            )),
            (UnknownNode::Fail, _) => {
                Err(EgressError::Refused(format!("{to} ({what}) is no node: no SSH tunnel leads there")))
            }
            (UnknownNode::DangerRandom, count) => {
                let chosen = self.host.entropy("ssh.random-node").below(count as u64);
                Ok(Arc::clone(open[chosen as usize]))
            }
        }
    }
}

/// A node without an open tunnel.
fn not_open(node: &str, failure: Option<&SessionError>) -> EgressError {
    unavailable(format!("no SSH tunnel to {node} is open"), failure)
}

/// A check that failed is a refusal; anything else may pass.
fn unavailable(text: String, failure: Option<&SessionError>) -> EgressError {
    match failure {
        Some(error @ (SessionError::HostKeyRefused { .. } | SessionError::UserRefused { .. })) => {
            EgressError::Refused(format!("{text}: {error}"))
        }
        Some(error) => EgressError::Unavailable(format!("{text}: {error}")),
        None => EgressError::Unavailable(text),
    }
}

async fn connect(host: &HostRef, at: (IpAddr, u16), login: &Login) -> Result<Session, SessionError> {
    let unreachable = |reason: String| SessionError::Unreachable { node: login.node.clone(), reason };
    let to = Endpoint::tcp(at.0, at.1);
    match timeout(CONNECT_TIMEOUT, host.connect(&to)).await {
        Ok(Ok(connection)) => Session::open(host, connection.stream, login).await,
        Ok(Err(error)) => Err(unreachable(error.to_string())),
        Err(_) => Err(unreachable("timed out".to_owned())),
    }
}

#[async_trait]
impl Egress for SshTunneler {
    async fn dial(&self, to: SocketAddr, what: &Destination) -> Result<BoxedStream, EgressError> {
        let session = self.shared.route(to.ip(), what)?;
        let dialled = session.dial(&to.ip().to_string(), to.port()).await;
        let outcome = dialled.as_ref().err().map_or("open".to_owned(), ToString::to_string);
        self.shared
            .host
            .observe("ssh.dial", &[field("to", to), field("what", what), field("outcome", outcome)]);
        dialled
    }

    fn name(&self) -> &str {
        "ssh"
    }
}

/// Pauses that double, each between half and all of its length.
///
/// Each pause is drawn from a stream of its own, so that how often a tunnel was lost before decides
/// nothing about the next pause.
struct Backoff {
    host: HostRef,
    label: String,
    next: Duration,
}

impl Backoff {
    fn new(host: &HostRef, node: &str) -> Self {
        Self { host: Arc::clone(host), label: format!("ssh.backoff {node}"), next: MIN_BACKOFF }
    }

    fn reset(&mut self) {
        self.next = MIN_BACKOFF;
    }

    fn next(&mut self) -> Duration {
        let half = self.next / 2;
        self.next = (self.next * 2).min(MAX_BACKOFF);
        let jitter_ms = u64::try_from(half.as_millis()).expect("a minute fits");
        let drawn_ms = self.host.entropy(&self.label).below(jitter_ms + 1);
        half + Duration::from_millis(drawn_ms)
    }
}
