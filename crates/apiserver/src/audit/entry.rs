//! One entry of the audit log, and how it is written.

use super::lasts;
use crate::impersonate::Impersonated;
use http::header::{HeaderMap, HeaderValue, USER_AGENT};
use http::{StatusCode, Uri};
use jiff::Timestamp;
use ravelin_api::{RequestInfo, Status, object, time};
use ravelin_auth::UserInfo;
use ravelin_transport::PeerInfo;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

/// The longest user agent that is kept whole (`maxUserAgentLength`).
const MAX_USER_AGENT: usize = 1024;

/// What a request was answered with.
pub(crate) enum Outcome {
    /// An object, a stream, a text: the code says all.
    Code,
    /// A status.
    Status(Box<Status>),
}

/// What is told of the object that a request brings: its own name, namespace, uid and version, where the
/// path says nothing of them (`LogRequestObject` of `apiserver/pkg/audit`).
#[derive(Clone, Debug, Default)]
pub(crate) struct Written(Arc<OnceLock<[String; 4]>>);

impl Written {
    /// Remembers the object of a body.
    pub(crate) fn remember(&self, given: &Value) {
        let texts = [
            object::namespace(given),
            object::name(given),
            object::uid(given),
            object::resource_version(given),
        ];
        // The first counts; nobody reads a second.
        let _ = self.0.set(texts.map(str::to_owned));
    }
}

/// What is known of a request.
pub(crate) struct Entry {
    id: String,
    uri: String,
    received: Timestamp,
    sources: Vec<IpAddr>,
    agent: String,
    pub(super) lasts: bool,
    pub(super) user: Option<UserInfo>,
    info: Option<RequestInfo>,
    written: Written,
    impersonated: Option<Impersonated>,
    annotations: BTreeMap<&'static str, String>,
}

impl Entry {
    pub(super) fn begin(
        id: &HeaderValue,
        received: Timestamp,
        (uri, headers): (&Uri, &HeaderMap),
        peer: &PeerInfo,
    ) -> Self {
        Self {
            id: lossy(id),
            uri: uri.path_and_query().map_or_else(|| uri.path().to_owned(), ToString::to_string),
            received,
            sources: sources(headers, peer),
            agent: headers.get(USER_AGENT).map(agent).unwrap_or_default(),
            lasts: false,
            user: None,
            info: None,
            written: Written::default(),
            impersonated: None,
            annotations: BTreeMap::new(),
        }
    }

    /// What it is about.
    pub(crate) fn about(&mut self, info: &RequestInfo) {
        self.lasts = lasts(info);
        self.info = Some(info.clone());
    }

    /// Where it will be remembered what it writes.
    pub(crate) fn writes(&mut self, written: &Written) {
        self.written = written.clone();
    }

    /// Who makes it.
    pub(crate) fn by(&mut self, user: &UserInfo) {
        self.user = Some(user.clone());
    }

    /// As whom it goes on.
    pub(crate) fn impersonated(&mut self, impersonated: &Impersonated) {
        self.impersonated = Some(impersonated.clone());
    }

    /// Adds an annotation.
    pub(crate) fn annotate(&mut self, key: &'static str, value: impl Into<String>) {
        self.annotations.insert(key, value.into());
    }

    /// May it be done, and why (`apiserver/pkg/endpoints/filters/authorization.go`)?
    pub(crate) fn decided(&mut self, allowed: bool, reason: &str) {
        self.annotate("authorization.k8s.io/decision", if allowed { "allow" } else { "forbid" });
        self.annotate("authorization.k8s.io/reason", reason);
    }

    /// One line of the log. The members stand in the order in which Kubernetes declares them.
    pub(super) fn event(&self, stage: &str, response_status: &str, now: Timestamp) -> String {
        let mut event = Members::default();
        event.text("kind", "Event").text("apiVersion", "audit.k8s.io/v1").text("level", "Metadata");
        event.text("auditID", &self.id).text("stage", stage).text("requestURI", &self.uri);
        event.text("verb", self.info.as_ref().map_or("", |info| &info.verb));
        event.raw("user", &self.user.as_ref().map_or_else(|| "{}".to_owned(), user));
        if let Some(impersonated) = &self.impersonated {
            event.raw("impersonatedUser", &user(&impersonated.user));
            if let Some(constraint) = &impersonated.constraint {
                event.raw(
                    "authenticationMetadata",
                    &json!({"impersonationConstraint": constraint}).to_string(),
                );
            }
        }
        if !self.sources.is_empty() {
            event.raw("sourceIPs", &json!(self.sources).to_string());
        }
        event.unless_empty("userAgent", &self.agent);
        if let Some(info) = self.info.as_ref().filter(|info| info.is_resource_request) {
            event.raw("objectRef", &object_ref(info, &self.written));
        }
        event.raw("responseStatus", response_status);
        event.text("requestReceivedTimestamp", &time::format_micro(self.received));
        event.text("stageTimestamp", &time::format_micro(now));
        if !self.annotations.is_empty() {
            event.raw("annotations", &json!(self.annotations).to_string());
        }
        format!("{}\n", escaped(&event.finish()))
    }
}

/// A `responseStatus`, of which only what is bounded is kept.
pub(super) fn response_status(code: StatusCode, outcome: &Outcome) -> String {
    let mut members = Members::default();
    members.raw("metadata", "{}");
    if let Outcome::Status(status) = outcome {
        let value = status.to_value();
        for name in ["status", "message", "reason"] {
            members.unless_empty(name, value.get(name).and_then(|text| text.as_str()).unwrap_or_default());
        }
        if let Some(details) = value.get("details") {
            members.raw("details", &details.to_string());
        }
    }
    members.raw("code", &code.as_u16().to_string());
    members.finish()
}

fn user(user: &UserInfo) -> String {
    let mut members = Members::default();
    members.unless_empty("username", &user.name).unless_empty("uid", &user.uid);
    if !user.groups.is_empty() {
        members.raw("groups", &json!(user.groups).to_string());
    }
    if !user.extra.is_empty() {
        members.raw("extra", &json!(user.extra).to_string());
    }
    members.finish()
}

fn object_ref(info: &RequestInfo, written: &Written) -> String {
    let unwritten = Default::default();
    let [namespace, name, uid, version] = written.0.get().unwrap_or(&unwritten);
    let or = |path: &str, own: &str| if path.is_empty() { own.to_owned() } else { path.to_owned() };
    let mut members = Members::default();
    members
        .unless_empty("resource", &info.resource)
        .unless_empty("namespace", &or(&info.namespace, namespace));
    members.unless_empty("name", &or(&info.name, name)).unless_empty("uid", uid);
    members.unless_empty("apiGroup", &info.group).unless_empty("apiVersion", &info.version);
    members.unless_empty("resourceVersion", version).unless_empty("subresource", &info.subresource);
    members.finish()
}

/// Where a request comes from, by its own word and last by what the connection shows
/// (`apimachinery/pkg/util/net.SourceIPs`).
fn sources(headers: &HeaderMap, peer: &PeerInfo) -> Vec<IpAddr> {
    let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let address = |text: &str| text.trim().parse::<IpAddr>().ok();
    let mut sources: Vec<IpAddr> = said("x-forwarded-for").split(',').filter_map(address).collect();
    if let Some(real) = address(said("x-real-ip")).filter(|real| !sources.contains(real)) {
        sources.push(real);
    }
    let peer = peer.address.socket_addr().map(|peer| peer.ip());
    sources.extend(peer.filter(|peer| sources.last() != Some(peer)));
    sources
}

fn agent(value: &HeaderValue) -> String {
    let whole = lossy(value);
    match whole.char_indices().find(|(at, _)| *at >= MAX_USER_AGENT) {
        Some((at, _)) => format!("{}...TRUNCATED", &whole[..at]),
        None => whole,
    }
}

fn lossy(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// As Go's `encoding/json` escapes within strings; nothing of this can stand outside of them.
fn escaped(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// The members of a JSON object in the order in which they are added.
#[derive(Default)]
struct Members(String);

impl Members {
    fn raw(&mut self, name: &str, json: &str) -> &mut Self {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(&format!("\"{name}\":{json}"));
        self
    }

    fn text(&mut self, name: &str, text: &str) -> &mut Self {
        self.raw(name, &json!(text).to_string())
    }

    fn unless_empty(&mut self, name: &str, text: &str) -> &mut Self {
        if text.is_empty() { self } else { self.text(name, text) }
    }

    fn finish(self) -> String {
        if self.0.is_empty() { "{}".to_owned() } else { self.0 + "}" }
    }
}
