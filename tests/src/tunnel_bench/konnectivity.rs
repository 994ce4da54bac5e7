//! Konnectivity: a server beside who dials, as it is beside an apiserver, and an agent on the node's
//! thread; and, beside it, a TLS connection to a forwarder there.

use super::far::Threaded;
use super::{free_port, near};
use crate::apiserver::Authorities;
use anyhow::{Context, Result, ensure};
use ravelin_host::{BoxedStream, Connection, Endpoint, HostRef};
use ravelin_pki::{Identity, ServerTrust};
use ravelin_transport::egress::{Destination, Egress};
use ravelin_transport::{TlsClient, TlsServer};
use ravelin_tunnel::konnectivity::{
    AgentAuthentication, AgentListener, Frontend, FrontendListener, FrontendMode, KEEPALIVE,
    KonnectivityAgent, KonnectivityAgentConfig, KonnectivityEgress, KonnectivityEgressConfig,
    KonnectivityServer, KonnectivityServerConfig, Strategy,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SOCKET: &str = "/konnectivity.sock";
/// How long an agent may take to connect.
const PATIENCE: Duration = Duration::from_secs(30);

/// The server and the dialer of this end; the agent is on its thread.
pub(super) struct Konnectivity {
    egress: KonnectivityEgress,
    _server: KonnectivityServer,
    _agent: Threaded,
}

impl Konnectivity {
    pub(super) async fn open(folder: &Path) -> Result<Self> {
        let host = near(folder);
        let authorities = Authorities::made(host.now());
        let agents = free_port()?;
        let config = KonnectivityServerConfig {
            server_id: "bench".to_owned(),
            server_count: 1,
            frontend: Frontend {
                mode: FrontendMode::Grpc,
                listener: FrontendListener::Unix { path: SOCKET.to_owned() },
            },
            agents: AgentListener {
                listen: agents,
                identity: authorities.server(&authorities.clients, Authorities::at(HERE)),
                authentication: AgentAuthentication::DangerNone,
            },
            strategies: vec![Strategy::Default],
            backend_dial_timeout: None,
            keepalive: KEEPALIVE,
            frontend_keepalive: KEEPALIVE,
            health: None,
            admin: None,
        };
        let server = KonnectivityServer::start(Arc::clone(&host), config).await?;
        let trust = ServerTrust::Anchors(authorities.anchors());
        let mut config = KonnectivityAgentConfig::new(&HERE.to_string(), trust, "bench");
        (config.server_port, config.health, config.admin) = (agents.port(), None, None);
        let agent = Threaded::start(folder.to_owned(), move |host| {
            Box::pin(async move {
                let agent = KonnectivityAgent::start(host, config).await;
                Ok(Box::new(agent.map_err(std::io::Error::other)?) as Box<dyn std::any::Any>)
            })
        });
        let egress =
            KonnectivityEgress::new(host, KonnectivityEgressConfig::Grpc { path: SOCKET.to_owned() });
        Ok(Self { egress, _server: server, _agent: agent })
    }

    /// Connects to a service of the far end; the first time, once an agent is there.
    pub(super) async fn connect(&self, port: u16) -> Result<BoxedStream> {
        let began = tokio::time::Instant::now();
        let node = Destination::Node { node: "bench".to_owned() };
        loop {
            match self.egress.dial(SocketAddr::new(HERE, port), &node).await {
                Ok(stream) => return Ok(stream),
                Err(error) => ensure!(began.elapsed() < PATIENCE, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A forwarder behind TLS.
pub(super) struct Tls {
    host: HostRef,
    at: SocketAddr,
    trust: ServerTrust,
    _forwarder: Threaded,
}

impl Tls {
    pub(super) async fn open(folder: &Path) -> Result<Self> {
        let host = near(folder);
        let authorities = Authorities::made(host.now());
        let identity = authorities.server(&authorities.clients, Authorities::at(HERE));
        let at = free_port()?;
        let _forwarder = Threaded::start(folder.to_owned(), move |host| {
            Box::pin(async move {
                let listener = host.listen(&Endpoint::Tcp(at)).await?;
                let spawner = HostRef::clone(&host);
                let accept = async move {
                    while let Ok(connection) = listener.accept().await {
                        let (host, identity) = (HostRef::clone(&host), identity.clone());
                        // A client that went away shows at the client's end.
                        let forward =
                            async move { forward(host, connection, identity).await.unwrap_or_default() };
                        let spawner = HostRef::clone(&spawner);
                        spawner.spawn("bench", Box::pin(forward)).detach();
                    }
                };
                let host = near(Path::new("."));
                Ok(Box::new(host.spawn("bench", Box::pin(accept))) as Box<dyn std::any::Any>)
            })
        });
        Ok(Self { host, at, trust: ServerTrust::Anchors(authorities.anchors()), _forwarder })
    }

    pub(super) async fn connect(&self, port: u16) -> Result<BoxedStream> {
        let began = tokio::time::Instant::now();
        let connection = loop {
            match self.host.connect(&Endpoint::Tcp(self.at)).await {
                Ok(connection) => break connection,
                Err(error) => ensure!(began.elapsed() < PATIENCE, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let tls = TlsClient { trust: self.trust.clone(), identity: None, server_name: HERE.to_string() };
        let mut stream = tls.connect(&self.host, connection.stream).await.context("TLS")?.stream;
        stream.write_u16(port).await?;
        Ok(stream)
    }
}

async fn forward(host: HostRef, connection: Connection, identity: Identity) -> Result<()> {
    let mut outer = TlsServer::new(identity).accept(&host, connection).await?.stream;
    let port = outer.read_u16().await?;
    let mut inner = host.connect(&Endpoint::tcp(HERE, port)).await?.stream;
    tokio::io::copy_bidirectional_with_sizes(&mut outer, &mut inner, 64 * 1024, 64 * 1024).await?;
    Ok(())
}
