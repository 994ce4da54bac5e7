//! What a run must not give away: its canaries, its keys, its tokens.

use super::{path, ravelin, text};
use ravelin_assess::verdict_of;
use ravelin_host::Flaws;
use ravelin_oracle::Handed;
use ravelin_tests::{ATTACKERS, Sample, unit};
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
