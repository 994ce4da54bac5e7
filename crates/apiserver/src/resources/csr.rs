//! CertificateSigningRequests: what the server writes into them, and what it refuses
//! (`pkg/registry/certificates/certificates/strategy.go`,
//! `pkg/apis/certificates/validation/validation.go`). Who may approve and sign is asked of admission.

use super::{Target, cause};
use crate::admit::{self, Change};
use crate::server::Server;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ravelin_api::object;
use ravelin_api::{Cause, Status, time};
use ravelin_pki::{CertificateDer, RequestRefused, SigningRequest, inspect};
use serde_json::{Value, json};
use std::collections::BTreeSet;

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
/// The shortest life that may be asked for.
const MIN_EXPIRATION_SECONDS: i64 = 600;
/// The conditions that, once there, stay, and are `True`.
const DECISIONS: [&str; 3] = ["Approved", "Denied", "Failed"];
const CONDITIONS: &str = "status.conditions";

/// Writes into a new request who makes it, and checks what it asks for. Nobody makes one that is
/// approved already.
pub(super) fn prepare_create(server: &Server, change: &Change<'_>, new: &mut Value) -> Result<(), Status> {
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
    let request = request_of(new);
    let causes = causes(new, request.as_ref().err());
    match request {
        Ok(request) if causes.is_empty() => admit::restrict_subject(server, change, (new, &request)),
        _ => Err(change.target.invalid(causes)),
    }
}

fn request_of(csr: &Value) -> Result<SigningRequest, String> {
    let encoded = object::text(csr, "spec.request");
    let pem = STANDARD.decode(encoded).ok().and_then(|pem| String::from_utf8(pem).ok());
    let pem = pem.filter(|pem| pem.contains("-----BEGIN CERTIFICATE REQUEST-----"));
    let pem = pem.ok_or_else(|| "PEM block type must be CERTIFICATE REQUEST".to_owned())?;
    SigningRequest::parse(&pem).map_err(|refused| match refused {
        // Go's words for a signature of the one kind of key that is read here.
        RequestRefused::Signature => "x509: ECDSA verification failure".to_owned(),
        other => other.to_string(),
    })
}

fn causes(csr: &Value, bad_request: Option<&String>) -> Vec<Cause> {
    let mut causes = Vec::new();
    if let Some(why) = bad_request {
        let given = object::at(csr, "spec.request").unwrap_or(&Value::Null);
        causes.push(invalid("spec.request", given, why));
    }
    let usages = object::list(csr, "spec.usages");
    if usages.is_empty() {
        causes.push(required("spec.usages"));
    }
    for (i, usage) in usages.iter().enumerate() {
        if !usage.as_str().is_some_and(|usage| USAGES.contains(&usage)) {
            causes.push(unsupported(&format!("spec.usages[{i}]"), usage, &USAGES));
        }
    }
    for (i, usage) in usages.iter().enumerate() {
        if usages[..i].contains(usage) {
            causes.push(duplicate(&format!("spec.usages[{i}]"), usage));
        }
    }
    causes.extend(signer_causes(object::text(csr, "spec.signerName")));
    let seconds = object::at(csr, "spec.expirationSeconds").and_then(Value::as_i64);
    if let Some(seconds) = seconds.filter(|seconds| *seconds < MIN_EXPIRATION_SECONDS) {
        let why = "may not specify a duration less than 600 seconds (10 minutes)";
        causes.push(invalid("spec.expirationSeconds", &json!(seconds), why));
    }
    causes
}

/// `ValidateSignerName` (`pkg/apis/core/validation/names.go`).
fn signer_causes(signer: &str) -> Vec<Cause> {
    const FIELD: &str = "spec.signerName";
    if signer.is_empty() {
        return vec![required(FIELD)];
    }
    if signer == "kubernetes.io/legacy-unknown" {
        return vec![invalid(
            FIELD,
            &json!(signer),
            "the legacy signerName is not allowed via this API version",
        )];
    }
    let Some((domain, path)) = signer.split_once('/').filter(|(_, path)| !path.contains('/')) else {
        let why = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return vec![invalid(FIELD, &json!(signer), why)];
    };
    let mut causes = Vec::new();
    let faulty = |labels: &str, faults: fn(&str) -> Vec<String>| {
        labels
            .split('.')
            .map(|label| (label.to_owned(), faults(label)))
            .find(|(_, faults)| !faults.is_empty())
    };
    for (segment, found) in
        [(domain, faulty(domain, super::name::label)), (path, faulty(path, super::name::subdomain))]
    {
        let (label, faults) = found.unwrap_or_default();
        for fault in faults {
            let why = format!("validating label {label:?}: {fault}");
            causes.push(invalid(FIELD, &json!(segment), &why));
        }
        if segment == domain && !domain.contains('.') {
            let why = "should be a domain with at least two segments separated by dots";
            causes.push(invalid(FIELD, &json!(domain), why));
        }
    }
    causes
}

/// An approval changes the conditions and nothing else of the request.
pub(super) fn prepare_approval(
    server: &Server,
    change: &Change<'_>,
    new: &mut Value,
    present: &Value,
) -> Result<(), Status> {
    let mut conditions = conditions_in(new);
    add_times(&mut conditions, (present, &time::format(server.host.now())));
    let mut status = present.get("status").cloned().unwrap_or_else(|| json!({}));
    status["conditions"] = json!(conditions);
    keep_spec(new, present);
    new["status"] = status;
    check_update(change.target, (new, present), Vec::new())?;
    admit::may_approve(server, change, present)
}

/// A signer sets the certificate (and says when it failed); approving is not its business.
pub(super) fn prepare_status(
    server: &Server,
    change: &Change<'_>,
    new: &mut Value,
    present: &Value,
) -> Result<(), Status> {
    let mut conditions = conditions_in(new);
    for kind in ["Approved", "Denied"] {
        keep_decisions(&mut conditions, (present, kind));
    }
    add_times(&mut conditions, (present, &time::format(server.host.now())));
    keep_spec(new, present);
    if conditions.is_empty() {
        object::section_mut(new, "status").remove("conditions");
    } else {
        object::section_mut(new, "status").insert("conditions".into(), json!(conditions));
    }
    let mut causes = Vec::new();
    for kind in ["Approved", "Denied"] {
        let (count, before) = (of_kind(new, kind).len(), of_kind(present, kind).len());
        if count > before {
            let why = format!("updates may not add a condition of type \"{kind}\"");
            causes.push(forbidden(CONDITIONS, &why));
        }
    }
    let certificate = |csr: &Value| object::text(csr, "status.certificate").to_owned();
    let (certificate, before) = (certificate(new), certificate(present));
    let changed = certificate != before;
    if changed && !before.is_empty() {
        causes.push(forbidden("status.certificate", "updates may not modify existing certificate content"));
    }
    if let Some(why) = bad_certificate(&certificate).filter(|_| changed) {
        causes.insert(0, invalid("status.certificate", &json!("<certificate data>"), &why));
    }
    check_update(change.target, (new, present), causes)?;
    if changed || conditions_in(new) != conditions_in(present) {
        return admit::may_sign(server, change, present);
    }
    Ok(())
}

fn keep_spec(new: &mut Value, present: &Value) {
    match present.get("spec") {
        Some(spec) => new["spec"] = spec.clone(),
        None => drop(new.as_object_mut().map(|members| members.remove("spec"))),
    }
}

fn conditions_in(csr: &Value) -> Vec<Value> {
    object::list(csr, CONDITIONS).to_vec()
}

/// Decisions that are there stay as they are, where there are as many as before; else that is told
/// (`preserveConditionInstances`).
fn keep_decisions(conditions: &mut [Value], (present, kind): (&Value, &str)) {
    let old = of_kind(present, kind);
    let mut new: Vec<&mut Value> =
        conditions.iter_mut().filter(|condition| object::text(condition, "type") == kind).collect();
    if old.len() == new.len() {
        for (new, old) in new.iter_mut().zip(old) {
            **new = old.clone();
        }
    }
}

/// Conditions bear the times of their change (`populateConditionTimestamps`).
fn add_times(conditions: &mut [Value], (present, now): (&Value, &str)) {
    for condition in conditions {
        let kind = object::text(condition, "type").to_owned();
        let status = object::text(condition, "status").to_owned();
        let before = of_kind(present, &kind).into_iter().find_map(|old| {
            let since = object::text(old, "lastTransitionTime");
            (object::text(old, "status") == status && !since.is_empty()).then(|| since.to_owned())
        });
        let Some(members) = condition.as_object_mut() else { continue };
        let missing =
            |value: Option<&Value>| value.is_none_or(|value| value.as_str().is_none_or(str::is_empty));
        if missing(members.get("lastUpdateTime")) {
            members.insert("lastUpdateTime".into(), json!(now));
        }
        if missing(members.get("lastTransitionTime")) {
            members.insert("lastTransitionTime".into(), json!(before.as_deref().unwrap_or(now)));
        }
    }
}

fn of_kind<'a>(csr: &'a Value, kind: &str) -> Vec<&'a Value> {
    let conditions = object::list(csr, CONDITIONS).iter();
    conditions.filter(|condition| object::text(condition, "type") == kind).collect()
}

fn check_update(target: &Target, (new, present): (&Value, &Value), more: Vec<Cause>) -> Result<(), Status> {
    let mut causes = condition_causes(new, present);
    for kind in DECISIONS {
        if of_kind(new, kind).len() < of_kind(present, kind).len() {
            let why = format!("updates may not remove a condition of type \"{kind}\"");
            causes.push(forbidden(CONDITIONS, &why));
        }
    }
    causes.extend(more);
    if causes.is_empty() { Ok(()) } else { Err(target.invalid(causes)) }
}

fn condition_causes(new: &Value, present: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, condition) in object::list(new, CONDITIONS).iter().enumerate() {
        let (kind, status) = (object::text(condition, "type"), object::text(condition, "status"));
        if kind.is_empty() {
            causes.push(required(&format!("{CONDITIONS}[{i}].type")));
        }
        let supported: &[&str] =
            if DECISIONS.contains(&kind) { &["True"] } else { &["False", "True", "Unknown"] };
        let field = format!("{CONDITIONS}[{i}].status");
        if status.is_empty() {
            causes.push(required(&field));
        } else if !supported.contains(&status) {
            causes.push(unsupported(&field, &json!(status), supported));
        }
        if !seen.insert(kind) && of_kind(present, kind).len() < 2 {
            causes.push(duplicate(&format!("{CONDITIONS}[{i}].type"), &json!(kind)));
        }
    }
    let both = |csr: &Value| !of_kind(csr, "Approved").is_empty() && !of_kind(csr, "Denied").is_empty();
    if both(new) && !both(present) {
        let why = "Approved and Denied conditions are mutually exclusive";
        causes.push(invalid(CONDITIONS, &json!("Denied"), why));
    }
    causes
}

/// What is wrong with what a signer sets: PEM blocks of certificates, and nothing else
/// (`validateCertificate`).
fn bad_certificate(encoded: &str) -> Option<String> {
    if encoded.is_empty() {
        return None;
    }
    let pem = STANDARD.decode(encoded).ok().and_then(|pem| String::from_utf8(pem).ok()).unwrap_or_default();
    let mut blocks = 0;
    let mut rest = pem.as_str();
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let Some((kind, body)) = after.split_once("-----") else { break };
        let Some((body, behind)) = body.split_once(&format!("-----END {kind}-----")) else { break };
        rest = behind;
        if kind != "CERTIFICATE" {
            return Some(format!("only CERTIFICATE PEM blocks are allowed, found {kind:?}"));
        }
        if body.contains(':') {
            return Some("no PEM block headers are permitted".to_owned());
        }
        blocks += 1;
        let text: String = body.split_whitespace().collect();
        let der = STANDARD.decode(&text).unwrap_or_default();
        if der.is_empty() {
            return Some("found CERTIFICATE PEM block containing 0 certificates".to_owned());
        }
        if inspect(&CertificateDer::from(der)).is_none() {
            return Some("x509: malformed certificate".to_owned());
        }
    }
    (blocks == 0).then(|| "must contain at least one CERTIFICATE PEM block".to_owned())
}

fn invalid(field: &str, value: &Value, why: &str) -> Cause {
    cause("FieldValueInvalid", field, format!("Invalid value: {value}: {why}"))
}

fn required(field: &str) -> Cause {
    cause("FieldValueRequired", field, "Required value")
}

fn forbidden(field: &str, why: &str) -> Cause {
    cause("FieldValueForbidden", field, format!("Forbidden: {why}"))
}

fn duplicate(field: &str, value: &Value) -> Cause {
    cause("FieldValueDuplicate", field, format!("Duplicate value: {value}"))
}

fn unsupported(field: &str, value: &Value, supported: &[&str]) -> Cause {
    let supported: Vec<String> = supported.iter().map(|value| format!("{value:?}")).collect();
    let message = format!("Unsupported value: {value}: supported values: {}", supported.join(", "));
    cause("FieldValueNotSupported", field, message)
}
