//! A report made by hand, for the tests.

use ravelin_assess::model::{
    ClusterSummary, Evidence, PathOutcome, PathState, Property, PropertyVerdict, Report, SCHEMA, State,
    UnknownEffect, Verdict,
};
use std::collections::{BTreeMap, BTreeSet};

/// The command behind it.
pub(crate) fn repeat() -> crate::Repeat {
    crate::Repeat::new(["ravelin", "simulate", "kube-apiserver.yaml", "--seed", "42"].map(str::to_owned))
}

/// Three paths (one works, one is absent, one failed) under two attackers.
pub(crate) fn report() -> Report {
    Report {
        schema: SCHEMA.into(),
        seed: 42,
        commit: "0123abcd".into(),
        cluster: ClusterSummary {
            kubernetes_version: "1.33".into(),
            nodes: 3,
            untrusted: vec!["access".into(), "fabric".into()],
            files: vec!["kube-apiserver.yaml".into()],
            provenance: serde_json::json!({}),
            assumed: vec!["the kubelets are set up as kubeadm does it".into()],
            unknown_effect: vec![UnknownEffect {
                key: "--oidc-issuer-url".into(),
                file: "kube-apiserver.yaml".into(),
                line: Some(17),
                paths: vec!["user-to-apiserver".into()],
                why: "tokens of an OIDC issuer are not modelled".into(),
            }],
        },
        simulated_ms: 61_000,
        wall_ms: 2_500,
        trace_sha256: "ab".repeat(32),
        paths: vec![
            path("apiserver-to-kubelet/logs", PathOutcome::Works, None),
            path("direct-to-apiserver-insecure", PathOutcome::Absent, Some("connection refused")),
            path(
                "apiserver-to-node/https",
                PathOutcome::Failed,
                Some("502: x509: \x1b[31munknown authority"),
            ),
        ],
        verdicts: vec![
            verdict("eavesdropper", [State::Held; 6]),
            logs_under_the_impostor(),
            Verdict { path: "apiserver-to-node/https".into(), ..verdict("impostor", [State::Untested; 6]) },
        ],
    }
}

fn path(name: &str, state: PathOutcome, error: Option<&str>) -> PathState {
    PathState { path: name.into(), egress: "direct".into(), state, error: error.map(str::to_owned) }
}

fn verdict(attacker: &str, states: [State; 6]) -> Verdict {
    Verdict {
        path: "apiserver-to-kubelet/logs".into(),
        attacker: attacker.into(),
        egress: "direct".into(),
        failed_closed: None,
        properties: Property::ALL.into_iter().zip(states.map(PropertyVerdict::new)).collect(),
        fix: vec![],
        controls: None,
    }
}

fn logs_under_the_impostor() -> Verdict {
    let evidence = |text: &str| Evidence {
        tactic: "false-kubelet".into(),
        at_ms: 4_012,
        flow: "control-plane > node-1:10250".into(),
        text: text.into(),
    };
    let broken = |text: &str| PropertyVerdict {
        tactics: vec!["false-kubelet".into()],
        evidence: vec![evidence(text), evidence("more of the same")],
        ..PropertyVerdict::new(State::Broken)
    };
    let held = PropertyVerdict {
        tactics: vec!["relay".into()],
        refused_by: BTreeSet::from(["client certificate bound to the handshake".to_owned()]),
        ..PropertyVerdict::new(State::Held)
    };
    let properties = BTreeMap::from([
        (Property::RequestSecret, broken("read the request's canary")),
        (Property::ResponseSecret, held.clone()),
        (Property::ResponseAuthentic, broken("the caller was handed a forged log")),
        (Property::RequestAuthentic, held),
        (
            Property::CredentialSafe,
            PropertyVerdict { counted: Some(0), ..PropertyVerdict::new(State::NotExposed) },
        ),
        (
            Property::AccessControlled,
            PropertyVerdict {
                reason: Some("no tactic reached the kubelet".into()),
                ..PropertyVerdict::new(State::Untested)
            },
        ),
    ]);
    Verdict { failed_closed: Some(false), properties, ..verdict("impostor", [State::Held; 6]) }
}
