//! What the kubelet asks the apiserver again, and when; and commands that callers run.

use super::stage::{Stage, get, with_token};
use ravelin_client::{Client, Credential, TokenSource};
use ravelin_host::{Endpoint, Flaws};
use ravelin_transport::body;
use serde_json::json;
use std::time::Duration;

const TOKEN_REVIEW: &str = "POST /apis/authentication.k8s.io/v1/tokenreviews";
const ACCESS_REVIEW: &str = "POST /apis/authorization.k8s.io/v1/subjectaccessreviews";

fn asked(stage: &Stage, line: &str) -> usize {
    stage.stub.requests.lock().unwrap().iter().filter(|(asked, _)| asked == line).count()
}

/// Uses a path at certain times, in seconds, and counts the questions of a kind after each.
async fn questions(line: &str, (caller, path): (Credential, &str), times: &[u64]) -> Vec<usize> {
    let stage = Stage::new(Flaws::none()).await;
    let _running = stage.start(stage.config()).await;
    stage.request("POST /api/v1/nodes").await;
    let client = stage.caller(caller);
    get(&client, path).await;
    let began = tokio::time::Instant::now();
    let mut counted = Vec::new();
    for second in times {
        tokio::time::sleep_until(began + Duration::from_secs(*second)).await;
        get(&client, path).await;
        counted.push(asked(&stage, line));
    }
    counted
}

#[tokio::test(start_paused = true)]
async fn answers_of_the_apiserver_are_used_as_long_as_kubernetes_does() {
    let token = || Credential::Token(TokenSource::fixed("good"));
    let tokens = questions(TOKEN_REVIEW, (token(), "/healthz"), &[1, 119, 120, 239, 240]).await;
    assert_eq!(tokens, [1, 1, 2, 2, 3], "two minutes");
    let allowed = questions(ACCESS_REVIEW, (token(), "/pods"), &[1, 299, 300]).await;
    assert_eq!(allowed, [1, 1, 2], "five minutes for a yes");
    let refused = questions(ACCESS_REVIEW, (token(), "/metrics"), &[1, 29, 30]).await;
    assert_eq!(refused, [1, 1, 2], "half a minute for a no");
}

/// Status and body of a POST.
async fn post(client: &Client, path: &str, form: &str) -> (u16, String) {
    let request = http::Request::post(path)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body::full(form.to_owned()))
        .unwrap();
    let (status, _, bytes) = client.raw(request).await.unwrap();
    (status.as_u16(), String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_command_runs_for_whoever_may_and_is_written_down() {
    let stage = Stage::new(Flaws::none()).await;
    *stage.stub.pods.lock().unwrap() = vec![with_token(json!({
        "metadata": { "namespace": "default", "name": "p", "uid": "p-uid" },
        "spec": { "nodeName": "n1", "containers": [{ "name": "c", "image": "ravelin.test/logger" }] },
    }))];
    let mut config = stage.config();
    config.read_only_port = Some(10255);
    let _running = stage.start(config).await;
    stage.request("PATCH /api/v1/namespaces/default/pods/p/status").await;
    let (admin, reader) =
        (stage.caller(stage.certificate("admin")), stage.caller(stage.certificate("reader")));
    let token = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    let run = "/run/default/p/c";
    let table = [
        (&admin, format!("{run}?cmd=cat%20{token}"), "", 200, "pod-token"),
        (&admin, format!("/run/default/p/p-uid/c?cmd=cat+{token}"), "", 200, "pod-token"),
        (&admin, run.to_owned(), "cmd=echo+posted", 200, "posted\n"),
        (&admin, format!("{run}?cmd=echo+query"), "cmd=echo+posted", 200, "posted\n"),
        (&admin, format!("{run}?cmd=false"), "", 500, "command 'false' exited with 1: "),
        (&admin, "/run/default/p/x?cmd=id".to_owned(), "", 500, "container not found (\"x\")"),
        (&admin, "/run/default/p/other/c?cmd=id".to_owned(), "", 500, "container not found (\"c\")"),
        (&admin, "/run/default/q/c?cmd=id".to_owned(), "", 404, "pod does not exist"),
    ];
    for (client, path, form, status, text) in table {
        assert_eq!(post(client, &path, form).await, (status, text.to_owned()), "{path} {form}");
    }
    let refusal = "Forbidden (user=reader, verb=create, resource=nodes, subresource(s)=[proxy])\n";
    assert_eq!(post(&reader, &format!("{run}?cmd=id"), "").await, (403, refusal.to_owned()));
    assert_eq!(get(&admin, &format!("{run}?cmd=id")).await.0, 405);
    let someone = stage.network.host("someone", [10, 0, 0, 77]);
    let stream = someone.connect(&Endpoint::tcp([10, 0, 0, 2], 10255)).await.unwrap().stream;
    let mut read_only = ravelin_transport::HttpConnection::open(&someone, stream).await.unwrap();
    let request = http::Request::post(format!("{run}?cmd=id")).body(body::empty()).unwrap();
    assert_eq!(read_only.send(request).await.unwrap().status(), 405, "not on the read-only port");
    let runs = stage.runtime.ledger("p-uid").unwrap().runs();
    let argv: Vec<String> = runs.iter().map(|ran| ran.argv.join(" ")).collect();
    let cat = format!("cat {token}");
    assert_eq!(argv, [&cat, &cat, "echo posted", "echo posted", "false"], "what was refused did not run");
}
