//! konnectivity-server's flags, and what its own validation refuses
//! (`cmd/server/app/options/options.go` of kubernetes-sigs/apiserver-network-proxy).

use std::net::SocketAddr;

use crate::defaults;
use crate::gathered::Gathered;
use crate::model::{
    AgentAuthentication, Component, FileName, FilePair, KonnectivityFrontend, KonnectivityMode,
    KonnectivityServer, LeaseSettings, Provenance, ProxyStrategy,
};
use crate::sheet::Sheet;

use super::konnectivity::{
    address, known_in_its_version, label, more_than_nothing, nothing_before, port_in_use, refuse,
};

/// The first version that wants `--server-ca-cert` where the apiserver comes over TCP.
const FRONTEND_VERIFIES: u32 = 35_000;
/// The first version in which `--kubeconfig` alone does not ask for tokens (v0.31.4 and v0.32.1 have it too).
const KUBECONFIG_ALONE: u32 = 33_000;

/// `None` where the flags contradict each other: then there are errors.
pub(crate) fn assemble(read: (&mut Gathered, &mut Provenance)) -> Option<KonnectivityServer> {
    let rows = defaults::konnectivity_server();
    let mut sheet = Sheet::new(Component::KonnectivityServer, read, rows);
    let version = known_in_its_version(&mut sheet);
    let before = sheet.gathered.errors.len();
    let frontend = frontend(version, &mut sheet);
    let serving = needed_pair(("cluster-cert", "cluster-key"), "agents are spoken with over TLS", &mut sheet);
    let authentication = authentication(version, &mut sheet);
    for flag in ["enable-profiling", "enable-contention-profiling"] {
        let _ = sheet.switch(flag);
    }
    contention(&mut sheet);
    let strategies = strategies(&mut sheet);
    let leases = sheet.switch("enable-lease-controller").then(|| leases(&mut sheet));
    let [agents, health, admin] =
        [("agent", "agent-bind-address"), ("health", "health-bind-address"), ("admin", "admin-bind-address")]
            .map(|(kind, flag)| listener((kind, flag), &mut sheet));
    let mode = match sheet.text("mode").as_deref() {
        Some("http-connect") => KonnectivityMode::HttpConnect,
        _ => KonnectivityMode::Grpc,
    };
    more_than_nothing(&["xfr-channel-size"], &mut sheet);
    let count = sheet.number("server-count").and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
    let seconds = |flag, sheet: &mut Sheet<'_>| sheet.seconds(flag).unwrap_or(0);
    let config = KonnectivityServer {
        mode,
        frontend: frontend?,
        agents,
        serving: serving?,
        authentication: authentication?,
        kubeconfig: sheet.file("kubeconfig"),
        health,
        admin,
        strategies,
        id: sheet.text("server-id"),
        count,
        leases,
        keepalive_s: seconds("keepalive-time", &mut sheet),
        frontend_keepalive_s: seconds("frontend-keepalive-time", &mut sheet),
        backend_dial_timeout_s: seconds("backend-dial-timeout", &mut sheet),
    };
    nothing_before(before, &sheet).then_some(config)
}

fn frontend(version: u32, sheet: &mut Sheet<'_>) -> Option<KonnectivityFrontend> {
    let socket = sheet.file("uds-name");
    let port = sheet.number("server-port").and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
    let Some(socket) = socket else { return tcp_frontend((version, port), sheet) };
    if port != 0 {
        let problem = format!("server port should be set to 0 not {port} for UDS");
        refuse("server-port", &problem, "--server-port=0 beside --uds-name", sheet);
        return None;
    }
    let forbidden = [
        ("server-key", "server key should not be set for UDS"),
        ("server-cert", "server cert should not be set for UDS"),
        ("server-ca-cert", "server ca cert should not be set for UDS"),
    ];
    let mut allowed = true;
    for (flag, problem) in forbidden {
        if sheet.file(flag).is_some() {
            refuse(flag, problem, "--uds-name without it, or --server-port with it", sheet);
            allowed = false;
        }
    }
    allowed.then_some(KonnectivityFrontend::Unix(socket))
}

fn tcp_frontend((version, port): (u32, u16), sheet: &mut Sheet<'_>) -> Option<KonnectivityFrontend> {
    let client_ca = sheet.file("server-ca-cert");
    if client_ca.is_none() && version >= FRONTEND_VERIFIES {
        let problem = "server ca cert must be set when in TCP mode (uds-name is empty)";
        refuse("server-ca-cert", problem, "--server-ca-cert=FILE, or --uds-name=FILE", sheet);
    }
    if port < 1024 {
        let problem = format!("please do not try to use reserved port {port} for the server port");
        refuse("server-port", &problem, "1024 to 49151, or --uds-name=FILE", sheet);
    }
    port_in_use("server", port, sheet);
    let what = "the apiserver is spoken with over TLS where --uds-name is not given";
    let serving = needed_pair(("server-cert", "server-key"), what, sheet)?;
    let listen = SocketAddr::new(address("server-bind-address", sheet), port);
    Some(KonnectivityFrontend::Tcp { listen, serving, client_ca })
}

fn needed_pair(
    (cert, key): (&'static str, &'static str),
    why: &str,
    sheet: &mut Sheet<'_>,
) -> Option<FilePair> {
    let before = sheet.gathered.errors.len();
    let pair = sheet.pair(cert, key);
    if pair.is_none() && sheet.gathered.errors.len() == before {
        refuse(cert, &format!("is missing: {why}"), &format!("both --{cert} and --{key}"), sheet);
    }
    pair
}

/// Whom it takes for an agent: `Validate` of its options.
fn authentication(version: u32, sheet: &mut Sheet<'_>) -> Option<AgentAuthentication> {
    let ca = sheet.file("cluster-ca-cert");
    let of_token = ["agent-namespace", "agent-service-account", "authentication-audience"];
    let values = of_token.map(|flag| sheet.text(flag));
    let alone = version < KUBECONFIG_ALONE && sheet.given("kubeconfig").is_some_and(|g| !g.text.is_empty());
    if values.iter().all(Option::is_none) && !alone {
        return Some(ca.map_or(AgentAuthentication::DangerNone, |ca: FileName| {
            AgentAuthentication::Certificate { ca }
        }));
    }
    if ca.is_some() {
        let problem = "--cluster-ca-cert can not be used when agent authentication is enabled";
        refuse("cluster-ca-cert", problem, "the flags of one kind of authentication", sheet);
    }
    for flag in of_token.iter().zip(&values).filter(|(_, value)| value.is_none()).map(|(flag, _)| *flag) {
        let problem = format!("--{flag} cannot be empty when agent authentication is enabled");
        let all = "--agent-namespace, --agent-service-account and --authentication-audience together";
        refuse(flag, &problem, all, sheet);
    }
    let [namespace, service_account, audience] = values;
    Some(AgentAuthentication::Token {
        namespace: namespace?,
        service_account: service_account?,
        audience: audience?,
    })
}

fn contention(sheet: &mut Sheet<'_>) {
    if sheet.switch("enable-contention-profiling") && !sheet.switch("enable-profiling") {
        let problem = "if --enable-contention-profiling is set, --enable-profiling must also be set";
        refuse("enable-contention-profiling", problem, "both, or neither", sheet);
    }
}

fn strategies(sheet: &mut Sheet<'_>) -> Vec<ProxyStrategy> {
    let names = sheet.list("proxy-strategies");
    if names.is_empty() {
        let problem = "proxy strategies cannot be empty";
        refuse("proxy-strategies", problem, "default, destHost, defaultRoute", sheet);
    }
    let strategy = |name: &String| match name.as_str() {
        "destHost" => ProxyStrategy::DestHost,
        "defaultRoute" => ProxyStrategy::DefaultRoute,
        _ => ProxyStrategy::Default,
    };
    names.iter().map(strategy).collect()
}

pub(super) fn leases(sheet: &mut Sheet<'_>) -> LeaseSettings {
    let namespace = sheet.text("lease-namespace").unwrap_or_else(|| "kube-system".to_owned());
    LeaseSettings { namespace, label: label(&["lease-label"], sheet) }
}

fn listener((kind, bind): (&'static str, &'static str), sheet: &mut Sheet<'_>) -> SocketAddr {
    let flag = match kind {
        "agent" => "agent-port",
        "health" => "health-port",
        _ => "admin-port",
    };
    let port = sheet.number(flag).and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
    if port < 1024 {
        let problem = format!("please do not try to use reserved port {port} for the {kind} port");
        refuse(flag, &problem, "1024 to 49151", sheet);
    }
    port_in_use(kind, port, sheet);
    SocketAddr::new(address(bind, sheet), port)
}
