//! Kubernetes' own defaults: one function a component, each value with the place where Kubernetes sets it.

use crate::model::KubernetesVersion;

/// A flag, its default as the flag's text, and where Kubernetes sets it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub flag: &'static str,
    pub text: &'static str,
    pub source: &'static str,
}

const fn row(flag: &'static str, text: &'static str, source: &'static str) -> Row {
    Row { flag, text, source }
}

/// kube-apiserver without flags.
pub(crate) fn apiserver(version: KubernetesVersion) -> Vec<Row> {
    const SERVING: &str =
        "pkg/kubeapiserver/options/serving.go, staging/src/k8s.io/apiserver/pkg/server/options/serving.go";
    const AUTHENTICATION: &str = "pkg/kubeapiserver/options/authentication.go";
    const OPTIONS: &str = "cmd/kube-apiserver/app/options/options.go";
    let minor = version.minor_number();
    let mut rows = vec![
        row("bind-address", "0.0.0.0", SERVING),
        row("secure-port", "6443", SERVING),
        row("tls-min-version", "VersionTLS12", "staging/src/k8s.io/apiserver/pkg/server/secure_serving.go"),
        row("anonymous-auth", "true", AUTHENTICATION),
        row("enable-bootstrap-token-auth", "false", AUTHENTICATION),
        row("service-account-lookup", "true", AUTHENTICATION),
        row(
            "service-account-extend-token-expiration",
            if minor >= 20 { "true" } else { "false" },
            AUTHENTICATION,
        ),
        row("authorization-mode", "AlwaysAllow", "pkg/kubeapiserver/options/authorization.go"),
        row(
            "kubelet-preferred-address-types",
            "Hostname,InternalDNS,InternalIP,ExternalDNS,ExternalIP",
            OPTIONS,
        ),
        row("kubelet-port", "10250", OPTIONS),
        row("kubelet-read-only-port", "10255", OPTIONS),
        row("service-cluster-ip-range", "10.0.0.0/24", "pkg/kubeapiserver/options/options.go"),
        row("service-node-port-range", "30000-32767", "pkg/kubeapiserver/options/options.go"),
        row("apiserver-count", "1", OPTIONS),
        row("profiling", "true", "staging/src/k8s.io/apiserver/pkg/server/options/feature.go"),
    ];
    if minor >= 37 {
        rows.push(row("enable-kubelet-cert-cn-validation", "false", "KEP-4872"));
    }
    if minor < 19 {
        rows.push(row("kubelet-https", "true", OPTIONS));
    }
    if minor < 20 {
        // From 1.20 on the flags exist without effect, from 1.24 on they do not exist.
        const INSECURE: &str = "pkg/kubeapiserver/options/serving.go (NewInsecureServingOptions)";
        rows.push(row("insecure-port", "8080", INSECURE));
        rows.push(row("insecure-bind-address", "127.0.0.1", INSECURE));
    }
    rows
}

/// The admission plugins that run unless they are switched off (pkg/kubeapiserver/options/plugins.go,
/// `DefaultOffAdmissionPlugins` of each release). Until 1.9 nothing but `AlwaysAdmit` did.
pub(crate) fn admission(version: KubernetesVersion) -> Vec<&'static str> {
    const SINCE: &[(&str, u32)] = &[
        ("NamespaceLifecycle", 10),
        ("LimitRanger", 10),
        ("ServiceAccount", 10),
        ("DefaultStorageClass", 10),
        ("DefaultTolerationSeconds", 10),
        ("MutatingAdmissionWebhook", 10),
        ("ValidatingAdmissionWebhook", 10),
        ("ResourceQuota", 10),
        ("PersistentVolumeClaimResize", 11),
        ("Priority", 11),
        ("StorageObjectInUseProtection", 11),
        ("TaintNodesByCondition", 12),
        ("RuntimeClass", 16),
        ("CertificateApproval", 18),
        ("CertificateSigning", 18),
        ("CertificateSubjectRestriction", 18),
        ("DefaultIngressClass", 18),
        ("PodSecurity", 22),
        ("ValidatingAdmissionPolicy", 26),
        ("ClusterTrustBundleAttest", 27),
        ("PodTopologyLabels", 33),
        ("MutatingAdmissionPolicy", 34),
        ("NodeDeclaredFeatureValidator", 35),
    ];
    if version.minor_number() < 10 {
        return vec!["AlwaysAdmit"];
    }
    SINCE.iter().filter(|(_, since)| version.minor_number() >= *since).map(|(name, _)| *name).collect()
}

/// Every admission plugin of 1.8 to 1.36, for the flags that name them.
pub(crate) const ADMISSION_PLUGINS: &[&str] = &[
    "AlwaysAdmit",
    "AlwaysDeny",
    "AlwaysPullImages",
    "CertificateApproval",
    "CertificateSigning",
    "CertificateSubjectRestriction",
    "ClusterTrustBundleAttest",
    "DefaultIngressClass",
    "DefaultStorageClass",
    "DefaultTolerationSeconds",
    "DenyEscalatingExec",
    "DenyExecOnPrivileged",
    "DenyServiceExternalIPs",
    "EventRateLimit",
    "ExtendedResourceToleration",
    "GenericAdmissionWebhook",
    "ImagePolicyWebhook",
    "InitialResources",
    "Initializers",
    "LimitPodHardAntiAffinityTopology",
    "LimitRanger",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionWebhook",
    "NamespaceAutoProvision",
    "NamespaceExists",
    "NamespaceLifecycle",
    "NodeDeclaredFeatureValidator",
    "NodeRestriction",
    "OwnerReferencesPermissionEnforcement",
    "PersistentVolumeClaimResize",
    "PersistentVolumeLabel",
    "PodNodeSelector",
    "PodPreset",
    "PodSecurity",
    "PodSecurityPolicy",
    "PodTolerationRestriction",
    "PodTopologyLabels",
    "Priority",
    "ResourceQuota",
    "RuntimeClass",
    "SecurityContextDeny",
    "ServiceAccount",
    "StorageObjectInUseProtection",
    "TaintNodesByCondition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
];

const KUBELET: &str = "pkg/kubelet/apis/config/v1beta1/defaults.go";

fn kubelet() -> Vec<Row> {
    vec![
        row("address", "0.0.0.0", KUBELET),
        row("port", "10250", KUBELET),
        row("enable-server", "true", KUBELET),
        row("enable-debugging-handlers", "true", KUBELET),
        row("tls-min-version", "VersionTLS12", "cmd/kubelet/app/server.go (InitializeTLS)"),
        row("rotate-certificates", "false", KUBELET),
        row("rotate-server-certificates", "false", KUBELET),
        row("node-lease-duration-seconds", "40", KUBELET),
        row("node-status-update-frequency", "10s", KUBELET),
        row("register-node", "true", KUBELET),
        row("authentication-token-webhook-cache-ttl", "2m", KUBELET),
        row("authorization-webhook-cache-authorized-ttl", "5m", KUBELET),
        row("authorization-webhook-cache-unauthorized-ttl", "30s", KUBELET),
    ]
}

/// A kubelet that was given a configuration file.
pub(crate) fn kubelet_with_file() -> Vec<Row> {
    let mut rows = kubelet();
    rows.extend([
        row("anonymous-auth", "false", KUBELET),
        row("authentication-token-webhook", "true", KUBELET),
        row("authorization-mode", "Webhook", KUBELET),
        row("read-only-port", "0", KUBELET),
    ]);
    rows
}

/// A kubelet that was given flags alone.
pub(crate) fn kubelet_with_flags_alone() -> Vec<Row> {
    const LEGACY: &str = "cmd/kubelet/app/options/options.go (applyLegacyDefaults)";
    let mut rows = kubelet();
    rows.extend([
        row("anonymous-auth", "true", LEGACY),
        row("authentication-token-webhook", "false", LEGACY),
        row("authorization-mode", "AlwaysAllow", LEGACY),
        row("read-only-port", "10255", LEGACY),
    ]);
    rows
}

/// kube-controller-manager without flags.
pub(crate) fn controller_manager(version: KubernetesVersion) -> Vec<Row> {
    const OPTIONS: &str = "cmd/kube-controller-manager/app/options/options.go";
    const CONFIG: &str = "pkg/controller/apis/config/v1alpha1/defaults.go";
    const LIFECYCLE: &str = "pkg/controller/nodelifecycle/config/v1alpha1/defaults.go";
    const SIGNER: &str = "pkg/controller/certificates/signer/config/v1alpha1/defaults.go";
    let mut rows = second_server(version, ("10257", "10252", 20), OPTIONS);
    rows.extend([
        row("cluster-signing-duration", "8760h", SIGNER),
        row("node-monitor-period", "5s", LIFECYCLE),
        row("node-monitor-grace-period", if version.minor_number() >= 32 { "50s" } else { "40s" }, LIFECYCLE),
        row("allocate-node-cidrs", "false", CONFIG),
        row("controllers", "*", CONFIG),
    ]);
    if version.minor_number() < 20 {
        // cmd/kube-controller-manager names these files itself until then.
        rows.push(row("cluster-signing-cert-file", "/etc/kubernetes/ca/ca.pem", SIGNER));
        rows.push(row("cluster-signing-key-file", "/etc/kubernetes/ca/ca.key", SIGNER));
    }
    rows
}

/// kube-scheduler without flags.
pub(crate) fn scheduler(version: KubernetesVersion) -> Vec<Row> {
    second_server(version, ("10259", "10251", 23), "cmd/kube-scheduler/app/options/options.go")
}

/// `ports`: of HTTPS, of plain HTTP, and the first version without plain HTTP.
fn second_server(
    version: KubernetesVersion,
    ports: (&'static str, &'static str, u32),
    source: &'static str,
) -> Vec<Row> {
    let minor = version.minor_number();
    let mut rows = vec![
        row("bind-address", "0.0.0.0", source),
        row("secure-port", if minor >= 12 { ports.0 } else { "0" }, source),
        row(
            "authorization-always-allow-paths",
            if minor >= 21 { "/healthz,/readyz,/livez" } else { "/healthz" },
            source,
        ),
        row("profiling", "true", source),
    ];
    if minor < ports.2 {
        rows.push(row("address", "0.0.0.0", source));
        rows.push(row("port", ports.1, source));
    }
    rows
}

/// kube-proxy without flags or file.
pub(crate) fn proxy() -> Vec<Row> {
    const SOURCE: &str = "pkg/proxy/apis/config/v1alpha1/defaults.go";
    vec![
        row("metrics-bind-address", "127.0.0.1:10249", SOURCE),
        row("healthz-bind-address", "0.0.0.0:10256", SOURCE),
    ]
}

/// konnectivity-server without flags.
pub(crate) fn konnectivity_server() -> Vec<Row> {
    const SOURCE: &str = "apiserver-network-proxy, cmd/server/app/options/options.go (NewProxyRunOptions)";
    [
        ("mode", "grpc"),
        ("server-port", "8090"),
        ("agent-port", "8091"),
        ("health-port", "8092"),
        ("admin-port", "8095"),
        ("admin-bind-address", "127.0.0.1"),
        ("keepalive-time", "1h"),
        ("frontend-keepalive-time", "1h"),
        ("server-count", "1"),
        ("proxy-strategies", "default"),
        ("enable-lease-controller", "false"),
        ("backend-dial-timeout", "0"),
    ]
    .map(|(flag, text)| row(flag, text, SOURCE))
    .to_vec()
}

/// konnectivity-agent without flags.
pub(crate) fn konnectivity_agent() -> Vec<Row> {
    const SOURCE: &str =
        "apiserver-network-proxy, cmd/agent/app/options/options.go (NewGrpcProxyAgentOptions)";
    [
        ("proxy-server-host", "127.0.0.1"),
        ("proxy-server-port", "8091"),
        ("health-server-port", "8093"),
        ("admin-bind-address", "127.0.0.1"),
        ("admin-server-port", "8094"),
        ("sync-interval", "1s"),
        ("probe-interval", "1s"),
        ("sync-interval-cap", "10s"),
        ("keepalive-time", "1h"),
        ("sync-forever", "false"),
        ("count-server-leases", "false"),
    ]
    .map(|(flag, text)| row(flag, text, SOURCE))
    .to_vec()
}
