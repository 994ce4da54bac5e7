//! SSH tunnels from the control plane to the nodes, as Kubernetes had them before 1.22.
//!
//! [`SshTunneler`] is the dialer behind `Egress`: it keeps an SSH session to each node and opens a
//! `direct-tcpip` channel for each connection. [`SshNodeServer`] is the far end. Only the leg to
//! the node is protected: what goes on from there is as bare as it was.
//!
//! russh spawns one task for each session by itself, past `Host::spawn`. It is given a connection
//! that can be cut, so that this task ends with the value that stands for the session. It also draws
//! from `rand::rng()`, which `ravelin-entropy` seeds within simulations; every algorithm here has
//! messages of a fixed size.

mod backoff;
mod certificate;
mod channel;
mod client;
pub mod danger;
mod fleet;
mod flow;
mod guard;
mod health;
mod key;
mod key_files;
mod known_hosts;
mod node_server;
mod nodes;
mod old_peers;
mod policy;
mod probe;
mod session;
mod targets;
mod tunneler;
mod wire;

pub use certificate::{CertificateRefused, SshCertificate, SshCertificateKind, SshClaim};
pub use key::{SshKey, SshKeyError, SshPublicKey};
pub use key_files::SshFileError;
pub use known_hosts::{KnownHosts, KnownHostsError};
pub use node_server::{SshNodeConfig, SshNodeServer};
pub use policy::{HostKeyFault, HostKeyPolicy, UnknownNode};
pub use session::SessionError;
pub use targets::{Forwarding, NodeTargets};
pub use tunneler::{NotReady, SshConfig, SshTunneler};

use std::borrow::Cow;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The port of a node's SSH server.
pub const SSH_PORT: u16 = 22;

/// What both ends call themselves.
const SOFTWARE: &str = "SSH-2.0-ravelin";
/// How long a connection to port 22 may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long key exchange and authentication may take, as in Kubernetes (`pkg/ssh/ssh.go`).
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a channel may take to open.
const CHANNEL_TIMEOUT: Duration = Duration::from_secs(10);
/// After this much silence the other end is asked for a sign of life.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// Unanswered questions after which a session is given up.
const KEEPALIVE_MAX: usize = 3;

/// How many bytes of a channel may be under way.
const WINDOW_BYTES: u32 = 512 * 1024;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The only algorithms: modern ones, whose messages have a fixed size.
fn algorithms() -> russh::Preferred {
    russh::Preferred {
        kex: Cow::Borrowed(&[
            russh::kex::CURVE25519,
            russh::kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
            russh::kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
        ]),
        key: Cow::Borrowed(&[russh::keys::Algorithm::Ed25519]),
        cipher: Cow::Borrowed(&[russh::cipher::AES_256_GCM]),
        // The cipher has its own; these are named because one must be.
        mac: Cow::Borrowed(&[russh::mac::HMAC_SHA512_ETM, russh::mac::HMAC_SHA256_ETM]),
        compression: Cow::Borrowed(&[russh::compression::NONE]),
        ..russh::Preferred::default()
    }
}

/// russh exchanges keys anew by volume only: it measures their age by the computer's own clock, which a
/// simulation does not rule. The tunneler asks for new keys in time.
fn limits() -> russh::Limits {
    russh::Limits { rekey_time_limit: Duration::MAX, ..russh::Limits::default() }
}

#[cfg(test)]
mod tests;
