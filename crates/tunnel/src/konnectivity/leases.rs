//! Servers that count themselves by leases, and agents that count those
//! (`pkg/server/leases`, `pkg/agent/lease_counter.go`).

use jiff::{SignedDuration, Timestamp};
use ravelin_api::{object, percent_encode, time};
use ravelin_client::{Client, ClientError};
use ravelin_host::{HostRef, Task, field};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long a lease is good (`LeaseDuration`), in seconds.
const LEASE_SECONDS: i64 = 30;
/// How often a server renews its own, and removes those of servers that are gone
/// (`LeaseRenewalInterval`, `LeaseGCInterval`).
const RENEWAL: Duration = Duration::from_secs(15);
/// How often an agent looks (`LeaseInformerResync`).
const LOOK: Duration = Duration::from_secs(10);

/// Where the servers' leases are.
#[derive(Clone, Debug)]
pub struct LeasesAt {
    /// Who asks the apiserver: servers must be allowed to create, update, list and delete leases there,
    /// agents to list them.
    pub client: Client,
    /// `--lease-namespace`.
    pub namespace: String,
    /// `--lease-label`: pairs of `key=value`, separated by commas.
    pub label: String,
}

impl LeasesAt {
    fn path(&self) -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", percent_encode(&self.namespace))
    }

    async fn list(&self) -> Result<Vec<Value>, ClientError> {
        let found = self.client.list(&self.path(), &[("labelSelector", &self.label)]).await?;
        Ok(object::list(&found, "items").to_vec())
    }
}

/// Is a lease still good (`IsLeaseValid`)? One without a time never was.
fn is_valid(lease: &Value, now: Timestamp) -> bool {
    let times = ["spec.renewTime", "spec.acquireTime"].map(|path| object::text(lease, path));
    let Some(last) = times.into_iter().find(|text| !text.is_empty()).and_then(time::parse) else {
        return false;
    };
    let seconds = object::at(lease, "spec.leaseDurationSeconds").and_then(Value::as_i64).unwrap_or(0);
    let until = last.checked_add(SignedDuration::from_secs(seconds));
    until.is_ok_and(|until| until > now)
}

/// A server's own lease, renewed for as long as this lives.
#[derive(Debug)]
pub struct ServerLease {
    at: LeasesAt,
    name: String,
    _renewing: Task,
}

impl ServerLease {
    /// Begins to renew the lease of a server, and to remove those of servers that are gone.
    pub fn start(host: &HostRef, server_id: &str, at: LeasesAt) -> Self {
        let name = format!("konnectivity-proxy-server-{server_id}");
        let renewing = renew_all(Arc::clone(host), at.clone(), (name.clone(), server_id.to_owned()));
        Self { at, name, _renewing: host.spawn("konnectivity.lease", Box::pin(renewing)) }
    }

    /// Removes the lease, as a server does that stops in order.
    ///
    /// # Errors
    /// As [`ClientError`] says; the lease then ends by itself.
    pub async fn release(self) -> Result<(), ClientError> {
        let path = format!("{}/{}", self.at.path(), percent_encode(&self.name));
        self.at.client.delete(&path).await.map(drop)
    }
}

async fn renew_all(host: HostRef, at: LeasesAt, (name, holder): (String, String)) {
    loop {
        if let Err(error) = renew(&host, &at, (&name, &holder)).await {
            host.observe("konnectivity.lease", &[field("name", &name), field("error", error)]);
        }
        // What another server removed first is gone as well.
        for lease in at.list().await.unwrap_or_default() {
            if !is_valid(&lease, host.now()) {
                let path = format!("{}/{}", at.path(), percent_encode(object::name(&lease)));
                let _ = at.client.delete(&path).await;
            }
        }
        tokio::time::sleep(RENEWAL).await;
    }
}

async fn renew(host: &HostRef, at: &LeasesAt, (name, holder): (&str, &str)) -> Result<(), ClientError> {
    let path = format!("{}/{}", at.path(), percent_encode(name));
    let labels: BTreeMap<&str, &str> = at.label.split(',').filter_map(|pair| pair.split_once('=')).collect();
    let spec = json!({
        "holderIdentity": holder,
        "leaseDurationSeconds": LEASE_SECONDS,
        "renewTime": time::format_micro(host.now()),
    });
    match at.client.get(&path).await {
        Ok(mut lease) => {
            lease["spec"] = spec;
            lease["metadata"]["labels"] = json!(labels);
            at.client.update(&path, &lease).await.map(drop)
        }
        Err(error) if error.code() == Some(404) => {
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": { "name": name, "namespace": at.namespace, "labels": labels },
                "spec": spec,
            });
            at.client.create(&at.path(), &lease).await.map(drop)
        }
        Err(error) => Err(error),
    }
}

/// How an agent counts servers by leases.
#[derive(Clone, Debug)]
pub struct LeaseCount {
    /// Where the leases are.
    pub at: LeasesAt,
    /// Does the larger of what leases and servers say count (`--server-count-source=max`), and not the
    /// leases alone?
    pub larger: bool,
}

/// The count of leases that are good, looked up anew every [`LOOK`].
pub(super) struct Counting {
    larger: bool,
    count: Arc<AtomicU32>,
    _looking: Task,
}

impl Counting {
    pub(super) fn start(host: &HostRef, LeaseCount { at, larger }: LeaseCount) -> Self {
        let count = Arc::new(AtomicU32::new(1));
        let looking = look(Arc::clone(host), at, Arc::clone(&count));
        Self { larger, count, _looking: host.spawn("konnectivity.leases", Box::pin(looking)) }
    }

    /// How many servers there are, where servers say there are `told`.
    pub(super) fn count(&self, told: u32) -> u32 {
        let leases = self.count.load(Ordering::Relaxed);
        if self.larger { leases.max(told) } else { leases }
    }
}

async fn look(host: HostRef, at: LeasesAt, count: Arc<AtomicU32>) {
    loop {
        match at.list().await {
            Ok(leases) => {
                let valid = leases.iter().filter(|lease| is_valid(lease, host.now())).count();
                count.store(u32::try_from(valid).unwrap_or(u32::MAX).max(1), Ordering::Relaxed);
            }
            // The last count stays.
            Err(error) => host.observe("konnectivity.leases", &[field("error", error)]),
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_good_for_its_duration_and_without_a_time_never() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let lease = |spec: Value| json!({ "spec": spec });
        let renewed = |time: &str| lease(json!({ "renewTime": time, "leaseDurationSeconds": 30 }));
        assert!(is_valid(&renewed("2026-01-01T00:00:31.000000Z"), now));
        assert!(!is_valid(&renewed("2026-01-01T00:00:30.000000Z"), now));
        let acquired = json!({ "acquireTime": "2026-01-01T00:00:59.000000Z", "leaseDurationSeconds": 30 });
        assert!(is_valid(&lease(acquired), now));
        assert!(!is_valid(&lease(json!({ "leaseDurationSeconds": 30 })), now));
        assert!(!is_valid(&renewed("soon"), now));
    }
}
