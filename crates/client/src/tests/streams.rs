//! Exec, attach and port-forward against a server that echoes, over both carriers.

use super::stage::Stage;
use crate::{Carrier, ClientError, Outcome, PodName, Remote, RemoteOptions};
use async_trait::async_trait;
use http::StatusCode;
use ravelin_host::{BoxedStream, HostRef};
use ravelin_transport::streams::{self, RemoteCommand, Spdy, SpdyStream};
use ravelin_transport::{Handler, PeerInfo, Request, Response, body, upgrade};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ALL: RemoteOptions = RemoteOptions { stdin: true, stdout: true, stderr: true, tty: false };
const POD: PodName<'_> = PodName { namespace: "ns", name: "p" };
const CARRIERS: [Carrier; 2] = [Carrier::WebSocket, Carrier::Spdy];

fn how(carrier: Carrier) -> Remote<'static> {
    Remote { container: Some("main"), options: ALL, carrier }
}

/// Echoes what it is sent.
struct Echo(HostRef);

/// What the streams of a request are for, taken from its head.
#[derive(Clone)]
struct Asked {
    path_and_query: String,
    protocol: String,
    websocket: bool,
}

#[async_trait]
impl Handler for Echo {
    async fn handle(&self, mut request: Request, _: &PeerInfo) -> Response {
        let path_and_query = request.uri().to_string();
        if path_and_query.contains("/denied/") {
            let mut response =
                Response::new(body::full(r#"{"kind":"Status","code":403,"message":"not you"}"#));
            *response.status_mut() = StatusCode::FORBIDDEN;
            return response;
        }
        let pending = upgrade::accept(&mut request).expect("these requests ask for an upgrade");
        let websocket = upgrade::is_websocket(request.headers());
        let (protocol, response) = if websocket {
            let protocol = upgrade::websocket_protocols(request.headers()).remove(0);
            let taken = if path_and_query.contains("/liar/") { "v9.channel.k8s.io" } else { &protocol };
            let response = upgrade::websocket_answer(request.headers(), Some(taken));
            (protocol, response.expect("the handshake is one"))
        } else {
            let accepted = ["v4.channel.k8s.io", "portforward.k8s.io"];
            let (protocol, headers) =
                upgrade::stream_protocol(request.headers(), &accepted).expect("one of them is offered");
            (protocol.to_owned(), upgrade::switching("SPDY/3.1", headers))
        };
        let (host, asked) = (Arc::clone(&self.0), Asked { path_and_query, protocol, websocket });
        let serve = async move {
            let stream = pending.stream().await.expect("the 101 was sent");
            serve(&host, stream, asked).await;
        };
        self.0.spawn("echo", Box::pin(serve)).detach();
        response
    }
}

async fn serve(host: &HostRef, stream: BoxedStream, asked: Asked) {
    if asked.path_and_query.contains("/portforward") {
        let stream = if asked.websocket { streams::tunnel_server(host, stream) } else { stream };
        let spdy = Spdy::server(host, stream);
        while let Some(stream) = spdy.accept().await {
            forward(stream).await;
        }
        return;
    }
    let command = if asked.websocket {
        streams::remote_server_websocket(host, stream, &asked.protocol, ALL).await
    } else {
        streams::remote_server_spdy(host, stream, &asked.protocol, ALL).await
    };
    let RemoteCommand { stdin, stdout, outcome, .. } = command.expect("all streams are opened");
    let (mut stdin, mut stdout) = (stdin.unwrap(), stdout.unwrap());
    let mut input = String::new();
    stdin.read_to_string(&mut input).await.unwrap();
    stdout.write_all(format!("{}: {input}", asked.path_and_query).as_bytes()).await.unwrap();
    stdout.shutdown().await.unwrap();
    outcome.exited(3).await;
}

async fn forward(stream: SpdyStream) {
    let port = stream.header("port").unwrap().to_owned();
    let is_data = stream.header("streamtype") == Some("data");
    let (mut reader, mut writer) = stream.into_split();
    if is_data && port == "8080" {
        let mut sent = String::new();
        reader.read_to_string(&mut sent).await.unwrap();
        writer.write_all(format!("{port}: {sent}").as_bytes()).await.unwrap();
    } else if !is_data && port != "8080" {
        writer.write_all(b"nobody listens").await.unwrap();
    }
    writer.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_commands_streams_and_exit_code_come_over_both_carriers() {
    let stage = Stage::new();
    let _serving = stage.serve_with(Arc::new(Echo(stage.host.clone()))).await;
    for carrier in CARRIERS {
        let client = stage.client();
        let exec = client.exec(POD, &["sh", "-c", "a b&c"], how(carrier)).await.unwrap();
        let attach = client.attach(POD, how(carrier)).await.unwrap();
        for (mut session, path) in [
            (exec, "exec?command=sh&command=-c&command=a%20b%26c&container=main"),
            (attach, "attach?container=main"),
        ] {
            let mut stdin = session.stdin.take().unwrap();
            stdin.write_all(b"hello").await.unwrap();
            stdin.shutdown().await.unwrap();
            let mut output = String::new();
            session.stdout.take().unwrap().read_to_string(&mut output).await.unwrap();
            let flags = "stdin=true&stdout=true&stderr=true";
            assert_eq!(output, format!("/api/v1/namespaces/ns/pods/p/{path}&{flags}: hello"), "{carrier:?}");
            assert_eq!(session.outcome.read().await.unwrap(), Outcome::Exited(3), "{carrier:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn forwarded_connections_are_told_apart_and_complaints_reach_the_caller() {
    let stage = Stage::new();
    let _serving = stage.serve_with(Arc::new(Echo(stage.host.clone()))).await;
    for carrier in CARRIERS {
        let forwarding = stage.client().port_forward(POD, carrier).await.unwrap();
        for (port, answer, complaint) in
            [(8080, "8080: hello", None), (81, "", Some("nobody listens".to_owned()))]
        {
            let mut forwarded = forwarding.connect(port).await.unwrap();
            // What nobody listens to may be cut off.
            let _ = forwarded.writer.write_all(b"hello").await;
            let _ = forwarded.writer.shutdown().await;
            let mut answered = String::new();
            forwarded.reader.read_to_string(&mut answered).await.unwrap();
            assert_eq!(answered, answer, "{carrier:?}");
            assert_eq!(forwarded.complaint().await.unwrap(), complaint, "{carrier:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_an_error_and_a_protocol_that_was_not_offered_too() {
    let stage = Stage::new();
    let _serving = stage.serve_with(Arc::new(Echo(stage.host.clone()))).await;
    for carrier in CARRIERS {
        let denied = PodName { namespace: "denied", ..POD };
        let refused = stage.client().exec(denied, &["id"], how(carrier)).await.unwrap_err();
        assert_eq!(refused.to_string(), "the apiserver answered 403: not you");
        let refused = stage.client().port_forward(denied, carrier).await.map(drop).unwrap_err();
        assert_eq!(refused.code(), Some(403));
    }
    let liar = PodName { namespace: "liar", ..POD };
    let refused = stage.client().exec(liar, &["id"], how(Carrier::WebSocket)).await.unwrap_err();
    assert!(matches!(refused, ClientError::Malformed(_)), "{refused}");
}
