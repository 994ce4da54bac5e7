//! What a run is shown as for other programs, and its trace played again.

use super::{folder, output, path, text};
use ravelin_tests::{Files, Run, Sample};
use serde_json::Value;
use std::collections::BTreeSet;

/// One path under two attackers: something is broken and something held.
const LOGS: [&str; 6] =
    ["--path", "apiserver-to-kubelet/logs", "--attacker", "impostor", "--attacker", "outsider"];

#[test]
fn sarif_points_at_the_configuration_and_repeats_under_other_seeds() {
    let sample = Sample::KubeadmDefault.folder();
    let read = |seed: &str| {
        let line = [&["simulate", path(&sample), "--format", "sarif", "--seed", seed][..], &LOGS].concat();
        let ran = output(&line);
        assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
        serde_json::from_slice::<Value>(&ran.stdout).expect("JSON")
    };
    let results = |log: &Value| log["runs"][0]["results"].as_array().cloned().expect("results");
    let (one, two) = (results(&read("42")), results(&read("43")));
    let rules: BTreeSet<&str> = one.iter().filter_map(|result| result["ruleId"].as_str()).collect();
    assert_eq!(rules, BTreeSet::from(["request_secret", "response_authentic"]));
    for result in &one {
        let place = &result["locations"][0]["physicalLocation"];
        let file = place["artifactLocation"]["uri"].as_str().unwrap_or_default();
        assert!(file.ends_with("kubeadm-default/kube-apiserver.yaml"), "{result}");
    }
    let prints = |results: &[Value]| -> Vec<Value> {
        results.iter().map(|result| result["partialFingerprints"].clone()).collect()
    };
    assert_eq!(prints(&one), prints(&two));
}

#[test]
fn a_trace_holds_the_evidence_in_its_order_of_time() {
    let run = Run::of(Sample::KubeadmDefault.config(), 42).paths(&["apiserver-to-kubelet/logs"]).with_trace();
    let simulated = run.attacker(ravelin_adversary::Attacker::Impostor).simulate();
    let events: Vec<Value> =
        simulated.trace_lines.iter().map(|line| serde_json::from_str(line).expect("an event")).collect();
    let mut last = 0;
    for at in events.iter().filter_map(|event| event["at_us"].as_u64()) {
        assert!(at >= last, "{at} after {last}");
        last = at;
    }
    let told: BTreeSet<(u64, String, String)> = events
        .iter()
        .filter(|event| event["kind"] == "evidence")
        .map(|event| {
            let named = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            (event["at_us"].as_u64().unwrap_or_default() / 1_000, named("tactic"), named("flow"))
        })
        .collect();
    let mut counted = 0;
    for found in simulated.report.verdicts.iter().flat_map(|verdict| verdict.properties.values()) {
        for seen in &found.evidence {
            counted += 1;
            let wanted = (seen.at_ms, seen.tactic.clone(), seen.flow.clone());
            assert!(told.contains(&wanted), "{wanted:?} is not in the trace");
        }
    }
    assert!(counted > 10, "{counted} pieces of evidence");
    let verdicts = events.iter().filter(|event| event["kind"] == "verdict").count();
    assert_eq!(verdicts, simulated.report.verdicts.len());
}

#[test]
fn a_trace_is_played_again_and_filtered() {
    let folder = folder("replayed", &Files(Vec::new()));
    let trace = folder.join("trace.jsonl");
    let ran = output(&[&["simulate", "--trace", path(&trace)][..], &LOGS].concat());
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
    let replay = |more: &[&str]| {
        let played = output(&[&["replay", path(&trace)], more].concat());
        assert_eq!(played.status.code(), Some(0), "{}", text(&played.stderr));
        text(&played.stdout)
    };
    let all = replay(&[]);
    for piece in
        ["=== impostor ===", "=== outsider ===", "--- boot", "control-plane:", "request_secret BROKEN"]
    {
        assert!(all.contains(piece), "no {piece:?}");
    }
    let few = replay(&["--attacker", "impostor", "--path", "apiserver-to-*", "--kind", "evidence"]);
    assert!(few.contains("request_secret BROKEN") && !few.contains("outsider") && !few.contains("packet"));
    assert!(few.lines().count() * 100 < all.lines().count(), "{} lines", few.lines().count());
    let early = replay(&["--until", "500", "--kind", "packet"]);
    let times: Vec<f64> =
        early.lines().filter_map(|line| line.trim_start().split(' ').next()?.parse().ok()).collect();
    assert!(times.len() > 10 && times.iter().all(|at| *at <= 0.5), "{times:?}");
}

#[test]
fn seeds_are_alike_and_a_seed_that_fails_ends_with_its_command() {
    let sample = Sample::KubeadmVerified.folder();
    let ran = output(&[&["simulate", path(&sample), "--seeds", "5..8"][..], &LOGS].concat());
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
    assert!(text(&ran.stdout).starts_with("3 seeds (5..=7), all alike: "), "{}", text(&ran.stdout));
    let other_ca = Sample::KubeadmVerified.files().replacing(
        "kube-apiserver.yaml",
        "--kubelet-certificate-authority=/etc/kubernetes/pki/ca.crt",
        "--kubelet-certificate-authority=/etc/kubernetes/pki/other.crt",
    );
    let failing = folder("seeds-another-authority", &other_ca);
    for (many, last) in [(&["--seeds", "5..8"][..], "--seed 5"), (&["--seed", "6"], "--seed 6")] {
        let ran = output(&[&["simulate", path(&failing)][..], many, &LOGS].concat());
        assert_eq!(ran.status.code(), Some(3));
        let told = text(&ran.stderr);
        let command = told.lines().last().unwrap_or_default().to_owned();
        assert!(command.starts_with("repeat with: ravelin simulate ") && command.contains(last), "{told}");
    }
}
