//! kubeadm's own files: what they say about the components, and what kubeadm writes from them.

mod keys;

use crate::catalogue::{self, Kind};
use crate::datum;
use crate::gathered::{Gathered, Origin, Place, VersionSaid};
use crate::invocation::{self, Invocation};
use crate::model::{Component, KubernetesVersion, ParseVersionError};
use crate::yaml::{Node, Value};

/// A text and its place.
pub(crate) type Said = (String, Place);

/// What kubeadm's files say that no flag does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kubeadm {
    pub seen: Option<Place>,
    pub pod_subnet: Option<Said>,
    pub service_subnet: Option<Said>,
    pub dns_domain: Option<Said>,
    pub endpoint: Option<Said>,
    pub cert_sans: Vec<String>,
    pub certificates_dir: Option<Said>,
    pub advertise_address: Option<Said>,
    pub bind_port: Option<Said>,
    /// A `KubeletConfiguration` in the same file as a document of kubeadm's: kubeadm fills it up.
    pub kubelet_file: Option<Place>,
    /// Arguments that the files add to what kubeadm writes.
    pub extra: Vec<Invocation>,
}

/// Reads one of kubeadm's documents.
pub(crate) fn read(document: &Node, kind: (&str, &str), file: &str, gathered: &mut Gathered) {
    let (kind, api) = kind;
    let place = Place::new(file, document.line);
    if !matches!(
        api,
        "kubeadm.k8s.io/v1beta4"
            | "kubeadm.k8s.io/v1beta3"
            | "kubeadm.k8s.io/v1beta2"
            | "kubeadm.k8s.io/v1beta1"
    ) {
        let accepted = "kubeadm.k8s.io/v1beta1 to kubeadm.k8s.io/v1beta4";
        return gathered.fail(&place, "apiVersion", format!("{api:?} is not known"), accepted);
    }
    match kind {
        "ClusterConfiguration" => {
            keys::check(document, keys::CLUSTER, (kind, file), gathered);
            cluster(document, file, gathered);
        }
        "InitConfiguration" => {
            keys::check(document, keys::INIT, (kind, file), gathered);
            node(document, &["localAPIEndpoint"], file, gathered);
        }
        "JoinConfiguration" => {
            keys::check(document, keys::JOIN, (kind, file), gathered);
            node(document, &["controlPlane", "localAPIEndpoint"], file, gathered);
        }
        // Until 1.21 it listed the apiservers.
        "ClusterStatus" => {
            let endpoints = document.at(&["apiEndpoints"]).map(Node::entries).unwrap_or_default();
            gathered.apiservers = gathered.apiservers.max(u32::try_from(endpoints.len()).unwrap_or(1));
            gathered.without_effect(Component::Cluster, &format!("kind: {kind}"), &place);
        }
        "ResetConfiguration" | "UpgradeConfiguration" => {
            gathered.without_effect(Component::Cluster, &format!("kind: {kind}"), &place);
        }
        _ => gathered.fail(
            &place,
            "kind",
            format!("{kind:?} is no kind of kubeadm"),
            "ClusterConfiguration, InitConfiguration, JoinConfiguration",
        ),
    }
}

fn cluster(document: &Node, file: &str, gathered: &mut Gathered) {
    let place = Place::new(file, document.line);
    if let Some(before) = gathered.kubeadm.seen.replace(place.clone()) {
        gathered.fail(
            &place,
            "kind",
            format!("a second ClusterConfiguration; the first is {before}"),
            "one for the cluster",
        );
    }
    let text = |path: &[&str]| said(document, path, file);
    let pods = text(&["networking", "podSubnet"]);
    gathered.kubeadm.pod_subnet = checked(pods, Kind::Nets, "networking.podSubnet", gathered);
    let services = text(&["networking", "serviceSubnet"]);
    gathered.kubeadm.service_subnet = checked(services, Kind::Nets, "networking.serviceSubnet", gathered);
    gathered.kubeadm.dns_domain = text(&["networking", "dnsDomain"]);
    gathered.kubeadm.endpoint = text(&["controlPlaneEndpoint"]);
    gathered.kubeadm.certificates_dir = text(&["certificatesDir"]);
    let sans = document.at(&["apiServer", "certSANs"]).map(Node::elements).unwrap_or_default();
    gathered.kubeadm.cert_sans = sans.iter().filter_map(Node::written).collect();
    if let Some((version, place)) = text(&["kubernetesVersion"]) {
        self::version(&version, place, gathered);
    }
    for (key, component) in [
        ("apiServer", Component::Apiserver),
        ("controllerManager", Component::ControllerManager),
        ("scheduler", Component::Scheduler),
    ] {
        if let Some(arguments) = document.at(&[key, "extraArgs"]) {
            extra(arguments, component, (file, &format!("{key}.extraArgs")), gathered);
        }
    }
}

fn node(document: &Node, endpoint: &[&str], file: &str, gathered: &mut Gathered) {
    if let Some(endpoint) = document.at(endpoint) {
        let address = said(endpoint, &["advertiseAddress"], file);
        gathered.kubeadm.advertise_address =
            checked(address, Kind::Ip, "localAPIEndpoint.advertiseAddress", gathered);
        let port = said(endpoint, &["bindPort"], file);
        gathered.kubeadm.bind_port = checked(port, Kind::Port, "localAPIEndpoint.bindPort", gathered);
    }
    if let Some(arguments) = document.at(&["nodeRegistration", "kubeletExtraArgs"]) {
        extra(arguments, Component::Kubelet, (file, "nodeRegistration.kubeletExtraArgs"), gathered);
    }
}

/// A value of the right shape, or a mistake.
fn checked(said: Option<Said>, kind: Kind, key: &str, gathered: &mut Gathered) -> Option<Said> {
    let (text, place) = said?;
    match datum::parse(kind, &text) {
        Ok(_) => Some((text, place)),
        Err(misfit) => {
            gathered.fail(&place, key, misfit.problem, misfit.accepted);
            None
        }
    }
}

fn said(document: &Node, path: &[&str], file: &str) -> Option<Said> {
    let node = document.at(path)?;
    node.written().filter(|text| !text.is_empty()).map(|text| (text, Place::new(file, node.line)))
}

fn version(text: &str, place: Place, gathered: &mut Gathered) {
    let key = "kubernetesVersion";
    match KubernetesVersion::parse(text) {
        Ok(version) => {
            gathered.versions.push(VersionSaid {
                version,
                component: Component::Cluster,
                key: key.into(),
                place,
            });
        }
        // Labels such as `stable-1` name whatever was newest at the time: the flags decide.
        Err(ParseVersionError::Shape) if text.starts_with("stable") || text.starts_with("latest") => {}
        Err(error) => {
            let accepted = format!("v{} to v{}", crate::OLDEST, crate::NEWEST);
            gathered.fail(&place, key, format!("{text:?} {error}"), accepted);
        }
    }
}

/// `extraArgs`: a mapping until v1beta3, a list of `{name, value}` from v1beta4 on.
fn extra(arguments: &Node, component: Component, at: (&str, &str), gathered: &mut Gathered) {
    let (file, key) = at;
    let mut words = Vec::new();
    let mut add =
        |name: Option<&str>, value: Option<String>, line: usize, gathered: &mut Gathered| match (name, value)
        {
            (Some(name), Some(value)) => words.push((format!("--{name}={value}"), line)),
            _ => gathered.fail(
                &Place::new(file, line),
                key,
                "has an argument without name or value",
                "name and value, both strings",
            ),
        };
    match &arguments.value {
        Value::Map(entries) => {
            for entry in entries {
                add(Some(&entry.key), entry.node.written(), entry.line, gathered);
            }
        }
        Value::List(nodes) => {
            for node in nodes {
                let value = node.at(&["value"]).and_then(Node::written);
                add(node.text_at(&["name"]), value, node.line, gathered);
            }
        }
        Value::Null => return,
        _ => {
            return gathered.fail(
                &Place::new(file, arguments.line),
                key,
                format!("is {}", arguments.what()),
                "a list of name and value",
            );
        }
    }
    let place = Place::new(file, arguments.line);
    gathered.kubeadm.extra.push(Invocation {
        component,
        arguments: words,
        place,
        origin: Origin::Extra,
        replaces: false,
    });
}

/// Reads the extra arguments. Where the component's own manifest is there too, both must say the same.
pub(crate) fn read_extra(gathered: &mut Gathered) {
    for argument in std::mem::take(&mut gathered.kubeadm.extra) {
        let component = argument.component;
        let own = gathered.started.contains_key(&component);
        let before = gathered.given.len();
        invocation::read(&argument, gathered);
        if !own {
            continue;
        }
        let extra = gathered.given.split_off(before);
        for said in extra {
            let manifest = gathered
                .given
                .iter()
                .rfind(|g| {
                    g.component == component && g.known.name == said.known.name && g.origin == Origin::Flag
                })
                .map(|g| (g.datum.clone(), g.text.clone(), g.place.clone()));
            match manifest {
                Some((datum, _, _)) if datum == said.datum => {}
                Some((_, text, place)) => gathered.fail(
                    &said.place,
                    &said.key,
                    format!("{:?} here, but {text:?} in {place}", said.text),
                    "the same in both files",
                ),
                None => {
                    let place = gathered.started[&component].clone();
                    gathered.fail(
                        &said.place,
                        &said.key,
                        format!("is not in {place}, which kubeadm wrote"),
                        "the same in both files",
                    );
                }
            }
        }
    }
}

/// The flags that kubeadm writes for a control-plane component (cmd/kubeadm/app/phases/controlplane/manifests.go).
pub(crate) fn written_flags(component: Component, gathered: &Gathered) -> Vec<(&'static str, String)> {
    let kubeadm = &gathered.kubeadm;
    let or = |said: &Option<Said>, default: &str| {
        said.as_ref().map_or_else(|| default.to_owned(), |(text, _)| text.clone())
    };
    let pki = or(&kubeadm.certificates_dir, "/etc/kubernetes/pki");
    let file = |name: &str| format!("{pki}/{name}");
    let services = or(&kubeadm.service_subnet, "10.96.0.0/12");
    let domain = or(&kubeadm.dns_domain, "cluster.local");
    match component {
        Component::Apiserver => {
            let mut flags = vec![
                ("authorization-mode", "Node,RBAC".to_owned()),
                ("client-ca-file", file("ca.crt")),
                ("enable-admission-plugins", "NodeRestriction".to_owned()),
                ("enable-bootstrap-token-auth", "true".to_owned()),
                ("kubelet-client-certificate", file("apiserver-kubelet-client.crt")),
                ("kubelet-client-key", file("apiserver-kubelet-client.key")),
                ("kubelet-preferred-address-types", "InternalIP,ExternalIP,Hostname".to_owned()),
                ("proxy-client-cert-file", file("front-proxy-client.crt")),
                ("proxy-client-key-file", file("front-proxy-client.key")),
                ("requestheader-allowed-names", "front-proxy-client".to_owned()),
                ("requestheader-client-ca-file", file("front-proxy-ca.crt")),
                ("requestheader-extra-headers-prefix", "X-Remote-Extra-".to_owned()),
                ("requestheader-group-headers", "X-Remote-Group".to_owned()),
                ("requestheader-username-headers", "X-Remote-User".to_owned()),
                ("secure-port", or(&kubeadm.bind_port, "6443")),
                ("service-account-issuer", format!("https://kubernetes.default.svc.{domain}")),
                ("service-account-key-file", file("sa.pub")),
                ("service-account-signing-key-file", file("sa.key")),
                ("service-cluster-ip-range", services),
                ("tls-cert-file", file("apiserver.crt")),
                ("tls-private-key-file", file("apiserver.key")),
            ];
            flags.extend(
                kubeadm.advertise_address.as_ref().map(|(text, _)| ("advertise-address", text.clone())),
            );
            flags
        }
        Component::ControllerManager => vec![
            ("allocate-node-cidrs", "true".to_owned()),
            ("authentication-kubeconfig", "/etc/kubernetes/controller-manager.conf".to_owned()),
            ("authorization-kubeconfig", "/etc/kubernetes/controller-manager.conf".to_owned()),
            // Until the plain listener went, kubeadm bound it like this.
            ("address", "127.0.0.1".to_owned()),
            ("bind-address", "127.0.0.1".to_owned()),
            ("client-ca-file", file("ca.crt")),
            ("cluster-cidr", or(&kubeadm.pod_subnet, "10.244.0.0/16")),
            ("cluster-signing-cert-file", file("ca.crt")),
            ("cluster-signing-key-file", file("ca.key")),
            ("controllers", "*,bootstrapsigner,tokencleaner".to_owned()),
            ("kubeconfig", "/etc/kubernetes/controller-manager.conf".to_owned()),
            ("root-ca-file", file("ca.crt")),
            ("service-account-private-key-file", file("sa.key")),
            ("service-cluster-ip-range", services),
            ("use-service-account-credentials", "true".to_owned()),
        ],
        Component::Scheduler => vec![
            ("authentication-kubeconfig", "/etc/kubernetes/scheduler.conf".to_owned()),
            ("authorization-kubeconfig", "/etc/kubernetes/scheduler.conf".to_owned()),
            // Until the plain listener went, kubeadm bound it like this.
            ("address", "127.0.0.1".to_owned()),
            ("bind-address", "127.0.0.1".to_owned()),
            ("kubeconfig", "/etc/kubernetes/scheduler.conf".to_owned()),
        ],
        _ => Vec::new(),
    }
}

/// The keys of the kubelet's file that kubeadm writes (cmd/kubeadm/app/componentconfigs/kubelet.go), by their flags.
pub(crate) fn written_kubelet_file(gathered: &Gathered, client_ca: &str) -> Vec<(&'static str, String)> {
    let domain = gathered.kubeadm.dns_domain.as_ref().map_or("cluster.local", |(text, _)| text).to_owned();
    let services = gathered.kubeadm.service_subnet.as_ref().map_or("10.96.0.0/12", |(text, _)| text);
    let dns = services
        .parse::<ipnet::IpNet>()
        .ok()
        .and_then(|net| net.hosts().nth(9))
        .map_or_else(String::new, |ip| ip.to_string());
    vec![
        ("anonymous-auth", "false".to_owned()),
        ("authentication-token-webhook", "true".to_owned()),
        ("client-ca-file", client_ca.to_owned()),
        ("authorization-mode", "Webhook".to_owned()),
        ("cluster-dns", dns),
        ("cluster-domain", domain),
        ("pod-manifest-path", "/etc/kubernetes/manifests".to_owned()),
        ("rotate-certificates", "true".to_owned()),
    ]
}

/// The flags of the unit that kubeadm ships for the kubelet (cmd/krel/templates/latest/kubeadm/10-kubeadm.conf).
pub(crate) const WRITTEN_KUBELET_FLAGS: &[(&str, &str)] = &[
    ("bootstrap-kubeconfig", "/etc/kubernetes/bootstrap-kubelet.conf"),
    ("kubeconfig", "/etc/kubernetes/kubelet.conf"),
    ("config", "/var/lib/kubelet/config.yaml"),
];

/// Files what kubeadm would have written, for a component or a file that is not in the input.
pub(crate) fn assume(component: Component, flags: Vec<(&'static str, String)>, gathered: &mut Gathered) {
    for (name, text) in flags {
        let Some(known) = catalogue::flag(component, name) else { continue };
        gathered.take(component, known, Origin::Assumed, (format!("--{name}"), text, Place::new("", 0)));
    }
}
