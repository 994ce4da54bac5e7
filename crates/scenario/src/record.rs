//! The attacks that come with this program.

use crate::file::{FileError, Scenario};

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../tests/scenarios/", $name, ".yaml")))),*]
    };
}

/// The files, in the order in which they are listed.
const FILES: &[(&str, &str)] = files![
    "https-proxy-relay",
    "ssh-host-key",
    "pod-address-reuse",
    "kubelet-anonymous",
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
