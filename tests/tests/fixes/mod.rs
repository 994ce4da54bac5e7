//! Fixes, by `--fixes`: what they say helps does help when it is written into the files, and what no
//! setting helps against is not said to have one.

use ravelin_adversary::Attacker;
use ravelin_assess::model::{Fix, Report, State, Verdict};
use ravelin_tests::{Files, Run, Sample};

fn keys(fix: &Fix) -> Vec<&str> {
    fix.settings.iter().map(|setting| setting.key.as_str()).collect()
}

fn verdict<'a>(report: &'a Report, path: &str, attacker: Attacker) -> &'a Verdict {
    let fits = |verdict: &&Verdict| verdict.path == path && verdict.attacker == attacker.name();
    report.verdicts.iter().find(fits).unwrap_or_else(|| panic!("no verdict on {path} by {attacker}"))
}

fn holds(verdict: &Verdict) -> bool {
    !verdict.has(State::Broken) && !verdict.has(State::Untested)
}

const LOGS: &str = "apiserver-to-kubelet/logs";

/// The flag alone makes honest logs fail, as the kubelets sign their certificates themselves.
#[test]
fn verified_kubelets_take_two_settings_where_they_sign_for_themselves() {
    let run = |files: Files| Run::of(files.config(), 7).paths(&[LOGS]).attacker(Attacker::Impostor);
    let report = run(Sample::KubeadmDefault.files()).fixes().simulate().report;
    let logs = verdict(&report, LOGS, Attacker::Impostor);
    assert!(logs.has(State::Broken));
    let found: Vec<Vec<&str>> = logs.fix.iter().map(keys).collect();
    let authority = "--kubelet-certificate-authority";
    assert_eq!(
        found,
        [vec![authority, "serverTLSBootstrap"], vec![authority, "tlsCertFile", "tlsPrivateKeyFile"]]
    );
    let first = &logs.fix[0].settings;
    assert_eq!((first[0].from.as_deref(), first[0].to.as_str()), (None, "/etc/kubernetes/pki/ca.crt"));
    assert_eq!(first[0].file.as_deref(), Some("kube-apiserver.yaml"));
    assert_eq!(first[1].file.as_deref(), Some("kubelet-config.yaml"));
    // Written into the files, it does what it is said to do.
    let files = Sample::KubeadmDefault.files().apiserver_flag(&format!("{authority}={}", first[0].to));
    let alone = run(files.clone()).simulate().report;
    assert!(alone.verdicts.is_empty(), "alone it breaks the path");
    let files = files.replacing(
        "kubelet-config.yaml",
        "rotateCertificates",
        "serverTLSBootstrap: true\nrotateCertificates",
    );
    assert!(holds(verdict(&run(files).simulate().report, LOGS, Attacker::Impostor)));
}

/// One setting is enough against strangers, whoever else asks.
#[test]
fn an_open_kubelet_is_closed_by_one_setting() {
    let open = |files: Files| files.replacing("kubelet-config.yaml", "mode: Webhook", "mode: AlwaysAllow");
    let anonymous = "authentication:\n  anonymous:\n    enabled: ";
    let files = open(Sample::KubeadmVerified.files()).replacing(
        "kubelet-config.yaml",
        &format!("{anonymous}false"),
        &format!("{anonymous}true"),
    );
    let run = Run::of(files.config(), 7).paths(&["direct-to-kubelet", LOGS]).attacker(Attacker::Outsider);
    let report = run.fixes().simulate().report;
    let direct = verdict(&report, "direct-to-kubelet", Attacker::Outsider);
    assert!(direct.has(State::Broken));
    let found: Vec<Vec<&str>> = direct.fix.iter().map(keys).collect();
    assert!(found.contains(&vec!["authentication.anonymous.enabled"]), "{found:?}");
    assert!(found.contains(&vec!["authorization.mode"]), "{found:?}");
    assert!(
        found.iter().all(|keys| keys.len() == 1),
        "pairs are for where no single setting works: {found:?}"
    );
    assert_eq!(direct.fix[0].settings[0].from.as_deref(), Some("true"), "what it is now is told");
}

/// Kubernetes verifies nobody here, and no setting changes that.
#[test]
fn what_no_setting_helps_against_has_no_fix() {
    let proxies = ["apiserver-to-pod/https", "apiserver-to-service/http"];
    let run = Run::of(Sample::KubeadmVerified.config(), 7).paths(&proxies).attacker(Attacker::Impostor);
    let report = run.fixes().simulate().report;
    for path in proxies {
        let verdict = verdict(&report, path, Attacker::Impostor);
        assert!(verdict.has(State::Broken));
        assert_eq!((verdict.fix.len(), verdict.controls), (0, Some(0)), "{path}");
    }
}

/// Flags alone leave kubelets open, and tunnels verify no host key: it takes three, found within
/// the bound.
#[test]
fn kubelets_behind_tunnels_take_three_settings() {
    let run = Run::of(Sample::LegacySshTunnels.config(), 7).paths(&[LOGS]).attacker(Attacker::Impostor);
    let report = run.fixes().simulate().report;
    let logs = verdict(&report, LOGS, Attacker::Impostor);
    assert!(logs.controls.is_some_and(|tried| tried <= 64), "{:?}", logs.controls);
    assert!(!logs.fix.is_empty());
    for fix in &logs.fix {
        let keys = keys(fix);
        assert!(keys.contains(&"--kubelet-certificate-authority"), "{keys:?}");
        let closes = |key: &&str| ["--anonymous-auth", "--authorization-mode", "--config"].contains(key);
        assert!(keys.iter().any(closes), "{keys:?}");
        assert!(fix.settings.iter().all(|setting| setting.file.is_some()));
    }
}
