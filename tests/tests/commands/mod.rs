//! The built `ravelin` binary, as people and scripts call it.

mod formats;
mod secrets;

use ravelin_tests::Sample;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A call of the binary. It lies beside the folder of this test's own.
pub fn ravelin(arguments: &[&str]) -> Command {
    let this = std::env::current_exe().expect("a running program has a file");
    let target =
        this.parent().and_then(|deps| deps.parent()).expect("tests are built in target/release/deps");
    let binary = target.join(format!("ravelin{}", std::env::consts::EXE_SUFFIX));
    assert!(binary.exists(), "{}: not built; run `cargo build --release -p ravelin-cli`", binary.display());
    let mut command = Command::new(binary);
    command.args(arguments);
    command
}

/// SHA-256 in hex.
pub fn sha256_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn output(arguments: &[&str]) -> Output {
    ravelin(arguments).output().expect("the binary starts")
}

fn status(arguments: &[&str]) -> Option<i32> {
    output(arguments).status.code()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is text")
}

/// A folder for one test's files.
fn folder(test: &str, files: &ravelin_tests::Files) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the tests' own folder can be written");
    for file in &files.0 {
        std::fs::write(folder.join(&file.name), &file.text).expect("the tests' own folder can be written");
    }
    folder
}

fn path(path: &std::path::Path) -> &str {
    path.to_str().expect("the repository's path is text")
}

#[test]
fn help_tells_of_nothing_that_is_not_there() {
    let absent = ["--faults", "todo", "not yet", "coming"];
    for arguments in [&["--help"][..], &["simulate", "--help"], &["simulate", "-h"], &["replay", "--help"]] {
        let help = output(arguments);
        assert!(help.status.success() && help.stderr.is_empty());
        let help = text(&help.stdout).to_lowercase();
        assert!(help.contains("usage"), "{help}");
        let found: Vec<&str> = absent.into_iter().filter(|word| help.contains(word)).collect();
        assert!(found.is_empty(), "{arguments:?} speaks of {found:?}");
    }
}

#[test]
fn the_exit_status_tells_what_became_of_the_run() {
    let sample = Sample::KubeadmDefault.folder();
    let sample = path(&sample);
    let other_ca = Sample::KubeadmVerified.files().replacing(
        "kube-apiserver.yaml",
        "--kubelet-certificate-authority=/etc/kubernetes/pki/ca.crt",
        "--kubelet-certificate-authority=/etc/kubernetes/pki/other.crt",
    );
    let failing = folder("another-authority", &other_ca);
    let failing = path(&failing);
    let logs = ["--path", "apiserver-to-kubelet/logs"];
    let user = ["--path", "user-to-apiserver", "--attacker", "eavesdropper"];
    let table: [(i32, Vec<&str>); 9] = [
        (0, [&["simulate", sample][..], &logs].concat()),
        (1, [&["simulate", sample, "--fail-on", "broken"][..], &logs].concat()),
        (0, [&["simulate", sample, "--fail-on", "broken"][..], &user].concat()),
        (2, vec!["simulate", sample, "--no-such-option"]),
        (2, vec!["simulate", sample, "--path", "no-such-path"]),
        (2, vec!["simulate", sample, "--attacker", "nobody"]),
        (2, vec!["simulate", "no-such-file.yaml"]),
        (3, [&["simulate", failing][..], &logs].concat()),
        (3, vec!["simulate", failing, "--fail-on", "broken"]),
    ];
    for (expected, arguments) in table {
        assert_eq!(status(&arguments), Some(expected), "{arguments:?}");
    }
}

#[test]
fn bad_files_are_refused_by_file_and_line_before_anything_runs() {
    let wrong = Sample::KubeadmDefault.files().apiserver_flag("--no-such-flag=1").replacing(
        "kubelet-config.yaml",
        "mode: Webhook",
        "mode: Maybe",
    );
    let wrong = folder("wrong", &wrong);
    let refused = output(&["simulate", path(&wrong)]);
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(2), 0));
    let told = text(&refused.stderr);
    for (file, line, word) in
        [("kube-apiserver.yaml", 16, "--no-such-flag"), ("kubelet-config.yaml", 11, "Maybe")]
    {
        let place = format!("{}:{line}:", wrong.join(file).display());
        assert!(told.lines().any(|said| said.contains(&place) && said.contains(word)), "{told}");
    }
}

#[test]
fn standard_input_is_read_as_a_file() {
    use std::io::Write;
    use std::process::Stdio;
    let files = Sample::KubeadmVerified.files();
    let manifest = files.0.iter().find(|file| file.name == "kube-apiserver.yaml").expect("it is there");
    let mut child = ravelin(&["simulate", "-", "--path", "user-to-apiserver", "--format", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(manifest.text.as_bytes()).expect("it reads");
    drop(input);
    let ran = child.wait_with_output().expect("it ends");
    let report: Value = serde_json::from_slice(&ran.stdout).expect("a report");
    assert_eq!(report["cluster"]["files"], serde_json::json!(["-"]), "{}", text(&ran.stderr));
}

#[test]
fn json_has_the_schema_and_repeats_but_for_commit_and_time() {
    let sample = Sample::LegacySshTunnels.folder();
    let run = || {
        let ran = output(&["simulate", path(&sample), "--seed", "9", "--format", "json"]);
        assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
        serde_json::from_slice::<Value>(&ran.stdout).expect("a JSON report")
    };
    let (mut one, mut two) = (run(), run());
    let keys = |value: &Value| -> BTreeSet<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let top = [
        "schema",
        "seed",
        "commit",
        "cluster",
        "simulated_ms",
        "wall_ms",
        "trace_sha256",
        "paths",
        "verdicts",
    ];
    assert_eq!(keys(&one), named(&top));
    assert_eq!(one["schema"], "ravelin.report/v1");
    let list = |name: &str| one[name].as_array().cloned().expect("a list");
    assert_eq!(list("paths").len(), ravelin_assess::Path::ALL.len());
    let works = list("paths").iter().filter(|path| path["state"] == "works").count();
    assert_eq!(list("verdicts").len(), works * ravelin_tests::ATTACKERS.len());
    assert_eq!(keys(&one["paths"][0]), named(&["path", "egress", "state", "error"]));
    let proxied = list("verdicts")
        .into_iter()
        .find(|verdict| verdict["path"] == "apiserver-to-service/https" && verdict["attacker"] == "impostor");
    let verdict = &proxied.expect("every path has a verdict of every attacker");
    assert_eq!(keys(verdict), named(&["path", "attacker", "egress", "failed_closed", "properties", "fix"]));
    let secret = &verdict["properties"]["request_secret"];
    assert_eq!(secret["state"], "broken");
    assert_eq!(keys(&secret["evidence"][0]), named(&["tactic", "at_ms", "flow", "text"]));
    for report in [&mut one, &mut two] {
        let report = report.as_object_mut().expect("an object");
        assert!(report.remove("commit").is_some() && report.remove("wall_ms").is_some());
    }
    assert_eq!(one, two);
}

#[test]
fn explain_tells_the_story_of_one_verdict() {
    let sample = Sample::KubeadmDefault.folder();
    let told = output(&["simulate", path(&sample), "--explain", "apiserver-to-kubelet/logs/impostor"]);
    assert_eq!(told.status.code(), Some(0));
    let story = text(&told.stdout);
    for step in [
        "The path works",
        "self-signed-certificate",
        "request_secret broken",
        "the impostor now has: the request",
        "refused by",
        "What would have stopped it: server certificate verification",
        "--explain apiserver-to-kubelet/logs/impostor",
    ] {
        assert!(story.contains(step), "no {step:?} in\n{story}");
    }
    let nobody = output(&["simulate", path(&sample), "--explain", "controller-to-apiserver/impostor@ssh"]);
    assert_eq!(nobody.status.code(), Some(2));
}

#[test]
fn the_table_shows_seed_commit_and_trace() {
    let ran = ravelin(&["simulate", "--path", "user-to-apiserver", "--seed", "77"])
        .env("RAVELIN_COMMIT", "0123abcd")
        .output()
        .expect("the binary starts");
    let shown = text(&ran.stdout);
    let first = shown.lines().next().unwrap_or_default();
    assert!(first.contains("seed 77") && first.contains("0123abcd"), "{shown}");
    let last = shown.trim_end().lines().last().unwrap_or_default();
    assert!(last.starts_with("trace sha256 ") && last.len() == "trace sha256 ".len() + 64, "{shown}");
}
