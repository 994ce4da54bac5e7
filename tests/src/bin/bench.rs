//! `cargo xtask bench [api|streams|framing|tunnels|up|simulation] [RUNS]`: how fast the API server is
//! (`ravelin_tests::api_bench`), how fast streams are (`ravelin_tests::stream_bench`; their framing
//! alone is `framing`), how fast tunnels are (`ravelin_tests::tunnel_bench`), how fast a cluster starts
//! (`ravelin_tests::up_bench`), and how long the default simulation takes, each beside its floor.
//!
//! The simulation's floor is the same number of TLS handshakes and the same number of application bytes, through
//! rustls in memory with the same cryptography on as many threads: no network, no cluster, no HTTP.
//! Both are measured in this process, in turns, so that a busy computer slows both.

use anyhow::{Context, Result, bail, ensure};
use ravelin_config::ClusterConfig;
use ravelin_tests::{ATTACKERS, Floor, Run, Work, api_bench, stream_bench, tunnel_bench, up_bench};
use std::process::Command;
use std::time::{Duration, Instant};

/// How often both are measured, where nobody says.
const RUNS: usize = 7;

const USAGE: &str = "usage: bench [api|streams|framing|tunnels|up|simulation] [RUNS]";

/// What can be measured alone.
const PARTS: [&str; 6] = ["api", "streams", "framing", "tunnels", "up", "simulation"];

/// What is measured where nobody says.
const ALL: [&str; 5] = ["api", "streams", "tunnels", "up", "simulation"];

/// The seed of `ravelin simulate`.
const SEED: u64 = 42;

/// A path that the default configuration does not have: the clusters boot and live until it would be
/// its turn, and nobody attacks.
const QUIET: &str = "direct-to-component";

/// A line of the table: what it is called, and how it is counted.
type Counted = (&'static str, fn(&Work) -> usize);

#[allow(clippy::disallowed_methods, reason = "it is a program of its own, and people give it arguments")]
fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (part, rest) = match arguments.split_first() {
        Some((part, rest)) if PARTS.contains(&part.as_str()) => (Some(part.as_str()), rest),
        _ => (None, &arguments[..]),
    };
    let runs = match rest {
        [] => RUNS,
        [runs] => runs.parse().ok().filter(|runs| *runs > 0).context(USAGE)?,
        _ => bail!(USAGE),
    };
    let this = std::env::current_exe()?;
    match part {
        Some("api") => api_bench::run(runs),
        Some("streams") => stream_bench::run(runs),
        Some("framing") => stream_bench::framing(runs),
        Some("tunnels") => tunnel_bench::run(runs),
        Some("up") => {
            up_bench::run(&this.with_file_name(format!("ravelin{}", std::env::consts::EXE_SUFFIX)), runs)
        }
        Some(_) => simulation(runs),
        // Each in a process of its own: what something weighs shows only where nothing was before.
        None => ALL.into_iter().try_for_each(|part| {
            let ran = Command::new(&this).args([part, &runs.to_string()]).status()?;
            ensure!(ran.success(), "{part}: {ran}");
            Ok(())
        }),
    }
}

fn simulation(runs: usize) -> Result<()> {
    let config = ClusterConfig::read(&[], None).map_err(|errors| anyhow::anyhow!("refused: {errors:?}"))?;
    let run = || Run::of(config.clone(), SEED);
    let (traced, quiet_traced) =
        (run().with_trace().simulate(), run().paths(&[QUIET]).with_trace().simulate());
    let (work, quiet_work) = (Work::of(&traced.trace_lines), Work::of(&quiet_traced.trace_lines));
    ensure!(work.handshakes() > 100 && work.packets > 1_000, "the run did next to nothing: {work:?}");
    let floor = Floor::new(&work);
    let mut taken = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..runs {
        taken[0].push(timed(|| run().simulate().report.verdicts.len()));
        taken[1].push(timed(|| floor.run()));
        taken[2].push(timed(|| run().paths(&[QUIET]).simulate().report.verdicts.len()));
    }
    let mut ratios: Vec<f64> =
        taken[0].iter().zip(&taken[1]).map(|(run, floor)| run.as_secs_f64() / floor.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    let [whole, least, quiet] = taken.map(Spread::of);
    let attackers = ATTACKERS.len();
    println!("\nthe default run: every path, {attackers} attackers, three nodes (seed {SEED}), {runs} runs");
    println!("  {whole}   {:.0} simulated seconds", traced.report.simulated_ms as f64 / 1e3);
    println!(
        "the floor: its {} TLS handshakes and {} of application data, rustls in memory",
        work.handshakes(),
        kib(floor.application_bytes())
    );
    println!("  {least}");
    println!("ratio, turn by turn: median {:.2}", ratios[ratios.len() / 2]);
    println!("of that, {attackers} clusters that boot and live as long, with nobody attacking:");
    println!("  {quiet}");
    println!("each attacker alone (one core):");
    for attacker in ATTACKERS {
        let alone = (0..runs).map(|_| timed(|| run().attacker(attacker).simulate().report.verdicts.len()));
        println!("  {:<13} {}", attacker.name(), Spread::of(alone.collect()));
    }
    println!("\nwhat the runs did, counted in their traces       whole     quiet");
    let rows: [Counted; 8] = [
        ("TLS handshakes with a client certificate", |work| work.mutual),
        ("TLS handshakes without one", |work| work.plain),
        ("TLS handshakes refused", |work| work.refused),
        ("HTTP requests served", |work| work.requests),
        ("packets that crossed a segment", |work| work.packets),
        ("KiB in them", |work| work.payload_bytes / 1024),
        ("decisions of the authorizer", |work| work.decisions),
        ("lines of the trace", |work| work.lines),
    ];
    for (what, count) in rows {
        println!("  {what:<42} {:>9} {:>9}", count(&work), count(&quiet_work));
    }
    let over = whole.median.saturating_sub(least.median).as_secs_f64() * 1e6;
    println!(
        "what the run takes over the floor is {:.0} µs a request, {:.1} µs a packet",
        over / work.requests.max(1) as f64,
        over / work.packets as f64
    );
    Ok(())
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    #[allow(clippy::disallowed_methods, reason = "measuring the computer is what this is for")]
    let started = Instant::now();
    std::hint::black_box(work());
    started.elapsed()
}

/// The median of several measurements, and how far they lie apart.
struct Spread {
    median: Duration,
    least: Duration,
    most: Duration,
}

impl Spread {
    fn of(mut taken: Vec<Duration>) -> Self {
        taken.sort();
        Self { median: taken[taken.len() / 2], least: taken[0], most: taken[taken.len() - 1] }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [median, least, most] = [self.median, self.least, self.most].map(|time| time.as_secs_f64());
        write!(f, "median {median:.3} s   ({least:.3} to {most:.3} s)")
    }
}

fn kib(bytes: usize) -> String {
    format!("{} KiB", bytes / 1024)
}
