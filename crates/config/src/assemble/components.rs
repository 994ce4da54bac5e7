//! kube-controller-manager, kube-scheduler and kube-proxy.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::catalogue::paths;
use crate::defaults;
use crate::gathered::{Gathered, Origin};
use crate::model::{
    ApiserverConfig, Component, ControllerManagerConfig, FileName, InsecureListener, KubeProxyConfig,
    KubernetesVersion, Provenance, SchedulerConfig, ServingListener, SigningFiles,
};
use crate::sheet::Sheet;

type Read<'a> = (&'a mut Gathered, &'a mut Provenance);

pub(super) fn controller_manager(
    version: KubernetesVersion,
    apiserver: &ApiserverConfig,
    read: Read<'_>,
) -> ControllerManagerConfig {
    let mut sheet = Sheet::new(Component::ControllerManager, read, defaults::controller_manager(version));
    if let Some(given) = sheet.given("service-cluster-ip-range").filter(|g| g.origin != Origin::Assumed)
        && let Some(range) = sheet.net("service-cluster-ip-range")
        && range != apiserver.service_cluster_ip_range
    {
        let problem = format!("{range} here, but {} for kube-apiserver", apiserver.service_cluster_ip_range);
        sheet.gathered.fail(&given.place, &given.key, problem, "the same range for both");
    }
    let old = sheet.given("cluster-signing-duration").is_none()
        && sheet.given("experimental-cluster-signing-duration").is_some();
    one_signer_or_several(&mut sheet);
    let controllers = sheet.list("controllers");
    let config = ControllerManagerConfig {
        listener: listener(&mut sheet),
        insecure: insecure(version.minor_number() < 20, &mut sheet),
        cluster_signing: signing("cluster-signing-cert-file", "cluster-signing-key-file", &mut sheet),
        kubelet_serving_signing: signing(
            "cluster-signing-kubelet-serving-cert-file",
            "cluster-signing-kubelet-serving-key-file",
            &mut sheet,
        ),
        kubelet_client_signing: signing(
            "cluster-signing-kubelet-client-cert-file",
            "cluster-signing-kubelet-client-key-file",
            &mut sheet,
        ),
        client_signing: signing(
            "cluster-signing-kube-apiserver-client-cert-file",
            "cluster-signing-kube-apiserver-client-key-file",
            &mut sheet,
        ),
        cluster_signing_duration_s: sheet
            .seconds(if old { "experimental-cluster-signing-duration" } else { "cluster-signing-duration" })
            .unwrap_or(0),
        root_ca_file: root_ca(apiserver, &mut sheet),
        service_account_private_key_file: sheet.file("service-account-private-key-file"),
        kubeconfig: kubeconfig("/etc/kubernetes/controller-manager.conf", &mut sheet),
        allocate_node_cidrs: sheet.switch("allocate-node-cidrs"),
        controllers,
        node_monitor_grace_period_s: sheet.seconds("node-monitor-grace-period").unwrap_or(50),
        node_monitor_period_s: sheet.seconds("node-monitor-period").unwrap_or(5),
        profiling: sheet.switch("profiling"),
    };
    // Without these no node joins and no service leads anywhere.
    const NEEDED: &[&str] = &[
        "csrapproving",
        "csrsigning",
        "endpoint",
        "endpointslice",
        "root-ca-cert-publisher",
        "serviceaccount",
    ];
    for name in NEEDED.iter().filter(|name| !config.runs(name)) {
        sheet
            .gathered
            .assume(format!("the controller {name} is switched off: assumed that nobody else does its work"));
    }
    config
}

/// The controller manager refuses the general files beside those of one signer (`startCSRSigningController` of
/// cmd/kube-controller-manager/app/certificates.go).
fn one_signer_or_several(sheet: &mut Sheet<'_>) {
    let given = |flag: &str| sheet.given(flag).filter(|g| g.origin != Origin::Assumed && !g.text.is_empty());
    let Some(general) = given("cluster-signing-cert-file") else { return };
    let own = ["kubelet-serving", "kubelet-client", "kube-apiserver-client", "legacy-unknown"]
        .map(|signer| format!("cluster-signing-{signer}-cert-file"));
    if let Some(own) = own.iter().find_map(|flag| given(flag)) {
        let problem = format!("is given beside {} ({})", general.key, general.place);
        sheet.gathered.fail(&own.place, &own.key, problem, "one file for all signers, or one for each");
    }
}

/// Where it is not the CA of clients, the apiserver's certificate comes from it: its clients could not verify it
/// otherwise.
fn root_ca(apiserver: &ApiserverConfig, sheet: &mut Sheet<'_>) -> Option<FileName> {
    let file = sheet.file("root-ca-file")?;
    if apiserver.client_ca_file.as_ref().is_some_and(|clients| *clients != file) {
        sheet.gathered.assume(format!(
            "the apiserver's certificate comes from {}, which its clients trust (--root-ca-file)",
            file.as_str()
        ));
    }
    Some(file)
}

pub(super) fn scheduler(version: KubernetesVersion, read: Read<'_>) -> SchedulerConfig {
    let mut sheet = Sheet::new(Component::Scheduler, read, defaults::scheduler(version));
    SchedulerConfig {
        listener: listener(&mut sheet),
        insecure: insecure(version.minor_number() < 23, &mut sheet),
        kubeconfig: kubeconfig("/etc/kubernetes/scheduler.conf", &mut sheet),
        profiling: sheet.switch("profiling"),
    }
}

pub(super) fn proxy(read: Read<'_>) -> KubeProxyConfig {
    let mut sheet = Sheet::new(Component::Proxy, read, defaults::proxy());
    let named = sheet.given("config").filter(|g| !g.text.is_empty());
    match (named, sheet.gathered.proxy_file.clone(), sheet.gathered.started.contains_key(&Component::Proxy)) {
        (Some(named), None, _) => {
            let why = "names a file that is not in the input";
            sheet.gathered.unknown(Component::Proxy, &named.key, &named.place, (paths::PROXY, why));
        }
        (None, Some(file), true) => {
            let problem = "kube-proxy's flags name no --config: this file would not be read";
            sheet.gathered.fail(&file, "kind", problem, "--config among kube-proxy's flags");
        }
        (None, None, false) => sheet
            .gathered
            .assume("no kube-proxy is configured: assumed Kubernetes' defaults, with its own credentials"),
        _ => {}
    }
    KubeProxyConfig {
        kubeconfig: sheet.file("kubeconfig"),
        metrics: sheet.socket("metrics-bind-address", 10249),
        healthz: sheet.socket("healthz-bind-address", 10256),
        cluster_cidr: sheet.net("cluster-cidr"),
    }
}

fn listener(sheet: &mut Sheet<'_>) -> ServingListener {
    ServingListener {
        address: sheet.ip("bind-address").unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        port: sheet.port("secure-port"),
        serving: sheet.pair("tls-cert-file", "tls-private-key-file"),
        client_ca_file: sheet.file("client-ca-file"),
        authentication_kubeconfig: sheet.file("authentication-kubeconfig"),
        authorization_kubeconfig: sheet.file("authorization-kubeconfig"),
        always_allow_paths: sheet.list("authorization-always-allow-paths"),
    }
}

/// The plain HTTP listener: its flags do nothing from 1.20 (controller manager) and 1.23 (scheduler) on
/// (CHANGELOG-1.24).
fn insecure(listens: bool, sheet: &mut Sheet<'_>) -> Option<InsecureListener> {
    if !listens {
        return None;
    }
    let address = sheet.ip("address").unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    sheet.port("port").map(|port| InsecureListener { address: SocketAddr::new(address, port) })
}

fn signing(cert: &'static str, key: &'static str, sheet: &mut Sheet<'_>) -> Option<SigningFiles> {
    sheet.pair(cert, key).map(|pair| SigningFiles { cert: pair.cert, key: pair.key })
}

fn kubeconfig(assumed: &str, sheet: &mut Sheet<'_>) -> FileName {
    sheet.file("kubeconfig").unwrap_or_else(|| {
        let component = sheet.component;
        sheet.gathered.assume(format!("{component}'s flags name no --kubeconfig: assumed {assumed}"));
        FileName::new(assumed)
    })
}
