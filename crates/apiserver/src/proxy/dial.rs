//! Connections into the cluster, opened, secured and used once.

use super::failure::Failure;
use super::target::Target;
use crate::server::Server;
use ravelin_transport::{HttpConnection, Request, Response, TlsClient};
use std::time::Duration;

/// How long a server may take to begin its answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);
/// How long opening a connection may take, whatever the egress says of itself.
const DIAL_DEADLINE: Duration = Duration::from_secs(35);

/// Sends one request to a target on a connection of its own. Opening it, the handshake and the
/// head of the answer each have a deadline; the body's is the caller's.
pub(super) async fn send(server: &Server, target: &Target, request: Request) -> Result<Response, Failure> {
    let egress = &server.config.egress;
    let address = target.address;
    let dialled = tokio::time::timeout(DIAL_DEADLINE, egress.dial(address, &target.destination)).await;
    let stream = dialled
        .map_err(|_| Failure::new(format!("dial tcp {address}: i/o timeout")))?
        .map_err(|error| Failure::dialling(address, egress.name(), error))?;
    let (stream, name) = match &target.tls {
        None => (stream, ""),
        Some(tls) => {
            let client = TlsClient {
                trust: tls.trust.clone(),
                identity: tls.identity.clone(),
                server_name: tls.server_name.clone(),
            };
            let secured = client.connect(&server.host, stream).await;
            let secured = secured.map_err(|error| Failure::handshake(&error, &tls.server_name))?;
            (secured.stream, tls.server_name.as_str())
        }
    };
    let exchange = async {
        let mut connection = HttpConnection::open(&server.host, stream).await?;
        connection.send(request).await
    };
    tokio::time::timeout(ANSWER_DEADLINE, exchange)
        .await
        .map_err(|_| Failure::new("net/http: timeout awaiting response headers"))?
        .map_err(|error| Failure::exchange(&error, name))
}
