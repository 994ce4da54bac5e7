//! One honest use of a path: how it is made, and what is seen of it from outside.

mod api;
mod attach;
mod direct;
mod exec;
mod logs;
mod port_forward;
mod proxy;
mod streams;

use crate::path::Path;
use crate::stage::Stage;
pub use direct::DirectProbe;
use futures_util::future::LocalBoxFuture;
use http::{HeaderMap, Method, StatusCode, header};
use ravelin_adversary::Target;
use ravelin_client::{Client, ClientError};
use ravelin_oracle::{Call, Canary, Executed, Handed, Issued};
use ravelin_transport::{Request, body};
use std::time::Duration;

/// How long a caller waits for its answer.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// The annotation that carries a request's canary.
const REQUEST: &str = "ravelin.test/request";
/// The annotation that carries a response's canary.
const RESPONSE: &str = "ravelin.test/response";
/// The annotation that the impostor leaves (see `adversary`).
const ALTERED: &str = "ravelin.test/altered";

/// The secrets of one use of a path.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// The probe's name, which is no secret.
    pub id: String,
    /// The secret in the request.
    pub request: Canary,
    /// The secret in the genuine response.
    pub response: Canary,
}

/// A path's probe, made for one use.
pub trait Probe {
    /// Plants the response's canary where the genuine server will find it.
    fn plant<'a>(&'a mut self) -> LocalBoxFuture<'a, Result<(), String>>;

    /// What an attacker may know of the path.
    fn target(&self) -> Target;

    /// Uses the path.
    fn exercise<'a>(&'a self) -> LocalBoxFuture<'a, Vec<Call>>;

    /// What the genuine servers issued to this probe's requests.
    fn issued(&self) -> Vec<Issued>;

    /// What servers executed that bears this probe's name.
    fn executed(&self) -> Vec<Executed>;
}

/// A probe for one use of a path.
///
/// # Errors
/// Why the path cannot be used at all, in a sentence.
pub fn new<'a>(stage: &'a Stage, path: Path, secrets: &'a Secrets) -> Result<Box<dyn Probe + 'a>, Unusable> {
    use proxy::Through;
    Ok(match path {
        Path::NodeBootstrap
        | Path::NodeToApiserver
        | Path::PodToApiserver
        | Path::ProxyToApiserver
        | Path::ControllerToApiserver
        | Path::UserToApiserver => Box::new(api::ApiProbe::new(stage, path, secrets)?),
        Path::KubeletLogs => Box::new(logs::LogsProbe::new(stage, secrets)?),
        Path::KubeletExec => Box::new(exec::ExecProbe::new(stage, secrets)?),
        Path::KubeletAttach => Box::new(attach::AttachProbe::new(stage, secrets)?),
        Path::KubeletPortForward => Box::new(port_forward::PortForwardProbe::new(stage, secrets)?),
        Path::NodeHttp => Box::new(proxy::ProxyProbe::new(stage, (Through::Node, false), secrets)?),
        Path::NodeHttps => Box::new(proxy::ProxyProbe::new(stage, (Through::Node, true), secrets)?),
        Path::PodHttp => Box::new(proxy::ProxyProbe::new(stage, (Through::Pod, false), secrets)?),
        Path::PodHttps => Box::new(proxy::ProxyProbe::new(stage, (Through::Pod, true), secrets)?),
        Path::ServiceHttp => Box::new(proxy::ProxyProbe::new(stage, (Through::Service, false), secrets)?),
        Path::ServiceHttps => Box::new(proxy::ProxyProbe::new(stage, (Through::Service, true), secrets)?),
        Path::DirectApiserver
        | Path::DirectInsecure
        | Path::DirectKubelet
        | Path::DirectReadOnly
        | Path::DirectComponent => Box::new(DirectProbe::new(stage, path)),
    })
}

/// Why a path cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// The configuration has no such path.
    Absent(String),
    /// It should be there and is not.
    Failed(String),
}

/// Makes one call, the probe's request of this name, and tells what its caller was handed.
async fn call(stage: &Stage, client: &Client, request: Request, (name, flow): (String, String)) -> Call {
    let answer = tokio::time::timeout(DEADLINE, client.raw(request)).await;
    let handed = match answer {
        Err(_) | Ok(Err(ClientError::Timeout)) => Handed::Nothing,
        Ok(Err(ClientError::Truncated)) => error("the answer ended early".into()),
        Ok(Err(failure)) => error(failure.to_string()),
        Ok(Ok((status, _, body))) if status.is_success() => Handed::Success(body.to_vec()),
        Ok(Ok((status, _, body))) => refused(status, &body),
    };
    Call { at: stage.world.elapsed(), flow, request: name, handed }
}

fn refused(status: StatusCode, body: &[u8]) -> Handed {
    let message = serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|status| status["message"].as_str().map(str::to_owned))
        .unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned());
    refused_with(status.as_u16(), &message)
}

fn refused_with(code: u16, message: &str) -> Handed {
    error(format!("{code}: {}", message.trim()))
}

fn error(text: String) -> Handed {
    /// What the errors of failed checks speak of.
    const CHECKS: [&str; 8] = [
        "certificate",
        "Unauthorized",
        "orbidden",
        "credentials",
        "host key",
        "x509",
        "redirect not allowed",
        "invalid upgrade response",
    ];
    let names_check = CHECKS.iter().any(|check| text.contains(check));
    Handed::Error { text, names_check }
}

/// A request of a probe.
fn request(method: Method, path: &str, (content_type, content): (&str, Vec<u8>)) -> Request {
    let mut headers = HeaderMap::new();
    if let Ok(value) = content_type.parse() {
        headers.insert(header::CONTENT_TYPE, value);
    }
    let mut request = Request::new(body::full(content));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().expect("the paths of probes are plain");
    *request.headers_mut() = headers;
    request
}
