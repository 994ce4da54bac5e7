//! A command in a container, as `kubectl exec` asks for it over SPDY, and as old ones did: with
//! redirects followed, in the same user's name (CVE-2020-8559).

use crate::perform::{Handed, MAX_ANSWER_BYTES};
use http::header::{CONNECTION, HeaderName, HeaderValue, LOCATION, UPGRADE};
use http::{Method, StatusCode, Uri};
use ravelin_host::HostRef;
use ravelin_transport::streams::{RemoteOptions, StreamProtocol, remote_client_spdy};
use ravelin_transport::{HttpConnection, Request, Response, Upgraded, body, collect};
use std::future::Future;
use tokio::io::AsyncReadExt;

/// How many redirects Go's `http.Client` follows.
const MAX_REDIRECTS: usize = 10;
const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
/// What kubectl asks for without `-i` and `-t`.
const OUTPUT: RemoteOptions = RemoteOptions { stdin: false, stdout: true, stderr: true, tty: false };

/// Asks for a command and waits for its end. What it wrote is handed out with status 101.
pub(crate) async fn exec<F>(host: &HostRef, request: Request, follows: bool, open: impl Fn() -> F) -> Handed
where
    F: Future<Output = Result<HttpConnection, String>>,
{
    let (head, _) = request.into_parts();
    let (mut method, mut uri) = (head.method, head.uri);
    for _ in 0..=MAX_REDIRECTS {
        let mut request = Request::new(body::empty());
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = head.headers.clone();
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        request.headers_mut().insert(UPGRADE, HeaderValue::from_static("SPDY/3.1"));
        for version in StreamProtocol::OFFER {
            request.headers_mut().append(STREAM_PROTOCOL, HeaderValue::from_static(version.name()));
        }
        let connection = open().await?;
        match connection.upgrade(request).await.map_err(|error| error.to_string())? {
            Upgraded::Switched { head, stream } => {
                let protocol = head.headers.get(STREAM_PROTOCOL).and_then(|name| name.to_str().ok());
                return output(host, stream, protocol.unwrap_or_default()).await;
            }
            Upgraded::Refused(answer) => match next(&answer).filter(|_| follows) {
                None => return whole(answer).await,
                Some((location, keeps)) => {
                    // As RFC 9110 section 15.4 and Go have it.
                    method = if keeps { method } else { Method::GET };
                    uri = location;
                }
            },
        }
    }
    Err(format!("stopped after {MAX_REDIRECTS} redirects"))
}

/// Where an answer redirects to on the same server, and whether the method is kept.
fn next(answer: &Response) -> Option<(Uri, bool)> {
    let status = answer.status();
    let location = answer.headers().get(LOCATION).filter(|_| status.is_redirection())?;
    let uri: Uri = location.to_str().ok()?.parse().ok()?;
    let keeps = matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
    uri.authority().is_none().then_some((uri, keeps))
}

async fn whole(answer: Response) -> Handed {
    let status = answer.status();
    let text = collect(answer.into_body(), MAX_ANSWER_BYTES).await.map_err(|error| error.to_string())?;
    Ok((status, text))
}

async fn output(host: &HostRef, stream: ravelin_host::BoxedStream, protocol: &str) -> Handed {
    let client =
        remote_client_spdy(host, stream, protocol, OUTPUT).await.map_err(|error| error.to_string())?;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let most = MAX_ANSWER_BYTES as u64;
    let first = async {
        if let Some(from) = client.stdout {
            // How it ended, the outcome tells.
            let _ = from.take(most).read_to_end(&mut stdout).await;
        }
    };
    let second = async {
        if let Some(from) = client.stderr {
            let _ = from.take(most).read_to_end(&mut stderr).await;
        }
    };
    let ((), (), outcome) = tokio::join!(biased; first, second, client.outcome.read());
    outcome.map_err(|error| error.to_string())?;
    stdout.extend_from_slice(&stderr);
    Ok((StatusCode::SWITCHING_PROTOCOLS, stdout.into()))
}
