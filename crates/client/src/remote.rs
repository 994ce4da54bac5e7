//! Commands in containers and forwarded ports, as `kubectl` asks for them: each over a connection of
//! its own, in a WebSocket or in SPDY/3.1.
//!
//! What the framing looks like is `transport`'s; what a command means, the caller's. A request that
//! the apiserver refuses is an error, and is not tried again by other means.

use crate::client::{Outgoing, refusal};
use crate::{Client, ClientError};
use http::Method;
use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use http::response::Parts;
use ravelin_api::percent_encode;
use ravelin_host::BoxedStream;
use ravelin_stream::channel::{PORT_FORWARD_PROTOCOL, PROTOCOL_HEADER, SPDY, TUNNEL_PROTOCOL};
use ravelin_stream::channel::{StreamProtocol, WebSocketProtocol, stream_header, stream_type};
use ravelin_transport::collect;
use ravelin_transport::streams::{
    self, BoxedReader, BoxedWriter, PING_PERIOD, RemoteClient, RemoteOptions, Spdy,
};
use ravelin_transport::upgrade::{Upgraded, WebSocketOffer};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The longest refusal that is read, in bytes.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;

/// The longest complaint about a forwarded connection, in bytes.
const MAX_COMPLAINT_BYTES: usize = 64 * 1024;

/// What carries the streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A WebSocket: `v5.channel.k8s.io`, or SPDY within it for forwarded ports (KEP-4006): what
    /// kubectl asks for first from 1.31 on.
    WebSocket,
    /// SPDY/3.1: what older ones ask for.
    Spdy,
}

/// A pod, by its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodName<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// Which container, with which streams.
#[derive(Clone, Copy, Debug)]
pub struct Remote<'a> {
    /// The container; where there is only one, it need not be named.
    pub container: Option<&'a str>,
    /// The streams that are wanted.
    pub options: RemoteOptions,
    /// What carries them.
    pub carrier: Carrier,
}

impl Client {
    /// Runs a command in a container. The command has not ended when this returns; how it ended is
    /// the last thing that its streams tell.
    ///
    /// # Errors
    /// Where the apiserver or the network refuses. A kubelet's refusal comes as the command's end
    /// with a WebSocket, as the apiserver has agreed before it asks.
    pub async fn exec(
        &self,
        pod: PodName<'_>,
        command: &[&str],
        how: Remote<'_>,
    ) -> Result<RemoteClient, ClientError> {
        let words = command.iter().map(|word| ("command", *word)).collect();
        self.remote((pod, "exec"), words, how).await
    }

    /// Joins a container's main process.
    ///
    /// # Errors
    /// As [`Client::exec`].
    pub async fn attach(&self, pod: PodName<'_>, how: Remote<'_>) -> Result<RemoteClient, ClientError> {
        self.remote((pod, "attach"), Vec::new(), how).await
    }

    async fn remote(
        &self,
        (pod, verb): (PodName<'_>, &str),
        mut query: Vec<(&str, &str)>,
        how: Remote<'_>,
    ) -> Result<RemoteClient, ClientError> {
        let Remote { container, options, carrier } = how;
        query.extend(container.map(|name| ("container", name)));
        let flags = [
            ("stdin", options.stdin),
            ("stdout", options.stdout),
            ("stderr", options.stderr),
            ("tty", options.tty),
        ];
        query.extend(flags.into_iter().filter(|(_, on)| *on).map(|(name, _)| (name, "true")));
        let path = crate::client::with_query(&path(pod, verb), &query);
        self.within_deadline(async {
            let offered = match carrier {
                Carrier::WebSocket => vec![WebSocketProtocol::V5.name()],
                Carrier::Spdy => StreamProtocol::OFFER.iter().map(|version| version.name()).collect(),
            };
            let switched = self.switch(&path, (carrier, &offered)).await?;
            let host = self.host();
            let streams = match carrier {
                Carrier::WebSocket => {
                    let protocol = WebSocketProtocol::V5.name();
                    streams::remote_client_websocket(host, switched.stream, protocol, options).await
                }
                Carrier::Spdy => {
                    streams::remote_client_spdy(host, switched.stream, &switched.protocol, options).await
                }
            };
            Ok(streams?)
        })
        .await
    }

    /// Opens a connection over which ports of a pod are forwarded.
    ///
    /// # Errors
    /// As [`Client::exec`].
    pub async fn port_forward(&self, pod: PodName<'_>, carrier: Carrier) -> Result<Forwarding, ClientError> {
        let offered = match carrier {
            Carrier::WebSocket => TUNNEL_PROTOCOL,
            Carrier::Spdy => PORT_FORWARD_PROTOCOL,
        };
        let path = path(pod, "portforward");
        let switched = self.within_deadline(self.switch(&path, (carrier, &[offered]))).await?;
        let host = self.host();
        let stream = match carrier {
            Carrier::WebSocket => streams::tunnel_client(host, switched.stream),
            Carrier::Spdy => switched.stream,
        };
        let spdy = Spdy::client(host, stream).with_pings(PING_PERIOD);
        Ok(Forwarding { spdy, next: AtomicU32::new(0) })
    }

    /// Sends a request for an upgrade; what is agreed on must have been offered.
    async fn switch(
        &self,
        path: &str,
        (carrier, offered): (Carrier, &[&'static str]),
    ) -> Result<Switched, ClientError> {
        let offer = WebSocketOffer::new(self.host(), offered);
        let (method, headers) = match carrier {
            Carrier::WebSocket => (Method::GET, websocket_headers(&offer)),
            Carrier::Spdy => (Method::POST, spdy_headers(offered)),
        };
        let mut outgoing = Outgoing::new(method, path);
        outgoing.headers = headers;
        match self.connect_anew().await?.upgrade(self.prepare(&outgoing)?).await? {
            Upgraded::Refused(response) => {
                let status = response.status();
                let bytes = collect(response.into_body(), MAX_REFUSAL_BYTES).await?;
                Err(refusal(status, &bytes))
            }
            Upgraded::Switched { head, stream } => {
                let protocol = match carrier {
                    Carrier::WebSocket => offer.check(&head)?,
                    Carrier::Spdy => agreed_spdy(&head)?,
                };
                // A server that names none speaks the first version (client-go's `spdy.Negotiate`).
                if offered.contains(&protocol.as_str()) || protocol.is_empty() && carrier == Carrier::Spdy {
                    return Ok(Switched { protocol, stream });
                }
                Err(unknown(&protocol))
            }
        }
    }
}

/// A connection that was upgraded.
struct Switched {
    /// What was agreed on.
    protocol: String,
    stream: BoxedStream,
}

fn path(pod: PodName<'_>, verb: &str) -> String {
    let PodName { namespace, name } = pod;
    format!("/api/v1/namespaces/{}/pods/{}/{verb}", percent_encode(namespace), percent_encode(name))
}

fn websocket_headers(offer: &WebSocketOffer) -> HeaderMap {
    let mut headers = HeaderMap::new();
    offer.write(&mut headers);
    headers
}

fn spdy_headers(offered: &[&'static str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(SPDY));
    for protocol in offered {
        headers.append(HeaderName::from_static(PROTOCOL_HEADER), HeaderValue::from_static(protocol));
    }
    headers
}

/// The stream protocol that a server says it speaks; empty for none.
fn agreed_spdy(head: &Parts) -> Result<String, ClientError> {
    let text = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let protocol = text(PROTOCOL_HEADER).unwrap_or_default();
    match text(UPGRADE.as_str()) {
        Some(to) if to.eq_ignore_ascii_case(SPDY) => Ok(protocol.to_owned()),
        to => Err(unknown(to.unwrap_or_default())),
    }
}

fn unknown(protocol: &str) -> ClientError {
    ClientError::Malformed(format!("the upgrade was to {protocol:?}, which was not asked for"))
}

/// A connection over which ports of one pod are forwarded; it ends when this is dropped.
pub struct Forwarding {
    spdy: Spdy,
    next: AtomicU32,
}

/// One forwarded connection.
pub struct Forwarded {
    /// What the pod's server sends.
    pub reader: BoxedReader,
    /// What it is sent; shut down, the server sees the end.
    pub writer: BoxedWriter,
    /// What the kubelet complains of.
    complaint: BoxedReader,
}

impl Forwarding {
    /// Opens a connection to a port of the pod: its own loopback address, as a server there sees it.
    ///
    /// # Errors
    /// Where the forwarding has ended. Whether anybody listens at the port shows later.
    pub async fn connect(&self, port: u16) -> Result<Forwarded, ClientError> {
        let (port, id) = (port.to_string(), self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let open = async |kind: &str| {
            let headers = [
                (stream_header::STREAM_TYPE, kind),
                (stream_header::PORT, port.as_str()),
                (stream_header::REQUEST_ID, id.as_str()),
            ];
            self.spdy.open(&headers).await
        };
        let (complaint, mut nothing) = open(stream_type::ERROR).await?.into_split();
        // Nothing is ever sent there (`handleConnection` of client-go's portforward.go).
        nothing.shutdown().await?;
        let (reader, writer) = open(stream_type::DATA).await?.into_split();
        Ok(Forwarded { reader, writer, complaint })
    }
}

impl Forwarded {
    /// What the kubelet had to complain of, once it has closed its side.
    ///
    /// # Errors
    /// Where the connection broke before.
    pub async fn complaint(&mut self) -> Result<Option<String>, ClientError> {
        let mut text = Vec::new();
        (&mut self.complaint).take(MAX_COMPLAINT_BYTES as u64).read_to_end(&mut text).await?;
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok(Some(text).filter(|text| !text.is_empty()))
    }
}
