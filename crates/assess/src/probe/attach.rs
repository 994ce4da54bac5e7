//! The probe of `apiserver-to-kubelet/attach`: a shell that runs as a container's main process is told
//! to write down the request's canary, and to read the response's out to whoever is attached.

use super::exec::questions;
use super::streams::{self, name_of, planted};
use super::{Probe, Secrets, Unusable};
use crate::stage::Stage;
use futures_util::future::LocalBoxFuture;
use ravelin_adversary::Target;
use ravelin_client::{Client, ClientError, Remote, RemoteOptions};
use ravelin_cluster::{Demo, DemoPod};
use ravelin_oracle::{Call, Executed, Handed, Issued};
use ravelin_transport::streams::BoxedReader;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A longer answer has no end.
const MAX_OUTPUT_BYTES: usize = 64 * 1024;

/// A probe of the way to a container's main process, on every probed node.
pub struct AttachProbe<'a> {
    stage: &'a Stage,
    caller: Client,
    secrets: &'a Secrets,
    pods: Vec<DemoPod>,
    /// How many lines the shells had written before, by pod.
    before: Vec<usize>,
}

impl<'a> AttachProbe<'a> {
    /// A probe by the operator, who stands in the control plane.
    pub fn new(stage: &'a Stage, secrets: &'a Secrets) -> Result<Self, Unusable> {
        let pods = stage.pods(Demo::Shell).map_err(Unusable::Failed)?;
        let before = pods.iter().map(|pod| pod.ledger.log_lines("main").len()).collect();
        Ok(Self { stage, caller: stage.cluster.operator().fresh(), secrets, pods, before })
    }

    /// The file in which a shell writes down what it was told.
    fn notebook(&self) -> String {
        format!("/tmp/{}", self.secrets.id)
    }

    /// What a shell is told to write down.
    fn note(&self, pod: &DemoPod) -> String {
        format!("{} {}", self.secrets.request.reveal(), pod.name)
    }

    /// The last line of a shell's answer.
    fn end(&self) -> String {
        format!("end of {}\n", self.secrets.id)
    }

    async fn session(&self, pod: &DemoPod) -> Result<Handed, ClientError> {
        let options = RemoteOptions { stdin: true, stdout: true, stderr: false, tty: false };
        let how = Remote { container: Some("main"), options, carrier: self.stage.cluster.kubectl_carrier() };
        let mut session = self.caller.attach(name_of(pod), how).await?;
        let (note, book, file) = (self.note(pod), self.notebook(), planted(&self.secrets.id));
        let told = format!("echo {note} >> {book}; cat {file}; echo {}", self.end());
        let (stdin, stdout) = (session.stdin.take(), session.stdout.take());
        let talk = async {
            let mut stdin = stdin;
            if let Some(stdin) = &mut stdin {
                // A shell that reads no further is no failure of its caller.
                let _ = stdin.write_all(told.as_bytes()).await;
                let _ = stdin.flush().await;
            }
            let Some(mut stdout) = stdout else { return Ok(Vec::new()) };
            let mut output = until(&mut stdout, &self.end()).await?;
            // Whoever has the answer lets go of the shell, which goes on.
            if let Some(stdin) = &mut stdin {
                let _ = stdin.shutdown().await;
            }
            output.extend(streams::whole(Some(stdout)).await?);
            Ok(output)
        };
        let (output, outcome) = futures_util::join!(talk, session.outcome.read());
        Ok(streams::handed(outcome?, output))
    }

    /// Where a kubelet might redirect to.
    fn elsewhere(&self) -> Option<(SocketAddr, String)> {
        let pod = self.pods.get(1).or(self.pods.first())?;
        let path = format!("/attach/{}/{}/main?input=1&output=1", pod.namespace, pod.name);
        Some((SocketAddr::new(pod.node_address, self.stage.cluster.kubelet_port()), path))
    }
}

/// Reads a stream until it ends, or has brought what is awaited.
async fn until(stream: &mut BoxedReader, awaited: &str) -> io::Result<Vec<u8>> {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    while !read.ends_with(awaited.as_bytes()) && read.len() < MAX_OUTPUT_BYTES {
        match stream.read(&mut buffer).await? {
            0 => break,
            count => read.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(read)
}

impl Probe for AttachProbe<'_> {
    fn plant(&mut self) -> LocalBoxFuture<'_, Result<(), String>> {
        Box::pin(async {
            let canary = (self.secrets.id.as_str(), self.secrets.response.reveal());
            self.pods.iter().try_for_each(|pod| streams::plant(pod, canary))
        })
    }

    fn target(&self) -> Target {
        let asks = questions(&self.pods, &planted(&self.secrets.id));
        Target { elsewhere: self.elsewhere(), ..self.stage.kubelet_target(&self.pods, asks) }
    }

    fn exercise(&self) -> LocalBoxFuture<'_, Vec<Call>> {
        Box::pin(async {
            let mut calls = Vec::new();
            for pod in &self.pods {
                let flow = format!("operator > apiserver > kubelet of {}", pod.node);
                calls.push(streams::call(self.stage, (&pod.name, flow), self.session(pod)).await);
            }
            calls
        })
    }

    fn issued(&self) -> Vec<Issued> {
        let of_pod = |(pod, before): (&DemoPod, &usize)| {
            let lines = pod.ledger.log_lines("main").into_iter().skip(*before);
            let text: String = lines.map(|line| format!("{}\n", line.text)).collect();
            // What a shell writes up to the last line of its answer is one answer.
            let answers = text.split_inclusive(&self.end()).map(str::to_owned).collect::<Vec<_>>();
            let name = pod.name.clone();
            answers.into_iter().map(move |answer| Issued::to(name.clone(), answer))
        };
        self.pods.iter().zip(&self.before).flat_map(of_pod).collect()
    }

    fn executed(&self) -> Vec<Executed> {
        let mut executed = Vec::new();
        for pod in &self.pods {
            let book = pod.host.disk().read(&self.notebook()).unwrap_or_default();
            for (count, line) in String::from_utf8_lossy(&book).lines().enumerate() {
                let as_sent = count == 0 && line == self.note(pod);
                let server = format!("{} on {}", pod.name, pod.node);
                executed.push(Executed { at: self.stage.world.elapsed(), server, as_sent });
            }
        }
        executed
    }
}
