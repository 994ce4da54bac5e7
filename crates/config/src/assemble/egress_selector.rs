//! How the apiserver's connections leave, where a file says it (`--egress-selector-config-file`).

use crate::catalogue::paths;
use crate::documents::{EgressSelector, Selection};
use crate::gathered::{Given, Place};
use crate::model::{Component, Egress, EgressConnection, KonnectivityConfig};
use crate::sheet::Sheet;

use super::{konnectivity_agent, konnectivity_server};

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
            Egress::Konnectivity(Box::new(KonnectivityConfig { connection, server, agent }))
        }
        // What is wrong with them is among the errors.
        _ => Egress::Unmodelled { why: "konnectivity's flags are not right".to_owned() },
    }
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
