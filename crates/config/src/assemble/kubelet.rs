//! The kubelet's configuration: its flags over its file over the defaults that belong to either.

use std::net::{IpAddr, Ipv4Addr};

use crate::catalogue::paths;
use crate::datum;
use crate::defaults;
use crate::gathered::{Gathered, Origin};
use crate::model::{
    Component, FileName, KubeletAuthorization, KubeletConfig, KubeletServing, KubernetesVersion, Provenance,
    Taint, WebhookCaches,
};
use crate::sheet::Sheet;

pub(super) fn assemble(version: KubernetesVersion, read: (&mut Gathered, &mut Provenance)) -> KubeletConfig {
    let with_file = has_file(read.0);
    let rows = if with_file { defaults::kubelet_with_file() } else { defaults::kubelet_with_flags_alone() };
    let mut sheet = Sheet::new(Component::Kubelet, read, rows);
    let port = sheet.open_port("port");
    let read_only_port = sheet.port("read-only-port");
    if read_only_port == Some(port)
        && let Some(given) = sheet.given("read-only-port").or_else(|| sheet.given("port"))
    {
        sheet.gathered.fail(
            &given.place,
            &given.key,
            format!("{port} is the port of the HTTPS endpoint too"),
            "two different ports",
        );
    }
    let kubeconfig = sheet.file("kubeconfig").unwrap_or_else(|| {
        sheet
            .gathered
            .assume("the kubelet's flags name no --kubeconfig: assumed /var/lib/kubelet/kubeconfig");
        FileName::new("/var/lib/kubelet/kubeconfig")
    });
    KubeletConfig {
        address: sheet.ip("address").unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        port,
        read_only_port,
        anonymous_auth: sheet.switch("anonymous-auth"),
        webhook_authentication: sheet.switch("authentication-token-webhook"),
        client_ca_file: client_ca(&mut sheet),
        authorization: match sheet.text("authorization-mode").as_deref() {
            Some("AlwaysAllow") => KubeletAuthorization::AlwaysAllow,
            _ => KubeletAuthorization::Webhook,
        },
        webhook_caches: WebhookCaches {
            token_s: seconds_or(&mut sheet, "authentication-token-webhook-cache-ttl", 120),
            authorized_s: seconds_or(&mut sheet, "authorization-webhook-cache-authorized-ttl", 300),
            unauthorized_s: seconds_or(&mut sheet, "authorization-webhook-cache-unauthorized-ttl", 30),
        },
        serving: serving(version, &mut sheet),
        rotate_certificates: rotates(version, &mut sheet),
        kubeconfig,
        bootstrap_kubeconfig: match sheet.file("bootstrap-kubeconfig") {
            Some(file) => Some(file),
            None => sheet.file("experimental-bootstrap-kubeconfig"),
        },
        tls_min_version: super::apiserver::tls_version(&mut sheet),
        enable_server: sheet.switch("enable-server"),
        enable_debugging_handlers: sheet.switch("enable-debugging-handlers"),
        cluster_dns: sheet.ips("cluster-dns"),
        cluster_domain: sheet.text("cluster-domain").unwrap_or_default(),
        pod_cidr: sheet.net("pod-cidr"),
        static_pod_path: sheet.file("pod-manifest-path"),
        register_node: sheet.switch("register-node"),
        register_with_taints: taints(&mut sheet),
        node_status_update_frequency_s: sheet
            .seconds("node-status-update-frequency")
            .filter(|seconds| *seconds > 0)
            .unwrap_or(10),
        node_lease_duration_s: sheet
            .number("node-lease-duration-seconds")
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(40),
        streaming_idle_timeout_s: seconds_or(&mut sheet, "streaming-connection-idle-timeout", 4 * 3600),
    }
}

fn taints(sheet: &mut Sheet<'_>) -> Vec<Taint> {
    let given = sheet.list("register-with-taints");
    let read = given.iter().filter_map(|text| datum::taint(text));
    read.map(|(key, value, effect)| Taint { key: key.into(), value: value.into(), effect: effect.into() })
        .collect()
}

/// The kubelet takes a 0 of its file, which kubeadm writes everywhere, for "not given"
/// (pkg/kubelet/apis/config/v1beta1/defaults.go); flags are set after that.
fn seconds_or(sheet: &mut Sheet<'_>, flag: &'static str, default: u64) -> u64 {
    let by_flag = sheet.given(flag).is_some_and(|given| given.origin >= Origin::Extra);
    sheet.seconds(flag).filter(|seconds| by_flag || *seconds != 0).unwrap_or(default)
}

/// Installers copy the CA of clients to the nodes, where it lies in another directory: the same name there is the
/// same CA, another name is another CA.
fn client_ca(sheet: &mut Sheet<'_>) -> Option<FileName> {
    let file = sheet.file("client-ca-file")?;
    let base = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let apiservers = super::text_of(Component::Apiserver, "client-ca-file", sheet.gathered);
    match apiservers {
        Some(apiservers) if apiservers != file.as_str() && base(&apiservers) == base(file.as_str()) => {
            sheet.gathered.assume(format!(
                "{} is on the nodes: assumed a copy of the apiserver's client CA {apiservers}",
                file.as_str()
            ));
            Some(FileName::new(apiservers))
        }
        _ => Some(file),
    }
}

/// Whether the kubelet reads a configuration file: then its defaults are the file's, not those of flags alone.
fn has_file(gathered: &mut Gathered) -> bool {
    let named = gathered
        .given
        .iter()
        .rfind(|g| g.component == Component::Kubelet && g.known.name == "config" && !g.text.is_empty())
        .cloned();
    match (named, gathered.kubelet_file.clone()) {
        (Some(named), None) if named.origin != Origin::Assumed => {
            gathered.assume(
                "the kubelet's configuration file is not in the input: assumed the one that kubeadm writes",
            );
            let why = "names a file that is not in the input";
            gathered.unknown(Component::Kubelet, &named.key, &named.place, (paths::KUBELET, why));
            true
        }
        (Some(_), _) => true,
        (None, Some(file)) => {
            let problem = "the kubelet's flags name no --config: this file would not be read";
            gathered.fail(&file, "kind", problem, "--config among the kubelet's flags");
            true
        }
        (None, None) => false,
    }
}

fn serving(version: KubernetesVersion, sheet: &mut Sheet<'_>) -> KubeletServing {
    let files = sheet.pair("tls-cert-file", "tls-private-key-file");
    // pkg/features/kube_features.go: RotateKubeletServerCertificate is beta, and on, from 1.12.
    let gate = sheet.gate("RotateKubeletServerCertificate").unwrap_or(version.minor_number() >= 12);
    let asked = sheet.given("rotate-server-certificates");
    let bootstrap = sheet.switch("rotate-server-certificates");
    match (files, bootstrap) {
        (files, true) => {
            if let Some(given) = asked {
                if !gate {
                    let accepted = "RotateKubeletServerCertificate=true among the feature gates";
                    sheet.gathered.fail(
                        &given.place,
                        &given.key,
                        "requires feature gate RotateKubeletServerCertificate",
                        accepted,
                    );
                }
                if files.is_some() {
                    let problem =
                        "is given beside a certificate file: which one is served depends on the client";
                    sheet.gathered.fail(&given.place, &given.key, problem, "one of the two");
                }
            }
            KubeletServing::Bootstrap
        }
        (Some(files), false) => {
            sheet.gathered.assume(format!(
                "the kubelets' certificate {} comes from the CA that --kubelet-certificate-authority names",
                files.cert.as_str()
            ));
            KubeletServing::Files(files)
        }
        // In 1.8 and 1.9 the gate alone turned it on.
        (None, false) if version.minor_number() < 10 && gate => KubeletServing::Bootstrap,
        (None, false) => KubeletServing::SelfSigned,
    }
}

fn rotates(version: KubernetesVersion, sheet: &mut Sheet<'_>) -> bool {
    let wanted = sheet.switch("rotate-certificates");
    let gate = sheet.gate("RotateKubeletClientCertificate").unwrap_or(version.minor_number() >= 8);
    wanted && gate
}
