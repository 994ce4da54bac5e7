//! The table itself.

use super::{At, Row, Written, client_ca, kubelet_ca, kubelet_has_file};
use crate::model::Property::{self, AccessControlled, CredentialSafe, RequestAuthentic, ResponseSecret};
use ravelin_config::Component::{Apiserver, ControllerManager, Kubelet, Proxy, Scheduler};
use ravelin_config::{
    AuthorizationMode, ClusterConfig, FileName, FilePair, KubeletAuthorization, KubeletServing,
    ServingListener,
};
use std::net::{IpAddr, Ipv4Addr};

/// Everything: who is at the other end, and who may change where connections go.
const ALL: &[Property] = &Property::ALL;
/// What a server keeps from strangers.
const BY_SERVER: &[Property] = &[ResponseSecret, RequestAuthentic, CredentialSafe, AccessControlled];

const EVERY: (u32, u32) = (0, u32::MAX);
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Where the proxies of a node keep a credential of their own.
const PROXY_KUBECONFIG: &str = "/etc/kubernetes/kube-proxy.conf";

const fn flag(flag: &'static str, value: &'static str) -> Written {
    Written { key: flag, flag, value }
}

const fn both(key: &'static str, flag: &'static str, value: &'static str) -> Written {
    Written { key, flag, value }
}

/// Every row. What depends on another row comes after it (a check of names is nothing without a CA,
/// anonymous requests are none with AlwaysAllow): changes are made in this order.
pub(super) const ROWS: &[Row] = &[
    // How the apiserver knows its kubelets.
    Row {
        component: Apiserver,
        at: &[At::Kubelet],
        against: ALL,
        minors: EVERY,
        written: &[flag("--kubelet-certificate-authority", "{kubelet CA}")],
        apply: |config| {
            let file = FileName::new(kubelet_ca(config));
            config.apiserver.kubelet.certificate_authority.get_or_insert(file);
        },
    },
    Row {
        component: Kubelet,
        at: &[At::Kubelet],
        against: ALL,
        minors: (12, u32::MAX),
        written: &[both("serverTLSBootstrap", "--rotate-server-certificates", "true")],
        apply: |config| {
            if config.kubelet.serving == KubeletServing::SelfSigned {
                config.kubelet.serving = KubeletServing::Bootstrap;
            }
        },
    },
    Row {
        component: Kubelet,
        at: &[At::Kubelet],
        against: ALL,
        minors: EVERY,
        written: &[
            both("tlsCertFile", "--tls-cert-file", "/var/lib/kubelet/pki/serving.crt"),
            both("tlsPrivateKeyFile", "--tls-private-key-file", "/var/lib/kubelet/pki/serving.key"),
        ],
        apply: |config| {
            if config.kubelet.serving == KubeletServing::SelfSigned {
                let file = |name| FileName::new(format!("/var/lib/kubelet/pki/{name}"));
                let pair = FilePair { cert: file("serving.crt"), key: file("serving.key") };
                config.kubelet.serving = KubeletServing::Files(pair);
            }
        },
    },
    Row {
        component: Apiserver,
        at: &[At::Kubelet],
        against: ALL,
        minors: (37, u32::MAX),
        written: &[
            flag("--feature-gates", "{before},KubeletCertCNValidation=true"),
            flag("--enable-kubelet-cert-cn-validation", "true"),
        ],
        apply: |config| {
            // Nothing to compare where nothing is verified.
            let verifies = config.apiserver.kubelet.certificate_authority.is_some();
            config.apiserver.kubelet.cert_cn_validation |= verifies;
        },
    },
    Row {
        component: Apiserver,
        at: &[At::Kubelet],
        against: BY_SERVER,
        minors: EVERY,
        written: &[
            flag("--kubelet-client-certificate", "/etc/kubernetes/pki/apiserver-kubelet-client.crt"),
            flag("--kubelet-client-key", "/etc/kubernetes/pki/apiserver-kubelet-client.key"),
        ],
        apply: |config| {
            let file = |end| FileName::new(format!("/etc/kubernetes/pki/apiserver-kubelet-client.{end}"));
            let pair = FilePair { cert: file("crt"), key: file("key") };
            config.apiserver.kubelet.client.get_or_insert(pair);
        },
    },
    // Whom kubelets serve.
    Row {
        component: Kubelet,
        at: &[At::Kubelet],
        against: BY_SERVER,
        minors: EVERY,
        written: &[both("authentication.anonymous.enabled", "--anonymous-auth", "false")],
        apply: |config| config.kubelet.anonymous_auth = false,
    },
    Row {
        component: Kubelet,
        at: &[At::Kubelet],
        against: BY_SERVER,
        minors: EVERY,
        written: &[both("authorization.mode", "--authorization-mode", "Webhook")],
        apply: |config| config.kubelet.authorization = KubeletAuthorization::Webhook,
    },
    Row {
        component: Kubelet,
        at: &[At::Kubelet],
        against: BY_SERVER,
        minors: EVERY,
        written: &[both("authentication.webhook.enabled", "--authentication-token-webhook", "true")],
        apply: |config| config.kubelet.webhook_authentication = true,
    },
    Row {
        component: Kubelet,
        at: &[At::Kubelet],
        against: BY_SERVER,
        minors: EVERY,
        written: &[both("authentication.x509.clientCAFile", "--client-ca-file", "{client CA}")],
        apply: |config| {
            let file = FileName::new(client_ca(config));
            config.kubelet.client_ca_file.get_or_insert(file);
        },
    },
    // With flags alone, its defaults are other ones (cmd/kubelet/app/options/options.go, applyLegacyDefaults).
    Row {
        component: Kubelet,
        at: &[At::Kubelet, At::ReadOnlyPort],
        against: BY_SERVER,
        minors: (8, u32::MAX),
        written: &[flag("--config", "/var/lib/kubelet/config.yaml")],
        apply: |config| {
            if kubelet_has_file(&config.provenance) {
                return;
            }
            let kubelet = &mut config.kubelet;
            let given = |key| {
                let settings = &config.provenance.settings;
                settings.iter().any(|known| known.component == Kubelet && known.key == key)
            };
            kubelet.anonymous_auth &= given("--anonymous-auth");
            kubelet.webhook_authentication |= !given("--authentication-token-webhook");
            if !given("--authorization-mode") {
                kubelet.authorization = KubeletAuthorization::Webhook;
            }
            if !given("--read-only-port") {
                kubelet.read_only_port = None;
            }
        },
    },
    Row {
        component: Kubelet,
        at: &[At::ReadOnlyPort],
        against: ALL,
        minors: EVERY,
        written: &[both("readOnlyPort", "--read-only-port", "0")],
        apply: |config| config.kubelet.read_only_port = None,
    },
    // Whom the apiserver serves.
    Row {
        component: Apiserver,
        at: &[At::Apiserver, At::Rights, At::Kubelet],
        against: ALL,
        minors: (8, u32::MAX),
        written: &[flag("--authorization-mode", "Node,RBAC")],
        apply: |config| {
            let modes = &mut config.apiserver.authorization_modes;
            if *modes == [AuthorizationMode::Node, AuthorizationMode::Rbac] {
                return;
            }
            // Without AlwaysAllow, anonymous requests are what the flag says of them.
            let anonymous =
                modes.contains(&AuthorizationMode::AlwaysAllow) && !said(config, "--anonymous-auth", "false");
            config.apiserver.anonymous_auth |= anonymous;
            config.apiserver.authorization_modes = vec![AuthorizationMode::Node, AuthorizationMode::Rbac];
        },
    },
    Row {
        component: Apiserver,
        at: &[At::Apiserver],
        against: BY_SERVER,
        minors: EVERY,
        written: &[flag("--anonymous-auth", "false")],
        apply: |config| config.apiserver.anonymous_auth = false,
    },
    Row {
        component: Apiserver,
        at: &[At::Apiserver, At::Rights],
        against: ALL,
        minors: (8, u32::MAX),
        written: &[flag("--enable-admission-plugins", "{before},NodeRestriction")],
        apply: |config| {
            const NAME: &str = "NodeRestriction";
            let plugins = &mut config.apiserver.admission;
            // Who disabled it by name cannot enable it beside that.
            if !plugins.runs(NAME) && !plugins.disabled.iter().any(|name| name == NAME) {
                plugins.enabled.push(NAME.to_owned());
                plugins.effective.push(NAME.to_owned());
                plugins.effective.sort();
            }
        },
    },
    Row {
        component: Apiserver,
        at: &[At::Apiserver, At::Rights],
        against: ALL,
        minors: EVERY,
        written: &[flag("--requestheader-allowed-names", "front-proxy-client")],
        apply: |config| {
            if let Some(proxy) = &mut config.apiserver.request_header
                && proxy.allowed_names.is_empty()
            {
                proxy.allowed_names.push("front-proxy-client".to_owned());
            }
        },
    },
    Row {
        component: Apiserver,
        at: &[At::InsecurePort],
        against: ALL,
        minors: (0, 19),
        written: &[flag("--insecure-port", "0")],
        apply: |config| config.apiserver.insecure = None,
    },
    Row {
        component: Apiserver,
        at: &[At::InsecurePort],
        against: ALL,
        minors: (0, 19),
        written: &[flag("--insecure-bind-address", "127.0.0.1")],
        apply: |config| {
            if let Some(listener) = &mut config.apiserver.insecure {
                listener.address.set_ip(LOOPBACK);
            }
        },
    },
    // The other components of the control plane.
    Row {
        component: ControllerManager,
        at: &[At::Component],
        against: ALL,
        minors: EVERY,
        written: &[flag("--bind-address", "127.0.0.1")],
        apply: |config| config.controller_manager.listener.address = LOOPBACK,
    },
    Row {
        component: ControllerManager,
        at: &[At::Component],
        against: ALL,
        minors: (0, 23),
        written: &[flag("--port", "0")],
        apply: |config| config.controller_manager.insecure = None,
    },
    Row {
        component: ControllerManager,
        at: &[At::Component],
        against: ALL,
        minors: EVERY,
        written: &[flag("--authorization-always-allow-paths", "/healthz,/readyz,/livez")],
        apply: |config| only_health(&mut config.controller_manager.listener),
    },
    Row {
        component: Scheduler,
        at: &[At::Component],
        against: ALL,
        minors: EVERY,
        written: &[flag("--bind-address", "127.0.0.1")],
        apply: |config| config.scheduler.listener.address = LOOPBACK,
    },
    Row {
        component: Scheduler,
        at: &[At::Component],
        against: ALL,
        minors: (0, 22),
        written: &[flag("--port", "0")],
        apply: |config| config.scheduler.insecure = None,
    },
    Row {
        component: Scheduler,
        at: &[At::Component],
        against: ALL,
        minors: EVERY,
        written: &[flag("--authorization-always-allow-paths", "/healthz,/readyz,/livez")],
        apply: |config| only_health(&mut config.scheduler.listener),
    },
    // What a node holds.
    Row {
        component: Proxy,
        at: &[At::Rights],
        against: &[CredentialSafe, AccessControlled],
        minors: EVERY,
        written: &[both("clientConnection.kubeconfig", "--kubeconfig", PROXY_KUBECONFIG)],
        apply: |config| {
            let in_pod = |file: &FileName| file.as_str() == "/var/lib/kube-proxy/kubeconfig.conf";
            if config.proxy.kubeconfig.as_ref().is_none_or(in_pod) {
                config.proxy.kubeconfig = Some(FileName::new(PROXY_KUBECONFIG));
            }
        },
    },
];

/// Did a file say this of the apiserver?
fn said(config: &ClusterConfig, key: &str, value: &str) -> bool {
    let mut settings = config.provenance.settings.iter();
    settings.any(|known| known.component == Apiserver && known.key == key && known.value == value)
}

/// Only the health of a component may be asked by anybody.
fn only_health(listener: &mut ServingListener) {
    const HEALTH: [&str; 3] = ["/healthz", "/readyz", "/livez"];
    if listener.always_allow_paths.iter().any(|path| !HEALTH.contains(&path.as_str())) {
        listener.always_allow_paths = HEALTH.map(str::to_owned).to_vec();
    }
}
