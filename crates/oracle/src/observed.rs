//! What was seen from outside in one attempt of one tactic on one path.

use crate::{Canary, Property};
use std::time::Duration;

/// Everything that was seen from outside while one tactic was tried on one path.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The secret in the probe's request, and the attempt's own response secret.
    pub request: Canary,
    /// The secret in the genuine response.
    pub response: Canary,
    /// What the attacker's machines hold.
    pub attempt: Attempt,
    /// What the probe's caller was handed, call by call.
    pub calls: Vec<Call>,
    /// What the genuine servers issued to this probe's requests.
    pub issued: Vec<Issued>,
    /// What the servers executed that bears the probe's name.
    pub executed: Vec<Executed>,
}

/// One call of the probe's caller.
#[derive(Clone, Debug)]
pub struct Call {
    /// When it ended, since the simulation's start.
    pub at: Duration,
    /// From whom to whom, for people.
    pub flow: String,
    /// Which of the probe's requests it was.
    pub request: String,
    /// What the caller was handed.
    pub handed: Handed,
}

/// A response that a genuine server issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// To which of the probe's requests.
    pub request: String,
    /// Its body, exactly.
    pub body: Vec<u8>,
}

impl Issued {
    /// A response to a request.
    pub fn to(request: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self { request: request.into(), body: body.into() }
    }
}

/// What a caller was handed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handed {
    /// Success, with this body.
    Success(Vec<u8>),
    /// An error, before the deadline.
    Error {
        /// The error as the caller saw it.
        text: String,
        /// Does it name the check that failed?
        names_check: bool,
    },
    /// Nothing before the deadline.
    Nothing,
    /// A success that stopped short.
    Partial,
}

/// Something that a server executed and that bears the probe's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// When.
    pub at: Duration,
    /// Who executed it, for people.
    pub server: String,
    /// Did the client send exactly this, and not fewer times than it was executed?
    pub as_sent: bool,
}

/// What a tactic brought its attacker.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    /// The bytes that the attacker can read.
    pub learned: Vec<Learned>,
    /// What it achieved by itself.
    pub gains: Vec<Gain>,
    /// Who refused it.
    pub refusals: Vec<Refusal>,
    /// What it could not go on to break, as no packet of its reaches whoever decides there.
    pub out_of_reach: Vec<Property>,
    /// What happened, step by step, for people.
    pub story: Vec<(Duration, String)>,
}

/// Bytes that the attacker can read.
#[derive(Clone, Debug)]
pub struct Learned {
    /// When.
    pub at: Duration,
    /// From whom to whom.
    pub flow: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Something that the attacker achieved by itself.
#[derive(Clone, Debug)]
pub struct Gain {
    /// When.
    pub at: Duration,
    /// From whom to whom.
    pub flow: String,
    /// What kind of thing.
    pub kind: GainKind,
    /// What it was, for people.
    pub text: String,
}

/// The kinds of things that an attacker achieves by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GainKind {
    /// A request of the attacker's was executed under the client's identity.
    ExecutedAsClient,
    /// A credential that the attacker gained was used with success.
    CredentialUsed,
    /// Something beyond the attacker's own rights was read, changed or run.
    BeyondRights,
}

impl GainKind {
    /// The property that such a gain breaks.
    pub fn breaks(self) -> Property {
        match self {
            Self::ExecutedAsClient => Property::RequestAuthentic,
            Self::CredentialUsed => Property::CredentialSafe,
            Self::BeyondRights => Property::AccessControlled,
        }
    }
}

/// A refusal by an honest party that the tactic reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When.
    pub at: Duration,
    /// Who refused.
    pub flow: String,
    /// The protection that refused.
    pub by: Protection,
    /// What the refusal looked like.
    pub text: String,
    /// The properties at which the refused step was aimed.
    pub aims: Vec<Property>,
}

/// A protection that can refuse an attacker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Protection {
    /// The client verified the server's certificate.
    ServerCertificate,
    /// The client verified the SSH server's host key.
    HostKey,
    /// The bytes were encrypted.
    Encryption,
    /// The server verified who signed the client's certificate.
    ClientCertificate,
    /// The server asked who is calling, and knew no caller of this kind.
    Authentication,
    /// The server asked whether the caller may.
    Authorization,
    /// The server verified that the client holds its certificate's key.
    ProofOfPossession,
    /// The server's part of the handshake was a fresh one.
    FreshHandshake,
    /// The client found another's name in the server's certificate.
    ServerName,
    /// The apiserver found another node's name in the kubelet's certificate.
    NodeName,
    /// The server verified a bearer token's signature or secret.
    Token,
    /// The server verified for whom a bearer token is.
    TokenAudience,
    /// The server verified until when a bearer token is good.
    TokenExpiry,
    /// The client followed no redirect.
    NoRedirect,
    /// A segment did not fit the connection's ports and sequence numbers.
    SequenceNumbers,
    /// The server verified that what a bearer token is bound to still exists.
    TokenBinding,
    /// The server believed what was said of another's identity from front proxies only.
    FrontProxy,
    /// The server took no header with a name that HTTP does not allow (RFC 9112 section 5.1).
    HeaderSyntax,
    /// The server asked whether the caller may act as another.
    ImpersonationRights,
    /// Nobody approved or signed a request for a certificate that its requester may not have.
    SigningRules,
    /// The server found no pod of the node's that uses the object.
    NodeRelations,
    /// The server admitted from a node what concerns that node only.
    NodeRestriction,
    /// The server admitted no service with external addresses.
    ExternalIps,
    /// What is addressed to a service came to no pod's host port.
    ServiceOrder,
    /// The Konnectivity server asked an agent who it is.
    AgentCredential,
    /// The Konnectivity server's frontend asked who wants a connection.
    FrontendCredential,
    /// The Konnectivity agent verified its server's certificate.
    TunnelServer,
}

impl Protection {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::ServerCertificate => "server certificate verification",
            Self::HostKey => "host key verification",
            Self::Encryption => "encryption",
            Self::ClientCertificate => "client certificate verification",
            Self::Authentication => "authentication",
            Self::Authorization => "authorization",
            Self::ProofOfPossession => "proof of possession",
            Self::FreshHandshake => "fresh handshake",
            Self::ServerName => "server name verification",
            Self::NodeName => "node name verification",
            Self::Token => "token verification",
            Self::TokenAudience => "token audience verification",
            Self::TokenExpiry => "token expiry verification",
            Self::NoRedirect => "no redirect is followed",
            Self::SequenceNumbers => "unpredictable sequence numbers",
            Self::TokenBinding => "token binding verification",
            Self::FrontProxy => "front proxy verification",
            Self::HeaderSyntax => "header name verification",
            Self::ImpersonationRights => "impersonation rights",
            Self::SigningRules => "certificate signing rules",
            Self::NodeRelations => "node authorization",
            Self::NodeRestriction => "NodeRestriction admission",
            Self::ExternalIps => "DenyServiceExternalIPs admission",
            Self::ServiceOrder => "services before host ports",
            Self::AgentCredential => "agent authentication",
            Self::FrontendCredential => "frontend authentication",
            Self::TunnelServer => "tunnel server verification",
        }
    }
}
