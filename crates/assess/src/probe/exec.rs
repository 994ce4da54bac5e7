//! The probe of `apiserver-to-kubelet/exec`: a script reads the response's canary from a file of the
//! pod's; the request's stands in the script and comes through its standard input.

use super::streams::{self, name_of, planted};
use super::{Probe, Secrets, Unusable};
use crate::stage::Stage;
use futures_util::future::LocalBoxFuture;
use ravelin_adversary::{Ask, MARK, REDIRECTED, Target};
use ravelin_client::{Client, ClientError, Remote, RemoteOptions};
use ravelin_cluster::{Demo, DemoPod};
use ravelin_oracle::{Call, Executed, Handed, Issued};
use ravelin_runtime::Ran;
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt;

/// A probe of the way to a command in a container, on every probed node.
pub struct ExecProbe<'a> {
    stage: &'a Stage,
    caller: Client,
    secrets: &'a Secrets,
    pods: Vec<DemoPod>,
    /// How many commands had been run before, by pod.
    before: Vec<usize>,
}

impl<'a> ExecProbe<'a> {
    /// A probe by the operator, who stands in the control plane.
    pub fn new(stage: &'a Stage, secrets: &'a Secrets) -> Result<Self, Unusable> {
        let pods = stage.pods(Demo::Shell).map_err(Unusable::Failed)?;
        let before = pods.iter().map(|pod| pod.ledger.runs().len()).collect();
        Ok(Self { stage, caller: stage.cluster.operator().fresh(), secrets, pods, before })
    }

    /// The command that the caller has a pod run.
    fn argv(&self, pod: &DemoPod) -> [String; 3] {
        let (file, canary) = (planted(&self.secrets.id), self.secrets.request.reveal());
        let script = format!("cat {file}; wc -c # {} {canary}", pod.name);
        ["sh".to_owned(), "-c".to_owned(), script]
    }

    async fn session(&self, pod: &DemoPod) -> Result<Handed, ClientError> {
        let options = RemoteOptions { stdin: true, stdout: true, stderr: true, tty: false };
        let how = Remote { container: Some("main"), options, carrier: self.stage.cluster.kubectl_carrier() };
        let argv = self.argv(pod);
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        let session = self.caller.exec(name_of(pod), &argv, how).await?;
        let input = async {
            if let Some(mut stdin) = session.stdin {
                // A command that reads no further is no failure of its caller.
                let _ = stdin.write_all(self.secrets.request.reveal().as_bytes()).await;
                let _ = stdin.shutdown().await;
            }
        };
        let (stdout, stderr) = (streams::whole(session.stdout), streams::whole(session.stderr));
        let ((), stdout, stderr, outcome) =
            futures_util::join!(input, stdout, stderr, session.outcome.read());
        let output = stdout.and_then(|stdout| Ok([stdout, stderr?].concat()));
        Ok(streams::handed(outcome?, output))
    }

    /// What was run in a pod since, and bears the probe's name; what an attacker asks for by itself
    /// is a plain `cat`.
    fn runs(&self, at: usize) -> impl Iterator<Item = Ran> {
        let runs = self.pods[at].ledger.runs().into_iter().skip(self.before[at]);
        let id = self.secrets.id.clone();
        runs.filter(move |ran| {
            ran.argv.first().is_some_and(|program| program == "sh") && ran.argv.concat().contains(&id)
        })
    }

    /// Where a kubelet might redirect to, and what would be run there.
    fn elsewhere(&self) -> Option<(SocketAddr, String)> {
        let pod = self.pods.get(1).or(self.pods.first())?;
        let command =
            format!("command=sh&command=-c&command=cat+{}&command={REDIRECTED}", planted(&self.secrets.id));
        let path = format!("/exec/{}/{}/main?{command}&output=1", pod.namespace, pod.name);
        Some((SocketAddr::new(pod.node_address, self.stage.cluster.kubelet_port()), path))
    }
}

/// What whoever may reach into containers asks of a kubelet, for a file there.
pub(super) fn questions(pods: &[DemoPod], file: &str) -> Vec<Ask> {
    let of_pod = |pod: &DemoPod| {
        let path = format!("{}/{}/main", pod.namespace, pod.name);
        [
            Ask::post(&format!("/run/{path}?cmd=cat%20{file}"), None, "a command in another's container"),
            Ask::command(
                &format!("/exec/{path}?command=cat&command={file}&output=1"),
                "a streamed command in another's container",
            ),
        ]
    };
    pods.iter().flat_map(of_pod).collect()
}

impl Probe for ExecProbe<'_> {
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
        let of_pod = |at: usize| {
            let name = self.pods[at].name.clone();
            let written = self.runs(at).map(|ran| [ran.output.stdout, ran.output.stderr].concat());
            written.map(move |bytes| Issued::to(name.clone(), bytes))
        };
        (0..self.pods.len()).flat_map(of_pod).collect()
    }

    fn executed(&self) -> Vec<Executed> {
        let mut executed = Vec::new();
        for (at, pod) in self.pods.iter().enumerate() {
            let argv = self.argv(pod);
            // As whom a kubelet ran what an impostor passed on, only the impostor's own credentials
            // tell: it counts as what the impostor achieved.
            let runs = self.runs(at).filter(|ran| ran.argv.iter().all(|word| word != MARK));
            for (count, ran) in runs.enumerate() {
                let same = ran.argv == argv && ran.stdin == self.secrets.request.reveal().as_bytes();
                let server = format!("{} on {}", pod.name, pod.node);
                let as_sent = count == 0 && same;
                executed.push(Executed { at: self.stage.world.elapsed(), server, as_sent });
            }
        }
        executed
    }
}
