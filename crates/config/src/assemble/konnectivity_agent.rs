//! konnectivity-agent's flags, and what its own validation refuses
//! (`cmd/agent/app/options/options.go` of kubernetes-sigs/apiserver-network-proxy).

use std::net::SocketAddr;

use crate::defaults;
use crate::gathered::Gathered;
use crate::model::{Component, FileName, KonnectivityAgent, LeaseSettings, Provenance};
use crate::sheet::Sheet;

use super::konnectivity::{address, known_in_its_version, label, more_than_nothing, nothing_before, refuse};

/// What `--agent-identifiers` may hold (`IdentifierType` of proto/header).
const IDENTIFIERS: [&str; 5] = ["ipv4", "ipv6", "cidr", "host", "default-route"];

/// `None` where the flags contradict each other: then there are errors.
pub(crate) fn assemble(read: (&mut Gathered, &mut Provenance)) -> Option<KonnectivityAgent> {
    let rows = defaults::konnectivity_agent();
    let mut sheet = Sheet::new(Component::KonnectivityAgent, read, rows);
    known_in_its_version(&mut sheet);
    let before = sheet.gathered.errors.len();
    let sheet = &mut sheet;
    let (client, ca) = (sheet.pair("agent-cert", "agent-key"), ca(sheet));
    let identifiers = identifiers(sheet);
    let [sync_interval_s, sync_interval_cap_s] =
        ["sync-interval", "sync-interval-cap"].map(|flag| sheet.seconds(flag).unwrap_or(1));
    if sync_interval_s > sync_interval_cap_s {
        let problem = format!(
            "sync interval {sync_interval_s}s must be less than sync interval cap {sync_interval_cap_s}s"
        );
        refuse("sync-interval", &problem, "at most --sync-interval-cap", sheet);
    }
    more_than_nothing(&["xfr-channel-size"], sheet);
    let leases = sheet.switch("count-server-leases").then(|| LeaseSettings {
        namespace: sheet.text("lease-namespace").unwrap_or_else(|| "kube-system".to_owned()),
        label: label(&["lease-label-selector", "lease-label"], sheet),
    });
    let config = KonnectivityAgent {
        pod: pod(sheet),
        server_host: server_host(sheet),
        server_port: port(("proxy-server-port", "proxy server port"), sheet),
        ca: ca?,
        client,
        token: token(sheet),
        id: sheet.text("agent-id"),
        identifiers,
        sync_interval_s,
        sync_interval_cap_s,
        probe_interval_s: sheet.seconds("probe-interval").unwrap_or(1),
        keepalive_s: sheet.seconds("keepalive-time").unwrap_or(0),
        sync_forever: sheet.switch("sync-forever"),
        leases,
        larger_server_count: sheet.text("server-count-source").as_deref() == Some("max"),
        kubeconfig: sheet.file("kubeconfig"),
        health: SocketAddr::new(
            address("health-server-host", sheet),
            port(("health-server-port", "health server port"), sheet),
        ),
        admin: SocketAddr::new(
            address("admin-bind-address", sheet),
            port(("admin-server-port", "admin server port"), sheet),
        ),
    };
    nothing_before(before, sheet).then_some(config)
}

/// The agent reads this file in any case (`GetClientTLSConfig` of pkg/util/certificates.go).
fn ca(sheet: &mut Sheet<'_>) -> Option<FileName> {
    let ca = sheet.file("ca-cert");
    if ca.is_none() {
        let problem = "is missing: who may have signed the server's certificate?";
        refuse("ca-cert", problem, "--ca-cert=FILE", sheet);
    }
    ca
}

/// The pods of the workload whose flags these are.
fn pod(sheet: &mut Sheet<'_>) -> Option<crate::model::AgentPod> {
    let started = sheet.gathered.started.get(&Component::KonnectivityAgent)?;
    let found = sheet.gathered.agent_pods.iter().find(|(place, _)| place == started);
    found.map(|(_, pod)| pod.clone())
}

fn server_host(sheet: &mut Sheet<'_>) -> String {
    let host = sheet.text("proxy-server-host").unwrap_or_else(|| "127.0.0.1".to_owned());
    sheet.gathered.assume(format!(
        "agents reach konnectivity-server as {host}: assumed that this leads to the apiservers' machines, and that its certificate is for that name"
    ));
    host
}

fn token(sheet: &mut Sheet<'_>) -> Option<FileName> {
    let token = sheet.file("service-account-token-path");
    let in_pods = pod(sheet).is_some();
    if let (Some(token), false) = (&token, in_pods) {
        sheet.gathered.assume(format!(
            "konnectivity-agent runs as a program, with {}: assumed that whoever wrote that file keeps a token in it that the server accepts",
            token.as_str()
        ));
    }
    token
}

/// The identifiers, as a query string of known kinds.
fn identifiers(sheet: &mut Sheet<'_>) -> String {
    let text = sheet.text("agent-identifiers").unwrap_or_default();
    let kinds = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split('=').next());
    if let Some(kind) = kinds.flatten().find(|kind| !IDENTIFIERS.contains(kind)) {
        let problem = format!("agent address is invalid: unknown address type: {kind}");
        refuse("agent-identifiers", &problem, &IDENTIFIERS.join(", "), sheet);
    }
    text
}

fn port((flag, called): (&'static str, &str), sheet: &mut Sheet<'_>) -> u16 {
    let port = sheet.port(flag);
    if port.is_none() {
        refuse(flag, &format!("{called} 0 must be greater than 0"), "1 to 65535", sheet);
    }
    port.unwrap_or(1)
}
