//! What a run must not give away: its canaries, its keys, its tokens.

use super::{path, ravelin, text};
use ravelin_adversary::Attacker;
use ravelin_assess::{Path, verdict_of};
use ravelin_host::Flaws;
use ravelin_oracle::Handed;
use ravelin_tests::{ATTACKERS, Run, Sample, unit, unit_of};
use std::collections::BTreeSet;
use std::path::PathBuf;

#[test]
fn no_canary_stands_in_a_trace_verdict_or_error() {
    for sample in [Sample::KubeadmVerified, Sample::LegacySshTunnels] {
        for attacker in ATTACKERS {
            let run = unit(&sample.config(), attacker, Flaws::none(), 51);
            let mut shown = run.trace.as_str().to_owned();
            let (mut canaries, mut errors) = (Vec::new(), 0);
            for path in &run.paths {
                let verdict = verdict_of(attacker, &run.egress, path, &[]);
                shown += &serde_json::to_string(&verdict).expect("a verdict is plain data");
                for round in &path.rounds {
                    let handed = round.seen.calls.iter().map(|call| &call.handed);
                    for error in handed.filter(|handed| matches!(handed, Handed::Error { .. })) {
                        shown += &format!("{error:?}");
                        errors += 1;
                    }
                    canaries.extend(
                        [&round.seen.request, &round.seen.response].map(|canary| canary.reveal().to_owned()),
                    );
                }
            }
            assert!(canaries.len() >= 26 && shown.len() > 1_000_000, "{} {}", canaries.len(), shown.len());
            let found = canaries.iter().filter(|canary| shown.contains(canary.as_str())).count();
            assert!(errors > 0 || attacker != ATTACKERS[1], "no error was shown");
            assert_eq!(found, 0, "{} {attacker}: canaries are secrets", sample.name());
        }
    }
}

/// A whole run's trace has more than a simulation's: what the attacker did, and the evidence, which
/// quotes what was read.
#[test]
fn no_canary_stands_in_a_whole_trace_or_a_story() {
    let (config, attacker) = (Sample::KubeadmDefault.config(), Attacker::Impostor);
    let paths = [Path::KubeletLogs, Path::PodHttp];
    let alone = unit_of(&config, attacker, &paths, (Flaws::none(), 51));
    let whole = Run::of(config, 51).paths(&paths.map(Path::name)).attacker(attacker).with_trace().simulate();
    let lines: BTreeSet<&str> = whole.trace_lines.iter().map(String::as_str).collect();
    assert!(alone.trace.iter().all(|line| lines.contains(line)), "it is not the same simulation");
    let mut shown = whole.trace_lines.join("\n");
    let told: Vec<_> =
        whole.stories.iter().flat_map(|story| &story.chapters).flat_map(|c| &c.steps).collect();
    let quoted = told.iter().filter(|step| step.text.contains("(canary)")).count();
    assert!(quoted > 10, "only {quoted} quotes");
    shown.extend(told.iter().map(|step| format!("{} {}\n", step.flow, step.text)));
    let rounds = alone.paths.iter().flat_map(|path| &path.rounds);
    for canary in rounds.flat_map(|round| [&round.seen.request, &round.seen.response]) {
        assert!(!shown.contains(canary.reveal()), "a canary is told");
    }
}

#[test]
fn no_key_or_token_stands_in_anything_that_is_printed() {
    let trace = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("secrets.trace");
    for sample in Sample::ALL {
        let folder = sample.folder();
        let ran = ravelin(&["simulate", path(&folder), "--format", "json", "--trace", path(&trace)]).output();
        let ran = ran.expect("the binary starts");
        let trace = std::fs::read_to_string(&trace).expect("the trace was written");
        assert!(trace.lines().count() > 10_000 && ran.stdout.len() > 10_000);
        for (name, text) in [("trace", trace), ("report", text(&ran.stdout)), ("stderr", text(&ran.stderr))] {
            // PEM, bearer tokens, and the first bytes of a JSON Web Token's header.
            for secret in ["-----BEGIN", "PRIVATE KEY", "Bearer ", "eyJ"] {
                assert!(!text.contains(secret), "{}: {secret:?} in the {name}", sample.name());
            }
        }
    }
}
