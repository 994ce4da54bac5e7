//! The streams of one exec or attach at the end that runs the command (or stands for it).

use super::StreamError;
use super::driver::Link;
use super::half::{BoxedReader, BoxedWriter, Dropped, Held, Reader, Writer};
use super::outcome::{Ending, OutcomeWriter};
use super::spdy::{Spdy, SpdyStream};
use async_trait::async_trait;
use ravelin_host::{BoxedStream, HostRef};
use ravelin_stream::channel::{
    Channel, Channels, StreamProtocol, WebSocketProtocol, stream_header, stream_type,
};
use ravelin_stream::websocket::Role;
use ravelin_stream::{Session, Sizes, TerminalSize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

/// How long a client may take to open its streams, and a server to take one
/// (`DefaultStreamCreationTimeout`).
pub const CREATION_TIMEOUT: Duration = Duration::from_secs(30);

/// Sizes of the terminal that wait to be read.
const MAX_WAITING_SIZES: usize = 4;

/// Which streams an exec or attach has. As Kubernetes: no standard error with a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoteOptions {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// A terminal, whose size is told.
    pub tty: bool,
}

impl RemoteOptions {
    /// The types of the streams over SPDY, in the order in which clients open them.
    pub(super) fn types(self, version: StreamProtocol) -> Vec<&'static str> {
        let all = [
            (true, stream_type::ERROR),
            (self.stdin, stream_type::STDIN),
            (self.stdout, stream_type::STDOUT),
            (self.stderr, stream_type::STDERR),
            (self.tty && version.has_resize(), stream_type::RESIZE),
        ];
        all.into_iter().filter_map(|(wanted, kind)| wanted.then_some(kind)).collect()
    }
}

/// The streams of one exec or attach at the server's end. A writer that is dropped ends its stream;
/// whether the command did well, only the outcome says.
pub struct RemoteCommand {
    /// The command's standard input.
    pub stdin: Option<BoxedReader>,
    /// Its standard output.
    pub stdout: Option<BoxedWriter>,
    /// Its standard error.
    pub stderr: Option<BoxedWriter>,
    /// The sizes of its terminal, as they change.
    pub resize: Option<mpsc::Receiver<TerminalSize>>,
    /// How its end is told.
    pub outcome: OutcomeWriter,
}

impl std::fmt::Debug for RemoteCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (stdin, stdout) = (self.stdin.is_some(), self.stdout.is_some());
        write!(f, "RemoteCommand(stdin: {stdin}, stdout: {stdout}, stderr: {})", self.stderr.is_some())
    }
}

/// All streams of one connection, ended together.
struct Together<S: Session + 'static> {
    link: Link<S>,
    /// None is released before the end: a release would cut it off.
    held: Vec<Arc<Held<S>>>,
}

#[async_trait]
impl<S: Session + 'static> Ending for Together<S> {
    async fn close(&self) {
        self.link.with(|session| {
            for held in &self.held {
                session.finish(held.id);
            }
        });
        self.link.close().await;
    }

    async fn ended(&self) {
        self.link.ended().await;
    }
}

/// Waits for the streams that a client opens for its exec or attach over SPDY. `version` is the
/// protocol that was agreed on (a name; none is the first version).
///
/// # Errors
/// Where they do not come within [`CREATION_TIMEOUT`], or the connection ends.
pub async fn remote_server_spdy(
    host: &HostRef,
    stream: BoxedStream,
    version: &str,
    options: RemoteOptions,
) -> Result<RemoteCommand, StreamError> {
    let version = StreamProtocol::parse(version).ok_or(StreamError::Protocol)?;
    let spdy = Spdy::server(host, stream);
    let expected = options.types(version);
    let streams = tokio::time::timeout(CREATION_TIMEOUT, expected_streams(&spdy, &expected))
        .await
        .map_err(|_| StreamError::MissingStreams)??;
    let half = |kind: &str| streams.get(kind).map(|stream| Arc::clone(&stream.held));
    let error = half(stream_type::ERROR).ok_or(StreamError::MissingStreams)?;
    let held = streams.values().map(|stream| Arc::clone(&stream.held)).collect();
    let outcome = OutcomeWriter {
        error: writer(error, Dropped::Reset),
        has_status: version.has_status(),
        ending: Box::new(Together { link: spdy.link.clone(), held }),
    };
    Ok(RemoteCommand {
        stdin: half(stream_type::STDIN).map(reader),
        stdout: half(stream_type::STDOUT).map(output),
        stderr: half(stream_type::STDERR).map(output),
        resize: half(stream_type::RESIZE).map(|held| sizes(host, reader(held))),
        outcome,
    })
}

async fn expected_streams(
    spdy: &Spdy,
    expected: &[&'static str],
) -> Result<BTreeMap<&'static str, SpdyStream>, StreamError> {
    let mut streams = BTreeMap::new();
    while streams.len() < expected.len() {
        let stream = spdy.accept().await.ok_or(StreamError::Lost)?;
        let kind = stream.header(stream_header::STREAM_TYPE).unwrap_or_default();
        match expected.iter().find(|expected| **expected == kind) {
            Some(kind) if !streams.contains_key(kind) => {
                streams.insert(*kind, stream);
            }
            // The kubelet logs an unexpected stream and goes on; dropping it tells the client.
            _ => drop(stream),
        }
    }
    Ok(streams)
}

fn reader<S: Session + 'static>(held: Arc<Held<S>>) -> BoxedReader {
    Box::new(Reader::new(held))
}

/// Whether the output is whole, the outcome tells.
fn output<S: Session + 'static>(held: Arc<Held<S>>) -> BoxedWriter {
    writer(held, Dropped::Finish)
}

/// Nothing is read from a stream that is written. An end without a word would be success: so an
/// outcome that is dropped must be [`Dropped::Reset`].
fn writer<S: Session + 'static>(held: Arc<Held<S>>, dropped: Dropped) -> BoxedWriter {
    held.link.with(|session| session.ignore(held.id));
    Box::new(Writer::new(held, dropped))
}

/// Takes the channels of a client's exec or attach over a WebSocket, and tells the client that they
/// are there. `protocol` is the subprotocol that was agreed on; none is `channel.k8s.io`.
///
/// # Errors
/// Where there is no such protocol.
pub async fn remote_server_websocket(
    host: &HostRef,
    stream: BoxedStream,
    protocol: &str,
    options: RemoteOptions,
) -> Result<RemoteCommand, StreamError> {
    let protocol = WebSocketProtocol::parse(protocol).ok_or(StreamError::Protocol)?;
    let readable = [(options.stdin, Channel::Stdin), (options.tty, Channel::Resize)];
    let readable: Vec<Channel> =
        readable.into_iter().filter_map(|(wanted, channel)| wanted.then_some(channel)).collect();
    let mut channels = Channels::new(Role::Server, protocol, &readable);
    // `createWebSocketStreams`: an empty message on the lowest channel that is written.
    channels.announce(match options {
        RemoteOptions { stdout: true, .. } => Channel::Stdout,
        RemoteOptions { stderr: true, .. } => Channel::Stderr,
        _ => Channel::Error,
    });
    let link = Link::drive(host, stream, channels);
    let half = |wanted: bool, channel: Channel| wanted.then(|| Held::new(&link, channel as u32));
    let outcome = OutcomeWriter {
        error: writer(Held::new(&link, Channel::Error as u32), Dropped::Reset),
        has_status: protocol.has_status(),
        ending: Box::new(Together { link: link.clone(), held: Vec::new() }),
    };
    Ok(RemoteCommand {
        stdin: half(options.stdin, Channel::Stdin).map(reader),
        stdout: half(options.stdout, Channel::Stdout).map(output),
        stderr: half(options.stderr, Channel::Stderr).map(output),
        resize: half(options.tty, Channel::Resize).map(|held| sizes(host, reader(held))),
        outcome,
    })
}

/// Reads sizes until the stream ends or nobody wants them any more.
fn sizes(host: &HostRef, mut stream: BoxedReader) -> mpsc::Receiver<TerminalSize> {
    let (sender, receiver) = mpsc::channel(MAX_WAITING_SIZES);
    let read = async move {
        let mut parser = Sizes::default();
        let mut buffer = [0; 1024];
        loop {
            let read = tokio::select! {
                biased;
                () = sender.closed() => return,
                read = stream.read(&mut buffer) => read,
            };
            let Ok(length @ 1..) = read else { return };
            for size in parser.receive(&buffer[..length]) {
                if sender.send(size).await.is_err() {
                    return;
                }
            }
        }
    };
    // It ends with the stream, or with the receiver.
    host.spawn("stream.sizes", Box::pin(read)).detach();
    receiver
}
