//! The node's lease: the sign that it is alive (`pkg/kubelet/…/lease/controller.go`).

use crate::config::KubeletConfig;
use crate::retry::{Backoff, jittered};
use ravelin_api::time;
use ravelin_client::{Client, ClientError};
use ravelin_host::{HostRef, field};
use serde_json::{Value, json};

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

/// Renewals come up to 4 % late by chance, as upstream's.
const JITTER_PERCENT: u64 = 4;

/// Renews the lease for ever.
pub(crate) async fn keep(host: HostRef, client: Client, config: KubeletConfig, node_uid: String) {
    let mut entropy = host.entropy("lease interval");
    let mut backoff = Backoff::new(&host, "lease retry");
    let mut lease: Option<Value> = None;
    loop {
        match renew(&client, &host, &config, (&node_uid, lease.take())).await {
            Ok(renewed) => {
                lease = Some(renewed);
                backoff.reset();
                tokio::time::sleep(jittered(config.lease_renew_interval, &mut entropy, JITTER_PERCENT)).await;
            }
            Err(error) => {
                host.observe("kubelet.lease", &[field("result", &error)]);
                backoff.wait().await;
            }
        }
    }
}

/// One renewal: of the lease as last seen, else of what the apiserver has, else of a new one.
async fn renew(
    client: &Client,
    host: &HostRef,
    config: &KubeletConfig,
    (node_uid, last): (&str, Option<Value>),
) -> Result<Value, ClientError> {
    let node = &config.node_name;
    let path = format!("{LEASES}/{node}");
    let known = match last {
        Some(lease) => Some(lease),
        None => match client.get(&path).await {
            Ok(lease) => Some(lease),
            Err(error) if error.code() == Some(404) => None,
            Err(error) => return Err(error),
        },
    };
    let spec = json!({
        "holderIdentity": node,
        "leaseDurationSeconds": config.lease_duration_seconds,
        "renewTime": time::format_micro(host.now()),
    });
    match known {
        Some(mut lease) => {
            lease["spec"] = spec;
            client.update(&path, &lease).await
        }
        None => {
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {
                    "name": node,
                    "namespace": "kube-node-lease",
                    "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": node, "uid": node_uid }],
                },
                "spec": spec,
            });
            client.create(LEASES, &lease).await
        }
    }
}
