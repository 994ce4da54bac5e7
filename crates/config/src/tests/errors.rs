//! Every kind of mistake once, and the line that is said about it.

use super::{file, kubeadm_default, lines, refusals};
use crate::{ClusterConfig, SourceFile};

fn kubelet_file(body: &str) -> SourceFile {
    file("k.yaml", &format!("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n{body}"))
}

/// Every kind of mistake once: the input, and the beginning of its only error.
#[test]
fn every_mistake_is_shown_with_file_line_and_key() {
    let api = |flags: &str| vec![file("api", &format!("kube-apiserver \\\n {flags}\n"))];
    let cases: Vec<(Vec<SourceFile>, &str)> = vec![
        (
            api("--authorization-mode=RBAX"),
            "api:2: --authorization-mode: \"RBAX\" is not one of its values (did you mean RBAC?); accepted: AlwaysAllow, AlwaysDeny, ABAC, Webhook, RBAC, Node",
        ),
        (
            api("--anonymus-auth=false"),
            "api:2: --anonymus-auth: kube-apiserver has no such flag; did you mean --anonymous-auth?",
        ),
        (
            api("--cluster-dns=10.0.0.10"),
            "api:2: --cluster-dns: kube-apiserver has no such flag; it is a flag of kubelet",
        ),
        (api("--secure-port=99999"), "api:2: --secure-port: \"99999\" is not a port; accepted: 0 to 65535"),
        (api("--secure-port=0"), "api:2: --secure-port: 0 turns off a port"),
        (api("--anonymous-auth false"), "api:2: false: kube-apiserver takes flags only"),
        (
            api("--service-cluster-ip-range=10.0.0.0/40"),
            "api:2: --service-cluster-ip-range: \"10.0.0.0/40\" is not a range",
        ),
        (api("--client-ca-file"), "api:2: --client-ca-file: has no value"),
        (api("--tls-cert-file=/c"), "api:2: --tls-cert-file: is given without --tls-private-key-file"),
        (
            api("--kubelet-client-certificate=/c"),
            "api:2: --kubelet-client-certificate: is given without --kubelet-client-key",
        ),
        (api("--ssh-user=u"), "api:2: --ssh-user: is given without --ssh-keyfile"),
        (
            api("--ssh-user=u --ssh-keyfile=/k --kubelet-read-only-port=0"),
            "api:2: --kubelet-read-only-port: must enable kubelet port if proxy ssh-tunneling is specified",
        ),
        (
            api("--ssh-user=u --ssh-keyfile=/k --egress-selector-config-file=/e"),
            "api:2: --ssh-user: is given beside --egress-selector-config-file",
        ),
        (
            api("--ssh-user=u --ssh-keyfile=/k --authentication-config=/e"),
            "api:2: --authentication-config: needs Kubernetes 1.29 and newer, but --ssh-user (api:2) needs Kubernetes 1.21 and older",
        ),
        (
            api("--authorization-mode=Webhook"),
            "api:2: --authorization-mode: Webhook needs --authorization-webhook-config-file",
        ),
        (
            api("--enable-admission-plugins=NodeRestricton"),
            "api:2: --enable-admission-plugins: \"NodeRestricton\" is no admission plugin; did you mean NodeRestriction?",
        ),
        (
            api("--service-cluster-ip-range=10.244.0.0/24"),
            "api:2: --service-cluster-ip-range: 10.244.0.0/24 overlaps with the pods' range",
        ),
        (api("--feature-gates=X=maybe"), "api:2: --feature-gates=X: \"maybe\" is not a boolean"),
        (
            api(
                "--enable-kubelet-cert-cn-validation --kubelet-certificate-authority=/ca --service-account-issuer=https://i --service-account-signing-key-file=/k",
            ),
            "api:2: --enable-kubelet-cert-cn-validation: requires feature gate KubeletCertCNValidation",
        ),
        (
            api(
                "--enable-kubelet-cert-cn-validation --feature-gates=KubeletCertCNValidation=true --service-account-issuer=https://i --service-account-signing-key-file=/k",
            ),
            "api:2: --enable-kubelet-cert-cn-validation: is given without --kubelet-certificate-authority",
        ),
        (
            vec![kubelet_file("readonlyPort: 0\n")],
            "k.yaml:3: readonlyPort: is no known key (they are case-sensitive); did you mean readOnlyPort?",
        ),
        (
            vec![kubelet_file("readOnlyPort: '0'\n")],
            "k.yaml:3: readOnlyPort: is a string; accepted: a whole number",
        ),
        (
            vec![kubelet_file("authorization:\n  mode: webhook\n")],
            "k.yaml:4: authorization.mode: \"webhook\" is not one of its values (did you mean Webhook?)",
        ),
        (
            vec![kubelet_file("port: 10255\nreadOnlyPort: 10255\n")],
            "k.yaml:4: readOnlyPort: 10255 is the port of the HTTPS endpoint too",
        ),
        (
            vec![kubelet_file("tlsCertFile: /c\n")],
            "k.yaml:3: tlsCertFile: is given without --tls-private-key-file",
        ),
        (
            vec![kubelet_file(
                "serverTLSBootstrap: true\nfeatureGates: {RotateKubeletServerCertificate: false}\n",
            )],
            "k.yaml:3: serverTLSBootstrap: requires feature gate RotateKubeletServerCertificate",
        ),
        (
            vec![kubelet_file("serverTLSBootstrap: true\ntlsCertFile: /c\ntlsPrivateKeyFile: /k\n")],
            "k.yaml:3: serverTLSBootstrap: is given beside a certificate file",
        ),
        (vec![kubelet_file("a: 1\na: 2\n")], "k.yaml:4: a: is given twice"),
        (
            vec![kubelet_file(""), file("unit", "[Service]\nExecStart=/bin/kubelet --kubeconfig=/k\n")],
            "k.yaml:1: kind: the kubelet's flags name no --config",
        ),
        (
            vec![kubelet_file(""), kubelet_file("")],
            "k.yaml:1: kind: a second KubeletConfiguration; the first is k.yaml:1",
        ),
        (vec![file("x", "")], "x: is empty; accepted: static pod manifests"),
        (vec![file("x", "hello\n")], "x:1: is no file that is read here; accepted: static pod manifests"),
        (vec![file("x", "a: [1\n")], "x:"),
        (vec![file("x", "a: 1\n")], "x:1: kind: has no kind and apiVersion"),
        (
            vec![file("x", "--v=2\n")],
            "x:1: these flags do not tell whose they are: kube-apiserver or kube-controller-manager",
        ),
        (vec![file("u", "[Service]\nExecStart=/bin/sh -c kubelet\n")], "u:2: ExecStart: runs a shell"),
        (
            api("--authentication-config=/e --service-account-issuer=i"),
            "api:1: --service-account-signing-key-file: is missing, and required in Kubernetes 1.29 and newer (as --authentication-config needs)",
        ),
        (vec![file("t", "[plugins]\n")], "t:1: holds neither ExecStart="),
        (vec![file("e", "A=1\n")], "e: holds variables, but no unit"),
        (
            vec![file("a", "kube-apiserver --v=1\n"), file("b", "kube-apiserver --v=2\n")],
            "b:1: kube-apiserver is configured twice, and differently; the first is a:1",
        ),
        (
            vec![file(
                "a.yaml",
                "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\nanonymous: {enabled: true}\n",
            )],
            "a.yaml:1: kind: no --authentication-config names this file",
        ),
        (
            vec![
                file(
                    "a.yaml",
                    "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\nanonymous: {enabled: true}\n",
                ),
                file(
                    "f",
                    "kube-apiserver --authentication-config=/a --anonymous-auth --service-account-issuer=i --service-account-signing-key-file=/s",
                ),
            ],
            "f:1: --anonymous-auth: cannot be given beside anonymous in a.yaml:3",
        ),
        (
            vec![file(
                "k",
                "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v2.0.0\n",
            )],
            "k:3: kubernetesVersion: \"v2.0.0\" is a version that is not known here",
        ),
        (
            vec![file(
                "k",
                "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nnetworking: {podSubnet: x}\n",
            )],
            "k:3: networking.podSubnet: \"x\" is not a range",
        ),
        (vec![file("o", "apiVersion: v1\nkind: ConfigMap\n")], "o:1: metadata.name: an object needs a name"),
    ];
    let mut different = Vec::new();
    for (files, expected) in cases {
        let shown = ClusterConfig::read(&files, None).err().map(|errors| lines(&errors)).unwrap_or_default();
        if shown.len() != 1 || !shown[0].starts_with(expected) {
            different.push(format!("expected {expected}\n     got {shown:#?}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn all_mistakes_are_shown_at_once_in_the_order_of_the_input() {
    let files = [
        file("b", "kube-apiserver --secure-port=x\n --anonymous-auth=2\n"),
        file("a", "kubelet --port=-1 --config=/c\n"),
    ];
    let shown: Vec<_> =
        refusals(&files).iter().map(|l| l.split(": \"").next().unwrap_or_default().to_owned()).collect();
    assert_eq!(shown, ["b:1: --secure-port", "b:2: --anonymous-auth", "a:1: --port"]);
}

#[test]
fn kubeadms_arguments_must_agree_with_the_manifest_that_it_wrote() {
    let mut files = kubeadm_default();
    files[3].text = files[3].text.replace("apiServer: {}", "apiServer:\n  extraArgs:\n  - {name: authorization-mode, value: RBAC}\n  - {name: secure-port, value: '6443'}");
    assert_eq!(
        refusals(&files),
        [
            "kubeadm-config.yaml:5: --authorization-mode: \"RBAC\" here, but \"Node,RBAC\" in kube-apiserver.yaml:18; accepted: the same in both files"
        ]
    );
    let mut files = kubeadm_default();
    files[3].text = files[3].text.replace("v1.34.2", "v1.33.0").replace("10.96.0.0/12", "10.97.0.0/16");
    let shown = refusals(&files);
    assert!(
        shown[0].contains("kubernetesVersion: 1.33 here, but 1.34")
            && shown[1].contains("networking.serviceSubnet: 10.97.0.0/16 here"),
        "{shown:#?}"
    );
}

#[test]
fn a_flag_must_exist_in_the_version_that_the_files_name() {
    let mut files = kubeadm_default();
    files[0].text = files[0].text.replace("--allow-privileged=true", "--insecure-port=0");
    assert_eq!(
        refusals(&files),
        [
            "kube-apiserver.yaml:17: --insecure-port: does not exist in Kubernetes 1.34; accepted: Kubernetes 1.23 and older"
        ]
    );
    let errors = ClusterConfig::read(&kubeadm_default(), Some("banana")).expect_err("no version");
    assert!(
        errors[0].to_string().starts_with("--kubernetes-version: \"banana\" is not a Kubernetes version")
    );
    let missing = [file("f", "kube-apiserver --secure-port=6443\n")];
    let errors = ClusterConfig::read(&missing, Some("1.30")).expect_err("required flags");
    assert!(
        errors[0]
            .to_string()
            .contains("--service-account-issuer: is missing, and required in Kubernetes 1.30"),
        "{errors:?}"
    );
}
