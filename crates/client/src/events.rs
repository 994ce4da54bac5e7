//! Events: what a component tells people of an object (`client-go/tools/record`).
//!
//! Telling never waits and never fails: what cannot be kept up with is lost, as upstream. The same event
//! again is not another object but a higher count of the first; who tells too much of one object is not
//! heard for a while.

use crate::{Client, ClientError, PatchKind};
use jiff::Timestamp;
use ravelin_api::{object, time};
use ravelin_host::{HostRef, Task};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// So many events may wait to be sent (`maxQueuedEvents`).
const MAX_WAITING: usize = 1000;
/// So many events are remembered, so that they can be counted (`maxLruCacheEntries`).
const MAX_KNOWN: usize = 4096;
/// An object may have so many events at once, and one more each [`REFILL`] (`defaultSpamBurst`,
/// `defaultSpamQPS`).
const BURST: u32 = 25;
const REFILL: Duration = Duration::from_secs(300);

/// Who tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSource {
    /// The component, such as `kubelet`.
    pub component: &'static str,
    /// Its node, where it is one's.
    pub host: Option<String>,
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Should somebody look (`Warning`), or is all well (`Normal`)?
    pub is_warning: bool,
    /// A word for programs, such as `Started`.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
    /// The part of the object, such as `spec.containers{web}`; empty for all of it.
    pub field_path: String,
}

/// Somebody who tells. What still waits is lost when this is dropped.
pub struct EventRecorder {
    waiting: mpsc::Sender<Told>,
    host: HostRef,
    _task: Task,
}

impl fmt::Debug for EventRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventRecorder")
    }
}

struct Told {
    at: Timestamp,
    about: Value,
    event: Event,
}

impl EventRecorder {
    /// Tells the apiserver of this client.
    pub fn new(client: Client, source: EventSource) -> Self {
        let (waiting, told) = mpsc::channel(MAX_WAITING);
        let host = client.host().clone();
        let sender =
            Sender { client, source, known: BTreeMap::new(), heard: BTreeMap::new(), told: 0, last: 0 };
        let task = host.spawn("events", Box::pin(sender.run(told)));
        Self { waiting, host, _task: task }
    }

    /// Tells something of an object.
    pub fn tell(&self, about: &Value, event: Event) {
        let reference = json!({
            "kind": kind(about), "apiVersion": about["apiVersion"].as_str().unwrap_or("v1"),
            "namespace": object::namespace(about), "name": object::name(about), "uid": object::uid(about),
            "resourceVersion": about["metadata"]["resourceVersion"],
        });
        // What cannot be kept up with is lost.
        let _ = self.waiting.try_send(Told { at: self.host.now(), about: reference, event });
    }
}

/// Items of a list do not say their kind; those that are told of here are pods.
fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or("Pod")
}

/// By what an event is the same as another.
type Sameness = (String, String, &'static str, String);

/// An event that the apiserver has.
struct Known {
    path: String,
    count: u64,
    first: Timestamp,
    /// When it was told last, in order of telling.
    told: u64,
}

/// How much may still be heard of an object.
struct Heard {
    left: u32,
    since: Instant,
}

struct Sender {
    client: Client,
    source: EventSource,
    known: BTreeMap<Sameness, Known>,
    heard: BTreeMap<String, Heard>,
    told: u64,
    /// The last name's number, in nanoseconds since 1970.
    last: i128,
}

impl Sender {
    async fn run(mut self, mut waiting: mpsc::Receiver<Told>) {
        while let Some(told) = waiting.recv().await {
            if !self.is_heard(object::text(&told.about, "uid")) {
                continue;
            }
            // What is not taken is lost.
            if let Err(error) = self.send(told).await {
                self.client.host().observe("event.lost", &[ravelin_host::field("why", error)]);
            }
        }
    }

    /// May more be told of the object?
    fn is_heard(&mut self, uid: &str) -> bool {
        if self.heard.len() >= MAX_KNOWN && !self.heard.contains_key(uid) {
            self.heard.retain(|_, heard| heard.since.elapsed() < REFILL * BURST);
            if self.heard.len() >= MAX_KNOWN {
                return false;
            }
        }
        let now = Instant::now();
        let heard = self.heard.entry(uid.to_owned()).or_insert(Heard { left: BURST, since: now });
        let refilled = u32::try_from(heard.since.elapsed().as_secs() / REFILL.as_secs()).unwrap_or(BURST);
        heard.left = heard.left.saturating_add(refilled).min(BURST);
        heard.since += REFILL * refilled;
        let is_heard = heard.left > 0;
        heard.left = heard.left.saturating_sub(1);
        is_heard
    }

    async fn send(&mut self, told: Told) -> Result<(), ClientError> {
        let Told { at, about, event } = told;
        let uid = object::text(&about, "uid").to_owned();
        let sameness = (uid, event.field_path.clone(), event.reason, event.message.clone());
        self.told += 1;
        let (count, first) = match self.known.get_mut(&sameness) {
            Some(known) => {
                (known.count, known.told) = (known.count + 1, self.told);
                let patch = json!({ "count": known.count, "lastTimestamp": time::format(at) });
                match self.client.patch(&known.path, PatchKind::StrategicMerge, &patch).await {
                    // It was removed: it begins anew, and goes on to be counted.
                    Err(error) if error.code() == Some(404) => (known.count, known.first),
                    outcome => return outcome.map(drop),
                }
            }
            None => (1, at),
        };
        let collection = format!("/api/v1/namespaces/{}/events", object::text(&about, "namespace"));
        // What happens at the same moment has names of its own.
        self.last = at.as_nanosecond().max(self.last + 1);
        let name = format!("{}.{:x}", object::text(&about, "name"), self.last);
        let event = self.object(&name, (about, event), (at, first, count));
        self.client.create(&collection, &event).await?;
        let path = format!("{collection}/{name}");
        self.known.insert(sameness, Known { path, count, first, told: self.told });
        while self.known.len() > MAX_KNOWN {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.told).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| self.known.remove(&oldest));
        }
        Ok(())
    }

    fn object(
        &self,
        name: &str,
        (mut about, event): (Value, Event),
        (at, first, count): (Timestamp, Timestamp, u64),
    ) -> Value {
        if !event.field_path.is_empty() {
            about["fieldPath"] = json!(event.field_path);
        }
        let EventSource { component, host } = &self.source;
        let mut source = json!({ "component": component });
        if let Some(host) = host {
            source["host"] = json!(host);
        }
        json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": { "name": name, "namespace": about["namespace"] },
            "involvedObject": about,
            "reason": event.reason, "message": event.message,
            "type": if event.is_warning { "Warning" } else { "Normal" },
            "source": source, "firstTimestamp": time::format(first), "lastTimestamp": time::format(at),
            "count": count, "eventTime": null,
            "reportingComponent": component, "reportingInstance": host.as_deref().unwrap_or_default(),
        })
    }
}
