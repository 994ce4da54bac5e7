//! Probes of the paths to the apiserver: an object is annotated with the request's canary, and the
//! answer is the object, which holds the response's.

use super::{ALTERED, Probe, REQUEST, RESPONSE, Secrets, Unusable, call, request};
use crate::path::Path;
use crate::stage::Stage;
use futures_util::future::LocalBoxFuture;
use http::Method;
use ravelin_adversary::{Ask, Target};
use ravelin_apiserver::{Key, render};
use ravelin_client::{Client, ClientError, PatchKind};
use ravelin_cluster::Who;
use ravelin_oracle::{Call, Executed, Issued};
use serde_json::{Value, json};

/// How often a bootstrapping node looks for its certificate, and how long it goes on.
const LOOKS: u32 = 20;

/// A probe of a path to the apiserver.
pub struct ApiProbe<'a> {
    stage: &'a Stage,
    path: Path,
    who: Who,
    client: Client,
    secrets: &'a Secrets,
    /// The object's path.
    object: String,
    /// The store's revision before the probe.
    before: usize,
}

impl<'a> ApiProbe<'a> {
    /// A probe by the component whose path this is.
    pub fn new(stage: &'a Stage, path: Path, secrets: &'a Secrets) -> Result<Self, Unusable> {
        let cluster = &stage.cluster;
        let (who, object) = match path {
            Path::NodeBootstrap => {
                let path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
                (Who::Joiner, format!("{path}/probe-{}", secrets.id))
            }
            Path::NodeToApiserver => (Who::Node(0), format!("/api/v1/nodes/{}", cluster.node_name(0))),
            Path::PodToApiserver => (Who::Pod(0), ravelin_cluster::PROBE_CONFIG_MAP.to_owned()),
            Path::ProxyToApiserver => (Who::Proxy(0), ravelin_cluster::PROBE_EVENT.to_owned()),
            Path::ControllerToApiserver => (Who::ControllerManager, ravelin_cluster::PROBE_EVENT.to_owned()),
            _ => (Who::User, ravelin_cluster::PROBE_CONFIG_MAP.to_owned()),
        };
        let client = cluster.client(who).map_err(Unusable::Failed)?;
        let client = client.ok_or_else(|| {
            Unusable::Absent(
                "no bootstrap credential is configured: kubelets come with their certificate".into(),
            )
        })?;
        let mut probe = Self { stage, path, who, client, secrets, object, before: 0 };
        probe.before = probe.history().len();
        Ok(probe)
    }

    fn history(&self) -> Vec<std::sync::Arc<Value>> {
        let key = Key::from_path(&self.object).expect("the probes' objects are of known kinds");
        let states = self.stage.cluster.store().history(&key);
        states.into_iter().map(|state| state.object).collect()
    }

    fn flow(&self) -> String {
        format!("{} > apiserver", self.client.host().name())
    }

    /// The path of the collection that the object is in.
    fn collection(&self) -> &str {
        self.object.rsplit_once('/').map_or("", |(collection, _)| collection)
    }

    fn annotations(&self) -> Value {
        json!({"metadata": {"annotations": {REQUEST: self.secrets.request.reveal(), "ravelin.test/probe": self.secrets.id}}})
    }

    async fn patch(&self) -> Vec<Call> {
        let body = self.annotations().to_string().into_bytes();
        let patch = request(Method::PATCH, &self.object, ("application/merge-patch+json", body));
        vec![call(self.stage, &self.client, patch, (String::new(), self.flow())).await]
    }

    /// Asks for a certificate as a new node does, and waits until it is issued.
    async fn bootstrap(&self) -> Vec<Call> {
        let mut csr = self.stage.cluster.signing_request(&format!("probe-{}", self.secrets.id));
        csr["metadata"]["annotations"] = self.annotations()["metadata"]["annotations"].clone();
        let body = csr.to_string().into_bytes();
        let create = request(Method::POST, self.collection(), ("application/json", body));
        let mut calls = vec![call(self.stage, &self.client, create, (String::new(), self.flow())).await];
        if !matches!(calls[0].handed, ravelin_oracle::Handed::Success(_)) {
            return calls;
        }
        if let Err(error) = self.operator_answers().await {
            let handed = super::error(format!("the operator could not answer the signing request: {error}"));
            let (at, flow) = (self.stage.world.elapsed(), "operator > apiserver".to_owned());
            calls.push(Call { at, flow, request: String::new(), handed });
            return calls;
        }
        for _ in 0..LOOKS {
            let get = request(Method::GET, &self.object, ("application/json", Vec::new()));
            let looked = call(self.stage, &self.client, get, (String::new(), self.flow())).await;
            let done = match &looked.handed {
                ravelin_oracle::Handed::Success(body) => is_issued(body),
                _ => true,
            };
            let last = calls.len() - 1;
            if last == 0 {
                calls.push(looked)
            } else {
                calls[last] = looked
            }
            if done {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
        if matches!(&calls[calls.len() - 1].handed, ravelin_oracle::Handed::Success(body) if !is_issued(body))
        {
            let handed = super::error("the signing request was never issued".to_owned());
            calls.push(Call {
                at: self.stage.world.elapsed(),
                flow: self.flow(),
                request: String::new(),
                handed,
            });
        }
        calls
    }

    /// The operator annotates the request with the response's canary, where it has arrived.
    async fn operator_answers(&self) -> Result<(), ClientError> {
        let note = json!({"metadata": {"annotations": {RESPONSE: self.secrets.response.reveal()}}});
        match self.stage.cluster.operator().fresh().patch(&self.object, PatchKind::Merge, &note).await {
            // Whoever may not answer is told of; where the request never arrived there is nothing to annotate.
            Err(error) if matches!(error.code(), Some(401 | 403)) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Did the answer bring a certificate (or nothing that could still become one)?
fn is_issued(body: &[u8]) -> bool {
    let Ok(csr) = serde_json::from_slice::<Value>(body) else { return true };
    csr["kind"] != "CertificateSigningRequest"
        || csr["status"]["certificate"].is_string() && csr["metadata"]["annotations"][RESPONSE].is_string()
}

impl Probe for ApiProbe<'_> {
    fn plant(&mut self) -> LocalBoxFuture<'_, Result<(), String>> {
        Box::pin(async {
            if self.path != Path::NodeBootstrap {
                let note = json!({"metadata": {"annotations": {
                    RESPONSE: self.secrets.response.reveal(), REQUEST: null, ALTERED: null,
                }}});
                // A connection of its own: one that was idle may be closed under a request, which
                // is then not sent again.
                let operator = self.stage.cluster.operator().fresh();
                let planted = operator.patch(&self.object, PatchKind::Merge, &note).await;
                planted
                    .map_err(|error| format!("the operator could not prepare {}: {error}", self.object))?;
            }
            self.before = self.history().len();
            Ok(())
        })
    }

    fn target(&self) -> Target {
        let target = |ask| self.stage.apiserver_target(self.who, &self.client, ask);
        if self.path == Path::NodeBootstrap {
            // Whoever holds the token may ask for certificates and list who else did. The probe's own
            // request is not there to be read where an impostor kept it.
            let requests = Ask::get(self.collection(), "every signing request");
            return Target {
                apiserver_ask: requests,
                ..target(Ask::get(&self.object, "the signing request"))
            };
        }
        let mark = json!({"metadata": {"annotations": {ALTERED: "by the attacker"}}});
        let reads = vec![Ask::get(&self.object, "the probe's object")];
        Target { reads, ..target(Ask::patch(&self.object, &mark, "the probe's object")) }
    }

    fn exercise(&self) -> LocalBoxFuture<'_, Vec<Call>> {
        Box::pin(async {
            match self.path {
                Path::NodeBootstrap => self.bootstrap().await,
                _ => self.patch().await,
            }
        })
    }

    fn issued(&self) -> Vec<Issued> {
        let history = self.history();
        let from = self.before.min(history.len());
        history[from..].iter().map(|object| Issued::to("", render(object))).collect()
    }

    fn executed(&self) -> Vec<Executed> {
        let history = self.history();
        let from = self.before.min(history.len());
        let mut executed = Vec::new();
        let mut seen = Value::Null;
        for object in &history[from..] {
            let annotations = &object["metadata"]["annotations"];
            let ours = (annotations[REQUEST].clone(), annotations[ALTERED].clone());
            if annotations["ravelin.test/probe"] != self.secrets.id || ours.0.is_null() {
                continue;
            }
            let now = json!([ours.0, ours.1]);
            if now != seen {
                let as_sent = ours.0 == self.secrets.request.reveal() && !marked_by_relay(annotations);
                let server = "apiserver".to_owned();
                executed.push(Executed { at: self.stage.world.elapsed(), server, as_sent });
                seen = now;
            }
        }
        executed
    }
}

/// Does the object carry what the impostor writes into requests that it passes on? A request of
/// the attacker's own carries another mark and is counted where it succeeds.
fn marked_by_relay(annotations: &Value) -> bool {
    annotations[ALTERED] == ravelin_adversary::MARK
}
