//! Configurations that differ from a sample in one setting: exactly the cells that must change do,
//! and no other. What follows must follow from what happened in the run.

mod refused;

use crate::gate::expected;
use ravelin_assess::model::{PathOutcome, Report};
use ravelin_tests::{Cells, Files, Run, Sample};

/// The seed of these runs: any will do, as the gate shows.
const SEED: u64 = 3;

const LOGS: &str = "apiserver-to-kubelet/logs";

/// The other paths to a kubelet: the same connection, and so the same changes.
const STREAMS: [&str; 3] =
    ["apiserver-to-kubelet/exec", "apiserver-to-kubelet/attach", "apiserver-to-kubelet/port-forward"];

/// These changes, and for each of logs the same of the streams. How calls fail is a path's own.
fn at_kubelets(changes: &[impl AsRef<str>]) -> Vec<String> {
    let mut all: Vec<String> = changes.iter().map(|change| change.as_ref().to_owned()).collect();
    let of_logs = all.iter().filter(|change| change.starts_with(LOGS) && !change.contains(" closed: "));
    let of_streams = of_logs.flat_map(|change| STREAMS.map(|path| change.replacen(LOGS, path, 1)));
    all.extend(of_streams.collect::<Vec<_>>());
    all.sort_unstable();
    all.dedup();
    all
}

/// The lines of a path that does not work any more, by what became of it.
fn no_longer_works(path: &str, outcome: &str) -> [String; 3] {
    [format!("{path} eavesdropper: gone"), format!("{path} {outcome}: new"), format!("{path} impostor: gone")]
}

fn run(files: &Files) -> Report {
    Run::of(files.config(), SEED).on_the_wire().simulate().report
}

/// These files change exactly these cells.
fn changes(base: &Cells, files: &Files, expected: &[impl AsRef<str>]) -> Report {
    let report = run(files);
    let expected = at_kubelets(expected);
    let mut changed = base.differences(&Cells::of(&report));
    changed.sort_unstable();
    let failed = report.paths.iter().filter(|path| path.state != PathOutcome::Works);
    assert_eq!(changed, expected, "\nfailed: {:#?}", failed.collect::<Vec<_>>());
    report
}

const NOTHING: [&str; 0] = [];

fn logs_fail_at_the_certificate(files: &Files) {
    let report = changes(&expected::kubeadm_verified(), files, &no_longer_works(LOGS, "failed"));
    let logs = report.paths.iter().find(|path| path.path == LOGS).expect("it is reported");
    let error = logs.error.as_deref().unwrap_or_default();
    assert!(logs.state == PathOutcome::Failed && error.contains("certificate"), "{error}");
}

#[test]
fn another_authority_for_kubelets_makes_honest_logs_fail() {
    let files = Sample::KubeadmVerified.files().replacing(
        "kube-apiserver.yaml",
        "--kubelet-certificate-authority=/etc/kubernetes/pki/ca.crt",
        "--kubelet-certificate-authority=/etc/kubernetes/pki/kubelet-ca.crt",
    );
    logs_fail_at_the_certificate(&files);
}

#[test]
fn kubelets_that_sign_for_themselves_fail_verification() {
    let files = Sample::KubeadmVerified.files();
    logs_fail_at_the_certificate(&files.replacing("kubelet-config.yaml", "serverTLSBootstrap: true\n", ""));
}

#[test]
fn verification_alone_is_no_help_without_certificates_to_verify() {
    let flag = "--kubelet-certificate-authority=/etc/kubernetes/pki/ca.crt";
    let files = Sample::KubeadmDefault.files().apiserver_flag(flag);
    changes(&expected::kubeadm_default(), &files, &no_longer_works(LOGS, "failed"));
}

#[test]
fn signed_certificates_alone_are_no_help_without_verification() {
    let files = Sample::KubeadmDefault.files();
    let files = files.replacing(
        "kubelet-config.yaml",
        "rotateCertificates: true\n",
        "rotateCertificates: true\nserverTLSBootstrap: true\n",
    );
    changes(&expected::kubeadm_default(), &files, &NOTHING);
}

#[test]
fn a_kubelet_certificate_from_a_file_is_verified() {
    let from_file = "tlsCertFile: /var/lib/kubelet/pki/serving.crt\ntlsPrivateKeyFile: /var/lib/kubelet/pki/serving.key\n";
    let files = Sample::KubeadmVerified.files();
    let files = files.replacing("kubelet-config.yaml", "serverTLSBootstrap: true\n", from_file);
    changes(&expected::kubeadm_verified(), &files, &NOTHING);
}

#[test]
fn an_open_kubelet_gives_logs_to_anyone() {
    let files = Sample::KubeadmDefault.files();
    let files = files.replacing(
        "kubelet-config.yaml",
        "anonymous:\n    enabled: false",
        "anonymous:\n    enabled: true",
    );
    let files = files.replacing("kubelet-config.yaml", "mode: Webhook", "mode: AlwaysAllow");
    // Relayed and anonymous requests are answered. What still fails is the redirect, which names itself.
    let changed = ["response_secret: held -> broken", "access_controlled: held -> broken"];
    let changed = changed.map(|change| format!("{LOGS} impostor {change}"));
    changes(&expected::kubeadm_default(), &files, &changed);
}

#[test]
fn an_anonymous_caller_of_a_kubelet_still_needs_leave() {
    let files = Sample::KubeadmDefault.files();
    let files = files.replacing(
        "kubelet-config.yaml",
        "anonymous:\n    enabled: false",
        "anonymous:\n    enabled: true",
    );
    changes(&expected::kubeadm_default(), &files, &NOTHING);
}

#[test]
fn a_kubelet_that_allows_all_still_asks_who_calls() {
    let files =
        Sample::KubeadmDefault.files().replacing("kubelet-config.yaml", "mode: Webhook", "mode: AlwaysAllow");
    changes(&expected::kubeadm_default(), &files, &NOTHING);
}

#[test]
fn closing_anonymous_access_changes_no_cell() {
    let files = Sample::KubeadmDefault.files().apiserver_flag("--anonymous-auth=false");
    changes(&expected::kubeadm_default(), &files, &NOTHING);
}

#[test]
fn an_apiserver_that_allows_all_admits_nobody_anonymous() {
    // Kubernetes turns anonymous access off there, whatever the flag says.
    let files = Sample::KubeadmDefault.files().replacing(
        "kube-apiserver.yaml",
        "--authorization-mode=Node,RBAC",
        "--authorization-mode=AlwaysAllow",
    );
    changes(&expected::kubeadm_default(), &files, &NOTHING);
}

#[test]
fn separate_authorities_for_clients_and_servers_hold() {
    let client_ca = "/var/lib/rancher/k3s/server/tls/client-ca.crt";
    let server_ca = "/var/lib/rancher/k3s/server/tls/server-ca.crt";
    let old = "/etc/kubernetes/pki/ca.crt";
    let files = Sample::KubeadmVerified.files();
    let apiserver = "kube-apiserver.yaml";
    let files = files
        .replacing(apiserver, &format!("--client-ca-file={old}"), &format!("--client-ca-file={client_ca}"))
        .replacing(
            apiserver,
            &format!("--kubelet-certificate-authority={old}"),
            &format!("--kubelet-certificate-authority={server_ca}"),
        );
    let manager = "kube-controller-manager.yaml";
    let signing = [("kubelet-client", client_ca), ("kubelet-serving", server_ca)].map(|(signer, ca)| {
        let key = ca.replace(".crt", ".key");
        format!("--cluster-signing-{signer}-cert-file={ca}\n    - --cluster-signing-{signer}-key-file={key}")
    });
    let signing = signing.join("\n    - ");
    let files = files
        .replacing(manager, &format!("--client-ca-file={old}"), &format!("--client-ca-file={client_ca}"))
        .replacing(manager, &format!("--cluster-signing-cert-file={old}"), &signing)
        .replacing(manager, "    - --cluster-signing-key-file=/etc/kubernetes/pki/ca.key\n", "")
        .replacing(manager, &format!("--root-ca-file={old}"), &format!("--root-ca-file={server_ca}"));
    let files = files.replacing(
        "kubelet-config.yaml",
        &format!("clientCAFile: {old}"),
        &format!("clientCAFile: {client_ca}"),
    );
    changes(&expected::kubeadm_verified(), &files, &NOTHING);
}

#[test]
fn a_single_node_keeps_plain_http_inside_its_tunnel() {
    let config = Sample::LegacySshTunnels.config();
    let cells = Run::of(config, SEED).on_the_wire().nodes(1).cells();
    let mut held = Vec::new();
    for path in ["apiserver-to-pod/http@ssh", "apiserver-to-service/http@ssh"] {
        for property in ["request_secret", "response_secret"] {
            held.push(format!("{path} eavesdropper {property}: broken -> held"));
        }
    }
    assert_eq!(expected::legacy_ssh_tunnels().differences(&cells), held);
}

#[test]
fn an_attacker_among_the_nodes_sees_only_what_leaves_the_tunnels() {
    let cells = Run::of(Sample::LegacySshTunnels.config(), SEED).on_the_wire().untrusted_fabric().cells();
    for ((path, attacker), row) in &cells.0 {
        // A pod behind a random node's tunnel is reached between the nodes, and a kubelet that serves
        // anyone is asked directly.
        let reached = path.starts_with("apiserver-to-pod") || path.starts_with("apiserver-to-service");
        let asked = path.starts_with("apiserver-to-kubelet/") && attacker == "impostor";
        let exposed = row.states.iter().any(|state| state != "not_exposed");
        assert_eq!(exposed, reached || asked, "{path} {attacker}: {:?}", row.states);
    }
    let whole = expected::legacy_ssh_tunnels();
    for path in ["apiserver-to-pod/http@ssh", "apiserver-to-service/https@ssh"] {
        let key = (path.to_owned(), "eavesdropper".to_owned());
        assert_eq!(cells.0[&key], whole.0[&key], "{path}");
    }
}

#[test]
fn legacy_kubelets_that_know_their_callers_keep_their_logs() {
    let files = Sample::LegacySshTunnels.files();
    let files = files.replacing(
        "kubelet.service",
        "--register-node=true",
        "--register-node=true --anonymous-auth=false",
    );
    // The refusal of the relay reaches the caller, who is told why.
    let kept = ["response_secret: broken -> held", "access_controlled: broken -> held", "closed: - -> yes"];
    let kept = kept.map(|change| format!("{LOGS}@ssh impostor {change}"));
    changes(&expected::legacy_ssh_tunnels(), &files, &kept);
}

#[test]
fn an_apiserver_without_credential_has_none_to_lose_and_proves_nothing() {
    let pair = "  --kubelet-client-certificate=/var/lib/kubernetes/kubernetes.pem \\\n  --kubelet-client-key=/var/lib/kubernetes/kubernetes-key.pem \\\n";
    let files = Sample::LegacySshTunnels.files().replacing("kube-apiserver.service", pair, "");
    let changed = ["request_authentic: held -> broken", "credential_safe: held -> not_applicable"];
    let changed = changed.map(|change| format!("{LOGS}@ssh impostor {change}"));
    changes(&expected::legacy_ssh_tunnels(), &files, &changed);
}

#[test]
fn kubelets_that_trust_another_authority_refuse_the_apiserver() {
    let files = Sample::KubeadmDefault.files().replacing(
        "kubelet-config.yaml",
        "clientCAFile: /etc/kubernetes/pki/ca.crt",
        "clientCAFile: /etc/kubernetes/pki/other.crt",
    );
    changes(&expected::kubeadm_default(), &files, &no_longer_works(LOGS, "failed"));
}

#[test]
fn nodes_without_their_authorizer_fail_with_all_that_runs_on_them() {
    let files = Sample::KubeadmDefault.files();
    let files =
        files.replacing("kube-apiserver.yaml", "--authorization-mode=Node,RBAC", "--authorization-mode=RBAC");
    let on_nodes = |path: &str| {
        path.starts_with("apiserver-to-") || path.starts_with("pod-") || path == "node-to-apiserver"
    };
    let all = expected::kubeadm_default();
    let paths = all.0.keys().filter(|(path, attacker)| attacker == "impostor" && on_nodes(path));
    let failed: Vec<String> = paths.flat_map(|(path, _)| no_longer_works(path, "failed")).collect();
    assert_eq!(failed.len(), 12 * 3);
    changes(&all, &files, &failed);
}

#[test]
fn without_tunnels_the_legacy_cluster_is_open() {
    let files = Sample::LegacySshTunnels.files();
    let files =
        files.replacing("kube-apiserver.service", "  --ssh-keyfile=/srv/sshproxy/.sshkeyfile \\\n", "");
    let files = files.replacing("kube-apiserver.service", "  --ssh-user=gke-tunnel \\\n", "");
    let cells = Cells::of(&run(&files));
    let mut renamed = expected::kubeadm_default();
    for path in std::iter::once(LOGS).chain(STREAMS) {
        let row = renamed.0.get_mut(&(path.to_owned(), "impostor".to_owned())).expect("it is in the table");
        for index in [1, 5] {
            row.states[index] = "broken".to_owned();
        }
    }
    assert_eq!(renamed.differences(&cells), NOTHING, "as kubeadm's, with kubelets that serve anyone");
}

#[test]
fn an_egress_that_is_not_modelled_leaves_its_paths_untested() {
    let egress = "apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection:
    proxyProtocol: GRPC
    transport:
      uds:
        udsName: /etc/kubernetes/konnectivity-server/konnectivity-server.socket
";
    let files = Sample::KubeadmDefault.files().adding("egress.yaml", egress);
    let files = files.apiserver_flag("--egress-selector-config-file=/etc/kubernetes/egress.yaml");
    let report = run(&files);
    let mut cells = Cells::of(&report);
    let is_through = |path: &str| path.starts_with("apiserver-to-");
    let mut tested = expected::kubeadm_default();
    tested.0.retain(|(path, _), _| !is_through(path));
    let through: Vec<_> = cells.0.iter().filter(|((path, _), _)| is_through(path)).collect();
    for ((path, attacker), row) in &through {
        let settled = row.states.iter().all(|state| state == "untested" || state == "not_applicable");
        assert!(settled, "{path} {attacker}: {:?}", row.states);
    }
    let untested = through.iter().filter(|(_, row)| row.states.contains(&"untested".to_owned()));
    assert_eq!(untested.count(), 20, "ten paths, two attackers");
    cells.0.retain(|(path, _), _| !is_through(path));
    assert_eq!(tested.differences(&cells), NOTHING);
    let named = report.cluster.unknown_effect.iter().any(|setting| setting.key.contains("egress"));
    assert!(named, "{:?}", report.cluster.unknown_effect);
}

#[test]
fn a_setting_without_effect_changes_only_its_own_listing() {
    let without = run(&Sample::KubeadmDefault.files());
    let mut with = run(&Sample::KubeadmDefault.files().apiserver_flag("--event-ttl=2h0m0s"));
    let listed = with.cluster.provenance.to_string();
    assert!(listed.contains("event-ttl") && !without.cluster.provenance.to_string().contains("event-ttl"));
    with.cluster.provenance = without.cluster.provenance.clone();
    assert!(with == without, "the setting changed more than its listing");
}
