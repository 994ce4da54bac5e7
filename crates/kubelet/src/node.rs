//! The node object: registration and status.

use crate::config::KubeletConfig;
use crate::retry::Backoff;
use crate::state::Shared;
use ravelin_api::{object, time};
use ravelin_client::{Client, ClientError, PatchKind};
use ravelin_host::{HostRef, field};
use serde_json::{Value, json};

/// Registers the node; tries for ever. Gives the node's UID.
pub(crate) async fn register(shared: &Shared, client: &Client) -> String {
    let (host, config) = (&shared.host, &shared.config);
    let mut backoff = Backoff::new(host, "registration");
    loop {
        match try_register(host, client, config).await {
            Ok(node) => {
                host.observe("kubelet.registered", &[field("node", &config.node_name)]);
                return object::uid(&node).to_owned();
            }
            Err(error) => {
                shared.has_trouble(&error);
                host.observe("kubelet.registration", &[field("result", &error)]);
                backoff.wait().await;
            }
        }
    }
}

/// The range of pod addresses that the cluster gave this node; waits until it has one.
pub(crate) async fn pod_cidr(host: &HostRef, client: &Client, config: &KubeletConfig) -> ipnet::IpNet {
    if let Some(range) = config.pod_cidr {
        return range;
    }
    let mut backoff = Backoff::new(host, "pod addresses");
    loop {
        match client.get(&path(config)).await {
            Ok(node) => {
                if let Ok(range) = object::text(&node, "spec.podCIDR").parse() {
                    return range;
                }
            }
            Err(error) => host.observe("kubelet.pod-addresses", &[field("result", &error)]),
        }
        backoff.wait().await;
    }
}

fn path(config: &KubeletConfig) -> String {
    format!("/api/v1/nodes/{}", config.node_name)
}

async fn try_register(host: &HostRef, client: &Client, config: &KubeletConfig) -> Result<Value, ClientError> {
    let wanted = node_object(host, config);
    let node = match client.create("/api/v1/nodes", &wanted).await {
        Err(error) if error.code() == Some(409) => client.get(&path(config)).await?,
        created => created?,
    };
    let as_it_is = ["addresses", "daemonEndpoints", "conditions"]
        .iter()
        .all(|part| node["status"][part] == wanted["status"][part]);
    if as_it_is { Ok(node) } else { report(host, client, config).await }
}

/// Does the node object say what this kubelet says of its node? When its conditions were written
/// does not matter.
pub(crate) fn is_current(node: &Value, host: &HostRef, config: &KubeletConfig) -> bool {
    let wanted = node_object(host, config);
    let is_ready = object::list(node, "status.conditions")
        .iter()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    let same = |part: &str| node["status"][part] == wanted["status"][part];
    is_ready && ["addresses", "daemonEndpoints"].iter().all(|part| same(part))
}

/// Writes the node's status as this kubelet sees it.
pub(crate) async fn report(
    host: &HostRef,
    client: &Client,
    config: &KubeletConfig,
) -> Result<Value, ClientError> {
    let patch = json!({ "status": node_object(host, config)["status"] });
    client.patch(&format!("{}/status", path(config)), PatchKind::Merge, &patch).await
}

fn node_object(host: &HostRef, config: &KubeletConfig) -> Value {
    let name = &config.node_name;
    let mut labels = json!({
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
    });
    for (key, value) in &config.labels {
        labels[key] = json!(value);
    }
    let internal = config.addresses.iter().map(|ip| json!({ "type": "InternalIP", "address": ip }));
    let addresses: Vec<Value> = internal.chain([json!({ "type": "Hostname", "address": name })]).collect();
    let resources = json!({ "cpu": "4", "memory": "8Gi", "pods": "110" });
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": name, "labels": labels },
        "spec": {},
        "status": {
            "addresses": addresses,
            "allocatable": resources,
            "capacity": resources,
            "conditions": conditions(host),
            "daemonEndpoints": { "kubeletEndpoint": { "Port": config.port } },
            "nodeInfo": {
                "architecture": "amd64", "operatingSystem": "linux", "osImage": "ravelin",
                "containerRuntimeVersion": "ravelin://builtin", "kernelVersion": "",
                "kubeletVersion": config.version, "kubeProxyVersion": "",
                "machineID": "", "systemUUID": "", "bootID": "",
            },
        },
    })
}

fn conditions(host: &HostRef) -> Value {
    let now = time::format(host.now());
    json!([{
        "type": "Ready", "status": "True", "reason": "KubeletReady",
        "message": "kubelet is posting ready status",
        "lastHeartbeatTime": now, "lastTransitionTime": now,
    }])
}
