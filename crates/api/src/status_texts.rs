//! The statuses that Kubernetes answers with, word for word
//! (`apimachinery/pkg/api/errors/errors.go`).

use crate::{Cause, Details, GroupResource, Reason, Status};

fn about(resource: GroupResource<'_>, name: &str) -> Option<Box<Details>> {
    boxed(Details {
        name: name.to_owned(),
        group: resource.group.to_owned(),
        kind: resource.resource.to_owned(),
        ..Details::default()
    })
}

fn boxed(details: Details) -> Option<Box<Details>> {
    Some(Box::new(details))
}

fn failure(code: u16, reason: Reason, message: impl Into<String>) -> Status {
    Status { code, reason: Some(reason), message: message.into(), details: None }
}

impl Status {
    /// 401: no credential, or one that is not good.
    pub fn unauthorized() -> Self {
        failure(401, Reason::Unauthorized, "Unauthorized")
    }

    /// 403 for an object (or, with an empty name, a resource), saying `why`.
    pub fn forbidden(resource: GroupResource<'_>, name: &str, why: &str) -> Self {
        let message = match (resource.resource, name) {
            (_, name) if !name.is_empty() => format!("{resource} {name:?} is forbidden: {why}"),
            ("", _) => format!("forbidden: {why}"),
            _ => format!("{resource} is forbidden: {why}"),
        };
        Self { details: about(resource, name), ..failure(403, Reason::Forbidden, message) }
    }

    /// 404 for an object.
    pub fn not_found(resource: GroupResource<'_>, name: &str) -> Self {
        let message = format!("{resource} {name:?} not found");
        Self { details: about(resource, name), ..failure(404, Reason::NotFound, message) }
    }

    /// 409: an object of that name exists.
    pub fn already_exists(resource: GroupResource<'_>, name: &str) -> Self {
        let message = format!("{resource} {name:?} already exists");
        Self { details: about(resource, name), ..failure(409, Reason::AlreadyExists, message) }
    }

    /// 409: every name that was made up exists.
    pub fn generated_name_exists(resource: GroupResource<'_>, name: &str) -> Self {
        let message = format!(
            "{resource} {name:?} already exists, the server was not able to generate a unique name for the object"
        );
        let details =
            about(resource, name).map(|details| Box::new(Details { retry_after_seconds: 1, ..*details }));
        Self { details, ..failure(409, Reason::AlreadyExists, message) }
    }

    /// 409, saying `why`.
    pub fn conflict(resource: GroupResource<'_>, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} {name:?}: {why}");
        Self { details: about(resource, name), ..failure(409, Reason::Conflict, message) }
    }

    /// 409: somebody else changed the object meanwhile.
    pub fn modified_meanwhile(resource: GroupResource<'_>, name: &str) -> Self {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        failure(400, Reason::BadRequest, message)
    }

    /// 405, as routes answer that do not know the method.
    pub fn method_not_allowed() -> Self {
        Self::generic(405, "", (GroupResource { group: "", resource: "" }, ""), "")
    }

    /// 404, as paths answer that no route knows.
    pub fn no_such_resource() -> Self {
        Self::generic(404, "", (GroupResource { group: "", resource: "" }, ""), "")
    }

    /// 405 for a resource that does not support what is asked.
    pub fn method_not_supported(resource: GroupResource<'_>, verb: &str) -> Self {
        let message = format!("{verb} is not supported on resources of kind \"{resource}\"");
        Self { details: about(resource, ""), ..failure(405, Reason::MethodNotAllowed, message) }
    }

    /// 422: an object with bad fields. `kind` is the kind with its group.
    pub fn invalid(kind: GroupResource<'_>, name: &str, causes: Vec<Cause>) -> Self {
        let text = |cause: &Cause| format!("{}: {}", cause.field, cause.message);
        // What is said twice is told once (`ErrorList.ToAggregate`).
        let mut told: Vec<String> = Vec::new();
        for cause in causes.iter().map(text) {
            if !told.contains(&cause) {
                told.push(cause);
            }
        }
        let errors = match told.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{kind} {name:?} is invalid: {errors}");
        let details = about(kind, name).map(|details| Box::new(Details { causes, ..*details }));
        Self { details, ..failure(422, Reason::Invalid, message) }
    }

    /// 413.
    pub fn too_large(message: &str) -> Self {
        failure(413, Reason::RequestEntityTooLarge, format!("Request entity too large: {message}"))
    }

    /// 406, naming what could be had.
    pub fn not_acceptable(message: &str) -> Self {
        failure(406, Reason::NotAcceptable, message)
    }

    /// 415: a body of a media type that is not understood.
    pub fn unsupported_media_type(message: &str) -> Self {
        failure(415, Reason::UnsupportedMediaType, message)
    }

    /// 410: the revision asked for is compacted.
    pub fn expired(message: impl Into<String>) -> Self {
        failure(410, Reason::Expired, message)
    }

    /// 500 with a cause, as Kubernetes wraps what it did not expect.
    pub fn internal_error(error: &str) -> Self {
        let message = format!("Internal error occurred: {error}");
        let causes = vec![Cause { message: error.to_owned(), ..Cause::default() }];
        let details = boxed(Details { causes, ..Details::default() });
        Self { details, ..failure(500, Reason::InternalError, message) }
    }

    /// 500 without a reason: an error that no layer made a status of.
    pub fn plain_error(message: impl Into<String>) -> Self {
        Self { reason: None, ..failure(500, Reason::InternalError, message) }
    }

    /// 503.
    pub fn service_unavailable(message: impl Into<String>) -> Self {
        failure(503, Reason::ServiceUnavailable, message)
    }

    /// 429, to be tried again.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        let details = boxed(Details { retry_after_seconds, ..Details::default() });
        Self { details, ..failure(429, Reason::TooManyRequests, message) }
    }

    /// 504, to be tried again.
    pub fn timeout(message: &str, retry_after_seconds: u32) -> Self {
        let details = boxed(Details { retry_after_seconds, ..Details::default() });
        Self { details, ..failure(504, Reason::Timeout, format!("Timeout: {message}")) }
    }

    /// The success that a deletion answers with.
    pub fn deleted(resource: GroupResource<'_>, name: &str, uid: &str) -> Self {
        let details =
            about(resource, name).map(|details| Box::new(Details { uid: uid.to_owned(), ..*details }));
        Self { code: 200, reason: None, message: String::new(), details }
    }

    /// What Kubernetes makes of an answer that is no status (`NewGenericServerResponse`): of a
    /// kubelet's, or of a route's that does not exist. `about` is the resource and name.
    pub fn generic(code: u16, verb: &str, about: (GroupResource<'_>, &str), server_message: &str) -> Self {
        let (reason, text) = generic_text(code, verb, server_message);
        let (resource, name) = about;
        let verb = verb.to_ascii_lowercase();
        let message = match (resource.resource, name) {
            ("", _) => text,
            (_, "") => format!("{text} ({verb} {resource})"),
            _ => format!("{text} ({verb} {resource} {name})"),
        };
        Self { code, reason, message, details: self::about(resource, name) }
    }
}

fn generic_text(code: u16, verb: &str, server_message: &str) -> (Option<Reason>, String) {
    let (reason, text) = match code {
        400 => (Reason::BadRequest, "the server rejected our request for an unknown reason"),
        401 => (Reason::Unauthorized, "the server has asked for the client to provide credentials"),
        // The server's own words say who is not allowed what.
        403 => (Reason::Forbidden, server_message),
        404 => (Reason::NotFound, "the server could not find the requested resource"),
        405 => (Reason::MethodNotAllowed, "the server does not allow this method on the requested resource"),
        406 => (
            Reason::NotAcceptable,
            if server_message.is_empty() || server_message == "unknown" {
                "the server was unable to respond with a content type that the client supports"
            } else {
                server_message
            },
        ),
        409 if verb == "POST" => (Reason::AlreadyExists, "the server reported a conflict"),
        409 => (Reason::Conflict, "the server reported a conflict"),
        410 => (Reason::Gone, "the server no longer provides the requested resource"),
        413 => (Reason::RequestEntityTooLarge, server_message),
        415 => (Reason::UnsupportedMediaType, server_message),
        422 => (Reason::Invalid, "the server rejected our request due to an error in our request"),
        429 => (
            Reason::TooManyRequests,
            "the server has received too many requests and has asked us to try again later",
        ),
        503 => (Reason::ServiceUnavailable, "the server is currently unable to handle the request"),
        504 => (
            Reason::Timeout,
            "the server was unable to return a response in the time allotted, but may still be processing the request",
        ),
        500.. => {
            let text = format!(
                "an error on the server ({server_message:?}) has prevented the request from succeeding"
            );
            return (Some(Reason::InternalError), text);
        }
        _ => {
            let text = format!(
                "the server responded with the status code {code} but did not return more information"
            );
            return (None, text);
        }
    };
    (Some(reason), text.to_owned())
}
