//! Exec, attach and port-forward: what reaches the kubelet, and what of its answers comes back.

use super::stage::{As, Issuer, NODE, Stage};
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use ravelin_host::{Endpoint, Flaw, Flaws, HostRef, Task};
use ravelin_pki::ServerTrust;
use ravelin_transport::streams::{
    Outcome, RemoteClient, RemoteCommand, RemoteOptions, Spdy, remote_client_spdy, remote_client_websocket,
    remote_server_spdy, remote_server_websocket, tunnel_client,
};
use ravelin_transport::upgrade::{self, WebSocketOffer};
use ravelin_transport::{
    Handler, HttpConnection, PeerInfo, Request, Response, Server, TlsClient, TlsServer, Upgraded, body,
    collect,
};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const EXEC: &str = "/api/v1/namespaces/default/pods/p1/exec?command=ls&stdin=1&stdout=1&stderr=1";
const FORWARD: &str = "/api/v1/namespaces/default/pods/p1/portforward";
const ALL: RemoteOptions = RemoteOptions { stdin: true, stdout: true, stderr: true, tty: false };

/// A kubelet that repeats its input, says `oh` and exits with 7; or answers something else.
#[derive(Clone)]
struct Kubelet {
    host: HostRef,
    seen: Arc<Mutex<Vec<(String, HeaderMap, usize)>>>,
    answer: Option<(u16, &'static str)>,
}

impl Kubelet {
    async fn start(stage: &Stage, answer: Option<(u16, &'static str)>) -> (Self, Task) {
        stage.given_pod("10.1.0.1");
        let host = stage.network.host("n1", NODE);
        let kubelet = Self { host: host.clone(), seen: Arc::default(), answer };
        let listener = host.listen(&Endpoint::tcp(NODE, 10250)).await.unwrap();
        let tls = Some(Arc::new(TlsServer::new(stage.issuer.server(NODE)).with_client_certificates()));
        let task = Server { host, listener, tls, handler: Arc::new(kubelet.clone()) }.run();
        (kubelet, task)
    }

    fn lines(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|(line, _, _)| line.clone()).collect()
    }
}

#[async_trait]
impl Handler for Kubelet {
    async fn handle(&self, mut request: Request, peer: &PeerInfo) -> Response {
        let line = format!("{} {}", request.method(), request.uri());
        self.seen.lock().unwrap().push((line.clone(), request.headers().clone(), peer.chain.len()));
        if let Some((status, said)) = self.answer {
            let mut answer = Response::new(body::full(said));
            *answer.status_mut() = StatusCode::from_u16(status).unwrap();
            answer.headers_mut().insert("x-fake", HeaderValue::from_static("yes"));
            if (300..400).contains(&status) {
                answer.headers_mut().insert("location", HeaderValue::from_static(said));
            }
            return answer;
        }
        let pending = upgrade::accept(&mut request).unwrap();
        let host = self.host.clone();
        if upgrade::is_websocket(request.headers()) {
            let protocol = upgrade::websocket_protocols(request.headers())[0].clone();
            let answer = upgrade::websocket_answer(request.headers(), Some(&protocol)).unwrap();
            let serve = async move {
                let stream = pending.stream().await.unwrap();
                repeat(remote_server_websocket(&host, stream, &protocol, ALL).await.unwrap()).await;
            };
            self.host.spawn("kubelet", Box::pin(serve)).detach();
            return answer;
        }
        let known = ["v4.channel.k8s.io", "v3.channel.k8s.io", "portforward.k8s.io"];
        let (protocol, headers) = upgrade::stream_protocol(request.headers(), &known).unwrap();
        let serve = async move {
            let stream = pending.stream().await.unwrap();
            if line.contains("/portForward/") {
                return forwarded(Spdy::server(&host, stream)).await;
            }
            repeat(remote_server_spdy(&host, stream, protocol, ALL).await.unwrap()).await;
        };
        self.host.spawn("kubelet", Box::pin(serve)).detach();
        upgrade::switching("SPDY/3.1", headers)
    }
}

async fn repeat(command: RemoteCommand) {
    let RemoteCommand { stdin, stdout, stderr, outcome, .. } = command;
    let (mut stdin, mut stdout, mut stderr) = (stdin.unwrap(), stdout.unwrap(), stderr.unwrap());
    let mut held = vec![0; 4096];
    while let Ok(count @ 1..) = stdin.read(&mut held).await {
        stdout.write_all(&held[..count]).await.unwrap();
    }
    stderr.write_all(b"oh").await.unwrap();
    stdout.shutdown().await.unwrap();
    stderr.shutdown().await.unwrap();
    outcome.exited(7).await;
}

/// Repeats what comes on each stream.
async fn forwarded(spdy: Spdy) {
    let mut served = Vec::new();
    while let Some(stream) = spdy.accept().await {
        served.push(async move {
            let (mut reader, mut writer) = stream.into_split();
            let mut said = Vec::new();
            reader.read_to_end(&mut said).await.unwrap();
            writer.write_all(&said).await.unwrap();
            writer.shutdown().await.unwrap();
        });
        if served.len() == 3 {
            futures_util::future::join_all(std::mem::take(&mut served)).await;
        }
    }
}

impl Stage {
    pub(super) async fn upgrade(
        &self,
        who: &As,
        (method, uri): (&str, &str),
        headers: HeaderMap,
    ) -> Upgraded {
        let connection = self.open(who).await;
        let mut request = http::Request::builder().method(method).uri(uri).body(body::empty()).unwrap();
        *request.headers_mut() = headers;
        request.headers_mut().insert("host", HeaderValue::from_static("api"));
        connection.upgrade(request).await.unwrap()
    }

    async fn open(&self, who: &As) -> HttpConnection {
        let stream = self.caller.connect(&Endpoint::tcp(super::stage::API, 6443)).await.unwrap().stream;
        let identity = match who {
            As::Certificate(identity) => Some(identity.clone()),
            _ => None,
        };
        let trust = ServerTrust::Anchors(self.issuer.anchors());
        let tls = TlsClient { trust, identity, server_name: super::stage::API.to_string() };
        let secured = tls.connect(&self.caller, stream).await.unwrap();
        HttpConnection::open(&self.caller, secured.stream).await.unwrap()
    }

    fn websocket(&self, protocols: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        WebSocketOffer::new(&self.caller, protocols).write(&mut headers);
        headers
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

/// What is said to a refused upgrade.
async fn refusal(upgraded: Upgraded) -> (u16, HeaderMap, String) {
    let Upgraded::Refused(answer) = upgraded else { panic!("{upgraded:?}") };
    let (head, body) = answer.into_parts();
    let text = collect(body, 1 << 20).await.unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    let status = serde_json::from_str::<Value>(&text).ok();
    let message = status.and_then(|status| status["message"].as_str().map(str::to_owned));
    (head.status.as_u16(), head.headers, message.unwrap_or(text))
}

/// Sends much, and gives what came back, the complaints and the outcome.
async fn talk(client: RemoteClient, input: &[u8]) -> (Vec<u8>, String, Outcome) {
    let RemoteClient { stdin, stdout, stderr, outcome, .. } = client;
    let (mut stdin, mut stdout, mut stderr) = (stdin.unwrap(), stdout.unwrap(), stderr.unwrap());
    let (mut back, mut complaints) = (Vec::new(), String::new());
    let write = async {
        stdin.write_all(input).await.unwrap();
        stdin.shutdown().await.unwrap();
    };
    let ((), _, _, outcome) = tokio::join!(
        write,
        stdout.read_to_end(&mut back),
        stderr.read_to_string(&mut complaints),
        outcome.read()
    );
    (back, complaints, outcome.unwrap())
}

#[tokio::test(start_paused = true)]
async fn streams_pass_as_they_are_or_translated() {
    let stage = Stage::new().await;
    let (kubelet, _running) = Kubelet::start(&stage, None).await;
    let input: Vec<u8> = (0..300_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let expected = (input.clone(), "oh".to_owned(), Outcome::Exited(7));
    let v4 = "v4.channel.k8s.io";

    let upgraded = stage.upgrade(&stage.admin(), ("POST", EXEC), spdy(&[v4])).await;
    let Upgraded::Switched { head, stream } = upgraded else { panic!("{upgraded:?}") };
    assert_eq!(head.headers["x-stream-protocol-version"], v4);
    let client = remote_client_spdy(&stage.caller, stream, v4, ALL).await.unwrap();
    assert_eq!(talk(client, &input).await, expected);
    let (line, headers, certificates) = kubelet.seen.lock().unwrap().pop().unwrap();
    assert_eq!(line, "POST /exec/default/p1/c?command=ls&error=1&input=1&output=1");
    assert_eq!((certificates, &headers["host"]), (1, &"api".parse::<HeaderValue>().unwrap()));
    assert_eq!(
        (&headers["x-forwarded-for"], headers.contains_key("authorization")),
        (&"10.0.0.9".parse::<HeaderValue>().unwrap(), false)
    );

    for (offered, line, protocols) in
        [(&["v5.channel.k8s.io"][..], "POST", 5), (&["v5.channel.k8s.io", v4], "POST", 5), (&[v4], "GET", 0)]
    {
        let upgraded = stage.upgrade(&stage.admin(), ("GET", EXEC), stage.websocket(offered)).await;
        let Upgraded::Switched { head, stream } = upgraded else { panic!("{upgraded:?}") };
        assert_eq!(head.headers["sec-websocket-protocol"], offered[0]);
        let client = remote_client_websocket(&stage.caller, stream, offered[0], ALL).await.unwrap();
        if offered[0] == v4 {
            // Its input cannot be ended: what repeats it never ends.
            drop(client);
        } else {
            assert_eq!(talk(client, &input).await, expected, "{offered:?}");
        }
        let (asked, headers, _) = kubelet.seen.lock().unwrap().pop().unwrap();
        assert_eq!(asked, format!("{line} /exec/default/p1/c?command=ls&error=1&input=1&output=1"));
        assert_eq!(headers.get_all("x-stream-protocol-version").iter().count(), protocols);
        let host = if protocols > 0 { "10.0.0.2:10250" } else { "api" };
        assert_eq!(headers["host"], host);
    }
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_that_declares_it_gets_the_websocket_itself() {
    for (version, declares, line) in
        [((1, 36), true, "GET"), ((1, 36), false, "POST"), ((1, 35), true, "POST")]
    {
        let stage = Stage::configured(Flaws::none(), |config| config.kubernetes_version = version).await;
        let (kubelet, _running) = Kubelet::start(&stage, None).await;
        if declares {
            let patch = json!({"status": {"declaredFeatures": ["ExtendWebSocketsToKubelet"]}});
            stage.ask(&stage.admin(), "PATCH /api/v1/nodes/n1/status", Some(patch)).await;
        }
        let headers = stage.websocket(&["v5.channel.k8s.io"]);
        let upgraded = stage.upgrade(&stage.admin(), ("GET", EXEC), headers).await;
        let Upgraded::Switched { stream, .. } = upgraded else { panic!("{upgraded:?}") };
        let client = remote_client_websocket(&stage.caller, stream, "v5.channel.k8s.io", ALL).await.unwrap();
        assert_eq!(talk(client, b"abc").await, (b"abc".to_vec(), "oh".to_owned(), Outcome::Exited(7)));
        assert!(kubelet.lines()[0].starts_with(line), "{version:?} {declares}: {:?}", kubelet.lines());
    }
}

#[tokio::test(start_paused = true)]
async fn three_forwarded_connections_share_one_tunnel() {
    let stage = Stage::new().await;
    let (kubelet, _running) = Kubelet::start(&stage, None).await;
    for (method, headers) in
        [("POST", spdy(&["portforward.k8s.io"])), ("GET", stage.websocket(&["SPDY/3.1+portforward.k8s.io"]))]
    {
        let upgraded = stage.upgrade(&stage.admin(), (method, FORWARD), headers).await;
        let Upgraded::Switched { stream, .. } = upgraded else { panic!("{upgraded:?}") };
        let stream = if method == "GET" { tunnel_client(&stage.caller, stream) } else { stream };
        let spdy = Spdy::client(&stage.caller, stream);
        let said = async |text: &str| {
            let stream =
                spdy.open(&[("streamtype", "data"), ("port", "80"), ("requestid", text)]).await.unwrap();
            let (mut reader, mut writer) = stream.into_split();
            writer.write_all(text.as_bytes()).await.unwrap();
            writer.shutdown().await.unwrap();
            let mut back = String::new();
            reader.read_to_string(&mut back).await.unwrap();
            back
        };
        let back = tokio::join!(said("a"), said("b"), said("c"));
        assert_eq!(back, ("a".to_owned(), "b".to_owned(), "c".to_owned()), "{method}");
        let (line, headers, _) = kubelet.seen.lock().unwrap().pop().unwrap();
        assert_eq!(line, "POST /portForward/default/p1", "{method}");
        assert_eq!(headers["x-stream-protocol-version"], "portforward.k8s.io");
        assert!(!headers.contains_key("sec-websocket-key"));
    }
}

#[tokio::test(start_paused = true)]
async fn without_rights_nothing_reaches_the_kubelet() {
    for (version, verbs, method, code, says) in [
        ((1, 33), &["get"][..], "GET", 101, ""),
        ((1, 34), &["get"], "GET", 101, ""),
        ((1, 35), &["get"], "GET", 403, "pods \"p1\" is forbidden: "),
        ((1, 35), &["get", "create"], "GET", 101, ""),
        ((1, 35), &["create"], "POST", 101, ""),
        (
            (1, 35),
            &["create"],
            "GET",
            403,
            "pods \"p1\" is forbidden: User \"carol\" cannot get resource \"pods/exec\" in API group \"\" in the namespace \"default\"",
        ),
        (
            (1, 33),
            &["get"],
            "POST",
            403,
            "pods \"p1\" is forbidden: User \"carol\" cannot create resource \"pods/exec\" in API group \"\" in the namespace \"default\"",
        ),
    ] {
        let stage = Stage::configured(Flaws::none(), |config| config.kubernetes_version = version).await;
        let (kubelet, _running) = Kubelet::start(&stage, None).await;
        stage.given(json!({"kind": "ClusterRole", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "x"},
            "rules": [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": verbs}]}));
        stage.given(json!({"kind": "ClusterRoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "x"},
            "roleRef": {"kind": "ClusterRole", "name": "x"}, "subjects": [{"kind": "User", "name": "carol"}]}));
        let carol = As::Certificate(stage.issuer.client("carol", &[]));
        let headers = if method == "GET" {
            stage.websocket(&["v5.channel.k8s.io"])
        } else {
            spdy(&["v4.channel.k8s.io"])
        };
        let upgraded = stage.upgrade(&carol, (method, EXEC), headers).await;
        match upgraded {
            Upgraded::Switched { .. } => assert_eq!(code, 101, "{version:?} {verbs:?} {method}"),
            refused @ Upgraded::Refused(_) => {
                let (status, _, message) = refusal(refused).await;
                assert_eq!((status, message.as_str()), (code, says), "{version:?} {verbs:?} {method}");
                assert_eq!(kubelet.lines(), Vec::<String>::new());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn errors_are_told_as_they_were_recorded() {
    let stage = Stage::new().await;
    stage.given_pod("10.1.0.1");
    stage
        .given(json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p2", "namespace": "default"},
        "spec": {"containers": [{"name": "c"}, {"name": "d"}]}}));
    stage
        .given(json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p3", "namespace": "default"},
        "spec": {"nodeName": "absent", "containers": [{"name": "c"}]}}));
    let pods = "/api/v1/namespaces/default/pods";
    let v4 = || spdy(&["v4.channel.k8s.io"]);
    let refused = "error dialing backend: dial tcp 10.0.0.2:10250: connect: connection refused";
    for (method, uri, headers, code, says) in [
        ("POST", EXEC.to_owned(), v4(), 500, refused),
        ("POST", FORWARD.to_owned(), spdy(&["portforward.k8s.io"]), 500, refused),
        ("GET", EXEC.to_owned(), stage.websocket(&["v4.channel.k8s.io"]), 500, refused),
        ("GET", EXEC.to_owned(), stage.websocket(&["bogus.k8s.io"]), 500, refused),
        ("GET", FORWARD.to_owned(), stage.websocket(&["SPDY/3.1+portforward.k8s.io"]), 500, refused),
        ("GET", format!("{FORWARD}?ports=80"), stage.websocket(&["v4.channel.k8s.io"]), 500, refused),
        ("POST", EXEC.to_owned(), HeaderMap::new(), 400, "Upgrade request required"),
        ("GET", EXEC.to_owned(), HeaderMap::new(), 400, "Upgrade request required"),
        ("POST", FORWARD.to_owned(), HeaderMap::new(), 400, "Upgrade request required"),
        ("POST", format!("{EXEC}&container=zz"), v4(), 400, "container zz is not valid for pod p1"),
        ("POST", format!("{pods}/nope/exec"), v4(), 404, "pods \"nope\" not found"),
        (
            "POST",
            format!("{pods}/p2/exec"),
            v4(),
            400,
            "a container name must be specified for pod p2, choose one of: [c d]",
        ),
        ("POST", format!("{pods}/p2/exec?container=d"), v4(), 400, "pod p2 does not have a host assigned"),
        ("POST", format!("{pods}/p3/attach"), v4(), 404, "pods \"absent\" not found"),
        (
            "DELETE",
            EXEC.to_owned(),
            v4(),
            405,
            "the server does not allow this method on the requested resource",
        ),
        ("POST", "/api/v1/nodes/n1/proxy/exec/default/p1/c".to_owned(), v4(), 500, refused),
    ] {
        let (status, _, message) =
            refusal(stage.upgrade(&stage.admin(), (method, &uri), headers).await).await;
        assert_eq!((status, message.as_str()), (code, says), "{method} {uri}");
    }
    // With version 5 the client is answered before the kubelet is asked.
    let upgraded =
        stage.upgrade(&stage.admin(), ("GET", EXEC), stage.websocket(&["v5.channel.k8s.io"])).await;
    let Upgraded::Switched { stream, .. } = upgraded else { panic!("{upgraded:?}") };
    let client = remote_client_websocket(&stage.caller, stream, "v5.channel.k8s.io", ALL).await.unwrap();
    let Outcome::Failed(status) = client.outcome.read().await.unwrap() else { panic!("it failed") };
    let status: Value = serde_json::from_str(&status).unwrap();
    let why = r#"error sending request: Post "https://10.0.0.2:10250/exec/default/p1/c?command=ls&error=1&input=1&output=1": dial tcp 10.0.0.2:10250: connect: connection refused"#;
    assert_eq!(
        status,
        json!({"metadata": {}, "status": "Failure", "message": format!("Internal error occurred: {why}"),
        "reason": "InternalError", "details": {"causes": [{"message": why}]}, "code": 500})
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_kubelet_refuses_comes_back_and_nothing_else_passes() {
    for (code, said, status, text) in [
        (403, "fake kubelet says no\n", 403, "fake kubelet says no\n"),
        (500, "broken", 500, "broken"),
        (200, "fine", 500, "invalid upgrade response: status code 200"),
        (307, "https://10.0.0.66:10250/runningpods/", 500, "invalid upgrade response: status code 307"),
    ] {
        let stage = Stage::new().await;
        let (kubelet, _running) = Kubelet::start(&stage, Some((code, said))).await;
        for uri in [EXEC, FORWARD, "/api/v1/nodes/n1/proxy/exec/default/p1/c"] {
            let upgraded = stage.upgrade(&stage.admin(), ("POST", uri), spdy(&["v4.channel.k8s.io"])).await;
            let (answered, headers, message) = refusal(upgraded).await;
            assert_eq!((answered, message.as_str()), (status, text), "{uri}");
            assert_eq!(headers.contains_key("x-fake"), code >= 400, "{uri}");
            assert!(!headers.contains_key("location"), "{uri}");
        }
        assert_eq!(kubelet.lines().len(), 3);
        let headers = stage.websocket(&["v5.channel.k8s.io"]);
        let upgraded = stage.upgrade(&stage.admin(), ("GET", EXEC), headers).await;
        let Upgraded::Switched { stream, .. } = upgraded else { panic!("{upgraded:?}") };
        let client = remote_client_websocket(&stage.caller, stream, "v5.channel.k8s.io", ALL).await.unwrap();
        let Outcome::Failed(failed) = client.outcome.read().await.unwrap() else { panic!("it failed") };
        let failed: Value = serde_json::from_str(&failed).unwrap();
        let why = match code {
            307 => format!("error sending request: Post {said:?}: redirect not allowed"),
            _ => format!("unable to upgrade connection: {}", said.trim()),
        };
        assert_eq!(failed["message"], format!("Internal error occurred: {why}"));
    }
}

/// A kubelet that refuses with a body that never ends, a byte at a time.
struct Dripping;

#[async_trait]
impl Handler for Dripping {
    async fn handle(&self, _: Request, _: &PeerInfo) -> Response {
        let drops = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(50)).await;
            Some((Ok(Bytes::from_static(b".")), ()))
        });
        let mut answer = Response::new(body::stream(drops));
        *answer.status_mut() = StatusCode::FORBIDDEN;
        answer
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_never_ends_keeps_nobody() {
    let stage = Stage::new().await;
    stage.given_pod("10.1.0.1");
    let host = stage.network.host("n1", NODE);
    let listener = host.listen(&Endpoint::tcp(NODE, 10250)).await.unwrap();
    let tls = Some(Arc::new(TlsServer::new(stage.issuer.server(NODE)).with_client_certificates()));
    let _running = Server { host, listener, tls, handler: Arc::new(Dripping) }.run();
    let begun = tokio::time::Instant::now();
    let upgraded = stage.upgrade(&stage.admin(), ("POST", EXEC), spdy(&["v4.channel.k8s.io"])).await;
    assert_eq!(refusal(upgraded).await.0, 500);
    let headers = stage.websocket(&["v5.channel.k8s.io"]);
    let upgraded = stage.upgrade(&stage.admin(), ("GET", EXEC), headers).await;
    let Upgraded::Switched { stream, .. } = upgraded else { panic!("{upgraded:?}") };
    let client = remote_client_websocket(&stage.caller, stream, "v5.channel.k8s.io", ALL).await.unwrap();
    let Outcome::Failed(failed) = client.outcome.read().await.unwrap() else { panic!("it failed") };
    assert!(failed.contains("unable to read error from server response"), "{failed}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

/// Asks for an upgrade that the kubelet refuses, then for more on the same connection. Gives what the
/// kubelet saw, and what came of the second request.
async fn after_a_refusal(flaws: Flaws) -> (Vec<(String, usize)>, Option<u16>) {
    let stage = Stage::with(flaws).await;
    let (kubelet, _running) = Kubelet::start(&stage, Some((400, "no"))).await;
    stage.given(
        json!({"kind": "ClusterRole", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "x"},
        "rules": [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]}]}),
    );
    stage.given(json!({"kind": "ClusterRoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "x"},
        "roleRef": {"kind": "ClusterRole", "name": "x"}, "subjects": [{"kind": "User", "name": "carol"}]}));
    let mut connection = stage.open(&As::Certificate(stage.issuer.client("carol", &[]))).await;
    let mut request = http::Request::builder().method("POST").uri(EXEC).body(body::empty()).unwrap();
    *request.headers_mut() = spdy(&["v4.channel.k8s.io"]);
    let first = connection.send(request).await.unwrap();
    assert_eq!(first.status(), 400);
    collect(first.into_body(), 100).await.unwrap();
    let request = http::Request::get("/runningpods/").body(body::empty()).unwrap();
    let second = connection.send(request).await.ok().map(|answer| answer.status().as_u16());
    let seen = kubelet.seen.lock().unwrap().iter().map(|(line, _, shown)| (line.clone(), *shown)).collect();
    (seen, second)
}

/// CVE-2018-1002105.
#[tokio::test(start_paused = true)]
async fn a_connection_whose_upgrade_was_refused_is_never_joined() {
    let exec = ("POST /exec/default/p1/c?command=ls&error=1&input=1&output=1".to_owned(), 1);
    let (seen, second) = after_a_refusal(Flaws::none()).await;
    assert_eq!((seen, second), (vec![exec.clone()], None), "the connection was closed");
    let (seen, second) = after_a_refusal(Flaws::danger([Flaw::ApiserverSplicesRefusedUpgrades])).await;
    let smuggled = ("GET /runningpods/".to_owned(), 1);
    assert_eq!((seen, second), (vec![exec, smuggled], Some(400)), "with the server's certificate");
}

/// CVE-2020-8559 and CVE-2018-1002102.
#[tokio::test(start_paused = true)]
async fn a_kubelets_redirect_of_an_upgrade_goes_nowhere() {
    let elsewhere: std::net::IpAddr = [10, 0, 0, 66].into();
    for (flaw, status, victims) in [
        (None, 500, 0),
        (Some(Flaw::ApiserverPassesRedirectsOn), 307, 0),
        (Some(Flaw::ApiserverFollowsRedirects), 500, 1),
    ] {
        let stage = Stage::with(flaw.map_or_else(Flaws::none, |flaw| Flaws::danger([flaw]))).await;
        let location = "https://10.0.0.66:10250/runningpods/";
        let (_kubelet, _running) = Kubelet::start(&stage, Some((307, location))).await;
        let host = stage.network.host("n2", elsewhere);
        let victim = Kubelet { host: host.clone(), seen: Arc::default(), answer: Some((200, "fine")) };
        let listener = host.listen(&Endpoint::tcp(elsewhere, 10250)).await.unwrap();
        let tls = TlsServer::new(stage.issuer.server(elsewhere)).with_client_certificates();
        let _victim =
            Server { host, listener, tls: Some(Arc::new(tls)), handler: Arc::new(victim.clone()) }.run();
        let upgraded = stage.upgrade(&stage.admin(), ("POST", EXEC), spdy(&["v4.channel.k8s.io"])).await;
        let (code, headers, _) = refusal(upgraded).await;
        assert_eq!((code, victim.lines().len()), (status, victims), "{flaw:?}");
        assert_eq!(headers.contains_key("location"), status == 307, "{flaw:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn any_upgrade_is_carried_on_by_the_proxies_without_its_query() {
    let stage = Stage::new().await;
    let (kubelet, _running) = Kubelet::start(&stage, None).await;
    let uri = "/api/v1/nodes/n1/proxy/exec/default/p1/c?command=ls";
    let upgraded = stage.upgrade(&stage.admin(), ("POST", uri), spdy(&["v4.channel.k8s.io"])).await;
    let Upgraded::Switched { stream, .. } = upgraded else { panic!("{upgraded:?}") };
    let client = remote_client_spdy(&stage.caller, stream, "v4.channel.k8s.io", ALL).await.unwrap();
    assert_eq!(talk(client, b"x").await.2, Outcome::Exited(7));
    assert_eq!(kubelet.lines(), ["POST /exec/default/p1/c"]);
    let stranger = Issuer::new(&stage.network).client("x", &["system:masters"]);
    let refused =
        stage.upgrade(&As::Certificate(stranger), ("POST", uri), spdy(&["v4.channel.k8s.io"])).await;
    assert_eq!(refusal(refused).await.0, 401);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_vanishes_ends_the_kubelets_side() {
    let stage = Stage::new().await;
    let (kubelet, _running) = Kubelet::start(&stage, None).await;
    for headers in [spdy(&["v4.channel.k8s.io"]), stage.websocket(&["v5.channel.k8s.io"])] {
        let websocket = upgrade::is_websocket(&headers);
        let method = if websocket { "GET" } else { "POST" };
        let upgraded = stage.upgrade(&stage.admin(), (method, EXEC), headers).await;
        let Upgraded::Switched { stream, .. } = upgraded else { panic!("{upgraded:?}") };
        let client = match websocket {
            true => remote_client_websocket(&stage.caller, stream, "v5.channel.k8s.io", ALL).await,
            false => remote_client_spdy(&stage.caller, stream, "v4.channel.k8s.io", ALL).await,
        };
        tokio::time::sleep(Duration::from_secs(1)).await;
        let held = Arc::strong_count(&kubelet.host);
        drop(client);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(Arc::strong_count(&kubelet.host) < held, "the kubelet's side has ended");
    }
}
