//! `ravelin simulate`: files in, a run, a report out.

use crate::args::{Explain, Format, Simulate};
use crate::console::Console;
use crate::files::{self, Refused, fill, open, print};
use crate::outcome::{self, Status};
use crate::{again, input, progress, seeds};
use ravelin_assess::model::Story;
use ravelin_assess::{AssessError, Progress, SimulateRequest, Simulated};
use ravelin_config::ClusterConfig;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// What runs the simulations: `ravelin_assess::simulate`, or a stand-in under test.
pub(crate) type Engine<'a> =
    &'a (dyn Fn(SimulateRequest, &(dyn Fn(Progress) + Sync)) -> Result<Simulated, AssessError> + Sync);

/// Runs the command, and says what became of it: last, where something was not as it should be, the
/// one command that shows it again.
pub(crate) fn run(options: &Simulate, engine: Engine<'_>, console: &mut Console<'_>) -> Status {
    let status = files::status(attempt(options, engine, console), console);
    // With many seeds, it is the failing seed's command.
    if status == Status::Incomplete && options.seeds.is_none() {
        console.say(&format!("repeat with: {}", again::narrowed(options, options.seed)));
    }
    status
}

fn attempt(options: &Simulate, engine: Engine<'_>, console: &mut Console<'_>) -> Result<Status, Refused> {
    check_combination(options)?;
    let config = configuration(options, console)?;
    if let Some(seeds) = options.seeds {
        return seeds::run(options, seeds, (config, engine), console);
    }
    let (report_file, trace_file) = (open(options.output.as_deref())?, open(options.trace.as_deref())?);
    let packets_file = open(options.pcap.as_deref())?;
    let simulated = simulate(options, config, engine, console)?;
    let stories = match &options.explain {
        Some(wanted) => Some(chosen(&simulated.stories, wanted)?),
        None => None,
    };
    let report = &simulated.report;
    if let Some(file) = trace_file {
        let lines = simulated.trace_lines.join("\n") + "\n";
        fill(file, options.trace.as_deref(), lines.as_bytes())?;
    }
    if let Some(file) = packets_file {
        fill(file, options.pcap.as_deref(), &ravelin_report::pcapng(report, &simulated.captures))?;
    }
    if let Some(file) = report_file {
        fill(file, options.output.as_deref(), shown(options, &simulated, console.width, false).as_bytes())?;
    } else if stories.is_none() {
        print(console, &shown(options, &simulated, console.width, console.colour))?;
    }
    for story in stories.unwrap_or_default() {
        let name = format!("{}/{}@{}", story.path, story.attacker, story.egress);
        let repeat = again::command(options, options.seed).with(&["--explain", &name]);
        let page = ravelin_report::Page { width: console.width, colour: console.colour, repeat: &repeat };
        let told = ravelin_report::story(story, report, &page);
        print(console, &told)?;
    }
    Ok(outcome::of_report(report, options.fail_on))
}

fn check_combination(options: &Simulate) -> Result<(), Refused> {
    let usage = |line: &str| Err(Refused(Status::Usage, vec![line.to_owned()]));
    if options.explain.is_some() && options.format != Format::Table && options.output.is_none() {
        return usage("--explain takes standard output: give the report its own file with --output");
    }
    let files = [("--output", &options.output), ("--trace", &options.trace), ("--pcap", &options.pcap)];
    for (number, (one, file)) in files.iter().enumerate() {
        if let Some((other, _)) = files[..number].iter().find(|(_, known)| file.is_some() && known == file) {
            return usage(&format!("{other} and {one} name the same file"));
        }
    }
    Ok(())
}

fn configuration(options: &Simulate, console: &mut Console<'_>) -> Result<ClusterConfig, Refused> {
    let input = input::read(&options.inputs, &mut console.input);
    if !input.ignored.is_empty() {
        let names = input.ignored.join(", ");
        console.say(&ravelin_report::harmless(&format!("ignored, by their names: {names}")));
    }
    if !input.errors.is_empty() {
        return Err(Refused(Status::Usage, input.errors));
    }
    ClusterConfig::read(&input.files, options.kubernetes_version.as_deref())
        .map_err(|errors| Refused(Status::Usage, errors.iter().map(ToString::to_string).collect()))
}

fn simulate(
    options: &Simulate,
    config: ClusterConfig,
    engine: Engine<'_>,
    console: &Console<'_>,
) -> Result<Simulated, Refused> {
    let (mut paths, mut attackers) = (options.path.clone(), options.attacker.clone());
    if let (Some(wanted), true, None, None) =
        (&options.explain, paths.is_empty() && attackers.is_empty(), &options.output, &options.trace)
    {
        // Leaving out changes nothing in what is left, so one story needs one simulation.
        (paths, attackers) = (vec![wanted.path.clone()], vec![wanted.attacker.clone()]);
    }
    let narrowed = Simulate { path: paths, attacker: attackers, ..options.clone() };
    let request = request(&narrowed, (config, options.seed), &console.commit);
    let bar = progress::Bar::new(console.watched);
    run_one(request, engine, &|step| bar.show(step))
}

/// What these options ask for under this seed.
pub(crate) fn request(
    options: &Simulate,
    (config, seed): (ClusterConfig, u64),
    commit: &str,
) -> SimulateRequest {
    SimulateRequest {
        config,
        seed,
        nodes: options.nodes,
        paths: options.path.clone(),
        attackers: options.attacker.clone(),
        untrusted: options.untrusted.segments(),
        want_trace: options.trace.is_some(),
        want_packets: options.pcap.is_some(),
        twins: options.twins,
        fixes: options.fixes,
        commit: commit.to_owned(),
    }
}

/// One run, timed; a bug in it ends the run and not the process.
pub(crate) fn run_one(
    request: SimulateRequest,
    engine: Engine<'_>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Simulated, Refused> {
    let (seed, commit) = (request.seed, request.commit.clone());
    let started = now();
    match catch_unwind(AssertUnwindSafe(|| engine(request, progress))) {
        Ok(Ok(mut simulated)) => {
            simulated.report.wall_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            Ok(simulated)
        }
        Ok(Err(error)) => {
            let status = if error.is_usage() { Status::Usage } else { Status::Incomplete };
            Err(Refused(status, vec![error.to_string()]))
        }
        Err(_) => {
            let line = format!("a bug in ravelin (seed {seed}, commit {commit}): please report it");
            Err(Refused(Status::Incomplete, vec![line]))
        }
    }
}

/// The operating system's clock, for the one figure of a report that is people's time.
fn now() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "nothing below the command line may see this clock")]
    Instant::now()
}

/// The stories that `--explain` asks for.
fn chosen<'a>(stories: &'a [Story], wanted: &Explain) -> Result<Vec<&'a Story>, Refused> {
    let fits = |story: &&Story| {
        story.path == wanted.path
            && story.attacker == wanted.attacker
            && wanted.egress.as_ref().is_none_or(|egress| *egress == story.egress)
    };
    let found: Vec<&Story> = stories.iter().filter(fits).collect();
    if found.is_empty() {
        let names = stories.iter().map(|story| format!("{}/{}@{}", story.path, story.attacker, story.egress));
        let names = names.collect::<Vec<_>>().join(", ");
        let line = format!("--explain: this run has no such verdict; it has: {names}");
        return Err(Refused(Status::Usage, vec![line]));
    }
    Ok(found)
}

fn shown(options: &Simulate, simulated: &Simulated, width: usize, colour: bool) -> String {
    let repeat = again::command(options, options.seed);
    match options.format {
        Format::Table => ravelin_report::table(&simulated.report, width, colour),
        Format::Json => ravelin_report::json(&simulated.report),
        Format::Sarif => ravelin_report::sarif(&simulated.report, &repeat),
        Format::Junit => ravelin_report::junit(&simulated.report, &repeat),
        Format::Html => ravelin_report::html(&simulated.report, &repeat),
    }
}

#[cfg(test)]
mod tests;
