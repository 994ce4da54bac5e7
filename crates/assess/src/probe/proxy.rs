//! Probes of the apiserver's proxies: a JSON body carries the request's canary to a server of the
//! probe's own, whose answer carries the response's.

use super::{Probe, Secrets, Unusable, call, request};
use crate::stage::Stage;
use futures_util::future::LocalBoxFuture;
use http::Method;
use ravelin_adversary::Target;
use ravelin_client::Client;
use ravelin_cluster::{Demo, DemoPod, WEB_HTTP_PORT, WEB_HTTPS_PORT, WEB_SERVICE};
use ravelin_oracle::{Call, Executed, Issued};
use serde_json::json;
use std::collections::BTreeMap;

/// Which proxy of the apiserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    /// `nodes/…/proxy`.
    Node,
    /// `pods/…/proxy`.
    Pod,
    /// `services/…/proxy`.
    Service,
}

/// A probe of one proxy, towards a server on every probed node.
pub struct ProxyProbe<'a> {
    stage: &'a Stage,
    caller: Client,
    secrets: &'a Secrets,
    through: Through,
    secure: bool,
    /// The pods that are asked, one by one (or, behind a service, as often).
    pods: Vec<DemoPod>,
    /// The pods that may answer.
    answering: Vec<DemoPod>,
}

impl<'a> ProxyProbe<'a> {
    /// A probe by the operator, who stands in the control plane.
    pub fn new(
        stage: &'a Stage,
        (through, secure): (Through, bool),
        secrets: &'a Secrets,
    ) -> Result<Self, Unusable> {
        let demo = if through == Through::Node { Demo::HostWeb } else { Demo::Web };
        let pods = stage.pods(demo).map_err(Unusable::Failed)?;
        let answering = if through == Through::Service { stage.all_pods(demo) } else { pods.clone() };
        let caller = stage.cluster.operator().fresh();
        Ok(Self { stage, caller, secrets, through, secure, pods, answering })
    }

    /// The proxy's path towards a pod. A service chooses its pod itself.
    fn path(&self, pod: &DemoPod) -> String {
        let (scheme, port) = if self.secure { ("https:", WEB_HTTPS_PORT) } else { ("", WEB_HTTP_PORT) };
        match self.through {
            Through::Node => format!("/api/v1/nodes/{scheme}{}:{port}/proxy/probe", pod.node),
            Through::Pod => {
                let (namespace, name) = (&pod.namespace, &pod.name);
                format!("/api/v1/namespaces/{namespace}/pods/{scheme}{name}:{port}/proxy/probe")
            }
            Through::Service => {
                let (namespace, port) = (&pod.namespace, if self.secure { "https" } else { "http" });
                format!("/api/v1/namespaces/{namespace}/services/{scheme}{WEB_SERVICE}:{port}/proxy/probe")
            }
        }
    }

    /// The bodies that the caller sends, by the name that each bears.
    fn sent(&self) -> Vec<(String, &DemoPod, String)> {
        let rounds = 0..self.stage.uses_of_each_pod();
        let each = rounds.flat_map(|round| self.pods.iter().map(move |pod| (round, pod)));
        each.map(|(round, pod)| {
            let id = format!("{}-{}-{round}", self.secrets.id, pod.node);
            let body = json!({"probe": id, "secret": self.secrets.request.reveal()}).to_string();
            (id, pod, body)
        })
        .collect()
    }
}

impl Probe for ProxyProbe<'_> {
    fn plant(&mut self) -> LocalBoxFuture<'_, Result<(), String>> {
        Box::pin(async {
            for (id, _, _) in self.sent() {
                for pod in &self.answering {
                    pod.ledger.plant(&id, self.secrets.response.reveal());
                }
            }
            Ok(())
        })
    }

    fn target(&self) -> Target {
        self.stage.workload_target(&self.answering, self.secure)
    }

    fn exercise(&self) -> LocalBoxFuture<'_, Vec<Call>> {
        Box::pin(async {
            let mut calls = Vec::new();
            for (id, pod, body) in self.sent() {
                let post = request(Method::POST, &self.path(pod), ("application/json", body.into_bytes()));
                let flow = format!("operator > apiserver > {}", pod.name);
                calls.push(call(self.stage, &self.caller, post, (id, flow)).await);
            }
            calls
        })
    }

    fn issued(&self) -> Vec<Issued> {
        let served = self.answering.iter().flat_map(|pod| pod.ledger.served());
        let ours = served.filter(|served| served.answer.status == 200);
        ours.filter_map(|served| Some(Issued::to(served.probe?, served.answer.body))).collect()
    }

    fn executed(&self) -> Vec<Executed> {
        let sent: BTreeMap<_, _> = self.sent().into_iter().map(|(id, _, body)| (id, body)).collect();
        let mut counted: BTreeMap<String, usize> = BTreeMap::new();
        let mut executed = Vec::new();
        for pod in &self.answering {
            for served in pod.ledger.served() {
                let Some(id) = served.probe.filter(|id| sent.contains_key(id)) else { continue };
                let count = counted.entry(id.clone()).or_default();
                *count += 1;
                let as_sent = *count == 1 && served.request.body == sent[&id].as_bytes();
                let server = format!("{} on {}", pod.name, pod.node);
                executed.push(Executed { at: self.stage.world.elapsed(), server, as_sent });
            }
        }
        executed
    }
}
