//! Exec, attach and port-forward (`getExec`, `getAttach` and `getPortForward` of
//! `pkg/kubelet/server/server.go`, and the streaming server of a container runtime,
//! `k8s.io/kubelet/pkg/cri/streaming`, which are one here).
//!
//! What is asked for and whether it is there is decided before anything is switched; then a task
//! carries the streams ([`remote`], [`forward`], [`forward_channels`]) and the answer is the switch.

mod forward;
mod forward_channels;
mod idle;
mod options;
mod remote;

use super::answer::Answer;
use super::routes::Inside;
use crate::config::EXTENDED_FROM;
use crate::state::Shared;
use forward_channels::Coding;
use futures_util::future::BoxFuture;
use http::StatusCode;
use http::header::{HeaderMap, UPGRADE};
use idle::Idle;
use options::Options;
use ravelin_api::{Query, object};
use ravelin_host::{BoxedStream, Field, HostRef, Task, field};
use ravelin_runtime::{ContainerState, Runtime};
use ravelin_transport::streams::WebSocketProtocol;
use ravelin_transport::{Request, Upgrading, upgrade};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The most streaming connections at a time.
const MAX_STREAMS: usize = 4096;
/// The stream protocols of a runtime's server, and the one that came later.
const PROTOCOLS: [&str; 5] =
    ["v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
const PORT_FORWARD: [&str; 1] = ["portforward.k8s.io"];
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";

/// The streaming connections of an endpoint; they end with it.
#[derive(Default)]
pub(super) struct Streams(Mutex<Vec<Task>>);

/// What is asked of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Exec,
    Attach,
}

/// What a task needs to carry streams.
struct Carrier {
    host: HostRef,
    runtime: Arc<dyn Runtime>,
    idle_timeout: Duration,
    /// What is told of it.
    fields: Vec<Field>,
}

impl Carrier {
    fn new(shared: &Shared, (user, path): (&str, &str)) -> Self {
        Self {
            host: shared.host.clone(),
            runtime: Arc::clone(&shared.config.runtime),
            idle_timeout: shared.config.streaming_idle_timeout,
            fields: vec![field("user", user), field("path", path)],
        }
    }

    /// Carries streams over a connection once it has switched.
    fn carry<F>(
        self,
        pending: Upgrading,
        carry: impl FnOnce(HostRef, Arc<dyn Runtime>, BoxedStream) -> F + Send + 'static,
    ) -> BoxFuture<'static, ()>
    where
        F: Future<Output = ()> + Send,
    {
        Box::pin(async move {
            self.host.observe("kubelet.stream.begun", &self.fields);
            if let Ok(stream) = pending.stream().await {
                let stream = Box::new(Idle::new(stream, self.idle_timeout));
                carry(self.host.clone(), self.runtime, stream).await;
            }
            self.host.observe("kubelet.stream.ended", &self.fields);
        })
    }
}

impl Streams {
    fn run(&self, host: &HostRef, stream: BoxFuture<'static, ()>) -> Result<(), Answer> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|task| !task.is_finished());
        if running.len() >= MAX_STREAMS {
            let text = "maximum number of in-flight requests exceeded";
            return Err(Answer::text(StatusCode::TOO_MANY_REQUESTS, text));
        }
        running.push(host.spawn("kubelet.stream", stream));
        Ok(())
    }

    /// Serves an exec or an attach.
    pub(super) async fn remote(
        &self,
        shared: &Shared,
        (call, inside): (Call, Inside<'_>),
        (user, request): (&str, Request),
    ) -> Result<Answer, Answer> {
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let mut options = Options::read(&query)?;
        let pod = pod(shared, (inside.namespace, inside.pod))?;
        running_container(shared, &pod, (call, inside)).await?;
        if call == Call::Attach {
            options.tty = has_terminal(&pod, inside.container);
            if options.tty && options.stderr {
                let text = "rpc error: code = InvalidArgument desc = tty and stderr cannot both be true";
                return Err(failed(text));
            }
        }
        let uid = object::uid(&pod).to_owned();
        let (container, argv) = (inside.container.to_owned(), options.command.clone());
        let run = remote::Run { call, uid, container, argv, options: options.streams() };
        let carrier = Carrier::new(shared, (user, request.uri().path()));
        let switch = Switch::of(request)?;
        if upgrade::is_websocket(&switch.headers) {
            let protocol = websocket_protocol(shared, &switch.headers)?;
            let answer = upgrade::websocket_answer(&switch.headers, Some(protocol).filter(|p| !p.is_empty()));
            let answer = answer.map_err(|refusal| Answer::ready(*refusal))?;
            let protocol = protocol.to_owned();
            let carry = move |host, runtime, stream| async move {
                remote::over_websocket((host, runtime), stream, protocol, run).await;
            };
            self.run(&shared.host, carrier.carry(switch.pending, carry))?;
            return Ok(Answer::ready(answer));
        }
        let (protocol, headers) = stream_protocol(shared, &switch.headers)?;
        let carry = move |host, runtime, stream| async move {
            remote::over_spdy((host, runtime), stream, protocol, run).await;
        };
        self.run(&shared.host, carrier.carry(switch.pending, carry))?;
        Ok(Answer::ready(upgrade::switching("SPDY/3.1", headers)))
    }

    /// Serves a port-forward.
    pub(super) async fn forward(
        &self,
        shared: &Shared,
        (namespace, name, uid): (&str, &str, Option<&str>),
        (user, request): (&str, Request),
    ) -> Result<Answer, Answer> {
        let headers = request.headers();
        let offered = upgrade::websocket_protocols(headers);
        let websocket = upgrade::is_websocket(headers);
        let tunnelled = websocket && shared.version() >= EXTENDED_FROM && offered.iter().any(|p| p == TUNNEL);
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let ports = if websocket && !tunnelled { options::ports(&query)? } else { Vec::new() };
        let pod = pod(shared, (namespace, name))?;
        if uid.is_some_and(|uid| uid != object::uid(&pod)) {
            return Err(Answer::text(StatusCode::NOT_FOUND, "pod not found"));
        }
        let uid = object::uid(&pod).to_owned();
        if shared.config.runtime.status(&uid).await.is_none() {
            return Err(failed(format!("pod not found ({:?})", format!("{name}_{namespace}"))));
        }
        let carrier = Carrier::new(shared, (user, request.uri().path()));
        let switch = Switch::of(request)?;
        if websocket {
            return self.forward_websocket(carrier, switch, (uid, ports, tunnelled), &offered);
        }
        let agreed = upgrade::stream_protocol(&switch.headers, &PORT_FORWARD);
        let (_, headers) = agreed.map_err(|refusal| Answer::ready(*refusal))?;
        asks_for_spdy(&switch.headers)?;
        let carry = move |host, runtime, stream| forward::serve(host, runtime, stream, uid);
        self.run(&shared.host, carrier.carry(switch.pending, carry))?;
        Ok(Answer::ready(upgrade::switching("SPDY/3.1", headers)))
    }

    fn forward_websocket(
        &self,
        carrier: Carrier,
        switch: Switch,
        (uid, ports, tunnelled): (String, Vec<u16>, bool),
        offered: &[String],
    ) -> Result<Answer, Answer> {
        let host = carrier.host.clone();
        const CODED: [(WebSocketProtocol, Coding); 2] =
            [(WebSocketProtocol::V4, Coding::Binary), (WebSocketProtocol::V4Base64, Coding::Base64)];
        let known = |name: &String| CODED.into_iter().find(|(protocol, _)| protocol.name() == name);
        let (chosen, coding) = match offered.iter().find_map(known) {
            _ if tunnelled => (Some(TUNNEL), Coding::Binary),
            Some((protocol, coding)) => (Some(protocol.name()), coding),
            None if offered.is_empty() => (None, Coding::Binary),
            None => return Err(unsupported()),
        };
        let answer = upgrade::websocket_answer(&switch.headers, chosen);
        let answer = answer.map_err(|refusal| Answer::ready(*refusal))?;
        let carried = if tunnelled {
            carrier.carry(switch.pending, move |host, runtime, stream| async move {
                let stream = ravelin_transport::streams::tunnel_server(&host, stream);
                forward::serve(host, runtime, stream, uid).await;
            })
        } else {
            carrier.carry(switch.pending, move |host, runtime, stream| {
                forward_channels::serve((host, runtime), stream, (uid, ports, coding))
            })
        };
        self.run(&host, carried)?;
        Ok(Answer::ready(answer))
    }
}

/// A request that asks for a switch.
struct Switch {
    headers: HeaderMap,
    pending: Upgrading,
}

impl Switch {
    fn of(mut request: Request) -> Result<Self, Answer> {
        let pending = upgrade::accept(&mut request);
        let pending = pending.ok_or_else(|| failed("Upgrade request required\n"))?;
        Ok(Self { headers: request.into_parts().0.headers, pending })
    }
}

fn failed(text: impl Into<String>) -> Answer {
    Answer::text(StatusCode::INTERNAL_SERVER_ERROR, text.into())
}

/// What `x/net/websocket` answers where no subprotocol can be agreed on.
fn unsupported() -> Answer {
    Answer::text(StatusCode::FORBIDDEN, "")
}

fn pod(shared: &Shared, (namespace, name): (&str, &str)) -> Result<Value, Answer> {
    shared.pod(namespace, name).ok_or_else(|| Answer::text(StatusCode::NOT_FOUND, "pod does not exist"))
}

/// The container must run, in the pod that is meant (`GetExec`, `GetAttach`).
async fn running_container(
    shared: &Shared,
    pod: &Value,
    (call, inside): (Call, Inside<'_>),
) -> Result<(), Answer> {
    let uid = object::uid(pod);
    let state = shared.config.runtime.status(uid).await;
    let container = state.as_ref().and_then(|state| state.containers.get(inside.container));
    let runs = container.is_some_and(ContainerState::is_running);
    if runs && inside.uid.is_none_or(|meant| meant == uid) {
        return Ok(());
    }
    let Inside { namespace, pod, container, .. } = inside;
    Err(failed(match call {
        Call::Exec => format!("container not found ({container:?})"),
        Call::Attach => format!("container {container} not found in pod {pod}_{namespace}"),
    }))
}

/// A process keeps the terminal that it was started with, or goes without.
fn has_terminal(pod: &Value, container: &str) -> bool {
    let containers = object::list(pod, "spec.containers").iter();
    containers.filter(|one| one["name"] == container).any(|one| one["tty"] == true)
}

/// The subprotocol that is spoken: the first of the client's that is known.
fn websocket_protocol(shared: &Shared, headers: &HeaderMap) -> Result<&'static str, Answer> {
    let offered = upgrade::websocket_protocols(headers);
    let known = offered.iter().filter_map(|name| WebSocketProtocol::parse(name));
    let known: Vec<WebSocketProtocol> = known.collect();
    // The translator in front of the runtime's server speaks version 5 alone.
    if shared.version() >= EXTENDED_FROM && known.contains(&WebSocketProtocol::V5) {
        return Ok(WebSocketProtocol::V5.name());
    }
    match known.into_iter().find(|protocol| *protocol != WebSocketProtocol::V5) {
        Some(protocol) => Ok(protocol.name()),
        None if offered.is_empty() => Ok(""),
        None => Err(unsupported()),
    }
}

fn stream_protocol(shared: &Shared, headers: &HeaderMap) -> Result<(&'static str, HeaderMap), Answer> {
    let known = if shared.version() >= EXTENDED_FROM { &PROTOCOLS[..] } else { &PROTOCOLS[1..] };
    let agreed = upgrade::stream_protocol(headers, known).map_err(|refusal| Answer::ready(*refusal))?;
    asks_for_spdy(headers)?;
    Ok(agreed)
}

fn asks_for_spdy(headers: &HeaderMap) -> Result<(), Answer> {
    let asked = headers.get(UPGRADE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if asked.to_ascii_lowercase().contains("spdy/3.1") {
        return Ok(());
    }
    let text = "unable to upgrade: missing upgrade headers in request\n";
    Err(Answer::text(StatusCode::BAD_REQUEST, text))
}
