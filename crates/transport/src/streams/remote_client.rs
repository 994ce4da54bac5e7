//! The streams of one exec or attach at the end that asked for it.

use super::StreamError;
use super::driver::{Link, PING_PERIOD};
use super::half::{BoxedReader, BoxedWriter, Dropped, Held, Reader, Writer};
use super::outcome::OutcomeReader;
use super::remote::{CREATION_TIMEOUT, RemoteOptions};
use super::spdy::Spdy;
use super::websocket::client_role;
use ravelin_host::{BoxedStream, HostRef};
use ravelin_stream::channel::{
    Channel, Channels, StreamProtocol, WebSocketProtocol, stream_header, stream_type,
};
use ravelin_stream::{Session, TerminalSize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

/// Sizes of the terminal that wait to be sent.
const MAX_WAITING_SIZES: usize = 4;

/// The streams of one exec or attach at the client's end. The connection ends when all are dropped.
pub struct RemoteClient {
    /// The command's standard input. `shutdown` ends it (over a WebSocket before v5 nothing can);
    /// dropped without it, it is cut off.
    pub stdin: Option<BoxedWriter>,
    /// Its standard output.
    pub stdout: Option<BoxedReader>,
    /// Its standard error.
    pub stderr: Option<BoxedReader>,
    /// Where the sizes of its terminal go.
    pub resize: Option<mpsc::Sender<TerminalSize>>,
    /// How its end is learned.
    pub outcome: OutcomeReader,
}

impl std::fmt::Debug for RemoteClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (stdin, stdout) = (self.stdin.is_some(), self.stdout.is_some());
        write!(f, "RemoteClient(stdin: {stdin}, stdout: {stdout}, stderr: {})", self.stderr.is_some())
    }
}

/// Opens the streams of an exec or attach over SPDY, with pings. `version` is the protocol that the
/// server agreed to (a name; none is the first version).
///
/// # Errors
/// Where the server does not take them.
pub async fn remote_client_spdy(
    host: &HostRef,
    stream: BoxedStream,
    version: &str,
    options: RemoteOptions,
) -> Result<RemoteClient, StreamError> {
    let version = StreamProtocol::parse(version).ok_or(StreamError::Protocol)?;
    let spdy = Spdy::client(host, stream).with_pings(PING_PERIOD);
    let mut streams = BTreeMap::new();
    for kind in options.types(version) {
        let stream = spdy.open(&[(stream_header::STREAM_TYPE, kind)]).await?;
        streams.insert(kind, stream.held);
    }
    let error = streams.remove(stream_type::ERROR).ok_or(StreamError::Refused)?;
    Ok(RemoteClient {
        stdin: streams.remove(stream_type::STDIN).map(writer),
        stdout: streams.remove(stream_type::STDOUT).map(output),
        stderr: streams.remove(stream_type::STDERR).map(output),
        resize: streams.remove(stream_type::RESIZE).map(|held| sizes(host, writer(held))),
        outcome: OutcomeReader { error: reader(error), has_status: version.has_status() },
    })
}

/// Takes the channels of an exec or attach over a WebSocket, with pings. `protocol` is the
/// subprotocol that the server agreed to; none is `channel.k8s.io`.
///
/// # Errors
/// Where there is no such protocol.
pub async fn remote_client_websocket(
    host: &HostRef,
    stream: BoxedStream,
    protocol: &str,
    options: RemoteOptions,
) -> Result<RemoteClient, StreamError> {
    let protocol = WebSocketProtocol::parse(protocol).ok_or(StreamError::Protocol)?;
    let readable = [(options.stdout, Channel::Stdout), (options.stderr, Channel::Stderr)];
    let readable = readable.into_iter().filter_map(|(wanted, channel)| wanted.then_some(channel));
    let readable: Vec<Channel> = readable.chain([Channel::Error]).collect();
    let link = Link::drive(host, stream, Channels::new(client_role(host), protocol, &readable));
    link.ping_every(PING_PERIOD);
    let half = |wanted: bool, channel: Channel| wanted.then(|| Held::new(&link, channel as u32));
    Ok(RemoteClient {
        stdin: half(options.stdin, Channel::Stdin).map(writer),
        stdout: half(options.stdout, Channel::Stdout).map(output),
        stderr: half(options.stderr, Channel::Stderr).map(output),
        resize: half(options.tty, Channel::Resize).map(|held| sizes(host, writer(held))),
        outcome: OutcomeReader {
            error: reader(Held::new(&link, Channel::Error as u32)),
            has_status: protocol.has_status(),
        },
    })
}

/// Nothing is written to a stream that is read; it stays half open until its end.
fn reader<S: Session + 'static>(held: Arc<Held<S>>) -> BoxedReader {
    Box::new(Reader::new(held))
}

fn output<S: Session + 'static>(held: Arc<Held<S>>) -> BoxedReader {
    Box::new(Reader::lenient(held))
}

/// Nothing is read from a stream that is written.
fn writer<S: Session + 'static>(held: Arc<Held<S>>) -> BoxedWriter {
    held.link.with(|session| session.ignore(held.id));
    Box::new(Writer::new(held, Dropped::Reset))
}

/// Sends sizes until nobody has any more, or the stream takes none.
fn sizes(host: &HostRef, mut stream: BoxedWriter) -> mpsc::Sender<TerminalSize> {
    let (sender, mut receiver) = mpsc::channel::<TerminalSize>(MAX_WAITING_SIZES);
    let write = async move {
        while let Some(size) = receiver.recv().await {
            let text = size.to_json();
            let sent = tokio::time::timeout(CREATION_TIMEOUT, stream.write_all(text.as_bytes())).await;
            if !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
        // The terminal keeps its size.
        let _ = stream.shutdown().await;
    };
    // It ends with the last sender, or with the stream.
    host.spawn("stream.sizes", Box::pin(write)).detach();
    sender
}
