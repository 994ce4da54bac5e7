//! The nodes and their sessions: one for each, opened in the background, opened again when lost,
//! closed when its node goes.

use super::backoff::{Backoff, STABLE};
use super::health::Health;
use super::nodes::{ListedNode, NodeSource};
use super::policy::ExpectedNode;
use super::session::{Login, Session};
use super::{CONNECT_TIMEOUT, SessionError, SshConfig, SshPublicKey, lock};
use ravelin_host::{Endpoint, HostRef, Task, field};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// How often nodes are listed, as in Kubernetes (`pkg/master/tunneler/ssh.go`).
const SYNC_INTERVAL: Duration = Duration::from_secs(15);
/// How soon a list that failed or was empty is asked for again.
const SYNC_RETRY: Duration = Duration::from_secs(1);
/// How long keys are used. Their age is measured here, because russh would ask the computer's own
/// clock, which no simulation rules.
const REKEY_INTERVAL: Duration = Duration::from_secs(3600);

/// All nodes, and what they have in common.
pub(super) struct Fleet {
    host: HostRef,
    config: SshConfig,
    source: Arc<dyn NodeSource>,
    pub(super) health: Health,
    nodes: Mutex<BTreeMap<String, Node>>,
    /// How many sessions are open.
    open: watch::Sender<usize>,
}

/// One node, and the task that keeps its session.
pub(super) struct Node {
    listed: ListedNode,
    session: Option<(IpAddr, Arc<Session>)>,
    failure: Option<SessionError>,
    _keep: Task,
}

impl Node {
    /// Its session, if one is open.
    pub(super) fn session(&self) -> Option<&Arc<Session>> {
        self.session.as_ref().map(|(_, session)| session).filter(|session| !session.is_closed())
    }

    /// Why there is none.
    pub(super) fn failure(&self) -> Option<&SessionError> {
        self.failure.as_ref()
    }

    /// Is this one of its addresses?
    pub(super) fn is_at(&self, address: IpAddr) -> bool {
        self.listed.addresses.contains(&address)
    }
}

impl Fleet {
    pub(super) fn new(host: HostRef, config: SshConfig, source: Arc<dyn NodeSource>) -> Arc<Self> {
        Arc::new(Self {
            host,
            config,
            source,
            health: Health::new(),
            nodes: Mutex::default(),
            open: watch::Sender::new(0),
        })
    }

    pub(super) fn host(&self) -> &HostRef {
        &self.host
    }

    pub(super) fn config(&self) -> &SshConfig {
        &self.config
    }

    pub(super) fn health_port(&self) -> Option<u16> {
        self.config.health_port
    }

    pub(super) fn open(&self) -> watch::Receiver<usize> {
        self.open.subscribe()
    }

    /// What is done with all nodes while nobody changes them.
    pub(super) fn with_nodes<T>(&self, look: impl FnOnce(&BTreeMap<String, Node>) -> T) -> T {
        look(&lock(&self.nodes))
    }

    /// The nodes whose tunnels are open.
    pub(super) fn open_nodes(&self) -> Vec<String> {
        self.with_nodes(|nodes| {
            let open = nodes.iter().filter(|(_, node)| node.session().is_some());
            open.map(|(name, _)| name.clone()).collect()
        })
    }

    /// A node's session, if it is open.
    pub(super) fn session(&self, node: &str) -> Option<Arc<Session>> {
        self.with_nodes(|nodes| nodes.get(node)?.session().cloned())
    }

    /// Follows the nodes as long as there is a tunneler.
    pub(super) async fn follow(fleet: Weak<Self>) {
        loop {
            let Some(here) = fleet.upgrade() else { return };
            let source = Arc::clone(&here.source);
            drop(here);
            let listed = source.nodes().await;
            let Some(here) = fleet.upgrade() else { return };
            let pause = here.take_over(listed);
            drop(here);
            sleep(pause).await;
        }
    }

    /// Takes over the nodes that were listed; returns when to list them again. A list that failed
    /// changes nothing: nodes do not go because the apiserver did.
    fn take_over(self: &Arc<Self>, listed: Result<BTreeMap<String, ListedNode>, String>) -> Duration {
        let mut listed = match listed {
            Ok(listed) => listed,
            Err(error) => {
                self.host.observe("ssh.list-failed", &[field("error", error)]);
                return SYNC_RETRY;
            }
        };
        self.health.synchronize();
        let mut nodes = lock(&self.nodes);
        nodes.retain(|name, _| listed.contains_key(name));
        for (name, node) in &mut *nodes {
            node.listed = listed.remove(name).unwrap_or_default();
            // A tunnel to an address that the node no longer has leads to somebody else.
            if let Some((address, session)) = &node.session
                && !node.listed.addresses.contains(address)
            {
                session.close();
            }
        }
        for (name, listed) in listed {
            let keep = keep(Arc::downgrade(self), Arc::clone(&self.host), name.clone());
            let keep = self.host.spawn("ssh.keep", Box::pin(keep));
            nodes.insert(name, Node { listed, session: None, failure: None, _keep: keep });
        }
        self.count(&nodes);
        // A cluster that has no nodes yet is about to get some.
        if nodes.is_empty() { SYNC_RETRY } else { SYNC_INTERVAL }
    }

    /// How to log in to a node, at each of its addresses.
    fn logins(&self, name: &str) -> Vec<Login> {
        let listed = self.with_nodes(|nodes| Some(nodes.get(name)?.listed.clone())).unwrap_or_default();
        let recorded = listed.recorded.as_ref().map(SshPublicKey::kind);
        let to = |address| Login {
            expected: Arc::new(ExpectedNode {
                node: name.to_owned(),
                address,
                port: self.config.port,
                policy: self.config.host_keys.clone(),
                records: Some(Arc::clone(&self.source)),
                recorded: recorded.clone(),
            }),
            user: self.config.user.clone(),
            key: self.config.key.clone(),
            certificate: self.config.certificate.clone(),
            limits: super::limits(),
        };
        listed.addresses.into_iter().map(to).collect()
    }

    fn set(&self, name: &str, address: IpAddr, opened: &Result<Arc<Session>, SessionError>) {
        let outcome = opened.as_ref().err().map_or("open".to_owned(), ToString::to_string);
        self.host.observe("ssh.tunnel", &[field("node", name), field("outcome", outcome)]);
        self.health.tried(opened.is_ok());
        let mut nodes = lock(&self.nodes);
        if let Some(node) = nodes.get_mut(name) {
            node.session = opened.as_ref().ok().map(|session| (address, Arc::clone(session)));
            node.failure = opened.as_ref().err().cloned();
        }
        self.count(&nodes);
    }

    fn lost(&self, name: &str) {
        self.host.observe("ssh.tunnel", &[field("node", name), field("outcome", "closed")]);
        let mut nodes = lock(&self.nodes);
        if let Some(node) = nodes.get_mut(name) {
            node.session = None;
            node.failure = Some(SessionError::Lost(name.to_owned()));
        }
        self.count(&nodes);
    }

    fn count(&self, nodes: &BTreeMap<String, Node>) {
        let open = nodes.values().filter(|node| node.session().is_some()).count();
        self.open.send_replace(open);
    }
}

/// Keeps a session to one node.
async fn keep(fleet: Weak<Fleet>, host: HostRef, name: String) {
    let mut backoff = Backoff::new(&host, &name);
    loop {
        let Some(here) = fleet.upgrade() else { return };
        let logins = here.logins(&name);
        drop(here);
        if let Some((address, opened)) = connect_to_any(&host, &logins).await {
            let opened = opened.map(Arc::new);
            let Some(here) = fleet.upgrade() else { return };
            here.set(&name, address, &opened);
            drop(here);
            if let Ok(session) = opened {
                let since = Instant::now();
                live(&session).await;
                let Some(here) = fleet.upgrade() else { return };
                here.lost(&name);
                if since.elapsed() > STABLE {
                    backoff.reset();
                }
            }
        }
        sleep(backoff.next()).await;
    }
}

/// Opens a session at the first address that lets one in. Where none does, a check that failed tells
/// more than a connection that did.
async fn connect_to_any(host: &HostRef, logins: &[Login]) -> Option<(IpAddr, Result<Session, SessionError>)> {
    let mut failed: Option<(IpAddr, SessionError)> = None;
    for login in logins {
        let address = login.expected.address;
        match connect(host, login).await {
            Ok(session) => return Some((address, Ok(session))),
            Err(error) if failed.is_none() || error.is_refusal() => failed = Some((address, error)),
            Err(_) => {}
        }
    }
    failed.map(|(address, error)| (address, Err(error)))
}

/// Waits until a session has ended, and renews its keys meanwhile.
async fn live(session: &Session) {
    let mut ended = std::pin::pin!(session.ended());
    while timeout(REKEY_INTERVAL, &mut ended).await.is_err() {
        session.renew_keys().await;
    }
}

async fn connect(host: &HostRef, login: &Login) -> Result<Session, SessionError> {
    let expected = &login.expected;
    let unreachable = |reason: String| SessionError::Unreachable { node: expected.node.clone(), reason };
    let to = Endpoint::tcp(expected.address, expected.port);
    match timeout(CONNECT_TIMEOUT, host.connect(&to)).await {
        Ok(Ok(connection)) => Session::open(host, connection.stream, login).await,
        Ok(Err(error)) => Err(unreachable(error.to_string())),
        Err(_) => Err(unreachable("timed out".to_owned())),
    }
}
