//! What is wrong is refused with its file and line, all of it at once, and nothing is run.

use ravelin_tests::{Files, Sample};

fn refused(files: &Files, wanted: &[(&str, &str)]) {
    let refusals = files.refusals();
    for (place, word) in wanted {
        let found = refusals.iter().any(|refusal| refusal.starts_with(place) && refusal.contains(word));
        assert!(found, "no refusal at {place} speaks of {word:?}: {refusals:#?}");
    }
    assert_eq!(refusals.len(), wanted.len(), "{refusals:#?}");
}

#[test]
fn an_unknown_flag_is_refused_where_it_stands() {
    let files = Sample::KubeadmDefault
        .files()
        .apiserver_flag("--kubelet-certificate-autority=/etc/kubernetes/pki/ca.crt");
    refused(&files, &[("kube-apiserver.yaml:16: ", "--kubelet-certificate-authority")]);
}

#[test]
fn yaml_that_is_none_is_refused_where_it_breaks() {
    let files =
        Sample::KubeadmDefault.files().replacing("kubelet-config.yaml", "mode: Webhook", "mode: [Webhook");
    let refusals = files.refusals();
    assert!(refusals.iter().any(|refusal| refusal.starts_with("kubelet-config.yaml:")), "{refusals:#?}");
}

#[test]
fn a_value_that_does_not_exist_is_refused_with_those_that_do() {
    let files =
        Sample::KubeadmDefault.files().replacing("kubelet-config.yaml", "mode: Webhook", "mode: Maybe");
    refused(&files, &[("kubelet-config.yaml:11: ", "AlwaysAllow")]);
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    let files = Sample::LegacySshTunnels.files();
    let key = "  --ssh-keyfile=/srv/sshproxy/.sshkeyfile \\\n";
    refused(
        &files.replacing("kube-apiserver.service", key, ""),
        &[("kube-apiserver.service:", "--ssh-user")],
    );
    let files = Sample::KubeadmDefault.files();
    let key = "    - --tls-private-key-file=/etc/kubernetes/pki/apiserver.key\n";
    refused(
        &files.replacing("kube-apiserver.yaml", key, ""),
        &[("kube-apiserver.yaml:", "--tls-private-key-file")],
    );
}

#[test]
fn everything_wrong_is_told_at_once() {
    let files = Sample::KubeadmDefault
        .files()
        .apiserver_flag("--no-such-flag=1")
        .replacing("kube-apiserver.yaml", "--secure-port=6443", "--secure-port=many")
        .replacing("kubelet-config.yaml", "mode: Webhook", "mode: Maybe");
    refused(
        &files,
        &[
            ("kube-apiserver.yaml:", "--no-such-flag"),
            ("kube-apiserver.yaml:", "--secure-port"),
            ("kubelet-config.yaml:", "mode"),
        ],
    );
}
