//! Who attacks, from where, and what is not theirs to break.

use crate::target::{ClientProof, ServerKind, Target, Transport};
use ravelin_oracle::Property;
use std::fmt;

/// An attacker: a position on the network, and credentials of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Attacker {
    /// Reads every byte on the untrusted segments, and may open connections of its own with what
    /// it read.
    Eavesdropper,
    /// Is on the untrusted segments: answers in another's name with certificates and host keys of
    /// its own making, forges, relays where it can.
    Impostor,
    /// Is on the untrusted segments, and owns a node that joined: its machine, and all that is on
    /// its disk.
    RogueNode,
    /// Is in an ordinary pod: has its token, and its place in the pod network.
    RoguePod,
    /// Has an address on the untrusted network, and no credentials.
    Outsider,
    /// Holds a captured bearer token of a pod, and uses it from anywhere.
    TokenThief,
}

impl Attacker {
    /// Every attacker, in the order of reports.
    pub const ALL: [Self; 6] = [
        Self::Eavesdropper,
        Self::Impostor,
        Self::RogueNode,
        Self::RoguePod,
        Self::Outsider,
        Self::TokenThief,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eavesdropper => "eavesdropper",
            Self::Impostor => "impostor",
            Self::RogueNode => "rogue-node",
            Self::RoguePod => "rogue-pod",
            Self::Outsider => "outsider",
            Self::TokenThief => "token-thief",
        }
    }

    /// Does it see, and may it stop and change, what others send on the untrusted segments? The
    /// others see only what is sent to them.
    pub fn is_on_the_path(self) -> bool {
        matches!(self, Self::Eavesdropper | Self::Impostor | Self::RogueNode)
    }

    /// Can it break this property only by packets of others, which it does not see? Off the path
    /// nobody can answer the client of an apiserver that nothing in the cluster leads elsewhere.
    pub fn sees_too_little(self, target: &Target, property: Property) -> bool {
        let answers = property == Property::ResponseAuthentic && target.server == ServerKind::Apiserver;
        let led = !target.claims.is_empty();
        answers && !led && !self.is_on_the_path() && !target.is_asked_directly
    }

    /// Why a property of a path cannot be broken by this attacker, whatever happens, if that is
    /// so: the fixed table of `docs/threat-model.md`.
    pub fn untouched(self, target: &Target, property: Property) -> Option<Untouched> {
        if target.is_asked_directly {
            return asked_directly(target, property);
        }
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

/// Whoever asks directly is the path's client: only what it may, and what it gains, is at stake.
fn asked_directly(target: &Target, property: Property) -> Option<Untouched> {
    match property {
        Property::AccessControlled => None,
        Property::CredentialSafe => target.treasures.is_empty().then_some(Untouched::HoldsNoCredential),
        _ => Some(Untouched::TheAttackerAsks),
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
    /// The attacker itself is this path's client.
    TheAttackerAsks,
    /// What answers there has no credential to give.
    HoldsNoCredential,
}

impl fmt::Display for Untouched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SendsNothingInAnothersName => "this attacker sends nothing in another's name",
            Self::NoCredentialIsSent => "no credential is sent on this path",
            Self::NoAccessControl => "Kubernetes controls no access to a pod's own server",
            Self::NothingReadOpensAnything => "no client sends a secret that would open anything",
            Self::TheAttackerAsks => "the attacker itself is the client of this path",
            Self::HoldsNoCredential => "what answers there has no credential to give",
        })
    }
}
