//! `ravelin scenario`, as people and scripts call it.

use crate::commands::ravelin;
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

fn scenario(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        ravelin(&[&["scenario"], arguments].concat()).output().expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is text");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn all_of_them_run_in_half_a_minute() {
    #[allow(clippy::disallowed_methods, reason = "how long people wait is what is asked here")]
    let began = Instant::now();
    let (status, out, errors) = scenario(&["run", "--all"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{out}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert!(out.starts_with("seed 42, commit ") && !out.contains("NOT"), "{out}");
    assert!(out.contains("23 of 23 reproduced, and stopped by their controls"), "{out}");
    assert_eq!(out.matches("not run: ").count(), 0, "{out}");
    assert!(!out.contains("eyJ"), "a token is shown");
}

#[test]
fn the_list_tells_what_runs() {
    let (status, out, _) = scenario(&["list"]);
    let count = |what: &str| out.lines().filter(|line| line.contains(what)).count();
    assert_eq!((status, count(" runs "), count("waits for exec streams")), (Some(0), 23, 0), "{out}");
}

#[test]
fn a_story_is_told_of_both_sides_or_of_what_would_happen() {
    let (status, out, _) = scenario(&["explain", "token-replay"]);
    assert_eq!(status, Some(0), "{out}");
    for part in ["Hosts:", "The attack:", "The control:", "The same again", "1:59.000", "What was seen"] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (status, out, _) = scenario(&["explain", "kubelet-anonymous"]);
    assert!(status == Some(0) && out.contains("with the token: answered 200"), "{out}");
    assert!(!out.contains("eyJ"), "a token is shown");
    let (status, out, _) = scenario(&["explain", "cve-2018-1002105"]);
    assert!(status == Some(0) && out.contains("pods: answered 200"), "{out}");
}

#[test]
fn the_exit_status_tells_bad_names_from_attacks_that_do_not_work() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("scenarios");
    std::fs::create_dir_all(&folder).expect("the tests' own folder can be written");
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("the tests' own folder can be written");
        path.to_str().expect("the repository's path is text").to_owned()
    };
    let good = ravelin_scenario::find("cve-2022-3294").expect("it is on record");
    let same = file("mine.yaml", good);
    let harmless = file("harmless.yaml", &good.replace("verbs: [patch]", "verbs: [watch]"));
    let waiting =
        file("waiting.yaml", &good.replacen("\nreference:", "\nwaits-for: a thing\n\nreference:", 1));
    let bad = file("bad.yaml", &good.replace("at: 2s", "at: later"));
    for (arguments, expected, words) in [
        (vec!["run", &same], 0, "mine (CVE-2022-3294): reproduced"),
        (vec!["run", &harmless], 1, "NOT AS DESCRIBED"),
        (vec!["run", &harmless], 1, "harmless.yaml --seed 42\n"),
        (vec!["run", &bad], 2, "bad.yaml:58: at: \"later\" is not understood"),
        (vec!["run", "no-such-attack"], 2, "accepted: cve-2018-1002105"),
        (vec!["run", &waiting], 2, "waits for a thing"),
        (vec!["run"], 2, "required"),
        (vec!["run", "--all", "kep-4872"], 2, "cannot be used with"),
    ] {
        let (status, out, errors) = scenario(&arguments);
        assert_eq!(status, Some(expected), "{arguments:?}: {out}{errors}");
        assert!(out.contains(words) || errors.contains(words), "{words:?}: {out}{errors}");
    }
}
