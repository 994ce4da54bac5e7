//! Real programs: what they are started with, what passes, how they end. They need `sh` and `setsid`,
//! which stand in for the launcher: the real one is the `ravelin` binary, in the tests of the whole.

use super::Programs;
use crate::program::{NotStarted, Program, Programs as _, Signal, Started};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const LAUNCHER: &str = "flag=; if [ \"$1\" = --terminal ]; then flag=-c; shift; fi; \
                        file=$1; shift 2; exec setsid $flag \"$file\" \"$@\"";

struct Stage(Programs);

impl Drop for Stage {
    fn drop(&mut self) {
        self.0.clear().expect("the tests' own folder can be removed");
    }
}

fn stage(name: &str) -> Stage {
    let root = std::env::temp_dir().join(format!("ravelin-programs-{name}-{}", std::process::id()));
    let launcher = ["sh", "-c", LAUNCHER, "launcher"].map(str::to_owned).to_vec();
    Stage(Programs::new(&root, launcher).expect("the temporary folder can be written"))
}

impl Stage {
    fn program(&self, argv: &[&str]) -> Program {
        Program {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            env: BTreeMap::from([
                ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
                ("COLOUR".to_owned(), "red".to_owned()),
            ]),
            directory: self.0.folder("a/b").expect("it can be made"),
            ..Program::default()
        }
    }

    async fn ran(&self, argv: &[&str]) -> (i32, String, String) {
        let started = self.0.start(&self.program(argv)).expect("it starts");
        all(started).await
    }
}

async fn all(mut started: Started) -> (i32, String, String) {
    let (mut out, mut err) = (String::new(), String::new());
    started.stdout.read_to_string(&mut out).await.unwrap();
    if let Some(mut stderr) = started.stderr.take() {
        stderr.read_to_string(&mut err).await.unwrap();
    }
    (ended(&started).await, out, err)
}

async fn ended(started: &Started) -> i32 {
    let mut end = started.running.end();
    let end = tokio::time::timeout(Duration::from_secs(20), end.wait_for(Option::is_some)).await;
    end.expect("it ends in time").expect("it is told").expect("it was waited for")
}

#[tokio::test]
async fn a_program_gets_its_own_environment_and_folder() {
    let stage = stage("surroundings");
    let (code, out, err) = stage.ran(&["sh", "-c", "echo $COLOUR $HOME; pwd; echo no >&2; exit 3"]).await;
    let expected = format!("red\n{}\n", stage.0.folder("a/b").unwrap());
    assert_eq!((code, out, err.as_str()), (3, expected, "no\n"));
    let (_, out, _) = stage.ran(&["cat"]).await;
    assert_eq!(out, "", "without an input it finds the end");
}

#[tokio::test]
async fn what_is_written_to_a_program_is_read_by_it() {
    let stage = stage("input");
    let program = Program { stdin: true, ..stage.program(&["sha256sum"]) };
    let mut started = stage.0.start(&program).expect("it starts");
    let mut stdin = started.stdin.take().expect("it reads");
    let zeroes = vec![0; 1 << 20];
    stdin.write_all(&zeroes).await.unwrap();
    drop(stdin);
    let (code, out, _) = all(started).await;
    assert_eq!(code, 0);
    assert!(out.starts_with("30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58"), "{out}");
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let stage = stage("missing");
    stage.0.disk().write("a/b/plain", b"no program").unwrap();
    let why = |argv: &[&str]| stage.0.start(&stage.program(argv)).expect_err("it cannot start");
    assert!(matches!(why(&["ravelin-has-no-such-program"]), NotStarted::NotInPath));
    assert!(matches!(why(&[""]), NotStarted::NotInPath));
    assert!(matches!(why(&["./none"]), NotStarted::NoFile));
    assert!(matches!(why(&["./plain"]), NotStarted::NotExecutable));
    let nowhere = Program { directory: "/nonexistent".to_owned(), ..stage.program(&["true"]) };
    assert!(matches!(stage.0.start(&nowhere).expect_err("it cannot start"), NotStarted::NoDirectory));
}

#[tokio::test]
async fn signals_reach_a_program_and_what_it_started() {
    let stage = stage("signals");
    let script = "trap 'echo asked; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    let mut started = stage.0.start(&stage.program(&["sh", "-c", script])).expect("it starts");
    let mut line = [0; 6];
    started.stdout.read_exact(&mut line).await.unwrap();
    started.running.signal(Signal::Terminate);
    assert_eq!(all(started).await.0, 7);
    let script = "sleep 1000 & echo $!; wait";
    let mut started = stage.0.start(&stage.program(&["sh", "-c", script])).expect("it starts");
    let mut pid = String::new();
    while !pid.ends_with('\n') {
        pid.push(char::from(started.stdout.read_u8().await.unwrap()));
    }
    started.running.signal(Signal::Kill);
    assert_eq!(ended(&started).await, 128 + 9);
    assert!(is_gone(pid.trim()).await, "its child was killed with it");
}

#[tokio::test]
async fn a_program_that_is_let_go_of_is_killed() {
    let stage = stage("dropped");
    let mut started = stage.0.start(&stage.program(&["sh", "-c", "echo $$; sleep 1000"])).expect("it starts");
    let mut pid = String::new();
    while !pid.ends_with('\n') {
        pid.push(char::from(started.stdout.read_u8().await.unwrap()));
    }
    assert!(PathBuf::from(format!("/proc/{}", pid.trim())).exists(), "it runs");
    drop(started);
    assert!(is_gone(pid.trim()).await);
}

async fn is_gone(pid: &str) -> bool {
    let about = PathBuf::from(format!("/proc/{pid}/stat"));
    for _ in 0..200 {
        let stat = std::fs::read_to_string(&about).unwrap_or_default();
        // One that nobody has collected yet is a zombie.
        if stat.is_empty() || stat.contains(") Z ") {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test]
async fn a_terminal_has_a_size_and_interrupts() {
    let stage = stage("terminal");
    // A shell that waits for a program leaves an interrupt to that: none may run when it comes.
    let script = "stty size; read line; echo got $line; stty size; echo ready; exec sleep 1000";
    let program = Program { stdin: true, terminal: true, ..stage.program(&["sh", "-c", script]) };
    let mut started = stage.0.start(&program).expect("it starts");
    let mut stdin = started.stdin.take().expect("a terminal has a keyboard");
    let mut shown = String::new();
    until(&mut started, &mut shown, "\r\n").await;
    assert_eq!(shown, "0 0\r\n");
    started.running.resize(132, 43);
    stdin.write_all(b"hello\r").await.unwrap();
    until(&mut started, &mut shown, "ready\r\n").await;
    assert!(shown.contains("hello\r\ngot hello\r\n43 132\r\n"), "{shown:?}");
    stdin.write_all(&[3]).await.unwrap();
    assert_eq!(ended(&started).await, 130, "{shown:?}");
}

async fn until(started: &mut Started, shown: &mut String, wanted: &str) {
    let mut buffer = [0; 256];
    while !shown.contains(wanted) {
        let read = tokio::time::timeout(Duration::from_secs(20), started.stdout.read(&mut buffer)).await;
        let count = read.expect("something is shown").unwrap();
        assert!(count > 0, "{shown:?}");
        shown.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
}

#[tokio::test]
async fn only_loopback_addresses_are_connected_to() {
    let stage = stage("connect");
    let error = stage.0.connect("192.0.2.1:80".parse().unwrap()).await.err().expect("it is refused");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}
