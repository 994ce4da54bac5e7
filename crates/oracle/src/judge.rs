//! From observations to what broke and what was refused.

use crate::{Call, Handed, Issued, Observed, Property, Protection, State};
use std::collections::BTreeMap;
use std::time::Duration;

/// One thing that was seen and that broke a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// When.
    pub at: Duration,
    /// From whom to whom.
    pub flow: String,
    /// What was seen.
    pub text: String,
}

/// What the observations of one attempt say of one property.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// What broke it.
    pub broken: Vec<Finding>,
    /// Who refused a step aimed at it, and how that looked.
    pub refused: Vec<(Protection, Finding)>,
}

impl Judged {
    /// The state that this alone would give.
    pub fn state(&self) -> State {
        match (self.broken.is_empty(), self.refused.is_empty()) {
            (false, _) => State::Broken,
            (true, false) => State::Held,
            (true, true) => State::Untested,
        }
    }
}

/// Judges one attempt. Every property is in the answer.
pub fn judge(seen: &Observed) -> BTreeMap<Property, Judged> {
    let mut judged: BTreeMap<_, _> =
        Property::ALL.into_iter().map(|property| (property, Judged::default())).collect();
    let mut broke = |property, at, flow: &str, text: String| {
        let finding = Finding { at, flow: flow.to_owned(), text };
        judged.entry(property).or_default().broken.push(finding);
    };
    for learned in &seen.attempt.learned {
        if seen.request.is_in(&learned.bytes) {
            broke(Property::RequestSecret, learned.at, &learned.flow, "read the request".into());
        }
        if seen.response.is_in(&learned.bytes) {
            let text = "read the genuine response".into();
            broke(Property::ResponseSecret, learned.at, &learned.flow, text);
        }
    }
    for call in &seen.calls {
        if let Some(text) = not_genuine(call, &seen.issued) {
            broke(Property::ResponseAuthentic, call.at, &call.flow, text);
        }
    }
    for executed in seen.executed.iter().filter(|executed| !executed.as_sent) {
        let text = "had a request executed that the client did not send".into();
        broke(Property::RequestAuthentic, executed.at, &executed.server, text);
    }
    for gain in &seen.attempt.gains {
        broke(gain.kind.breaks(), gain.at, &gain.flow, gain.text.clone());
    }
    for refusal in &seen.attempt.refusals {
        for aim in &refusal.aims {
            let finding = Finding { at: refusal.at, flow: refusal.flow.clone(), text: refusal.text.clone() };
            judged.entry(*aim).or_default().refused.push((refusal.by, finding));
        }
    }
    judged
}

/// What is wrong with what a caller was handed, if anything is.
pub fn not_genuine(call: &Call, issued: &[Issued]) -> Option<String> {
    let body = match &call.handed {
        Handed::Success(body) => body,
        Handed::Partial => return Some("handed the caller a truncated response as success".into()),
        Handed::Error { .. } | Handed::Nothing => return None,
    };
    let mut same = issued.iter().filter(|issued| issued.body == *body).peekable();
    if same.peek().is_none() {
        return Some("handed the caller a response that the server never issued".into());
    }
    if same.any(|issued| issued.request == call.request) {
        return None;
    }
    Some("handed the caller a response that the server issued to another request".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Attempt, Canary, Executed, Gain, GainKind, Learned, Refusal};

    fn seen() -> Observed {
        Observed {
            request: Canary::new("request-canary-0001"),
            response: Canary::new("response-canary-0001"),
            attempt: Attempt::default(),
            calls: vec![],
            issued: vec![
                Issued::to("r1", "genuine response-canary-0001"),
                Issued::to("r2", "genuine, but to another request"),
            ],
            executed: vec![],
        }
    }

    fn call(handed: Handed) -> Call {
        Call { at: Duration::ZERO, flow: "a > b".into(), request: "r1".into(), handed }
    }

    fn learned(bytes: &str) -> Learned {
        Learned { at: Duration::ZERO, flow: "a > b".into(), bytes: bytes.into() }
    }

    fn broken(seen: &Observed) -> Vec<Property> {
        let judged = judge(seen);
        Property::ALL.into_iter().filter(|p| judged[p].state() == State::Broken).collect()
    }

    #[test]
    fn each_observation_breaks_its_property_and_no_other() {
        type Change = fn(&mut Observed);
        let table: [(Property, Change); 9] = [
            (Property::RequestSecret, |s| s.attempt.learned.push(learned("x request-canary-0001 y"))),
            (Property::ResponseSecret, |s| s.attempt.learned.push(learned("response-canary-0001"))),
            (Property::ResponseAuthentic, |s| s.calls.push(call(Handed::Success(b"forged".to_vec())))),
            (Property::ResponseAuthentic, |s| s.calls.push(call(Handed::Success(b"genuine".to_vec())))),
            (Property::ResponseAuthentic, |s| {
                s.calls.push(call(Handed::Success(b"genuine, but to another request".to_vec())));
            }),
            (Property::ResponseAuthentic, |s| s.calls.push(call(Handed::Partial))),
            (Property::RequestAuthentic, |s| {
                s.executed.push(Executed { at: Duration::ZERO, server: "b".into(), as_sent: false });
            }),
            (Property::CredentialSafe, |s| s.attempt.gains.push(gain(GainKind::CredentialUsed))),
            (Property::AccessControlled, |s| s.attempt.gains.push(gain(GainKind::BeyondRights))),
        ];
        for (property, change) in table {
            let mut seen = seen();
            change(&mut seen);
            assert_eq!(broken(&seen), [property]);
        }
    }

    fn gain(kind: GainKind) -> Gain {
        Gain { at: Duration::ZERO, flow: "a > b".into(), kind, text: "got it".into() }
    }

    #[test]
    fn a_line_that_is_only_cut_proves_nothing() {
        let mut seen = seen();
        seen.calls = vec![call(Handed::Nothing)];
        seen.calls.push(call(Handed::Error { text: "connection reset".into(), names_check: false }));
        for (property, judged) in judge(&seen) {
            assert_eq!(judged.state(), State::Untested, "{property}");
        }
    }

    #[test]
    fn a_refusal_holds_only_what_it_was_aimed_at_and_never_hides_a_break() {
        let mut seen = seen();
        seen.attempt.refusals.push(Refusal {
            at: Duration::ZERO,
            flow: "b".into(),
            by: Protection::ServerCertificate,
            text: "unknown_ca".into(),
            aims: vec![Property::RequestSecret, Property::ResponseAuthentic],
        });
        seen.calls.push(call(Handed::Success(b"forged".to_vec())));
        let judged = judge(&seen);
        assert_eq!(judged[&Property::RequestSecret].state(), State::Held);
        assert_eq!(judged[&Property::ResponseAuthentic].state(), State::Broken);
        assert_eq!(judged[&Property::ResponseSecret].state(), State::Untested);
    }

    #[test]
    fn the_genuine_response_is_no_finding() {
        let mut seen = seen();
        seen.calls.push(call(Handed::Success(b"genuine response-canary-0001".to_vec())));
        seen.executed.push(Executed { at: Duration::ZERO, server: "b".into(), as_sent: true });
        assert_eq!(broken(&seen), []);
    }
}
