//! Services from objects to packets: what the controllers, the service proxies, the kubelets and the
//! in-cluster client make of them together.

mod attacks;
mod endpoints;
pub mod stage;
mod staying;
