//! Configuration files of components, told apart by `kind`.

mod apiserver;
pub(crate) mod config_map;
mod egress;
mod ssh_tunnels;

pub(crate) use apiserver::{AnonymousFile, Authentication, Authorization};
pub(crate) use config_map::Embedded;
pub(crate) use egress::{EgressSelector, Selection};
pub(crate) use ssh_tunnels::SshTunnels;

use crate::catalogue::{self, Effect, KUBELET_KEYS, KeyRow, Kind, Known, Meaning, PROXY_KEYS, paths};
use crate::gathered::{Gathered, Origin, Place};
use crate::kubeadm;
use crate::model::{Component, Manifest};
use crate::source::pod::{self, Containers};
use crate::suggest::closest;
use crate::yaml::{Entry, Node, Value};

/// Admission plugins whose configuration decides nothing for the pods and objects that paths need.
const HARMLESS_PLUGINS: &[&str] =
    &["EventRateLimit", "PodNodeSelector", "PodSecurity", "PodTolerationRestriction", "ResourceQuota"];

/// Whether a document is one of kubeadm's own.
pub(crate) fn is_kubeadms(document: &Node) -> bool {
    document.text_at(&["apiVersion"]).is_some_and(|api| api.starts_with("kubeadm.k8s.io/"))
}

/// Keys by which the configuration of k3s and RKE2 is known.
const K3S_KEYS: &[&str] =
    &["agent-token", "cluster-init", "kube-apiserver-arg", "kubelet-arg", "tls-san", "write-kubeconfig-mode"];

/// Reads one document by its `kind`. Gives the invocations that it holds.
pub(crate) fn read(
    document: &Node,
    file: &str,
    gathered: &mut Gathered,
) -> Vec<crate::invocation::Invocation> {
    let place = Place::new(file, document.line);
    let (Some(kind), Some(api)) = (document.text_at(&["kind"]), document.text_at(&["apiVersion"])) else {
        if document.entries().iter().any(|e| K3S_KEYS.contains(&e.key.as_str())) {
            let accepted = "the command lines that k3s logs: journalctl -u k3s | grep Running";
            gathered.fail(
                &place,
                "",
                "is the configuration of k3s or RKE2 itself, which is not read",
                accepted,
            );
        } else {
            gathered.fail(&place, "kind", "has no kind and apiVersion", crate::source::ACCEPTED);
        }
        return Vec::new();
    };
    let group = api.split_once('/').map_or("", |(group, _)| group);
    match (group, kind) {
        ("kubelet.config.k8s.io", "KubeletConfiguration") => {
            if versions(api, &["v1beta1"], &place, gathered) {
                once(gathered.kubelet_file.clone(), &place, kind, gathered);
                gathered.kubelet_file.get_or_insert(place);
                keys(document, (KUBELET_KEYS, Component::Kubelet), file, gathered);
            }
        }
        ("kubeproxy.config.k8s.io", "KubeProxyConfiguration") => {
            if versions(api, &["v1alpha1"], &place, gathered) {
                once(gathered.proxy_file.clone(), &place, kind, gathered);
                gathered.proxy_file.get_or_insert(place);
                keys(document, (PROXY_KEYS, Component::Proxy), file, gathered);
            }
        }
        ("apiserver.k8s.io", "EgressSelectorConfiguration") => {
            if versions(api, &["v1beta1", "v1alpha1"], &place, gathered) {
                once(gathered.egress.as_ref().map(|e| e.place.clone()), &place, kind, gathered);
                gathered.egress = Some(egress::read(document, file, gathered));
            }
        }
        ("ravelin.dev", "SSHTunnelConfiguration") => {
            if versions(api, &["v1alpha1"], &place, gathered) {
                once(gathered.ssh_tunnels.as_ref().map(|s| s.place.clone()), &place, kind, gathered);
                gathered.ssh_tunnels = Some(ssh_tunnels::read(document, file, gathered));
            }
        }
        ("apiserver.config.k8s.io", "AuthenticationConfiguration") => {
            if versions(api, &["v1", "v1beta1", "v1alpha1"], &place, gathered) {
                once(gathered.authentication.as_ref().map(|a| a.place.clone()), &place, kind, gathered);
                gathered.authentication = Some(apiserver::authentication(document, file, gathered));
            }
        }
        ("apiserver.config.k8s.io", "AuthorizationConfiguration") => {
            if versions(api, &["v1", "v1beta1", "v1alpha1"], &place, gathered) {
                once(gathered.authorization.as_ref().map(|a| a.place.clone()), &place, kind, gathered);
                gathered.authorization = Some(apiserver::authorization(document, file, gathered));
            }
        }
        ("apiserver.config.k8s.io" | "apiserver.k8s.io", "AdmissionConfiguration") => {
            let plugins = document.at(&["plugins"]).map(Node::elements).unwrap_or_default();
            let named =
                |plugin: &Node| plugin.text_at(&["name"]).is_some_and(|n| HARMLESS_PLUGINS.contains(&n));
            gathered.harmless_admission = plugins.iter().all(named);
            gathered.without_effect(Component::Apiserver, &format!("kind: {kind}"), &place);
        }
        ("kubeadm.k8s.io", _) => kubeadm::read(document, (kind, api), file, gathered),
        // The last are the scheduler's file until 1.11, and the lines of an ABAC policy, whose flag is listed.
        (
            "kubelet.config.k8s.io"
            | "kubescheduler.config.k8s.io"
            | "audit.k8s.io"
            | "componentconfig"
            | "abac.authorization.kubernetes.io",
            _,
        )
        | ("apiserver.config.k8s.io", "EncryptionConfiguration" | "TracingConfiguration")
        | ("", "Config") => gathered.without_effect(Component::Cluster, &format!("kind: {kind}"), &place),
        ("apiserver.config.k8s.io" | "apiserver.k8s.io", _) => {
            gathered.unknown(
                Component::Apiserver,
                &format!("kind: {kind}"),
                &place,
                (paths::TO_API, "a file of the apiserver"),
            );
        }
        ("", "List") => {
            return document
                .at(&["items"])
                .map(Node::elements)
                .unwrap_or_default()
                .iter()
                .flat_map(|item| read(item, file, gathered))
                .collect();
        }
        _ => return object(document, file, gathered),
    }
    Vec::new()
}

fn versions(api: &str, accepted: &[&str], place: &Place, gathered: &mut Gathered) -> bool {
    let (group, version) = api.split_once('/').unwrap_or(("", api));
    let known = accepted.contains(&version);
    if !known {
        let all: Vec<_> = accepted.iter().map(|v| format!("{group}/{v}")).collect();
        gathered.fail(place, "apiVersion", format!("{api:?} is not known"), all.join(", "));
    }
    known
}

fn once(before: Option<Place>, place: &Place, kind: &str, gathered: &mut Gathered) {
    if let Some(before) = before {
        gathered.fail(place, "kind", format!("a second {kind}; the first is {before}"), "one for all nodes");
    }
}

/// A Kubernetes object: a component's pod, or something to create in the cluster.
fn object(document: &Node, file: &str, gathered: &mut Gathered) -> Vec<crate::invocation::Invocation> {
    let place = Place::new(file, document.line);
    match pod::read(document, file, gathered) {
        Containers::Components(invocations) => return invocations,
        Containers::Beside => {
            gathered.without_effect(Component::Cluster, "etcd", &place);
            return Vec::new();
        }
        Containers::Ordinary => {}
    }
    if document.text_at(&["metadata", "name"]).is_none_or(str::is_empty) {
        let kind = document.text_at(&["kind"]).unwrap_or_default();
        if document.at(&["metadata"]).is_none() && kind.ends_with("Config") {
            // Other distributions' configuration files have kinds too, but no names.
            let problem = format!("{kind:?} is no kind that is read here");
            gathered.fail(&place, "kind", problem, crate::source::ACCEPTED);
        } else {
            gathered.fail(&place, "metadata.name", "an object needs a name", "a string");
        }
    } else {
        config_map::note(document, file, gathered);
        gathered.manifests.push(Manifest {
            object: document.to_json(),
            file: file.to_owned(),
            line: document.line,
        });
    }
    Vec::new()
}

/// Reads the keys of a strictly decoded file by its table.
fn keys(document: &Node, table: (&'static [KeyRow], Component), file: &str, gathered: &mut Gathered) {
    for entry in document.entries() {
        if !matches!(entry.key.as_str(), "kind" | "apiVersion" | "metadata") {
            key(entry, "", table, (file, gathered));
        }
    }
}

fn key(entry: &Entry, prefix: &str, table: (&'static [KeyRow], Component), rest: (&str, &mut Gathered)) {
    let (file, gathered) = rest;
    let (rows, component) = table;
    let path = format!("{prefix}{}", entry.key);
    let place = Place::new(file, entry.line);
    if let Some(row) = rows.iter().find(|row| row.0 == path) {
        return value(entry, row, (component, place), gathered);
    }
    let inner = format!("{path}.");
    if rows.iter().any(|row| row.0.starts_with(&inner)) {
        match &entry.node.value {
            Value::Map(entries) => {
                for entry in entries {
                    key(entry, &inner, table, (file, &mut *gathered));
                }
            }
            Value::Null => {}
            _ => gathered.fail(&place, &path, format!("is {}", entry.node.what()), "a mapping"),
        }
        return;
    }
    let same_level = rows
        .iter()
        .filter_map(|row| row.0.strip_prefix(prefix))
        .map(|rest| rest.split('.').next().unwrap_or(rest));
    let accepted = closest(&entry.key, same_level.collect::<Vec<_>>()).map_or_else(
        || format!("the keys of {component}'s configuration file"),
        |name| format!("did you mean {prefix}{name}?"),
    );
    gathered.fail(&place, &path, "is no known key (they are case-sensitive)", accepted);
}

fn value(entry: &Entry, row: &KeyRow, at: (Component, Place), gathered: &mut Gathered) {
    let (path, meaning, kind, first, last) = *row;
    let (component, place) = at;
    if entry.node.value == Value::Null {
        return;
    }
    let Some(text) = text_of(&entry.node, kind) else {
        return gathered.fail(&place, path, format!("is {}", entry.node.what()), shape(kind));
    };
    let known = match meaning {
        Meaning::Flag(flag) => catalogue::flag(component, flag)
            .map(|k| Known { kind, first, last, ..k })
            .unwrap_or(Known { name: flag, kind, first, last, effect: Effect::Modelled }),
        Meaning::Nothing => Known { name: path, kind, first, last, effect: Effect::None },
    };
    // The decoder's defaults replace empty strings and zeros; a read-only port of 0 is that port's off.
    let zero = text.is_empty()
        || (text == "0" && known.effect == Effect::Modelled && flag_zero_is_default(known.name));
    if zero && known.effect == Effect::Modelled {
        return;
    }
    gathered.take(component, known, Origin::File, (path.to_owned(), text, place));
}

fn flag_zero_is_default(name: &str) -> bool {
    name != "read-only-port"
}

/// A value as the text of a flag, if it has the YAML type that the key's Go type demands.
fn text_of(node: &Node, kind: Kind) -> Option<String> {
    match (&node.value, kind) {
        (_, Kind::Any) => Some(String::new()),
        (Value::Bool(b), Kind::Bool) => Some(b.to_string()),
        (Value::Int(n, _), Kind::Int | Kind::Port | Kind::Float) => Some(n.to_string()),
        (Value::Float(_, text), Kind::Float) => Some(text.clone()),
        (
            Value::Text(text),
            Kind::Text | Kind::File | Kind::Ip | Kind::One(_) | Kind::Nets | Kind::Socket,
        ) => Some(text.clone()),
        // An unset metav1.Duration may be written as an empty string or as 0.
        (Value::Text(text), Kind::Duration) => Some(if text.is_empty() { "0".into() } else { text.clone() }),
        (Value::Int(0, _), Kind::Duration) => Some("0".into()),
        (Value::List(nodes), Kind::List | Kind::Ips | Kind::Many(_)) => nodes
            .iter()
            .map(|n| n.text().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
            .map(|parts| parts.join(",")),
        (Value::List(nodes), Kind::Taints) => {
            let text = |node: &Node, key| node.text_at(&[key]).unwrap_or_default().to_owned();
            let taints = nodes
                .iter()
                .map(|n| format!("{}={}:{}", text(n, "key"), text(n, "value"), text(n, "effect")));
            Some(taints.collect::<Vec<_>>().join(","))
        }
        (Value::Map(entries), Kind::Map) => {
            let pairs = entries
                .iter()
                .map(|e| e.node.written().map(|v| format!("{}={}", e.key, v.replace(',', ";"))));
            pairs.collect::<Option<Vec<_>>>().map(|pairs| pairs.join(","))
        }
        _ => None,
    }
}

fn shape(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "true, false",
        Kind::Int | Kind::Port => "a whole number",
        Kind::Float => "a number",
        Kind::Duration => "a duration as a string, such as 30s",
        Kind::List | Kind::Ips | Kind::Many(_) | Kind::Array => "a list of strings",
        Kind::Taints => "a list of key, value and effect",
        Kind::Map => "a mapping",
        _ => "a string",
    }
}
