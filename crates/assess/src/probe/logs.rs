//! The probe of `apiserver-to-kubelet/logs`: the limit in bytes is the request's canary, a line of
//! the log the response's.

use super::{Probe, Secrets, Unusable, call, request};
use crate::stage::Stage;
use futures_util::future::LocalBoxFuture;
use http::Method;
use ravelin_adversary::{Ask, REDIRECTED_LIMIT, Target};
use ravelin_client::Client;
use ravelin_cluster::{Demo, DemoPod};
use ravelin_oracle::{Call, Executed, Issued};
use std::net::SocketAddr;

/// A probe of the way to a container's log, on every probed node.
pub struct LogsProbe<'a> {
    stage: &'a Stage,
    caller: Client,
    secrets: &'a Secrets,
    pods: Vec<DemoPod>,
    /// How many logs had been read before, by pod.
    before: Vec<usize>,
}

impl<'a> LogsProbe<'a> {
    /// A probe by the operator, who stands in the control plane.
    pub fn new(stage: &'a Stage, secrets: &'a Secrets) -> Result<Self, Unusable> {
        let pods = stage.pods(Demo::Logger).map_err(Unusable::Failed)?;
        let before = pods.iter().map(|pod| pod.ledger.log_reads().len()).collect();
        Ok(Self { stage, caller: stage.cluster.operator().fresh(), secrets, pods, before })
    }
}

impl LogsProbe<'_> {
    /// Another log than the first that the probe reads, on another node where there is one.
    fn elsewhere(&self) -> Option<(SocketAddr, String)> {
        let pod = self.pods.get(1).or(self.pods.first())?;
        let path =
            format!("/containerLogs/{}/{}/main?limitBytes={REDIRECTED_LIMIT}", pod.namespace, pod.name);
        Some((SocketAddr::new(pod.node_address, self.stage.cluster.kubelet_port()), path))
    }
}

impl Probe for LogsProbe<'_> {
    fn plant(&mut self) -> LocalBoxFuture<'_, Result<(), String>> {
        Box::pin(async {
            for pod in &self.pods {
                pod.ledger.log_line(pod.host.now(), "main", self.secrets.response.reveal());
            }
            Ok(())
        })
    }

    fn target(&self) -> Target {
        let asks = self.pods.iter().map(|pod| {
            let path = format!("/containerLogs/{}/{}/main", pod.namespace, pod.name);
            Ask::get(&path, "a container's log")
        });
        Target { elsewhere: self.elsewhere(), ..self.stage.kubelet_target(&self.pods, asks.collect()) }
    }

    fn exercise(&self) -> LocalBoxFuture<'_, Vec<Call>> {
        Box::pin(async {
            let mut calls = Vec::new();
            for pod in &self.pods {
                let limit = self.secrets.request.reveal();
                let path = format!(
                    "/api/v1/namespaces/{}/pods/{}/log?container=main&limitBytes={limit}",
                    pod.namespace, pod.name
                );
                let get = request(Method::GET, &path, ("application/json", Vec::new()));
                let flow = format!("operator > apiserver > kubelet of {}", pod.node);
                calls.push(call(self.stage, &self.caller, get, (pod.name.clone(), flow)).await);
            }
            calls
        })
    }

    fn issued(&self) -> Vec<Issued> {
        let limit = self.secrets.request.reveal().parse().ok();
        let reads = |pod: &DemoPod| {
            let reads = pod.ledger.log_reads().into_iter();
            let ours = reads.filter(move |read| read.options.limit_bytes == limit);
            let name = pod.name.clone();
            ours.map(move |read| Issued::to(name.clone(), read.bytes))
        };
        self.pods.iter().flat_map(reads).collect()
    }

    fn executed(&self) -> Vec<Executed> {
        // The container that is read cannot see under whose identity it was: what a kubelet
        // executed for an attacker shows in what the attacker achieved. But nobody asks for this
        // many bytes except who was redirected.
        let mut executed = Vec::new();
        for (pod, before) in self.pods.iter().zip(&self.before) {
            let reads = pod.ledger.log_reads().into_iter().skip(*before);
            for _ in reads.filter(|read| read.options.limit_bytes == Some(REDIRECTED_LIMIT)) {
                let server = format!("kubelet of {}", pod.node);
                executed.push(Executed { at: self.stage.world.elapsed(), server, as_sent: false });
            }
        }
        executed
    }
}
