//! What was asked of the server, by whom, and how it went: the audit log at level Metadata
//! (`apiserver/pkg/apis/audit/v1/types.go`, `apiserver/pkg/audit`).
//!
//! One JSON object a line: one where a request is done with; for those that last (watches, logs,
//! proxied ones) also one where the answer begins; for those that nobody is authenticated for, the
//! latter alone. The stage RequestReceived is left out, as by `omitStages`. There are no bodies in it,
//! and of headers only the user agent and the addresses.

mod entry;

use crate::server::Server;
use bytes::Bytes;
use entry::Entry;
pub(crate) use entry::{Outcome, Written};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use ravelin_api::{RequestInfo, Status};
use ravelin_host::{HostRef, field};
use ravelin_transport::{Body, BoxError, PeerInfo, Response};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

/// The header that names a request.
const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// What an answer adds to its request's entry.
#[derive(Clone, Debug)]
pub(crate) struct Annotation {
    pub(crate) key: &'static str,
    pub(crate) value: String,
}

/// The status that an answer without an error shows, as its extension.
#[derive(Clone, Debug)]
pub(crate) struct Shown(pub(crate) Box<Status>);

/// Ends the entry of a request that was answered with a stream: once nobody holds it any more. A
/// stream holds it as long as it lasts, and its answer bears it as an extension.
#[derive(Clone, Default)]
pub(crate) struct StreamEnd(Arc<Mutex<Unwritten>>);

#[derive(Default)]
struct Unwritten(Option<Rest>);

impl Drop for Unwritten {
    fn drop(&mut self) {
        if let Some(rest) = self.0.take() {
            rest.write();
        }
    }
}

/// The name of a request: the caller's own choice, or a new one (`WithAuditInit`).
pub(crate) fn id(server: &Server, headers: &HeaderMap) -> HeaderValue {
    match headers.get(AUDIT_ID).filter(|id| !id.is_empty()) {
        Some(id) => id.clone(),
        None => {
            let id = server.host.entropy("apiserver/audit-id").uuid();
            HeaderValue::from_str(&id).expect("hexadecimal digits and dashes")
        }
    }
}

/// Puts a request's name into its answer.
pub(crate) fn name(answer: &mut Response, id: &HeaderValue) {
    answer.headers_mut().entry(AUDIT_ID).or_insert_with(|| id.clone());
}

/// What is written down of one request; nothing where there is no log.
pub(crate) struct Audit(Option<Box<Entry>>);

impl Audit {
    pub(crate) fn begin(
        server: &Server,
        id: &HeaderValue,
        (uri, headers): (&http::Uri, &HeaderMap),
        peer: &PeerInfo,
    ) -> Self {
        let wanted = server.config.audit.is_some();
        Self(wanted.then(|| Box::new(Entry::begin(id, server.host.now(), (uri, headers), peer))))
    }

    /// Notes what is known by now.
    pub(crate) fn note(&mut self, note: impl FnOnce(&mut Entry)) {
        if let Some(entry) = &mut self.0 {
            note(entry);
        }
    }

    /// Writes down how it went; of an answer that lasts, also its end.
    pub(crate) fn end(self, server: &Server, answer: Response, outcome: &Outcome) -> Response {
        let (Some(mut entry), Some(config)) = (self.0, &server.config.audit) else { return answer };
        if let Some(annotation) = answer.extensions().get::<Annotation>() {
            entry.annotate(annotation.key, annotation.value.clone());
        }
        let log = Log { host: server.host.clone(), path: config.path.clone() };
        let shown = answer.extensions().get::<Shown>().map(|shown| Outcome::Status(shown.0.clone()));
        let status = entry::response_status(answer.status(), shown.as_ref().unwrap_or(outcome));
        if entry.user.is_none() {
            log.write(&entry.event("ResponseStarted", &status, server.host.now()));
            return answer;
        }
        if !entry.lasts {
            log.write(&entry.event("ResponseComplete", &status, server.host.now()));
            return answer;
        }
        log.write(&entry.event("ResponseStarted", &status, server.host.now()));
        let rest = Rest { log, entry, status };
        if let Some(end) = answer.extensions().get::<StreamEnd>() {
            end.0.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(rest);
            return answer;
        }
        answer.map(|inner| Lasting { inner, rest: Some(rest) }.boxed())
    }
}

/// Does the server go on answering such a request (`BasicLongRunningRequestCheck` with what
/// `cmd/kube-apiserver` gives it)?
pub(crate) fn lasts(info: &RequestInfo) -> bool {
    let parts = ["attach", "exec", "proxy", "log", "portforward"];
    let resource = info.is_resource_request;
    matches!(info.verb.as_str(), "watch" | "proxy") || resource && parts.contains(&info.subresource.as_str())
}

struct Log {
    host: HostRef,
    path: String,
}

impl Log {
    fn write(&self, line: &str) {
        if let Err(error) = self.host.disk().append(&self.path, line.as_bytes()) {
            self.host.observe("apiserver.audit-failed", &[field("error", error)]);
        }
    }
}

struct Rest {
    log: Log,
    entry: Box<Entry>,
    status: String,
}

impl Rest {
    fn write(self) {
        let now = self.log.host.now();
        self.log.write(&self.entry.event("ResponseComplete", &self.status, now));
    }
}

/// The body of an answer that lasts; its end is written down, also where the caller went away.
struct Lasting {
    inner: Body,
    rest: Option<Rest>,
}

impl http_body::Body for Lasting {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if !matches!(frame, Some(Ok(_)))
            && let Some(rest) = self.rest.take()
        {
            rest.write();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        if let Some(rest) = self.rest.take() {
            rest.write();
        }
    }
}
