//! What must come out of the samples: every cell, as the issue that built this has it.
//!
//! `closed` is `failed_closed`: did every call that failed fail in time, with an error that names
//! the check.

use ravelin_tests::Cells;

/// The columns.
const COLUMNS: &str = "path                            attacker      closed  request_secret  response_secret  response_authentic  request_authentic  credential_safe  access_controlled
";

/// Paths to the apiserver: nothing breaks, nothing stays untested, and what stays in the control
/// plane is exposed to nobody. The same in every sample.
const TO_THE_APISERVER: &str = "
node-bootstrap                  eavesdropper  -       held            held             not_applicable      not_applicable     held             held
node-bootstrap                  impostor      yes     held            held             held                held               held             held
node-to-apiserver               eavesdropper  -       held            held             not_applicable      not_applicable     held             held
node-to-apiserver               impostor      yes     held            held             held                held               held             held
pod-to-apiserver                eavesdropper  -       held            held             not_applicable      not_applicable     held             held
pod-to-apiserver                impostor      yes     held            held             held                held               held             held
proxy-to-apiserver              eavesdropper  -       held            held             not_applicable      not_applicable     held             held
proxy-to-apiserver              impostor      yes     held            held             held                held               held             held
user-to-apiserver               eavesdropper  -       held            held             not_applicable      not_applicable     held             held
user-to-apiserver               impostor      yes     held            held             held                held               held             held
controller-to-apiserver         eavesdropper  -       not_exposed     not_exposed      not_exposed         not_exposed        not_exposed      not_exposed
controller-to-apiserver         impostor      -       not_exposed     not_exposed      not_exposed         not_exposed        not_exposed      not_exposed
";

/// Kubelets that nobody verifies: an impostor can stand in for one, but cannot relay to it, since
/// the apiserver's client certificate is bound to the handshake.
const UNVERIFIED_KUBELETS: &str = "
apiserver-to-kubelet/logs       eavesdropper  -       held            held             not_applicable      not_applicable     held             held
apiserver-to-kubelet/logs       impostor      yes     broken          held             broken              held               held             held
apiserver-to-kubelet/exec       eavesdropper  -       held            held             not_applicable      not_applicable     held             held
apiserver-to-kubelet/exec       impostor      yes     broken          held             broken              held               held             held
apiserver-to-kubelet/attach     eavesdropper  -       held            held             not_applicable      not_applicable     held             held
apiserver-to-kubelet/attach     impostor      yes     broken          held             broken              held               held             held
apiserver-to-kubelet/port-forward eavesdropper  -       held            held             not_applicable      not_applicable     held             held
apiserver-to-kubelet/port-forward impostor      yes     broken          held             broken              held               held             held
";

/// Kubelets whose certificates the apiserver verifies.
const VERIFIED_KUBELETS: &str = "
apiserver-to-kubelet/logs       eavesdropper  -       held            held             not_applicable      not_applicable     held             held
apiserver-to-kubelet/logs       impostor      yes     held            held             held                held               held             held
apiserver-to-kubelet/exec       eavesdropper  -       held            held             not_applicable      not_applicable     held             held
apiserver-to-kubelet/exec       impostor      yes     held            held             held                held               held             held
apiserver-to-kubelet/attach     eavesdropper  -       held            held             not_applicable      not_applicable     held             held
apiserver-to-kubelet/attach     impostor      yes     held            held             held                held               held             held
apiserver-to-kubelet/port-forward eavesdropper  -       held            held             not_applicable      not_applicable     held             held
apiserver-to-kubelet/port-forward impostor      yes     held            held             held                held               held             held
";

/// Kubelets started with flags alone, behind tunnels: they serve anyone, so the impostor gets the
/// genuine answer too.
const KUBELETS_THROUGH_TUNNELS: &str = "
apiserver-to-kubelet/logs@ssh   eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-kubelet/logs@ssh   impostor      -       broken          broken           broken              held               held             broken
apiserver-to-kubelet/exec@ssh   eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-kubelet/exec@ssh   impostor      -       broken          broken           broken              held               held             broken
apiserver-to-kubelet/attach@ssh eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-kubelet/attach@ssh impostor      -       broken          broken           broken              held               held             broken
apiserver-to-kubelet/port-forward@ssh eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-kubelet/port-forward@ssh impostor      -       broken          broken           broken              held               held             broken
";

/// The proxies of the apiserver, which verify nobody and send no credential.
const PROXIES: &str = "
apiserver-to-node/http          eavesdropper  -       broken          broken           not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-node/http          impostor      -       broken          broken           broken              broken             not_applicable   not_applicable
apiserver-to-node/https         eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-node/https         impostor      -       broken          broken           broken              broken             not_applicable   not_applicable
apiserver-to-pod/http           eavesdropper  -       broken          broken           not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-pod/http           impostor      -       broken          broken           broken              broken             not_applicable   not_applicable
apiserver-to-pod/https          eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-pod/https          impostor      -       broken          broken           broken              broken             not_applicable   not_applicable
apiserver-to-service/http       eavesdropper  -       broken          broken           not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-service/http       impostor      -       broken          broken           broken              broken             not_applicable   not_applicable
apiserver-to-service/https      eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-service/https      impostor      -       broken          broken           broken              broken             not_applicable   not_applicable
";

/// The same through tunnels that end on any node, when the attacker is between the nodes too.
const PROXIES_THROUGH_TUNNELS: &str = "
apiserver-to-node/http@ssh      eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-node/http@ssh      impostor      -       broken          broken           broken              broken             not_applicable   not_applicable
apiserver-to-node/https@ssh     eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-node/https@ssh     impostor      -       broken          broken           broken              broken             not_applicable   not_applicable
apiserver-to-pod/http@ssh       eavesdropper  -       broken          broken           not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-pod/http@ssh       impostor      -       broken          broken           broken              broken             not_applicable   not_applicable
apiserver-to-pod/https@ssh      eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-pod/https@ssh      impostor      -       broken          broken           broken              broken             not_applicable   not_applicable
apiserver-to-service/http@ssh   eavesdropper  -       broken          broken           not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-service/http@ssh   impostor      -       broken          broken           broken              broken             not_applicable   not_applicable
apiserver-to-service/https@ssh  eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-service/https@ssh  impostor      -       broken          broken           broken              broken             not_applicable   not_applicable
";

/// The same when the attacker is only between control plane and nodes: all that crosses there is
/// inside a tunnel.
const PROXIES_THROUGH_TUNNELS_SEEN_FROM_ACCESS: &str = "
apiserver-to-node/http@ssh      eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-node/http@ssh      impostor      -       broken          broken           broken              broken             not_applicable   not_applicable
apiserver-to-node/https@ssh     eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-node/https@ssh     impostor      -       broken          broken           broken              broken             not_applicable   not_applicable
apiserver-to-pod/http@ssh       eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-pod/http@ssh       impostor      -       broken          broken           broken              broken             not_applicable   not_applicable
apiserver-to-pod/https@ssh      eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-pod/https@ssh      impostor      -       broken          broken           broken              broken             not_applicable   not_applicable
apiserver-to-service/http@ssh   eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-service/http@ssh   impostor      -       broken          broken           broken              broken             not_applicable   not_applicable
apiserver-to-service/https@ssh  eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-service/https@ssh  impostor      -       broken          broken           broken              broken             not_applicable   not_applicable
";

/// kubeadm's kubelets, whose certificates nobody verifies, behind a tunnel whose other end proves who it
/// is: what crosses where the attacker is, is inside the tunnel, and nobody answers in its place.
const KUBELETS_BEHIND_AGENTS: &str = "
apiserver-to-kubelet/logs@konnectivity eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-kubelet/logs@konnectivity impostor      -       held            held             held                held               held             held
apiserver-to-kubelet/exec@konnectivity eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-kubelet/exec@konnectivity impostor      -       held            held             held                held               held             held
apiserver-to-kubelet/attach@konnectivity eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-kubelet/attach@konnectivity impostor      -       held            held             held                held               held             held
apiserver-to-kubelet/port-forward@konnectivity eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-kubelet/port-forward@konnectivity impostor      -       held            held             held                held               held             held
";

/// The same where anybody may be an agent.
const KUBELETS_BEHIND_ANYBODY: &str = "
apiserver-to-kubelet/logs@konnectivity eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-kubelet/logs@konnectivity impostor      yes     broken          held             broken              held               held             held
apiserver-to-kubelet/exec@konnectivity eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-kubelet/exec@konnectivity impostor      -       broken          held             broken              held               held             held
apiserver-to-kubelet/attach@konnectivity eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-kubelet/attach@konnectivity impostor      -       broken          held             broken              held               held             held
apiserver-to-kubelet/port-forward@konnectivity eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-kubelet/port-forward@konnectivity impostor      -       broken          held             broken              held               held             held
";

/// The proxies behind agents that prove who they are. Whoever cuts agents off makes them miss: nobody is
/// answered then.
const PROXIES_BEHIND_AGENTS: &str = "
apiserver-to-node/http@konnectivity eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-node/http@konnectivity impostor      no      held            held             held                held               not_applicable   not_applicable
apiserver-to-node/https@konnectivity eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-node/https@konnectivity impostor      -       held            held             held                held               not_applicable   not_applicable
apiserver-to-pod/http@konnectivity eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-pod/http@konnectivity impostor      no      held            held             held                held               not_applicable   not_applicable
apiserver-to-pod/https@konnectivity eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-pod/https@konnectivity impostor      -       held            held             held                held               not_applicable   not_applicable
apiserver-to-service/http@konnectivity eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-service/http@konnectivity impostor      no      held            held             held                held               not_applicable   not_applicable
apiserver-to-service/https@konnectivity eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-service/https@konnectivity impostor      -       held            held             held                held               not_applicable   not_applicable
";

/// The proxies where anybody may be an agent.
const PROXIES_BEHIND_ANYBODY: &str = "
apiserver-to-node/http@konnectivity eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-node/http@konnectivity impostor      no      broken          broken           broken              broken             not_applicable   not_applicable
apiserver-to-node/https@konnectivity eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-node/https@konnectivity impostor      -       broken          broken           broken              broken             not_applicable   not_applicable
apiserver-to-pod/http@konnectivity eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-pod/http@konnectivity impostor      no      broken          broken           broken              broken             not_applicable   not_applicable
apiserver-to-pod/https@konnectivity eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-pod/https@konnectivity impostor      -       broken          broken           broken              broken             not_applicable   not_applicable
apiserver-to-service/http@konnectivity eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-service/http@konnectivity impostor      no      broken          broken           broken              broken             not_applicable   not_applicable
apiserver-to-service/https@konnectivity eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-service/https@konnectivity impostor      -       broken          broken           broken              broken             not_applicable   not_applicable
";

/// Kubelets that serve anyone, behind SSH tunnels that verify host keys.
const KUBELETS_THROUGH_VERIFIED_TUNNELS: &str = "
apiserver-to-kubelet/logs@ssh   eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-kubelet/logs@ssh   impostor      yes     held            broken           held                held               held             broken
apiserver-to-kubelet/exec@ssh   eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-kubelet/exec@ssh   impostor      yes     held            broken           held                held               held             broken
apiserver-to-kubelet/attach@ssh eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-kubelet/attach@ssh impostor      yes     held            broken           held                held               held             broken
apiserver-to-kubelet/port-forward@ssh eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-kubelet/port-forward@ssh impostor      yes     held            broken           held                held               held             broken
";

/// The proxies behind SSH tunnels that verify host keys.
const PROXIES_THROUGH_VERIFIED_TUNNELS: &str = "
apiserver-to-node/http@ssh      eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-node/http@ssh      impostor      yes     held            held             held                held               not_applicable   not_applicable
apiserver-to-node/https@ssh     eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-node/https@ssh     impostor      yes     held            held             held                held               not_applicable   not_applicable
apiserver-to-pod/http@ssh       eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-pod/http@ssh       impostor      yes     held            held             held                held               not_applicable   not_applicable
apiserver-to-pod/https@ssh      eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-pod/https@ssh      impostor      yes     held            held             held                held               not_applicable   not_applicable
apiserver-to-service/http@ssh   eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-service/http@ssh   impostor      yes     held            held             held                held               not_applicable   not_applicable
apiserver-to-service/https@ssh  eavesdropper  -       held            held             not_applicable      not_applicable     not_applicable   not_applicable
apiserver-to-service/https@ssh  impostor      yes     held            held             held                held               not_applicable   not_applicable
";

pub fn kubeadm_default() -> Cells {
    table(&[TO_THE_APISERVER, UNVERIFIED_KUBELETS, PROXIES])
}

pub fn kubeadm_verified() -> Cells {
    table(&[TO_THE_APISERVER, VERIFIED_KUBELETS, PROXIES])
}

pub fn legacy_ssh_tunnels() -> Cells {
    table(&[TO_THE_APISERVER, KUBELETS_THROUGH_TUNNELS, PROXIES_THROUGH_TUNNELS])
}

pub fn legacy_ssh_tunnels_seen_from_access() -> Cells {
    table(&[TO_THE_APISERVER, KUBELETS_THROUGH_TUNNELS, PROXIES_THROUGH_TUNNELS_SEEN_FROM_ACCESS])
}

/// With an attacker between control plane and nodes alone.
pub fn konnectivity() -> Cells {
    table(&[TO_THE_APISERVER, KUBELETS_BEHIND_AGENTS, PROXIES_BEHIND_AGENTS])
}

/// With an attacker between control plane and nodes alone.
pub fn konnectivity_open() -> Cells {
    table(&[TO_THE_APISERVER, KUBELETS_BEHIND_ANYBODY, PROXIES_BEHIND_ANYBODY])
}

/// With an attacker between control plane and nodes alone.
pub fn verified_ssh_tunnels() -> Cells {
    table(&[TO_THE_APISERVER, KUBELETS_THROUGH_VERIFIED_TUNNELS, PROXIES_THROUGH_VERIFIED_TUNNELS])
}

fn table(parts: &[&str]) -> Cells {
    let table = Cells::table(&[&[COLUMNS], parts].concat().concat());
    assert_eq!(table.0.len(), 32, "16 paths and two attackers");
    table
}
