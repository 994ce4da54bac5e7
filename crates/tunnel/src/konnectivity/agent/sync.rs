//! Which servers an agent is connected to (`pkg/agent/clientset.go`).

use super::super::call::Origin;
use super::Shared;
use super::session::{self, Opened, SessionHandle};
use ravelin_host::{BoxedStream, Endpoint, Flaw, field};
use ravelin_pki::ServerTrust;
use ravelin_transport::TlsClient;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// How long it may take to be taken for an agent, from the first packet to the server's head.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// What a pause grows by while no server can be reached (`resetBackoff`).
const BACKOFF_FACTOR: f64 = 1.5;
/// How much a pause is lengthened by chance.
const JITTER: f64 = 0.1;
/// The most servers.
const MAX_SERVERS: usize = 128;

/// Why there is no new connection.
enum Failed {
    /// The server is one that the agent is connected to already.
    Duplicate,
    /// In words.
    Other(String),
}

/// Connects to servers until the task is dropped.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut pause = shared.config.sync_interval;
    loop {
        match connect_once(&shared).await {
            Ok(()) | Err(Failed::Duplicate) => pause = shared.config.sync_interval,
            Err(Failed::Other(why)) => {
                shared.host.observe("konnectivity.connect.failed", &[field("error", why)]);
                let grown = pause.mul_f64(BACKOFF_FACTOR).min(shared.config.sync_interval_cap);
                let now = std::mem::replace(&mut pause, grown.max(shared.config.sync_interval));
                tokio::time::sleep(jittered(&shared, now)).await;
                continue;
            }
        }
        tokio::time::sleep(jittered(&shared, pause)).await;
    }
}

fn jittered(shared: &Shared, pause: Duration) -> Duration {
    let chance = shared.host.entropy("konnectivity.sync").below(1000);
    let share = f64::from(u32::try_from(chance).unwrap_or(0)) / 1000.0;
    pause.mul_f64(1.0 + JITTER * share)
}

/// Connects to one more server, if one is missing.
async fn connect_once(shared: &Arc<Shared>) -> Result<(), Failed> {
    {
        let servers = shared.servers();
        let wanted =
            usize::try_from(shared.server_count(servers.told)).unwrap_or(MAX_SERVERS).min(MAX_SERVERS);
        shared.metrics.set("known_server_count", &[], wanted);
        let enough = servers.sessions.len() >= wanted && !shared.config.sync_forever;
        if servers.draining || enough || servers.sessions.len() >= MAX_SERVERS {
            return Ok(());
        }
    }
    let other = |why: String| Failed::Other(why);
    let opened = tokio::time::timeout(CONNECT_TIMEOUT, open(shared)).await;
    let (opened, address) = opened.map_err(|_| other("timed out".to_owned()))?.map_err(other)?;
    let server_id = opened.server_id.clone();
    let mut servers = shared.servers();
    if servers.sessions.contains_key(&server_id) {
        return Err(Failed::Duplicate);
    }
    servers.told = opened.server_count;
    shared.host.observe(
        "konnectivity.server",
        &[field("server", &server_id), field("count", opened.server_count), field("address", address)],
    );
    let out = opened.out.clone();
    let serving = serve(Arc::clone(shared), opened);
    let task = shared.host.spawn("konnectivity.server", Box::pin(serving));
    let session = SessionHandle::new(out, address, task);
    if servers.draining {
        session.drain();
    }
    servers.sessions.insert(server_id, session);
    shared.metrics.set("open_server_connections", &[], servers.sessions.len());
    Ok(())
}

/// Serves one server until it has gone.
async fn serve(shared: Arc<Shared>, opened: Opened) {
    let server_id = opened.server_id.clone();
    let why = session::serve(&shared, opened).await;
    shared.host.observe("konnectivity.server.gone", &[field("server", &server_id), field("error", why)]);
    let gone = {
        let mut servers = shared.servers();
        let gone = servers.sessions.remove(&server_id);
        shared.metrics.set("open_server_connections", &[], servers.sessions.len());
        gone
    };
    // It holds this very task, which ends here.
    if let Some(gone) = gone {
        gone.finished();
    }
}

/// Opens a call to a server that the agent is not connected to, as far as addresses tell.
async fn open(shared: &Arc<Shared>) -> Result<(Opened, SocketAddr), String> {
    let address = choose(shared).await?;
    let config = &shared.config;
    let connection = shared.host.connect(&Endpoint::Tcp(address)).await;
    let stream = connection.map_err(|error| format!("dial tcp {address}: {error}"))?.stream;
    let stream = secured(shared, stream).await?;
    let token = match &config.token_file {
        None => None,
        Some(name) => Some(token(shared, name)?),
    };
    let pose = session::Pose {
        agent_id: config.agent_id.clone(),
        identifiers: config.identifiers.encode(),
        token,
        origin: Origin::tls(&config.server_host, config.server_port),
    };
    let metrics = (&shared.metrics, config.keepalive);
    let opened = session::open(&shared.host, stream, &pose, metrics).await;
    opened.map(|opened| (opened, address)).map_err(|status| status.to_string())
}

async fn secured(shared: &Shared, stream: BoxedStream) -> Result<BoxedStream, String> {
    let config = &shared.config;
    let anybody = shared.host.flaws().has(Flaw::KonnectivityAgentTrustsAnyServer);
    let tls = TlsClient {
        trust: if anybody { ServerTrust::DangerAny } else { config.trust.clone() },
        identity: config.identity.clone(),
        server_name: config.server_host.clone(),
    };
    let secured = tls.connect_http2(&shared.host, stream).await;
    Ok(secured.map_err(|error| format!("authentication handshake failed: {error}"))?.stream)
}

/// The token of a file, read anew, as it is replaced before it expires.
fn token(shared: &Shared, name: &str) -> Result<String, String> {
    let content = shared.host.disk().read(name);
    let content = content.ok_or_else(|| format!("open {name}: no such file or directory"))?;
    let token = String::from_utf8(content).map_err(|_| format!("{name} holds no token"))?;
    Ok(token.trim().to_owned())
}

/// An address of the servers: by chance, of those that are not connected if there are any.
async fn choose(shared: &Shared) -> Result<SocketAddr, String> {
    let (host, port) = (&shared.config.server_host, shared.config.server_port);
    let addresses: Vec<IpAddr> = match host.parse() {
        Ok(address) => vec![address],
        Err(_) => {
            let found = shared.host.resolve(host).await;
            found.map_err(|_| format!("dial tcp: lookup {host}: no such host"))?
        }
    };
    let all: Vec<SocketAddr> = addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
    let connected: Vec<SocketAddr> = shared.servers().sessions.values().map(SessionHandle::address).collect();
    let new: Vec<SocketAddr> = all.iter().filter(|one| !connected.contains(one)).copied().collect();
    let from = if new.is_empty() { all } else { new };
    let count = u64::try_from(from.len()).unwrap_or(0);
    if count == 0 {
        return Err(format!("dial tcp: lookup {host}: no such host"));
    }
    let chosen = shared.host.entropy("konnectivity.server").below(count);
    let chosen = usize::try_from(chosen).ok().and_then(|index| from.get(index)).copied();
    chosen.ok_or_else(|| "no server".to_owned())
}
