//! What the kubelet's pages say, on either port.

use super::stage::{Stage, get, with_token};
use crate::Authorization;
use ravelin_client::{Client, Credential, TokenSource};
use ravelin_host::{Endpoint, Flaws};
use ravelin_transport::{HttpConnection, body, collect};
use serde_json::{Value, json};

async fn on_the_read_only_port(stage: &Stage, method: &str, path: &str) -> (u16, String) {
    let host = stage.network.host("someone", [10, 0, 0, 77]);
    let stream = host.connect(&Endpoint::tcp([10, 0, 0, 2], 10255)).await.unwrap().stream;
    let mut connection = HttpConnection::open(&host, stream).await.unwrap();
    let request = http::Request::builder().method(method).uri(path).body(body::empty()).unwrap();
    let answer = connection.send(request).await.unwrap();
    let status = answer.status().as_u16();
    let text = collect(answer.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(text.to_vec()).unwrap())
}

async fn with_a_pod(read_only: bool) -> (Stage, crate::Running, Client) {
    let stage = Stage::new(Flaws::none()).await;
    *stage.stub.pods.lock().unwrap() = vec![with_token(json!({
        "metadata": { "namespace": "default", "name": "p", "uid": "p-uid" },
        "spec": { "nodeName": "n1", "containers": [{ "name": "c", "image": "ravelin.test/logger" }] },
        "status": { "phase": "Running", "containerStatuses":
            [{ "name": "c", "state": { "running": { "startedAt": "2026-01-01T00:00:07Z" } } }] },
    }))];
    let mut config = stage.config();
    config.read_only_port = read_only.then_some(10255);
    let running = stage.start(config).await;
    stage.request("PATCH /api/v1/namespaces/default/pods/p/status").await;
    let admin = stage.caller(stage.certificate("admin"));
    (stage, running, admin)
}

#[tokio::test(start_paused = true)]
async fn pages_say_what_a_kubelet_says() {
    let (_stage, _running, admin) = with_a_pod(false).await;
    for (path, status, text) in [
        ("/healthz", 200, "ok"),
        ("/healthz/ping", 200, "ok"),
        ("/healthz?verbose", 200, "[+]ping ok\n[+]log ok\n[+]syncloop ok\nhealthz check passed\n"),
        ("/healthz/other", 404, "404 page not found\n"),
        ("/debug/flags/v", 406, "unsupported http method\n"),
        ("/stats/", 404, "404: Page Not Found"),
        ("/spec", 404, "404 page not found\n"),
        ("/flagz", 404, "404 page not found\n"),
        ("/logs", 307, "<a href=\"/logs/\">Temporary Redirect</a>.\n\n"),
    ] {
        assert_eq!(get(&admin, path).await, (status, text.to_owned()), "{path}");
    }
    let page = async |path: &str| -> Value {
        let (status, text) = get(&admin, path).await;
        assert_eq!(status, 200, "{path}");
        serde_json::from_str(&text).unwrap()
    };
    for path in ["/pods", "/runningpods/"] {
        let list = page(path).await;
        assert_eq!(
            (&list["kind"], &list["items"][0]["metadata"]["uid"]),
            (&json!("PodList"), &json!("p-uid"))
        );
    }
    let summary = page("/stats/summary").await;
    assert_eq!(summary["node"]["nodeName"], "n1");
    assert_eq!(summary["pods"][0]["podRef"], json!({"name": "p", "namespace": "default", "uid": "p-uid"}));
    let configuration = page("/configz").await;
    assert_eq!(configuration["kubeletconfig"]["authorization"]["mode"], "Webhook");
    assert_eq!(configuration["kubeletconfig"]["port"], 10250);
    let (_, metrics) = get(&admin, "/metrics").await;
    assert!(metrics.contains("\nkubelet_running_pods 1\n"), "{metrics}");
    let (_, metrics) = get(&admin, "/metrics/resource").await;
    let sample = "container_start_time_seconds{container=\"c\",namespace=\"default\",pod=\"p\"} 1767225607\n";
    assert!(metrics.contains(sample), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn the_read_only_port_has_what_needs_no_rights_and_nothing_else() {
    let (stage, _running, _admin) = with_a_pod(true).await;
    for (method, path, status) in [
        ("GET", "/pods", 200),
        ("POST", "/pods", 405),
        ("GET", "/healthz", 200),
        ("GET", "/metrics", 200),
        ("GET", "/metrics/cadvisor", 200),
        ("GET", "/stats/summary", 200),
        ("GET", "/runningpods/", 405),
        ("GET", "/configz", 404),
        ("GET", "/logs/", 405),
        ("POST", "/run/default/p/c?cmd=id", 405),
        ("GET", "/exec/default/p/c?command=id&output=1", 405),
        ("POST", "/portForward/default/p", 405),
        ("GET", "/containerLogs/default/p/c", 405),
        ("POST", "/checkpoint/default/p/c", 404),
        ("PUT", "/debug/flags/v", 404),
    ] {
        let (code, text) = on_the_read_only_port(&stage, method, path).await;
        assert_eq!(code, status, "{method} {path}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn fine_grained_rights_open_single_pages_from_the_version_that_knows_them() {
    for (version, status) in [("v1.32.4", 403), ("v1.33.0", 200), ("v1.36.2", 200)] {
        let stage = Stage::new(Flaws::none()).await;
        let mut config = stage.config();
        config.authorization = Authorization::Webhook;
        version.clone_into(&mut config.version);
        let _running = stage.start(config).await;
        stage.request("POST /api/v1/nodes").await;
        // May `get nodes/pods`, and not `get nodes/proxy`.
        let reader = stage.caller(Credential::Token(TokenSource::fixed("good")));
        assert_eq!(get(&reader, "/pods").await.0, status, "{version}");
        assert_eq!(get(&reader, "/runningpods/").await.0, status, "{version}");
        assert_eq!(get(&reader, "/configz").await.0, 403, "{version}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_nodes_log_folder_is_served_as_go_serves_files() {
    let (stage, _running, admin) = with_a_pod(false).await;
    const HEAD: &str = "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n";
    assert_eq!(get(&admin, "/logs/").await, (200, format!("{HEAD}</pre>\n")));
    let disk = stage.node.disk();
    disk.write("/var/log/syslog", b"a line\n").unwrap();
    disk.write("/var/log/pods/a b/0.log", b"\0").unwrap();
    disk.write("/var/secret", b"none of theirs").unwrap();
    let list = "<a href=\"pods/\">pods/</a>\n<a href=\"syslog\">syslog</a>\n";
    assert_eq!(get(&admin, "/logs/").await, (200, format!("{HEAD}{list}</pre>\n")));
    assert_eq!(get(&admin, "/logs/syslog").await, (200, "a line\n".to_owned()));
    let list = "<a href=\"a%20b/\">a b/</a>\n";
    assert_eq!(get(&admin, "/logs/pods/").await, (200, format!("{HEAD}{list}</pre>\n")));
    for (path, status, location, kind) in [
        ("/logs/pods?x=1", 301, "pods/?x=1", ""),
        ("/logs/syslog/", 301, "../syslog", ""),
        ("/logs/pods/index.html", 301, "./", ""),
        ("/logs/none", 404, "", "text/plain; charset=utf-8"),
        ("/logs/..%2Fsecret", 400, "", "text/plain; charset=utf-8"),
        ("/logs/pods/a%20b/0.log", 200, "", "application/octet-stream"),
    ] {
        let request = http::Request::get(path).body(body::empty()).unwrap();
        let (code, headers, bytes) = admin.raw(request).await.unwrap();
        let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        assert_eq!(
            (code.as_u16(), header("location").as_str(), header("content-type").as_str()),
            (status, location, kind),
            "{path}: {bytes:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn checkpoints_are_beyond_its_runtime() {
    let (_stage, _running, admin) = with_a_pod(false).await;
    let post = async |path: &str| {
        let request = http::Request::post(path).body(body::empty()).unwrap();
        let (status, _, bytes) = admin.raw(request).await.unwrap();
        (status.as_u16(), String::from_utf8(bytes.to_vec()).unwrap())
    };
    let failed = "checkpointing of default/p/c failed (rpc error: code = Unimplemented desc = method \
                  CheckpointContainer not implemented)";
    for (path, status, text) in [
        ("/checkpoint/default/p/c", 500, failed),
        ("/checkpoint/default/p/c?timeout=x", 404, "cannot parse value of timeout parameter"),
        ("/checkpoint/default/p/d", 404, "container d does not exist"),
        ("/checkpoint/default/q/c", 404, "pod does not exist"),
        ("/checkpoint/default/q", 404, "404: Page Not Found"),
    ] {
        assert_eq!(post(path).await, (status, text.to_owned()), "{path}");
    }
    assert_eq!(get(&admin, "/checkpoint/default/p/c").await.0, 405);
}

#[tokio::test(start_paused = true)]
async fn a_node_declares_what_its_version_can_do() {
    for (version, declared) in [("v1.35.1", Value::Null), ("v1.36.0", json!(["ExtendWebSocketsToKubelet"]))] {
        let stage = Stage::new(Flaws::none()).await;
        let mut config = stage.config();
        version.clone_into(&mut config.version);
        let _running = stage.start(config).await;
        let node = stage.request("POST /api/v1/nodes").await;
        assert_eq!(node["status"]["declaredFeatures"], declared, "{version}");
    }
}
