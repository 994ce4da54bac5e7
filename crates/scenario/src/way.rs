//! The way of a request: straight to its server, or through a tunnel that was made for others.

use crate::attempt::Attempt;
use crate::vocabulary::Through;
use ravelin_config::{EgressConnection, KonnectivityMode};
use ravelin_host::{BoxedStream, Endpoint, HostRef};
use ravelin_transport::danger as transport;
use ravelin_tunnel::konnectivity::danger as frontend;
use ravelin_tunnel::{SSH_PORT, danger};
use std::net::SocketAddr;

impl Attempt {
    /// A connection to a server.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub(crate) async fn line(
        &self,
        host: &HostRef,
        to: SocketAddr,
        through: Option<&Through>,
    ) -> Result<BoxedStream, String> {
        match through {
            None => connected(host, to).await,
            Some(Through::Ssh(node)) => self.by_ssh(host, to, node).await,
            Some(Through::KonnectivityFrontend) => self.by_frontend(host, to).await,
        }
    }

    /// Logs in at a node with the apiserver's own key, which somebody stole, and has the node connect.
    async fn by_ssh(&self, host: &HostRef, to: SocketAddr, node: &str) -> Result<BoxedStream, String> {
        let server = SocketAddr::new(self.node_address(node)?, SSH_PORT);
        let (user, key) = self.cluster.tunnel_login().ok_or("there are no SSH tunnels here")?;
        let stream = connected(host, server).await?;
        let intruder =
            danger::log_in(host, stream, &user, &key).await.map_err(|refused| refused.to_string())?;
        let target = to.ip().to_string();
        let dialled = intruder.dial(&target, to.port()).await.map_err(|refused| refused.to_string());
        // The connection lasts as long as its session.
        self.keep_session(intruder);
        dialled
    }

    /// Has Konnectivity's server connect, as if the apiserver had asked, and shows no certificate.
    async fn by_frontend(&self, host: &HostRef, to: SocketAddr) -> Result<BoxedStream, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let at = self.cluster.konnectivity().ok_or("there is no Konnectivity here")?;
        let server = at.frontend.ok_or("the frontend is a Unix socket: nobody reaches it from here")?;
        let plain = matches!(at.config.connection, EgressConnection::HttpConnectTcp { tls: None, .. });
        let is_grpc = at.config.server.mode == KonnectivityMode::Grpc;
        let stream = connected(host, server).await?;
        let name = server.ip().to_string();
        let stream = match (plain, is_grpc) {
            (true, _) => stream,
            (false, true) => {
                let secured = transport::connect_http2(host, stream, &name, None).await;
                secured.map_err(|error| text(&error))?.stream
            }
            (false, false) => {
                let secured = transport::connect(host, stream, &name, None).await;
                secured.map_err(|error| text(&error))?.stream
            }
        };
        let target = to.to_string();
        match is_grpc {
            true => frontend::dial(host, stream, &target).await,
            false => frontend::connect(stream, &target).await,
        }
        .map_err(|error| text(&error))
    }
}

/// A connection over the network.
async fn connected(host: &HostRef, to: SocketAddr) -> Result<BoxedStream, String> {
    host.connect(&Endpoint::Tcp(to))
        .await
        .map(|connection| connection.stream)
        .map_err(|error| error.to_string())
}
