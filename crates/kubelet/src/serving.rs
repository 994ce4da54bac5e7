//! The kubelet's ports and the certificate of its HTTPS endpoint.

use crate::bootstrap::{self, Wanted};
use crate::config::Serving;
use crate::credentials::node_subject;
use crate::endpoint::{Endpoint, ReadOnly};
use crate::state::Shared;
use jiff::{SignedDuration, Timestamp};
use ravelin_host::Listener;
use ravelin_pki::{Identity, Profile, San, Subject, Usage};
use ravelin_transport::{Server, TlsServer};
use std::sync::Arc;
use std::time::Duration;

/// A self-signed certificate is good for so long, as upstream's.
const SELF_SIGNED_LIFETIME: SignedDuration = SignedDuration::from_hours(365 * 24);

/// Serves the HTTPS endpoint for ever.
pub(crate) async fn serve(shared: Arc<Shared>, listener: Box<dyn Listener>) {
    let identity = identity(&shared, listener.as_ref()).await;
    shared.serves_as(&identity);
    let _server = Server {
        host: shared.host.clone(),
        listener,
        tls: Some(Arc::new(TlsServer::new(identity).with_client_certificates())),
        handler: Arc::new(Endpoint::new(Arc::clone(&shared))),
    }
    .run();
    std::future::pending().await
}

/// Serves the port without authentication for ever.
pub(crate) async fn serve_read_only(shared: Arc<Shared>, listener: Box<dyn Listener>) {
    let host = shared.host.clone();
    let _server = Server { host, listener, tls: None, handler: Arc::new(ReadOnly(shared)) }.run();
    std::future::pending().await
}

async fn identity(shared: &Shared, listener: &dyn Listener) -> Identity {
    match &shared.config.serving {
        Serving::Given(identity) => identity.clone(),
        Serving::SelfSigned => self_signed(shared),
        Serving::Bootstrap => {
            tokio::select! {
                biased;
                identity = requested(shared) => identity,
                never = refuse(listener) => match never {},
            }
        }
    }
}

/// Until there is a certificate, connections are closed before a handshake.
async fn refuse(listener: &dyn Listener) -> std::convert::Infallible {
    loop {
        if listener.accept().await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn requested(shared: &Shared) -> Identity {
    let client = shared.joined().await.client;
    let wanted = Wanted {
        signer: "kubernetes.io/kubelet-serving",
        usages: ["digital signature", "server auth"],
        subject: node_subject(&shared.config.node_name),
        sans: names(shared),
    };
    bootstrap::obtain(&client, shared, &wanted).await
}

fn names(shared: &Shared) -> Vec<San> {
    let addresses = shared.config.addresses.iter().copied().map(San::Ip);
    [San::Dns(shared.config.node_name.clone())].into_iter().chain(addresses).collect()
}

fn self_signed(shared: &Shared) -> Identity {
    let second = shared.host.now().as_second();
    let now = Timestamp::from_second(second).expect("it was a timestamp's");
    let profile = Profile {
        subject: Subject::new(format!("{}@{second}", shared.config.node_name), &[]),
        sans: names(shared),
        usages: vec![Usage::Server],
        not_before: now - SignedDuration::from_hours(1),
        not_after: now + SELF_SIGNED_LIFETIME,
    };
    ravelin_pki::self_signed(&profile, &mut shared.host.entropy("kubelet serving certificate"))
}
