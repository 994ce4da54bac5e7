//! Commands and forwarded ports from end to end: a client, the apiserver, a kubelet and a pod, each on
//! a machine of its own.

use crate::services::stage::{Setting, Stage};
use ravelin_client::{Carrier, ClientError, Outcome, PodName, Remote, RemoteClient, RemoteOptions};
use serde_json::json;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What one direction of a command holds at most between a writer and a reader that stands still, in
/// bytes: two connections with what is unsent, in flight and unread of each, and the pieces between.
const MAX_HELD_BYTES: usize = 2 << 20;
/// How long it must not move until it stands still.
const STANDSTILL: Duration = Duration::from_secs(30);

const ALL: RemoteOptions = RemoteOptions { stdin: true, stdout: true, stderr: true, tty: false };
const POD: PodName<'_> = PodName { namespace: "ravelin", name: "web" };

/// Sends input, and gives output, complaints and outcome.
async fn talk(streams: RemoteClient, input: &[u8]) -> (Vec<u8>, String, Outcome) {
    let RemoteClient { stdin, stdout, stderr, outcome, .. } = streams;
    let (mut stdin, mut stdout, mut stderr) =
        (stdin.expect("asked for"), stdout.expect("asked for"), stderr.expect("asked for"));
    let (mut output, mut complaints) = (Vec::new(), String::new());
    let write = async {
        stdin.write_all(input).await?;
        stdin.shutdown().await
    };
    let (wrote, read, complained, outcome) = tokio::join!(
        write,
        stdout.read_to_end(&mut output),
        stderr.read_to_string(&mut complaints),
        outcome.read()
    );
    wrote.and(read).and(complained).expect("the streams end in order");
    (output, complaints, outcome.expect("it ended"))
}

async fn forwarded(stage: Rc<Stage>, carrier: Carrier) -> Vec<String> {
    let client = stage.cluster.operator().clone();
    let forwarding = client.port_forward(POD, carrier).await.expect("it is allowed");
    let ask = async |path: &str| {
        let mut connection = forwarding.connect(8080).await.expect("it is there");
        let request = format!("GET {path} HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n");
        connection.writer.write_all(request.as_bytes()).await.expect("it is taken");
        let mut answer = String::new();
        connection.reader.read_to_string(&mut answer).await.expect("it ends");
        assert_eq!(connection.complaint().await.expect("it ends"), None);
        answer.lines().next().unwrap_or_default().to_owned()
    };
    let (first, second, third) = tokio::join!(ask("/"), ask("/none"), ask("/"));
    vec![first, second, third]
}

#[test]
fn commands_and_ports_pass_from_the_client_to_the_pod() {
    let input: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let expected = input.clone();
    let (talks, lines) = Setting::of(2).play(move |stage| {
        Box::pin(async move {
            stage.serve("web", "node-1", json!({})).await;
            let client = stage.cluster.operator().clone();
            let (mut talks, mut lines) = (Vec::new(), Vec::new());
            for carrier in [Carrier::WebSocket, Carrier::Spdy] {
                let how = Remote { container: None, options: ALL, carrier };
                let command = ["sh", "-c", "cat; echo oh >&2; exit 7"];
                let streams = client.exec(POD, &command, how).await.expect("it is allowed");
                talks.push(talk(streams, &input).await);
                lines.push(forwarded(Rc::clone(&stage), carrier).await);
            }
            (talks, lines)
        })
    });
    for (output, complaints, outcome) in talks {
        assert!(output == expected, "{} bytes came back", output.len());
        assert_eq!((complaints.as_str(), outcome), ("oh\n", Outcome::Exited(7)));
    }
    for lines in lines {
        assert_eq!(lines, ["HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found", "HTTP/1.1 200 OK"]);
    }
}

#[test]
fn without_the_right_to_it_nobody_runs_a_command() {
    let (refusals, runs) = Setting::of(1).play(|stage| {
        Box::pin(async move {
            let ledger = stage.serve("web", "node-1", json!({})).await;
            let node = stage.cluster.client(ravelin_cluster::Who::Node(0));
            let client = node.expect("the node is there").expect("it has a client");
            let mut refusals = Vec::new();
            for carrier in [Carrier::WebSocket, Carrier::Spdy] {
                let how = Remote { container: None, options: ALL, carrier };
                refusals.push(match client.exec(POD, &["true"], how).await {
                    Err(ClientError::Status(status)) => status.code,
                    Err(other) => panic!("{other}"),
                    Ok(_) => 101,
                });
            }
            (refusals, ledger.runs().len())
        })
    });
    assert_eq!((refusals, runs), (vec![403, 403], 0));
}

/// How much a command's input takes until it stands still, and then whether all that was taken comes
/// out of its output, in order, once that is read.
async fn filled(streams: RemoteClient, repeats: bool) -> (usize, bool) {
    let RemoteClient { stdin, stdout, .. } = streams;
    let (mut stdin, mut stdout) = (stdin.expect("asked for"), stdout.expect("asked for"));
    let pattern = |at: usize| (at / 7 % 251).to_le_bytes()[0];
    let mut taken = 0;
    loop {
        let piece: Vec<u8> = (taken..taken + 8192).map(pattern).collect();
        match tokio::time::timeout(STANDSTILL, stdin.write(&piece)).await {
            Ok(wrote) => taken += wrote.expect("it is open"),
            Err(_) => break,
        }
        assert!(taken < 64 << 20, "nothing holds it up");
    }
    let mut output = vec![0; if repeats { taken } else { 0 }];
    let read = tokio::time::timeout(STANDSTILL, stdout.read_exact(&mut output)).await;
    let whole = read.is_ok_and(|read| read.is_ok());
    (taken, whole && output.iter().enumerate().all(|(at, byte)| *byte == pattern(at)))
}

#[test]
fn who_does_not_read_holds_up_who_writes_and_nothing_between_fills_up() {
    let all = Setting::of(1).play(|stage| {
        Box::pin(async move {
            stage.serve("web", "node-1", json!({})).await;
            let client = stage.cluster.operator().clone();
            let mut all = Vec::new();
            for carrier in [Carrier::WebSocket, Carrier::Spdy] {
                // One never reads its input; one floods with what nobody reads.
                for (command, repeats) in [(["sleep", "10000"], false), (["cat", "-"], true)] {
                    let how = Remote { container: None, options: ALL, carrier };
                    let streams = client.exec(POD, &command, how).await.expect("it is allowed");
                    all.push((carrier, repeats, filled(streams, repeats).await));
                }
            }
            all
        })
    });
    for (carrier, repeats, (taken, whole)) in all {
        let most = if repeats { 2 * MAX_HELD_BYTES } else { MAX_HELD_BYTES };
        assert!((64 << 10..most).contains(&taken), "{carrier:?} {repeats}: {taken} bytes were taken");
        assert!(whole, "{carrier:?} {repeats}: what was taken comes out again");
    }
}
