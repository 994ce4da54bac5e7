//! `ravelin simulate`: files in, a run, a report out.

use crate::args::{Explain, Format, Simulate};
use crate::console::Console;
use crate::outcome::{self, Status};
use crate::{input, progress};
use anyhow::Context;
use ravelin_assess::model::Story;
use ravelin_assess::{AssessError, Progress, SimulateRequest, Simulated};
use ravelin_config::ClusterConfig;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

/// What runs the simulations: `ravelin_assess::simulate`, or a stand-in under test.
pub(crate) type Engine<'a> =
    &'a dyn Fn(SimulateRequest, &(dyn Fn(Progress) + Sync)) -> Result<Simulated, AssessError>;

/// Why there is no report: the lines to say, and the status that it means.
struct Refused(Status, Vec<String>);

/// Runs the command, and says what became of it.
pub(crate) fn run(options: &Simulate, engine: Engine<'_>, console: &mut Console<'_>) -> Status {
    match attempt(options, engine, console) {
        Ok(status) => status,
        Err(Refused(status, lines)) => {
            for line in lines {
                console.say(&ravelin_report::harmless(&format!("error: {line}")));
            }
            status
        }
    }
}

fn attempt(options: &Simulate, engine: Engine<'_>, console: &mut Console<'_>) -> Result<Status, Refused> {
    check_combination(options)?;
    let config = configuration(options, console)?;
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
        print(console, &ravelin_report::story(story, report, console.width, console.colour))?;
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
    let request = SimulateRequest {
        config,
        seed: options.seed,
        nodes: options.nodes,
        paths,
        attackers,
        untrusted: options.untrusted.segments(),
        want_trace: options.trace.is_some(),
        want_packets: options.pcap.is_some(),
        twins: options.twins,
        fixes: options.fixes,
        commit: console.commit.clone(),
    };
    let bar = progress::Bar::new(console.watched);
    let started = now();
    let ended = catch_unwind(AssertUnwindSafe(|| engine(request, &|step| bar.show(step))));
    drop(bar);
    match ended {
        Ok(Ok(mut simulated)) => {
            simulated.report.wall_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            Ok(simulated)
        }
        Ok(Err(error)) => {
            let status = if error.is_usage() { Status::Usage } else { Status::Incomplete };
            Err(Refused(status, vec![error.to_string()]))
        }
        Err(_) => {
            let seed = options.seed;
            let line = format!("a bug in ravelin (seed {seed}, commit {}): please report it", console.commit);
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
    match options.format {
        Format::Table => ravelin_report::table(&simulated.report, width, colour),
        Format::Json => ravelin_report::json(&simulated.report),
    }
}

/// Opens a file for writing before anything runs, and leaves its old content until there is new.
fn open(path: Option<&Path>) -> Result<Option<File>, Refused> {
    let Some(path) = path else { return Ok(None) };
    let opened = OpenOptions::new().write(true).create(true).truncate(false).open(path);
    opened
        .with_context(|| format!("{}: cannot be written", path.display()))
        .map(Some)
        .map_err(|error| Refused(Status::Usage, vec![format!("{error:#}")]))
}

fn fill(mut file: File, path: Option<&Path>, content: &[u8]) -> Result<(), Refused> {
    // A pipe or a device has no length to cut.
    let cut = if file.metadata().is_ok_and(|found| found.is_file()) { file.set_len(0) } else { Ok(()) };
    cut.and_then(|()| file.write_all(content))
        .with_context(|| format!("{}: cannot be written", path.unwrap_or(Path::new("-")).display()))
        .map_err(|error| Refused(Status::Incomplete, vec![format!("{error:#}")]))
}

/// Writes to standard output; a reader that left early (`| head`) is no failure.
fn print(console: &mut Console<'_>, text: &str) -> Result<(), Refused> {
    match console.output.write_all(text.as_bytes()).and_then(|()| console.output.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Refused(Status::Incomplete, vec![format!("standard output: {error}")]))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
