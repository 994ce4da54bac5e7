//! One seed decides everything: in any process, beside any other simulation, whatever else is left
//! out. And where something is not decided by it, that shows.

mod unseeded;

use crate::commands::{ravelin, sha256_of};
use ravelin_assess::model::{Report, Verdict};
use ravelin_assess::{Path, Simulated};
use ravelin_config::ClusterConfig;
use ravelin_tests::{ATTACKERS, Cells, Run, Sample};
use std::thread;

#[test]
fn one_seed_gives_one_trace_in_any_process() {
    for sample in Sample::ALL {
        let here = Run::of(sample.config(), 11).with_trace().simulate();
        let hashes: Vec<(String, String)> = thread::scope(|scope| {
            let run = |number: u32| {
                let trace = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
                let trace = trace.join(format!("{}-{number}.trace", sample.name()));
                let folder = sample.folder();
                let ran = ravelin(&["simulate", "--seed", "11", "--format", "json"])
                    .arg("--trace")
                    .arg(&trace)
                    .arg(folder)
                    .output()
                    .expect("the binary starts");
                assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
                let report: serde_json::Value = serde_json::from_slice(&ran.stdout).expect("a JSON report");
                let said = report["trace_sha256"].as_str().expect("it is a text").to_owned();
                (sha256_of(&std::fs::read(&trace).expect("the trace was written")), said)
            };
            let both = [1, 2].map(|number| scope.spawn(move || run(number)));
            both.into_iter().map(|run| run.join().expect("it ran")).collect()
        });
        for (written, said) in hashes {
            assert_eq!(written, said, "{}: the hash is that of the file", sample.name());
            let why = "another process, another trace (or `ravelin` is older than this test: build it)";
            assert_eq!(written, here.report.trace_sha256, "{}: {why}", sample.name());
        }
        assert!(here.trace_lines.len() > 10_000, "only {} lines", here.trace_lines.len());
    }
}

/// The READMEs were written on one machine, this runs on another: it is the same trace.
#[test]
fn the_readmes_show_the_trace_of_this_source() {
    let config = ClusterConfig::read(&[], None).expect("no files are well formed");
    let hash = Run::of(config, 42).simulate().report.trace_sha256;
    for name in ["README.md", "README.zh.md"] {
        let text = std::fs::read_to_string(format!("{}/../{name}", env!("CARGO_MANIFEST_DIR")));
        let shown = text.expect("it is there").contains(&format!("trace sha256 {hash}"));
        assert!(
            shown,
            "{name} shows another trace than {hash}: put in what `cargo xtask simulate` prints now"
        );
    }
}

#[test]
fn two_seeds_give_two_traces_and_the_same_verdicts() {
    let [one, two] = [21, 22].map(|seed| Run::of(Sample::KubeadmVerified.config(), seed).simulate().report);
    assert_ne!(one.trace_sha256, two.trace_sha256);
    let cells: fn(&Report) -> Cells = Cells::of;
    assert_eq!(cells(&one), cells(&two));
}

#[test]
fn leaving_out_paths_changes_nothing_in_the_others() {
    for sample in Sample::ALL {
        let whole = Run::of(sample.config(), 31).simulate();
        let kept = ["pod-to-apiserver", "apiserver-to-kubelet/logs", "apiserver-to-service/http"];
        let part = Run::of(sample.config(), 31).paths(&kept).simulate();
        compare(&whole, &part, kept.len() * ATTACKERS.len(), sample);
        for attacker in ATTACKERS {
            let of_attacker = whole.report.verdicts.iter().filter(|known| known.attacker == attacker.name());
            let count = of_attacker.count();
            compare(&whole, &Run::of(sample.config(), 31).attacker(attacker).simulate(), count, sample);
        }
        let alone = Path::ALL.into_iter().filter(|_| crate::is_deep());
        for path in alone {
            let part = Run::of(sample.config(), 31).paths(&[path.name()]).simulate();
            compare(&whole, &part, 2, sample);
        }
    }
}

/// Every verdict of the part is the whole's: states, evidence, times.
fn compare(whole: &Simulated, part: &Simulated, count: usize, sample: Sample) {
    assert_eq!(part.report.verdicts.len(), count, "{}", sample.name());
    let mut evidence = 0;
    for verdict in &part.report.verdicts {
        let name = verdict.name();
        let same = whole.report.verdicts.iter().find(|other| other.name() == name);
        assert!(same == Some(verdict), "{} {name}: {}", sample.name(), first_difference(same, verdict));
        evidence += verdict.properties.values().map(|property| property.evidence.len()).sum::<usize>();
    }
    assert!(evidence > 5 || count < 3, "{}: nothing to compare", sample.name());
}

/// Two pieces of evidence that are not the same.
fn first_difference(one: Option<&Verdict>, two: &Verdict) -> String {
    let Some(one) = one else { return "it is not there".to_owned() };
    let evidence = |verdict: &Verdict| -> Vec<String> {
        let all = verdict.properties.values().flat_map(|property| &property.evidence);
        all.map(|evidence| format!("{evidence:?}")).collect()
    };
    let (one, two) = (evidence(one), evidence(two));
    let differ = one.iter().zip(&two).find(|(one, two)| one != two);
    differ.map_or("not the evidence differs".to_owned(), |(one, two)| format!("\n{one}\n{two}"))
}

#[test]
fn simulations_side_by_side_do_not_touch_each_other() {
    let samples = [Sample::KubeadmDefault, Sample::LegacySshTunnels];
    let run = |sample: Sample| Run::of(sample.config(), 41).simulate().report.trace_sha256;
    let alone = samples.map(run);
    let together: Vec<String> = thread::scope(|scope| {
        let both = samples.map(|sample| scope.spawn(move || run(sample)));
        both.into_iter().map(|run| run.join().expect("it ran")).collect()
    });
    assert_eq!(together, alone);
}
