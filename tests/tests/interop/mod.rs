//! What ravelin writes, in the hands of real programs.

mod components;
mod konnectivity;
#[cfg(feature = "kube-client")]
mod kube_client;
mod kubectl;
mod pcap;
mod process;
mod proxies;
mod python;
mod real;
pub mod rig;
mod ssh;
mod up;

/// Is this program there? Under `CI` it must be.
///
/// # Panics
/// Where it is not, under `CI`.
fn has(program: &str) -> bool {
    #[allow(clippy::disallowed_methods, reason = "whether programs may be missing is decided outside")]
    let required = std::env::var_os("CI").is_some();
    let found = std::process::Command::new(program).arg("--version").output();
    let found = found.is_ok_and(|ran| ran.status.success());
    assert!(found || !required, "{program} is not there, and this is CI");
    if !found {
        eprintln!("not tried: {program} is not there");
    }
    found
}
