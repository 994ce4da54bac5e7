//! Settings written down as an administrator has them: manifests, units, configuration files.

use super::settings::{Bootstrap, CLUSTER_CA, Certificates, Egress, FrontProxy, Insecure, Settings};
use ravelin_config::SourceFile;

/// The files of a cluster with these settings.
pub fn of(settings: &Settings) -> Vec<SourceFile> {
    let mut files = vec![
        program(settings, "kube-apiserver", &apiserver(settings)),
        manifest(settings, "kube-controller-manager", &controller_manager(settings)),
        manifest(settings, "kube-scheduler", &scheduler(settings)),
        unit("kubelet", &kubelet_flags(settings)),
    ];
    if settings.kubelet_file {
        files.push(SourceFile { name: "kubelet-config.yaml".into(), text: kubelet_file(settings) });
    }
    if settings.authorization_file {
        files.push(SourceFile { name: "authorization.yaml".into(), text: authorization_file(settings) });
    }
    if let Some(anonymous) = settings.anonymous_file {
        files.push(SourceFile { name: "authentication.yaml".into(), text: authentication_file(anonymous) });
    }
    files.extend(egress_files(settings.egress));
    if !settings.proxy_token {
        let text = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n\
                    clientConnection:\n  kubeconfig: /etc/kubernetes/proxy.conf\n";
        files.push(SourceFile { name: "kube-proxy-config.yaml".into(), text: text.into() });
    }
    files
}

fn program(settings: &Settings, name: &str, flags: &[String]) -> SourceFile {
    // A unit names no image, and so no version: there the other files tell it.
    if settings.apiserver_unit { unit(name, flags) } else { manifest(settings, name, flags) }
}

fn unit(name: &str, flags: &[String]) -> SourceFile {
    let flags = flags.join(" \\\n  ");
    let text =
        format!("[Unit]\nDescription={name}\n\n[Service]\nExecStart=/usr/local/bin/{name} \\\n  {flags}\n");
    SourceFile { name: format!("{name}.service"), text }
}

fn manifest(settings: &Settings, name: &str, flags: &[String]) -> SourceFile {
    let flags: String = flags.iter().map(|flag| format!("    - {flag}\n")).collect();
    let image = format!("registry.k8s.io/{name}:v1.{}.1", settings.version);
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: kube-system\nspec:\n  \
         hostNetwork: true\n  containers:\n  - name: {name}\n    image: {image}\n    command:\n    - {name}\n{flags}"
    );
    SourceFile { name: format!("{name}.yaml"), text }
}

fn authorization_file(settings: &Settings) -> String {
    let modes = settings.authorization.unwrap_or_default().split(',');
    let authorizers = modes.map(|mode| format!("- type: {mode}\n  name: {}\n", mode.to_ascii_lowercase()));
    let version = if settings.version >= 32 { "v1" } else { "v1beta1" };
    format!(
        "apiVersion: apiserver.config.k8s.io/{version}\nkind: AuthorizationConfiguration\nauthorizers:\n{}",
        authorizers.collect::<String>()
    )
}

fn authentication_file(anonymous: bool) -> String {
    let head = "apiVersion: apiserver.config.k8s.io/v1beta1\nkind: AuthenticationConfiguration\n";
    let conditions = "  conditions:\n  - path: /livez\n  - path: /readyz\n  - path: /healthz\n";
    format!("{head}anonymous:\n  enabled: {anonymous}\n{}", if anonymous { conditions } else { "" })
}

fn flag(name: &str, value: impl std::fmt::Display) -> String {
    format!("--{name}={value}")
}

fn apiserver(settings: &Settings) -> Vec<String> {
    let mut flags: Vec<String> = [
        "--advertise-address=192.0.2.10",
        "--client-ca-file=/etc/kubernetes/pki/ca.crt",
        "--etcd-servers=https://127.0.0.1:2379",
        "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
        "--secure-port=6443",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        "--service-account-key-file=/etc/kubernetes/pki/sa.pub",
        "--service-account-signing-key-file=/etc/kubernetes/pki/sa.key",
        "--service-cluster-ip-range=10.96.0.0/12",
        "--tls-cert-file=/etc/kubernetes/pki/apiserver.crt",
        "--tls-private-key-file=/etc/kubernetes/pki/apiserver.key",
    ]
    .map(str::to_owned)
    .into();
    flags.extend(access(settings));
    flags.extend(settings.kubelet_ca.map(|ca| flag("kubelet-certificate-authority", ca)));
    if settings.kubelet_cn {
        flags.push(flag("enable-kubelet-cert-cn-validation", true));
        flags.push(flag("feature-gates", "KubeletCertCNValidation=true"));
    }
    if settings.kubelet_client {
        let file = "/etc/kubernetes/pki/apiserver-kubelet-client";
        flags.push(flag("kubelet-client-certificate", format!("{file}.crt")));
        flags.push(flag("kubelet-client-key", format!("{file}.key")));
    }
    match settings.bootstrap {
        Bootstrap::Token => flags.push(flag("enable-bootstrap-token-auth", true)),
        Bootstrap::File => flags.push(flag("token-auth-file", "/etc/kubernetes/known_tokens.csv")),
        Bootstrap::Unknown | Bootstrap::None => {}
    }
    match settings.insecure {
        Insecure::Default => {}
        Insecure::Off if settings.version >= 24 => {}
        Insecure::Off => flags.push(flag("insecure-port", 0)),
        Insecure::Everywhere => {
            flags.extend([flag("insecure-port", 8080), flag("insecure-bind-address", "0.0.0.0")]);
        }
    }
    flags.extend(egress(settings.egress));
    if settings.noise {
        flags.push(flag("event-ttl", "2h0m0s"));
    }
    flags
}

fn egress(egress: Egress) -> Vec<String> {
    let mut flags = Vec::new();
    if egress.is_ssh() {
        flags.extend([flag("ssh-user", "tunnel"), flag("ssh-keyfile", "/srv/sshproxy/key")]);
    }
    if egress == Egress::VerifiedSsh {
        flags.push(flag("ssh-tunnel-config-file", "/etc/kubernetes/ssh-tunnels.yaml"));
    }
    if egress.is_konnectivity() {
        flags.push(flag("egress-selector-config-file", "/etc/kubernetes/egress-selector.yaml"));
    }
    flags
}

/// The files of an egress, as Kubernetes' documentation has Konnectivity's.
fn egress_files(egress: Egress) -> Vec<SourceFile> {
    let file = |name: &str, text: &str| SourceFile { name: name.to_owned(), text: text.to_owned() };
    match egress {
        Egress::Direct | Egress::Ssh => Vec::new(),
        Egress::VerifiedSsh => vec![file(
            "ssh-tunnels.yaml",
            "apiVersion: ravelin.dev/v1alpha1\nkind: SSHTunnelConfiguration\nhostKeys:\n  mode: KnownHosts\n  \
             knownHostsFile: /etc/kubernetes/ssh/known_hosts\n",
        )],
        Egress::Konnectivity => vec![
            file(
                "egress-selector.yaml",
                include_str!("../../samples/konnectivity/egress-selector-configuration.yaml"),
            ),
            file(
                "konnectivity-agent.yaml",
                include_str!("../../samples/konnectivity/konnectivity-agent.yaml"),
            ),
            file("konnectivity-rbac.yaml", include_str!("../../samples/konnectivity/konnectivity-rbac.yaml")),
            file(
                "konnectivity-server.yaml",
                include_str!("../../samples/konnectivity/konnectivity-server.yaml"),
            ),
        ],
        Egress::OpenKonnectivity => vec![
            file(
                "egress-selector.yaml",
                include_str!("../../samples/konnectivity-open/egress-selector-configuration.yaml"),
            ),
            file(
                "konnectivity-agent.yaml",
                include_str!("../../samples/konnectivity-open/konnectivity-agent.yaml"),
            ),
            file(
                "konnectivity-rbac.yaml",
                include_str!("../../samples/konnectivity-open/konnectivity-rbac.yaml"),
            ),
            file(
                "konnectivity-server.yaml",
                include_str!("../../samples/konnectivity-open/konnectivity-server.yaml"),
            ),
        ],
    }
}

/// Who may ask, and for what.
fn access(settings: &Settings) -> Vec<String> {
    let mut flags = Vec::new();
    if settings.authorization_file {
        flags.push(flag("authorization-config", "/etc/kubernetes/authorization.yaml"));
    } else {
        flags.extend(settings.authorization.map(|modes| flag("authorization-mode", modes)));
    }
    flags.extend(settings.anonymous.map(|on| flag("anonymous-auth", on)));
    if settings.anonymous_file.is_some() {
        flags.push(flag("authentication-config", "/etc/kubernetes/authentication.yaml"));
    }
    let plugins = [
        (settings.node_restriction, "NodeRestriction"),
        (settings.external_ips_denied, "DenyServiceExternalIPs"),
    ];
    let plugins: Vec<&str> = plugins.into_iter().filter(|(on, _)| *on).map(|(_, plugin)| plugin).collect();
    if !plugins.is_empty() {
        flags.push(flag("enable-admission-plugins", plugins.join(",")));
    }
    flags.extend(front_proxy(settings.front_proxy));
    if !settings.lookup {
        flags.push(flag("service-account-lookup", false));
    }
    if !settings.extends {
        flags.push(flag("service-account-extend-token-expiration", false));
    }
    if settings.audit {
        flags.push(flag("audit-log-path", "/var/log/kubernetes/audit.log"));
        flags.push(flag("audit-policy-file", "/etc/kubernetes/audit.yaml"));
    }
    flags
}

fn front_proxy(settings: FrontProxy) -> Vec<String> {
    let (ca, name) = match settings {
        FrontProxy::None => return Vec::new(),
        FrontProxy::OwnCa => ("/etc/kubernetes/pki/front-proxy-ca.crt", Some("front-proxy-client")),
        FrontProxy::Named => (CLUSTER_CA, Some("front-proxy-client")),
        FrontProxy::AnyClient => (CLUSTER_CA, None),
    };
    let mut flags = vec![
        flag("requestheader-client-ca-file", ca),
        flag("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
        flag("requestheader-group-headers", "X-Remote-Group"),
        flag("requestheader-username-headers", "X-Remote-User"),
    ];
    flags.extend(name.map(|name| flag("requestheader-allowed-names", name)));
    flags
}

fn controller_manager(settings: &Settings) -> Vec<String> {
    let mut flags: Vec<String> = [
        "--allocate-node-cidrs=true",
        "--authentication-kubeconfig=/etc/kubernetes/controller-manager.conf",
        "--authorization-kubeconfig=/etc/kubernetes/controller-manager.conf",
        "--client-ca-file=/etc/kubernetes/pki/ca.crt",
        "--cluster-cidr=10.244.0.0/16",
        "--kubeconfig=/etc/kubernetes/controller-manager.conf",
        "--root-ca-file=/etc/kubernetes/pki/ca.crt",
        "--service-account-private-key-file=/etc/kubernetes/pki/sa.key",
        "--use-service-account-credentials=true",
    ]
    .map(str::to_owned)
    .into();
    flags.push(bind(settings));
    if settings.serving_signer.is_none() && settings.client_signer.is_none() {
        flags.extend(signer("cluster-signing", settings.signer));
        return flags;
    }
    // Beside one signer for all, those of single kinds are not accepted: each kind has its own.
    flags.extend(signer("cluster-signing-kubelet-serving", settings.serving_signer.or(settings.signer)));
    flags.extend(signer("cluster-signing-kubelet-client", settings.client_signer.or(settings.signer)));
    flags
}

fn signer(name: &str, ca: Option<&str>) -> Vec<String> {
    let Some(ca) = ca else { return Vec::new() };
    vec![
        flag(&format!("{name}-cert-file"), ca),
        flag(&format!("{name}-key-file"), ca.replace(".crt", ".key")),
    ]
}

fn scheduler(settings: &Settings) -> Vec<String> {
    let file = "/etc/kubernetes/scheduler.conf";
    let names = ["authentication-kubeconfig", "authorization-kubeconfig", "kubeconfig"];
    names.map(|name| flag(name, file)).into_iter().chain([bind(settings)]).collect()
}

fn bind(settings: &Settings) -> String {
    flag("bind-address", if settings.components_everywhere { "0.0.0.0" } else { "127.0.0.1" })
}

fn kubelet_flags(settings: &Settings) -> Vec<String> {
    let mut flags = vec![flag("kubeconfig", "/etc/kubernetes/kubelet.conf")];
    if settings.bootstrap != Bootstrap::None {
        // kubeadm removes its own once the node has joined.
        let folder = if settings.bootstrap_stays { "/var/lib/kubelet" } else { "/etc/kubernetes" };
        flags.push(flag("bootstrap-kubeconfig", format!("{folder}/bootstrap-kubelet.conf")));
    }
    if settings.kubelet_file {
        flags.push(flag("config", "/var/lib/kubelet/config.yaml"));
        return flags;
    }
    flags.extend(settings.kubelet_anonymous.map(|on| flag("anonymous-auth", on)));
    flags.extend(settings.kubelet_webhook.map(|on| flag("authentication-token-webhook", on)));
    flags.extend(settings.kubelet_authorizes.map(|asks| flag("authorization-mode", mode(asks))));
    flags.extend(settings.kubelet_client_ca.map(|ca| flag("client-ca-file", ca)));
    flags.extend(settings.read_only.map(|port| flag("read-only-port", port)));
    match settings.serving {
        Certificates::SelfSigned => {}
        Certificates::Files => {
            flags.push(flag("tls-cert-file", "/var/lib/kubelet/pki/serving.crt"));
            flags.push(flag("tls-private-key-file", "/var/lib/kubelet/pki/serving.key"));
        }
        Certificates::Bootstrap => flags.push(flag("rotate-server-certificates", true)),
    }
    flags.extend(settings.rotates.map(|on| flag("rotate-certificates", on)));
    if !settings.kubelet_listens {
        flags.push(flag("enable-server", false));
    }
    if !settings.kubelet_debugging {
        flags.push(flag("enable-debugging-handlers", false));
    }
    if settings.noise {
        flags.push(flag("max-pods", 200));
    }
    flags
}

fn mode(asks: bool) -> &'static str {
    if asks { "Webhook" } else { "AlwaysAllow" }
}

fn kubelet_file(settings: &Settings) -> String {
    let mut text = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n".to_owned();
    let mut authentication = String::new();
    if let Some(on) = settings.kubelet_anonymous {
        authentication += &format!("  anonymous:\n    enabled: {on}\n");
    }
    if let Some(on) = settings.kubelet_webhook {
        authentication += &format!("  webhook:\n    enabled: {on}\n");
    }
    if let Some(ca) = settings.kubelet_client_ca {
        authentication += &format!("  x509:\n    clientCAFile: {ca}\n");
    }
    if !authentication.is_empty() {
        text += &format!("authentication:\n{authentication}");
    }
    if let Some(asks) = settings.kubelet_authorizes {
        text += &format!("authorization:\n  mode: {}\n", mode(asks));
    }
    if let Some(port) = settings.read_only {
        text += &format!("readOnlyPort: {port}\n");
    }
    if let Some(on) = settings.rotates {
        text += &format!("rotateCertificates: {on}\n");
    }
    text += match settings.serving {
        Certificates::SelfSigned => "",
        Certificates::Files => {
            "tlsCertFile: /var/lib/kubelet/pki/serving.crt\ntlsPrivateKeyFile: /var/lib/kubelet/pki/serving.key\n"
        }
        Certificates::Bootstrap => "serverTLSBootstrap: true\n",
    };
    for (off, key) in
        [(settings.kubelet_listens, "enableServer"), (settings.kubelet_debugging, "enableDebuggingHandlers")]
    {
        if !off {
            text += &format!("{key}: false\n");
        }
    }
    if settings.noise {
        text += "maxPods: 200\n";
    }
    text
}
