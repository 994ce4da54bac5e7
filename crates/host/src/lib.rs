//! The seam: all that a component may ask of the computer (or pod) it runs on.
//!
//! A component is given a [`HostRef`] and nothing else. Whether sockets, clock and randomness
//! behind it are the operating system's or a simulation's, it cannot tell. This crate must never
//! know Kubernetes, TLS, HTTP or a simulator.

mod disk;
mod endpoint;
mod flaws;
mod journey;
pub mod memory;
mod observe;
pub mod os;
pub mod program;
mod redirect;
mod task;
pub mod unix;

pub use disk::{Disk, MemoryDisk, listed};
pub use endpoint::{BoxedStream, Connection, Endpoint, Listener, Stream};
pub use flaws::{Flaw, Flaws};
pub use observe::{Field, SessionSecret, field};
pub use redirect::{Opening, Otherwise, PortMap, Redirect, Scope, Translated, Translation};
pub use task::Task;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use ravelin_entropy::Entropy;
use std::net::IpAddr;
use std::sync::Arc;

/// A shared handle on one computer.
pub type HostRef = Arc<dyn Host>;

/// One computer (or pod), as the component that runs on it sees it.
#[async_trait]
pub trait Host: Send + Sync + 'static {
    /// The computer's name, for traces and errors: `node-1`, `control-plane`, `default/web`.
    fn name(&self) -> &str;

    /// The addresses of this computer; the first is the one it speaks from.
    fn addresses(&self) -> Vec<IpAddr>;

    /// Opens a connection.
    ///
    /// # Errors
    /// As `connect(2)`: refused, reset; `TimedOut` where nobody answers.
    async fn connect(&self, to: &Endpoint) -> std::io::Result<Connection>;

    /// Listens on an address of this computer, or on a Unix path within it.
    ///
    /// # Errors
    /// As `bind(2)` and `listen(2)`.
    async fn listen(&self, on: &Endpoint) -> std::io::Result<Box<dyn Listener>>;

    /// Resolves a host name to addresses.
    ///
    /// # Errors
    /// `NotFound` where no such name is known.
    async fn resolve(&self, name: &str) -> std::io::Result<Vec<IpAddr>>;

    /// The wall clock: what certificates and tokens are judged by. Timers are tokio's own.
    fn now(&self) -> jiff::Timestamp;

    /// A stream of randomness of this computer for one purpose. Asking twice for the same
    /// `label` gives two different streams.
    fn entropy(&self, label: &str) -> Entropy;

    /// Runs a task on this computer. It ends when it is done, when the [`Task`] is dropped
    /// without [`Task::detach`], or when the computer crashes.
    fn spawn(&self, label: &str, future: BoxFuture<'static, ()>) -> Task;

    /// Small files of this computer; they survive a crash.
    fn disk(&self) -> &dyn Disk;

    /// Replaces the table of this computer's destination translation (what a service proxy
    /// programs): a connection to a listed address goes to one of its endpoints instead.
    fn set_redirects(&self, table: Vec<Redirect>);

    /// Replaces the table of this computer's ports that are its pods' (`hostPort`).
    fn set_port_maps(&self, maps: Vec<PortMap>);

    /// The computer of a pod of this node.
    ///
    /// # Errors
    /// `NotFound` where the address is not one of this node's pod addresses.
    fn pod(&self, address: IpAddr) -> std::io::Result<HostRef>;

    /// Tells whoever watches what happened. It feeds the trace and explanations, never a verdict.
    /// No field may hold a secret.
    fn observe(&self, kind: &'static str, fields: &[Field]);

    /// Hands out a session's secret, as `SSLKEYLOGFILE` does, so that a capture can be read
    /// afterwards. Never written to a trace.
    fn session_secret(&self, secret: SessionSecret);

    /// The weaknesses that a simulation switched on. Always none on real sockets.
    fn flaws(&self) -> &Flaws;
}
