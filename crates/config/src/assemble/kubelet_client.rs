//! How the kube-apiserver speaks with kubelets.

use crate::catalogue::CERT_CN_GATE;
use crate::model::{Component, KubeletAddressType, KubeletScheme, KubeletVerification, KubernetesVersion};
use crate::sheet::Sheet;

pub(super) fn assemble(version: KubernetesVersion, sheet: &mut Sheet<'_>) -> KubeletVerification {
    let types = sheet.list("kubelet-preferred-address-types");
    let first = types.first().map(String::as_str).unwrap_or_default();
    if ["Hostname", "InternalDNS", "ExternalDNS"].contains(&first) {
        sheet.gathered.assume("--kubelet-preferred-address-types begins with names: assumed that the control plane resolves the nodes' names");
    }
    let certificate_authority = sheet.file("kubelet-certificate-authority");
    if certificate_authority.is_none() {
        let source = "pkg/kubelet/client/kubelet_client.go (kubelets' certificates are not verified)";
        sheet.default("--kubelet-certificate-authority", "", source);
    }
    // kubernetes/kubernetes#91630: from 1.19 on the flag is there and does nothing, from 1.22 on it is gone.
    let https = version.minor_number() >= 19 || sheet.switch("kubelet-https");
    let scheme = if https { KubeletScheme::Https } else { KubeletScheme::Http };
    if let (false, Some(given)) = (https, sheet.given("kubelet-https")) {
        let why = "the apiserver speaks plain HTTP with kubelets, which is not simulated";
        sheet.gathered.unknown(
            Component::Apiserver,
            &given.key,
            &given.place,
            (&["apiserver-to-kubelet/*"], why),
        );
    }
    let cert_cn_validation = cert_cn_validation(certificate_authority.is_some(), sheet);
    KubeletVerification {
        certificate_authority,
        cert_cn_validation,
        client: sheet.pair("kubelet-client-certificate", "kubelet-client-key"),
        preferred_address_types: types
            .iter()
            .filter_map(|name| KubeletAddressType::ALL.into_iter().find(|t| t.as_str() == name))
            .collect(),
        scheme,
        default_port: sheet.port("kubelet-port").unwrap_or(0),
    }
}

/// KEP-4872: the flag asks for its feature gate and for an authority to verify by.
fn cert_cn_validation(verified: bool, sheet: &mut Sheet<'_>) -> bool {
    if !sheet.switch("enable-kubelet-cert-cn-validation") {
        return false;
    }
    let gate = sheet.gate(CERT_CN_GATE).unwrap_or(false);
    if let Some(given) = sheet.given("enable-kubelet-cert-cn-validation") {
        let missing = [
            (
                gate,
                "requires feature gate KubeletCertCNValidation",
                "KubeletCertCNValidation=true among the feature gates",
            ),
            (
                verified,
                "is given without --kubelet-certificate-authority",
                "--kubelet-certificate-authority=FILE",
            ),
        ];
        for (_, problem, accepted) in missing.into_iter().filter(|(there, ..)| !there) {
            sheet.gathered.fail(&given.place, &given.key, problem, accepted);
        }
    }
    sheet.gathered.assume(
        "--enable-kubelet-cert-cn-validation: assumed that certificates that somebody put beside kubelets name them as system:node:<node>",
    );
    true
}
