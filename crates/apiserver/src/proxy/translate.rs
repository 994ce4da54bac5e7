//! Exec and attach whose client speaks WebSocket `v5.channel.k8s.io`, translated to the SPDY that
//! kubelets speak (`apiserver/pkg/util/proxy/streamtranslator.go`).
//!
//! The client is answered before the kubelet is asked, so that what goes wrong there is told on the
//! error channel, as Kubernetes does.

use super::dial::Unanswered;
use super::join::{Passed, pump};
use super::redirect;
use super::running::Tale;
use super::splice::{Onward, Way, reach};
use super::stream_options::Options;
use crate::audit::StreamEnd;
use crate::server::{Asked, Server};
use http::Method;
use http::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use ravelin_api::Status;
use ravelin_transport::streams::{
    Outcome, OutcomeWriter, RemoteClient, RemoteCommand, StreamProtocol, remote_client_spdy,
    remote_server_websocket,
};
use ravelin_transport::{BodyError, Response, Upgraded, collect, upgrade};
use serde_json::Value;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The subprotocol that is translated.
pub(super) const V5: &str = "v5.channel.k8s.io";
/// How much of a kubelet's refusal is read.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;
/// How long that may take: a kubelet that goes on and on must not keep the stream, nor the server.
const REFUSAL_DEADLINE: Duration = Duration::from_secs(10);
const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");

/// What is translated.
pub(super) struct Translation {
    pub(super) way: Way,
    /// Where the kubelet is asked, as errors tell it.
    pub(super) url: String,
    pub(super) path: String,
    pub(super) options: Options,
}

/// Serves a translated stream.
pub(super) fn translate(
    server: &Arc<Server>,
    user: &str,
    mut asked: Asked,
    translation: Translation,
) -> Result<Response, Status> {
    let mut answer = match upgrade::websocket_answer(&asked.headers, Some(V5)) {
        Ok(answer) => answer,
        Err(refusal) => return Ok(*refusal),
    };
    let Some(pending) = asked.upgrading.take() else {
        return Err(Status::bad_request("Upgrade request required"));
    };
    let end = StreamEnd::default();
    let tale = Tale::begin(&server.host, (user, &asked.info.path), V5, end.clone());
    let (host, dialler) = (server.host.clone(), Arc::clone(server));
    let options = translation.options.with_client();
    let translated = async move {
        let passed = match pending.stream().await {
            Ok(stream) => match remote_server_websocket(&host, stream, V5, options).await {
                Ok(client) => run(dialler, client, translation).await,
                Err(_) => Passed::default(),
            },
            Err(_) => Passed::default(),
        };
        tale.end(&passed);
    };
    server.streams.run(&server.host, Box::pin(translated))?;
    answer.extensions_mut().insert(end);
    Ok(answer)
}

async fn run(server: Arc<Server>, mut client: RemoteCommand, translation: Translation) -> Passed {
    let asked = tokio::select! {
        biased;
        asked = ask(&server, translation) => asked,
        () = client.outcome.gone() => return Passed::default(),
    };
    // From here on the stream ends with the server.
    drop(server);
    match asked {
        Ok(kubelet) => carry(client, kubelet).await,
        Err(status) => {
            client.outcome.failed(&told(&status)).await;
            Passed::default()
        }
    }
}

/// The streams of the kubelet.
async fn ask(server: &Server, translation: Translation) -> Result<RemoteClient, Status> {
    let Translation { way, url, path, options } = translation;
    let mut headers = HeaderMap::new();
    if let Some(host) =
        way.kubelet.as_ref().and_then(|kubelet| HeaderValue::from_str(&kubelet.authority()).ok())
    {
        headers.insert(HOST, host);
    }
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("SPDY/3.1"));
    for version in StreamProtocol::OFFER {
        headers.append(STREAM_PROTOCOL, HeaderValue::from_static(version.name()));
    }
    let onward = Onward { method: Method::POST, path, headers };
    let upgraded = reach(server, way, onward).await?.map_err(|unanswered| {
        let (Unanswered::Undialled(failure) | Unanswered::Broken(failure)) = unanswered;
        Status::internal_error(&format!("error sending request: Post {url:?}: {}", failure.text()))
    })?;
    let (head, stream) = match upgraded {
        Upgraded::Refused(answer) => return Err(refusal(answer).await),
        Upgraded::Switched { head, stream } => (head, stream),
    };
    // None is the first version's.
    let version = head.headers.get(STREAM_PROTOCOL).and_then(|version| version.to_str().ok());
    let version = version.unwrap_or_default();
    let streams = remote_client_spdy(&server.host, stream, version, options.with_kubelet()).await;
    streams.map_err(|error| Status::internal_error(&error.to_string()))
}

/// What a kubelet said that did not switch (`SpdyRoundTripper.NewConnection`).
async fn refusal(answer: Response) -> Status {
    if let Some(location) = redirect::location(&answer) {
        let text = format!("error sending request: Post {location:?}: redirect not allowed");
        return Status::internal_error(&text);
    }
    let code = answer.status().as_u16();
    let said = collect(answer.into_body(), MAX_REFUSAL_BYTES);
    let said = match tokio::time::timeout(REFUSAL_DEADLINE, said).await {
        Ok(Ok(said)) => said,
        Ok(Err(BodyError::TooLong(_))) => {
            return Status::internal_error("unable to upgrade connection: too long an error");
        }
        Ok(Err(_)) | Err(_) => {
            return Status::internal_error(
                "unable to upgrade connection: unable to read error from server response",
            );
        }
    };
    let status = serde_json::from_slice::<Value>(&said).ok();
    if let Some(status) = status.and_then(|status| Status::from_value(&status, code)) {
        return status;
    }
    let said = String::from_utf8_lossy(&said);
    Status::internal_error(&format!("unable to upgrade connection: {}", said.trim()))
}

/// A status as the error channel has it: without its kind.
fn told(status: &Status) -> Value {
    let mut value = status.to_value();
    if let Some(members) = value.as_object_mut() {
        members.remove("kind");
        members.remove("apiVersion");
    }
    value
}

/// Carries the streams of a command from one to the other until it has ended.
async fn carry(client: RemoteCommand, kubelet: RemoteClient) -> Passed {
    let (onwards, back) = (AtomicU64::new(0), AtomicU64::new(0));
    let RemoteCommand { stdin, stdout, stderr, resize, mut outcome } = client;
    let input = async {
        if let (Some(from), Some(to)) = (stdin, kubelet.stdin) {
            // Who ends its input still waits for the output.
            let _ = pump(from, to, &onwards).await;
        }
    };
    let sizes = async {
        if let (Some(mut from), Some(to)) = (resize, kubelet.resize) {
            while let Some(size) = from.recv().await {
                if to.send(size).await.is_err() {
                    break;
                }
            }
        }
    };
    let output = async {
        let first = async {
            match (kubelet.stdout, stdout) {
                (Some(from), Some(to)) => pump(from, to, &back).await,
                _ => Ok(()),
            }
        };
        let second = async {
            match (kubelet.stderr, stderr) {
                (Some(from), Some(to)) => pump(from, to, &back).await,
                _ => Ok(()),
            }
        };
        let (ended, first, second) = tokio::join!(biased; kubelet.outcome.read(), first, second);
        first.and(second).map(|()| ended)
    };
    let ended = {
        let mut inputs = std::pin::pin!(async {
            tokio::join!(biased; input, sizes);
            std::future::pending::<()>().await;
        });
        tokio::select! {
            biased;
            ended = output => ended,
            // With the streams towards the kubelet its command ends.
            () = outcome.gone() => Err(io::ErrorKind::ConnectionAborted.into()),
            () = &mut inputs => unreachable!("inputs never end the command"),
        }
    };
    let error = match ended {
        Ok(Ok(told_so)) => {
            tell(outcome, told_so).await;
            None
        }
        Ok(Err(error)) => {
            outcome.failed(&told(&Status::internal_error(&error.to_string()))).await;
            Some(io::Error::from(error).kind())
        }
        // The client takes no output any more: there is nobody to tell.
        Err(error) => Some(error.kind()),
    };
    Passed { onwards: onwards.load(Ordering::Relaxed), back: back.load(Ordering::Relaxed), error }
}

/// Tells the client how its command ended.
async fn tell(client: OutcomeWriter, outcome: Outcome) {
    match outcome {
        Outcome::Success => client.success().await,
        Outcome::Exited(code) => client.exited(code).await,
        Outcome::Failed(why) => client.failed(&told(&Status::internal_error(&message(&why)))).await,
    }
}

/// The message of a failure that is told as a Status or as plain text.
fn message(told: &str) -> String {
    let status = serde_json::from_str::<Value>(told).ok();
    let message = status.as_ref().and_then(|status| status["message"].as_str());
    message.unwrap_or(told).to_owned()
}
