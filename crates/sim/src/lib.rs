//! The simulated network: machines, segments, packets, address translation, faults, taps and the
//! attacker's place on the wire, all decided by one seed.
//!
//! The only crate that knows turmoil. It must never know Kubernetes, TLS or HTTP: a component is
//! given a [`ravelin_host::Host`] and cannot tell it from a real one.
//!
//! How it fits together: [`run`] starts a thread with a paused tokio runtime. All machines' TCP
//! stacks live in one `turmoil_net::Net` on that thread; the network loop (`network`) takes the
//! packets that they emit, finds the flow of each (`opening` makes it at the SYN: routing,
//! translation, diversion), shows it to taps and the attacker's hook (`transmit`) and hands it to
//! the other stack when it is due (`arrival`).

#[cfg(not(any(tokio_unstable, doc)))]
compile_error!("build with --cfg tokio_unstable (.cargo/config.toml): else tokio's own choices have no seed");

mod arrival;
mod faults;
mod flow;
mod forged;
mod machine;
mod network;
mod opening;
mod run;
mod setup;
mod stream;
mod topology;
mod trace;
mod transmit;
mod wire;
mod world;

#[cfg(test)]
mod tests;

pub use faults::Faults;
pub use flow::Flags;
pub use forged::{Forged, Forgery, Predicted};
pub use run::{Finished, SimError, run};
pub use setup::{Conditions, Latency, SimConfig};
pub use topology::{MachineSpec, Place, Segment, Topology, Untrusted};
pub use trace::Trace;
pub use wire::{
    Action, CellStart, Divert, DivertGuard, Diverted, Flow, Hook, Intercepted, PacketRecord, PacketView, Wire,
};
pub use world::World;
