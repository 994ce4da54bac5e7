//! Is there still a node behind each tunnel? Asked once a minute, spread over the minute.
//!
//! As Kubernetes' tunneler does (`pkg/master/tunneler/ssh.go`), a probe asks the kubelet for its
//! health through the tunnel, and any answer will do: at the read-only port, and where nobody listens
//! there, at the healthz port. Where neither is open, the SSH server itself is asked: a new tunnel
//! would find the same.

use super::fleet::Fleet;
use super::session::Session;
use ravelin_host::{HostRef, Task, field};
use ravelin_transport::egress::EgressError;
use ravelin_transport::{HttpConnection, body};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// The kubelet's healthz port (`--healthz-port`), which listens on the node's loopback.
const HEALTHZ_PORT: u16 = 10248;
/// How often each tunnel is probed, as in Kubernetes.
const INTERVAL: Duration = Duration::from_secs(60);
/// How often to look for tunnels where there are none.
const IDLE: Duration = Duration::from_secs(5);
/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Probes all tunnels as long as there is a tunneler.
pub(super) async fn probe_all(fleet: Weak<Fleet>) {
    // Held here, so that they end with this task.
    let mut probes: Vec<Task> = Vec::new();
    loop {
        let Some(here) = fleet.upgrade() else { return };
        let nodes = here.open_nodes();
        drop(here);
        if nodes.is_empty() {
            sleep(IDLE).await;
        }
        let count = u32::try_from(nodes.len()).unwrap_or(u32::MAX).max(1);
        for node in nodes {
            sleep(INTERVAL / count).await;
            let Some(here) = fleet.upgrade() else { return };
            let Some(session) = here.session(&node) else { continue };
            probes.retain(|probe| !probe.is_finished());
            let asking = probe(Arc::clone(here.host()), node, session, here.health_port());
            probes.push(here.host().spawn("ssh.probe", Box::pin(asking)));
        }
    }
}

/// Ends a session whose node does not answer; whoever keeps it opens another.
async fn probe(host: HostRef, node: String, session: Arc<Session>, port: Option<u16>) {
    let asked = async {
        for port in port.into_iter().flat_map(|port| [port, HEALTHZ_PORT]) {
            if let Some(answered) = ask(&host, &session, port).await {
                return answered;
            }
        }
        session.ping().await.map_err(|error| error.to_string())
    };
    let answered = timeout(DEADLINE, asked).await.unwrap_or_else(|_| Err("timed out".to_owned()));
    if let Err(reason) = answered
        && !session.is_closed()
    {
        host.observe("ssh.unhealthy", &[field("node", &node), field("reason", reason)]);
        session.close();
    }
}

/// `GET http://127.0.0.1:PORT/healthz` through the tunnel: any answer is one. `None` where the node's SSH
/// server says that it leads nowhere.
async fn ask(host: &HostRef, session: &Session, port: u16) -> Option<Result<(), String>> {
    let stream = match session.dial("127.0.0.1", port).await {
        Ok(stream) => stream,
        Err(EgressError::Refused(_)) => return None,
        Err(error) => return Some(Err(error.to_string())),
    };
    let request = http::Request::get("/healthz").header("host", format!("127.0.0.1:{port}"));
    let request = request.header("connection", "close").body(body::empty()).expect("it is whole");
    let exchange = async { HttpConnection::open(host, stream).await?.send(request).await };
    Some(exchange.await.map(drop).map_err(|error| error.to_string()))
}
