//! Kubernetes' `Status`: how the API says no (and, for deletions, yes).

use crate::{object, render::escape};
use serde_json::{Map, Value, json};

/// Why a request failed, for programs (`apimachinery/pkg/apis/meta/v1/types.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are Kubernetes' own")]
pub enum Reason {
    AlreadyExists,
    BadRequest,
    Conflict,
    Expired,
    Forbidden,
    Gone,
    InternalError,
    Invalid,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    RequestEntityTooLarge,
    ServiceUnavailable,
    Timeout,
    TooManyRequests,
    Unauthorized,
    UnsupportedMediaType,
}

const REASONS: [Reason; 17] = [
    Reason::AlreadyExists,
    Reason::BadRequest,
    Reason::Conflict,
    Reason::Expired,
    Reason::Forbidden,
    Reason::Gone,
    Reason::InternalError,
    Reason::Invalid,
    Reason::MethodNotAllowed,
    Reason::NotAcceptable,
    Reason::NotFound,
    Reason::RequestEntityTooLarge,
    Reason::ServiceUnavailable,
    Reason::Timeout,
    Reason::TooManyRequests,
    Reason::Unauthorized,
    Reason::UnsupportedMediaType,
];

impl Reason {
    /// As it stands on the wire.
    pub fn name(self) -> String {
        // A variant's name is its word on the wire.
        format!("{self:?}")
    }

    fn parse(name: &str) -> Option<Self> {
        REASONS.into_iter().find(|reason| reason.name() == name)
    }
}

/// One cause among several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// For programs: `FieldValueInvalid`.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Which field, where it is one.
    pub field: String,
}

/// What a status is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// The object's name.
    pub name: String,
    /// Its API group.
    pub group: String,
    /// Its resource (or kind, for invalid objects).
    pub kind: String,
    /// Its uid.
    pub uid: String,
    /// The causes.
    pub causes: Vec<Cause>,
    /// After how long to try again; 0 for no hint.
    pub retry_after_seconds: u32,
    /// With which token an expired list can go on; it stands in the status' metadata.
    pub continue_token: String,
}

/// An answer that is no object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The HTTP status code.
    pub code: u16,
    /// Why, for programs.
    pub reason: Option<Reason>,
    /// Why, for people.
    pub message: String,
    /// About what; boxed, so that a status is a small error.
    pub details: Option<Box<Details>>,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

impl Status {
    /// Is it a success?
    pub fn is_success(&self) -> bool {
        self.code < 400
    }

    /// The body of the answer, byte for byte as Kubernetes writes it, with its newline.
    pub fn render(&self) -> Vec<u8> {
        let mut body = Members::default();
        let token = self.details.as_ref().map(|details| details.continue_token.as_str());
        let mut metadata = Members::default();
        metadata.unless_empty("continue", token.unwrap_or_default());
        body.text("kind", "Status").text("apiVersion", "v1").raw("metadata", &metadata.finish());
        body.text("status", if self.is_success() { "Success" } else { "Failure" });
        body.unless_empty("message", &self.message);
        if let Some(reason) = self.reason {
            body.text("reason", &reason.name());
        }
        let only_a_token = token.is_some_and(|token| !token.is_empty());
        if let Some(details) = self.details.as_ref().filter(|_| !only_a_token) {
            body.raw("details", &details.render());
        }
        // A success bears no code in its body.
        if !self.is_success() {
            body.raw("code", &self.code.to_string());
        }
        let mut bytes = escape(&body.finish()).into_bytes();
        bytes.push(b'\n');
        bytes
    }

    /// The same as a value, for objects that hold a status (watch events).
    pub fn to_value(&self) -> Value {
        serde_json::from_slice(&self.render()).expect("render writes JSON")
    }

    /// Reads a status; `None` where the object is none. A code that is missing or impossible is
    /// taken from the HTTP answer.
    pub fn from_value(value: &Value, http_code: u16) -> Option<Self> {
        if object::kind(value) != "Status" {
            return None;
        }
        let code = value.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
        Some(Self {
            code: code.filter(|code| (100..600).contains(code)).unwrap_or(http_code),
            reason: Reason::parse(object::text(value, "reason")),
            message: object::text(value, "message").to_owned(),
            details: value.get("details").and_then(Value::as_object).map(Details::from_members).map(Box::new),
        })
    }
}

impl Details {
    fn render(&self) -> String {
        let mut members = Members::default();
        members.unless_empty("name", &self.name).unless_empty("group", &self.group);
        members.unless_empty("kind", &self.kind).unless_empty("uid", &self.uid);
        if !self.causes.is_empty() {
            let causes: Vec<String> = self.causes.iter().map(Cause::render).collect();
            members.raw("causes", &format!("[{}]", causes.join(",")));
        }
        if self.retry_after_seconds > 0 {
            members.raw("retryAfterSeconds", &self.retry_after_seconds.to_string());
        }
        members.finish()
    }

    fn from_members(members: &Map<String, Value>) -> Self {
        let text = |of: &Map<String, Value>, name: &str| {
            of.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let causes = members.get("causes").and_then(Value::as_array).into_iter().flatten();
        let seconds = members.get("retryAfterSeconds").and_then(Value::as_u64);
        Self {
            name: text(members, "name"),
            group: text(members, "group"),
            kind: text(members, "kind"),
            uid: text(members, "uid"),
            causes: causes
                .filter_map(Value::as_object)
                .map(|cause| Cause {
                    reason: text(cause, "reason"),
                    message: text(cause, "message"),
                    field: text(cause, "field"),
                })
                .collect(),
            retry_after_seconds: seconds.and_then(|s| u32::try_from(s).ok()).unwrap_or(0),
            continue_token: String::new(),
        }
    }
}

impl Cause {
    fn render(&self) -> String {
        let mut members = Members::default();
        members.unless_empty("reason", &self.reason);
        members.unless_empty("message", &self.message).unless_empty("field", &self.field);
        members.finish()
    }
}

/// The members of a JSON object in the order in which they are added.
#[derive(Default)]
struct Members(Vec<String>);

impl Members {
    fn raw(&mut self, name: &str, json: &str) -> &mut Self {
        self.0.push(format!("\"{name}\":{json}"));
        self
    }

    fn text(&mut self, name: &str, text: &str) -> &mut Self {
        self.raw(name, &json!(text).to_string())
    }

    fn unless_empty(&mut self, name: &str, text: &str) -> &mut Self {
        if text.is_empty() { self } else { self.text(name, text) }
    }

    fn finish(self) -> String {
        format!("{{{}}}", self.0.join(","))
    }
}

#[cfg(test)]
mod tests;
