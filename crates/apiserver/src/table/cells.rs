//! What stands in the columns of each kind (the `print…` functions of
//! `pkg/printers/internalversion/printers.go`). What an object leaves out never fails: it is shown
//! as Kubernetes shows what is empty.

use super::{network, pods, storage};
use jiff::Timestamp;
use ravelin_api::{Resource, human_duration, object, time};
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub(super) const NONE: &str = "<none>";
const UNKNOWN: &str = "<unknown>";

/// The cells of an object, and what the row's conditions are where it has some.
pub(super) fn of(resource: &Resource, item: &Value, now: Timestamp) -> (Vec<Value>, Option<Value>) {
    let cells = match resource.plural {
        "pods" => return (pods::cells(item, now), pods::conditions(item)),
        "nodes" => node(item, now),
        "services" => network::service(item, now),
        "endpoints" => network::endpoints(item, now),
        "endpointslices" => network::slice(item, now),
        "namespaces" => named(item, now, [json!(object::text(item, "status.phase"))]),
        "secrets" => named(item, now, [json!(object::text(item, "type")), json!(members(item.get("data")))]),
        "configmaps" => {
            named(item, now, [json!(members(item.get("data")) + members(item.get("binaryData")))])
        }
        "serviceaccounts" => named(item, now, [json!(object::list(item, "secrets").len())]),
        "events" => event(item, now),
        "leases" => named(item, now, [json!(object::text(item, "spec.holderIdentity"))]),
        "certificatesigningrequests" => signing_request(item, now),
        "rolebindings" | "clusterrolebindings" => binding(item, now),
        "persistentvolumes" => storage::volume(item, now),
        "persistentvolumeclaims" => storage::claim(item, now),
        "storageclasses" => storage::class(item, now),
        "csidrivers" => storage::driver(item, now),
        "csinodes" => named(item, now, [json!(object::list(item, "spec.drivers").len())]),
        "volumeattachments" => storage::attachment(item, now),
        _ => vec![json!(object::name(item)), json!(object::text(item, "metadata.creationTimestamp"))],
    };
    (cells, None)
}

/// A name, what is between, and the age.
pub(super) fn named<const N: usize>(item: &Value, now: Timestamp, between: [Value; N]) -> Vec<Value> {
    let mut cells = vec![json!(object::name(item))];
    cells.extend(between);
    cells.push(age(item, now));
    cells
}

/// How old an object is.
pub(super) fn age(item: &Value, now: Timestamp) -> Value {
    json!(since(object::text(item, "metadata.creationTimestamp"), now))
}

/// How long ago a time was.
pub(super) fn since(then: &str, now: Timestamp) -> String {
    match time::parse(then) {
        Some(then) => human_duration(now.duration_since(then).as_secs()),
        None => UNKNOWN.to_owned(),
    }
}

/// A text, or another one where it is empty.
pub(super) fn or<'a>(text: &'a str, empty: &'a str) -> &'a str {
    if text.is_empty() { empty } else { text }
}

fn members(map: Option<&Value>) -> usize {
    map.and_then(Value::as_object).map_or(0, serde_json::Map::len)
}

/// Labels or a selector, as `labels.FormatLabels` writes them.
pub(super) fn labels(map: Option<&Value>) -> String {
    let pairs: Vec<String> =
        object::strings(map).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    or(&pairs.join(","), NONE).to_owned()
}

fn node(item: &Value, now: Timestamp) -> Vec<Value> {
    let ready = object::list(item, "status.conditions").iter().find(|c| object::text(c, "type") == "Ready");
    let mut status = match ready.map(|condition| object::text(condition, "status")) {
        Some("True") => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if object::flag(item, "spec.unschedulable") == Some(true) {
        status.push_str(",SchedulingDisabled");
    }
    let info = |name: &str| object::text(item, &format!("status.nodeInfo.{name}")).to_owned();
    let address = |kind: &str| {
        let all = object::list(item, "status.addresses");
        let found = all.iter().find(|address| object::text(address, "type") == kind);
        json!(found.map_or(NONE, |address| object::text(address, "address")))
    };
    let known = |name: &str| json!(or(&info(name), UNKNOWN));
    vec![
        json!(object::name(item)),
        json!(status),
        json!(or(&roles(item), NONE)),
        age(item, now),
        json!(info("kubeletVersion")),
        address("InternalIP"),
        address("ExternalIP"),
        known("osImage"),
        known("kernelVersion"),
        known("containerRuntimeVersion"),
    ]
}

/// A node's roles: what its labels say (`findNodeRoles`).
fn roles(node: &Value) -> String {
    let labels = object::labels(node);
    let roles: BTreeSet<&str> = labels
        .iter()
        .filter_map(|(name, value)| match name.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None => (*name == "kubernetes.io/role").then_some(*value),
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.into_iter().collect::<Vec<_>>().join(",")
}

fn event(item: &Value, now: Timestamp) -> Vec<Value> {
    let text = |path: &str| object::text(item, path);
    let first = since(or(text("firstTimestamp"), text("eventTime")), now);
    let series = item.get("series").filter(|series| series.is_object());
    let count = item.get("count").and_then(Value::as_i64).unwrap_or(0);
    let (last, count) = match series {
        Some(series) => (
            since(object::text(series, "lastObservedTime"), now),
            series.get("count").and_then(Value::as_i64).unwrap_or(0),
        ),
        // An event that happened once need not say so.
        None => {
            let last = text("lastTimestamp");
            let last = if last.is_empty() { first.clone() } else { since(last, now) };
            (last, if count == 0 { 1 } else { count })
        }
    };
    let (kind, name) = (text("involvedObject.kind").to_lowercase(), text("involvedObject.name"));
    let target = if name.is_empty() { kind } else { format!("{kind}/{name}") };
    let component = or(text("source.component"), text("reportingComponent"));
    let host = or(text("source.host"), text("reportingInstance"));
    let source = if host.is_empty() { component.to_owned() } else { format!("{component}, {host}") };
    vec![
        json!(last),
        json!(text("type")),
        json!(text("reason")),
        json!(target),
        json!(text("involvedObject.fieldPath")),
        json!(source),
        json!(text("message").trim()),
        json!(first),
        json!(count),
        json!(text("metadata.name")),
    ]
}

fn signing_request(item: &Value, now: Timestamp) -> Vec<Value> {
    let has = |kind: &str| {
        object::list(item, "status.conditions")
            .iter()
            .any(|condition| object::text(condition, "type") == kind)
    };
    let mut condition = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied".to_owned(),
        (false, true) => "Approved".to_owned(),
        (false, false) => "Pending".to_owned(),
    };
    if has("Failed") {
        condition.push_str(",Failed");
    }
    if !object::text(item, "status.certificate").is_empty() {
        condition.push_str(",Issued");
    }
    let seconds = object::at(item, "spec.expirationSeconds").and_then(Value::as_i64);
    vec![
        json!(object::name(item)),
        age(item, now),
        json!(or(object::text(item, "spec.signerName"), NONE)),
        json!(object::text(item, "spec.username")),
        json!(seconds.map_or_else(|| NONE.to_owned(), human_duration)),
        json!(condition),
    ]
}

fn binding(item: &Value, now: Timestamp) -> Vec<Value> {
    let subjects = |kind: &str| {
        let subjects = object::list(item, "subjects").iter().filter(|s| object::text(s, "kind") == kind);
        let names = subjects.map(|subject| {
            let name = object::text(subject, "name");
            match kind {
                "ServiceAccount" => format!("{}/{name}", object::text(subject, "namespace")),
                _ => name.to_owned(),
            }
        });
        json!(names.collect::<Vec<_>>().join(", "))
    };
    let role = format!("{}/{}", object::text(item, "roleRef.kind"), object::text(item, "roleRef.name"));
    vec![
        json!(object::name(item)),
        json!(role),
        age(item, now),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}
