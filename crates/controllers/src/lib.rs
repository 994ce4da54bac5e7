//! What the controller manager and the scheduler do, as clients of the secure port.
//!
//! Each controller is a loop over what reflectors have seen: it compares that with what should be
//! and writes the difference. Both components also answer on ports of their own (`ports`). Nothing
//! here knows the apiserver's inside.

mod account_secrets;
mod addresses;
mod approver;
mod bootstrap_tokens;
mod cleaner;
mod csr;
mod endpoints;
mod follow;
mod garbage;
mod kubernetes_service;
mod lifecycle;
mod namespaces;
mod operator;
mod orphans;
mod placement;
mod ports;
mod scheduler;
mod signer;
mod slices;
mod start;
mod taints;
mod terminating;

pub use kubernetes_service::{KubernetesService, KubernetesServiceConfig};
pub use operator::{Operator, OperatorConfig};
pub use ports::{Component, ComponentPorts, PortsConfig};
pub use signer::Signers;
pub use start::{Controllers, ControllersConfig, Running};
