//! Exec, attach and port-forward at the kubelet's endpoint, by callers who speak to it directly.

use super::stage::{Stage, with_token};
use crate::Running;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use ravelin_client::Credential;
use ravelin_host::{Endpoint, Flaws, HostRef};
use ravelin_pki::ServerTrust;
use ravelin_transport::streams::{
    Kind, Outcome, RemoteClient, RemoteOptions, Spdy, WebSocket, remote_client_spdy, remote_client_websocket,
    tunnel_client,
};
use ravelin_transport::upgrade::WebSocketOffer;
use ravelin_transport::{HttpConnection, Response, TlsClient, Upgraded, body, collect};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const EXEC: &str = "/exec/default/p/c";
const ALL: RemoteOptions = RemoteOptions { stdin: true, stdout: true, stderr: true, tty: false };
const OUTPUT: RemoteOptions = RemoteOptions { stdin: false, stdout: true, stderr: true, tty: false };

/// A kubelet with a running pod, and somebody who calls it.
struct Scene {
    stage: Stage,
    _running: Running,
    caller: HostRef,
}

impl Scene {
    async fn new(version: &str) -> Self {
        let stage = Stage::new(Flaws::none()).await;
        *stage.stub.pods.lock().unwrap() = vec![with_token(json!({
            "metadata": { "namespace": "default", "name": "p", "uid": "p-uid" },
            "spec": { "nodeName": "n1", "containers": [{ "name": "c", "image": "ravelin.test/http" }] },
        }))];
        let mut config = stage.config();
        version.clone_into(&mut config.version);
        let running = stage.start(config).await;
        stage.request("PATCH /api/v1/namespaces/default/pods/p/status").await;
        let caller = stage.network.host("streamer", [10, 0, 0, 8]);
        Self { stage, _running: running, caller }
    }

    async fn upgrade(&self, who: &str, (method, path): (&str, &str), headers: HeaderMap) -> Upgraded {
        let stream = self.caller.connect(&Endpoint::tcp([10, 0, 0, 2], 10250)).await.unwrap().stream;
        let Credential::Certificate(identity) = self.stage.certificate(who) else { panic!("a certificate") };
        let tls = TlsClient {
            trust: ServerTrust::DangerAny,
            identity: Some(identity),
            server_name: "10.0.0.2".to_owned(),
        };
        let secured = tls.connect(&self.caller, stream).await.unwrap();
        let connection = HttpConnection::open(&self.caller, secured.stream).await.unwrap();
        let mut request = http::Request::builder().method(method).uri(path).body(body::empty()).unwrap();
        *request.headers_mut() = headers;
        connection.upgrade(request).await.unwrap()
    }

    /// Execs over SPDY with these protocols offered.
    async fn spdy(
        &self,
        query: &str,
        protocols: &[&'static str],
        options: RemoteOptions,
    ) -> (String, RemoteClient) {
        let path = format!("{EXEC}?{query}");
        let upgraded = self.upgrade("admin", ("POST", &path), spdy(protocols)).await;
        let Upgraded::Switched { head, stream } = upgraded else { panic!("{upgraded:?}") };
        let protocol = head.headers["x-stream-protocol-version"].to_str().unwrap().to_owned();
        let client = remote_client_spdy(&self.caller, stream, &protocol, options).await.unwrap();
        (protocol, client)
    }

    /// Execs over a WebSocket with these subprotocols offered.
    async fn websocket(
        &self,
        query: &str,
        protocols: &[&str],
        options: RemoteOptions,
    ) -> (String, RemoteClient) {
        let offer = WebSocketOffer::new(&self.caller, protocols);
        let mut headers = HeaderMap::new();
        offer.write(&mut headers);
        let path = format!("{EXEC}?{query}");
        let upgraded = self.upgrade("admin", ("GET", &path), headers).await;
        let Upgraded::Switched { head, stream } = upgraded else { panic!("{upgraded:?}") };
        let protocol = offer.check(&head).unwrap();
        let client = remote_client_websocket(&self.caller, stream, &protocol, options).await.unwrap();
        (protocol, client)
    }
}

fn spdy(protocols: &[&'static str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("connection", HeaderValue::from_static("Upgrade"));
    headers.insert("upgrade", HeaderValue::from_static("SPDY/3.1"));
    for protocol in protocols {
        let name = HeaderName::from_static("x-stream-protocol-version");
        headers.append(name, HeaderValue::from_static(protocol));
    }
    headers
}

/// Sends input, and gives output, complaints and outcome.
async fn talk(client: RemoteClient, input: &[u8]) -> (String, String, Outcome) {
    let RemoteClient { stdin, stdout, stderr, outcome, .. } = client;
    let write = async {
        if let Some(mut stdin) = stdin {
            stdin.write_all(input).await.unwrap();
            stdin.shutdown().await.unwrap();
        }
    };
    let read = async |from: Option<ravelin_transport::streams::BoxedReader>| {
        let mut text = String::new();
        if let Some(mut from) = from {
            from.read_to_string(&mut text).await.unwrap();
        }
        text
    };
    let ((), stdout, stderr, outcome) = tokio::join!(write, read(stdout), read(stderr), outcome.read());
    (stdout, stderr, outcome.unwrap())
}

async fn text(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let text = collect(answer.into_body(), 1 << 16).await.unwrap();
    (status, String::from_utf8(text.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_command_has_its_streams_and_its_exit_code_by_every_version_of_spdy() {
    let scene = Scene::new("v1.36.2").await;
    let script = "command=sh&command=-c&command=cat%3B+echo+oh+%3E%262%3B+exit+7&input=1&output=1&error=1";
    for protocol in ["v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io"] {
        let (agreed, client) = scene.spdy(script, &[protocol], ALL).await;
        assert_eq!(agreed, protocol);
        let (stdout, stderr, outcome) = talk(client, b"through and back").await;
        assert_eq!((stdout.as_str(), stderr.as_str()), ("through and back", "oh\n"), "{protocol}");
        match outcome {
            Outcome::Exited(7) => assert!(protocol >= "v4"),
            Outcome::Failed(text) => {
                assert!(protocol < "v4" && text.contains("exit status 7"), "{protocol}: {text}");
            }
            other => panic!("{protocol}: {other:?}"),
        }
    }
    let (_, client) = scene.spdy("command=true&output=1&error=1", &["v4.channel.k8s.io"], OUTPUT).await;
    assert_eq!(talk(client, b"").await.2, Outcome::Success);
}

#[tokio::test(start_paused = true)]
async fn websockets_are_served_in_the_versions_that_a_kubelet_knows() {
    let script = "command=sh&command=-c&command=cat%3B+exit+3&input=1&output=1&error=1";
    for (version, offered, agreed) in [
        ("v1.36.2", &["v4.channel.k8s.io", "v5.channel.k8s.io"][..], "v5.channel.k8s.io"),
        ("v1.36.2", &["v5.channel.k8s.io"], "v5.channel.k8s.io"),
        ("v1.35.0", &["v5.channel.k8s.io", "v4.channel.k8s.io"], "v4.channel.k8s.io"),
        ("v1.20.0", &["v4.channel.k8s.io"], "v4.channel.k8s.io"),
    ] {
        let scene = Scene::new(version).await;
        // Before version 5 nothing ends the input: what reads it to its end would never end.
        let ends = agreed.starts_with("v5");
        let script =
            if ends { script } else { "command=sh&command=-c&command=echo+hi%3B+exit+3&output=1&error=1" };
        let options = if ends { ALL } else { OUTPUT };
        let (protocol, client) = scene.websocket(script, offered, options).await;
        assert_eq!(protocol, agreed, "{version}");
        let (stdout, _, outcome) = talk(client, b"through").await;
        assert_eq!((stdout.as_str(), outcome), (if ends { "through" } else { "hi\n" }, Outcome::Exited(3)));
    }
    let scene = Scene::new("v1.35.0").await;
    let offer = WebSocketOffer::new(&scene.caller, &["v5.channel.k8s.io"]);
    let mut headers = HeaderMap::new();
    offer.write(&mut headers);
    let refused = scene.upgrade("admin", ("GET", &format!("{EXEC}?command=id&output=1")), headers).await;
    let Upgraded::Refused(answer) = refused else { panic!("{refused:?}") };
    assert_eq!(text(answer).await, (403, String::new()));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_streamed_is_refused_in_upstreams_words() {
    let scene = Scene::new("v1.33.0").await;
    let v4 = || spdy(&["v4.channel.k8s.io"]);
    let none = "you must specify at least 1 of stdin, stdout, stderr";
    let unknown = "unable to upgrade: unable to negotiate protocol: client supports [v9], server accepts [v4.channel.k8s.io v3.channel.k8s.io v2.channel.k8s.io channel.k8s.io]\n";
    for (path, headers, status, said) in [
        ("/exec/default/p/c?command=ls", v4(), 400, none),
        ("/exec/default/p/c?command=ls&stdout=1", v4(), 400, none),
        ("/exec/default/nope/c?command=ls&output=1", v4(), 404, "pod does not exist"),
        ("/exec/default/p/x?command=ls&output=1", v4(), 500, "container not found (\"x\")"),
        ("/exec/default/p/other/c?command=ls&output=1", v4(), 500, "container not found (\"c\")"),
        ("/attach/default/p/x?output=1", v4(), 500, "container x not found in pod p_default"),
        ("/exec/default/p/c?command=ls&output=1", HeaderMap::new(), 500, "Upgrade request required\n"),
        ("/exec/default/p/c?command=ls&output=1", spdy(&["v9"]), 403, unknown),
        ("/portForward/default/nope", spdy(&["portforward.k8s.io"]), 404, "pod does not exist"),
        ("/portForward/default/p/other", spdy(&["portforward.k8s.io"]), 404, "pod not found"),
    ] {
        let refused = scene.upgrade("admin", ("POST", path), headers).await;
        let Upgraded::Refused(answer) = refused else { panic!("{path}: {refused:?}") };
        assert_eq!(text(answer).await, (status, said.to_owned()), "{path}");
    }
    let ports = WebSocketOffer::new(&scene.caller, &["v4.channel.k8s.io"]);
    let mut headers = HeaderMap::new();
    ports.write(&mut headers);
    let refused = scene.upgrade("admin", ("GET", "/portForward/default/p"), headers).await;
    let Upgraded::Refused(answer) = refused else { panic!("{refused:?}") };
    assert_eq!(text(answer).await, (400, "query parameter \"port\" is required".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn streams_need_the_right_to_the_nodes_proxy_and_a_websocket_only_to_get() {
    let scene = Scene::new("v1.33.0").await;
    let path = format!("{EXEC}?command=id&output=1");
    let offer = WebSocketOffer::new(&scene.caller, &["v4.channel.k8s.io"]);
    let mut websocket = HeaderMap::new();
    offer.write(&mut websocket);
    for (method, headers, verb) in
        [("POST", spdy(&["v4.channel.k8s.io"]), "create"), ("GET", websocket, "get")]
    {
        let refused = scene.upgrade("reader", (method, &path), headers).await;
        let Upgraded::Refused(answer) = refused else { panic!("{refused:?}") };
        let said = format!("Forbidden (user=reader, verb={verb}, resource=nodes, subresource(s)=[proxy])\n");
        assert_eq!(text(answer).await, (403, said));
    }
    assert!(scene.stage.runtime.ledger("p-uid").unwrap().runs().is_empty(), "nothing ran");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_vanishes_ends_its_command() {
    let scene = Scene::new("v1.33.0").await;
    for vanishes in [true, false] {
        let (_, client) =
            scene.spdy("command=sleep&command=100&output=1&error=1", &["v4.channel.k8s.io"], OUTPUT).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let last = || scene.stage.runtime.ledger("p-uid").unwrap().runs().pop().unwrap();
        assert!(!last().has_ended, "it runs");
        let kept = Some(client).filter(|_| !vanishes);
        tokio::time::sleep(Duration::from_secs(200)).await;
        assert_eq!(last().has_ended, !vanishes, "whether it could end by itself");
        drop(kept);
    }
}

/// Asks the pod's server, over one forwarded connection.
async fn asked(spdy: &Spdy, id: &str, path: &str) -> (String, String) {
    let headers = |kind| [("streamType", kind), ("port", "8080"), ("requestID", id)];
    let error = spdy.open(&headers("error")).await.unwrap();
    let data = spdy.open(&headers("data")).await.unwrap();
    let (mut complaints, mut closed) = error.into_split();
    closed.shutdown().await.unwrap();
    let (mut reader, mut writer) = data.into_split();
    let request = format!("GET {path} HTTP/1.1\r\nhost: p\r\nconnection: close\r\n\r\n");
    writer.write_all(request.as_bytes()).await.unwrap();
    let (mut answer, mut complaint) = (String::new(), String::new());
    reader.read_to_string(&mut answer).await.unwrap();
    complaints.read_to_string(&mut complaint).await.unwrap();
    (answer, complaint)
}

#[tokio::test(start_paused = true)]
async fn forwarded_connections_do_not_wait_for_each_other() {
    let scene = Scene::new("v1.36.2").await;
    let offer = WebSocketOffer::new(&scene.caller, &["SPDY/3.1+portforward.k8s.io"]);
    let mut tunnel = HeaderMap::new();
    offer.write(&mut tunnel);
    for (method, headers) in [("POST", spdy(&["portforward.k8s.io"])), ("GET", tunnel)] {
        let upgraded = scene.upgrade("admin", (method, "/portForward/default/p"), headers).await;
        let Upgraded::Switched { stream, .. } = upgraded else { panic!("{upgraded:?}") };
        let stream = if method == "GET" { tunnel_client(&scene.caller, stream) } else { stream };
        let spdy = Spdy::client(&scene.caller, stream);
        // One that is never used stands in nobody's way.
        let hung =
            spdy.open(&[("streamType", "data"), ("port", "8080"), ("requestID", "hung")]).await.unwrap();
        let (first, second, third) =
            tokio::join!(asked(&spdy, "0", "/a"), asked(&spdy, "1", "/b"), asked(&spdy, "2", "/c"));
        for (answer, complaint) in [first, second, third] {
            assert!(answer.starts_with("HTTP/1.1 404"), "{method}: {answer} {complaint}");
            assert_eq!(complaint, "");
        }
        drop(hung);
        let nobody = [("streamType", "error"), ("port", "1"), ("requestID", "9")];
        let (mut complaints, _writer) = spdy.open(&nobody).await.unwrap().into_split();
        let _data = spdy.open(&[("streamType", "data"), nobody[1], nobody[2]]).await.unwrap();
        let mut complaint = String::new();
        complaints.read_to_string(&mut complaint).await.unwrap();
        assert!(complaint.starts_with("error forwarding port 1 to pod p-uid, uid : "), "{complaint}");
    }
}

#[tokio::test(start_paused = true)]
async fn ports_are_forwarded_over_the_channels_of_a_websocket() {
    let scene = Scene::new("v1.30.0").await;
    for base64 in [false, true] {
        let offered = if base64 { "v4.base64.channel.k8s.io" } else { "v4.channel.k8s.io" };
        let offer = WebSocketOffer::new(&scene.caller, &[offered]);
        let mut headers = HeaderMap::new();
        offer.write(&mut headers);
        let path = "/portForward/default/p?port=8080,1";
        let upgraded = scene.upgrade("admin", ("GET", path), headers).await;
        let Upgraded::Switched { stream, .. } = upgraded else { panic!("{upgraded:?}") };
        let (mut sender, mut receiver) = WebSocket::client(&scene.caller, stream).into_split();
        let request = b"GET / HTTP/1.1\r\nhost: p\r\nconnection: close\r\n\r\n";
        let (kind, message) = match base64 {
            true => (Kind::Text, format!("0{}", STANDARD.encode(request)).into_bytes()),
            false => (Kind::Binary, [&[0], &request[..]].concat()),
        };
        sender.send(kind, &message).await.unwrap();
        let mut channels = vec![Vec::new(); 4];
        while let Ok(Some(message)) = receiver.receive().await {
            let (channel, bytes) = message.bytes.split_first().unwrap();
            match base64 {
                true => channels[usize::from(*channel - b'0')].extend(STANDARD.decode(bytes).unwrap()),
                false => channels[usize::from(*channel)].extend_from_slice(bytes),
            }
        }
        let port = 8080_u16.to_le_bytes();
        assert!(channels[0].starts_with(&[&port[..], b"HTTP/1.1 200"].concat()), "{:?}", channels[0]);
        assert_eq!(channels[1], port);
        assert_eq!(channels[2], [1, 0]);
        let complaint = String::from_utf8_lossy(&channels[3][2..]).into_owned();
        assert!(complaint.starts_with("error forwarding port 1 to pod p-uid, uid : "), "{complaint}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_forwarded_connection_that_its_client_cuts_off_ends_in_the_pod() {
    let scene = Scene::new("v1.36.2").await;
    let pod = scene.stage.runtime.sandbox("p-uid").unwrap().host;
    let listener = pod.listen(&Endpoint::tcp(pod.addresses()[0], 7)).await.unwrap();
    let headers = spdy(&["portforward.k8s.io"]);
    let upgraded = scene.upgrade("admin", ("POST", "/portForward/default/p"), headers).await;
    let Upgraded::Switched { stream, .. } = upgraded else { panic!("{upgraded:?}") };
    let spdy = Spdy::client(&scene.caller, stream);
    let headers = |kind| [("streamType", kind), ("port", "7"), ("requestID", "0")];
    let (_complaints, _writer) = spdy.open(&headers("error")).await.unwrap().into_split();
    let data = spdy.open(&headers("data")).await.unwrap();
    let mut inside = listener.accept().await.unwrap().stream;
    data.reset();
    // The pod says nothing on its own.
    let mut said = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), inside.read_to_end(&mut said)).await;
    assert!(ended.is_ok(), "the pod still waits for a client that has gone");
}
