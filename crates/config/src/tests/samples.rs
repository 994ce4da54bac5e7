//! The samples, and what must be read from them.

use std::net::{IpAddr, Ipv4Addr};

use super::{file, kubeadm_default, kubeadm_verified, legacy, read};
use crate::*;

/// All of it but where it came from.
fn without_provenance(mut config: ClusterConfig) -> ClusterConfig {
    config.provenance = Provenance {
        settings: Vec::new(),
        defaulted: Vec::new(),
        assumed: Vec::new(),
        no_effect: Vec::new(),
        unknown_effect: Vec::new(),
    };
    config
}

#[test]
fn kubeadms_sample_is_kubeadms_default() {
    let mut sample = without_provenance(read(&kubeadm_default()));
    assert_eq!(sample.apiserver.advertise_address, Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10))));
    // The one thing that depends on the machine.
    sample.apiserver.advertise_address = None;
    let default = ClusterConfig::read(&[], Some("v1.34.2")).expect("no files, no mistakes");
    assert_eq!(without_provenance(default), sample);
    assert_eq!(ClusterConfig::kubeadm_default().version, NEWEST);
}

#[test]
fn kubeadms_sample_is_read_as_it_is_meant() {
    let config = read(&kubeadm_default());
    assert_eq!(config.version, KubernetesVersion::minor(34));
    let api = &config.apiserver;
    assert!(api.anonymous_auth && api.insecure.is_none() && api.enable_bootstrap_token_auth);
    assert_eq!(api.authorization_modes, [AuthorizationMode::Node, AuthorizationMode::Rbac]);
    assert_eq!(api.kubelet.certificate_authority, None);
    assert_eq!(api.egress, Egress::Direct);
    assert!(api.admission.runs("NodeRestriction") && api.admission.runs("ServiceAccount"));
    let kubelet = &config.kubelet;
    assert_eq!((kubelet.port, kubelet.read_only_port), (10250, None));
    assert_eq!(kubelet.serving, KubeletServing::SelfSigned);
    assert_eq!(kubelet.authorization, KubeletAuthorization::Webhook);
    assert!(!kubelet.anonymous_auth && kubelet.webhook_authentication && kubelet.rotate_certificates);
    assert_eq!(config.network.pod_cidr.to_string(), "10.244.0.0/16");
    assert_eq!(config.controller_manager.listener.address, IpAddr::V4(Ipv4Addr::LOCALHOST));
    assert_eq!(config.provenance.unknown_effect, []);
    let cause = config
        .provenance
        .settings
        .iter()
        .find(|s| s.key == "--client-ca-file" && s.component == Component::Apiserver);
    assert_eq!(cause.map(|s| (s.file.as_str(), s.line)), Some(("kube-apiserver.yaml", 19)));
}

#[test]
fn the_hardened_sample_differs_where_it_was_hardened() {
    let config = read(&kubeadm_verified());
    assert!(!config.apiserver.anonymous_auth);
    assert_eq!(
        config.apiserver.kubelet.certificate_authority,
        Some(FileName::new("/etc/kubernetes/pki/ca.crt"))
    );
    assert_eq!(config.kubelet.serving, KubeletServing::Bootstrap);
    let mut same = without_provenance(config);
    same.apiserver.anonymous_auth = true;
    same.apiserver.kubelet.certificate_authority = None;
    same.kubelet.serving = KubeletServing::SelfSigned;
    assert_eq!(same, without_provenance(read(&kubeadm_default())));
}

#[test]
fn the_legacy_sample_has_ssh_tunnels_and_an_open_kubelet() {
    let config = read(&legacy());
    assert_eq!(config.version, KubernetesVersion::minor(19), "the last without a required issuer");
    let key_file = FileName::new("/srv/sshproxy/.sshkeyfile");
    assert_eq!(
        config.apiserver.egress,
        Egress::SshTunnels { user: "gke-tunnel".into(), key_file, settings: SshTunnelSettings::legacy() }
    );
    assert_eq!(config.apiserver.insecure.map(|i| i.address.to_string()).as_deref(), Some("127.0.0.1:8080"));
    assert_eq!(config.apiserver.secure_port, 443);
    let kubelet = &config.kubelet;
    assert!(kubelet.anonymous_auth && !kubelet.webhook_authentication && !kubelet.rotate_certificates);
    assert_eq!(kubelet.authorization, KubeletAuthorization::AlwaysAllow);
    assert_eq!(kubelet.read_only_port, Some(10255));
    assert_eq!(kubelet.bootstrap_kubeconfig, Some(FileName::new("/var/lib/kubelet/bootstrap-kubeconfig")));
    let signing = config.controller_manager.cluster_signing.expect("assumed");
    assert_eq!(
        (signing.cert.as_str(), signing.key.as_str()),
        ("/var/lib/kubernetes/ca.pem", "/var/lib/kubernetes/ca-key.pem")
    );
    let plain = config.controller_manager.insecure.expect("1.19 has it");
    assert!(plain.address.ip().is_loopback(), "what is assumed opens nothing that kubeadm would not");
    let line = config.provenance.settings.iter().find(|s| s.key == "--ssh-user").map(|s| s.line);
    assert_eq!(line, Some(23));
}

#[test]
fn flags_mean_the_same_in_all_four_carriers() {
    let flags = [
        "--anonymous-auth=false",
        "--authorization_mode=Node,RBAC",
        "--client-ca-file=/ca",
        "--service-cluster-ip-range=10.9.0.0/16",
    ];
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: x}}\nspec:\n  containers:\n  - name: kube-apiserver\n    command: [kube-apiserver]\n    args:\n{}",
        flags.map(|f| format!("    - {f}\n")).concat()
    );
    let unit = format!(
        "[Service]\nEnvironment=\"REST={} {}\"\nExecStart=/bin/kube-apiserver {} \\\n  # between\n  {} $REST\n",
        flags[2], flags[3], flags[0], flags[1]
    );
    let line = format!(
        "kube-apiserver --anonymous-auth=false --authorization_mode Node,RBAC \\\n  {} {}\n",
        flags[2], flags[3]
    );
    let json = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [
        {"name": "a", "command": ["/go-runner", "--log-file=/l", "/usr/local/bin/kube-apiserver"], "args": flags}]}});
    let carriers = [
        file("a.yaml", &manifest),
        file("a.service", &unit),
        file("line", &line),
        file("kube-apiserver.flags", &flags.join("\n")),
        file("a.json", &serde_json::to_string_pretty(&json).expect("json")),
    ];
    let configs = carriers.map(|carrier| without_provenance(read(&[carrier])));
    assert!(
        !configs[0].apiserver.anonymous_auth && configs[0].network.service_cidr.to_string() == "10.9.0.0/16"
    );
    for config in &configs[1..] {
        assert_eq!(config, &configs[0]);
    }
}

#[test]
fn kubeadms_extra_arguments_are_read_in_both_forms() {
    let list = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\napiServer:\n  certSANs: [api.example]\n  extraArgs:\n  - name: kubelet-certificate-authority\n    value: /ca\n";
    let map = "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\napiServer:\n  certSANs: [api.example]\n  extraArgs: {kubelet-certificate-authority: /ca}\n";
    let [list, map] = [list, map].map(|text| without_provenance(read(&[file("kubeadm.yaml", text)])));
    assert_eq!(list, map);
    assert_eq!(list.apiserver.kubelet.certificate_authority, Some(FileName::new("/ca")));
    assert_eq!(list.network.apiserver_cert_sans, ["api.example"]);
    let join = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\nnodeRegistration:\n  kubeletExtraArgs:\n  - {name: read-only-port, value: '10255'}\n";
    let kubelet = read(&[file("join.yaml", join)]).kubelet;
    assert_eq!(
        (kubelet.read_only_port, kubelet.anonymous_auth),
        (Some(10255), false),
        "kubeadm's file below, the argument over it"
    );
}

#[test]
fn flags_win_over_the_kubelets_file() {
    let unit = "[Service]\nExecStart=/usr/bin/kubelet --config=/c --kubeconfig=/k --anonymous-auth --feature-gates=RotateKubeletServerCertificate=true\n";
    let yaml = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nserverTLSBootstrap: true\nauthentication: {anonymous: {enabled: false}}\nmemorySwap: {}\n";
    let config = read(&[file("kubelet.service", unit), file("k.yaml", yaml)]);
    assert!(config.kubelet.anonymous_auth && config.kubelet.webhook_authentication);
    assert_eq!(config.kubelet.serving, KubeletServing::Bootstrap);
    let overridden = config.provenance.no_effect.iter().any(|n| n.key == "authentication.anonymous.enabled");
    assert!(overridden, "the file's key changes nothing");
}

#[test]
fn drop_ins_and_environment_files_complete_a_unit() {
    let files = [
        file("kubelet.service", "[Service]\nExecStart=/usr/bin/kubelet\n"),
        file(
            "10-kubeadm.conf",
            "[Service]\nEnvironment=\"KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml\"\nEnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env\n\
             EnvironmentFile=-/etc/default/kubelet\nExecStart=\nExecStart=/usr/bin/kubelet --kubeconfig=/k $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_NETWORK_ARGS $KUBELET_EXTRA_ARGS\n",
        ),
        file("20-extra.conf", "[Service]\nEnvironment=KUBELET_NETWORK_ARGS=--port=10260\n"),
        file(
            "lib/kubeadm-flags.env",
            "KUBELET_KUBEADM_ARGS=\"--node-ip=192.0.2.3 --read-only-port=10255\"\n",
        ),
        file("config.yaml", "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"),
    ];
    let config = read(&files);
    assert_eq!((config.kubelet.read_only_port, config.kubelet.port), (Some(10255), 10260));
    let unknown: Vec<_> = config.provenance.unknown_effect.iter().map(|u| u.key.as_str()).collect();
    assert_eq!(unknown, ["$KUBELET_EXTRA_ARGS"]);
}

#[test]
fn an_egress_that_is_not_modelled_is_never_replaced() {
    let flags = "kube-apiserver --egress-selector-config-file=/e.yaml --service-account-issuer=x --service-account-signing-key-file=/s\n";
    let selector = |protocol: &str| {
        format!(
            "apiVersion: apiserver.k8s.io/v1beta1\nkind: EgressSelectorConfiguration\negressSelections:\n- name: cluster\n  connection: {{proxyProtocol: {protocol}}}\n"
        )
    };
    let direct = read(&[file("f", flags), file("e.yaml", &selector("Direct"))]);
    assert_eq!(direct.apiserver.egress, Egress::Direct);
    let missing = read(&[file("f", flags)]);
    let konnectivity =
        read(&[file("f", flags), file("e.yaml", &selector("GRPC, transport: {uds: {udsName: /s}}"))]);
    for config in [missing, konnectivity] {
        assert!(matches!(config.apiserver.egress, Egress::Unmodelled { .. }));
        assert_eq!(
            config.provenance.unknown_effect.iter().map(|u| u.paths.clone()).collect::<Vec<_>>(),
            [["apiserver-to-*"]]
        );
    }
}

#[test]
fn objects_are_kept_and_the_rest_of_a_directory_is_understood() {
    let objects = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: rbac.authorization.k8s.io/v1\n  kind: ClusterRoleBinding\n  metadata: {name: open}\n---\n\
                   apiVersion: v1\nkind: Pod\nmetadata: {name: etcd, namespace: kube-system}\nspec: {containers: [{name: etcd, command: [etcd]}]}\n---\n\
                   apiVersion: v1\nkind: Config\nclusters: []\n";
    let config = read(&[file("all.yaml", objects)]);
    assert_eq!(
        config.manifests.iter().map(|m| (m.line, m.object["metadata"]["name"].clone())).collect::<Vec<_>>(),
        [(4, "open".into())]
    );
    assert_eq!(
        config.provenance.no_effect.iter().map(|n| n.key.as_str()).collect::<Vec<_>>(),
        ["etcd", "kind: Config"]
    );
}

#[test]
fn always_allow_turns_anonymous_requests_off() {
    let config = read(&[file("f", "kube-apiserver --anonymous-auth=true --secure-port=6443\n")]);
    assert_eq!(config.apiserver.authorization_modes, [AuthorizationMode::AlwaysAllow]);
    assert!(!config.apiserver.anonymous_auth);
}

#[test]
fn settings_of_unknown_effect_name_their_paths() {
    let config = read(&[file(
        "f",
        "kube-apiserver --oidc-issuer-url=https://i --feature-gates=NoSuchGate=true,CPUManager=true\n",
    )]);
    let unknown: Vec<_> =
        config.provenance.unknown_effect.iter().map(|u| (u.key.as_str(), u.paths[0].as_str())).collect();
    assert_eq!(
        unknown,
        [("--oidc-issuer-url", "user-to-apiserver"), ("--feature-gates=NoSuchGate=true", "*")]
    );
}

#[test]
fn kubelet_https_does_nothing_from_its_deprecation_on() {
    let flags = [file("f", "kube-apiserver --kubelet-https=false\n")];
    let at = |version| ClusterConfig::read(&flags, Some(version)).expect("the flag exists");
    let earlier = at("1.18");
    assert_eq!(earlier.apiserver.kubelet.scheme, KubeletScheme::Http);
    assert!(earlier.provenance.unknown_effect.iter().any(|u| u.paths == ["apiserver-to-kubelet/*"]));
    let later = at("1.19");
    assert_eq!(later.apiserver.kubelet.scheme, KubeletScheme::Https);
    assert!(later.provenance.no_effect.iter().any(|n| n.key == "--kubelet-https"));
}

#[test]
fn what_is_planned_is_there_only_for_who_asks_for_it() {
    let authority = "--kubelet-certificate-authority=/ca --service-account-issuer=https://i --service-account-signing-key-file=/k";
    let flags = |more: &str| [file("f", &format!("kube-apiserver {authority} {more}\n"))];
    let gate = "--feature-gates=KubeletCertCNValidation=true";
    let on = read(&flags(&format!("{gate} --enable-kubelet-cert-cn-validation")));
    assert_eq!(on.version.minor_number(), 37);
    assert!(on.apiserver.kubelet.cert_cn_validation);
    assert_eq!(on.provenance.unknown_effect, []);
    let off = read(&flags(gate));
    assert_eq!((off.version.minor_number(), off.apiserver.kubelet.cert_cn_validation), (37, false));
    assert!(read(&flags("")).version == NEWEST, "nobody asked");
    for more in [gate, "--enable-kubelet-cert-cn-validation=false"] {
        let errors = ClusterConfig::read(&flags(more), Some("1.36")).unwrap_err();
        assert!(errors[0].to_string().contains("does not exist in Kubernetes 1.36"), "{errors:?}");
    }
    let both = flags(&format!("{gate} --kubelet-https=true"));
    assert!(ClusterConfig::read(&both, None).is_err(), "no version has both");
}

#[test]
fn a_zero_in_a_kubelets_file_is_the_default_and_by_flag_a_zero() {
    let file = |caches: &str| {
        let head = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";
        let text = format!("{head}authentication: {{webhook: {{cacheTTL: {caches}}}}}\n");
        let files = [SourceFile { name: "kubelet.yaml".into(), text }];
        ClusterConfig::read(&files, None).expect("valid").kubelet.webhook_caches
    };
    let with = |token_s| WebhookCaches { token_s, authorized_s: 300, unauthorized_s: 30 };
    assert_eq!((file("0s"), file("7s"), file("2m")), (with(120), with(7), with(120)));
    let flags = "kubelet --kubeconfig=/k --authentication-token-webhook-cache-ttl=0s\n";
    let files = [SourceFile { name: "kubelet.flags".into(), text: flags.into() }];
    assert_eq!(ClusterConfig::read(&files, None).expect("valid").kubelet.webhook_caches, with(0));
}
