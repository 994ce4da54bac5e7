//! Certificates that are replaced before they expire
//! (`staging/src/k8s.io/client-go/util/certificate/certificate_manager.go`).

use crate::bootstrap::{self, Wanted};
use crate::certificate_files::{self, certificate};
use crate::credentials::{bootstrap_client, client_wanted};
use crate::state::Shared;
use jiff::Timestamp;
use ravelin_client::Client;
use ravelin_host::{HostRef, field};
use ravelin_pki::Identity;
use std::sync::Arc;
use std::time::Duration;

/// The longest sleep before the wall clock is read again: it may have been set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(6 * 3600);

/// Renews the client certificate for ever, where that is wanted.
pub(crate) async fn keep_client(shared: Arc<Shared>) {
    if !shared.config.rotate_certificates {
        return;
    }
    let wanted = client_wanted(&shared.config);
    loop {
        let identity = shared.joined().await.identity;
        wait_for_rotation(&shared.host, &identity).await;
        let renewed = bootstrap::obtain(|| asking_client(&shared, &identity), &shared, &wanted).await;
        certificate_files::keep(shared.host.disk(), certificate_files::CLIENT, &renewed);
        shared.renew(renewed);
        observe(&shared.host, &wanted);
    }
}

/// As whom the next client certificate is asked for: as the node while its certificate is good,
/// else as at the first time (`newClientsetFn` in `pkg/kubelet/certificate/kubelet.go` and
/// `cmd/kubelet/app/server.go`).
fn asking_client(shared: &Shared, identity: &Identity) -> Client {
    let member = shared.member().expect("it joined before it renews");
    let is_good = certificate(identity).is_some_and(|read| shared.host.now() < read.not_after);
    if is_good || shared.config.bootstrap_token.is_none() { member.client } else { bootstrap_client(shared) }
}

/// Waits until an identity is to be replaced.
pub(crate) async fn wait_for_rotation(host: &HostRef, identity: &Identity) {
    let due = certificate_files::rotation_due(identity, &mut host.entropy("certificate rotation"));
    while let Some(left) = left(host, due) {
        tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
    }
}

fn left(host: &HostRef, due: Timestamp) -> Option<Duration> {
    Duration::try_from(due.duration_since(host.now())).ok().filter(|left| !left.is_zero())
}

/// Says that a certificate was replaced.
pub(crate) fn observe(host: &HostRef, wanted: &Wanted) {
    host.observe("kubelet.rotation", &[field("signer", wanted.signer), field("result", "replaced")]);
}
