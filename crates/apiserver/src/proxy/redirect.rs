//! Redirects that a kubelet answers with. They are never followed (`PreventRedirects` in
//! `apiserver/pkg/registry/generic/rest/proxy.go`): a kubelet could send the server, with its
//! client certificate, wherever it likes (CVE-2018-1002102).

use super::dial;
use super::failure::Failure;
use super::kubelet::{self, Kubelet};
use super::logs;
use super::target::Target;
use crate::server::Server;
use http::Uri;
use http::header::LOCATION;
use ravelin_api::Status;
use ravelin_host::Flaw;
use ravelin_transport::Response;
use ravelin_transport::egress::Destination;
use std::net::SocketAddr;

/// How many redirects Go's `http.Client` follows.
pub(super) const MAX_REDIRECTS: usize = 10;

/// The answer, unless it is a redirect: that is an error. Where the flaw says so it is followed,
/// with the same credentials and the same trust, and the last answer counts.
pub(super) async fn settle(
    server: &Server,
    mut kubelet: Kubelet,
    mut answer: Response,
) -> Result<Response, Status> {
    for _ in 0..MAX_REDIRECTS {
        let Some(location) = location(&answer) else { return Ok(answer) };
        if !server.host.flaws().has(Flaw::ApiserverFollowsRedirects) {
            return Err(refused(&location, "redirects forbidden"));
        }
        let Some(next) = Hop::read(server, &kubelet, &location) else {
            return Err(refused(&location, "failed to parse Location header"));
        };
        answer = next.fetch(server).await.map_err(|failure| refused(&location, failure.text()))?;
        kubelet = next.kubelet;
    }
    match location(&answer) {
        None => Ok(answer),
        Some(location) => Err(refused(&location, "stopped after 10 redirects")),
    }
}

fn refused(location: &str, why: &str) -> Status {
    Status::plain_error(format!("Get {location:?}: {why}"))
}

/// Where an answer redirects to, if it does.
pub(super) fn location(answer: &Response) -> Option<String> {
    let location = answer.headers().get(LOCATION).filter(|_| answer.status().is_redirection())?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

/// Where a redirect leads.
pub(super) struct Hop {
    /// Who is there: a node's kubelet as far as its address tells, else still the one that sent us.
    pub(super) kubelet: Kubelet,
    /// Is it to be asked over TLS?
    secure: bool,
    pub(super) path: String,
}

impl Hop {
    pub(super) fn read(server: &Server, from: &Kubelet, location: &str) -> Option<Self> {
        let uri: Uri = location.parse().ok()?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let Some(authority) = uri.authority() else {
            let kubelet = Kubelet { node: from.node.clone(), host: from.host.clone(), port: from.port };
            return path.starts_with('/').then_some(Self { kubelet, secure: true, path });
        };
        let secure = match uri.scheme_str() {
            Some("https") | None => true,
            Some("http") => false,
            Some(_) => return None,
        };
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let node = kubelet::node_at(server, &host).unwrap_or_else(|| from.node.clone());
        Some(Self { kubelet: Kubelet { node, host, port }, secure, path })
    }

    pub(super) async fn target(&self, server: &Server) -> Result<Target, Failure> {
        let ip = self.kubelet.resolve(server).await?;
        Ok(Target {
            address: SocketAddr::new(ip, self.kubelet.port),
            destination: Destination::Kubelet { node: self.kubelet.node.clone() },
            tls: self.secure.then(|| self.kubelet.tls(server)),
        })
    }

    async fn fetch(&self, server: &Server) -> Result<Response, Failure> {
        let target = self.target(server).await?;
        let request = logs::request(&self.path, &self.kubelet.authority());
        let request = request.map_err(|status| Failure::new(status.message))?;
        dial::send(server, &target, request).await
    }
}
