//! Requests of the attacker's own that are answered with streams: a command's output over a
//! WebSocket, and a forwarded port over SPDY.

use super::spend::Silence;
use crate::field::{Field, STEP};
use crate::speak::{Answer, Request, Switch, ask, switch};
use crate::target::Streams;
use ravelin_host::BoxedStream;
use ravelin_stream::channel::{
    PORT_FORWARD_PROTOCOL, PROTOCOL_HEADER, SPDY, WebSocketProtocol, stream_header, stream_type,
};
use ravelin_stream::websocket;
use ravelin_transport::streams::{self, RemoteOptions, Spdy, StreamError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// How much of a command's output an attacker reads.
const MAX_OUTPUT_BYTES: u64 = 64 * 1024;

/// Every key is as good as any other: a server only has to show that it read it.
const KEY: [u8; 16] = [0x52; 16];

/// What is spoken over the WebSocket: what kubelets have always taken.
const CHANNELS: WebSocketProtocol = WebSocketProtocol::V4;

/// The headers that ask for the streams.
pub fn headers(wanted: &Streams) -> Vec<(String, String)> {
    let headers = match wanted {
        Streams::Output => vec![
            ("upgrade", "websocket".to_owned()),
            ("sec-websocket-version", websocket::VERSION.to_owned()),
            ("sec-websocket-key", websocket::key(KEY)),
            ("sec-websocket-protocol", CHANNELS.name().to_owned()),
        ],
        Streams::Port { .. } => {
            vec![("upgrade", SPDY.to_owned()), (PROTOCOL_HEADER, PORT_FORWARD_PROTOCOL.to_owned())]
        }
    };
    let asked = headers.into_iter().map(|(name, value)| (name.to_owned(), value));
    std::iter::once(("connection".to_owned(), "Upgrade".to_owned())).chain(asked).collect()
}

/// Asks for the streams over a fresh connection, and gives what came through them as the answer.
pub async fn request(
    field: &Field,
    stream: BoxedStream,
    (what, wanted): (&Request, &Streams),
) -> Result<Answer, Silence> {
    let switched = switch(stream, what).await.map_err(Silence::of)?;
    let stream = match switched {
        Switch::Made(stream) => stream,
        Switch::Not(answer) => return Ok(answer),
    };
    let through = async {
        match wanted {
            Streams::Output => output(field, stream).await.ok(),
            Streams::Port { port, get } => forwarded(field, stream, (*port, get)).await,
        }
    };
    let body = timeout(STEP, through).await.ok().flatten().ok_or(Silence::Nothing)?;
    let content_type = "application/octet-stream".to_owned();
    Ok(Answer { status: 200, content_type, location: None, body })
}

/// A command's whole output.
async fn output(field: &Field, stream: BoxedStream) -> Result<Vec<u8>, StreamError> {
    let options = RemoteOptions { stdin: false, stdout: true, stderr: false, tty: false };
    let mut command =
        streams::remote_client_websocket(field.host(), stream, CHANNELS.name(), options).await?;
    let mut output = Vec::new();
    if let Some(stdout) = &mut command.stdout {
        // What there is of it is what the attacker has.
        let _ = stdout.take(MAX_OUTPUT_BYTES).read_to_end(&mut output).await;
    }
    Ok(output)
}

/// What the server at a forwarded port answers.
async fn forwarded(field: &Field, stream: BoxedStream, (port, get): (u16, &str)) -> Option<Vec<u8>> {
    let spdy = Spdy::client(field.host(), stream);
    let port = port.to_string();
    let open = async |kind: &str| {
        let headers = [
            (stream_header::STREAM_TYPE, kind),
            (stream_header::PORT, port.as_str()),
            (stream_header::REQUEST_ID, "0"),
        ];
        spdy.open(&headers).await.ok()
    };
    let (_complaint, mut nothing) = open(stream_type::ERROR).await?.into_split();
    nothing.shutdown().await.ok()?;
    let (reader, writer) = open(stream_type::DATA).await?.into_split();
    let mut through = tokio::io::join(reader, writer);
    let answer = ask(&mut through, &Request::new("GET", get, "localhost")).await.ok()?;
    Some(answer.body)
}
