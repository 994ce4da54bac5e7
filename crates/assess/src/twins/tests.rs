//! What is taken away next, and what becomes of a property that no twin breaks.

use super::*;
use crate::model::{ClusterSummary, PropertyVerdict, SCHEMA, Verdict};

const ASKED: Property = Property::ResponseAuthentic;

fn question(by: Protection) -> Question {
    let mut question = Question::new((Attacker::RogueNode, Path::KubeletLogs), ASKED, "t");
    assert!(question.take_away(by));
    question
}

/// What a run with these flaws showed.
fn known(flaws: &[Flaw], broken: bool, refused: &[Protection]) -> Known {
    let mut seen = Seen::default();
    if broken {
        seen.broken.insert(("t", ASKED));
    }
    seen.refused.insert(("t", ASKED), refused.to_vec());
    Known::from([((Attacker::RogueNode, flaws.iter().copied().collect(), Path::KubeletLogs), seen)])
}

#[test]
fn what_refuses_next_is_taken_away_too() {
    let mut question = question(Protection::ServerName);
    let first = Flaw::ApiserverIgnoresKubeletAddress;
    question.advance(&known(&[first], false, &[Protection::NodeName]));
    assert_eq!(question.flaws(), BTreeSet::from([first, Flaw::ApiserverIgnoresKubeletNodeName]));
    assert_eq!(question.answer, None);
    question.advance(&known(&[first, Flaw::ApiserverIgnoresKubeletNodeName], true, &[]));
    assert_eq!(question.answer, Some(TwinState::Broken));
    assert_eq!(question.without(), ["server name verification", "node name verification"]);
}

#[test]
fn the_path_s_own_server_comes_first_then_the_others() {
    let mut question = question(Protection::Authorization);
    assert_eq!(question.flaws(), BTreeSet::from([Flaw::KubeletAllowsEveryone]));
    question.advance(&known(&[Flaw::KubeletAllowsEveryone], false, &[]));
    let both = BTreeSet::from([Flaw::KubeletAllowsEveryone, Flaw::ApiserverAllowsEveryone]);
    assert_eq!(question.flaws(), both);
}

#[test]
fn a_refusal_that_protects_nothing_ends_the_chain() {
    let mut question = question(Protection::Encryption);
    question.advance(&known(&[Flaw::SessionsWithoutSecrecy], false, &[Protection::Encryption]));
    assert_eq!(question.answer, Some(TwinState::NotBroken));
}

#[test]
fn held_without_a_working_twin_is_untested() {
    let answered = |answer| {
        let mut question = question(Protection::Encryption);
        question.answer = Some(answer);
        question
    };
    let state = |answers: &[TwinState]| {
        let mut report = report();
        write(answers.iter().map(|answer| answered(*answer)).collect(), &mut report);
        let found = report.verdicts[0].properties[&ASKED].clone();
        (found.state, found.twins.len(), found.reason.is_some())
    };
    assert_eq!(state(&[TwinState::Broken]), (State::Held, 1, false));
    assert_eq!(state(&[TwinState::NotBroken, TwinState::Broken]), (State::Held, 2, false));
    assert_eq!(state(&[TwinState::NotBroken]), (State::Untested, 1, true));
    assert_eq!(state(&[]), (State::Untested, 0, true));
}

fn report() -> Report {
    Report {
        schema: SCHEMA.into(),
        seed: 1,
        commit: String::new(),
        cluster: ClusterSummary {
            kubernetes_version: "1.34".into(),
            nodes: 3,
            untrusted: vec![],
            files: vec![],
            provenance: serde_json::Value::Null,
            assumed: vec![],
            unknown_effect: vec![],
        },
        simulated_ms: 0,
        wall_ms: 0,
        trace_sha256: String::new(),
        paths: vec![],
        verdicts: vec![Verdict {
            path: Path::KubeletLogs.name().into(),
            attacker: Attacker::RogueNode.name().into(),
            egress: "direct".into(),
            failed_closed: None,
            properties: [(ASKED, PropertyVerdict::new(State::Held))].into(),
            fix: vec![],
            controls: None,
        }],
    }
}
