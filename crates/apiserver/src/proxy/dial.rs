//! Connections into the cluster, opened, secured and used once.

use super::failure::Failure;
use super::target::Target;
use crate::server::Server;
use ravelin_host::BoxedStream;
use ravelin_transport::{HttpConnection, Request, Response, TlsClient, Upgraded};
use std::time::Duration;

/// How long a server may take to begin its answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);
/// How long opening a connection may take, whatever the egress says of itself.
const DIAL_DEADLINE: Duration = Duration::from_secs(35);

/// A connection, and the name that its certificate was for.
struct Opened<'a> {
    stream: BoxedStream,
    name: &'a str,
}

/// Where an upgrade did not get an answer.
pub(super) enum Unanswered {
    /// There is no connection.
    Undialled(Failure),
    /// There was one.
    Broken(Failure),
}

/// A connection with a target on which nothing was said yet, for the flaw that needs one.
pub(super) async fn danger_connection(server: &Server, target: &Target) -> Result<BoxedStream, Unanswered> {
    open(server, target).await.map(|opened| opened.stream).map_err(Unanswered::Undialled)
}

/// Opens and secures a connection to a target.
async fn open<'a>(server: &Server, target: &'a Target) -> Result<Opened<'a>, Failure> {
    let egress = &server.config.egress;
    let address = target.address;
    let dialled = tokio::time::timeout(DIAL_DEADLINE, egress.dial(address, &target.destination)).await;
    let stream = dialled
        .map_err(|_| Failure::new(format!("dial tcp {address}: i/o timeout")))?
        .map_err(|error| Failure::dialling(address, egress.name(), error))?;
    let Some(tls) = &target.tls else { return Ok(Opened { stream, name: "" }) };
    let client = TlsClient {
        trust: tls.trust.clone(),
        identity: tls.identity.clone(),
        server_name: tls.server_name.clone(),
    };
    let secured = client.connect(&server.host, stream).await;
    let secured = secured.map_err(|error| Failure::handshake(&error, &tls.server_name))?;
    Ok(Opened { stream: secured.stream, name: &tls.server_name })
}

/// Sends one request to a target on a connection of its own. Opening it, the handshake and the
/// head of the answer each have a deadline; the body's is the caller's.
pub(super) async fn send(server: &Server, target: &Target, request: Request) -> Result<Response, Failure> {
    let Opened { stream, name } = open(server, target).await?;
    let exchange = async {
        let mut connection = HttpConnection::open(&server.host, stream).await?;
        connection.send(request).await
    };
    tokio::time::timeout(ANSWER_DEADLINE, exchange)
        .await
        .map_err(|_| Failure::new("net/http: timeout awaiting response headers"))?
        .map_err(|error| Failure::exchange(&error, name))
}

/// As [`send`], for a request that asks for an upgrade: the connection is the answer, where it was
/// granted.
pub(super) async fn upgrade(
    server: &Server,
    target: &Target,
    request: Request,
) -> Result<Upgraded, Unanswered> {
    let Opened { stream, name } = open(server, target).await.map_err(Unanswered::Undialled)?;
    let exchange = async { HttpConnection::open(&server.host, stream).await?.upgrade(request).await };
    tokio::time::timeout(ANSWER_DEADLINE, exchange)
        .await
        .map_err(|_| Unanswered::Broken(Failure::new("net/http: timeout awaiting response headers")))?
        .map_err(|error| Unanswered::Broken(Failure::exchange(&error, name)))
}
