//! The kube-apiserver's configuration, and what its own validation refuses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;

use crate::catalogue::paths;
use crate::datum::Datum;
use crate::defaults;
use crate::gathered::{Gathered, Given, Origin};
use crate::model::{
    AdmissionPlugins, ApiserverConfig, Component, Egress, FileName, FilePair, InsecureListener,
    KubernetesVersion, Provenance, RequestHeader, TlsVersion,
};
use crate::sheet::Sheet;
use crate::suggest::closest;

use super::{authentication, authorization, egress_selector, kubelet_client, service_accounts, ssh_tunnels};

type Read<'a> = (&'a mut Gathered, &'a mut Provenance);

pub(super) fn assemble(version: KubernetesVersion, read: Read<'_>) -> ApiserverConfig {
    let mut sheet = Sheet::new(Component::Apiserver, read, defaults::apiserver(version));
    let authorization_modes = authorization::modes(version, &mut sheet);
    let anonymous = authentication::anonymous(version, &authorization_modes, &mut sheet);
    let egress = egress(&mut sheet);
    let selected = sheet.gathered.egress.as_ref().and_then(|file| file.cluster.as_ref());
    let connection = selected.and_then(|selection| selection.connection.clone());
    let listener = listener(&mut sheet);
    one_family(&mut sheet);
    ApiserverConfig {
        bind_address: listener.ip(),
        advertise_address: sheet.ip("advertise-address"),
        secure_port: listener.port(),
        insecure: insecure(version, &mut sheet),
        serving: serving(&mut sheet),
        anonymous_auth: anonymous.enabled,
        anonymous_paths: anonymous.paths,
        client_ca_file: sheet.file("client-ca-file"),
        token_auth_users: authentication::static_users(&mut sheet),
        token_auth_file: sheet.file("token-auth-file"),
        enable_bootstrap_token_auth: bootstrap_tokens(&mut sheet),
        request_header: request_header(&mut sheet),
        proxy_client: sheet.pair("proxy-client-cert-file", "proxy-client-key-file"),
        authorization_modes,
        count: count(&mut sheet),
        audit_log: audit_log(&mut sheet),
        admission: admission(version, &mut sheet),
        kubelet: kubelet_client::assemble(version, &mut sheet),
        service_accounts: service_accounts::assemble(&mut sheet),
        service_cluster_ip_range: sheet.net("service-cluster-ip-range").unwrap_or_else(default_services),
        service_node_ports: sheet.port_range("service-node-port-range").unwrap_or((30000, 32767)),
        egress,
        connection,
        profiling: sheet.switch("profiling"),
        tls_min_version: tls_version(&mut sheet),
    }
}

fn default_services() -> IpNet {
    IpNet::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 24).expect("24 is a prefix length of IPv4")
}

/// Where clients find the secure port. k3s has `--advertise-port`: its supervisor listens there, with the same
/// certificates, for an apiserver that itself listens on loopback only.
fn listener(sheet: &mut Sheet<'_>) -> SocketAddr {
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let own = SocketAddr::new(sheet.ip("bind-address").unwrap_or(any), sheet.open_port("secure-port"));
    match sheet.port("advertise-port") {
        Some(port) if own.ip().is_loopback() => {
            sheet.gathered.assume(format!(
                "--advertise-port is k3s': assumed that its supervisor serves the apiserver on port {port}"
            ));
            SocketAddr::new(any, port)
        }
        // `::` is every address of either family.
        _ if own.ip().is_unspecified() => SocketAddr::new(any, own.port()),
        _ => match sheet.ip("advertise-address") {
            Some(advertised) if advertised != own.ip() && !own.ip().is_loopback() => {
                sheet.gathered.assume(format!(
                    "the apiserver listens on {} and is advertised as {advertised}: assumed that connections to the one reach the other",
                    own.ip()
                ));
                SocketAddr::new(any, own.port())
            }
            _ => own,
        },
    }
}

fn serving(sheet: &mut Sheet<'_>) -> Option<FilePair> {
    let files = sheet.pair("tls-cert-file", "tls-private-key-file");
    if files.is_none() {
        sheet.gathered.assume(
            "kube-apiserver's flags name no --tls-cert-file: assumed a certificate from the CA that its clients trust, not one that it signs itself",
        );
    }
    files
}

/// The advertised address and the first service range are of one family
/// (cmd/kube-apiserver/app/options/validation.go).
fn one_family(sheet: &mut Sheet<'_>) {
    let (address, range) = (sheet.given("advertise-address"), sheet.given("service-cluster-ip-range"));
    let Some((address, Datum::Ip(ip))) = address.as_ref().map(|given| (given, &given.datum)) else { return };
    let net = match range.as_ref().map(|given| &given.datum) {
        Some(Datum::Nets(nets)) => nets.first().copied().unwrap_or_else(default_services),
        _ => default_services(),
    };
    if ip.is_ipv4() != net.addr().is_ipv4() {
        let given = range.as_ref().unwrap_or(address);
        let problem = format!("the service range {net} is of another family than --advertise-address={ip}");
        sheet.gathered.fail(&given.place, &given.key, problem, "both IPv4, or both IPv6");
    }
}

pub(super) fn tls_version(sheet: &mut Sheet<'_>) -> TlsVersion {
    match sheet.text("tls-min-version").as_deref() {
        Some("VersionTLS10") => TlsVersion::Tls10,
        Some("VersionTLS11") => TlsVersion::Tls11,
        Some("VersionTLS13") => TlsVersion::Tls13,
        _ => TlsVersion::Tls12,
    }
}

/// How many apiservers there are: one where nothing says so.
fn count(sheet: &mut Sheet<'_>) -> u32 {
    let said = sheet.number("apiserver-count").unwrap_or(1);
    if let (true, Some(given)) = (said < 1, sheet.given("apiserver-count")) {
        sheet.gathered.fail(
            &given.place,
            &given.key,
            format!("{said} is no number of apiservers"),
            "1 or more",
        );
    }
    let said = u32::try_from(said).unwrap_or(1);
    let count = said.max(sheet.gathered.apiservers).max(1);
    if count > 1 {
        sheet.gathered.assume(format!(
            "there are {count} apiservers that differ in their addresses alone: what reaches one is as good as what reaches another"
        ));
    }
    count
}

/// Without a policy nothing is written (staging/src/k8s.io/apiserver/pkg/server/options/audit.go).
fn audit_log(sheet: &mut Sheet<'_>) -> Option<FileName> {
    let policy = sheet.file("audit-policy-file");
    let log = sheet.file("audit-log-path");
    match (policy, log) {
        (Some(policy), Some(log)) => {
            sheet.gathered.assume(format!(
                "the audit policy {policy} is not read: assumed that every request is written down at the level Metadata"
            ));
            Some(log)
        }
        _ => None,
    }
}

fn insecure(version: KubernetesVersion, sheet: &mut Sheet<'_>) -> Option<InsecureListener> {
    if version.minor_number() >= 20 {
        return None;
    }
    // `--port` and `--address` are the old names of the same two options.
    let port = if sheet.given("insecure-port").is_none() && sheet.given("port").is_some() {
        "port"
    } else {
        "insecure-port"
    };
    let old = sheet.given("insecure-bind-address").is_none() && sheet.given("address").is_some();
    let address = sheet
        .ip(if old { "address" } else { "insecure-bind-address" })
        .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    sheet.port(port).map(|port| InsecureListener { address: SocketAddr::new(address, port) })
}

fn bootstrap_tokens(sheet: &mut Sheet<'_>) -> bool {
    let old = sheet.given("experimental-bootstrap-token-auth").is_some();
    sheet.switch(if old { "experimental-bootstrap-token-auth" } else { "enable-bootstrap-token-auth" })
}

fn request_header(sheet: &mut Sheet<'_>) -> Option<RequestHeader> {
    let client_ca_file = sheet.file("requestheader-client-ca-file")?;
    Some(RequestHeader {
        client_ca_file,
        allowed_names: sheet.list("requestheader-allowed-names"),
        username_headers: sheet.list("requestheader-username-headers"),
        group_headers: sheet.list("requestheader-group-headers"),
        uid_headers: sheet.list("requestheader-uid-headers"),
        extra_headers_prefix: sheet.list("requestheader-extra-headers-prefix"),
    })
}

fn admission(version: KubernetesVersion, sheet: &mut Sheet<'_>) -> AdmissionPlugins {
    let places: Vec<Given> = ["admission-control", "enable-admission-plugins", "disable-admission-plugins"]
        .into_iter()
        .filter_map(|flag| sheet.given(flag))
        .collect();
    let [mut enabled, more, disabled] =
        ["admission-control", "enable-admission-plugins", "disable-admission-plugins"]
            .map(|flag| sheet.list(flag));
    let exact = !enabled.is_empty();
    enabled.extend(more);
    for given in &places {
        let Datum::List(names) = &given.datum else { continue };
        for name in names.iter().filter(|n| !defaults::ADMISSION_PLUGINS.contains(&n.as_str())) {
            let hint = closest(name, defaults::ADMISSION_PLUGINS.iter().copied());
            let accepted = hint.map_or_else(
                || defaults::ADMISSION_PLUGINS.join(", "),
                |hint| format!("did you mean {hint}?"),
            );
            sheet.gathered.fail(
                &given.place,
                &given.key,
                format!("{name:?} is no admission plugin"),
                accepted,
            );
        }
        for name in names.iter().filter(|n| enabled.contains(n) && disabled.contains(n)) {
            sheet.gathered.fail(
                &given.place,
                &given.key,
                format!("{name} is both enabled and disabled"),
                "one of the two",
            );
        }
        unmodelled_plugins(given, names, sheet);
    }
    let mut effective: Vec<String> = enabled.clone();
    if !exact {
        let plugins = defaults::admission(version);
        let source = "pkg/kubeapiserver/options/plugins.go (DefaultOffAdmissionPlugins)";
        sheet.default("admission plugins", &plugins.join(","), source);
        effective.extend(plugins.into_iter().map(str::to_owned));
    }
    effective.retain(|name| !disabled.contains(name));
    effective.sort();
    effective.dedup();
    AdmissionPlugins { enabled, disabled, effective }
}

fn unmodelled_plugins(given: &Given, names: &[String], sheet: &mut Sheet<'_>) {
    if given.known.name == "disable-admission-plugins" || given.origin == Origin::Assumed {
        return;
    }
    for name in names {
        let scope: &[&str] = match name.as_str() {
            "AlwaysDeny" | "ImagePolicyWebhook" => paths::TO_API,
            "DenyEscalatingExec" | "DenyExecOnPrivileged" => {
                &["apiserver-to-kubelet/exec", "apiserver-to-kubelet/attach"]
            }
            _ => continue,
        };
        sheet.gathered.unknown(
            Component::Apiserver,
            &format!("{}={name}", given.key),
            &given.place,
            (scope, "refuses requests"),
        );
    }
}

fn egress(sheet: &mut Sheet<'_>) -> Egress {
    let selector = egress_selector::egress(sheet);
    let tunnels = ssh_tunnels::egress(sheet, selector.is_some());
    tunnels.or(selector).unwrap_or(Egress::Direct)
}
