//! Old behaviours by the names that scenario files give them.

use ravelin_host::Flaw;

/// Every old behaviour that a file may switch on, by name.
const NAMES: &[(&str, Flaw)] = &[
    ("clients-trust-any-apiserver", Flaw::ClientsTrustAnyServer),
    ("clients-ignore-the-apiservers-name", Flaw::ClientsIgnoreServerName),
    ("apiserver-trusts-any-kubelet", Flaw::ApiserverTrustsAnyKubelet),
    ("apiserver-ignores-kubelet-address", Flaw::ApiserverIgnoresKubeletAddress),
    ("apiserver-ignores-kubelet-node-name", Flaw::ApiserverIgnoresKubeletNodeName),
    ("apiserver-trusts-any-client-certificate", Flaw::ApiserverTrustsAnyClientCertificate),
    ("apiserver-trusts-any-token", Flaw::ApiserverTrustsAnyToken),
    ("apiserver-ignores-token-audience", Flaw::ApiserverIgnoresTokenAudience),
    ("apiserver-ignores-token-expiry", Flaw::ApiserverIgnoresTokenExpiry),
    ("apiserver-allows-everyone", Flaw::ApiserverAllowsEveryone),
    ("apiserver-follows-redirects", Flaw::ApiserverFollowsRedirects),
    ("apiserver-splices-refused-upgrades", Flaw::ApiserverSplicesRefusedUpgrades),
    ("apiserver-passes-redirects-on", Flaw::ApiserverPassesRedirectsOn),
    ("apiserver-skips-authorization-of-upgrades", Flaw::ApiserverSkipsAuthorizationOfUpgrades),
    ("apiserver-proxies-to-any-address", Flaw::ApiserverProxiesToAnyAddress),
    ("kubelet-trusts-any-client-certificate", Flaw::KubeletTrustsAnyClientCertificate),
    ("kubelet-allows-everyone", Flaw::KubeletAllowsEveryone),
    ("apiserver-ignores-token-binding", Flaw::ApiserverIgnoresTokenBinding),
    ("apiserver-ignores-node-restriction", Flaw::ApiserverIgnoresNodeRestriction),
    ("apiserver-ignores-node-relations", Flaw::ApiserverIgnoresNodeRelations),
    ("apiserver-trusts-any-front-proxy", Flaw::ApiserverTrustsAnyFrontProxy),
    ("apiserver-ignores-impersonation-rights", Flaw::ApiserverIgnoresImpersonationRights),
    ("apiserver-allows-external-ips", Flaw::ApiserverAllowsExternalIps),
    ("apiserver-allows-escalation", Flaw::ApiserverAllowsEscalation),
    ("signers-trust-requests", Flaw::SignersTrustRequests),
    ("servers-accept-spaced-header-names", Flaw::ServersAcceptSpacedHeaderNames),
    ("konnectivity-takes-any-agent", Flaw::KonnectivityTakesAnyAgent),
    ("konnectivity-takes-any-frontend", Flaw::KonnectivityTakesAnyFrontend),
    ("konnectivity-agents-trust-any-server", Flaw::KonnectivityAgentTrustsAnyServer),
    ("konnectivity-egress-trusts-any-server", Flaw::KonnectivityEgressTrustsAnyServer),
    ("ssh-servers-are-not-strict", Flaw::SshServersAreNotStrict),
    ("ssh-prefers-counted-packets", Flaw::SshPrefersCountedPackets),
    ("host-ports-before-services", Flaw::HostPortsBeforeServices),
];

/// The behaviour of a name.
pub(crate) fn flaw(name: &str) -> Option<Flaw> {
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, flaw)| *flaw)
}

/// The name of a behaviour.
pub(crate) fn name(flaw: Flaw) -> &'static str {
    NAMES.iter().find(|(_, known)| *known == flaw).map_or("unnamed", |(name, _)| name)
}

/// Every name, for errors.
pub(crate) fn all() -> String {
    NAMES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}
