//! What several rows of the table do to a configuration.

use ravelin_config::{AdmissionPlugins, ClusterConfig, Component, ServingListener};
use std::net::{IpAddr, Ipv4Addr};

/// Where only the machine itself gets.
pub(super) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Runs an admission plugin. Who disabled it by name cannot enable it beside that.
pub(super) fn enable(plugins: &mut AdmissionPlugins, name: &str) {
    if !plugins.runs(name) && !plugins.disabled.iter().any(|known| known == name) {
        plugins.enabled.push(name.to_owned());
        plugins.effective.push(name.to_owned());
        plugins.effective.sort();
    }
}

/// Did a file say this of the apiserver?
pub(super) fn said(config: &ClusterConfig, key: &str, value: &str) -> bool {
    let mut settings = config.provenance.settings.iter();
    settings.any(|known| known.component == Component::Apiserver && known.key == key && known.value == value)
}

/// Only the health of a component may be asked by anybody.
pub(super) fn only_health(listener: &mut ServingListener) {
    const HEALTH: [&str; 3] = ["/healthz", "/readyz", "/livez"];
    if listener.always_allow_paths.iter().any(|path| !HEALTH.contains(&path.as_str())) {
        listener.always_allow_paths = HEALTH.map(str::to_owned).to_vec();
    }
}
