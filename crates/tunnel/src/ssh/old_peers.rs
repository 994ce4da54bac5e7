//! SSH peers as they were before December 2023, where a simulation wants them so (CVE-2023-48795).
//!
//! Nothing here is reached outside simulations: it goes by [`Flaw`]s alone.

use ravelin_host::{Flaw, HostRef};
use russh::Preferred;
use std::borrow::Cow;

/// What a client offers on this host, where it is not what it should offer.
pub(crate) fn client(host: &HostRef, mut offered: Preferred) -> Preferred {
    if host.flaws().has(Flaw::SshPrefersCountedPackets) {
        prefer_counted_packets(&mut offered);
        // Asks the server for its extensions (RFC 8308 section 2.1).
        offered.kex.to_mut().push(russh::kex::EXTENSION_SUPPORT_AS_CLIENT);
    }
    offered
}

/// What a node's server offers on this host, where it is not what it should offer.
pub(crate) fn server(host: &HostRef, mut offered: Preferred) -> Preferred {
    if host.flaws().has(Flaw::SshPrefersCountedPackets) {
        prefer_counted_packets(&mut offered);
    }
    if host.flaws().has(Flaw::SshServersAreNotStrict) {
        offered.kex.to_mut().retain(|name| *name != russh::kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER);
    }
    offered
}

/// OpenSSH's first choice: each packet's nonce is its number, counted from the connection's start.
fn prefer_counted_packets(offered: &mut Preferred) {
    offered.cipher = Cow::Borrowed(&[russh::cipher::CHACHA20_POLY1305]);
}
