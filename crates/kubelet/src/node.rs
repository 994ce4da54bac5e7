//! The node object: registration and status.

use crate::config::{EXTENDED_FROM, KubeletConfig, Taint};
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

/// Creates the node, or brings the one that is there in line (`tryRegisterWithAPIServer` in
/// `pkg/kubelet/kubelet_node_status.go`).
async fn try_register(host: &HostRef, client: &Client, config: &KubeletConfig) -> Result<Value, ClientError> {
    if !config.register_node {
        let node = client.get(&path(config)).await?;
        return report(host, client, (config, &node)).await;
    }
    let wanted = node_object(host, config);
    let node = match client.create("/api/v1/nodes", &wanted).await {
        Err(error) if error.code() == Some(409) => {
            let node = client.get(&path(config)).await?;
            reconcile_labels(client, config, node).await?
        }
        created => created?,
    };
    let as_it_is = ["addresses", "daemonEndpoints", "declaredFeatures", "conditions"]
        .iter()
        .all(|part| node["status"][part] == wanted["status"][part]);
    if as_it_is { Ok(node) } else { report(host, client, (config, &node)).await }
}

/// Corrects the labels that every kubelet sets; others, and taints, are only set at the creation
/// (`updateDefaultLabels`).
async fn reconcile_labels(
    client: &Client,
    config: &KubeletConfig,
    node: Value,
) -> Result<Value, ClientError> {
    let wanted = default_labels(config);
    let labels = object::labels(&node);
    let is_set = |(key, value): (&String, &Value)| labels.get(key.as_str()).copied() == value.as_str();
    if wanted.as_object().is_some_and(|wanted| wanted.iter().all(is_set)) {
        return Ok(node);
    }
    let patch = json!({ "metadata": { "labels": wanted } });
    client.patch(&path(config), PatchKind::Merge, &patch).await
}

/// Does the node object say what this kubelet says of its node? When its conditions were written
/// does not matter.
pub(crate) fn is_current(node: &Value, host: &HostRef, config: &KubeletConfig) -> bool {
    let wanted = node_object(host, config);
    let is_ready = object::list(node, "status.conditions")
        .iter()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    let same = |part: &str| node["status"][part] == wanted["status"][part];
    is_ready && ["addresses", "daemonEndpoints", "declaredFeatures"].iter().all(|part| same(part))
}

/// Writes the node's status as this kubelet sees it. What others say of the present node in
/// conditions of their own stays.
pub(crate) async fn report(
    host: &HostRef,
    client: &Client,
    (config, present): (&KubeletConfig, &Value),
) -> Result<Value, ClientError> {
    let mut patch = json!({ "status": node_object(host, config)["status"] });
    patch["status"]["conditions"] = conditions(host, present);
    client.patch(&format!("{}/status", path(config)), PatchKind::Merge, &patch).await
}

fn node_object(host: &HostRef, config: &KubeletConfig) -> Value {
    let name = &config.node_name;
    let mut labels = default_labels(config);
    for (key, value) in &config.labels {
        labels[key] = json!(value);
    }
    let internal = config.addresses.iter().map(|ip| json!({ "type": "InternalIP", "address": ip }));
    let addresses: Vec<Value> = internal.chain([json!({ "type": "Hostname", "address": name })]).collect();
    let mut spec = json!({});
    if !config.taints.is_empty() {
        spec["taints"] = config.taints.iter().map(taint).collect();
    }
    let resources = json!({ "cpu": "4", "memory": "8Gi", "pods": "110" });
    let mut node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": name, "labels": labels },
        "spec": spec,
        "status": {
            "addresses": addresses,
            "allocatable": resources,
            "capacity": resources,
            "conditions": conditions(host, &Value::Null),
            "daemonEndpoints": { "kubeletEndpoint": { "Port": config.port } },
            "nodeInfo": {
                "architecture": "amd64", "operatingSystem": "linux", "osImage": "ravelin",
                "containerRuntimeVersion": "ravelin://builtin", "kernelVersion": "",
                "kubeletVersion": config.version, "kubeProxyVersion": "",
                "machineID": "", "systemUUID": "", "bootID": "",
            },
        },
    });
    let features = declared_features(config);
    if !features.is_empty() {
        node["status"]["declaredFeatures"] = json!(features);
    }
    node
}

/// What this kubelet says that it can do (`NodeDeclaredFeatures`, on from 1.36), of what upstream's
/// declares the part that is here.
fn declared_features(config: &KubeletConfig) -> Vec<&'static str> {
    if config.version() >= EXTENDED_FROM { vec!["ExtendWebSocketsToKubelet"] } else { Vec::new() }
}

fn default_labels(config: &KubeletConfig) -> Value {
    json!({
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": config.node_name,
        "kubernetes.io/os": "linux",
    })
}

fn taint(taint: &Taint) -> Value {
    let mut object = json!({ "key": taint.key, "effect": taint.effect });
    if let Some(value) = &taint.value {
        object["value"] = json!(value);
    }
    object
}

/// The conditions that a kubelet reports (`pkg/kubelet/nodestatus/setters.go`): their types,
/// statuses, reasons and messages.
const CONDITIONS: [[&str; 4]; 4] = [
    ["MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"],
    ["DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"],
    ["PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"],
    ["Ready", "True", "KubeletReady", "kubelet is posting ready status"],
];

/// The conditions as they are now: the present ones with this kubelet's own written anew. A status
/// that stays has begun when it began.
fn conditions(host: &HostRef, present: &Value) -> Value {
    let now = time::format(host.now());
    let mut conditions = object::list(present, "status.conditions").to_vec();
    for [kind, status, reason, message] in CONDITIONS {
        let known = conditions.iter().position(|known| known["type"] == kind);
        let since = known.map(|at| &conditions[at]).filter(|known| known["status"] == status);
        let since = since.and_then(|known| known["lastTransitionTime"].as_str()).unwrap_or(&now);
        let condition = json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": since,
        });
        match known {
            Some(at) => conditions[at] = condition,
            None => conditions.push(condition),
        }
    }
    Value::Array(conditions)
}
