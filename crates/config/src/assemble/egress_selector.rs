//! How the apiserver's connections leave, where a file says it (`--egress-selector-config-file`).

use crate::catalogue::paths;
use crate::documents::{EgressSelector, Selection};
use crate::gathered::{Given, Place};
use crate::model::{
    AgentAuthentication, Component, Egress, EgressConnection, KonnectivityConfig, KonnectivityFrontend,
};
use crate::sheet::Sheet;

use super::{konnectivity_agent, konnectivity_server};

/// Who konnectivity-server is at the apiserver (kubernetes.io, "Set up Konnectivity service").
const SERVER_USER: &str = "system:konnectivity-server";

/// What the egress selector's file says of `cluster`, if the flag names one.
pub(super) fn egress(sheet: &mut Sheet<'_>) -> Option<Egress> {
    let named = sheet.given("egress-selector-config-file").filter(|g| !g.text.is_empty());
    let egress = match (named, sheet.gathered.egress.clone()) {
        (None, Some(file)) => {
            let problem = "no --egress-selector-config-file names this file: it would not be read";
            let accepted = "--egress-selector-config-file of kube-apiserver";
            sheet.gathered.fail(&file.place, "kind", problem, accepted);
            None
        }
        (None, None) => None,
        (Some(named), None) => {
            let why = format!("{} is not in the input", named.text);
            let place = named.place.clone();
            Some(unmodelled(sheet, (&named, &place), why))
        }
        (Some(named), Some(file)) => {
            let _ = sheet.file("egress-selector-config-file");
            Some(selected(sheet, &named, file))
        }
    };
    if !matches!(egress, Some(Egress::Konnectivity(_))) {
        idle(sheet);
    }
    egress
}

fn unmodelled(sheet: &mut Sheet<'_>, (named, place): (&Given, &Place), why: String) -> Egress {
    sheet.gathered.unknown(Component::Apiserver, &named.key, place, (paths::FROM_API, &why));
    Egress::Unmodelled { why }
}

fn selected(sheet: &mut Sheet<'_>, named: &Given, file: EgressSelector) -> Egress {
    // Neither webhooks and aggregated API servers nor etcd are on any path.
    for (name, other) in [("controlplane", file.controlplane), ("etcd", file.etcd)] {
        if let Some(Selection { place, .. }) = other {
            let key = format!("egressSelections.name={name}");
            sheet.gathered.without_effect(Component::Apiserver, &key, &place);
        }
    }
    match file.cluster {
        Some(Selection { connection: Some(connection), place }) => {
            konnectivity(sheet, (named, &place), connection)
        }
        _ => Egress::Direct,
    }
}

/// The server and the agents behind a connection. How agents prove themselves is in their flags alone: without
/// them nothing is run.
fn konnectivity(
    sheet: &mut Sheet<'_>,
    (named, place): (&Given, &Place),
    connection: EgressConnection,
) -> Egress {
    let protocol = connection.protocol();
    let needed = [
        (
            Component::KonnectivityServer,
            "its manifest (konnectivity-server.yaml), systemd unit or command line",
        ),
        (Component::KonnectivityAgent, "its DaemonSet (konnectivity-agent.yaml), Deployment or systemd unit"),
    ];
    let missing = needed.into_iter().find(|(component, _)| !sheet.gathered.started.contains_key(component));
    if let Some((component, which)) = missing {
        let why =
            format!("the egress of cluster is {protocol}, and no file has {component}'s flags: add {which}");
        return unmodelled(sheet, (named, place), why);
    }
    let server = konnectivity_server::assemble((&mut *sheet.gathered, &mut *sheet.provenance));
    let agent = konnectivity_agent::assemble((&mut *sheet.gathered, &mut *sheet.provenance));
    match (server, agent) {
        (Some(server), Some(agent)) => {
            let config = KonnectivityConfig { connection, server, agent };
            taken_for_granted(&config, sheet);
            Egress::Konnectivity(Box::new(config))
        }
        // What is wrong with them is among the errors.
        _ => Egress::Unmodelled { why: "konnectivity's flags are not right".to_owned() },
    }
}

/// What no file says of the two programs' credentials, and of the objects that they need.
fn taken_for_granted(config: &KonnectivityConfig, sheet: &mut Sheet<'_>) {
    let KonnectivityConfig { connection, server, agent } = config;
    let mut sentences = Vec::new();
    match (connection, &server.frontend) {
        (EgressConnection::HttpConnectTcp { tls: None, .. }, KonnectivityFrontend::Tcp { .. }) => sentences.push(
            "the egress of cluster is http://: assumed that what answers there speaks plain HTTP, as konnectivity-server's own port does not"
                .to_owned(),
        ),
        (EgressConnection::HttpConnectTcp { .. }, _) => sentences.push(
            "the URL of the egress of cluster leads to the apiserver's own machine: assumed".to_owned(),
        ),
        _ => {}
    }
    match (&server.authentication, &agent.client) {
        (AgentAuthentication::Certificate { ca }, Some(client)) => sentences.push(format!(
            "the agents' certificate {} comes from {ca}, which the server trusts",
            client.cert
        )),
        (AgentAuthentication::Token { .. }, _) => sentences.extend(of_tokens(config, sheet)),
        _ => {}
    }
    sentences.into_iter().for_each(|sentence| sheet.gathered.assume(sentence));
}

fn of_tokens(config: &KonnectivityConfig, sheet: &Sheet<'_>) -> Vec<String> {
    let mut sentences = Vec::new();
    let manifests = || sheet.gathered.manifests.iter().map(|manifest| &manifest.object);
    let admins = config.server.kubeconfig.as_ref().is_some_and(|file| file.as_str().ends_with("admin.conf"));
    if !admins {
        let bound = manifests().any(|object| {
            let subjects = object["subjects"].as_array().into_iter().flatten();
            object["kind"] == "ClusterRoleBinding" && subjects.into_iter().any(|s| s["name"] == SERVER_USER)
        });
        let granted = if bound { "" } else { ", bound to system:auth-delegator" };
        let file = config.server.kubeconfig.as_ref().map_or("its pod's account", |file| file.as_str());
        sentences.push(format!("konnectivity-server is {SERVER_USER} at the apiserver ({file}){granted}"));
    }
    if let Some(pod) = &config.agent.pod {
        let (name, namespace) = (pod.service_account(), &pod.namespace);
        let there = manifests().any(|object| {
            let metadata = &object["metadata"];
            object["kind"] == "ServiceAccount"
                && metadata["name"] == name
                && metadata["namespace"] == **namespace
        });
        if name != "default" && !there {
            sentences.push(format!("the service account {namespace}/{name} of the agents is there"));
        }
    }
    sentences
}

/// Says of servers and agents that are there for nothing that they are.
fn idle(sheet: &mut Sheet<'_>) {
    for component in [Component::KonnectivityServer, Component::KonnectivityAgent] {
        let Some(place) = sheet.gathered.started.get(&component).cloned() else { continue };
        sheet.gathered.without_effect(component, component.as_str(), &place);
        let sentence =
            format!("{component} is configured, and the apiserver's egress does not use it: it is not run");
        sheet.gathered.assume(sentence);
    }
}
