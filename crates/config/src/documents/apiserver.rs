//! The kube-apiserver's own configuration files: egress, authentication and authorization.

use crate::catalogue::paths;
use crate::gathered::{Gathered, Place};
use crate::model::{AuthorizationMode, Component};
use crate::yaml::{Node, Value};

/// An `EgressSelectorConfiguration`: how the connections named `cluster` leave.
#[derive(Clone, Debug)]
pub(crate) struct EgressSelector {
    pub place: Place,
    /// `None`: no selection for `cluster`, which is direct.
    pub cluster: Option<(String, Place)>,
}

/// An `AuthenticationConfiguration`, as far as it is modelled.
#[derive(Clone, Debug)]
pub(crate) struct Authentication {
    pub place: Place,
    /// `anonymous.enabled`, if there is an `anonymous`.
    pub anonymous: Option<(bool, Place)>,
}

/// An `AuthorizationConfiguration`: who is asked, in order.
#[derive(Clone, Debug)]
pub(crate) struct Authorization {
    pub place: Place,
    pub modes: Vec<AuthorizationMode>,
}

pub(super) fn egress(document: &Node, file: &str, gathered: &mut Gathered) -> EgressSelector {
    let mut cluster = None;
    let mut seen: Vec<String> = Vec::new();
    let selections = document.at(&["egressSelections"]);
    if selections.is_none_or(|s| s.elements().is_empty()) {
        let place = Place::new(file, document.line);
        gathered.fail(&place, "egressSelections", "is missing", "a list of selections");
    }
    for selection in selections.map(Node::elements).unwrap_or_default() {
        let place = Place::new(file, selection.line);
        // Kubernetes compares the names in lower case; `master` is the old name of `controlplane`.
        let given = selection.text_at(&["name"]).unwrap_or_default();
        let name = given.to_ascii_lowercase();
        let key = "egressSelections.name";
        if !matches!(name.as_str(), "cluster" | "controlplane" | "master" | "etcd") {
            let problem = format!("{given:?} is no egress");
            gathered.fail(&place, key, problem, "cluster, controlplane, etcd");
        } else if seen.contains(&name) {
            gathered.fail(&place, key, format!("{given:?} is given twice"), "each egress once");
        } else if let Some(protocol) = connection(selection, &place, gathered)
            && name == "cluster"
        {
            cluster = Some((protocol, place));
        }
        seen.push(name);
    }
    EgressSelector { place: Place::new(file, document.line), cluster }
}

/// The protocol of a selection, with the transport that it needs
/// (staging/src/k8s.io/apiserver/pkg/server/egressselector/config.go).
fn connection(selection: &Node, place: &Place, gathered: &mut Gathered) -> Option<String> {
    let protocol = selection.text_at(&["connection", "proxyProtocol"]).unwrap_or_default();
    let transport = selection.at(&["connection", "transport"]).filter(|t| t.value != Value::Null);
    let has = |key: &str| transport.is_some_and(|t| t.at(&[key]).is_some_and(|n| n.value != Value::Null));
    let key = "egressSelections.connection.transport";
    match (protocol, has("tcp"), has("uds")) {
        ("Direct", ..) if transport.is_some() => {
            gathered.fail(place, key, "is given for a direct connection", "no transport");
        }
        ("HTTPConnect", true, true) => {
            gathered.fail(place, key, "has both tcp and uds", "one of the two");
        }
        ("HTTPConnect", false, false) => gathered.fail(place, key, "is missing", "tcp or uds"),
        ("GRPC", _, false) => {
            gathered.fail(place, key, "has no Unix socket, which GRPC needs", "uds: {udsName: FILE}")
        }
        ("Direct" | "HTTPConnect" | "GRPC", ..) => return Some(protocol.to_owned()),
        _ => {
            let key = "egressSelections.connection.proxyProtocol";
            let problem = format!("{protocol:?} is no protocol");
            gathered.fail(place, key, problem, "Direct, HTTPConnect, GRPC");
        }
    }
    None
}

pub(super) fn authorization(document: &Node, file: &str, gathered: &mut Gathered) -> Authorization {
    let place = Place::new(file, document.line);
    let mut modes = Vec::new();
    for entry in document.entries() {
        if !matches!(entry.key.as_str(), "kind" | "apiVersion" | "metadata" | "authorizers") {
            gathered.fail(&Place::new(file, entry.line), &entry.key, "is no known key", "authorizers");
        }
    }
    for authorizer in document.at(&["authorizers"]).map(Node::elements).unwrap_or_default() {
        let at = Place::new(file, authorizer.line);
        let name = authorizer.text_at(&["type"]).unwrap_or_default();
        match AuthorizationMode::ALL.into_iter().find(|mode| mode.as_str() == name) {
            None => {
                let all = AuthorizationMode::ALL.map(AuthorizationMode::as_str).join(", ");
                gathered.fail(&at, "authorizers.type", format!("{name:?} is not a mode"), all);
            }
            Some(mode) if modes.contains(&mode) && mode != AuthorizationMode::Webhook => {
                gathered.fail(&at, "authorizers.type", format!("{name} is given twice"), "each once");
            }
            Some(mode) => {
                if matches!(mode, AuthorizationMode::Webhook | AuthorizationMode::Abac) {
                    let why = (paths::AUTHORIZED, "somebody else says what is allowed");
                    gathered.unknown(Component::Apiserver, &format!("authorizers.type={name}"), &at, why);
                }
                modes.push(mode);
            }
        }
    }
    if modes.is_empty() {
        gathered.fail(&place, "authorizers", "is missing", "at least one authorizer");
    }
    Authorization { place, modes }
}

pub(super) fn authentication(document: &Node, file: &str, gathered: &mut Gathered) -> Authentication {
    let place = Place::new(file, document.line);
    let mut anonymous = None;
    for entry in document.entries() {
        let at = Place::new(file, entry.line);
        match entry.key.as_str() {
            "kind" | "apiVersion" | "metadata" => {}
            "jwt" if entry.node.elements().is_empty() => {}
            "jwt" => gathered.unknown(
                Component::Apiserver,
                "jwt",
                &at,
                (paths::USERS, "users may come with tokens of another issuer, which are bearer tokens"),
            ),
            "anonymous" => match entry.node.at(&["enabled"]).map(|n| (&n.value, n.line)) {
                Some((Value::Bool(enabled), line)) => {
                    anonymous = Some((*enabled, Place::new(file, line)));
                    if let Some(conditions) = entry.node.entry("conditions") {
                        let at = Place::new(file, conditions.line);
                        let scope: &[&str] = &["direct-to-apiserver", "user-to-apiserver"];
                        gathered.unknown(
                            Component::Apiserver,
                            "anonymous.conditions",
                            &at,
                            (scope, "anonymous for some paths only"),
                        );
                    }
                }
                _ => gathered.fail(&at, "anonymous.enabled", "is missing or no boolean", "true, false"),
            },
            other => gathered.fail(&at, other, "is no known key", "jwt, anonymous"),
        }
    }
    Authentication { place, anonymous }
}
