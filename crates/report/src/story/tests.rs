//! Stories as they read.

use super::*;
use crate::example::report;
use serde_json::json;

fn told(chapters: Vec<Chapter>) -> String {
    let told = Story {
        path: "apiserver-to-kubelet/logs".into(),
        attacker: "impostor".into(),
        egress: "direct".into(),
        baseline: PathOutcome::Works,
        error: None,
        counted: 12,
        chapters,
    };
    let mut report = report();
    report.cluster.provenance = json!({
        "settings": [],
        "defaulted": [],
    });
    let page = Page { width: 90, colour: false, repeat: "ravelin simulate --seed 42" };
    story(&told, &report, &page)
}

fn step(at_ms: u64, flow: &str, text: &str, kind: StepKind) -> Step {
    let segment = flow.contains("node-").then(|| "access".to_owned());
    Step { at: Duration::from_millis(at_ms), flow: flow.into(), segment, text: text.into(), kind }
}

#[test]
fn a_story_says_who_did_what_what_it_gave_and_what_would_have_stopped_it() {
    let mut steps = Vec::new();
    for (node, at) in [(1, 4_000), (2, 4_100)] {
        let flow = format!("control-plane:4009{node} > node-{node}:10250");
        steps.push(step(at, &flow, "took the server's place", StepKind::Acted));
        let read = StepKind::Broke(Property::RequestSecret);
        steps.push(step(at + 12, &format!("{flow} (the impostor)"), "read the request: /logs", read));
    }
    let refused = StepKind::Refused { by: "authentication".into(), aims: vec![Property::ResponseSecret] };
    steps.push(step(4_200, "attacker > node-1:10250", "401 Unauthorized", refused));
    let text = told(vec![Chapter { tactic: "relay".into(), began: Duration::from_secs(4), steps }]);
    let expected = "
1. relay, from 4.000 s
   The impostor ends the connection itself, passes the request on, changed and without the
   client's credential, and the answer back, changed.
   control-plane:40091 > node-1:10250  (access)
       +0 ms  took the server's place
      +12 ms  request_secret broken: read the request: /logs
              the impostor now has: the request
   … the same once more, until +112 ms: node-2:10250
   attacker > node-1:10250  (access)
     +200 ms  refused by authentication: 401 Unauthorized
   What refused it: authentication
   What would have stopped it: server certificate verification
     kube-apiserver --kubelet-certificate-authority (the CA that signs kubelets'
     certificates): no file sets it
     kubelet serverTLSBootstrap (true, or tlsCertFile with a certificate of that CA): no
     file sets it

Repeat with
  ravelin simulate --seed 42
";
    assert!(text.contains(expected), "{text}");
    for piece in [
        "apiserver-to-kubelet/logs/impostor@direct  seed 42\n",
        "The path      The apiserver asks a node's kubelet for a container's log (kubectl logs).\n",
        "  Q request_secret      broken          the attacker reads the request (false-kubelet)\n",
    ] {
        assert!(text.contains(piece), "{piece:?} in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 90), "{text}");
}

#[test]
fn an_empty_story_says_that_nothing_was_done() {
    assert!(told(vec![]).contains("The attacker did not act on this path."));
}

#[test]
fn what_a_peer_sent_cannot_steer_the_terminal_of_a_story() {
    let steps = vec![step(1, "a > b", "was handed \x1b[2J", StepKind::Handed)];
    let text = told(vec![Chapter { tactic: "x\x1b".into(), began: Duration::ZERO, steps }]);
    assert!(!text.contains('\x1b'), "{text:?}");
}

#[test]
fn a_check_that_refused_elsewhere_is_not_said_to_be_missing() {
    let read = || step(1, "a > node-1:10250", "read the request", StepKind::Broke(Property::RequestSecret));
    let chapter = |tactic: &str, steps| Chapter { tactic: tactic.into(), began: Duration::ZERO, steps };
    let by = "server certificate verification".to_owned();
    let refused = step(1, "a > node-1:10250", "unknown CA", StepKind::Refused { by, aims: vec![] });
    let text = told(vec![chapter("relay", vec![refused]), chapter("reassigned-address", vec![read()])]);
    for piece in [
        "What would have stopped it: node name verification",
        "In place, and not enough: server certificate verification",
    ] {
        assert!(text.contains(piece), "{piece:?} in\n{text}");
    }
    assert!(!text.contains("What would have stopped it: server certificate verification"), "{text}");
    assert!(
        told(vec![chapter("reassigned-address", vec![read()])]).contains("stopped it: server certificate")
    );
}
