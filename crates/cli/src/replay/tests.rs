//! The command from a trace to what is printed of it.

use super::*;
use crate::args::{Arguments, Command};
use clap::Parser;

const TRACE: &str = r#"{"kind":"simulation","attacker":"eavesdropper"}
{"at_us":5,"kind":"cell","name":"boot"}
{"at_us":6,"kind":"http.request","machine":"control-plane","method":"GET","path":"/api/v1/pods","status":"200"}
{"kind":"simulation","attacker":"impostor"}
{"kind":"machine","name":"node-1","address":"198.18.0.1"}
{"at_us":5,"kind":"cell","name":"boot"}
{"at_us":2000000,"kind":"cell","name":"apiserver-to-kubelet/logs/relay"}
{"at_us":2000100,"kind":"packet","segment":"access","from":"192.0.2.10:4000","to":"198.18.0.1:10250","flags":"PA","seq":1,"ack":2,"len":3,"sha":"abc"}
{"at_us":2500000,"kind":"evidence","path":"apiserver-to-kubelet/logs","tactic":"relay","segment":"access","flow":"a > b","text":"read the request\u001b[2J","broken":"request_secret"}
{"at_us":9000000,"kind":"verdict","path":"apiserver-to-kubelet/logs","egress":"direct","attacker":"impostor","states":{"request_secret":"broken"}}
"#;

/// Replays a trace; the keys are what somebody types.
fn replay(trace: &str, line: &[&str], keys: &str) -> (Status, String, String) {
    #[allow(clippy::disallowed_methods, reason = "a place for the test's own file")]
    let place = std::env::temp_dir()
        .join(format!("ravelin-replay-{}-{}", std::process::id(), line.join("")).replace('*', "x"));
    std::fs::write(&place, trace).expect("writable");
    let words = ["ravelin", "replay", place.to_str().expect("a plain name")];
    let arguments = Arguments::try_parse_from([&words, line].concat()).expect("well formed");
    let Command::Replay(options) = arguments.command else { panic!("replay was asked for") };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console {
        input: Box::new(keys.as_bytes()),
        output: Box::new(&mut out),
        messages: Box::new(&mut err),
        width: 100,
        colour: false,
        watched: false,
        commit: "c0ffee".into(),
    };
    let status = run(&options, &mut console);
    drop(console);
    let _ = std::fs::remove_file(place);
    let text = |bytes| String::from_utf8(bytes).expect("we write UTF-8");
    (status, text(out), text(err))
}

#[test]
fn a_trace_is_told_with_names_times_and_evidence() {
    let (status, out, err) = replay(TRACE, &[], "");
    let expected = "\
=== eavesdropper ===
--- boot, from 0.000005 s ---
      0.000006 s  http.request          control-plane method=GET path=/api/v1/pods status=200
=== impostor ===
--- apiserver-to-kubelet/logs/relay, from 2.000000 s ---
";
    assert_eq!((status, err.as_str()), (Status::Ran, ""));
    assert!(out.starts_with(expected), "{out}");
    for piece in [
        "access  192.0.2.10:4000 > node-1:10250  [PA] seq 1 ack 2  3 bytes, sha abc\n",
        "relay: a > b: request_secret BROKEN: read the request\\u{1b}[2J  (access)\n",
        "apiserver-to-kubelet/logs/impostor@direct: request_secret broken\n",
    ] {
        assert!(out.contains(piece), "{piece:?} in\n{out}");
    }
}

#[test]
fn filters_leave_only_what_was_asked_for() {
    let lines =
        |line: &[&str]| replay(TRACE, line, "").1.lines().filter(|line| line.starts_with(' ')).count();
    assert_eq!(lines(&[]), 4);
    assert_eq!(lines(&["--attacker", "eaves*"]), 1);
    assert_eq!(lines(&["--path", "apiserver-to-*"]), 3);
    assert_eq!(lines(&["--until", "2001"]), 3, "the evidence came later, the verdict is of all");
    assert_eq!(lines(&["--kind", "packet", "--kind", "http.*"]), 2);
    let (status, out, err) = replay(TRACE, &["--attacker", "nobody"], "");
    assert_eq!((status, out.as_str()), (Status::Ran, ""));
    assert!(err.contains("no event fits"), "{err}");
}

#[test]
fn a_broken_trace_is_refused_with_its_line_before_any_of_it_is_told() {
    for (trace, line) in [
        (TRACE.replace("\"flags\"", "flags"), ":8: not an event"),
        (format!("{TRACE}{{}}\n"), ":11: not an event"),
    ] {
        let (status, out, err) = replay(&trace, &["--kind", line.get(1..3).unwrap_or_default()], "");
        assert_eq!((status, out.as_str()), (Status::Usage, ""));
        assert!(err.contains(line) && err.lines().count() == 1, "{err}");
    }
    let (status, _, err) = replay("", &["--until", "1"], "");
    assert_eq!(status, Status::Usage, "{err}");
}

#[test]
fn steps_wait_and_the_reader_decides_how_far() {
    let events =
        |keys: &str| replay(TRACE, &["--step"], keys).1.lines().filter(|line| line.starts_with(' ')).count();
    assert_eq!(events("\nq\n"), 2, "one more, then enough");
    assert_eq!(events("\nc\n\n"), 4, "on to the next tactic");
    assert_eq!(events(""), 4, "nobody is there to wait for");
}
