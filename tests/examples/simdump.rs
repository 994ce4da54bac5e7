//! Scratch.
use ravelin_tests::{Run, Sample};
fn main() {
    let mut args = std::env::args().skip(1);
    let file = args.next().unwrap();
    let simulated = Run::of(Sample::ALL[args.next().unwrap().parse::<usize>().unwrap()].config(), 42)
        .captured()
        .simulate();
    for c in &simulated.captures {
        eprintln!("{c:?} {:?} {}", c.segments, c.secrets.len());
    }
    let bytes = ravelin_report::pcapng(&simulated.report, &simulated.captures);
    std::fs::write(file, bytes).unwrap();
    for v in &simulated.report.verdicts {
        for (p, f) in &v.properties {
            for e in &f.evidence {
                eprintln!("{} {p} {:?} {} {} {}", v.name(), f.state, e.at_ms, e.flow, e.text);
            }
        }
    }
}
