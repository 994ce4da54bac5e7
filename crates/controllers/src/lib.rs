//! What the controller manager and the scheduler do, as clients of the secure port.
//!
//! Each controller is a loop over what reflectors have seen: it compares that with what should be
//! and writes the difference. Nothing here listens, and nothing here knows the apiserver's inside.

mod addresses;
mod approver;
mod csr;
mod endpoints;
mod follow;
mod kubernetes_service;
mod namespaces;
mod operator;
mod placement;
mod scheduler;
mod signer;
mod slices;
mod start;

pub use operator::{Operator, OperatorConfig};
pub use signer::Signers;
pub use start::{Controllers, ControllersConfig, Running};
