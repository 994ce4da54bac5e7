//! What a new cluster is filled with: an installer's objects, the user's own, and the demo pods.

use crate::credentials::Bootstrap;
use crate::demo::{self, Demo, NAMESPACE, web_service};
use crate::departed;
use crate::given::{self, Given};
use crate::member::Member;
use crate::objects;
use crate::start::Setup;
use crate::tenant::{self, TENANT_NAMESPACE};
use ravelin_apiserver::Store;
use ravelin_client::{Client, ClientConfig};
use ravelin_controllers::{Operator, OperatorConfig};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

impl Setup<'_> {
    /// What an installer writes straight into the new cluster.
    pub(crate) fn seed(&self, store: &Store) {
        let mut wanted = objects::installed(self.config);
        if let Bootstrap::Secret(token) = &self.bootstrap {
            wanted.push(objects::bootstrap_token(token));
        }
        wanted.extend(objects::demo_objects());
        wanted.extend(self.belongings());
        wanted.extend(self.konnectivity_objects());
        if !self.config.kubelet.register_node {
            // Whoever turns that off makes the nodes' objects himself.
            wanted.extend(self.layout.members().iter().map(|node| objects::node(&node.machine.name)));
        }
        wanted.extend(Given::of(&self.config.manifests).seeded);
        for object in wanted {
            let name = format!("{} {}", object["kind"], object["metadata"]["name"]);
            if let Err(error) = given::plant(store, object) {
                let fields = [ravelin_host::field("object", name), ravelin_host::field("error", error)];
                self.hosts.operator.observe("setup.not-created", &fields);
            }
        }
    }

    pub(crate) fn operator(&mut self, client: &ClientConfig) {
        let nodes = self.layout.nodes.iter();
        let nodes = nodes.map(|node| (node.machine.name.clone(), vec![node.machine.address])).collect();
        let watches = ravelin_client::Watches::USUAL;
        let config = OperatorConfig { client: client.clone(), nodes, danger_rubber_stamp: false, watches };
        self.others.push(Box::new(Operator::start(self.hosts.operator.clone(), config)));
    }

    /// Creates the given services, the demo pods and their service through the API, as a user would.
    pub(crate) fn populate(&mut self, operator: &Client) -> Arc<Mutex<Option<String>>> {
        let trouble = Arc::new(Mutex::new(None));
        let told = Arc::clone(&trouble);
        let mut wanted = self.agent_pods();
        wanted.push((format!("/api/v1/namespaces/{NAMESPACE}/services"), web_service()));
        for node in self.layout.honest() {
            let node = &self.layout.members()[node].machine.name;
            let pods = Demo::ALL.iter().map(|demo| self.tolerating(demo.pod(node)));
            wanted.extend(pods.map(|pod| (format!("/api/v1/namespaces/{NAMESPACE}/pods"), pod)));
        }
        if let Some(last) = self.layout.members().last() {
            let pod = self.tolerating(tenant::pod(&last.machine.name));
            wanted.push((format!("/api/v1/namespaces/{TENANT_NAMESPACE}/pods"), pod));
        }
        // These come first: the addresses that they claim are still free.
        let given = Given::of(&self.config.manifests).created;
        let operator = operator.clone();
        let host = self.hosts.operator.clone();
        let creating = async move {
            for (path, object) in given {
                if let Err(error) = operator.create(&path, &object).await {
                    let name = format!("Service {}", object["metadata"]["name"]);
                    let fields = [ravelin_host::field("object", name), ravelin_host::field("error", error)];
                    host.observe("setup.not-created", &fields);
                }
            }
            for (path, object) in wanted {
                // Refusals (a service account that is not there yet) pass; others stay, and show.
                for _ in 0..20 {
                    match operator.create(&path, &object).await {
                        Ok(_) => break,
                        Err(error) if error.code() == Some(409) => break,
                        Err(error) => {
                            if let Ok(mut told) = told.lock() {
                                *told = Some(error.to_string());
                            }
                            tokio::time::sleep(Duration::from_millis(500)).await;
                        }
                    }
                }
            }
        };
        let task = self.hosts.operator.spawn("setup", Box::pin(creating));
        self.others.push(Box::new(task));
        trouble
    }

    /// A pod that runs on nodes with the taints that kubelets register with: these keep others away,
    /// and not the pods by which the paths are probed.
    pub(crate) fn tolerating(&self, mut pod: Value) -> Value {
        let taints = &self.config.kubelet.register_with_taints;
        let tolerated = taints
            .iter()
            .map(|taint| json!({"key": taint.key, "operator": "Exists", "effect": taint.effect}));
        let own = pod["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
        pod["spec"]["tolerations"] = own.into_iter().chain(tolerated).collect();
        pod
    }

    /// What the pods of each node use, and those of no other node.
    fn belongings(&self) -> Vec<Value> {
        let mut entropy = self.hosts.operator.entropy("canaries of the pods");
        let members = self.layout.members();
        let honest = self.layout.honest().into_iter().map(|node| &members[node].machine.name);
        let mut found: Vec<Value> = honest.flat_map(|node| demo::belongings(node, &mut entropy)).collect();
        found.extend(members.last().map(|node| tenant::secret(&node.machine.name, &mut entropy)));
        found
    }

    /// Lets a pod run on the first node and go, where the layout asks for it.
    pub(crate) fn departed(&mut self, operator: &Client, members: &[Member]) -> departed::Outcome {
        let outcome = departed::Outcome::default();
        let member = self.layout.honest().first().and_then(|node| members.get(*node));
        if let Some(member) = member.filter(|_| self.layout.has_departed()) {
            let plan = departed::Plan {
                pod: self.tolerating(departed::pod(&member.plan.kubelet.node_name)),
                runtime: Arc::clone(&member.running.borrow().runtime),
                operator: operator.clone(),
                outcome: Arc::clone(&outcome),
            };
            let host = self.hosts.operator.clone();
            let task = self.hosts.operator.spawn("departed pod", Box::pin(plan.play(host)));
            self.others.push(Box::new(task));
        }
        outcome
    }
}
