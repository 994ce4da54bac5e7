//! The workloads that answer probes over HTTP and HTTPS.

use super::Container;
use crate::{Ledger, Received};
use async_trait::async_trait;
use http::StatusCode;
use jiff::SignedDuration;
use ravelin_host::{Endpoint, HostRef, Task};
use ravelin_pki::{Profile, San, Subject, Usage};
use ravelin_transport::{Handler, PeerInfo, Request, Response, Server, TlsServer, body, collect};
use std::io;
use std::sync::Arc;

/// The longest body that a workload reads.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// How long a workload's own certificate is good.
const CERTIFICATE_LIFETIME: SignedDuration = SignedDuration::from_hours(365 * 24);

pub(super) async fn http(container: &Container<'_>, port: u16) -> io::Result<Task> {
    serve(container, port, None).await
}

pub(super) async fn https(container: &Container<'_>, port: u16) -> io::Result<Task> {
    let (host, pod) = (&container.sandbox.host, &container.sandbox.pod);
    let now = host.now();
    let profile = Profile {
        subject: Subject { common_name: pod.name.clone(), organizations: vec![] },
        sans: host.addresses().into_iter().map(San::Ip).collect(),
        usages: vec![Usage::Server],
        not_before: now - SignedDuration::from_hours(1),
        not_after: now + CERTIFICATE_LIFETIME,
    };
    let mut entropy = host.entropy(&format!("workload certificate {}", pod.uid));
    let identity = ravelin_pki::self_signed(&profile, &mut entropy);
    serve(container, port, Some(Arc::new(TlsServer::new(identity)))).await
}

async fn serve(container: &Container<'_>, port: u16, tls: Option<Arc<TlsServer>>) -> io::Result<Task> {
    let host = container.sandbox.host.clone();
    let address = host.addresses().first().copied().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let listener = host.listen(&Endpoint::tcp(address, port)).await?;
    let workload = Workload { host: host.clone(), ledger: Arc::clone(container.ledger) };
    Ok(Server { host, listener, tls, handler: Arc::new(workload) }.run())
}

struct Workload {
    host: HostRef,
    ledger: Arc<Ledger>,
}

#[async_trait]
impl Handler for Workload {
    async fn handle(&self, request: Request, peer: &PeerInfo) -> Response {
        let (head, sent) = request.into_parts();
        let Ok(sent) = collect(sent, MAX_BODY_BYTES).await else {
            // An incomplete request is not executed.
            return respond(StatusCode::BAD_REQUEST, "text/plain", "incomplete request\n".into());
        };
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let answer = self.ledger.execute(Received {
            at: self.host.now(),
            tls: peer.tls,
            method: head.method.to_string(),
            path: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            body: sent,
        });
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = if answer.body.starts_with(b"{") { "application/json" } else { "text/plain" };
        respond(status, kind, answer.body)
    }
}

fn respond(status: StatusCode, kind: &'static str, content: bytes::Bytes) -> Response {
    let mut response = Response::new(body::full(content));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}
