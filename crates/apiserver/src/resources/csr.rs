//! Certificate signing requests: who asks is set by the server, who may approve and sign is
//! checked per signer.
//!
//! Upstream these are the strategy of `pkg/registry/certificates` and the admission plugins
//! `CertificateApproval`, `CertificateSigning` and `CertificateSubjectRestriction`.

use super::{Target, cause};
use crate::admit::Change;
use crate::server::Server;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ravelin_api::object;
use ravelin_api::{Cause, Status, time};
use ravelin_auth::Attributes;
use ravelin_pki::SigningRequest;
use serde_json::{Value, json};

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];
/// The shortest life that may be asked for (`MinCertificateExpirationSeconds`).
const MIN_EXPIRATION_SECONDS: i64 = 600;
const APISERVER_CLIENT: &str = "kubernetes.io/kube-apiserver-client";

/// Writes into a new request who makes it, and checks what it asks for.
pub(super) fn prepare_create(change: &Change<'_>, new: &mut Value) -> Result<(), Status> {
    let spec = object::section_mut(new, "spec");
    for field in ["username", "uid", "groups", "extra"] {
        spec.remove(field);
    }
    spec.insert("username".into(), json!(change.user.name));
    if !change.user.uid.is_empty() {
        spec.insert("uid".into(), json!(change.user.uid));
    }
    spec.insert("groups".into(), json!(change.user.groups));
    if !change.user.extra.is_empty() {
        spec.insert("extra".into(), json!(change.user.extra));
    }
    new["status"] = json!({});
    let causes = causes(new);
    if !causes.is_empty() {
        return Err(change.target.invalid(causes));
    }
    let masters = request_of(new).is_ok_and(|request| {
        request.subject.organizations.iter().any(|organization| organization == "system:masters")
    });
    if object::text(new, "spec.signerName") == APISERVER_CLIENT && masters {
        let why = format!("use of {APISERVER_CLIENT} signer with system:masters group is not allowed");
        return Err(change.target.forbidden(&why));
    }
    Ok(())
}

fn request_of(csr: &Value) -> Result<SigningRequest, String> {
    let encoded = object::text(csr, "spec.request");
    let pem = STANDARD.decode(encoded).ok().and_then(|pem| String::from_utf8(pem).ok());
    match pem {
        Some(pem) if pem.contains("-----BEGIN CERTIFICATE REQUEST-----") => {
            SigningRequest::parse(&pem).map_err(|refused| refused.to_string())
        }
        _ => Err("PEM block type must be CERTIFICATE REQUEST".to_owned()),
    }
}

fn causes(csr: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if let Err(why) = request_of(csr) {
        let message = format!("Invalid value: {:?}: {why}", object::text(csr, "spec.request"));
        causes.push(cause("FieldValueInvalid", "spec.request", message));
    }
    let usages = object::list(csr, "spec.usages");
    if usages.is_empty() {
        causes.push(cause(
            "FieldValueRequired",
            "spec.usages",
            "Required value: usages are required for certificatesigningrequests",
        ));
    }
    for (i, usage) in usages.iter().enumerate() {
        if !usage.as_str().is_some_and(|usage| USAGES.contains(&usage)) {
            let supported = USAGES.map(|usage| format!("{usage:?}")).join(", ");
            let message = format!("Unsupported value: {usage}: supported values: {supported}");
            causes.push(cause("FieldValueNotSupported", &format!("spec.usages[{i}]"), message));
        }
    }
    causes.extend(signer_cause(object::text(csr, "spec.signerName")));
    let seconds = object::at(csr, "spec.expirationSeconds").and_then(Value::as_i64);
    if seconds.is_some_and(|seconds| seconds < MIN_EXPIRATION_SECONDS) {
        let message = "Invalid value: may not specify a duration less than 600 seconds (10 minutes)";
        causes.push(cause("FieldValueInvalid", "spec.expirationSeconds", message));
    }
    causes
}

fn signer_cause(signer: &str) -> Option<Cause> {
    let message = match signer {
        "" => return Some(cause("FieldValueRequired", "spec.signerName", "Required value")),
        "kubernetes.io/legacy-unknown" => "the legacy signerName is not allowed via this API version",
        _ => match signer.split_once('/') {
            Some((domain, path)) if domain.contains('.') && !path.is_empty() => return None,
            _ => "must be a fully qualified domain and path of the form 'example.com/signer-name'",
        },
    };
    Some(cause("FieldValueInvalid", "spec.signerName", format!("Invalid value: {signer:?}: {message}")))
}

/// An approval changes the conditions and nothing else.
pub(super) fn prepare_approval(
    server: &Server,
    change: &Change<'_>,
    new: &mut Value,
    present: &Value,
) -> Result<(), Status> {
    let mut conditions = object::at(new, "status.conditions").cloned().unwrap_or_else(|| json!([]));
    let now = time::format(server.host.now());
    for condition in conditions.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        for field in ["lastUpdateTime", "lastTransitionTime"] {
            if condition.get(field).is_none_or(Value::is_null) {
                condition.insert(field.to_owned(), json!(now));
            }
        }
    }
    *new = present.clone();
    object::section_mut(new, "status").insert("conditions".into(), conditions);
    may_use_signer(server, change, present, "approve")?;
    check_conditions(change.target, new, present)
}

/// A signer sets the certificate (and says when it failed); approving is not its business.
pub(super) fn prepare_status(
    server: &Server,
    change: &Change<'_>,
    new: &mut Value,
    present: &Value,
) -> Result<(), Status> {
    let status = new.get("status").cloned().unwrap_or_else(|| json!({}));
    *new = present.clone();
    new["status"] = status;
    let certificate = |csr: &Value| object::text(csr, "status.certificate").to_owned();
    let failed_now = conditions_of(new, "Failed") != conditions_of(present, "Failed");
    if certificate(new) != certificate(present) || failed_now {
        may_use_signer(server, change, present, "sign")?;
    }
    for decided in ["Approved", "Denied"] {
        if conditions_of(new, decided) != conditions_of(present, decided) {
            let message = format!("Forbidden: updates may not change a condition of type \"{decided}\"");
            let causes = vec![cause("FieldValueForbidden", "status.conditions", message)];
            return Err(change.target.invalid(causes));
        }
    }
    check_conditions(change.target, new, present)?;
    check_certificate(change.target, &certificate(new), &certificate(present))
}

fn check_certificate(target: &Target, new: &str, present: &str) -> Result<(), Status> {
    if new == present {
        return Ok(());
    }
    let message = if !present.is_empty() {
        "Forbidden: updates may not modify existing certificate content".to_owned()
    } else {
        let pem = STANDARD.decode(new).ok().and_then(|pem| String::from_utf8(pem).ok()).unwrap_or_default();
        if pem.contains("-----BEGIN CERTIFICATE-----") {
            return Ok(());
        }
        "Invalid value: \"<certificate data>\": must contain at least one CERTIFICATE PEM block".to_owned()
    };
    let reason = if present.is_empty() { "FieldValueInvalid" } else { "FieldValueForbidden" };
    Err(target.invalid(vec![cause(reason, "status.certificate", message)]))
}

fn conditions_of<'a>(csr: &'a Value, kind: &str) -> Vec<&'a Value> {
    let conditions = object::list(csr, "status.conditions").iter();
    conditions.filter(|condition| object::text(condition, "type") == kind).collect()
}

fn check_conditions(target: &Target, new: &Value, present: &Value) -> Result<(), Status> {
    let field = "status.conditions";
    for (i, condition) in object::list(new, field).iter().enumerate() {
        let status = object::text(condition, "status");
        let decides = matches!(object::text(condition, "type"), "Approved" | "Denied" | "Failed");
        if decides && status != "True" {
            let message = format!("Unsupported value: {status:?}: supported values: \"True\"");
            let field = format!("{field}[{i}].status");
            return Err(target.invalid(vec![cause("FieldValueNotSupported", &field, message)]));
        }
    }
    for kind in ["Approved", "Denied", "Failed"] {
        if !conditions_of(present, kind).is_empty() && conditions_of(new, kind).is_empty() {
            let message = format!("Forbidden: updates may not remove a condition of type \"{kind}\"");
            return Err(target.invalid(vec![cause("FieldValueForbidden", field, message)]));
        }
    }
    if !conditions_of(new, "Approved").is_empty() && !conditions_of(new, "Denied").is_empty() {
        let message = "Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive";
        return Err(target.invalid(vec![cause("FieldValueInvalid", field, message)]));
    }
    Ok(())
}

/// May the user approve (or sign) what this signer signs? By its name, or by its whole domain.
fn may_use_signer(server: &Server, change: &Change<'_>, csr: &Value, verb: &str) -> Result<(), Status> {
    let signer = object::text(csr, "spec.signerName");
    let domain = signer.split_once('/').map_or(signer, |(domain, _)| domain);
    let allowed = [signer.to_owned(), format!("{domain}/*")].into_iter().any(|name| {
        let attributes = Attributes {
            user: change.user.clone(),
            verb: verb.to_owned(),
            group: "certificates.k8s.io".to_owned(),
            version: "*".to_owned(),
            resource: "signers".to_owned(),
            name,
            resource_request: true,
            ..Attributes::default()
        };
        server.authorization.decide(server, &attributes).is_allowed()
    });
    if allowed {
        return Ok(());
    }
    Err(change.target.forbidden(&format!("user not permitted to {verb} requests with signerName {signer:?}")))
}
