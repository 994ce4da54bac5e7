//! Twins: which protection to take away, so that a tactic that was refused must succeed.

use ravelin_adversary::ServerKind;
use ravelin_host::Flaw;
use ravelin_oracle::Protection;

/// The weakness that takes a protection away.
pub type Twin = Flaw;

/// The twin of a refusal by `protection` on a path.
pub fn twin_of(protection: Protection, server: ServerKind) -> Option<Twin> {
    Some(match (protection, server) {
        (Protection::ServerCertificate, ServerKind::Kubelet) => Flaw::ApiserverTrustsAnyKubelet,
        (Protection::ServerCertificate, _) => Flaw::ClientsTrustAnyServer,
        (Protection::ClientCertificate, ServerKind::Kubelet) => Flaw::KubeletTrustsAnyClientCertificate,
        (Protection::ClientCertificate, _) => Flaw::ApiserverTrustsAnyClientCertificate,
        (Protection::Authentication | Protection::Authorization, ServerKind::Kubelet) => {
            Flaw::KubeletAllowsEveryone
        }
        (Protection::Authentication | Protection::Authorization, _) => Flaw::ApiserverAllowsEveryone,
        (Protection::HostKey, _) => Flaw::SshTrustsAnyHostKey,
        (Protection::Encryption, _) => Flaw::SessionsWithoutSecrecy,
        (Protection::ProofOfPossession, _) => Flaw::ServersSkipPossessionProof,
        (Protection::FreshHandshake, _) => Flaw::ServersRepeatHandshakes,
        (Protection::ServerName, ServerKind::Kubelet) => Flaw::ApiserverIgnoresKubeletAddress,
        (Protection::ServerName, _) => Flaw::ClientsIgnoreServerName,
        (Protection::NodeName, _) => Flaw::ApiserverIgnoresKubeletNodeName,
        // Kubelets ask the apiserver about tokens.
        (Protection::Token, _) => Flaw::ApiserverTrustsAnyToken,
        (Protection::TokenAudience, _) => Flaw::ApiserverIgnoresTokenAudience,
        (Protection::TokenExpiry, _) => Flaw::ApiserverIgnoresTokenExpiry,
        (Protection::NoRedirect, _) => Flaw::ApiserverFollowsRedirects,
        (Protection::SequenceNumbers, _) => Flaw::PredictableSequenceNumbers,
        (Protection::TokenBinding, _) => Flaw::ApiserverIgnoresTokenBinding,
        (Protection::FrontProxy, _) => Flaw::ApiserverTrustsAnyFrontProxy,
        (Protection::HeaderSyntax, _) => Flaw::ServersAcceptSpacedHeaderNames,
        (Protection::ImpersonationRights, _) => Flaw::ApiserverIgnoresImpersonationRights,
        (Protection::SigningRules, _) => Flaw::SignersTrustRequests,
        (Protection::NodeRelations, _) => Flaw::ApiserverIgnoresNodeRelations,
        (Protection::NodeRestriction, _) => Flaw::ApiserverIgnoresNodeRestriction,
        (Protection::ExternalIps, _) => Flaw::ApiserverAllowsExternalIps,
        (Protection::ServiceOrder, _) => Flaw::HostPortsBeforeServices,
        (Protection::AgentCredential, _) => Flaw::KonnectivityTakesAnyAgent,
        (Protection::FrontendCredential, _) => Flaw::KonnectivityTakesAnyFrontend,
        (Protection::TunnelServer, _) => Flaw::KonnectivityAgentTrustsAnyServer,
        _ => return None,
    })
}
