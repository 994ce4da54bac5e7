//! Upgrades that are passed on as they are (`UpgradeAwareHandler` of `apimachinery/pkg/util/proxy`).
//!
//! Connections are joined only where the backend has switched. What else it answers is read, up to a
//! bound and a deadline, and the connection with it is closed (CVE-2018-1002105: it stayed joined,
//! authenticated as the server); what is neither a switch nor an error is itself an error, so that no
//! redirect reaches a client that would follow it (CVE-2020-8559).

use super::dial::{self, Unanswered};
use super::headers::{upgrading, without_hop_by_hop};
use super::join::join;
use super::kubelet::Kubelet;
use super::redirect::{self, Hop};
use super::running::Tale;
use super::spliced;
use super::target::Target;
use crate::audit::StreamEnd;
use crate::server::{Asked, Server};
use http::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use http::response::Parts;
use http::{Method, StatusCode, Uri};
use ravelin_api::Status;
use ravelin_host::{BoxedStream, Flaw};
use ravelin_transport::{Request, Response, Upgraded, body, collect};
use std::sync::Arc;
use std::time::Duration;

/// The longest refusal that is passed on.
const MAX_REFUSAL_BYTES: usize = 1024 * 1024;
/// How long one may take.
const REFUSAL_DEADLINE: Duration = Duration::from_secs(10);

/// Where an upgrade goes.
pub(super) struct Way {
    pub(super) target: Target,
    /// Who is there, where it is a kubelet.
    pub(super) kubelet: Option<Kubelet>,
}

/// A request for an upgrade, as it goes on.
pub(super) struct Onward {
    pub(super) method: Method,
    /// Path and query.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
}

impl Onward {
    /// The client's own, with another path.
    pub(super) fn of(asked: &Asked, path: String) -> Self {
        Self { method: asked.method.clone(), path, headers: upgrading(&asked.headers, &asked.peer) }
    }

    pub(super) fn request(&self) -> Result<Request, Status> {
        let mut request = Request::new(body::empty());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() =
            self.path.parse::<Uri>().map_err(|_| Status::bad_request("the path cannot be passed on"))?;
        *request.headers_mut() = self.headers.clone();
        Ok(request)
    }
}

/// Asks for an upgrade. A redirect of a kubelet is its answer, unless the flaw says that it is
/// followed: then whoever it leads to answers.
pub(super) async fn reach(
    server: &Server,
    Way { mut target, mut kubelet }: Way,
    mut onward: Onward,
) -> Result<Result<Upgraded, Unanswered>, Status> {
    for _ in 0..redirect::MAX_REDIRECTS {
        let upgraded = match dial::upgrade(server, &target, onward.request()?).await {
            Ok(upgraded) => upgraded,
            Err(unanswered) => return Ok(Err(unanswered)),
        };
        let follows = server.host.flaws().has(Flaw::ApiserverFollowsRedirects);
        let next = match (&upgraded, &kubelet) {
            (Upgraded::Refused(answer), Some(from)) if follows => {
                redirect::location(answer).and_then(|location| Hop::read(server, from, &location))
            }
            _ => None,
        };
        let Some(hop) = next else { return Ok(Ok(upgraded)) };
        target = match hop.target(server).await {
            Ok(target) => target,
            Err(failure) => return Ok(Err(Unanswered::Undialled(failure))),
        };
        onward = Onward { method: Method::GET, path: hop.path.clone(), ..onward };
        kubelet = Some(hop.kubelet);
    }
    Err(Status::plain_error(format!("too many redirects ({})", redirect::MAX_REDIRECTS)))
}

/// The words of a failure to get an answer to an upgrade.
pub(super) fn unreached(unanswered: &Unanswered) -> Status {
    Status::plain_error(match unanswered {
        Unanswered::Undialled(failure) => format!("error dialing backend: {}", failure.text()),
        Unanswered::Broken(failure) => failure.text().to_owned(),
    })
}

/// Passes an upgrade on and joins the connections.
pub(super) async fn splice(
    server: &Arc<Server>,
    user: &str,
    mut asked: Asked,
    (way, path): (Way, String),
) -> Result<Response, Status> {
    let onward = Onward::of(&asked, path);
    if server.host.flaws().has(Flaw::ApiserverSplicesRefusedUpgrades) {
        return spliced::begin(server, (user, asked), (way, onward)).await;
    }
    match reach(server, way, onward).await?.map_err(|unanswered| unreached(&unanswered))? {
        Upgraded::Refused(answer) => refused(server, answer).await,
        Upgraded::Switched { head, stream } => switched(server, user, &mut asked, (head, stream)),
    }
}

/// Joins the client's connection with one that has switched.
pub(super) fn switched(
    server: &Arc<Server>,
    user: &str,
    asked: &mut Asked,
    (head, stream): (Parts, BoxedStream),
) -> Result<Response, Status> {
    let Some(pending) = asked.upgrading.take() else {
        return Err(Status::bad_request("Upgrade request required"));
    };
    let end = StreamEnd::default();
    let to = head.headers.get(UPGRADE).and_then(|to| to.to_str().ok()).unwrap_or_default();
    let tale = Tale::begin(&server.host, (user, &asked.info.path), to, end.clone());
    let joined = async move {
        let passed = match pending.stream().await {
            Ok(client) => join(client, stream).await,
            Err(_) => super::join::Passed::default(),
        };
        tale.end(&passed);
    };
    server.streams.run(&server.host, Box::pin(joined))?;
    let mut answer = Response::new(body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = head.headers;
    answer.extensions_mut().insert(end);
    Ok(answer)
}

/// What a backend answered that did not switch: an error as it is, all else as an error.
pub(super) async fn refused(server: &Server, answer: Response) -> Result<Response, Status> {
    let (head, body) = answer.into_parts();
    let passes = head.status.as_u16() >= 400
        || head.status.is_redirection() && server.host.flaws().has(Flaw::ApiserverPassesRedirectsOn);
    if !passes {
        let code = head.status.as_u16();
        return Err(Status::plain_error(format!("invalid upgrade response: status code {code}")));
    }
    let read = tokio::time::timeout(REFUSAL_DEADLINE, collect(body, MAX_REFUSAL_BYTES)).await;
    let Ok(Ok(text)) = read else {
        return Err(Status::plain_error("the backend refused the upgrade without a whole answer"));
    };
    let mut passed = Response::new(body::full(text));
    *passed.status_mut() = head.status;
    *passed.headers_mut() = without_hop_by_hop(&head.headers);
    // Nothing else comes over this connection.
    passed.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(passed)
}
