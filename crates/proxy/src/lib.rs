//! The service proxy: Services and EndpointSlices in, the host's table of redirects out.
//!
//! It is a client of the apiserver with an identity of its own. This crate must never know what
//! becomes of the table: a host applies it to packets or at connect.

mod endpoints;
mod health;
mod ports;
mod start;
mod table;

pub use ports::{PortsConfig, ProxyPorts};
pub use start::Proxy;
pub use table::{Node, table};
