//! What is told of one tactic, from observations made by hand.

use super::*;
use ravelin_cluster::Layout;
use ravelin_config::ClusterConfig;
use ravelin_oracle::{Attempt, Call, Gain, GainKind, Issued, Refusal};
use ravelin_sim::Untrusted;

const AT: Duration = Duration::from_millis(7);
const TAKEN: &str = "192.0.2.10:4000 > 198.18.0.1:10250 (the impostor)";

fn told(change: impl FnOnce(&mut Observed)) -> Vec<Step> {
    let mut seen = Observed {
        request: Canary::new("request-canary-0001"),
        response: Canary::new("response-canary-0001"),
        attempt: Attempt::default(),
        calls: vec![],
        issued: vec![Issued::to("r", "genuine")],
        executed: vec![],
    };
    change(&mut seen);
    let config = ClusterConfig::read(&[], None).expect("what kubeadm sets up by default");
    let layout = Layout::new(&config, 2).expect("there is room");
    steps(&seen, &Places::of(&layout, Untrusted::ALL))
}

fn learned(bytes: &str) -> Learned {
    Learned { at: AT, flow: TAKEN.into(), bytes: bytes.into() }
}

#[test]
fn what_was_read_is_quoted_once_without_its_canaries() {
    let read = "/logs?limit=request-canary-0001&also=response-canary-0001\nhost: x";
    let steps = told(|seen| seen.attempt.learned = vec![learned(read), learned("request-canary-0001")]);
    let texts: Vec<&str> = steps.iter().map(|step| step.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "read the request: /logs?limit=(canary)&also=(canary)",
            "read the genuine response: /logs?limit=(canary)&also=(canary)"
        ]
    );
    assert_eq!(steps[0].kind, StepKind::Broke(Property::RequestSecret));
    assert_eq!(steps[0].flow, "control-plane:4000 > node-1:10250 (the impostor)");
    assert_eq!(steps[0].segment.as_deref(), Some("access"));
}

#[test]
fn a_line_with_a_credential_is_not_quoted() {
    for secret in
        ["Authorization: Bearer request-canary-0001", "{\"token\":\"x\",\"a\":\"request-canary-0001\"}"]
    {
        let steps = told(|seen| seen.attempt.learned = vec![learned(secret)]);
        assert_eq!(steps[0].text, "read the request");
    }
}

#[test]
fn the_attackers_notes_are_told_once_beside_what_was_judged() {
    let steps = told(|seen| {
        let (flow, text) = ("attacker > 198.18.0.1:10250".to_owned(), "got it".to_owned());
        let by = Protection::Authentication;
        seen.attempt.story = vec![
            (AT, format!("{flow}: {text}")),
            (AT, format!("{flow}: refused by {}: 401", by.name())),
            (AT, "captured a bearer token".to_owned()),
        ];
        let aims = vec![Property::ResponseSecret, Property::AccessControlled];
        seen.attempt.refusals = vec![Refusal { at: AT, flow: flow.clone(), by, text: "401".into(), aims }];
        seen.attempt.gains = vec![Gain { at: AT, flow, kind: GainKind::BeyondRights, text }];
    });
    let kinds: Vec<&StepKind> = steps.iter().map(|step| &step.kind).collect();
    let aims = vec![Property::ResponseSecret, Property::AccessControlled];
    assert_eq!(
        kinds,
        [
            &StepKind::Obtained("a bearer token".into()),
            &StepKind::Broke(Property::AccessControlled),
            &StepKind::Refused { by: "authentication".into(), aims },
        ]
    );
}

#[test]
fn callers_are_told_whether_their_answer_was_genuine() {
    let call = |body: &str| Call {
        at: AT,
        flow: "operator > apiserver".into(),
        request: "r".into(),
        handed: Handed::Success(body.into()),
    };
    let steps = told(|seen| seen.calls = vec![call("genuine"), call("forged!!")]);
    let texts: Vec<&str> = steps.iter().map(|step| step.text.as_str()).collect();
    assert_eq!(texts[0], "was handed the genuine answer, 7 bytes");
    assert_eq!(texts[1], "was handed 8 bytes as success");
    assert_eq!(steps[2].kind, StepKind::Broke(Property::ResponseAuthentic));
}

#[test]
fn a_long_line_is_quoted_around_its_canary() {
    let long = format!("{}request-canary-0001{}", "a".repeat(500), "ß".repeat(500));
    let steps = told(|seen| seen.attempt.learned = vec![learned(&long)]);
    let quote = format!("… {}(canary){} …", "a".repeat(60), "ß".repeat(60));
    assert_eq!(steps[0].text, format!("read the request: {quote}"));
}
