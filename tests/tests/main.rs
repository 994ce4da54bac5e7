//! The scenarios: whole runs, and what must come out of them. One binary, a module for each theme.

mod commands;
mod configurations;
mod determinism;
mod fixes;
mod gate;
mod honesty;
mod interop;
mod model;
mod properties;
mod recorded;
mod scenario_files;
mod services;
mod staying;
mod streams;
mod tunnels;
mod twins;

/// Are the long forms wanted (`cargo xtask test --deep`)?
fn is_deep() -> bool {
    #[allow(clippy::disallowed_methods, reason = "how long tests run is decided outside")]
    let deep = std::env::var_os("RAVELIN_DEEP");
    deep.is_some_and(|deep| deep == "1")
}
mod invariants;
