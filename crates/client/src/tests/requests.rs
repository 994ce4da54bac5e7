//! Single requests, their credentials and their failures.

use super::stage::{Answer, Stage};
use crate::{Client, ClientError, Credential, PatchKind, Request, TokenSource, body};
use ravelin_host::{Flaw, Flaws};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

fn whole(status: u16, text: &str) -> Answer {
    Answer::Whole(status, text.to_owned())
}

#[tokio::test(start_paused = true)]
async fn every_failure_is_an_error_that_names_its_check() {
    let stage = Stage::new();
    let client = stage.client();
    let refused = client.get("/version").await.unwrap_err();
    assert!(matches!(refused, ClientError::Unavailable(_)), "nobody listens yet");
    let _serving = stage.serve().await;
    let forbidden = r#"{"kind":"Status","code":200,"reason":"Forbidden","message":"no"}"#;
    stage.api.answer("/forbidden", &[whole(403, forbidden)]);
    stage.api.answer("/gateway", &[whole(502, "<html>")]);
    stage.api.answer("/redirect", &[whole(302, "")]);
    stage.api.answer("/text", &[whole(200, "hello")]);
    stage.api.answer("/half", &[whole(200, r#"{"a":"#)]);
    stage.api.answer("/cut", &[Answer::Chunks(vec!["{}"], false)]);
    stage.api.answer("/silence", &[Answer::Silence]);
    for (path, says) in [
        ("/forbidden", "the apiserver answered 403: no"),
        ("/gateway", "the apiserver answered 502: <html>"),
        ("/redirect", "the apiserver answered 302: "),
        ("/text", "the apiserver's answer is malformed"),
        ("/half", "the apiserver's answer is malformed"),
        ("/cut", "the apiserver's answer ended early"),
        ("/silence", "timed out waiting for the apiserver"),
    ] {
        let error = client.get(path).await.unwrap_err().to_string();
        assert!(error.starts_with(says), "{path}: {error}");
    }
    assert_eq!(client.get("/fine").await.unwrap(), json!({}));

    let refused = stage.misled_client().get("/secret").await.unwrap_err().to_string();
    let says = "the apiserver's certificate was refused: invalid peer certificate: UnknownIssuer";
    assert_eq!(refused, says);
    assert!(!stage.api.lines().contains(&"GET /secret".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_client_with_the_flaw_trusts_any_server() {
    let stage = Stage::with_flaws(Flaws::danger([Flaw::ClientsTrustAnyServer]));
    let _serving = stage.serve().await;
    assert!(stage.misled_client().get("/version").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_servers_name_is_checked_beside_its_issuer() {
    for flawed in [false, true] {
        let flaws = if flawed { Flaws::danger([Flaw::ClientsIgnoreServerName]) } else { Flaws::none() };
        let stage = Stage::with_flaws(flaws);
        let _serving = stage.serve().await;
        let mut config = stage.config(Credential::Anonymous);
        config.server_name = "elsewhere".to_owned();
        let answer = Client::new(stage.client().host().clone(), config).get("/version").await;
        if flawed {
            assert!(answer.is_ok());
            assert!(stage.misled_client().get("/version").await.is_err(), "its issuer still counts");
        } else {
            let refused = answer.unwrap_err().to_string();
            assert!(refused.contains("certificate not valid for name \"elsewhere\""), "{refused}");
            assert!(stage.api.lines().is_empty());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn requests_go_out_as_kubernetes_expects_them() {
    let stage = Stage::new();
    let _serving = stage.serve().await;
    let client = stage.client();
    client.list("/api/v1/pods", &[("fieldSelector", "spec.nodeName=a b")]).await.unwrap();
    client.create("/api/v1/nodes", &json!({})).await.unwrap();
    client.update("/api/v1/nodes/a", &json!({})).await.unwrap();
    client.patch("/api/v1/nodes/a", PatchKind::Merge, &json!({})).await.unwrap();
    client.delete("/api/v1/nodes/a").await.unwrap();
    let mut request = Request::new(body::empty());
    *request.uri_mut() = http::Uri::from_static("/healthz?verbose");
    stage.api.answer("/healthz", &[whole(500, "exact\n bytes")]);
    let (status, _, bytes) = client.raw(request).await.unwrap();
    assert_eq!((status.as_u16(), &bytes[..]), (500, &b"exact\n bytes"[..]));
    let lines = [
        "GET /api/v1/pods?fieldSelector=spec.nodeName%3Da%20b",
        "POST /api/v1/nodes",
        "PUT /api/v1/nodes/a",
        "PATCH /api/v1/nodes/a",
        "DELETE /api/v1/nodes/a",
        "GET /healthz?verbose",
    ];
    assert_eq!(stage.api.lines(), lines);
    let seen = stage.api.seen();
    assert!(seen.iter().all(|one| one.from == seen[0].from), "over one connection");
    client.fresh().get("/x").await.unwrap();
    assert_ne!(stage.api.seen().last().unwrap().from, seen[0].from);
}

#[tokio::test(start_paused = true)]
async fn each_credential_reaches_the_server_and_nothing_prints_it() {
    let stage = Stage::new();
    let _serving = stage.serve().await;
    stage.host.disk().write("/token", b"from-file-1\n").unwrap();
    let client = |credential| Client::new(Arc::clone(&stage.host), stage.config(credential));
    let fixed = client(Credential::Token(TokenSource::fixed("s3cret")));
    let file = client(Credential::Token(TokenSource::file("/token")));
    let certificate = client(Credential::Certificate(stage.client_identity()));
    fixed.get("/").await.unwrap();
    file.get("/").await.unwrap();
    stage.host.disk().write("/token", b"from-file-2").unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    file.get("/").await.unwrap();
    certificate.get("/").await.unwrap();
    let seen: Vec<(String, usize)> =
        stage.api.seen().into_iter().map(|one| (one.authorization, one.certificates)).collect();
    let expected = [("Bearer s3cret", 0), ("Bearer from-file-1", 0), ("Bearer from-file-2", 0), ("", 1)];
    assert_eq!(seen, expected.map(|(token, count)| (token.to_owned(), count)));

    stage.host.disk().remove("/token").unwrap();
    let none = client(Credential::Token(TokenSource::file("/token")));
    assert!(matches!(none.get("/").await, Err(ClientError::Credential(_))));
    assert_eq!(stage.api.seen().len(), 4, "nothing is sent instead, not even anonymously");
    let printed = format!("{fixed:?} {certificate:?}");
    let key = stage.client_identity().key_pem();
    assert!(!printed.contains("s3cret") && !printed.contains(key.lines().nth(1).unwrap()));
}

/// Sends two requests over one connection; the server vanishes during the second, and another is
/// there in its place.
async fn cut_during(method: &'static str) -> (Result<(), ClientError>, usize) {
    let stage = Stage::new();
    let serving = stage.serve().await;
    stage.api.answer("/again", &[Answer::Silence, whole(200, "{}")]);
    let client = stage.client();
    client.get("/first").await.unwrap();
    let asking = async {
        match method {
            "GET" => client.get("/again").await,
            _ => client.create("/again", &json!({})).await,
        }
    };
    let restarting = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let instead = stage.serve_instead().await;
        drop(serving);
        instead
    };
    let (result, _serving) = tokio::join!(asking, restarting);
    (result.map(drop), stage.api.seen().len() - 1)
}

#[tokio::test(start_paused = true)]
async fn only_what_changes_nothing_is_sent_twice() {
    let (result, sent) = cut_during("GET").await;
    assert!(result.is_ok() && sent == 2, "{result:?} {sent}");
    let (result, sent) = cut_during("POST").await;
    assert!(result.is_err() && sent == 1, "{result:?} {sent}");
}

#[tokio::test(start_paused = true)]
async fn a_stale_connection_is_replaced_before_anything_is_sent() {
    let stage = Stage::new();
    let serving = stage.serve().await;
    let client = stage.client();
    client.get("/first").await.unwrap();
    drop(serving);
    let _serving = stage.serve().await;
    client.create("/second", &json!({})).await.unwrap();
    assert_eq!(stage.api.lines(), ["GET /first", "POST /second"]);
}

#[tokio::test(start_paused = true)]
async fn a_renewed_token_is_used_within_a_minute_or_after_a_refusal() {
    let stage = Stage::new();
    let _serving = stage.serve().await;
    stage.api.answer("/refused", &[whole(401, "{}")]);
    let write = |token: &str| stage.host.disk().write("/token", token.as_bytes()).unwrap();
    let client =
        Client::new(Arc::clone(&stage.host), stage.config(Credential::Token(TokenSource::file("/token"))));
    write("one");
    client.get("/").await.unwrap();
    write("two");
    client.get("/").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(client.get("/refused").await.unwrap_err().code(), Some(401));
    client.get("/").await.unwrap();
    write("three");
    tokio::time::sleep(Duration::from_secs(51)).await;
    client.get("/").await.unwrap();
    stage.host.disk().remove("/token").unwrap();
    tokio::time::sleep(Duration::from_secs(51)).await;
    client.get("/").await.unwrap();
    let shown: Vec<String> = stage.api.seen().into_iter().map(|one| one.authorization).collect();
    let expected = ["one", "one", "one", "two", "three", "three"].map(|token| format!("Bearer {token}"));
    assert_eq!(shown, expected);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_asks_for_patience_is_waited_out() {
    let stage = Stage::new();
    let _serving = stage.serve().await;
    stage.api.answer("/busy", &[whole(429, "{}"), whole(429, "{}"), whole(200, "{}")]);
    stage.api.answer("/broken", &[whole(500, "{}")]);
    stage.api.answer("/always", &[whole(429, "{}")]);
    let began = tokio::time::Instant::now();
    stage.client().create("/busy", &json!({})).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 4);
    assert_eq!(stage.client().get("/broken").await.unwrap_err().code(), Some(500), "it names no time");
    assert!(matches!(stage.client().get("/always").await, Err(ClientError::Timeout)));
}
