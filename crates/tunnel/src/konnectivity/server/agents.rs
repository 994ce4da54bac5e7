//! Where agents connect: `AgentService/Connect`.

use super::super::call::{self, Incoming, Segments};
use super::super::channels::{Channels, WINDOW_BYTES};
use super::super::metrics::{Counted, Segment};
use super::backend::Backend;
use super::{AgentAuthentication, AgentListener, Shared, authentication};
use async_trait::async_trait;
use http::HeaderMap;
use ravelin_host::{Endpoint, Flaw, Task, field};
use ravelin_stream::grpc::{Status, code};
use ravelin_stream::konnectivity::{
    AGENT_ID, AGENT_IDENTIFIERS, AgentIdentifiers, CONNECT_METHOD, FLOW_METADATA, SERVER_COUNT, SERVER_ID,
};
use ravelin_transport::http2::{Http2Server, holding};
use ravelin_transport::{Handler, PeerInfo, Request, Response, TlsServer};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The most agents, of all identifiers.
const MAX_AGENTS: usize = 16 * 1024;

/// Takes agents until the task is dropped.
pub(super) async fn listen(
    shared: &Arc<Shared>,
    config: AgentListener,
    keepalive: Duration,
) -> io::Result<Task> {
    let host = Arc::clone(&shared.host);
    let listener = host.listen(&Endpoint::Tcp(config.listen)).await?;
    let anybody = host.flaws().has(Flaw::KonnectivityTakesAnyAgent);
    let authentication = if anybody { AgentAuthentication::DangerNone } else { config.authentication };
    let tls = TlsServer::new(config.identity).with_http2();
    let tls = match &authentication {
        AgentAuthentication::ClientCertificate(issuers) => tls.requiring_client_certificates(issuers.clone()),
        AgentAuthentication::ServiceAccountToken { .. } | AgentAuthentication::DangerNone => tls,
    };
    let handler = Arc::new(AgentService { shared: Arc::clone(shared), authentication });
    Ok(Http2Server { host, listener, tls: Some(Arc::new(tls)), handler, keepalive }.run())
}

struct AgentService {
    shared: Arc<Shared>,
    authentication: AgentAuthentication,
}

#[async_trait]
impl Handler for AgentService {
    async fn handle(&self, request: Request, peer: &PeerInfo) -> Response {
        if let Some(refusal) = call::refusal(&request) {
            return refusal;
        }
        if request.uri().path() != CONNECT_METHOD {
            return call::failure(&unknown_method(request.uri().path()));
        }
        let connected = self.connect(request).await;
        let (agent, outcome) = match &connected {
            Ok((agent, _)) => (agent.as_str(), "connected".to_owned()),
            Err(status) => ("", status.message.clone()),
        };
        let fields = [field("peer", &peer.address), field("agent", agent), field("outcome", outcome)];
        self.shared.host.observe("konnectivity.agent", &fields);
        match connected {
            Ok((_, response)) => response,
            Err(status) => call::failure(&status),
        }
    }
}

/// What `grpc-go` says of a method that it does not serve.
pub(super) fn unknown_method(path: &str) -> Status {
    let path = path.strip_prefix('/').unwrap_or(path);
    match path.rsplit_once('/') {
        Some((service, _)) => Status::new(code::UNIMPLEMENTED, format!("unknown service {service}")),
        None => Status::new(code::UNIMPLEMENTED, format!("malformed method name: {path:?}")),
    }
}

impl AgentService {
    /// Takes somebody for an agent: its identifier and the answer, whose body is the call.
    async fn connect(&self, request: Request) -> Result<(String, Response), Status> {
        let unknown = |why: String| Status::new(code::UNKNOWN, why);
        let (agent_id, identifiers) = who(request.headers()).map_err(unknown)?;
        authentication::check(&self.authentication, request.headers()).await.map_err(unknown)?;
        let shared = &self.shared;
        if shared.backends.agents().len() >= MAX_AGENTS {
            return Err(Status::new(code::RESOURCE_EXHAUSTED, "too many agents"));
        }
        let granted = window(request.headers());
        let segment = |name| Segment { metrics: Arc::clone(&shared.metrics), name };
        let segments = Segments { out: segment("to_agent"), incoming: segment("from_agent") };
        let (out, incoming, body) = call::taken(request.into_body(), segments);
        let channels = Channels::new(out, granted);
        let backend =
            Backend::new(agent_id.clone(), identifiers, channels.clone(), Arc::clone(&shared.metrics));
        shared.backends.add(&backend);
        let registered = Registered {
            shared: Arc::clone(shared),
            backend,
            channels,
            _counted: Counted::new(&shared.metrics, "grpc_connections", &[("service_method", "Connect")]),
        };
        let serving = shared.host.spawn("konnectivity.agent", Box::pin(receive(registered, incoming)));
        let mut metadata =
            vec![(SERVER_ID, shared.server_id.clone()), (SERVER_COUNT, shared.server_count.to_string())];
        if granted.is_some() {
            metadata.push((FLOW_METADATA, WINDOW_BYTES.to_string()));
        }
        Ok((agent_id, call::answer(holding(body, serving), &metadata)))
    }
}

/// The window that a peer grants, where it knows windows.
pub(in super::super) fn window(metadata: &HeaderMap) -> Option<u64> {
    metadata.get(FLOW_METADATA)?.to_str().ok()?.parse().ok()
}

/// Who an agent says it is.
fn who(metadata: &HeaderMap) -> Result<(String, AgentIdentifiers), String> {
    let values = |name| -> Vec<&str> {
        let all = metadata.get_all(name).iter();
        all.map(|value: &http::HeaderValue| value.to_str().unwrap_or_default()).collect()
    };
    let ids = values(AGENT_ID);
    let [id] = ids[..] else {
        return Err(format!("expected one agent ID in the context, got [{}]", ids.join(" ")));
    };
    let identifiers = values(AGENT_IDENTIFIERS);
    let identifiers = match identifiers[..] {
        [] => AgentIdentifiers::default(),
        [one] => AgentIdentifiers::parse(one).map_err(|error| error.to_string())?,
        _ => {
            let all = identifiers.join(" ");
            return Err(format!("expected at most one set of agent identifiers in the context, got [{all}]"));
        }
    };
    Ok((id.to_owned(), identifiers))
}

/// An agent among those that dials go to, until this is dropped.
struct Registered {
    shared: Arc<Shared>,
    backend: Arc<Backend>,
    channels: Arc<Channels>,
    _counted: Counted,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.backends.remove(&self.backend);
        self.backend.end("the agent's connection has ended");
        self.channels.out().finish(Some(Status::ok()));
    }
}

/// Takes an agent's packets until it has gone. It never waits for anything else.
async fn receive(registered: Registered, mut incoming: Incoming) {
    loop {
        match incoming.next().await {
            Ok(Some(packet)) => registered.backend.take(packet),
            Ok(None) => return,
            Err(status) => {
                let fields = [field("agent", registered.backend.agent_id()), field("error", status.message)];
                registered.shared.host.observe("konnectivity.agent.gone", &fields);
                return;
            }
        }
    }
}
