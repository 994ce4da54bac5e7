//! Exec and attach from one end to the other, over all that carries them.

use super::super::*;
use super::stage::*;
use ravelin_host::HostRef;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

const ALL: RemoteOptions = RemoteOptions { stdin: true, stdout: true, stderr: true, tty: false };
const TERMINAL: RemoteOptions = RemoteOptions { stdin: true, stdout: true, stderr: false, tty: true };

/// What carries an exec.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Carrier {
    Spdy(&'static str),
    WebSocket(&'static str),
}

use Carrier::{Spdy as Over, WebSocket as Within};

const CARRIERS: [Carrier; 10] = [
    Over("v5.channel.k8s.io"),
    Over("v4.channel.k8s.io"),
    Over("v3.channel.k8s.io"),
    Over("v2.channel.k8s.io"),
    Over("channel.k8s.io"),
    Within("v5.channel.k8s.io"),
    Within("v4.channel.k8s.io"),
    Within("v4.base64.channel.k8s.io"),
    Within("channel.k8s.io"),
    Within(""),
];

impl Carrier {
    fn has_status(self) -> bool {
        matches!(self, Over(name) | Within(name) if name.starts_with("v4") || name.starts_with("v5"))
    }

    fn ends_stdin(self) -> bool {
        matches!(self, Over(_) | Within("v5.channel.k8s.io"))
    }
}

async fn both(host: &HostRef, carrier: Carrier, options: RemoteOptions) -> (RemoteClient, RemoteCommand) {
    let (near, far) = pipe();
    let (client, server) = match carrier {
        Over(version) => tokio::join!(
            remote_client_spdy(host, near, version, options),
            remote_server_spdy(host, far, version, options)
        ),
        Within(protocol) => (
            remote_client_websocket(host, near, protocol, options).await,
            remote_server_websocket(host, far, protocol, options).await,
        ),
    };
    (client.unwrap(), server.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_command_reads_writes_and_succeeds_over_everything() {
    let host = host();
    for carrier in CARRIERS {
        let (client, mut command) = both(&host, carrier, ALL).await;
        let running = spawn(&host, async move {
            let mut line = vec![0; 6];
            let mut stdin = command.stdin.take().unwrap();
            stdin.read_exact(&mut line).await.unwrap();
            if carrier.ends_stdin() {
                assert_eq!(stdin.read(&mut [0; 9]).await.unwrap(), 0, "{carrier:?}");
            }
            command.stdout.take().unwrap().write_all(&line).await.unwrap();
            command.stderr.take().unwrap().write_all(b"warning").await.unwrap();
            command.outcome.success().await;
        });
        let mut stdin = client.stdin.unwrap();
        stdin.write_all(b"hello\n").await.unwrap();
        stdin.shutdown().await.unwrap();
        let (mut out, mut err) = (String::new(), String::new());
        let (mut stdout, mut stderr) = (client.stdout.unwrap(), client.stderr.unwrap());
        let (read, also, outcome) = tokio::join!(
            stdout.read_to_string(&mut out),
            stderr.read_to_string(&mut err),
            client.outcome.read()
        );
        read.unwrap();
        also.unwrap();
        assert_eq!((out.as_str(), err.as_str()), ("hello\n", "warning"), "{carrier:?}");
        assert_eq!(outcome.unwrap(), Outcome::Success, "{carrier:?}");
        running.await.unwrap();
    }
    settle(Duration::from_secs(60)).await;
    assert_eq!(tasks(), 0, "no task is left");
}

#[tokio::test(start_paused = true)]
async fn an_exit_code_or_a_failure_is_told_over_everything() {
    let host = host();
    let status = serde_json::json!({"status": "Failure", "message": "no such container", "code": 500});
    for carrier in CARRIERS {
        let (client, command) = both(&host, carrier, ALL).await;
        let ((), outcome) = tokio::join!(command.outcome.exited(7), client.outcome.read());
        let told = if carrier.has_status() {
            Outcome::Exited(7)
        } else {
            Outcome::Failed("command terminated with non-zero exit code: exit status 7".into())
        };
        assert_eq!(outcome.unwrap(), told, "{carrier:?}");
        let (client, command) = both(&host, carrier, ALL).await;
        let ((), outcome) = tokio::join!(command.outcome.failed(&status), client.outcome.read());
        let Outcome::Failed(text) = outcome.unwrap() else { panic!("{carrier:?}") };
        assert!(text.contains("no such container") && text.starts_with('{') == carrier.has_status());
        let (client, command) = both(&host, carrier, ALL).await;
        let ((), outcome) = tokio::join!(command.outcome.exited(0), client.outcome.read());
        assert_eq!(outcome.unwrap(), Outcome::Success);
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_says_nothing_of_its_end_is_no_success() {
    let host = host();
    for carrier in CARRIERS {
        let (client, command) = both(&host, carrier, ALL).await;
        drop(command);
        let mut out = Vec::new();
        let outcome = tokio::time::timeout(Duration::from_secs(9), client.outcome.read()).await.unwrap();
        assert!(outcome.is_err(), "{carrier:?}: {outcome:?}");
        let _ = client.stdout.unwrap().read_to_end(&mut out).await;
    }
}

#[tokio::test(start_paused = true)]
async fn sizes_of_the_terminal_arrive_where_the_protocol_has_them() {
    let host = host();
    for carrier in CARRIERS {
        let (client, command) = both(&host, carrier, TERMINAL).await;
        let none = matches!(carrier, Over("v2.channel.k8s.io" | "channel.k8s.io"));
        assert_eq!((client.resize.is_none(), command.resize.is_none()), (none, none));
        let (Some(sender), Some(mut receiver)) = (client.resize, command.resize) else { continue };
        for (width, height) in [(80, 24), (132, 50)] {
            sender.send(TerminalSize { width, height }).await.unwrap();
            assert_eq!(receiver.recv().await, Some(TerminalSize { width, height }), "{carrier:?}");
        }
    }
    settle(Duration::from_secs(60)).await;
    assert_eq!(tasks(), 0, "no task is left");
}

#[tokio::test(start_paused = true)]
async fn twenty_megabytes_pass_each_way_with_equal_hashes() {
    const TRANSFER: usize = 20 * 1024 * 1024;
    let host = host();
    for carrier in
        [Over("v5.channel.k8s.io"), Within("v5.channel.k8s.io"), Within("v4.base64.channel.k8s.io")]
    {
        let (client, command) = both(&host, carrier, ALL).await;
        let (stdin, stdout) = (command.stdin.unwrap(), command.stdout.unwrap());
        let outcome = command.outcome;
        let down = spawn(&host, pour(stdout, 2, TRANSFER));
        let up = spawn(&host, pour(client.stdin.unwrap(), 1, TRANSFER));
        let received_up = spawn(&host, async move {
            let mut limited = stdin.take(TRANSFER as u64);
            let mut all = Vec::new();
            limited.read_to_end(&mut all).await.unwrap();
            let down = down.await.unwrap().unwrap();
            outcome.success().await;
            let boxed: BoxedReader = Box::new(std::io::Cursor::new(all));
            (drain(boxed).await.unwrap(), down)
        });
        let received_down = drain(client.stdout.unwrap()).await.unwrap();
        assert_eq!(client.outcome.read().await.unwrap(), Outcome::Success);
        let (received_up, down) = received_up.await.unwrap();
        assert_eq!(received_up, (TRANSFER, up.await.unwrap().unwrap()), "{carrier:?}");
        assert_eq!(received_down, (TRANSFER, down), "{carrier:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stalls_stops_the_writer_over_everything() {
    let host = host();
    for carrier in CARRIERS {
        let (mut client, mut command) = both(&host, carrier, ALL).await;
        let mut written = 0;
        let stdout = command.stdout.as_mut().unwrap();
        let chunk = vec![0; 32 * 1024];
        while let Ok(result) = tokio::time::timeout(Duration::from_secs(5), stdout.write(&chunk)).await {
            written += result.unwrap();
            assert!(written < 4 * 1024 * 1024, "{carrier:?}: nothing stops the writer");
        }
        // An hour later it goes on where it was: a slow reader is no vanished peer.
        settle(Duration::from_secs(3600)).await;
        let mut bytes = vec![0; written];
        client.stdout.as_mut().unwrap().read_exact(&mut bytes).await.unwrap();
        stdout.write_all(b"more").await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_opens_too_few_streams_is_given_up() {
    let host = host();
    let (near, far) = pipe();
    let client = Spdy::client(&host, near);
    let start = Instant::now();
    let serving = remote_server_spdy(&host, far, "v4.channel.k8s.io", ALL);
    let (error, served) = tokio::join!(client.open(&[("streamType", "error")]), serving);
    assert_eq!(served.unwrap_err(), StreamError::MissingStreams);
    assert_eq!(start.elapsed().as_secs(), CREATION_TIMEOUT.as_secs());
    assert!(error.is_ok());
    assert!(client.accept().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn streams_of_other_kinds_and_doubles_are_cut_off() {
    let host = host();
    let (near, far) = pipe();
    let client = Spdy::client(&host, near);
    let options = RemoteOptions { stdout: true, ..RemoteOptions::default() };
    let serving = remote_server_spdy(&host, far, "v4.channel.k8s.io", options);
    let opening = async {
        let error = client.open(&[("streamType", "error")]).await.unwrap();
        let double = client.open(&[("streamType", "error")]).await.unwrap();
        let odd = client.open(&[("streamType", "odd")]).await.unwrap();
        let stdout = client.open(&[("streamType", "stdout")]).await.unwrap();
        (error, double, odd, stdout)
    };
    let ((_error, double, odd, _stdout), command) = tokio::join!(opening, serving);
    let command = command.unwrap();
    assert!(command.stdin.is_none() && command.stdout.is_some());
    for stream in [double, odd] {
        assert!(stream.into_split().0.read(&mut [0; 9]).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_vanishes_ends_the_commands_input_with_an_error() {
    let host = host();
    for carrier in CARRIERS {
        let (client, mut command) = both(&host, carrier, ALL).await;
        drop(client);
        let read = command.stdin.as_mut().unwrap().read(&mut [0; 9]).await;
        assert!(read.is_err(), "{carrier:?}: {read:?}");
        let written = command.stdout.as_mut().unwrap().write(b"x").await;
        assert!(written.is_err(), "{carrier:?}: {written:?}");
    }
}

/// `Close` of Go's SPDY connection, with which a kubelet ends an exec, cuts off every stream.
#[tokio::test(start_paused = true)]
async fn a_real_kubelets_end_of_an_exec_is_understood() {
    let host = host();
    let whole = r#"{"metadata":{},"status":"Success"}"#;
    for (status, understood) in [(whole, true), ("", false), ("{", false)] {
        let (near, far) = pipe();
        let server = Spdy::server(&host, far);
        let options = RemoteOptions { stdout: true, ..RemoteOptions::default() };
        let serving = spawn(&host, async move {
            let error = server.accept().await.unwrap();
            let stdout = server.accept().await.unwrap();
            let ((_, mut error), (_, mut stdout)) = (error.into_split(), stdout.into_split());
            stdout.write_all(b"output").await.unwrap();
            error.write_all(status.as_bytes()).await.unwrap();
        });
        let client = remote_client_spdy(&host, near, "v4.channel.k8s.io", options).await.unwrap();
        serving.await.unwrap();
        let mut output = String::new();
        client.stdout.unwrap().read_to_string(&mut output).await.unwrap();
        assert_eq!(output, "output");
        let outcome = client.outcome.read().await;
        assert_eq!(outcome.is_ok(), understood, "{status}: {outcome:?}");
    }
}
