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
    /// The apiserver allows every request whoever makes it, anonymous ones included.
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
