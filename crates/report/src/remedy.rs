//! Which check stands against a tactic, and which setting of Kubernetes switches it on.
//!
//! What is said here is general knowledge about Kubernetes. That a setting helps on the cluster at
//! hand is shown by a run with it (`--fixes`), never by this table.

use ravelin_assess::model::{Property, Report};
use std::collections::BTreeSet;

/// A setting of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Whose it is, such as `kube-apiserver`.
    pub(crate) component: &'static str,
    /// The flag or key.
    pub(crate) key: &'static str,
    /// What it should be, for people.
    pub(crate) wanted: &'static str,
}

/// A check that would have refused a tactic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// Its name, as `oracle::Protection` has it.
    pub(crate) name: &'static str,
    /// What switches it on; empty where Kubernetes has no setting for it.
    pub(crate) settings: &'static [Setting],
    /// What else there is to know, where there is something.
    pub(crate) note: &'static str,
}

const fn setting(component: &'static str, key: &'static str, wanted: &'static str) -> Setting {
    Setting { component, key, wanted }
}

const VERIFY_KUBELETS: &[Setting] = &[
    setting("kube-apiserver", "--kubelet-certificate-authority", "the CA that signs kubelets' certificates"),
    setting("kubelet", "serverTLSBootstrap", "true, or tlsCertFile with a certificate of that CA"),
];
const ASK_AT_KUBELET: &[Setting] = &[
    setting("kubelet", "authentication.anonymous.enabled", "false"),
    setting("kubelet", "authorization.mode", "Webhook"),
];
const ASK_AT_APISERVER: &[Setting] = &[
    setting("kube-apiserver", "--authorization-mode", "Node,RBAC"),
    setting("kube-apiserver", "--anonymous-auth", "false"),
];
const KUBELET_CLIENT_CA: &[Setting] =
    &[setting("kubelet", "authentication.x509.clientCAFile", "the CA of the apiserver's client certificate")];
const APISERVER_CLIENT_CA: &[Setting] =
    &[setting("kube-apiserver", "--client-ca-file", "the cluster's client CA, and no other")];
const READ_ONLY_PORT: &[Setting] = &[setting("kubelet", "readOnlyPort", "0")];
const INSECURE_PORT: &[Setting] = &[setting("kube-apiserver", "--insecure-port", "0")];
const COMPONENT_PORTS: &[Setting] = &[
    setting("kube-controller-manager", "--port", "0"),
    setting("kube-scheduler", "--port", "0"),
    setting("kube-controller-manager", "--bind-address", "127.0.0.1"),
    setting("kube-scheduler", "--bind-address", "127.0.0.1"),
];

const NODE_NAMES: &[Setting] = &[setting(
    "kube-apiserver",
    "--enable-kubelet-cert-cn-validation",
    "true, where the version has it (KEP-4872)",
)];
const NODES_CHANGE_THEMSELVES: &[Setting] = &[
    setting("kube-apiserver", "--enable-admission-plugins", "with NodeRestriction"),
    setting("kube-apiserver", "--authorization-mode", "Node,RBAC"),
];

const PROXY_NOTE: &str = "Kubernetes verifies no certificate when it passes requests on to nodes, pods and services, \
                          and no setting changes that: keep such requests off untrusted networks";
const PLAIN_NOTE: &str = "the path is plain HTTP: nothing on it is encrypted or verified, and no setting changes \
                          that; keep such requests off untrusted networks";

const AGENTS_NOTE: &str = "konnectivity-server takes anybody for an agent unless it is told whom to take \
                           (--cluster-ca-cert, or --agent-namespace, --agent-service-account, --kubeconfig and \
                           --authentication-audience), and any agent carries any node's traffic";

/// The checks that stand between a tactic on a path, under an egress, and what it broke. Empty where
/// none is known.
pub(crate) fn checks((path, egress): (&str, &str), tactic: &str, broken: &[Property]) -> Vec<Check> {
    // Who is asked for an identity does not keep what was sent from whoever took the place of the
    // one that asks.
    let sent = [Property::RequestSecret, Property::ResponseAuthentic];
    let beyond_what_was_sent = broken.iter().any(|property| !sent.contains(property));
    let identity = || authentication(path).filter(|_| beyond_what_was_sent);
    let mut found = Vec::new();
    let takes_place = TAKE_THE_PLACE.contains(&tactic);
    if takes_place && egress == "ssh" {
        let note = "Kubernetes' SSH tunnels accept any host key, and no setting of its own changes that: an \
                    SSHTunnelConfiguration does";
        found.push(Check { name: "host key verification", settings: &[], note });
    }
    if takes_place && egress == "konnectivity" {
        found.push(Check { name: "agent authentication", settings: &[], note: AGENTS_NOTE });
    }
    if path.ends_with("/http") && (takes_place || tactic == "capture") {
        found.push(Check { name: "encryption", settings: &[], note: PLAIN_NOTE });
        return found;
    }
    let plain = |name| Check { name, settings: &[], note: "" };
    match tactic {
        "capture" => found.push(plain("encryption")),
        "between-agent-and-server" => found.push(plain("tunnel server verification")),
        "replay-connection" => found.push(plain("fresh handshake")),
        "blind-injection" => found.push(plain("unpredictable sequence numbers")),
        "forged-token" => found.push(plain("token verification")),
        "stale-token" => {
            found.extend(["token audience verification", "token expiry verification"].map(plain));
        }
        "certificate-without-its-key" => found.push(plain("proof of possession")),
        "self-signed-client-certificate" | "own-authority-client-certificate" => {
            found.push(client_certificate(path));
        }
        "claim-the-address" => {
            found.push(Check { name: "authorization", settings: NODES_CHANGE_THEMSELVES, note: "" });
        }
        _ if takes_place => found.push(server_certificate(path)),
        _ => {}
    }
    if OTHER_NAMES.contains(&tactic) && path.starts_with("apiserver-to-kubelet/") {
        found.push(Check { name: "node name verification", settings: NODE_NAMES, note: "" });
    }
    if tactic.starts_with("redirect") && beyond_what_was_sent {
        let note = "Kubernetes follows no redirect to another host since 1.14 (CVE-2018-1002102)";
        found.push(Check { name: "no redirect is followed", settings: &[], note });
    }
    if !takes_place && tactic != "between-agent-and-server" || tactic == "relay" {
        found.extend(identity());
    }
    found
}

/// The check of whoever comes, which two protections make up.
const IDENTITY: &str = "authentication and authorization";

/// Is a check in place, as protections of these names refused something?
pub(crate) fn is_in_place(check: &Check, refused: &BTreeSet<&str>) -> bool {
    let identity = check.name == IDENTITY;
    refused.contains(check.name)
        || identity && (refused.contains("authentication") || refused.contains("authorization"))
}

/// The tactics that answer in the server's place.
const TAKE_THE_PLACE: [&str; 11] = [
    "self-signed-certificate",
    "own-authority-certificate",
    "relay",
    "relay-with-credentials",
    "forge-http",
    "rewrite-http",
    "own-node-certificate",
    "reassigned-address",
    "redirect",
    "redirect-with-own-certificate",
    "redirect-with-former-certificate",
];

/// Those of them that show a genuine certificate of another node's.
const OTHER_NAMES: [&str; 4] = [
    "own-node-certificate",
    "reassigned-address",
    "redirect-with-own-certificate",
    "redirect-with-former-certificate",
];

fn server_certificate(path: &str) -> Check {
    let name = "server certificate verification";
    if path.starts_with("apiserver-to-kubelet/") {
        return Check { name, settings: VERIFY_KUBELETS, note: "" };
    }
    if path.starts_with("apiserver-to-") {
        return Check { name, settings: &[], note: PROXY_NOTE };
    }
    let note = "the client's kubeconfig must name the cluster's CA, and not insecure-skip-tls-verify";
    Check { name, settings: &[], note }
}

fn client_certificate(path: &str) -> Check {
    let settings = if path.contains("kubelet") { KUBELET_CLIENT_CA } else { APISERVER_CLIENT_CA };
    Check { name: "client certificate verification", settings, note: "" }
}

/// Who asks whoever comes to a path's server for an identity and a right.
fn authentication(path: &str) -> Option<Check> {
    let (name, settings) = match path {
        "direct-to-kubelet-read-only" => ("no such port", READ_ONLY_PORT),
        "direct-to-apiserver-insecure" => ("no such port", INSECURE_PORT),
        "direct-to-component" => ("no such port, or authentication at it", COMPONENT_PORTS),
        _ if path.contains("to-kubelet") => (IDENTITY, ASK_AT_KUBELET),
        _ if path.ends_with("apiserver") || path == "node-bootstrap" => (IDENTITY, ASK_AT_APISERVER),
        _ => return None,
    };
    Some(Check { name, settings, note: "" })
}

/// Where the files say something about a setting: `FILE:LINE: KEY=VALUE`, or what is the case
/// instead.
pub(crate) fn whereabouts(report: &Report, setting: &Setting) -> String {
    let provenance = &report.cluster.provenance;
    if let Some(found) = in_files(report, setting) {
        return format!("{}:{} has {}", found.file, found.line, shown(setting.key, &found.value));
    }
    let defaulted = entries(&provenance["defaulted"]).find(|entry| is_about(entry, setting));
    match defaulted.and_then(|entry| entry["value"].as_str()) {
        Some(value) if !value.is_empty() => format!("no file sets it; by default it is {value}"),
        _ => "no file sets it".to_owned(),
    }
}

fn shown(key: &str, value: &str) -> String {
    if key.starts_with("--") { format!("{key}={value}") } else { format!("{key}: {value}") }
}

/// A value, and where it was read.
pub(crate) struct Written {
    pub(crate) file: String,
    pub(crate) line: u64,
    pub(crate) value: String,
}

/// Where the files set this setting.
pub(crate) fn in_files(report: &Report, setting: &Setting) -> Option<Written> {
    let found = entries(&report.cluster.provenance["settings"]).find(|entry| is_about(entry, setting))?;
    Some(Written {
        file: found["file"].as_str()?.to_owned(),
        line: found["line"].as_u64()?,
        value: found["value"].as_str().unwrap_or_default().to_owned(),
    })
}

/// The first line that the files have on a component: where a setting of it would be added.
pub(crate) fn home(report: &Report, component: &str) -> Option<(String, u64)> {
    let settings = entries(&report.cluster.provenance["settings"]);
    let first = settings.filter(|entry| entry["component"] == component).min_by_key(|entry| {
        (entry["file"].as_str().unwrap_or_default().to_owned(), entry["line"].as_u64())
    })?;
    Some((first["file"].as_str()?.to_owned(), first["line"].as_u64()?))
}

fn entries(list: &serde_json::Value) -> impl Iterator<Item = &serde_json::Value> {
    list.as_array().into_iter().flatten()
}

/// Is this entry about the setting? A kubelet's setting may be a key of its file or a flag, and the
/// two are written differently: `readOnlyPort`, `--read-only-port`.
fn is_about(entry: &serde_json::Value, setting: &Setting) -> bool {
    let key = entry["key"].as_str().unwrap_or_default();
    entry["component"] == setting.component && (key == setting.key || flag_of(setting.key) == Some(key))
}

/// The flag that says the same as a key of the kubelet's file.
fn flag_of(key: &str) -> Option<&'static str> {
    Some(match key {
        "authentication.anonymous.enabled" => "--anonymous-auth",
        "authorization.mode" => "--authorization-mode",
        "authentication.x509.clientCAFile" => "--client-ca-file",
        "readOnlyPort" => "--read-only-port",
        _ => return None,
    })
}
