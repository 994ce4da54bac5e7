//! Who attacks, and what is not theirs to break.

use crate::target::{ClientProof, ServerKind, Target, Transport};
use ravelin_oracle::Property;
use std::fmt;

/// An attacker: a position on the network, and credentials of its own (none, for these).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Attacker {
    /// Reads every byte on the untrusted segments, and may open connections of its own with what
    /// it read.
    Eavesdropper,
    /// Is on the untrusted segments: answers in another's name with certificates and host keys of
    /// its own making, forges, relays where it can.
    Impostor,
}

impl Attacker {
    /// Every attacker, in the order of reports.
    pub const ALL: [Self; 2] = [Self::Eavesdropper, Self::Impostor];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eavesdropper => "eavesdropper",
            Self::Impostor => "impostor",
        }
    }

    /// Why a property of a path cannot be broken by this attacker, whatever happens, if that is
    /// so: the fixed table of `docs/threat-model.md`.
    pub fn untouched(self, target: &Target, property: Property) -> Option<Untouched> {
        let workload = target.server == ServerKind::Workload;
        match (self, property) {
            (Self::Eavesdropper, Property::ResponseAuthentic | Property::RequestAuthentic) => {
                Some(Untouched::SendsNothingInAnothersName)
            }
            (_, Property::CredentialSafe) if matches!(target.proof, ClientProof::Nothing) => {
                Some(Untouched::NoCredentialIsSent)
            }
            (_, Property::AccessControlled) if workload => Some(Untouched::NoAccessControl),
            (Self::Eavesdropper, Property::CredentialSafe | Property::AccessControlled) => {
                let tunnelled = target.transport != Transport::Direct;
                let secret = matches!(target.proof, ClientProof::Token);
                (tunnelled && !secret).then_some(Untouched::NothingReadOpensAnything)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Attacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a property does not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untouched {
    /// The attacker only listens, and speaks as itself.
    SendsNothingInAnothersName,
    /// The path's client proves itself to nobody.
    NoCredentialIsSent,
    /// Kubernetes controls no access to what answers in a pod.
    NoAccessControl,
    /// Neither the tunnel's client nor the one inside it sends a secret: they prove themselves by
    /// keys, or not at all.
    NothingReadOpensAnything,
}

impl fmt::Display for Untouched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SendsNothingInAnothersName => "this attacker sends nothing in another's name",
            Self::NoCredentialIsSent => "no credential is sent on this path",
            Self::NoAccessControl => "Kubernetes controls no access to a pod's own server",
            Self::NothingReadOpensAnything => "no client sends a secret that would open anything",
        })
    }
}
