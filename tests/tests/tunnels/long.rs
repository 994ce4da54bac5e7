//! Commands, forwarded ports and logs that last for hours: new keys in between change nothing, and where
//! the tunnel dies they end, and say why.

use crate::services::stage::{Setting, Stage};
use ravelin_client::{Forwarding, Outcome, PodName, Remote, RemoteClient, RemoteOptions};
use ravelin_cluster::Layout;
use ravelin_host::{Flaws, SessionSecret};
use ravelin_tests::Sample;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

const POD: PodName<'_> = PodName { namespace: "ravelin", name: "web-node-1" };
const ALL: RemoteOptions = RemoteOptions { stdin: true, stdout: true, stderr: false, tty: false };
/// How long they last, in hours.
const HOURS: u32 = 5;
/// What the end of a tunnel may take until it is seen at the far end of everything.
const NOTICED: Duration = Duration::from_secs(300);

/// What came of it.
struct Lasted {
    /// Lines that came back from a command, and answers through a forwarded port.
    echoed: u32,
    answered: u32,
    /// Key exchanges while it lasted.
    exchanges: usize,
    /// How the command and the port ended when the node died.
    command: String,
    port: String,
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
    let (before, mut echoed, mut answered) = (key_exchanges(&stage), 0, 0);
    for hour in 0..HOURS {
        for part in 0..6 {
            echoes(&mut streams, &format!("hour {hour}, part {part}\n")).await;
            answers(&forwarding).await;
            (echoed, answered) = (echoed + 1, answered + 1);
            sleep(Duration::from_secs(600)).await;
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
    Lasted { echoed, answered, exchanges, command, port }
}

#[test]
fn commands_and_ports_last_for_hours_and_end_with_their_tunnel() {
    let config = Sample::LegacySshTunnels.config();
    let layout = Layout::new(&config, 1).expect("a node has room");
    let setting = Setting { config, layout, flaws: Flaws::none() };
    let lasted = setting.play(|stage| Box::pin(lasting(stage)));
    assert_eq!((lasted.echoed, lasted.answered), (6 * HOURS, 6 * HOURS));
    // An exchange is two secrets: one at each end.
    assert!(lasted.exchanges >= 2 * (HOURS as usize - 1), "{}", lasted.exchanges);
    eprintln!("the command: {}\nthe port: {}", lasted.command, lasted.port);
}
