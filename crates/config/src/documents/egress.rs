//! The `EgressSelectorConfiguration`, as Kubernetes decodes and validates it
//! (staging/src/k8s.io/apiserver/pkg/server/egressselector/config.go).

use crate::gathered::{Gathered, Place};
use crate::model::{EgressConnection, EgressTls, FileName, FilePair};
use crate::yaml::{Node, Value};

/// How one kind of the apiserver's connections leaves.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// `None` for `Direct`.
    pub connection: Option<EgressConnection>,
    pub place: Place,
}

/// An `EgressSelectorConfiguration`.
#[derive(Clone, Debug)]
pub(crate) struct EgressSelector {
    pub place: Place,
    /// Those to nodes, pods and services. `None`: no selection, which is direct.
    pub cluster: Option<Selection>,
    /// Those to webhooks and aggregated API servers of the control plane.
    pub controlplane: Option<Selection>,
    /// Those to etcd.
    pub etcd: Option<Selection>,
}

/// Where a mistake is, and what is to be filled.
type At<'a> = (&'a str, &'a mut Gathered);

pub(super) fn read(document: &Node, file: &str, gathered: &mut Gathered) -> EgressSelector {
    let place = Place::new(file, document.line);
    let mut found = EgressSelector { place: place.clone(), cluster: None, controlplane: None, etcd: None };
    known_keys(document, "", &["kind", "apiVersion", "metadata", "egressSelections"], (file, &mut *gathered));
    let selections = document.at(&["egressSelections"]);
    if selections.is_none_or(|s| s.elements().is_empty()) {
        gathered.fail(&place, "egressSelections", "is missing", "a list of selections");
    }
    let mut seen: Vec<String> = Vec::new();
    for selection in selections.map(Node::elements).unwrap_or_default() {
        let place = Place::new(file, selection.line);
        known_keys(selection, "egressSelections.", &["name", "connection"], (file, &mut *gathered));
        // Kubernetes compares the names in lower case; `master` is the old name of `controlplane`.
        let given = selection.text_at(&["name"]).unwrap_or_default();
        let name = given.to_ascii_lowercase().replace("master", "controlplane");
        let key = "egressSelections.name";
        let Some(slot) = (match name.as_str() {
            "cluster" => Some(&mut found.cluster),
            "controlplane" => Some(&mut found.controlplane),
            "etcd" => Some(&mut found.etcd),
            _ => None,
        }) else {
            let problem = format!("{given:?} is no egress");
            gathered.fail(&place, key, problem, "cluster, controlplane, etcd");
            continue;
        };
        if seen.contains(&name) {
            gathered.fail(&place, key, format!("{given:?} is given twice"), "each egress once");
        } else if let Some(connection) = connection(selection, (file, &mut *gathered)) {
            *slot = Some(Selection { connection, place });
        }
        seen.push(name);
    }
    found
}

/// Decoding is strict: a key that is misspelt would not be read.
fn known_keys(node: &Node, prefix: &str, known: &[&str], (file, gathered): At<'_>) {
    for entry in node.entries().iter().filter(|entry| !known.contains(&entry.key.as_str())) {
        let key = format!("{prefix}{}", entry.key);
        gathered.fail(&Place::new(file, entry.line), &key, "is no known key", known.join(", "));
    }
}

/// The part of a mapping that is there and is not null.
fn part<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    node.at(&[key]).filter(|part| part.value != Value::Null)
}

/// The connection of a selection: `Some(None)` is a direct one, `None` a mistake.
fn connection(selection: &Node, (file, gathered): At<'_>) -> Option<Option<EgressConnection>> {
    let place = Place::new(file, selection.line);
    let prefix = "egressSelections.connection.";
    let given = part(selection, "connection");
    if let Some(given) = given {
        known_keys(given, prefix, &["proxyProtocol", "transport"], (file, &mut *gathered));
    }
    let protocol = given.and_then(|given| given.text_at(&["proxyProtocol"])).unwrap_or_default();
    let transport = given.and_then(|given| part(given, "transport"));
    let key = "egressSelections.connection.transport";
    if let Some(transport) = transport {
        let prefix = "egressSelections.connection.transport.";
        known_keys(transport, prefix, &["tcp", "uds"], (file, &mut *gathered));
    }
    let (tcp, uds) = (transport.and_then(|t| part(t, "tcp")), transport.and_then(|t| part(t, "uds")));
    match (protocol, tcp, uds) {
        ("Direct", ..) if transport.is_none() => return Some(None),
        ("Direct", ..) => gathered.fail(&place, key, "is given for a direct connection", "no transport"),
        ("HTTPConnect", Some(_), Some(_)) => {
            gathered.fail(&place, key, "has both tcp and uds", "one of the two");
        }
        ("HTTPConnect", Some(tcp), None) => return tcp_transport(tcp, (file, gathered)).map(Some),
        ("HTTPConnect", None, Some(uds)) => {
            let socket = socket(uds, (file, gathered))?;
            return Some(Some(EgressConnection::HttpConnectUnix { socket }));
        }
        ("HTTPConnect", None, None) => gathered.fail(&place, key, "is missing", "tcp or uds"),
        ("GRPC", _, Some(uds)) => {
            let socket = socket(uds, (file, gathered))?;
            return Some(Some(EgressConnection::GrpcUnix { socket }));
        }
        ("GRPC", _, None) => {
            gathered.fail(&place, key, "has no Unix socket, which GRPC needs", "uds: {udsName: FILE}");
        }
        _ => {
            let key = "egressSelections.connection.proxyProtocol";
            let old = given.is_some_and(|given| given.at(&["type"]).is_some());
            let problem = match (protocol, old) {
                ("", true) => "is missing: this is the form of Kubernetes 1.16 and 1.17".to_owned(),
                _ => format!("{protocol:?} is no protocol"),
            };
            gathered.fail(&place, key, problem, "Direct, HTTPConnect, GRPC");
        }
    }
    None
}

fn socket(uds: &Node, (file, gathered): At<'_>) -> Option<FileName> {
    let prefix = "egressSelections.connection.transport.uds.";
    known_keys(uds, prefix, &["udsName"], (file, &mut *gathered));
    let name = uds.text_at(&["udsName"]).unwrap_or_default();
    if name.is_empty() {
        let place = Place::new(file, uds.line);
        let problem = "UDSName should be present for UDS connections";
        gathered.fail(&place, &format!("{prefix}udsName"), problem, "the name of a Unix socket");
        return None;
    }
    Some(FileName::new(name))
}

fn tcp_transport(tcp: &Node, (file, gathered): At<'_>) -> Option<EgressConnection> {
    let prefix = "egressSelections.connection.transport.tcp.";
    known_keys(tcp, prefix, &["url", "tlsConfig"], (file, &mut *gathered));
    let place = Place::new(file, tcp.line);
    let url = tcp.text_at(&["url"]).unwrap_or_default();
    let tls = part(tcp, "tlsConfig");
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let tls = match (scheme, tls) {
        ("http", None) => None,
        ("http", Some(tls)) => {
            let problem = "TLSConfig config should not be present when using HTTP";
            let at = Place::new(file, tls.line);
            gathered.fail(&at, &format!("{prefix}tlsConfig"), problem, "https://, or no tlsConfig");
            return None;
        }
        ("https", Some(tls)) => Some(tls_config(tls, (file, &mut *gathered))?),
        ("https", None) => {
            let problem = "TLSConfig must be present when using HTTPS";
            gathered.fail(&place, &format!("{prefix}tlsConfig"), problem, "clientCert, clientKey, caBundle");
            return None;
        }
        _ => {
            let problem = format!("{url:?}: supported connection protocols are http:// and https://");
            gathered.fail(&place, &format!("{prefix}url"), problem, "https://HOST:PORT, http://HOST:PORT");
            return None;
        }
    };
    let Some((host, port)) = authority(rest) else {
        // The dialer takes host and port from the URL as they are (egress_selector.go).
        let problem = format!("{url:?} has no host and port");
        gathered.fail(&place, &format!("{prefix}url"), problem, format!("{scheme}://HOST:PORT"));
        return None;
    };
    Some(EgressConnection::HttpConnectTcp { host, port, tls })
}

/// Host and port of what follows a URL's scheme.
fn authority(rest: &str) -> Option<(String, u16)> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, port) = rest[..end].rsplit_once(':')?;
    let host = host.strip_prefix('[').map_or(Some(host), |host| host.strip_suffix(']'))?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    (!host.is_empty() && !host.contains('@')).then(|| (host.to_owned(), port))
}

fn tls_config(tls: &Node, (file, gathered): At<'_>) -> Option<EgressTls> {
    let prefix = "egressSelections.connection.transport.tcp.tlsConfig.";
    known_keys(tls, prefix, &["caBundle", "clientCert", "clientKey"], (file, &mut *gathered));
    let mut named = |key: &str, problem: &str| {
        let name = tls.text_at(&[key]).filter(|name| !name.is_empty());
        if let (None, false) = (name, problem.is_empty()) {
            gathered.fail(&Place::new(file, tls.line), &format!("{prefix}{key}"), problem, "a file's name");
        }
        name.map(FileName::new)
    };
    let ca_bundle = named("caBundle", "");
    let cert = named("clientCert", "Using TLS requires clientCert");
    let key = named("clientKey", "Using TLS requires clientKey");
    Some(EgressTls { ca_bundle, client: FilePair { cert: cert?, key: key? } })
}
