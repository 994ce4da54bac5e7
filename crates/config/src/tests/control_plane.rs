//! The files and flags of identities, authorization, service accounts and the nodes' life: a row for each key.

use super::{file, kubeadm_default, lines, read};
use crate::*;

/// A command line with what every version from 1.20 on requires.
fn apiserver(more: &str) -> SourceFile {
    let line = "kube-apiserver --service-account-issuer=https://i --service-account-signing-key-file=/k/sa.key --service-account-key-file=/k/sa.pub --authorization-mode=Node,RBAC";
    file("api", &format!("{line} \\\n {more}\n"))
}

fn authentication(body: &str) -> Vec<SourceFile> {
    let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n";
    vec![apiserver("--authentication-config=/a.yaml"), file("a.yaml", &format!("{head}{body}"))]
}

fn authorization(body: &str) -> Vec<SourceFile> {
    let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n";
    let line = "kube-apiserver --service-account-issuer=https://i --service-account-signing-key-file=/k/sa.key --authorization-config=/z.yaml\n";
    vec![file("api", line), file("z.yaml", &format!("{head}{body}"))]
}

fn shown(files: &[SourceFile]) -> Vec<String> {
    lines(&ClusterConfig::read(files, None).err().unwrap_or_default())
}

/// The apiserver's configuration with these flags more.
fn with(flags: &str) -> ApiserverConfig {
    read(&[apiserver(flags)]).apiserver
}

#[test]
fn anonymous_requests_are_for_everything_for_some_paths_or_for_nothing() {
    for (body, expected) in [
        ("", (true, vec![])),
        ("anonymous: {enabled: true}\n", (true, vec![])),
        ("anonymous: {enabled: false}\n", (false, vec![])),
        (
            "anonymous:\n  enabled: true\n  conditions:\n  - path: /livez\n  - path: /readyz\n",
            (true, vec!["/livez", "/readyz"]),
        ),
    ] {
        let config = read(&authentication(body));
        let found = &config.apiserver;
        let paths: Vec<&str> = found.anonymous_paths.iter().map(String::as_str).collect();
        assert_eq!((found.anonymous_auth, paths), expected, "{body}");
        assert_eq!(config.provenance.unknown_effect, [], "{body}");
    }
    let paths = read(&authentication("anonymous:\n  enabled: true\n  conditions:\n  - path: /livez\n"));
    let at = paths.provenance.settings.iter().find(|s| s.key == "anonymous.conditions");
    assert_eq!(at.map(|s| (s.value.as_str(), s.file.as_str(), s.line)), Some(("/livez", "a.yaml", 6)));
    let jwt = read(&authentication("jwt:\n- issuer: {url: https://i}\n"));
    assert_eq!(jwt.provenance.unknown_effect[0].key, "jwt");
}

#[test]
fn the_apiservers_own_files_are_checked_as_it_checks_them() {
    let rows: Vec<(Vec<SourceFile>, &str)> = vec![
        (
            authentication("anonymous: {enabled: false, conditions: [{path: /livez}]}\n"),
            "a.yaml:3: anonymous.conditions: is given where enabled is false",
        ),
        (
            authentication("anonymous:\n  enabled: true\n  conditions:\n  - path: ''\n"),
            "a.yaml:6: anonymous.conditions.path: is missing or not alone",
        ),
        (
            authentication("anonymous:\n  enabled: true\n  conditions:\n  - method: GET\n"),
            "a.yaml:6: anonymous.conditions.path: is missing or not alone",
        ),
        (authentication("anonymous: {conditions: []}\n"), "a.yaml:3: anonymous.enabled: is missing"),
        (
            authentication("anonymous:\n  enabled: true\n  paths: []\n"),
            "a.yaml:5: anonymous.paths: is no known key",
        ),
        (authentication("anonimous: {}\n"), "a.yaml:3: anonimous: is no known key"),
        (
            authorization("- {type: Nodes, name: node}\n"),
            "z.yaml:4: authorizers.type: \"Nodes\" is not a mode",
        ),
        (authorization("- {type: RBAC}\n"), "z.yaml:4: authorizers.name: is missing"),
        (authorization("- {type: RBAC, name: R}\n"), "z.yaml:4: authorizers.name: \"R\" is no name"),
        (
            authorization("- {type: RBAC, name: a}\n- {type: Node, name: a}\n"),
            "z.yaml:5: authorizers.name: \"a\" is given twice",
        ),
        (
            authorization("- {type: RBAC, name: a}\n- {type: RBAC, name: b}\n"),
            "z.yaml:5: authorizers.type: RBAC is given twice",
        ),
        (
            authorization("- {type: Webhook, name: w}\n"),
            "z.yaml:4: authorizers.webhook: is missing; accepted: how the webhook is asked",
        ),
        (
            authorization("- {type: Node, name: node, webhook: {}}\n"),
            "z.yaml:4: authorizers.webhook: is given for Node",
        ),
        (
            authorization("- {type: Node, name: node, mode: x}\n"),
            "z.yaml:4: authorizers.mode: is no known key",
        ),
        (authorization(""), "z.yaml:1: authorizers: is missing"),
        (
            vec![apiserver("--service-account-issuer=https://i")],
            "api:1: --service-account-issuer: \"https://i\" is given twice",
        ),
        (
            vec![apiserver("--service-account-jwks-uri=http://i/keys")],
            "api:2: --service-account-jwks-uri: \"http://i/keys\" is no https URL",
        ),
        (
            vec![apiserver("--service-account-max-token-expiration=10m")],
            "api:2: --service-account-max-token-expiration: 10m is too short or too long",
        ),
        (
            vec![apiserver("--service-node-port-range=2-1")],
            "api:2: --service-node-port-range: \"2-1\" is not a range of ports",
        ),
        (
            vec![apiserver("--apiserver-count=0")],
            "api:2: --apiserver-count: 0 is no number of apiservers; accepted: 1 or more",
        ),
        (
            vec![file(
                "cm",
                "kube-controller-manager --cluster-signing-cert-file=/a --cluster-signing-key-file=/b \\\n --cluster-signing-kubelet-client-cert-file=/c --cluster-signing-kubelet-client-key-file=/d\n",
            )],
            "cm:2: --cluster-signing-kubelet-client-cert-file: is given beside --cluster-signing-cert-file (cm:1)",
        ),
        (
            vec![file("k", "kubelet --config=/c \\\n --register-with-taints=a=b\n")],
            "k:2: --register-with-taints: \"a=b\" is not a taint",
        ),
    ];
    let mut different = Vec::new();
    for (files, expected) in rows {
        let shown = shown(&files);
        if shown.len() != 1 || !shown[0].starts_with(expected) {
            different.push(format!("expected {expected}\n     got {shown:#?}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn what_a_version_has_behind_a_gate_needs_the_gate() {
    let mut files = authentication("anonymous: {enabled: false}\n");
    let at = |files: &[SourceFile], version: &str| {
        lines(&ClusterConfig::read(files, Some(version)).err().unwrap_or_default())
    };
    let gate = "a.yaml:3: anonymous: requires feature gate AnonymousAuthConfigurableEndpoints";
    assert!(at(&files, "1.31")[0].starts_with(gate) && at(&files, "1.32").is_empty());
    assert!(at(&files, "1.29")[0].contains("requires feature gate StructuredAuthenticationConfiguration"));
    files[0] =
        apiserver("--authentication-config=/a.yaml --feature-gates=AnonymousAuthConfigurableEndpoints=true");
    assert!(at(&files, "1.31").is_empty());
    assert_eq!(read(&files).provenance.unknown_effect, []);
    let authorizers = authorization("- {type: Node, name: node}\n- {type: AlwaysDeny, name: d}\n");
    assert!(
        at(&authorizers, "1.29")[0].contains("requires feature gate StructuredAuthorizationConfiguration")
    );
    let modes =
        ClusterConfig::read(&authorizers, Some("1.30")).expect("it is on").apiserver.authorization_modes;
    assert_eq!(modes, [AuthorizationMode::Node, AuthorizationMode::AlwaysDeny]);
}

#[test]
fn tokens_are_believed_where_the_key_that_signs_is_among_those_that_verify() {
    let keys = |flags: &str| {
        let line = format!("kube-apiserver --service-account-issuer=https://i {flags}\n");
        let accounts = read(&[file("api", &line)]).apiserver.service_accounts;
        accounts.signed_with.map(|file| file.as_str().to_owned())
    };
    let signing = "--service-account-signing-key-file=/pki/sa.key";
    for (flags, expected) in [
        ("--service-account-key-file=/pki/sa.pub", Some("/pki/sa.pub")),
        (
            "--service-account-key-file=/pki/old.pub --service-account-key-file=/pki/sa.pub",
            Some("/pki/sa.pub"),
        ),
        ("--service-account-key-file=/copies/sa.pub", Some("/copies/sa.pub")),
        ("--service-account-key-file=/pki/old.pub", None),
        // Without any, the serving certificate's key counts.
        ("--tls-cert-file=/pki/api.crt --tls-private-key-file=/pki/api.key", None),
        ("--tls-cert-file=/pki/sa.crt --tls-private-key-file=/pki/sa.key", Some("/pki/sa.key")),
    ] {
        assert_eq!(keys(&format!("{signing} {flags}")).as_deref(), expected, "{flags}");
    }
    let old = |manager: &str| {
        let files = [
            file(
                "api",
                "kube-apiserver --service-account-key-file=/pki/sa.pub --service-account-lookup=false\n",
            ),
            file("cm", &format!("kube-controller-manager {manager} --v=2\n")),
        ];
        let config = ClusterConfig::read(&files, Some("1.16")).expect("no mistakes");
        assert!(!config.apiserver.service_accounts.lookup);
        config.apiserver.service_accounts.signed_with.map(|file| file.as_str().to_owned())
    };
    assert_eq!(old("--service-account-private-key-file=/pki/sa.key").as_deref(), Some("/pki/sa.pub"));
    assert_eq!(old("--service-account-private-key-file=/pki/other.key"), None);
    assert_eq!(old("").as_deref(), Some("/pki/sa.pub"), "the installer knows");
}

#[test]
fn every_flag_of_identities_reaches_the_model() {
    let accounts = with("--service-account-issuer=https://old --service-account-jwks-uri=https://i/keys --api-audiences=a,b --service-account-lookup=false --service-account-extend-token-expiration=false --service-account-max-token-expiration=24h").service_accounts;
    assert_eq!(accounts.issuers, ["https://i", "https://old"]);
    assert_eq!(accounts.jwks_uri.as_deref(), Some("https://i/keys"));
    assert_eq!(accounts.api_audiences, ["a", "b"]);
    assert!(!accounts.lookup && !accounts.extend_token_expiration);
    assert_eq!(accounts.max_token_expiration_s, Some(86_400));
    let header = with("--requestheader-client-ca-file=/f.crt --requestheader-uid-headers=X-Remote-Uid --requestheader-allowed-names=a,b --requestheader-username-headers=X-Remote-User").request_header;
    let header = header.expect("it has a CA");
    assert_eq!((header.uid_headers, header.allowed_names.len()), (vec!["X-Remote-Uid".to_owned()], 2));
    let audit = |flags: &str| with(flags).audit_log.map(|file| file.as_str().to_owned());
    assert_eq!(audit("--audit-log-path=/log --audit-policy-file=/p").as_deref(), Some("/log"));
    assert_eq!((audit("--audit-log-path=/log"), audit("--audit-policy-file=/p")), (None, None));
    let ports = |flags: &str| with(flags).service_node_ports;
    assert_eq!(ports(""), (30000, 32767));
    assert_eq!(ports("--service-node-port-range=31000+9"), (31000, 31009));
    let plugins =
        with("--enable-admission-plugins=DenyServiceExternalIPs --disable-admission-plugins=ServiceAccount");
    let runs = |plugin| plugins.admission.runs(plugin);
    assert!(runs("DenyServiceExternalIPs") && runs("CertificateApproval") && !runs("ServiceAccount"));
    let passwords = ClusterConfig::read(&[file("api", "kube-apiserver --basic-auth-file=/b\n")], None);
    let unknown = passwords.expect("no mistakes").provenance.unknown_effect;
    assert_eq!(unknown.iter().map(|u| u.key.as_str()).collect::<Vec<_>>(), ["--basic-auth-file"]);
}

#[test]
fn every_key_of_a_nodes_life_reaches_the_model() {
    let body = "registerNode: false\nregisterWithTaints:\n- {key: a, value: b, effect: NoSchedule}\n- {key: c, effect: NoExecute}\nnodeStatusUpdateFrequency: 20s\nnodeLeaseDurationSeconds: 60\nstreamingConnectionIdleTimeout: 5m\nrotateCertificates: true\nserverTLSBootstrap: true\n";
    let head = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";
    let config = read(&[file("k.yaml", &format!("{head}{body}"))]);
    let kubelet = &config.kubelet;
    assert!(!kubelet.register_node && kubelet.rotate_certificates);
    assert_eq!(kubelet.serving, KubeletServing::Bootstrap);
    assert_eq!((kubelet.node_status_update_frequency_s, kubelet.node_lease_duration_s), (20, 60));
    assert_eq!(kubelet.streaming_idle_timeout_s, 300);
    let taint = |key: &str, value: &str, effect: &str| Taint {
        key: key.into(),
        value: value.into(),
        effect: effect.into(),
    };
    assert_eq!(kubelet.register_with_taints, [taint("a", "b", "NoSchedule"), taint("c", "", "NoExecute")]);
    assert_eq!(config.provenance.unknown_effect, []);
    let flags = read(&[file("k", "kubelet --config=/c --register-with-taints=a=b:NoSchedule\n")]);
    assert_eq!(flags.kubelet.register_with_taints, [taint("a", "b", "NoSchedule")]);
    assert_eq!(flags.kubelet.streaming_idle_timeout_s, 4 * 3600);
    // A file's zero is not given; a flag's is for ever.
    let zero = read(&[file("k.yaml", &format!("{head}streamingConnectionIdleTimeout: 0s\n"))]);
    let never = read(&[file("k", "kubelet --streaming-connection-idle-timeout=0\n")]);
    let both = (zero.kubelet.streaming_idle_timeout_s, never.kubelet.streaming_idle_timeout_s);
    assert_eq!(both, (4 * 3600, 0));
    let manager = |flags: &str, version: &str| {
        let files = [file("cm", &format!("kube-controller-manager {flags} --v=2\n"))];
        let manager = ClusterConfig::read(&files, Some(version)).expect("no mistakes").controller_manager;
        (manager.node_monitor_grace_period_s, manager.node_monitor_period_s)
    };
    assert_eq!((manager("", "1.31"), manager("", "1.32")), ((40, 5), (50, 5)));
    assert_eq!(manager("--node-monitor-grace-period=2m --node-monitor-period=10s", "1.34"), (120, 10));
}

#[test]
fn apiservers_are_counted_where_a_file_says_how_many_there_are() {
    assert_eq!(read(&kubeadm_default()).apiserver.count, 1);
    assert_eq!(with("--apiserver-count=3").count, 3);
    let [one, ..] = kubeadm_default();
    let other = one.text.replace("--advertise-address=192.0.2.10", "--advertise-address=192.0.2.11");
    let config = read(&[one, file("b.yaml", &other)]);
    assert_eq!(config.apiserver.count, 2);
    assert!(config.provenance.assumed.iter().any(|a| a.0.contains("there are 2 apiservers")));
    let status = "apiVersion: kubeadm.k8s.io/v1beta2\nkind: ClusterStatus\napiEndpoints:\n  a: {advertiseAddress: 10.0.0.1}\n  b: {advertiseAddress: 10.0.0.2}\n";
    assert_eq!(read(&[file("s", status)]).apiserver.count, 2);
}

/// A ConfigMap as `kubectl get -o yaml` prints it.
fn config_map(name: &str, key: &str, text: &str) -> String {
    let indented: String = text.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: kube-system\ndata:\n  {key}: |\n{indented}"
    )
}

#[test]
fn what_kubeadm_keeps_in_config_maps_is_read() {
    let kubeadm = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.33.0\nnetworking:\n  podSubnet: 10.7.0.0/16\n";
    let kubelet =
        "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nreadOnlyPort: 10255\n";
    let proxy = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nclientConnection:\n  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf\n";
    let all = [
        config_map("kubeadm-config", "ClusterConfiguration", kubeadm),
        config_map("kubelet-config", "kubelet", kubelet),
        config_map("kube-proxy", "config.conf", proxy),
    ]
    .join("---\n");
    let config = read(&[file("maps.yaml", &all)]);
    assert_eq!(config.version, KubernetesVersion::minor(33));
    assert_eq!(config.network.pod_cidr.to_string(), "10.7.0.0/16");
    assert_eq!(config.kubelet.read_only_port, Some(10255));
    assert!(config.proxy.kubeconfig.is_some());
    assert_eq!(config.manifests.len(), 3, "they are objects of the cluster too");
    let place = config.provenance.settings.iter().find(|s| s.key == "readOnlyPort");
    let line = all.lines().position(|line| line.contains("readOnlyPort")).map(|at| at + 1);
    assert_eq!(place.map(|s| s.line), line);
    // A mistake in one has its own line.
    let wrong = config_map("kubelet-config", "kubelet", &kubelet.replace("10255", "x"));
    assert_eq!(
        shown(&[file("maps.yaml", &wrong)])[0].split(": is").next(),
        Some("maps.yaml:10: readOnlyPort")
    );
    // A file of the same kind is nearer to what runs.
    let own = file("k.yaml", &kubelet.replace("10255", "10254"));
    assert_eq!(read(&[file("maps.yaml", &all), own]).kubelet.read_only_port, Some(10254));
}

#[test]
fn static_users_are_read_from_the_file_that_the_flag_names() {
    let tokens = file("backup/known_tokens.csv", "t0k3n,kubelet-bootstrap,10001,\"system:bootstrappers\"\n");
    let flags = apiserver("--token-auth-file=/var/lib/kubernetes/known_tokens.csv");
    let config = read(&[flags.clone(), tokens.clone()]);
    let users = config.apiserver.token_auth_users.clone().expect("the file is there");
    assert_eq!((users[0].name.as_str(), users[0].groups.len()), ("kubelet-bootstrap", 1));
    assert!(!serde_json::to_string(&config).expect("plain data").contains("t0k3n"));
    assert_eq!(read(&[flags]).apiserver.token_auth_users, None);
    let shown = shown(&[apiserver("--v=2"), tokens]);
    assert!(shown[0].contains("no --token-auth-file names this file"), "{shown:?}");
    assert!(!shown[0].contains("t0k3n"));
}
