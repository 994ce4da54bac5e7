//! Main processes: attached to, ended, started anew; terminals; commands beside them.

use crate::stage::Stage;
use crate::{ContainerState, LogOptions, ProcessIo, Runtime, RuntimeError};
use futures_util::StreamExt;
use ravelin_host::Endpoint;
use ravelin_stream::TerminalSize;
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;

const SHELL: &str = "ravelin.test/shell";

/// What a client of a terminal has.
struct Client {
    typing: DuplexStream,
    screen: DuplexStream,
    sizes: mpsc::Sender<TerminalSize>,
}

fn terminal() -> (ProcessIo, Client) {
    let (stdin, typing) = tokio::io::duplex(1024);
    let (stdout, screen) = tokio::io::duplex(1024);
    let (sizes, resize) = mpsc::channel(4);
    let io = ProcessIo {
        stdin: Some(Box::new(stdin)),
        stdout: Some(Box::new(stdout)),
        stderr: None,
        tty: true,
        resize: Some(resize),
    };
    (io, Client { typing, screen, sizes })
}

impl Client {
    async fn types(&mut self, keys: &str) {
        self.typing.write_all(keys.as_bytes()).await.unwrap();
    }

    /// Reads until the screen shows this.
    async fn shows(&mut self, text: &str) -> String {
        let mut shown = String::new();
        while !shown.ends_with(text) {
            let mut byte = [0];
            let read = tokio::time::timeout(Duration::from_secs(9), self.screen.read_exact(&mut byte)).await;
            assert!(matches!(read, Ok(Ok(_))), "{shown:?} without {text:?}");
            shown.push(char::from(byte[0]));
        }
        shown
    }
}

fn argv(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

async fn log(stage: &Stage, options: LogOptions) -> Result<String, RuntimeError> {
    let mut pieces = stage.runtime.logs("u", "c", &options).await?;
    let mut whole = Vec::new();
    while let Some(piece) = pieces.next().await {
        whole.extend_from_slice(&piece?);
    }
    Ok(String::from_utf8(whole).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_shell_at_a_terminal_echoes_edits_interrupts_and_ends() {
    let stage = Stage::new().await;
    let (io, mut client) = terminal();
    client.sizes.send(TerminalSize { width: 80, height: 24 }).await.unwrap();
    let words = argv(&["sh"]);
    let running = stage.runtime.exec("u", "c", &words, io);
    let using = async {
        client.shows("/ # ").await;
        client.types("stty size\r").await;
        assert_eq!(client.shows("/ # ").await, "stty size\r\n24 80\r\n/ # ");
        client.sizes.send(TerminalSize { width: 100, height: 30 }).await.unwrap();
        client.types("ech\x7f\x7fcho ab\x15stty sizx\x08e; tty; echo $TERM\r").await;
        let shown = client.shows("/ # ").await;
        assert!(shown.ends_with("\r\n30 100\r\n/dev/pts/0\r\nxterm\r\n/ # "), "{shown:?}");
        client.types("sleep 1000\r").await;
        client.shows("sleep 1000\r\n").await;
        client.types("\x03").await;
        assert_eq!(client.shows("/ # ").await, "^C\r\n/ # ");
        client.types("echo $?\r").await;
        assert_eq!(client.shows("/ # ").await, "echo $?\r\n130\r\n/ # ");
        client.types("cat\rtyped\r\x04").await;
        assert_eq!(client.shows("/ # ").await, "cat\r\ntyped\r\ntyped\r\n/ # ");
        client.types("if true\r").await;
        assert_eq!(client.shows("> ").await, "if true\r\n> ");
        client.types("then exit 4; fi\r").await;
        // Kept until the end: a screen that goes away ends the shell.
        client
    };
    let (exit_code, _) = tokio::join!(running, using);
    assert_eq!(exit_code.unwrap(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_command_at_a_terminal_is_interrupted_and_ends_when_its_client_hangs_up() {
    let stage = Stage::new().await;
    let (io, mut client) = terminal();
    let words = argv(&["sleep", "1000"]);
    let (exit_code, ()) =
        tokio::join!(stage.runtime.exec("u", "c", &words, io), async { client.types("\x03").await });
    assert_eq!(exit_code.unwrap(), 130);
    let (io, client) = terminal();
    drop(client);
    assert_eq!(stage.runtime.exec("u", "c", &argv(&["cat"]), io).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_main_process_ends_and_is_told_and_starts_anew_with_its_log_before() {
    let with = json!({ "command": ["sh", "-c"], "args": ["echo $(COLOUR); echo no >&2; sleep 5; exit 3"] });
    let stage = Stage::of(SHELL, with).await;
    let mut changes = stage.runtime.changes();
    assert!(stage.state().await.is_running());
    let follow = LogOptions { follow: true, ..LogOptions::default() };
    assert_eq!(log(&stage, follow).await.unwrap(), "red\nno\n", "it ends with the process");
    changes.changed().await.unwrap();
    let ContainerState::Terminated(end) = stage.state().await else { panic!("it has ended") };
    assert_eq!((end.exit_code, end.reason), (3, "Error"));
    assert!(matches!(stage.exec(&["true"], b"").await, Err(RuntimeError::NoSuchContainer(_))));
    let previous = || LogOptions { previous: true, ..LogOptions::default() };
    assert!(matches!(log(&stage, previous()).await, Err(RuntimeError::NoPreviousContainer(_))));
    assert!(stage.runtime.restart("u", "c").await.unwrap().is_running());
    assert_eq!(log(&stage, previous()).await.unwrap(), "red\nno\n");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let source = Some(crate::LogSource::Stderr);
    assert_eq!(log(&stage, LogOptions { source, ..LogOptions::default() }).await.unwrap(), "no\n");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_started_ends_at_once() {
    let stage = Stage::of(SHELL, json!({ "command": ["nothing"] })).await;
    let ContainerState::Terminated(end) = stage.state().await else { panic!("it has ended") };
    assert_eq!((end.exit_code, end.reason), (128, "StartError"));
    assert!(end.message.ends_with("exec: \"nothing\": executable file not found in $PATH: unknown"));
    let stage = Stage::of("elsewhere/image", json!({})).await;
    assert!(stage.state().await.is_waiting());
    assert!(matches!(log(&stage, LogOptions::default()).await, Err(RuntimeError::NoSuchContainer(_))));
}

#[tokio::test(start_paused = true)]
async fn who_attaches_to_a_shell_types_into_it_and_sees_what_it_writes() {
    let stage = Stage::of(SHELL, json!({ "stdin": true, "tty": true })).await;
    let (io, mut client) = terminal();
    let attached = stage.runtime.attach("u", "c", io);
    let using = async {
        client.types("echo hi\r").await;
        client.shows("hi\r\n/ # ").await;
        client.types("exit 2\r").await;
        client
    };
    let (outcome, _) = tokio::join!(attached, using);
    outcome.unwrap();
    let ContainerState::Terminated(end) = stage.state().await else { panic!("it has ended") };
    assert_eq!(end.exit_code, 2);
    assert!(log(&stage, LogOptions::default()).await.unwrap().contains("hi\r\n"), "it is in the log, too");
}

#[tokio::test(start_paused = true)]
async fn an_input_that_is_once_ends_with_the_first_who_was_attached() {
    for (once, is_over) in [(true, true), (false, false)] {
        let stage = Stage::of(SHELL, json!({ "stdin": true, "stdinOnce": once, "command": ["cat"] })).await;
        let (stdin, mut typing) = tokio::io::duplex(64);
        let (stdout, mut screen) = tokio::io::duplex(64);
        let io = ProcessIo {
            stdin: Some(Box::new(stdin)),
            stdout: Some(Box::new(stdout)),
            ..ProcessIo::default()
        };
        let using = async move {
            typing.write_all(b"typed\n").await.unwrap();
            let mut shown = [0; 6];
            screen.read_exact(&mut shown).await.unwrap();
            assert_eq!(&shown, b"typed\n");
            drop(typing);
            screen
        };
        let attached = stage.runtime.attach("u", "c", io);
        let _ = tokio::time::timeout(Duration::from_secs(5), async { tokio::join!(attached, using) }).await;
        assert_eq!(stage.state().await.is_running(), !is_over);
    }
}

#[tokio::test(start_paused = true)]
async fn who_attaches_to_a_logger_sees_its_lines_as_they_come() {
    let stage =
        Stage::of("ravelin.test/logger", json!({ "env": [{ "name": "TICK_SECONDS", "value": "1" }] })).await;
    let (stdout, mut screen) = tokio::io::duplex(64);
    let io = ProcessIo { stdout: Some(Box::new(stdout)), ..ProcessIo::default() };
    let reading = async {
        let mut shown = [0; 14];
        screen.read_exact(&mut shown).await.unwrap();
        assert_eq!(&shown, b"tick 1\ntick 2\n", "not what was written before");
    };
    tokio::select! {
        biased;
        _ = stage.runtime.attach("u", "c", io) => panic!("it goes on"),
        () = reading => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_stops_ends_its_commands_and_followers_and_forgets_what_was_written() {
    let stage = Stage::new().await;
    stage.sh("echo x > /tmp/f").await;
    assert!(stage.host.disk().read("/pods/u/tmp/f").is_some());
    let words = argv(&["sleep", "1000"]);
    let command = stage.runtime.exec("u", "c", &words, ProcessIo::default());
    let follow = LogOptions { follow: true, ..LogOptions::default() };
    let stopping = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stage.runtime.stop_pod("u", Duration::ZERO).await;
    };
    let (exit_code, log, ()) = tokio::join!(command, log(&stage, follow), stopping);
    assert_eq!((exit_code.unwrap(), log.unwrap().as_str()), (137, "started\n"));
    assert_eq!(stage.host.disk().read("/pods/u/tmp/f"), None);
    let runs = stage.runtime.ledger("u").unwrap().runs();
    assert_eq!((runs[1].output.exit_code, runs[1].has_ended), (137, true));
}

#[tokio::test(start_paused = true)]
async fn commands_are_written_down_with_what_passed_up_to_a_bound() {
    let stage = Stage::new().await;
    stage.exec(&["sh", "-c", "cat; echo err >&2; exit 3"], b"typed").await.unwrap();
    stage.exec(&["head", "-c", "200000", "/dev/zero"], b"").await.unwrap();
    let words = argv(&["sleep", "1000"]);
    let cut = stage.runtime.exec("u", "c", &words, ProcessIo::default());
    assert!(tokio::time::timeout(Duration::from_secs(1), cut).await.is_err());
    let runs = stage.runtime.ledger("u").unwrap().runs();
    assert_eq!(runs[0].argv, argv(&["sh", "-c", "cat; echo err >&2; exit 3"]));
    let streams = (&runs[0].stdin[..], &runs[0].output.stdout[..], &runs[0].output.stderr[..]);
    assert_eq!(streams, (&b"typed"[..], &b"typed"[..], &b"err\n"[..]));
    assert_eq!((runs[0].output.exit_code, runs[0].has_ended), (3, true));
    assert_eq!(runs[1].output.stdout.len(), crate::MAX_RECORDING_BYTES);
    assert!(!runs[2].has_ended, "its future was dropped");
}

#[tokio::test(start_paused = true)]
async fn ports_of_a_pod_are_reached_and_a_closed_one_is_told_as_containerd_does() {
    let stage = Stage::of("ravelin.test/http", json!({ "ports": [{ "containerPort": 8080 }] })).await;
    let mut stream = stage.runtime.port_forward("u", 8080).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    let Err(refused) = stage.runtime.port_forward("u", 81).await else { panic!("nobody listens there") };
    let text = refused.to_string();
    assert!(text.contains("IPv4: dial tcp4 127.0.0.1:81: connect: connection refused"), "{text}");
    let elsewhere = stage.network.host("elsewhere", [10, 244, 0, 3]);
    assert!(elsewhere.connect(&Endpoint::tcp([10, 244, 0, 2], 8080)).await.is_ok());
}
