//! The probe of `apiserver-to-kubelet/port-forward`: a request to a web server in a pod, through a
//! forwarded connection; its JSON body carries the request's canary, the answer's the response's.

use super::streams::{self, name_of};
use super::{Probe, Secrets, Unusable};
use crate::stage::Stage;
use futures_util::future::LocalBoxFuture;
use ravelin_adversary::{Ask, OWN_QUERY, RELABELLED, Target};
use ravelin_client::{Client, ClientError, Forwarded};
use ravelin_cluster::{Demo, DemoPod, WEB_HTTP_PORT};
use ravelin_oracle::dissect::{BodyEnd, Message, StartLine, exchanges};
use ravelin_oracle::{Call, Executed, Handed, Issued};
use serde_json::json;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A longer answer is none.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// A probe of forwarded connections, to a web server on every probed node.
pub struct PortForwardProbe<'a> {
    stage: &'a Stage,
    caller: Client,
    secrets: &'a Secrets,
    pods: Vec<DemoPod>,
}

impl<'a> PortForwardProbe<'a> {
    /// A probe by the operator, who stands in the control plane.
    pub fn new(stage: &'a Stage, secrets: &'a Secrets) -> Result<Self, Unusable> {
        let pods = stage.pods(Demo::Web).map_err(Unusable::Failed)?;
        Ok(Self { stage, caller: stage.cluster.operator().fresh(), secrets, pods })
    }

    /// What the request to a pod is called.
    fn id(&self, pod: &DemoPod) -> String {
        format!("{}-{}", self.secrets.id, pod.node)
    }

    fn body(&self, pod: &DemoPod) -> String {
        json!({"probe": self.id(pod), "secret": self.secrets.request.reveal()}).to_string()
    }

    async fn session(&self, pod: &DemoPod) -> Result<Handed, ClientError> {
        let carrier = self.stage.cluster.kubectl_carrier();
        let forwarding = self.caller.port_forward(name_of(pod), carrier).await?;
        let mut forwarded = forwarding.connect(WEB_HTTP_PORT).await?;
        let body = self.body(pod);
        let request = format!(
            "POST /probe HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = ask(&mut forwarded, request.as_bytes()).await?;
        // Whoever has the answer hangs up; what the kubelet has to complain of comes before its end.
        forwarded.writer.shutdown().await?;
        match (answer, forwarded.complaint().await?) {
            (_, Some(complaint)) => Ok(super::error(complaint)),
            (Some(answer), None) => Ok(judged(&answer)),
            (None, None) => Ok(super::error("the forwarded connection ended early".to_owned())),
        }
    }

    /// Where a kubelet might redirect to.
    fn elsewhere(&self) -> Option<(SocketAddr, String)> {
        let pod = self.pods.get(1).or(self.pods.first())?;
        let path = format!("/portForward/{}/{}", pod.namespace, pod.name);
        Some((SocketAddr::new(pod.node_address, self.stage.cluster.kubelet_port()), path))
    }

    /// What whoever may reach into pods asks of a kubelet.
    fn questions(&self) -> Vec<Ask> {
        let question = |pod: &DemoPod| {
            let path = format!("/portForward/{}/{}", pod.namespace, pod.name);
            let get = format!("/probe?probe={}&{OWN_QUERY}", self.id(pod));
            Ask::port(&path, (WEB_HTTP_PORT, &get), "a forwarded port of another's pod")
        };
        self.pods.iter().map(question).collect()
    }
}

/// Sends a request and reads its answer, as far as it comes.
async fn ask(through: &mut Forwarded, request: &[u8]) -> Result<Option<Message>, ClientError> {
    through.writer.write_all(request).await?;
    through.writer.flush().await?;
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = through.reader.read(&mut buffer).await?;
        read.extend_from_slice(&buffer[..count]);
        let answer = exchanges(request, &read).into_iter().next().and_then(|exchange| exchange.response);
        let whole = answer.as_ref().is_some_and(|answer| answer.end == BodyEnd::Complete);
        if whole || count == 0 || read.len() > MAX_ANSWER_BYTES {
            return Ok(answer);
        }
    }
}

fn judged(answer: &Message) -> Handed {
    match (&answer.start, answer.end) {
        (StartLine::Response { status: 200..300 }, BodyEnd::Complete) => Handed::Success(answer.body.clone()),
        (StartLine::Response { status: 200..300 }, _) => Handed::Partial,
        (StartLine::Response { status }, _) => {
            super::refused_with(*status, &String::from_utf8_lossy(&answer.body))
        }
        (StartLine::Request { .. }, _) => super::error("the answer is no HTTP".to_owned()),
    }
}

impl Probe for PortForwardProbe<'_> {
    fn plant(&mut self) -> LocalBoxFuture<'_, Result<(), String>> {
        Box::pin(async {
            for pod in &self.pods {
                // Any of them knows any probe's secret: who was led to another still gets an answer.
                for other in &self.pods {
                    other.ledger.plant(&self.id(pod), self.secrets.response.reveal());
                }
            }
            Ok(())
        })
    }

    fn target(&self) -> Target {
        let target = self.stage.kubelet_target(&self.pods, self.questions());
        Target { elsewhere: self.elsewhere(), ..target }
    }

    fn exercise(&self) -> LocalBoxFuture<'_, Vec<Call>> {
        Box::pin(async {
            let mut calls = Vec::new();
            for pod in &self.pods {
                let flow = format!("operator > apiserver > kubelet of {}", pod.node);
                let id = self.id(pod);
                calls.push(streams::call(self.stage, (&id, flow), self.session(pod)).await);
            }
            calls
        })
    }

    fn issued(&self) -> Vec<Issued> {
        let issued = |pod: &DemoPod| {
            let name = self.id(pod);
            let served = pod.ledger.served().into_iter().filter(|served| served.answer.status == 200);
            let ours = served.filter(move |served| served.probe.as_ref() == Some(&name));
            ours.filter_map(|served| Some(Issued::to(served.probe?, served.answer.body)))
        };
        self.pods.iter().flat_map(issued).collect()
    }

    fn executed(&self) -> Vec<Executed> {
        let ids: Vec<String> = self.pods.iter().map(|pod| self.id(pod)).collect();
        let mut executed = Vec::new();
        for (pod, id) in self.pods.iter().zip(&ids) {
            let served = pod.ledger.served().into_iter();
            let ours = served.filter(|served| served.probe.as_ref().is_some_and(|probe| ids.contains(probe)));
            // As whom a kubelet forwarded what an attacker sent, only the attacker's own credentials
            // tell: it counts as what the attacker achieved.
            let of_others = ours.filter(|served| {
                let relabelled = String::from_utf8_lossy(&served.request.body).contains(RELABELLED);
                !relabelled && !served.request.path.contains(OWN_QUERY)
            });
            for (count, served) in of_others.enumerate() {
                let same =
                    served.probe.as_ref() == Some(id) && served.request.body == self.body(pod).as_bytes();
                let server = format!("{} on {}", pod.name, pod.node);
                let as_sent = count == 0 && same;
                executed.push(Executed { at: self.stage.world.elapsed(), server, as_sent });
            }
        }
        executed
    }
}
