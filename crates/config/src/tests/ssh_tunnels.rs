//! `SSHTunnelConfiguration`, Ravelin's own document.

use super::{file, read, refusals};
use crate::*;

const FLAGS: &str = "kube-apiserver --ssh-user=u --ssh-keyfile=/k --ssh-tunnel-config-file=/t\n";

fn document(rest: &str) -> String {
    format!("apiVersion: ravelin.dev/v1alpha1\nkind: SSHTunnelConfiguration\n{rest}")
}

fn settings(rest: &str) -> SshTunnelSettings {
    match read(&[file("api", FLAGS), file("t.yaml", &document(rest))]).apiserver.egress {
        Egress::SshTunnels { settings, .. } => settings,
        other => panic!("no tunnels: {other:?}"),
    }
}

#[test]
fn the_pinned_sample_is_the_legacy_one_with_known_hosts() {
    let mut config = read(&super::pinned());
    let Egress::SshTunnels { settings, .. } = &mut config.apiserver.egress else { panic!("no tunnels") };
    let known = SshHostKeys::KnownHosts(FileName::new("/etc/kubernetes/ssh/known_hosts"));
    assert_eq!((&settings.host_keys, settings.unknown_node), (&known, SshUnknownNode::Fail));
    *settings = SshTunnelSettings::legacy();
    let legacy = read(&super::legacy());
    assert_eq!((config.apiserver, config.kubelet), (legacy.apiserver, legacy.kubelet));
}

#[test]
fn every_mode_is_read_with_what_belongs_to_it() {
    let default = SshTunnelSettings { unknown_node: SshUnknownNode::Fail, ..SshTunnelSettings::legacy() };
    assert_eq!(settings("hostKeys: {mode: DangerAny}\n"), default);
    let first = settings("hostKeys: {mode: TrustOnFirstUse}\nunknownNode: DangerRandom\n");
    assert_eq!(first.host_keys, SshHostKeys::TrustOnFirstUse);
    assert_eq!(first.unknown_node, SshUnknownNode::DangerRandom);
    let certified = settings(
        "hostKeys: {mode: CertificateAuthority, authorityFiles: [/a, /b]}\nuserCertificateFile: /c\n\
         addressTypes: [InternalIP]\nport: 2222\n",
    );
    let authorities = ["/a", "/b"].map(FileName::new).to_vec();
    assert_eq!(
        certified,
        SshTunnelSettings {
            host_keys: SshHostKeys::CertificateAuthority(authorities),
            user_certificate_file: Some(FileName::new("/c")),
            unknown_node: SshUnknownNode::Fail,
            address_types: vec!["InternalIP".into()],
            port: 2222,
        }
    );
}

#[test]
fn what_would_not_protect_is_an_error() {
    let tunnels = "kube-apiserver --ssh-user=u --ssh-keyfile=/k\n";
    let good = document("hostKeys: {mode: TrustOnFirstUse}\n");
    for (flags, rest, expected) in [
        (FLAGS, document(""), "t.yaml:1: hostKeys: is missing"),
        (FLAGS, document("hostKeys: {}\n"), "t.yaml:3: hostKeys.mode: \"\" is no mode"),
        (FLAGS, document("hostKeys: {mode: dangerAny}\n"), "hostKeys.mode: \"dangerAny\" is no mode"),
        (FLAGS, document("hostKeys: {mode: KnownHosts}\n"), "hostKeys.knownHostsFile: is missing"),
        (FLAGS, document("hostKeys: {mode: CertificateAuthority}\n"), "hostKeys.authorityFiles: is missing"),
        (
            FLAGS,
            document("hostKeys: {mode: CertificateAuthority, authorityFiles: []}\n"),
            "hostKeys.authorityFiles: is missing or no such list",
        ),
        (
            FLAGS,
            document("hostKeys: {mode: DangerAny, knownHostsFile: /k}\n"),
            "hostKeys.knownHostsFile: is given for mode \"DangerAny\"",
        ),
        (FLAGS, document("hostKeys: {mode: DangerAny, file: /k}\n"), "hostKeys.file: is no known key"),
        (FLAGS, document("hostKeys: {mode: DangerAny}\nuser: x\n"), "t.yaml:4: user: is no known key"),
        (FLAGS, document("hostKeys: {mode: DangerAny}\nunknownNode: Any\n"), "unknownNode: is neither"),
        (FLAGS, document("hostKeys: {mode: DangerAny}\nport: 0\n"), "port: is"),
        (
            FLAGS,
            document("hostKeys: {mode: DangerAny}\naddressTypes: [Hostname]\n"),
            "addressTypes: is no list",
        ),
        (FLAGS, document("hostKeys: {mode: DangerAny}\naddressTypes: []\n"), "addressTypes: is no list"),
        (FLAGS, good.replace("v1alpha1", "v1"), "apiVersion: \"ravelin.dev/v1\" is not known"),
        (tunnels, good.clone(), "kind: no --ssh-tunnel-config-file names this file: it would not be read"),
        (
            "kube-apiserver --ssh-tunnel-config-file=/t\n",
            good.clone(),
            "--ssh-tunnel-config-file: is given without --ssh-user",
        ),
    ] {
        let errors = refusals(&[file("api", flags), file("t.yaml", &rest)]);
        assert!(errors.iter().any(|error| error.contains(expected)), "{expected}: {errors:?}");
    }
    let missing = refusals(&[file("api", FLAGS)]);
    assert!(missing[0].contains("--ssh-tunnel-config-file: /t is not in the input"), "{missing:?}");
    let twice = refusals(&[file("api", FLAGS), file("t.yaml", &good), file("u.yaml", &good)]);
    assert!(twice[0].contains("a second SSHTunnelConfiguration"), "{twice:?}");
}
