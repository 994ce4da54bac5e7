//! From what was gathered to a [`ClusterConfig`]: assumptions, defaults, and what contradicts itself.

mod apiserver;
mod authentication;
mod authorization;
mod components;
mod egress_selector;
pub(crate) mod konnectivity;
pub(crate) mod konnectivity_agent;
pub(crate) mod konnectivity_server;
mod kubelet;
mod kubelet_client;
mod network;
mod service_accounts;
mod ssh_tunnels;

use std::collections::BTreeMap;

use crate::catalogue::Effect;
use crate::datum::Datum;
use crate::gathered::{Gathered, Given, Origin, Place};
use crate::invocation::{self, Invocation};
use crate::kubeadm;
use crate::model::{ClusterConfig, Component, KubernetesVersion, Provenance, Setting, UnknownEffect};
use crate::sheet::Sheet;
use crate::versions;

/// Reads the invocations, fills the gaps, decides the version, and builds the model.
pub(crate) fn assemble(
    invocations: Vec<Invocation>,
    version: Option<&str>,
    gathered: &mut Gathered,
) -> ClusterConfig {
    for invocation in one_each(invocations, gathered) {
        gathered.started.insert(invocation.component, invocation.place.clone());
        invocation::read(&invocation, gathered);
    }
    kubeadm::read_extra(gathered);
    if gathered.harmless_admission {
        let (known, rest) = std::mem::take(&mut gathered.unknown)
            .into_iter()
            .partition(|unknown| unknown.key == "--admission-control-config-file");
        gathered.unknown = rest;
        let known: Vec<UnknownEffect> = known;
        for one in known {
            gathered.without_effect(one.component, &one.key, &Place::new(&one.file, one.line));
        }
    }
    fill_gaps(gathered);
    let version = versions::decide(version, gathered);
    let mut provenance = nothing_known();
    let apiserver = apiserver::assemble(version, (&mut *gathered, &mut provenance));
    let controller_manager =
        components::controller_manager(version, &apiserver, (&mut *gathered, &mut provenance));
    let scheduler = components::scheduler(version, (&mut *gathered, &mut provenance));
    let kubelet = kubelet::assemble(version, (&mut *gathered, &mut provenance));
    let proxy = components::proxy((&mut *gathered, &mut provenance));
    let network = network::assemble((&apiserver, &kubelet, &proxy), (&mut *gathered, &mut provenance));
    leftovers(gathered, &mut provenance);
    provenance.assumed = std::mem::take(&mut gathered.assumed);
    provenance.no_effect = std::mem::take(&mut gathered.no_effect);
    provenance.no_effect.retain(|n| !n.file.is_empty());
    provenance.unknown_effect = std::mem::take(&mut gathered.unknown);
    let manifests = std::mem::take(&mut gathered.manifests);
    ClusterConfig {
        version,
        apiserver,
        controller_manager,
        scheduler,
        kubelet,
        proxy,
        network,
        manifests,
        provenance,
    }
}

/// One component's part of the model, without the rest of a cluster, and where it came from.
pub(crate) fn single<T>(
    component: Component,
    invocations: Vec<Invocation>,
    (gathered, assembled): (&mut Gathered, &impl Fn((&mut Gathered, &mut Provenance)) -> Option<T>),
) -> Option<(T, Provenance)> {
    for invocation in one_each(invocations, gathered) {
        gathered.started.insert(invocation.component, invocation.place.clone());
        invocation::read(&invocation, gathered);
    }
    if !gathered.started.contains_key(&component) {
        return None;
    }
    let mut provenance = nothing_known();
    let made = assembled((&mut *gathered, &mut provenance));
    leftovers(gathered, &mut provenance);
    provenance.assumed = std::mem::take(&mut gathered.assumed);
    provenance.no_effect = std::mem::take(&mut gathered.no_effect);
    provenance.unknown_effect = std::mem::take(&mut gathered.unknown);
    made.map(|made| (made, provenance))
}

fn nothing_known() -> Provenance {
    Provenance {
        settings: Vec::new(),
        defaulted: Vec::new(),
        assumed: Vec::new(),
        no_effect: Vec::new(),
        unknown_effect: Vec::new(),
    }
}

/// Options of the model that were not read: repetitions of a list belong to its setting; the rest was overridden, or
/// does nothing beside the other options.
fn leftovers(gathered: &mut Gathered, provenance: &mut Provenance) {
    // Read as a whole, elsewhere than by the component's sheet.
    const POINTERS: &[&str] = &["config", "feature-gates", "kubelet-read-only-port"];
    for given in gathered.given.clone() {
        if given.known.effect != Effect::Modelled || given.origin == Origin::Assumed {
            continue;
        }
        let same =
            |s: &Setting| s.component == given.component && s.key == given.key && s.file == given.place.file;
        if provenance.settings.iter().any(|s| same(s) && s.line == given.place.line) {
            continue;
        }
        let part_of_list = matches!(given.datum, Datum::List(_)) && provenance.settings.iter().any(same);
        if part_of_list || POINTERS.contains(&given.known.name) {
            let Given { component, key, text, place, .. } = given;
            provenance.settings.push(Setting {
                component,
                key,
                value: text,
                file: place.file,
                line: place.line,
            });
        } else {
            gathered.without_effect(given.component, &given.key, &given.place);
        }
    }
    provenance.settings.sort_by(|a, b| (a.component, &a.file, a.line).cmp(&(b.component, &b.file, b.line)));
    provenance.settings.dedup();
}

/// Flags in which the instances of one component differ from machine to machine.
const OF_ONE_MACHINE: &[&str] = &[
    "--advertise-address=",
    "--agent-id=",
    "--etcd-servers=",
    "--hostname-override=",
    "--node-ip=",
    "--peer-advertise-ip=",
    "--server-id=",
];

/// One invocation a component: a drop-in replaces its unit, identical ones are one, anything else is a contradiction.
fn one_each(invocations: Vec<Invocation>, gathered: &mut Gathered) -> Vec<Invocation> {
    let mut kept: BTreeMap<Component, Invocation> = BTreeMap::new();
    for invocation in invocations {
        let words = |i: &Invocation| i.arguments.iter().map(|(word, _)| word.clone()).collect::<Vec<_>>();
        let shared = |i: &Invocation| {
            let own = |word: &str| OF_ONE_MACHINE.iter().any(|flag| word.starts_with(flag));
            words(i).into_iter().filter(|word| !own(word)).collect::<Vec<_>>()
        };
        let Some(before) = kept.get(&invocation.component) else {
            kept.insert(invocation.component, invocation);
            continue;
        };
        if words(before) == words(&invocation) || (before.replaces && !invocation.replaces) {
            continue;
        }
        if invocation.replaces && !before.replaces {
            kept.insert(invocation.component, invocation);
            continue;
        }
        if shared(before) == shared(&invocation) {
            if invocation.component == Component::Apiserver {
                gathered.apiservers = gathered.apiservers.max(1) + 1;
            }
            gathered.assume(format!(
                "{} runs on several machines, with its own addresses on each: simulated as in {}",
                invocation.component, before.place
            ));
            continue;
        }
        let problem = format!(
            "{} is configured twice, and differently; the first is {}",
            invocation.component, before.place
        );
        gathered.fail(&invocation.place.clone(), "", problem, "one configuration a component");
    }
    kept.into_values().collect()
}

/// What no file says is assumed as kubeadm does it, and listed.
fn fill_gaps(gathered: &mut Gathered) {
    let alone =
        gathered.started.is_empty() && gathered.kubelet_file.is_none() && gathered.kubeadm.seen.is_none();
    if alone && gathered.manifests.is_empty() {
        gathered.assume("no configuration was given: everything is as kubeadm sets it up");
    }
    let own_apiserver = has_own(Component::Apiserver, gathered);
    for component in [Component::Apiserver, Component::Scheduler] {
        if !has_own(component, gathered) {
            assume_flags(component, gathered);
        }
    }
    if !has_own(Component::ControllerManager, gathered) {
        if own_apiserver {
            gathered.assume("no kube-controller-manager is configured: assumed kubeadm's, with the apiserver's CA and service account key");
            let flags = like_the_apiserver(gathered);
            kubeadm::assume(Component::ControllerManager, flags, gathered);
        } else {
            assume_flags(Component::ControllerManager, gathered);
        }
    }
    if !has_own(Component::Kubelet, gathered) {
        let flags =
            kubeadm::WRITTEN_KUBELET_FLAGS.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
        kubeadm::assume(Component::Kubelet, flags, gathered);
        if gathered.kubelet_file.is_none() {
            gathered.assume(
                "no kubelet is configured: assumed the configuration file and the unit that kubeadm writes",
            );
        } else if gathered.kubelet_file == gathered.kubeadm.kubelet_file {
            gathered.assume("the KubeletConfiguration is kubeadm's input: assumed that kubeadm adds its own defaults and starts the kubelet");
        } else {
            gathered.assume("no kubelet unit is in the input: assumed the kubeconfig and bootstrap kubeconfig of kubeadm's");
        }
    }
    let names_file = text_of(Component::Kubelet, "config", gathered).is_some();
    if names_file
        && (gathered.kubelet_file.is_none() || gathered.kubelet_file == gathered.kubeadm.kubelet_file)
    {
        let client_ca = text_of(Component::Apiserver, "client-ca-file", gathered)
            .unwrap_or_else(|| "/etc/kubernetes/pki/ca.crt".into());
        let keys = kubeadm::written_kubelet_file(gathered, &client_ca);
        kubeadm::assume(Component::Kubelet, keys, gathered);
    }
}

/// Whether the component's own flags (not only kubeadm's extra arguments) are in the input.
fn has_own(component: Component, gathered: &Gathered) -> bool {
    gathered.started.contains_key(&component)
}

fn assume_flags(component: Component, gathered: &mut Gathered) {
    gathered.assume(format!("no {component} manifest is in the input: assumed the one that kubeadm writes"));
    let flags = kubeadm::written_flags(component, gathered);
    kubeadm::assume(component, flags, gathered);
}

fn text_of(component: Component, flag: &str, gathered: &Gathered) -> Option<String> {
    gathered
        .given
        .iter()
        .rfind(|g| g.component == component && g.known.name == flag)
        .map(|g| g.text.clone())
        .filter(|t| !t.is_empty())
}

/// kubeadm's flags for the controller manager, but with the files that this apiserver names.
fn like_the_apiserver(gathered: &Gathered) -> Vec<(&'static str, String)> {
    let of = |flag: &str| text_of(Component::Apiserver, flag, gathered);
    let ca = of("client-ca-file");
    let signing = of("service-account-signing-key-file")
        .or_else(|| of("service-account-key-file"))
        .or_else(|| of("tls-private-key-file"));
    let mut flags = kubeadm::written_flags(Component::ControllerManager, gathered);
    for (name, text) in &mut flags {
        let replacement = match *name {
            "cluster-signing-cert-file" | "root-ca-file" | "client-ca-file" => ca.clone(),
            "cluster-signing-key-file" => ca.as_deref().map(key_of),
            "service-account-private-key-file" => signing.clone(),
            "service-cluster-ip-range" => of("service-cluster-ip-range"),
            _ => None,
        };
        if let Some(replacement) = replacement {
            *text = replacement;
        }
    }
    flags
}

/// The usual name of a certificate's key.
fn key_of(cert: &str) -> String {
    match cert.rsplit_once('.') {
        Some((stem, "crt" | "cert")) => format!("{stem}.key"),
        Some((stem, "pem")) => format!("{stem}-key.pem"),
        _ => format!("{cert}.key"),
    }
}

/// An option that needs a feature gate, which is on from a minor version on.
fn needs_gate(
    version: KubernetesVersion,
    (given, gate, since): (&Given, &'static str, u32),
    sheet: &mut Sheet<'_>,
) {
    if !sheet.gate(gate).unwrap_or(version.minor_number() >= since) {
        let accepted = format!("{gate}=true among the feature gates");
        sheet.gathered.fail(&given.place, &given.key, format!("requires feature gate {gate}"), accepted);
    }
}

/// Nowhere: for what no file says.
pub(crate) fn nowhere() -> Place {
    Place::new("", 0)
}
