//! Commands, forwarded ports and logs that last for hours: new keys in between change nothing, and where
//! the tunnel dies they end, and say why.

use crate::services::stage::{Setting, Stage};
use http_body_util::BodyExt;
use ravelin_client::{Client, Credential, Forwarding, Outcome, PodName, Remote, RemoteClient, RemoteOptions};
use ravelin_cluster::Layout;
use ravelin_host::{Endpoint, Flaws, SessionSecret};
use ravelin_tests::{Sample, verified_ssh_tunnels};
use ravelin_transport::{Body, HttpConnection, TlsClient, body};
use serde_json::json;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

const POD: PodName<'_> = PodName { namespace: "ravelin", name: "web-node-1" };
const ALL: RemoteOptions = RemoteOptions { stdin: true, stdout: true, stderr: false, tty: false };
const TICKER: &str = "ticker";
/// How often something passes.
const PART: Duration = Duration::from_secs(600);
/// How long they last, in hours.
const HOURS: u32 = 5;
/// What the end of a tunnel may take until it is seen at the far end of everything.
const NOTICED: Duration = Duration::from_secs(300);

/// A pod on the same node that writes a line every so often.
async fn ticking(stage: &Stage) {
    let container = json!({
        "name": "main", "image": "ravelin.test/logger",
        "env": [{"name": "TICK_SECONDS", "value": PART.as_secs().to_string()}],
    });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": TICKER},
        "spec": {"nodeName": "node-1", "containers": [container]},
    });
    let pods = format!("/api/v1/namespaces/{}/pods", POD.namespace);
    stage.create(&pods, pod).await;
    let path = format!("{pods}/{TICKER}");
    stage.until("it ticks", async || stage.get(&path).await["status"]["phase"] == "Running").await;
}

/// The log of [`TICKER`], as it comes, and the connection that it comes over.
async fn followed(client: &Client) -> (HttpConnection, Body) {
    let config = client.config();
    let Credential::Certificate(identity) = &config.credential else {
        panic!("the operator has a certificate")
    };
    let connection = client.host().connect(&Endpoint::Tcp(config.server)).await.expect("it listens");
    let tls = TlsClient {
        trust: config.trust.clone(),
        identity: Some(identity.clone()),
        server_name: config.server_name.clone(),
    };
    let secured = tls.connect(client.host(), connection.stream).await.expect("it is the apiserver");
    let mut connection = HttpConnection::open(client.host(), secured.stream).await.expect("it speaks HTTP");
    let path = format!("/api/v1/namespaces/{}/pods/{TICKER}/log?follow=true", POD.namespace);
    let request = http::Request::get(path).body(body::empty()).expect("it is a request");
    let answer = connection.send(request).await.expect("it answers");
    assert!(answer.status().is_success(), "{}", answer.status());
    (connection, answer.into_body())
}

/// Another piece of a log comes.
async fn grows(log: &mut Body) {
    let piece = timeout(PART + PART, log.frame()).await.expect("something is written");
    piece.expect("it goes on").expect("it is whole");
}

/// What came of it.
struct Lasted {
    /// Lines that came back from a command, and answers through a forwarded port.
    echoed: u32,
    answered: u32,
    /// Key exchanges while it lasted.
    exchanges: usize,
    /// How all three ended when the node died.
    command: String,
    port: String,
    log: String,
}

fn key_exchanges(stage: &Stage) -> usize {
    let secrets = stage.world.secrets();
    secrets.iter().filter(|secret| matches!(secret, SessionSecret::Ssh { .. })).count()
}

async fn echoes(streams: &mut RemoteClient, line: &str) {
    let stdin = streams.stdin.as_mut().expect("asked for");
    stdin.write_all(line.as_bytes()).await.expect("it is read");
    let mut heard = vec![0; line.len()];
    let stdout = streams.stdout.as_mut().expect("asked for");
    stdout.read_exact(&mut heard).await.expect("it answers");
    assert_eq!(heard, line.as_bytes());
}

async fn answers(forwarding: &Forwarding) {
    let mut connection = forwarding.connect(8080).await.expect("it is there");
    let request = "GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n";
    connection.writer.write_all(request.as_bytes()).await.expect("it is read");
    let mut answer = String::new();
    connection.reader.read_to_string(&mut answer).await.expect("it ends well");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

async fn lasting(stage: Rc<Stage>) -> Lasted {
    let client = stage.cluster.operator().clone();
    // What that version understands.
    let carrier = stage.cluster.kubectl_carrier();
    let how = Remote { container: None, options: ALL, carrier };
    let mut streams = client.exec(POD, &["cat"], how).await.expect("it is allowed");
    let forwarding = client.port_forward(POD, carrier).await.expect("it is allowed");
    ticking(&stage).await;
    let (_connection, mut log) = followed(&client).await;
    let (before, mut echoed, mut answered) = (key_exchanges(&stage), 0, 0);
    for hour in 0..HOURS {
        for part in 0..6 {
            echoes(&mut streams, &format!("hour {hour}, part {part}\n")).await;
            answers(&forwarding).await;
            grows(&mut log).await;
            (echoed, answered) = (echoed + 1, answered + 1);
            sleep(PART).await;
        }
    }
    let exchanges = key_exchanges(&stage) - before;
    stage.world.faults().crash("node-1");
    let mut rest = Vec::new();
    let read = streams.stdout.as_mut().expect("asked for").read_to_end(&mut rest);
    let ended = timeout(NOTICED, read).await.expect("it does not hang");
    let outcome = timeout(NOTICED, streams.outcome.read()).await.expect("it does not hang");
    let command = format!("{ended:?}, {outcome:?}");
    assert!(!matches!(outcome, Ok(Outcome::Success | Outcome::Exited(0))), "{command}");
    let opened = timeout(NOTICED, forwarding.connect(8080)).await.expect("it does not hang");
    let port = match opened {
        Err(error) => error.to_string(),
        Ok(mut connection) => {
            let mut rest = Vec::new();
            let read = connection.reader.read_to_end(&mut rest);
            let ended = timeout(NOTICED, read).await.expect("it does not hang");
            format!("{ended:?}, {:?}", connection.complaint().await)
        }
    };
    let log = loop {
        match timeout(NOTICED, log.frame()).await.expect("it does not hang") {
            Some(Ok(_)) => {}
            end => break format!("{end:?}"),
        }
    };
    Lasted { echoed, answered, exchanges, command, port, log }
}

#[test]
fn commands_ports_and_logs_last_for_hours_and_end_with_their_tunnel() {
    let clusters = [
        ("legacy", Sample::LegacySshTunnels.config()),
        ("verified", verified_ssh_tunnels()),
        ("konnectivity", Sample::Konnectivity.config()),
    ];
    for (name, config) in clusters {
        let layout = Layout::new(&config, 1).expect("a node has room");
        let setting = Setting { config, layout, flaws: Flaws::none() };
        let lasted = setting.play(|stage| Box::pin(lasting(stage)));
        assert_eq!((lasted.echoed, lasted.answered), (6 * HOURS, 6 * HOURS), "{name}");
        // The apiserver's end tells of each.
        let least = if name == "konnectivity" { 0 } else { HOURS as usize - 1 };
        assert!(lasted.exchanges >= least, "{name}: {}", lasted.exchanges);
        eprintln!(
            "{name}: the command: {}\nthe port: {}\nthe log: {}",
            lasted.command, lasted.port, lasted.log
        );
    }
}
