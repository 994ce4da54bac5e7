//! The command from its arguments to its exit status, with a stand-in for the simulation.

use super::*;
use crate::args::{Arguments, Command};
use crate::outcome::tests::report;
use clap::Parser;
use ravelin_assess::model::{Chapter, PathOutcome, Property, State, Step, StepKind};
use std::sync::Mutex;
use std::time::Duration;

/// The paths, attackers and segments that the simulation was asked for.
type Asked = (Vec<String>, Vec<String>, (bool, bool));

struct Ended {
    status: Status,
    out: String,
    err: String,
    request: Option<Asked>,
}

/// Runs a command line against a simulation that comes to `state`.
fn ravelin(line: &[&str], stdin: &str, state: State) -> Ended {
    let seen = Mutex::new(None);
    let engine = |request: SimulateRequest, _: &(dyn Fn(Progress) + Sync)| {
        let story = story();
        *seen.lock().expect("nobody panicked") = Some((request.paths, request.attackers, request.untrusted));
        let trace_lines = vec!["{\"at_ms\":5}".to_owned(); 2];
        let (report, captures) = (report(PathOutcome::Works, state), Vec::new());
        Ok(Simulated { report, trace_lines, captures, stories: vec![story] })
    };
    let (status, out, err) = with_engine(line, stdin, &engine);
    Ended { status, out, err, request: seen.into_inner().expect("nobody panicked") }
}

fn story() -> Story {
    let step = Step {
        at: Duration::from_millis(5),
        flow: String::new(),
        segment: None,
        text: "asks for secrets".into(),
        kind: StepKind::Acted,
    };
    Story {
        path: "direct-to-apiserver".into(),
        attacker: "outsider".into(),
        egress: "direct".into(),
        baseline: PathOutcome::Works,
        error: None,
        counted: 4,
        chapters: vec![Chapter { tactic: "ask".into(), began: Duration::ZERO, steps: vec![step] }],
    }
}

fn with_engine(line: &[&str], stdin: &str, engine: Engine<'_>) -> (Status, String, String) {
    let arguments =
        Arguments::try_parse_from([&["ravelin", "simulate"], line].concat()).expect("well formed");
    let Command::Simulate(options) = arguments.command else { panic!("simulate was asked for") };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console {
        input: Box::new(stdin.as_bytes()),
        output: Box::new(&mut out),
        messages: Box::new(&mut err),
        width: 100,
        colour: false,
        watched: false,
        commit: "c0ffee".into(),
    };
    let status = run(&options, engine, &mut console);
    drop(console);
    let text = |bytes| String::from_utf8(bytes).expect("we write UTF-8");
    (status, text(out), text(err))
}

#[test]
fn a_table_goes_to_standard_output() {
    let ended = ravelin(&["--untrusted", "access", "--path", "direct-*"], "", State::Held);
    assert_eq!(ended.status, Status::Ran, "{}", ended.err);
    assert!(ended.out.starts_with("seed 7 ") && ended.out.contains("++++++"), "{}", ended.out);
    assert_eq!(ended.request, Some((vec!["direct-*".into()], vec![], (true, false))));
}

#[test]
fn broken_is_a_failure_only_when_asked() {
    assert_eq!(ravelin(&[], "", State::Broken).status, Status::Ran);
    assert_eq!(ravelin(&["--fail-on", "broken"], "", State::Broken).status, Status::Found);
    assert_eq!(ravelin(&["--fail-on", "broken"], "", State::Untested).status, Status::Incomplete);
}

#[test]
fn json_is_all_that_standard_output_holds() {
    let ended = ravelin(&["--format", "json"], "", State::Held);
    assert!(ended.out.starts_with("{\n") && ended.out.ends_with("}\n"), "{}", ended.out);
    assert!(ended.err.is_empty(), "{}", ended.err);
}

#[test]
fn bad_input_is_told_line_by_line_and_nothing_runs() {
    let ended = ravelin(&["-"], "kind: Nonsense\napiVersion: nowhere/v1\n", State::Held);
    assert_eq!((ended.status, ended.request), (Status::Usage, None));
    assert!(
        !ended.err.is_empty() && ended.err.lines().all(|line| line.starts_with("error: ")),
        "{}",
        ended.err
    );
    let ended = ravelin(&["/nonexistent/a.yaml", "/nonexistent/b.yaml"], "", State::Held);
    assert_eq!((ended.status, ended.err.lines().count(), ended.request), (Status::Usage, 2, None));
}

#[test]
fn a_file_that_cannot_be_written_is_found_before_the_run() {
    let ended = ravelin(&["--output", "/nonexistent/report.json"], "", State::Held);
    assert_eq!((ended.status, ended.request), (Status::Usage, None));
    let ended = ravelin(&["--pcap", "/nonexistent/packets.pcapng"], "", State::Held);
    assert_eq!((ended.status, ended.request), (Status::Usage, None));
    for [one, other] in [["--output", "--trace"], ["--output", "--pcap"], ["--trace", "--pcap"]] {
        let ended = ravelin(&[one, "same", other, "same"], "", State::Held);
        assert_eq!((ended.status, ended.request), (Status::Usage, None), "{one} {other}");
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a place for the test's own files")]
fn report_and_trace_replace_what_their_files_held() {
    let place = |name: &str| std::env::temp_dir().join(format!("ravelin-{name}-{}", std::process::id()));
    let (report, trace) = (place("report"), place("trace"));
    std::fs::write(&report, "x".repeat(100_000)).expect("writable");
    let (a, b) = (report.display().to_string(), trace.display().to_string());
    let ended = ravelin(&["--format", "json", "--output", &a, "--trace", &b], "", State::Held);
    let read = |path| std::fs::read_to_string(path).expect("written");
    assert!(read(&report).ends_with("}\n") && !read(&report).contains("xx"));
    assert_eq!(read(&trace), "{\"at_ms\":5}\n{\"at_ms\":5}\n");
    assert_eq!((ended.status, ended.out.as_str()), (Status::Ran, ""));
    let _ = (std::fs::remove_file(report), std::fs::remove_file(trace));
}

#[test]
fn explain_tells_one_story_instead_of_the_table() {
    let ended = ravelin(&["--explain", "direct-to-apiserver/outsider"], "", State::Held);
    assert!(ended.out.contains("asks for secrets") && !ended.out.contains("trace sha256"), "{}", ended.out);
    let narrowed = (vec!["direct-to-apiserver".into()], vec!["outsider".into()], (true, true));
    assert_eq!(ended.request, Some(narrowed), "one story needs one simulation");
    let ended = ravelin(&["--explain", "direct-to-apiserver/outsider@ssh"], "", State::Held);
    assert_eq!(ended.status, Status::Usage);
    assert!(ended.err.contains("it has: direct-to-apiserver/outsider@direct"), "{}", ended.err);
    let ended = ravelin(&["--explain", "a/b", "--format", "json"], "", State::Held);
    assert_eq!((ended.status, ended.request), (Status::Usage, None));
}

#[test]
fn a_bug_names_the_seed_that_shows_it_again() {
    let engine: Engine<'_> = &|_, _| panic!("a promise of our own was broken");
    let (status, _, err) = with_engine(&["--seed", "9"], "", engine);
    assert_eq!(status, Status::Incomplete);
    assert!(err.contains("seed 9, commit c0ffee"), "{err}");
    assert_eq!(err.lines().last(), Some("repeat with: ravelin simulate --seed 9"));
}

#[test]
fn what_is_incomplete_ends_with_the_command_that_repeats_it() {
    let line = ["--seed", "8", "--nodes", "2", "--path", "direct-*", "--format", "json"];
    let ended = ravelin(&line, "", State::Untested);
    assert_eq!(ended.status, Status::Incomplete);
    let command = "repeat with: ravelin simulate --seed 8 --nodes 2 --path 'direct-*'";
    assert_eq!(ended.err.lines().last(), Some(command));
    assert_eq!(ravelin(&line, "", State::Broken).err, "", "nothing is wrong with a run that found something");
}

#[test]
fn every_format_is_written_where_it_was_asked_for() {
    for (format, begins) in [("sarif", "{\n  \"$schema\""), ("junit", "<?xml "), ("html", "<!DOCTYPE html>")]
    {
        let ended = ravelin(&["--format", format], "", State::Broken);
        assert_eq!(ended.status, Status::Ran, "{}", ended.err);
        assert!(ended.out.starts_with(begins), "{}", ended.out);
        assert!(
            ended.out.contains("ravelin simulate --seed 42 --explain direct-to-apiserver/outsider@direct")
        );
    }
}

/// Runs seeds against simulations whose verdict is `held` but where `odd` says otherwise.
fn seeds(range: &str, odd: impl Fn(u64) -> Option<State> + Sync) -> (Status, String, String, Vec<u64>) {
    let ran = Mutex::new(Vec::new());
    let engine = |request: SimulateRequest, _: &(dyn Fn(Progress) + Sync)| {
        ran.lock().expect("nobody panics while it is locked").push(request.seed);
        let state = odd(request.seed).unwrap_or(State::Held);
        let report = report(PathOutcome::Works, state);
        Ok(Simulated { report, trace_lines: vec![], captures: vec![], stories: vec![] })
    };
    let (status, out, err) = with_engine(&["--nodes", "4", "--seeds", range], "", &engine);
    let mut ran = ran.into_inner().expect("nobody panics while it is locked");
    ran.sort_unstable();
    (status, out, err, ran)
}

#[test]
fn seeds_that_are_alike_are_counted() {
    let (status, out, err, ran) = seeds("5..=24", |_| None);
    assert_eq!((status, ran), (Status::Ran, (5..=24).collect()), "{err}");
    let properties = Property::ALL.len();
    assert_eq!(out, format!("20 seeds (5..=24), all alike: {properties} held, 1 works\n"));
}

#[test]
fn the_first_seed_that_differs_ends_the_run_and_is_named() {
    let (status, _, err, ran) = seeds("0..100000", |seed| (seed >= 7).then_some(State::Broken));
    assert_eq!(status, Status::Incomplete);
    assert!(ran.len() < 1_000, "it went on after the failure: {} seeds", ran.len());
    assert!(err.contains("seed 7 failed"), "{err}");
    let difference = "direct-to-apiserver/outsider@direct request_secret: broken, with seed 0 held";
    assert!(err.contains(difference), "{err}");
    assert_eq!(err.lines().last(), Some("repeat with: ravelin simulate --seed 7 --nodes 4"));
}

#[test]
fn a_seed_that_leaves_something_untested_or_panics_fails() {
    let (status, _, err, _) = seeds("0..3", |_| Some(State::Untested));
    assert_eq!(status, Status::Incomplete);
    assert!(err.contains("seed 0 failed") && err.contains("access_controlled: untested"), "{err}");
    let (status, _, err, _) =
        seeds("0..3", |seed| if seed == 2 { panic!("a promise of our own") } else { None });
    assert_eq!(status, Status::Incomplete);
    assert!(err.contains("seed 2 failed") && err.contains("a bug in ravelin (seed 2"), "{err}");
    assert_eq!(err.lines().last(), Some("repeat with: ravelin simulate --seed 2 --nodes 4"));
}
