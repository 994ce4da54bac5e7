//! The kubelet's ports and the certificate of its HTTPS endpoint.

use crate::bootstrap::{self, Wanted};
use crate::certificate_files::{self, SERVER, certificate, kept};
use crate::config::Serving;
use crate::credentials::node_subject;
use crate::endpoint::{Endpoint, ReadOnly};
use crate::rotation;
use crate::state::Shared;
use jiff::{SignedDuration, Timestamp};
use ravelin_host::Listener;
use ravelin_pki::{Identity, Profile, San, Subject, Usage};
use ravelin_transport::{Server, TlsServer};
use std::sync::Arc;
use std::time::Duration;

/// A self-signed certificate is good for so long, as upstream's.
const SELF_SIGNED_LIFETIME: SignedDuration = SignedDuration::from_hours(365 * 24);

/// How long until a certificate is asked for again that was not issued for all names.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// Serves the HTTPS endpoint for ever.
pub(crate) async fn serve(shared: Arc<Shared>, listener: Box<dyn Listener>) {
    let identity = identity(&shared, listener.as_ref()).await;
    shared.serves_as(&identity);
    let tls = Arc::new(TlsServer::new(identity.clone()).with_client_certificates());
    let _server = Server {
        host: shared.host.clone(),
        listener,
        tls: Some(Arc::clone(&tls)),
        handler: Arc::new(Endpoint::new(Arc::clone(&shared))),
    }
    .run();
    match &shared.config.serving {
        Serving::Bootstrap => match renew(&shared, &tls, identity).await {},
        Serving::SelfSigned | Serving::Given(_) => std::future::pending().await,
    }
}

/// Renews a certificate that was asked for, for ever.
async fn renew(shared: &Shared, tls: &TlsServer, mut identity: Identity) -> std::convert::Infallible {
    loop {
        match is_for(&identity, &names(shared)) {
            true => rotation::wait_for_rotation(&shared.host, &identity).await,
            // Its signer left names out: it may grant them later.
            false => tokio::time::sleep(ASK_AGAIN).await,
        }
        identity = requested(shared).await;
        tls.set_identity(&identity);
        shared.serves_as(&identity);
        rotation::observe(&shared.host, &wanted(shared));
    }
}

/// Is the certificate good for all these names (`certSatisfiesTemplate`)?
fn is_for(identity: &Identity, names: &[San]) -> bool {
    certificate(identity).is_some_and(|read| names.iter().all(|name| read.sans.contains(name)))
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
            if let Some(kept) = kept(&shared.host, SERVER).filter(|kept| is_for(kept, &names(shared))) {
                return kept;
            }
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

/// A certificate that was asked for.
async fn requested(shared: &Shared) -> Identity {
    let client = shared.joined().await.client;
    let identity = bootstrap::obtain(|| client.clone(), shared, &wanted(shared)).await;
    certificate_files::keep(shared.host.disk(), SERVER, &identity);
    identity
}

fn wanted(shared: &Shared) -> Wanted {
    Wanted {
        signer: "kubernetes.io/kubelet-serving",
        usages: ["digital signature", "server auth"],
        subject: node_subject(&shared.config.node_name),
        sans: names(shared),
    }
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
