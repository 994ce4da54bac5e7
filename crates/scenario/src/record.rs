//! The attacks that come with this program.

use crate::file::{FileError, Scenario};

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../tests/scenarios/", $name, ".yaml")))),*]
    };
}

/// The files, in the order in which they are listed.
const FILES: &[(&str, &str)] = files![
    "cve-2018-1002105",
    "cve-2018-1002102",
    "cve-2020-8559",
    "cve-2022-3294",
    "kep-4872",
    "https-proxy-relay",
    "pod-address-reuse",
    "kubelet-anonymous",
    "ssh-host-key",
    "ssh-first-contact",
    "ssh-stolen-key",
    "ssh-rogue-node",
    "terrapin",
    "cve-2026-16242",
    "knp-agent-claims-address",
    "knp-default-route",
    "knp-open-frontend",
    "knp-egress-http",
    "token-replay",
    "cve-2019-9946",
    "cve-2020-8554",
    "cve-2025-5187",
    "front-proxy-ca",
];

/// Every attack on record.
///
/// # Errors
/// What is wrong with a file: they are part of this program, so it is a bug.
pub fn recorded() -> Result<Vec<Scenario>, Vec<FileError>> {
    FILES.iter().map(|(name, text)| Scenario::read(&format!("{name}.yaml"), text)).collect()
}

/// The text of a file of this program.
pub fn find(name: &str) -> Option<&'static str> {
    FILES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}
