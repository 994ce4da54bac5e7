//! Every flag and key that Kubernetes 1.8 … 1.36 knows, and what KEP-4872 adds, and what it can do to a path.
//!
//! The tables below are facts about Kubernetes, each with the first and the last minor version that has the option.
//! Sources: the reference pages of kubernetes/website (kube-apiserver, kube-controller-manager, kube-scheduler,
//! kube-proxy, kubelet), `pkg/server/options` of kubernetes/apiserver, `config/v1beta1` of kubernetes/kubelet,
//! `config/v1alpha1` of kubernetes/kube-proxy, `cmd/*/app/options` of kubernetes/kubernetes, and the changelogs.

mod apiserver;
mod controller_manager;
mod gates;
mod konnectivity;
mod kubelet;
mod kubelet_file;
mod proxy;
mod scheduler;
mod shared;

pub(crate) use gates::{CERT_CN_GATE, GateEffect, gate_effect};
pub(crate) use kubelet_file::KUBELET_KEYS;
pub(crate) use proxy::PROXY_KEYS;

use crate::model::Component;

/// Stands for "still there" in the column of the last version.
pub(crate) const NOW: u32 = 999;

/// What a flag's value looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// `--flag`, `--flag=true`, `--flag=false`.
    Bool,
    /// A whole number.
    Int,
    /// A number from 0 to 65535.
    Port,
    /// A number with a fraction.
    Float,
    /// A Go duration, `1h30m`.
    Duration,
    /// Any text.
    Text,
    /// The name of a file.
    File,
    /// An IP address.
    Ip,
    /// Ranges in CIDR notation, separated by commas.
    Nets,
    /// Addresses, separated by commas.
    Ips,
    /// `address:port`, or an address alone.
    Socket,
    /// Values separated by commas; a repeated flag adds to them.
    List,
    /// One value an occurrence; a repeated flag adds one.
    Array,
    /// One of these.
    One(&'static [&'static str]),
    /// Some of these, separated by commas; a repeated flag adds to them.
    Many(&'static [&'static str]),
    /// `key=value` pairs, separated by commas; a repeated flag adds to them.
    Map,
    /// A range of ports, `30000-32767` or `30000+2767`.
    Ports,
    /// Taints, `key=value:Effect`, separated by commas.
    Taints,
    /// Anything, also nested (keys of configuration files only).
    Any,
}

/// What an option can do to the paths.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Effect {
    /// It is part of the model.
    Modelled,
    /// It changes nothing on any path.
    None,
    /// It may change something that is not modelled.
    Unknown {
        /// The paths it may touch.
        paths: &'static [&'static str],
        /// What it may change there.
        why: &'static str,
        /// Values with which it changes nothing.
        unless: &'static [&'static str],
    },
}

/// Name, shape, first version, last version.
pub(crate) type Row = (&'static str, Kind, u32, u32);

/// Options of one effect.
pub(crate) struct Section {
    pub effect: Effect,
    pub rows: &'static [Row],
}

/// One known option.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub name: &'static str,
    pub kind: Kind,
    /// The first minor version that has it.
    pub first: u32,
    /// The last minor version that has it, or `NOW`.
    pub last: u32,
    pub effect: Effect,
}

/// A flag of a component, by its name without dashes.
pub(crate) fn flag(component: Component, name: &str) -> Option<Known> {
    flags(component).find(|known| known.name == name)
}

/// Every flag of a component.
pub(crate) fn flags(component: Component) -> impl Iterator<Item = Known> {
    let tables: &'static [&'static [Section]] = match component {
        Component::Apiserver => &[apiserver::FLAGS, shared::LOGGING, shared::METRICS],
        Component::ControllerManager => &[
            controller_manager::FLAGS,
            shared::SECOND_SERVER,
            shared::LEADER_ELECTION,
            shared::LOGGING,
            shared::METRICS,
        ],
        Component::Scheduler => &[
            scheduler::FLAGS,
            shared::SECOND_SERVER,
            shared::LEADER_ELECTION,
            shared::LOGGING,
            shared::METRICS,
        ],
        Component::Kubelet => &[kubelet::FLAGS, shared::LOGGING],
        Component::Proxy => &[proxy::FLAGS, shared::LOGGING],
        Component::KonnectivityServer => &[konnectivity::SERVER, konnectivity::LOGGING],
        Component::KonnectivityAgent => &[konnectivity::AGENT, konnectivity::LOGGING],
        Component::Cluster => &[],
    };
    tables.iter().copied().flatten().flat_map(|section| {
        section.rows.iter().map(|&(name, kind, first, last)| Known {
            name,
            kind,
            first,
            last,
            effect: section.effect,
        })
    })
}

/// One key of a configuration file: its dotted path, the flag that means the same (if it is modelled or of unknown
/// effect like that flag), its shape, its first and last version.
pub(crate) type KeyRow = (&'static str, Meaning, Kind, u32, u32);

/// What a key of a configuration file means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Meaning {
    /// The same as this flag.
    Flag(&'static str),
    /// Nothing on any path.
    Nothing,
}

/// Groups of paths that an option of unknown effect may touch (design section 5).
pub(crate) mod paths {
    /// Every path.
    pub(crate) const ALL: &[&str] = &["*"];
    /// Whoever may come with a credential of another party.
    pub(crate) const USERS: &[&str] = &["user-to-apiserver"];
    /// Whatever asks the apiserver.
    pub(crate) const TO_API: &[&str] = &["*-to-apiserver", "node-bootstrap"];
    /// Whatever asks the apiserver, and whatever asks a kubelet, which asks the apiserver.
    pub(crate) const AUTHORIZED: &[&str] =
        &["*-to-apiserver", "node-bootstrap", "apiserver-to-kubelet/*", "direct-to-kubelet"];
    /// Whatever the apiserver asks.
    pub(crate) const FROM_API: &[&str] = &["apiserver-to-*"];
    /// What runs in streams between apiserver and kubelet.
    pub(crate) const STREAMS: &[&str] =
        &["apiserver-to-kubelet/exec", "apiserver-to-kubelet/attach", "apiserver-to-kubelet/port-forward"];
    /// The same, and upgrades through the apiserver's proxies.
    pub(crate) const UPGRADES: &[&str] = &[
        "apiserver-to-kubelet/exec",
        "apiserver-to-kubelet/attach",
        "apiserver-to-kubelet/port-forward",
        "apiserver-to-node/*",
        "apiserver-to-pod/*",
        "apiserver-to-service/*",
    ];
    /// Whatever asks a kubelet.
    pub(crate) const KUBELET: &[&str] =
        &["apiserver-to-kubelet/*", "direct-to-kubelet", "direct-to-kubelet-read-only"];
    /// Whatever a kubelet asks or is asked.
    pub(crate) const NODE: &[&str] = &[
        "apiserver-to-kubelet/*",
        "direct-to-kubelet",
        "direct-to-kubelet-read-only",
        "node-bootstrap",
        "node-to-apiserver",
    ];
    /// Whatever a service's address carries.
    pub(crate) const SERVICES: &[&str] = &["pod-to-apiserver", "apiserver-to-service/*"];
    /// The listeners of the smaller control-plane components.
    pub(crate) const COMPONENT: &[&str] = &["direct-to-component"];
    /// What controller manager and scheduler ask.
    pub(crate) const CONTROLLER: &[&str] = &["controller-to-apiserver"];
    /// What kube-proxy asks.
    pub(crate) const PROXY: &[&str] = &["proxy-to-apiserver", "pod-to-apiserver", "apiserver-to-service/*"];
}
