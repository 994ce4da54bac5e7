//! Who may approve and sign which requests, and what no signer may be asked for
//! (`plugin/pkg/admission/certificates/{approval,signing,subjectrestriction}`).

use super::{CERTIFICATE_APPROVAL, CERTIFICATE_SIGNING, CERTIFICATE_SUBJECT_RESTRICTION, Change, runs};
use crate::server::Server;
use ravelin_api::{Status, object};
use ravelin_auth::{Attributes, names};
use ravelin_pki::SigningRequest;
use serde_json::Value;

const APISERVER_CLIENT: &str = "kubernetes.io/kube-apiserver-client";

/// Leave to approve or deny a request (CertificateApproval).
pub(crate) fn may_approve(server: &Server, change: &Change<'_>, present: &Value) -> Result<(), Status> {
    if runs(server, CERTIFICATE_APPROVAL) {
        return may_use_signer(server, change, (present, "approve"));
    }
    Ok(())
}

/// Leave to sign a request, or to say why it was not signed (CertificateSigning).
pub(crate) fn may_sign(server: &Server, change: &Change<'_>, present: &Value) -> Result<(), Status> {
    if runs(server, CERTIFICATE_SIGNING) {
        return may_use_signer(server, change, (present, "sign"));
    }
    Ok(())
}

/// By the signer's name, or by its whole domain (`certauthorization.IsAuthorizedForSignerName`). The
/// signer is that of the stored request, whatever the new one says.
fn may_use_signer(
    server: &Server,
    change: &Change<'_>,
    (present, verb): (&Value, &str),
) -> Result<(), Status> {
    let signer = object::text(present, "spec.signerName");
    let domain = signer.split_once('/').map_or(signer, |(domain, _)| domain);
    let allowed = [signer.to_owned(), format!("{domain}/*")].into_iter().any(|name| {
        let asked = Attributes {
            version: "*".to_owned(),
            name,
            ..Attributes::of_resource(change.user.clone(), verb, "certificates.k8s.io", "signers")
        };
        server.authorization.decide(server, &asked).is_allowed()
    });
    if allowed {
        return Ok(());
    }
    change.refuse(present, &format!("user not permitted to {verb} requests with signerName {signer:?}"))
}

/// Nobody asks the signer of ordinary client certificates for a certificate of the group that may
/// everything (CertificateSubjectRestriction).
pub(crate) fn restrict_subject(
    server: &Server,
    change: &Change<'_>,
    (new, request): (&Value, &SigningRequest),
) -> Result<(), Status> {
    let concerned = object::text(new, "spec.signerName") == APISERVER_CLIENT;
    if !concerned || !runs(server, CERTIFICATE_SUBJECT_RESTRICTION) {
        return Ok(());
    }
    if !request.subject.organizations.iter().any(|organization| organization == names::MASTERS) {
        return Ok(());
    }
    let why = format!("use of {APISERVER_CLIENT} signer with {} group is not allowed", names::MASTERS);
    change.refuse(new, &why)
}
