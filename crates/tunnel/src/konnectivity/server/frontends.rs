//! Where apiservers connect, by gRPC or by HTTP `CONNECT`.

use super::proxy::ProxyService;
use super::{Frontend, FrontendClients, FrontendListener, FrontendMode, Shared, connect};
use ravelin_host::{Endpoint, Flaw, Task};
use ravelin_transport::TlsServer;
use ravelin_transport::http2::Http2Server;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Takes frontends until the task is dropped.
pub(super) async fn listen(shared: &Arc<Shared>, config: Frontend, keepalive: Duration) -> io::Result<Task> {
    let host = Arc::clone(&shared.host);
    let (endpoint, tls) = match config.listener {
        FrontendListener::Unix { path } => (Endpoint::Unix(path), None),
        FrontendListener::DangerPlain { listen } => (Endpoint::Tcp(listen), None),
        FrontendListener::Tls { listen, identity, clients } => {
            let tls = TlsServer::new(identity);
            let anybody = host.flaws().has(Flaw::KonnectivityTakesAnyFrontend);
            let tls = match clients {
                FrontendClients::Certificate(issuers) if !anybody => {
                    tls.requiring_client_certificates(issuers)
                }
                FrontendClients::Certificate(_) | FrontendClients::DangerAnybody => tls,
            };
            (Endpoint::Tcp(listen), Some(tls))
        }
    };
    let listener = host.listen(&endpoint).await?;
    let shared = Arc::clone(shared);
    Ok(match config.mode {
        FrontendMode::Grpc => {
            let tls = tls.map(|tls| Arc::new(tls.with_http2()));
            let handler = Arc::new(ProxyService(shared));
            Http2Server { host, listener, tls, handler, keepalive }.run()
        }
        FrontendMode::HttpConnect => connect::run(shared, listener, tls.map(Arc::new)),
    })
}
