//! The resources of a group, as both kinds of discovery list them.

use ravelin_api::{RESOURCES, Resource};
use serde_json::{Value, json};

/// The groups besides the core one, in Kubernetes' order (`pkg/controlplane/apiserver`, the
/// priorities of API services).
pub(super) const GROUPS: [&str; 7] = [
    "authentication.k8s.io",
    "authorization.k8s.io",
    "certificates.k8s.io",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
];

/// A group with its version.
pub(super) fn group_name(group: &str) -> String {
    if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") }
}

/// One entry: a resource, or one of its subresources.
pub(super) struct Entry {
    pub(super) resource: &'static Resource,
    /// Empty for the resource itself.
    pub(super) subresource: &'static str,
    /// What requests to it carry: group, version, kind.
    pub(super) kind: (&'static str, &'static str, &'static str),
    pub(super) verbs: &'static [&'static str],
}

const ALL: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const ONE_BY_ONE: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
const CREATE: &[&str] = &["create"];
const PART: &[&str] = &["get", "patch", "update"];
const STREAM: &[&str] = &["create", "get"];
const PROXY: &[&str] = &["create", "delete", "get", "patch", "update"];

/// The entries of a group, by name.
pub(super) fn entries(group: &str) -> Vec<Entry> {
    let mut resources: Vec<&'static Resource> = RESOURCES.iter().filter(|r| r.group == group).collect();
    resources.sort_by_key(|resource| resource.plural);
    resources.into_iter().flat_map(of_resource).collect()
}

fn of_resource(resource: &'static Resource) -> Vec<Entry> {
    let verbs = match (resource.stored, resource.plural) {
        (false, _) => CREATE,
        (true, "namespaces") => ONE_BY_ONE,
        (true, _) => ALL,
    };
    let own = (resource.group, resource.version, resource.kind);
    let mut entries = vec![Entry { resource, subresource: "", kind: own, verbs }];
    let mut subresources = resource.subresources.to_vec();
    subresources.sort_unstable();
    entries.extend(subresources.into_iter().map(|subresource| {
        let (kind, verbs) = match subresource {
            "log" => (own, &["get"][..]),
            "finalize" => (own, &["update"][..]),
            "proxy" => (("", "v1", proxy_kind(resource)), PROXY),
            "attach" => (("", "v1", "PodAttachOptions"), STREAM),
            "exec" => (("", "v1", "PodExecOptions"), STREAM),
            "portforward" => (("", "v1", "PodPortForwardOptions"), STREAM),
            "binding" => (("", "v1", "Binding"), CREATE),
            "eviction" => (("policy", "v1", "Eviction"), CREATE),
            "token" => (("authentication.k8s.io", "v1", "TokenRequest"), CREATE),
            _ => (own, PART),
        };
        Entry { resource, subresource, kind, verbs }
    }));
    entries
}

fn proxy_kind(resource: &Resource) -> &'static str {
    match resource.plural {
        "nodes" => "NodeProxyOptions",
        "pods" => "PodProxyOptions",
        _ => "ServiceProxyOptions",
    }
}

/// How a resource may be called for short (the `ShortNames` of each store in `pkg/registry`).
pub(super) fn short_names(plural: &str) -> &'static [&'static str] {
    match plural {
        "certificatesigningrequests" => &["csr"],
        "configmaps" => &["cm"],
        "endpoints" => &["ep"],
        "events" => &["ev"],
        "namespaces" => &["ns"],
        "nodes" => &["no"],
        "persistentvolumeclaims" => &["pvc"],
        "persistentvolumes" => &["pv"],
        "pods" => &["po"],
        "serviceaccounts" => &["sa"],
        "services" => &["svc"],
        "storageclasses" => &["sc"],
        _ => &[],
    }
}

/// In which lists of several kinds a resource is (`Categories`).
pub(super) fn categories(plural: &str) -> &'static [&'static str] {
    if matches!(plural, "pods" | "services") { &["all"] } else { &[] }
}

/// The `APIResourceList` of a group.
pub(super) fn resources(group: &str) -> Value {
    let described: Vec<Value> = entries(group).iter().map(describe).collect();
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_name(group),
        "resources": described,
    })
}

fn describe(entry: &Entry) -> Value {
    let Entry { resource, subresource, kind, verbs } = entry;
    let own = subresource.is_empty();
    let mut described = json!({
        "name": if own { resource.plural.to_owned() } else { format!("{}/{subresource}", resource.plural) },
        "singularName": if own { resource.singular } else { "" },
        "namespaced": resource.namespaced,
        "kind": kind.2,
        "verbs": verbs,
    });
    if kind.0 != resource.group {
        described["group"] = json!(kind.0);
        described["version"] = json!(kind.1);
    }
    for (name, list) in
        [("shortNames", short_names(resource.plural)), ("categories", categories(resource.plural))]
    {
        if own && !list.is_empty() {
            described[name] = json!(list);
        }
    }
    described
}
