//! What installers other than kubeadm, and admins, leave: read as they mean it, or refused with what is wrong.

use super::{file, kubeadm_default, read, refusals};
use crate::{AuthorizationMode, ClusterConfig, SourceFile};

/// A command line with what every version from 1.20 on requires.
fn apiserver(more: &str) -> SourceFile {
    let line = "kube-apiserver --service-account-issuer=i --service-account-signing-key-file=/s";
    file("api", &format!("{line} --client-ca-file=/var/lib/kubernetes/ca.crt {more}\n"))
}

fn kubelet(body: &str) -> SourceFile {
    file("k.yaml", &format!("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n{body}"))
}

fn unknown(config: &ClusterConfig) -> Vec<&str> {
    config.provenance.unknown_effect.iter().map(|u| u.key.as_str()).collect()
}

fn authorization(types: &str) -> SourceFile {
    let one = |t: &str| {
        let webhook = if t == "Webhook" { ", webhook: {timeout: 3s}" } else { "" };
        format!("- {{name: {}, type: {t}{webhook}}}\n", t.to_lowercase())
    };
    let types: Vec<_> = types.split(' ').map(one).collect();
    let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n";
    file("authz.yaml", &format!("{head}{}", types.concat()))
}

#[test]
fn command_lines_are_found_in_what_ps_and_k3s_print() {
    for text in [
        "UID PID CMD\nroot 12 3 ? 00:01 kube-apiserver --secure-port=7443 --v=2\nroot 13 grep --color kube\n",
        "Nov 23 20:01:02 n k3s[1]: time=\"2025\" level=info msg=\"Running kube-apiserver --bind-address=127.0.0.1 --advertise-port=7443 --secure-port=6444\"\n",
        "kube-apiserver\0--secure-port=7443\0",
        "\u{feff}kube-apiserver --secure-port=7443\n",
    ] {
        let config = read(&[file("-", text)]);
        assert_eq!(config.apiserver.secure_port, 7443, "{text}");
        assert!(config.apiserver.bind_address.is_unspecified(), "k3s' supervisor listens everywhere");
    }
}

#[test]
fn authorizers_come_from_their_file() {
    use AuthorizationMode::{Node, Rbac, Webhook};
    let flag = "--authorization-config=/authz.yaml";
    let plain = read(&[apiserver(flag), authorization("Node RBAC")]);
    assert_eq!(
        (plain.apiserver.authorization_modes.as_slice(), unknown(&plain)),
        ([Node, Rbac].as_slice(), vec![])
    );
    let hook = read(&[apiserver(flag), authorization("Node Webhook")]);
    assert_eq!(hook.apiserver.authorization_modes, [Node, Webhook]);
    assert_eq!(unknown(&hook), ["authorizers.type=Webhook"]);
    let missing = read(&[apiserver(flag)]);
    assert_eq!(missing.apiserver.authorization_modes, [Node, Rbac], "never Kubernetes' AlwaysAllow");
    assert_eq!(unknown(&missing), ["--authorization-config"]);
    assert!(
        refusals(&[apiserver(""), authorization("Node")])[0].contains("no --authorization-config names this")
    );
}

#[test]
fn a_ca_that_is_copied_to_the_nodes_stays_the_same_ca() {
    for (path, same) in [("/var/lib/kubelet/ca.crt", true), ("/var/lib/kubelet/other.crt", false)] {
        let body = format!("authentication: {{x509: {{clientCAFile: {path}}}}}\n");
        let config = read(&[apiserver(""), kubelet(&body)]);
        assert_eq!(config.kubelet.client_ca_file == config.apiserver.client_ca_file, same, "{path}");
    }
}

#[test]
fn kubeadm_fills_up_the_kubelet_configuration_of_its_own_input() {
    let head = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n";
    let body = kubelet("serverTLSBootstrap: true\n").text;
    let together = read(&[file("kubeadm.yaml", &format!("{head}---\n{body}"))]);
    let apart = read(&[file("kubeadm.yaml", head), file("k.yaml", &body)]);
    assert!(together.kubelet.client_ca_file.is_some() && apart.kubelet.client_ca_file.is_none());
}

#[test]
fn variables_are_empty_where_all_environment_files_are_given() {
    let unit = file(
        "kubelet.service",
        "[Service]\nEnvironmentFile=-/etc/kubelet.env\nExecStart=/bin/kubelet $A $NOWHERE\n",
    );
    let environment = file("kubelet.env", "A=\"--port=10350 \\\n --v=2\"\nB=\n");
    let config = read(&[unit.clone(), environment]);
    assert_eq!((config.kubelet.port, unknown(&config)), (10350, vec![]));
    assert_eq!(unknown(&read(&[unit])), ["$A", "$NOWHERE"]);
}

#[test]
fn machines_of_one_component_may_differ_in_their_own_addresses_only() {
    let [one, ..] = kubeadm_default();
    let with = |from: &str, to: &str| file("b.yaml", &one.text.replace(from, to));
    read(&[one.clone(), with("--advertise-address=192.0.2.10", "--advertise-address=192.0.2.11")]);
    let twice = refusals(&[one.clone(), with("Node,RBAC", "RBAC")]);
    assert!(twice[0].contains("configured twice"), "{twice:#?}");
}

#[test]
fn what_runs_beside_is_passed_over_and_what_is_meant_otherwise_is_told() {
    let unit = |program: &str| file("x.service", &format!("[Service]\nExecStart={program}\n"));
    read(&[unit("/usr/local/bin/etcd --name c")]);
    let egress = |connection: &str| {
        let head =
            "apiVersion: apiserver.k8s.io/v1beta1\nkind: EgressSelectorConfiguration\negressSelections:\n";
        vec![
            apiserver("--egress-selector-config-file=/e"),
            file("e.yaml", &format!("{head}- {{name: cluster, connection: {connection}}}\n")),
        ]
    };
    let kubeadm = |body: &str| {
        vec![file("c", &format!("apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n{body}"))]
    };
    for (files, expected) in [
        (vec![unit("/usr/local/bin/k3s server")], "journalctl -u k3s"),
        (vec![file("config.yaml", "tls-san: [a]\n")], "journalctl -u k3s"),
        (kubeadm("networking: {podSubnett: 10.0.0.0/8}\n"), "networking.podSubnett: is no known key"),
        (kubeadm("apiServer: {extraArg: []}\n"), "did you mean extraArgs?"),
        (egress("{proxyProtocol: GRPC}"), "no Unix socket, which GRPC needs"),
        (
            egress("{proxyProtocol: Direct, transport: {uds: {udsName: /s}}}"),
            "is given for a direct connection",
        ),
        (vec![apiserver("--advertise-address=2001:db8::1")], "of another family"),
        (vec![file("x.yaml", "# nothing\n---\n# here\n")], "is empty"),
    ] {
        let shown = refusals(&files);
        assert!(shown.len() == 1 && shown[0].contains(expected), "{expected}: {shown:#?}");
    }
}

#[test]
fn controllers_run_as_their_list_says() {
    let of = |list: &str| read(&[file("cm", &format!("kube-controller-manager --controllers={list}\n"))]);
    for (list, off, needed) in [
        ("*,bootstrapsigner,tokencleaner", vec![], 0),
        ("*", vec!["bootstrapsigner", "tokencleaner"], 0),
        ("*,-csrsigning", vec!["bootstrapsigner", "csrsigning", "tokencleaner"], 1),
        (
            "-certificatesigningrequest-signing-controller,*,token-cleaner-controller",
            vec!["bootstrapsigner", "csrsigning"],
            1,
        ),
        ("csrsigning,-csrsigning,*", vec!["bootstrapsigner", "tokencleaner"], 0),
    ] {
        let config = of(list);
        assert_eq!(config.controller_manager.switched_off(), off, "{list}");
        let told = config.provenance.assumed.iter().filter(|a| a.0.contains("is switched off")).count();
        assert_eq!((told, unknown(&config).len()), (needed, 0), "{list}");
    }
    assert!(!of("nodeipam").controller_manager.runs("endpoint"));
}
