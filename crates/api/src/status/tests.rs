//! The texts of errors, as a real apiserver sends them.

use crate::{Cause, GroupResource, Status};

const SECRETS: GroupResource<'static> = GroupResource { group: "", resource: "secrets" };
const PODS: GroupResource<'static> = GroupResource { group: "", resource: "pods" };
const LEASES: GroupResource<'static> = GroupResource { group: "coordination.k8s.io", resource: "leases" };
const NONE: GroupResource<'static> = GroupResource { group: "", resource: "" };

/// Bodies recorded from a real apiserver, byte for byte.
#[test]
fn bodies_are_byte_for_byte_as_recorded() {
    let why = "User \"alice\" cannot get resource \"secrets\" in API group \"\" in the namespace \"default\"";
    let cases = [
        (
            Status::unauthorized(),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}"#,
        ),
        (
            Status::forbidden(SECRETS, "s1", why),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"secrets \"s1\" is forbidden: User \"alice\" cannot get resource \"secrets\" in API group \"\" in the namespace \"default\"","reason":"Forbidden","details":{"name":"s1","kind":"secrets"},"code":403}"#,
        ),
        (
            Status::not_found(PODS, "nope"),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \"nope\" not found","reason":"NotFound","details":{"name":"nope","kind":"pods"},"code":404}"#,
        ),
        (
            Status::plain_error(
                r#"Get "https://127.0.0.1:10458/containerLogs/default/krefused/c": dial tcp 127.0.0.1:10458: connect: connection refused"#,
            ),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Get \"https://127.0.0.1:10458/containerLogs/default/krefused/c\": dial tcp 127.0.0.1:10458: connect: connection refused","code":500}"#,
        ),
    ];
    for (status, body) in cases {
        assert_eq!(String::from_utf8(status.render()).unwrap(), format!("{body}\n"));
        assert_eq!(Status::from_value(&status.to_value(), 0), Some(status));
    }
}

#[test]
fn messages_are_word_for_word_as_recorded() {
    let csr = GroupResource { group: "certificates.k8s.io", resource: "CertificateSigningRequest" };
    let cause = |reason: &str, message: &str, field: &str| Cause {
        reason: reason.to_owned(),
        message: message.to_owned(),
        field: field.to_owned(),
    };
    let signer = cause(
        "FieldValueInvalid",
        "Invalid value: \"foo\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
        "spec.signerName",
    );
    for (status, code, message) in [
        (
            Status::forbidden(NONE, "", "User \"alice\" cannot get path \"/metrics\""),
            403,
            "forbidden: User \"alice\" cannot get path \"/metrics\"",
        ),
        (Status::forbidden(LEASES, "", "x"), 403, "leases.coordination.k8s.io is forbidden: x"),
        (Status::already_exists(PODS, "kk"), 409, "pods \"kk\" already exists"),
        (
            Status::modified_meanwhile(PODS, "kk"),
            409,
            "Operation cannot be fulfilled on pods \"kk\": the object has been modified; please apply your changes to the latest version and try again",
        ),
        (
            Status::method_not_allowed(),
            405,
            "the server does not allow this method on the requested resource",
        ),
        (Status::no_such_resource(), 404, "the server could not find the requested resource"),
        (
            Status::generic(404, "", (GroupResource { group: "", resource: "pods/log" }, "ka404"), "x"),
            404,
            "the server could not find the requested resource ( pods/log ka404)",
        ),
        (
            Status::generic(
                403,
                "",
                (GroupResource { group: "", resource: "pods/log" }, "ka403"),
                "fake kubelet says 403 Forbidden\n",
            ),
            403,
            "fake kubelet says 403 Forbidden\n ( pods/log ka403)",
        ),
        (
            Status::generic(401, "", (GroupResource { group: "", resource: "pods/log" }, "ka401"), "x"),
            401,
            "the server has asked for the client to provide credentials ( pods/log ka401)",
        ),
        (Status::too_large("limit is 3145728"), 413, "Request entity too large: limit is 3145728"),
        (
            Status::invalid(csr, "c-nsl", vec![signer]),
            422,
            "CertificateSigningRequest.certificates.k8s.io \"c-nsl\" is invalid: spec.signerName: Invalid value: \"foo\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
        ),
    ] {
        assert_eq!((status.code, status.message.as_str()), (code, message));
    }
}
