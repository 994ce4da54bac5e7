//! Finding what repeats itself, so that it is told once: a tactic does to every node what it did to
//! the first.

use ravelin_assess::model::Step;

/// So many steps, so many times in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) length: usize,
    pub(crate) times: usize,
}

/// The longest piece that is looked for.
const MAX_LENGTH: usize = 32;

/// Splits steps into runs. Steps are alike if they differ in numbers only: ports, addresses, sizes.
pub(crate) fn runs(steps: &[Step]) -> Vec<Run> {
    let keys: Vec<String> = steps.iter().map(key).collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < keys.len() {
        let best = (1..=MAX_LENGTH.min((keys.len() - at) / 2))
            .map(|length| Run { length, times: times(&keys[at..], length) })
            .filter(|run| run.times > 1)
            // What covers most; of those that cover the same, the shortest piece.
            .max_by_key(|run| (run.length * run.times, usize::MAX - run.length));
        let run = best.unwrap_or(Run { length: 1, times: 1 });
        found.push(run);
        at += run.length * run.times;
    }
    found
}

fn times(keys: &[String], length: usize) -> usize {
    let piece = &keys[..length];
    keys.chunks(length).take_while(|chunk| *chunk == piece).count()
}

fn key(step: &Step) -> String {
    let text = format!("{}|{}|{:?}", step.flow, step.text, step.kind);
    let mut key = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '0'..='9' if key.ends_with('#') => {}
            '0'..='9' => key.push('#'),
            c => key.push(c),
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use ravelin_assess::model::StepKind;
    use std::time::Duration;

    fn steps(texts: &[&str]) -> Vec<Step> {
        let step = |text: &&str| Step {
            at: Duration::ZERO,
            flow: String::new(),
            segment: None,
            text: (*text).to_owned(),
            kind: StepKind::Acted,
        };
        texts.iter().map(step).collect()
    }

    #[test]
    fn what_differs_in_numbers_only_is_told_once() {
        let told = |texts: &[&str]| {
            runs(&steps(texts)).iter().map(|run| (run.length, run.times)).collect::<Vec<_>>()
        };
        assert_eq!(told(&["a node-1:10", "b", "a node-2:9", "b", "a node-3:8", "b", "c"]), [(2, 3), (1, 1)]);
        assert_eq!(told(&["x 1", "x 22", "x 333"]), [(1, 3)]);
        assert_eq!(told(&["a", "b", "c"]), [(1, 1), (1, 1), (1, 1)]);
        assert_eq!(told(&["a", "b", "a"]), [(1, 1), (1, 1), (1, 1)], "half a repetition is none");
        assert_eq!(told(&[]), []);
    }
}
