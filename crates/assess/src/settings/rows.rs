//! The table itself.

use super::apply::{LOOPBACK, enable, only_health, said};
use super::{At, Row, Written, client_ca, kubelet_ca, kubelet_has_file};
use crate::model::Property::{self, AccessControlled, CredentialSafe, RequestAuthentic, ResponseSecret};
use ravelin_config::Component::{Apiserver, ControllerManager, Kubelet, Proxy, Scheduler};
use ravelin_config::{AuthorizationMode, FileName, FilePair, KubeletAuthorization, KubeletServing};

/// Everything: who is at the other end, and who may change where connections go.
const ALL: &[Property] = &Property::ALL;
/// What a server keeps from strangers.
const BY_SERVER: &[Property] = &[ResponseSecret, RequestAuthentic, CredentialSafe, AccessControlled];

const EVERY: (u32, u32) = (0, u32::MAX);

/// Where the proxies of a node keep a credential of their own.
const PROXY_KUBECONFIG: &str = "/etc/kubernetes/kube-proxy.conf";

/// kubeadm's CA of front proxies.
const FRONT_PROXY_CA: &str = "/etc/kubernetes/pki/front-proxy-ca.crt";

/// Where an apiserver without an `AuthenticationConfiguration` gets one.
pub(super) const AUTHENTICATION_FILE: &str = "/etc/kubernetes/authentication.yaml";

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
        written: &[both("authorizers", "--authorization-mode", "Node,RBAC")],
        apply: |config| {
            let modes = &config.apiserver.authorization_modes;
            if *modes == [AuthorizationMode::Node, AuthorizationMode::Rbac] {
                return;
            }
            // Without AlwaysAllow, anonymous requests are what the flag says of them.
            let off = said(config, "--anonymous-auth", "false") || said(config, "anonymous.enabled", "false");
            let anonymous = modes.contains(&AuthorizationMode::AlwaysAllow) && !off;
            config.apiserver.anonymous_auth |= anonymous;
            config.apiserver.authorization_modes = vec![AuthorizationMode::Node, AuthorizationMode::Rbac];
        },
    },
    Row {
        component: Apiserver,
        at: &[At::Apiserver],
        against: BY_SERVER,
        minors: EVERY,
        written: &[both("anonymous.enabled", "--anonymous-auth", "false")],
        apply: |config| {
            // Its conditions are refused beside that.
            config.apiserver.anonymous_auth = false;
            config.apiserver.anonymous_paths.clear();
        },
    },
    Row {
        component: Apiserver,
        at: &[At::Apiserver],
        against: BY_SERVER,
        minors: (32, u32::MAX),
        written: &[
            flag("--authentication-config", AUTHENTICATION_FILE),
            both("anonymous.conditions", "anonymous.conditions", "/livez,/readyz"),
        ],
        apply: |config| {
            // The flag and the file's `anonymous` exclude each other.
            let by_flag =
                said(config, "--anonymous-auth", "true") || said(config, "--anonymous-auth", "false");
            let apiserver = &mut config.apiserver;
            if !by_flag && apiserver.anonymous_auth && apiserver.anonymous_paths.is_empty() {
                apiserver.anonymous_paths = ["/livez", "/readyz"].map(str::to_owned).to_vec();
            }
        },
    },
    // How long tokens are good.
    Row {
        component: Apiserver,
        at: &[At::Apiserver, At::Rights],
        against: &[RequestAuthentic, CredentialSafe, AccessControlled],
        minors: EVERY,
        written: &[flag("--service-account-lookup", "true")],
        apply: |config| config.apiserver.service_accounts.lookup = true,
    },
    Row {
        component: Apiserver,
        at: &[At::Apiserver, At::Rights],
        against: &[RequestAuthentic, CredentialSafe, AccessControlled],
        minors: (20, u32::MAX),
        written: &[flag("--service-account-extend-token-expiration", "false")],
        apply: |config| config.apiserver.service_accounts.extend_token_expiration = false,
    },
    Row {
        component: Apiserver,
        at: &[At::Apiserver, At::Rights],
        against: ALL,
        minors: (8, u32::MAX),
        written: &[flag("--enable-admission-plugins", "{before},NodeRestriction")],
        apply: |config| {
            enable(&mut config.apiserver.admission, "NodeRestriction");
        },
    },
    Row {
        component: Apiserver,
        at: &[At::Apiserver, At::Rights],
        against: ALL,
        minors: (21, u32::MAX),
        written: &[flag("--enable-admission-plugins", "{before},DenyServiceExternalIPs")],
        apply: |config| enable(&mut config.apiserver.admission, "DenyServiceExternalIPs"),
    },
    // Who may speak for others.
    Row {
        component: Apiserver,
        at: &[At::Apiserver, At::Rights],
        against: ALL,
        minors: EVERY,
        written: &[flag("--requestheader-client-ca-file", FRONT_PROXY_CA)],
        apply: |config| {
            let clients = config.apiserver.client_ca_file.clone();
            if let Some(proxy) = &mut config.apiserver.request_header
                && Some(&proxy.client_ca_file) == clients.as_ref()
            {
                proxy.client_ca_file = FileName::new(FRONT_PROXY_CA);
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
