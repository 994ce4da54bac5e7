//! Old, vulnerable behaviour, as one typed value.
//!
//! A flaw is read at the check that it weakens, through [`Host::flaws`](crate::Host::flaws). A
//! simulation alone hands out hosts that have any: the operating system's never do. Twins run
//! with one, to show that the check they remove is what stopped an attack.

use std::collections::BTreeSet;

/// One protection taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Flaw {
    /// Clients of the apiserver accept any certificate of it.
    ClientsTrustAnyServer,
    /// The apiserver accepts any certificate of a kubelet, whatever it was told to verify.
    ApiserverTrustsAnyKubelet,
    /// The apiserver takes a client certificate's word without checking who signed it.
    ApiserverTrustsAnyClientCertificate,
    /// The apiserver allows every request whoever makes it, anonymous ones included, and tells
    /// everybody who asks that whoever it is may.
    ApiserverAllowsEveryone,
    /// The kubelet takes a client certificate's word without checking who signed it.
    KubeletTrustsAnyClientCertificate,
    /// The kubelet serves anybody: anonymous requests are admitted and allowed.
    KubeletAllowsEveryone,
    /// TLS servers do not check that a client holds the key of the certificate it presents.
    ServersSkipPossessionProof,
    /// TLS servers use the same random numbers and key shares for every handshake, so that a
    /// recorded connection can be replayed.
    ServersRepeatHandshakes,
    /// The secrets of TLS and SSH sessions are known to whoever listens: no encryption.
    SessionsWithoutSecrecy,
    /// The SSH client accepts any host key, whatever it was told to verify.
    SshTrustsAnyHostKey,
    /// Clients of the apiserver check who signed its certificate, and not whose it is.
    ClientsIgnoreServerName,
    /// The apiserver checks who signed a kubelet's certificate, and not for which address.
    ApiserverIgnoresKubeletAddress,
    /// The apiserver does not compare a kubelet's certificate with the node's name (KEP-4872),
    /// though it was told to.
    ApiserverIgnoresKubeletNodeName,
    /// The apiserver takes a bearer token's word without checking its signature or secret.
    ApiserverTrustsAnyToken,
    /// The apiserver accepts service account tokens for any audience.
    ApiserverIgnoresTokenAudience,
    /// The apiserver accepts service account tokens that have expired.
    ApiserverIgnoresTokenExpiry,
    /// The apiserver follows a kubelet's redirects to wherever they lead, with its client
    /// certificate (as before CVE-2018-1002102 was fixed).
    ApiserverFollowsRedirects,
    /// The apiserver keeps a connection joined whose upgrade the kubelet refused, authenticated as the
    /// apiserver (CVE-2018-1002105).
    ApiserverSplicesRefusedUpgrades,
    /// The apiserver hands a kubelet's redirect to the client that asked for an upgrade, which may
    /// follow it with its user's rights (CVE-2020-8559).
    ApiserverPassesRedirectsOn,
    /// The apiserver authorizes no request that asks for an upgrade.
    ApiserverSkipsAuthorizationOfUpgrades,
    /// The apiserver dials a node's kubelet port at addresses that it refuses elsewhere: loopback,
    /// link-local (CVE-2022-3294).
    ApiserverProxiesToAnyAddress,
    /// Sequence numbers and ports of TCP connections can be predicted by whoever does not see them.
    PredictableSequenceNumbers,
    /// The apiserver accepts service account tokens whose pod, secret, node or account is gone.
    ApiserverIgnoresTokenBinding,
    /// The apiserver admits from nodes whatever they are authorized to (no NodeRestriction).
    ApiserverIgnoresNodeRestriction,
    /// The apiserver lets every node read what any node may read.
    ApiserverIgnoresNodeRelations,
    /// The apiserver takes everybody for a front proxy, and believes whom it speaks for.
    ApiserverTrustsAnyFrontProxy,
    /// The apiserver lets everybody impersonate anybody.
    ApiserverIgnoresImpersonationRights,
    /// The apiserver admits services with any external address, also where it was told not to.
    ApiserverAllowsExternalIps,
    /// The apiserver lets whoever may write roles and bindings grant more than they hold.
    ApiserverAllowsEscalation,
    /// Signing requests are approved and signed whatever they ask for and whoever asks.
    SignersTrustRequests,
    /// HTTP servers take `Name : value` for `Name: value` (CVE-2019-16276).
    ServersAcceptSpacedHeaderNames,
    /// Host ports of pods come before the addresses of services (CVE-2019-9946).
    HostPortsBeforeServices,
    /// A Konnectivity server takes anybody for an agent, whatever credential it was told to ask for
    /// (CVE-2026-16242).
    KonnectivityTakesAnyAgent,
    /// A Konnectivity server lets anybody who reaches its frontend port dial through it.
    KonnectivityTakesAnyFrontend,
    /// A Konnectivity agent accepts any certificate of its server.
    KonnectivityAgentTrustsAnyServer,
    /// The apiserver accepts any certificate of the Konnectivity server that it dials through.
    KonnectivityEgressTrustsAnyServer,
    /// Nodes' SSH servers know no strict key exchange, so that packets can vanish right after it
    /// (Terrapin, CVE-2023-48795).
    SshServersAreNotStrict,
    /// Both ends of SSH tunnels choose chacha20-poly1305, whose nonces count packets, and nodes tell
    /// which extensions they know, as OpenSSH does: what Terrapin needs, and no weakness by itself.
    SshPrefersCountedPackets,
}

/// The set of flaws of a simulation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flaws(BTreeSet<Flaw>);

impl Flaws {
    /// No flaw: what every host outside a simulation has.
    pub const fn none() -> Self {
        Self(BTreeSet::new())
    }

    /// These flaws. Only simulations and scenarios may call this.
    pub fn danger(flaws: impl IntoIterator<Item = Flaw>) -> Self {
        Self(flaws.into_iter().collect())
    }

    /// Is this flaw switched on?
    pub fn has(&self, flaw: Flaw) -> bool {
        self.0.contains(&flaw)
    }

    /// Every flaw that is switched on.
    pub fn iter(&self) -> impl Iterator<Item = Flaw> + '_ {
        self.0.iter().copied()
    }
}
