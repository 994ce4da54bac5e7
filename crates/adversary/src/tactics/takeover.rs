//! The impostor takes a kubelet's place on a connection that the client asked to be upgraded: it
//! switches, reads what is sent, and makes up what comes back, or splices the client's streams to
//! the genuine kubelet's and changes what passes.

use crate::field::STEP;
use crate::forge::{MARK, made_up_answer, relabelled};
use crate::notes::Notes;
use crate::speak::{Request, Switch, answer, read_request, switch, write};
use crate::tactics::spend;
use crate::target::Target;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use ravelin_host::BoxedStream;
use ravelin_oracle::dissect::{Message, StartLine, exchanges};
use ravelin_stream::channel::{PROTOCOL_HEADER, SPDY, TUNNEL_PROTOCOL, stream_header, stream_type};
use ravelin_stream::websocket;
use ravelin_transport::streams::{
    self, BoxedReader, BoxedWriter, RemoteCommand, RemoteOptions, Spdy, SpdyStream,
};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// How long the client may say nothing before the impostor answers.
const LISTENING: Duration = Duration::from_millis(300);

/// How much of one stream the impostor remembers.
const MAX_OVERHEARD_BYTES: usize = 1 << 20;

/// An upgrade that a client asked for.
pub struct Wanted<'a> {
    message: &'a Message,
    target: &'a str,
}

/// What the streams are carried by.
enum Carrier<'a> {
    /// SPDY, in this version of the stream protocol.
    Spdy(&'a str),
    /// Channels in a WebSocket, by its subprotocol.
    Channels(&'a str),
    /// SPDY in a WebSocket.
    Tunnel,
}

impl<'a> Wanted<'a> {
    /// The upgrade that a request asks for, if it does.
    pub fn of(message: &'a Message) -> Option<Self> {
        let StartLine::Request { target, .. } = &message.start else { return None };
        let connection = message.header("connection")?.to_ascii_lowercase();
        message.header("upgrade")?;
        connection.contains("upgrade").then_some(Self { message, target })
    }

    /// The protocol that the client likes best.
    fn offered(&self, header: &str) -> &'a str {
        let offered = self.message.header(header).unwrap_or_default();
        offered.split(',').next().unwrap_or_default().trim()
    }

    fn is_websocket(&self) -> bool {
        self.message.header("upgrade").is_some_and(|to| to.eq_ignore_ascii_case("websocket"))
    }

    fn carrier(&self) -> Carrier<'a> {
        if !self.is_websocket() {
            return Carrier::Spdy(self.offered(PROTOCOL_HEADER));
        }
        match self.offered("sec-websocket-protocol") {
            TUNNEL_PROTOCOL => Carrier::Tunnel,
            name => Carrier::Channels(name),
        }
    }

    fn forwards_ports(&self) -> bool {
        self.target.starts_with("/portForward/")
    }

    /// The streams that a command's client wants (`pkg/kubelet/server/remotecommand`).
    fn options(&self) -> RemoteOptions {
        let has = |name: &str| {
            let query = self.target.split_once('?').map_or("", |(_, query)| query);
            query
                .split('&')
                .any(|pair| matches!(pair.split_once('='), Some((key, "1" | "true")) if key == name))
        };
        let tty = has("tty");
        RemoteOptions { stdin: has("input"), stdout: has("output"), stderr: has("error") && !tty, tty }
    }

    /// The head of the answer that switches.
    fn switching(&self) -> Vec<u8> {
        let (to, name, value) = if self.is_websocket() {
            ("websocket", "sec-websocket-protocol", self.offered("sec-websocket-protocol"))
        } else {
            (SPDY, PROTOCOL_HEADER, self.offered(PROTOCOL_HEADER))
        };
        let mut head =
            format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {to}\r\n");
        if !value.is_empty() {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(key) = self.message.header("sec-websocket-key") {
            head.push_str(&format!("sec-websocket-accept: {}\r\n", websocket::accept_key(key)));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// Switches, reads what the client sends, and makes up what it is answered.
    pub async fn forge(&self, notes: &Notes<'_>, (flow, mut stream): (&str, BoxedStream)) {
        if write(&mut stream, &self.switching()).await.is_err() {
            return;
        }
        notes.tell(format!("{flow}: the client's connection was upgraded"));
        let host = notes.field().host();
        let command = match self.carrier() {
            Carrier::Tunnel => {
                let within = streams::tunnel_server(host, stream);
                return forge_ports(notes, flow, &Spdy::server(host, within)).await;
            }
            Carrier::Spdy(_) if self.forwards_ports() => {
                return forge_ports(notes, flow, &Spdy::server(host, stream)).await;
            }
            Carrier::Spdy(version) => {
                streams::remote_server_spdy(host, stream, version, self.options()).await
            }
            Carrier::Channels(protocol) => {
                streams::remote_server_websocket(host, stream, protocol, self.options()).await
            }
        };
        if let Ok(command) = command {
            forge_output(notes, flow, command).await;
        }
    }

    /// Asks the genuine server for the same upgrade, changed and without the client's credentials.
    pub async fn ask(&self, notes: &Notes<'_>, target: &Target, to: SocketAddr) -> Option<Switch> {
        let mut request = Request::of(self.message)?;
        request.headers.retain(|(name, _)| name != "authorization");
        if request.target.starts_with("/exec/") {
            // One more argument, which a shell's script does not look at.
            request.target.push_str(&format!("&command={MARK}"));
        }
        let flow = notes.field().flow(to);
        notes.tell(format!("{flow}: passed the request for an upgrade on, changed"));
        let connection = spend::connect(notes, to, (target.speaks, None)).await.ok()?;
        switch(connection, &request).await.ok()
    }

    /// Splices the client to the genuine server, which has switched, and changes what passes.
    pub async fn splice(
        &self,
        notes: &Notes<'_>,
        flow: &str,
        (mut client, genuine): (BoxedStream, BoxedStream),
    ) {
        notes.tell(format!("{flow}: the genuine server switched, and so did the impostor"));
        if write(&mut client, &self.switching()).await.is_err() {
            return;
        }
        match self.carrier() {
            Carrier::Spdy(_) => splice(notes, flow, (client, genuine)).await,
            Carrier::Channels(_) | Carrier::Tunnel => self.pass_on(notes, flow, (client, genuine)).await,
        }
    }

    /// Splices two connections unchanged, and reads along.
    async fn pass_on(&self, notes: &Notes<'_>, flow: &str, (client, genuine): (BoxedStream, BoxedStream)) {
        let (from_client, to_client) = tokio::io::split(client);
        let (from_genuine, to_genuine) = tokio::io::split(genuine);
        let head = format!("GET {} HTTP/1.1\r\n\r\n", self.target);
        let (mut sent, mut received) = (Overheard::quiet(notes, flow), Overheard::quiet(notes, flow));
        let ends =
            ((Box::new(from_client) as BoxedReader, Box::new(to_genuine) as BoxedWriter), Change::Nothing);
        let back =
            ((Box::new(from_genuine) as BoxedReader, Box::new(to_client) as BoxedWriter), Change::Nothing);
        futures_util::future::join(copy(ends, &mut sent), copy(back, &mut received)).await;
        let both = [head.as_bytes(), &sent.bytes].concat();
        let answered = [&self.switching()[..], &received.bytes].concat();
        for exchange in exchanges(&both, &answered) {
            exchange.carried().into_iter().for_each(|bytes| notes.learned(flow, bytes));
        }
    }
}

/// Reads a command's input and makes up its output and its success.
async fn forge_output(notes: &Notes<'_>, flow: &str, command: RemoteCommand) {
    let RemoteCommand { stdin, stdout, stderr, outcome, .. } = command;
    let mut heard = Overheard::new(notes, flow);
    if let Some(mut stdin) = stdin {
        let mut buffer = [0; 4096];
        while let Ok(Ok(count @ 1..)) = timeout(LISTENING, stdin.read(&mut buffer)).await {
            heard.hear(&buffer[..count]);
        }
    }
    if let Some(mut stdout) = stdout {
        let lie = format!("{MARK}\n");
        // Who is gone cannot be lied to.
        let _ = stdout.write_all(lie.as_bytes()).await;
        let _ = stdout.shutdown().await;
    }
    drop(stderr);
    outcome.success().await;
    notes.tell(format!("{flow}: made up the output and a successful end"));
}

/// Answers whatever is sent to forwarded ports.
async fn forge_ports(notes: &Notes<'_>, flow: &str, spdy: &Spdy) {
    let mut serving: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            accepted = spdy.accept() => match accepted {
                Some(stream) => serving.push(Box::pin(forge_stream(notes, flow, stream))),
                None => return,
            },
            _ = serving.next(), if !serving.is_empty() => {}
        }
    }
}

async fn forge_stream(notes: &Notes<'_>, flow: &str, stream: SpdyStream) {
    let is_data = kind(&stream) == stream_type::DATA;
    let (reader, writer) = stream.into_split();
    let mut through = tokio::io::join(reader, writer);
    if is_data && let Some(message) = read_request(&mut through).await {
        notes.learned(flow, super::terminate::request_text(&message));
        notes.learned(flow, message.body);
        // Who is gone cannot be lied to.
        let _ = answer(&mut through, &made_up_answer()).await;
        notes.tell(format!("{flow}: made up what the forwarded port answers"));
    }
    let _ = through.shutdown().await;
}

fn kind(stream: &SpdyStream) -> String {
    stream.header(stream_header::STREAM_TYPE).unwrap_or_default().to_owned()
}

/// Splices the streams that a client opens to streams of the same kind at the genuine server.
async fn splice(notes: &Notes<'_>, flow: &str, (client, genuine): (BoxedStream, BoxedStream)) {
    let host = notes.field().host();
    let (client, genuine) = (Spdy::server(host, client), Spdy::client(host, genuine));
    let mut passing: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            accepted = client.accept() => match accepted {
                Some(stream) => passing.push(Box::pin(splice_stream(notes, flow, (stream, &genuine)))),
                None => break,
            },
            _ = passing.next(), if !passing.is_empty() => {}
        }
    }
}

async fn splice_stream(notes: &Notes<'_>, flow: &str, (stream, genuine): (SpdyStream, &Spdy)) {
    let kind = kind(&stream);
    let headers: Vec<(&str, &str)> =
        stream.headers().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let opening = timeout(STEP, genuine.open(&headers)).await;
    let Ok(Ok(theirs)) = opening else { return };
    let ((reader, writer), (from, to)) = (stream.into_split(), theirs.into_split());
    let (there, back) = match kind.as_str() {
        stream_type::DATA => (Change::Relabel, Change::Relabel),
        stream_type::STDOUT => (Change::Nothing, Change::Append),
        _ => (Change::Nothing, Change::Nothing),
    };
    let (mut sent, mut received) = (Overheard::new(notes, flow), Overheard::new(notes, flow));
    let both = (copy(((reader, to), there), &mut sent), copy(((from, writer), back), &mut received));
    futures_util::future::join(both.0, both.1).await;
}

/// What the impostor does to what passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Nothing,
    /// Writes its mark behind it.
    Append,
    /// Renames a part of it, at equal length.
    Relabel,
}

/// Passes one direction on until it ends, and ends it there too.
async fn copy(((mut from, mut to), change): ((BoxedReader, BoxedWriter), Change), heard: &mut Overheard<'_>) {
    let mut buffer = [0; 8192];
    let mut passed = false;
    while let Ok(count) = from.read(&mut buffer).await {
        if count == 0 {
            if change == Change::Append && passed {
                // Who is gone cannot be lied to.
                let _ = to.write_all(format!("{MARK}\n").as_bytes()).await;
            }
            let _ = to.shutdown().await;
            return;
        }
        passed = true;
        heard.hear(&buffer[..count]);
        let bytes = match change {
            Change::Relabel => relabelled(&buffer[..count]),
            _ => buffer[..count].to_vec(),
        };
        if to.write_all(&bytes).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
}

/// What the impostor read of one stream. It counts however the stream ends.
struct Overheard<'a> {
    notes: &'a Notes<'a>,
    flow: &'a str,
    bytes: Vec<u8>,
    tells: bool,
}

impl<'a> Overheard<'a> {
    fn new(notes: &'a Notes<'a>, flow: &'a str) -> Self {
        Self { notes, flow, bytes: Vec::new(), tells: true }
    }

    /// What says nothing before it is put together.
    fn quiet(notes: &'a Notes<'a>, flow: &'a str) -> Self {
        let mut heard = Self::new(notes, flow);
        heard.tells = false;
        heard
    }

    fn hear(&mut self, bytes: &[u8]) {
        let room = MAX_OVERHEARD_BYTES.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

impl Drop for Overheard<'_> {
    fn drop(&mut self) {
        if self.tells && !self.bytes.is_empty() {
            self.notes.learned(self.flow, std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Message {
        let head = format!("{}\r\n\r\n", text.replace('\n', "\r\n"));
        exchanges(head.as_bytes(), b"").remove(0).request
    }

    #[test]
    fn an_upgrade_is_switched_as_its_client_asked() {
        let message = request(
            "POST /exec/ns/p/main?command=cat&input=1&output=1&error=1&tty=1 HTTP/1.1\nConnection: Upgrade\n\
             Upgrade: SPDY/3.1\nX-Stream-Protocol-Version: v4.channel.k8s.io\nX-Stream-Protocol-Version: channel.k8s.io",
        );
        let wanted = Wanted::of(&message).expect("it asks for an upgrade");
        let expected = RemoteOptions { stdin: true, stdout: true, stderr: false, tty: true };
        assert_eq!(wanted.options(), expected, "a terminal has one output");
        let head = String::from_utf8(wanted.switching()).unwrap();
        assert!(
            head.contains("Upgrade: SPDY/3.1\r\nx-stream-protocol-version: v4.channel.k8s.io\r\n\r\n"),
            "{head}"
        );
        let message = request(
            "GET /portForward/ns/p HTTP/1.1\nConnection: keep-alive, Upgrade\nUpgrade: websocket\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nSec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io, x",
        );
        let wanted = Wanted::of(&message).expect("it asks for an upgrade");
        assert!(wanted.forwards_ports() && matches!(wanted.carrier(), Carrier::Tunnel));
        let head = String::from_utf8(wanted.switching()).unwrap();
        // The example of RFC 6455 section 1.3.
        assert!(head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
        assert!(head.contains("sec-websocket-protocol: SPDY/3.1+portforward.k8s.io\r\n"), "{head}");
    }

    #[test]
    fn what_asks_for_no_upgrade_is_served_as_before() {
        for text in ["GET / HTTP/1.1\nUpgrade: SPDY/3.1", "GET / HTTP/1.1\nConnection: Upgrade"] {
            assert!(Wanted::of(&request(text)).is_none(), "{text}");
        }
    }
}
