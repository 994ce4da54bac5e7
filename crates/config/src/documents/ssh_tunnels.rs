//! `SSHTunnelConfiguration` (`ravelin.dev/v1alpha1`): Ravelin's own document for the apiserver's SSH tunnels.

use crate::gathered::{Gathered, Place};
use crate::model::{FileName, SshHostKeys, SshTunnelSettings, SshUnknownNode};
use crate::yaml::{Entry, Node, Value};

const KEYS: &str = "hostKeys, userCertificateFile, unknownNode, addressTypes, port";
const MODES: &str = "DangerAny, KnownHosts, TrustOnFirstUse, CertificateAuthority";
const ADDRESS_TYPES: [&str; 2] = ["ExternalIP", "InternalIP"];

/// The document, and where it is.
#[derive(Clone, Debug)]
pub(crate) struct SshTunnels {
    pub place: Place,
    pub settings: SshTunnelSettings,
}

pub(super) fn read(document: &Node, file: &str, gathered: &mut Gathered) -> SshTunnels {
    let place = Place::new(file, document.line);
    let mut settings =
        SshTunnelSettings { unknown_node: SshUnknownNode::Fail, ..SshTunnelSettings::legacy() };
    let mut host_keys = None;
    for entry in document.entries() {
        let at = Place::new(file, entry.line);
        match entry.key.as_str() {
            "kind" | "apiVersion" | "metadata" => {}
            "hostKeys" => host_keys = Some(self::host_keys(&entry.node, &at, gathered)),
            "userCertificateFile" => settings.user_certificate_file = file_name(entry, &at, gathered),
            "unknownNode" => match entry.node.text() {
                Some("Fail") => settings.unknown_node = SshUnknownNode::Fail,
                Some("DangerRandom") => settings.unknown_node = SshUnknownNode::DangerRandom,
                _ => gathered.fail(&at, "unknownNode", "is neither", "DangerRandom, Fail"),
            },
            "addressTypes" => settings.address_types = address_types(&entry.node, &at, gathered),
            "port" => match port(&entry.node) {
                Some(port) => settings.port = port,
                None => gathered.fail(&at, "port", format!("is {}", entry.node.what()), "1 to 65535"),
            },
            other => gathered.fail(&at, other, "is no known key", KEYS),
        }
    }
    match host_keys {
        // What is said of host keys and cannot be read is an error, so this value is never used.
        Some(read) => settings.host_keys = read.unwrap_or(SshHostKeys::TrustOnFirstUse),
        None => gathered.fail(&place, "hostKeys", "is missing", format!("mode: {MODES}")),
    }
    SshTunnels { place, settings }
}

/// `hostKeys`: each mode has the keys that belong to it, and no others.
fn host_keys(node: &Node, at: &Place, gathered: &mut Gathered) -> Option<SshHostKeys> {
    let (mut known_hosts, mut authorities) = (None, None);
    for entry in node.entries() {
        let place = Place::new(&at.file, entry.line);
        match entry.key.as_str() {
            "mode" => {}
            "knownHostsFile" => known_hosts = file_name(entry, &place, gathered),
            "authorityFiles" => authorities = Some((files(&entry.node), place)),
            other => {
                let key = format!("hostKeys.{other}");
                gathered.fail(&place, &key, "is no known key", "mode, knownHostsFile, authorityFiles");
            }
        }
    }
    let mode = node.text_at(&["mode"]).unwrap_or_default();
    let mut alone = |there: bool, key: &str| {
        if there {
            let key = format!("hostKeys.{key}");
            gathered.fail(at, &key, format!("is given for mode {mode:?}"), "another mode");
        }
    };
    alone(known_hosts.is_some() && mode != "KnownHosts", "knownHostsFile");
    alone(authorities.is_some() && mode != "CertificateAuthority", "authorityFiles");
    match mode {
        "DangerAny" => Some(SshHostKeys::DangerAny),
        "TrustOnFirstUse" => Some(SshHostKeys::TrustOnFirstUse),
        "KnownHosts" => {
            if known_hosts.is_none() {
                gathered.fail(at, "hostKeys.knownHostsFile", "is missing", "the name of a file");
            }
            known_hosts.map(SshHostKeys::KnownHosts)
        }
        "CertificateAuthority" => match authorities {
            Some((Some(files), _)) => Some(SshHostKeys::CertificateAuthority(files)),
            given => {
                let place = given.map_or_else(|| at.clone(), |(_, place)| place);
                let accepted = "a list of names of files";
                gathered.fail(&place, "hostKeys.authorityFiles", "is missing or no such list", accepted);
                None
            }
        },
        _ => {
            gathered.fail(at, "hostKeys.mode", format!("{mode:?} is no mode"), MODES);
            None
        }
    }
}

fn file_name(entry: &Entry, at: &Place, gathered: &mut Gathered) -> Option<FileName> {
    let named = entry.node.text().filter(|name| !name.is_empty());
    if named.is_none() {
        gathered.fail(at, &entry.key, format!("is {}", entry.node.what()), "the name of a file");
    }
    named.map(FileName::new)
}

/// A list of names that has at least one.
fn files(node: &Node) -> Option<Vec<FileName>> {
    let names = node.elements().iter().map(|name| name.text().filter(|name| !name.is_empty()));
    names.map(|name| name.map(FileName::new)).collect::<Option<Vec<_>>>().filter(|files| !files.is_empty())
}

fn address_types(node: &Node, at: &Place, gathered: &mut Gathered) -> Vec<String> {
    let types: Vec<&str> = node.elements().iter().filter_map(Node::text).collect();
    let known = types.iter().all(|wanted| ADDRESS_TYPES.contains(wanted));
    if types.is_empty() || types.len() != node.elements().len() || !known {
        gathered.fail(at, "addressTypes", "is no list of types of addresses", ADDRESS_TYPES.join(", "));
    }
    types.into_iter().map(str::to_owned).collect()
}

fn port(node: &Node) -> Option<u16> {
    match node.value {
        Value::Int(number, _) => u16::try_from(number).ok().filter(|port| *port != 0),
        _ => None,
    }
}
