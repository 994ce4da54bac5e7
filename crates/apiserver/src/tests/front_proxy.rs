//! Whose word about others counts.

use super::stage::{As, Backend, Issuer, Stage};
use crate::FrontProxyConfig;
use ravelin_host::{Flaw, Flaws};
use ravelin_pki::TrustAnchors;
use ravelin_transport::{body, collect};
use serde_json::Value;

fn believing(client_ca: TrustAnchors, allowed: &[&str]) -> FrontProxyConfig {
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    FrontProxyConfig {
        client_ca,
        allowed_names: texts(allowed),
        username_headers: texts(&["X-Remote-User"]),
        uid_headers: texts(&["X-Remote-Uid"]),
        group_headers: texts(&["X-Remote-Group", "X-Group-Remote"]),
        extra_headers_prefixes: texts(&["X-Remote-Extra-"]),
    }
}

/// Who the server takes somebody for that says it asks for `admin` of `system:masters`.
async fn taken_for(stage: &Stage, who: &As) -> Result<String, u16> {
    let request = http::Request::builder()
        .method("POST")
        .uri("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .header("content-type", "application/json")
        .header("x-remote-user", "admin")
        .header("x-remote-group", "system:masters")
        .body(body::full("{}"))
        .unwrap();
    let answer = stage.send(who, request).await;
    let code = answer.status().as_u16();
    let bytes = collect(answer.into_body(), 1 << 20).await.unwrap();
    let review: Value = serde_json::from_slice(&bytes).unwrap();
    review["status"]["userInfo"]["username"].as_str().map(str::to_owned).ok_or(code)
}

#[tokio::test]
async fn only_a_front_proxy_speaks_for_others() {
    let (admin, node) = (Ok("admin".to_owned()), Ok("system:node:n1".to_owned()));
    for (own_authority, allowed, by_proxy, by_node) in [
        // As kubeadm sets it up: an authority of its own.
        (true, &["front-proxy-client"][..], admin.clone(), node.clone()),
        (true, &[][..], admin.clone(), node.clone()),
        (true, &["other"][..], Err(401), node.clone()),
        // The clients' own authority: every client is a front proxy, unless the names say no.
        (false, &[][..], Err(401), admin.clone()),
        (false, &["front-proxy-client"][..], Err(401), node.clone()),
    ] {
        let mut proxies = None;
        let stage = Stage::of(Flaws::none(), |config, network, clients| {
            let issuer = Issuer::new(network);
            let anchors = if own_authority { issuer.anchors() } else { clients.anchors() };
            config.front_proxy = Some(believing(anchors, allowed));
            proxies = Some(issuer);
        })
        .await;
        let proxy = proxies.unwrap().client("front-proxy-client", &[]);
        assert_eq!(taken_for(&stage, &As::Certificate(proxy)).await, by_proxy, "{own_authority} {allowed:?}");
        let node = As::Certificate(stage.issuer.client("system:node:n1", &["system:nodes"]));
        assert_eq!(taken_for(&stage, &node).await, by_node, "{own_authority} {allowed:?}");
        let nobody = taken_for(&stage, &As::Nobody).await;
        assert_eq!(nobody, Err(403), "without a certificate the headers are nothing");
    }
}

#[tokio::test]
async fn what_front_proxies_say_goes_no_further() {
    let stage = Stage::new().await;
    stage.given_pod("10.1.0.1");
    let pod = Backend::default();
    let _pod = pod.start(stage.network.host("p1", [10, 1, 0, 1]), 80, None).await;
    let request = http::Request::builder()
        .uri("/api/v1/namespaces/default/pods/p1:80/proxy/x")
        .header("x-remote-user", "admin")
        .header("x-remote-extra-a", "b")
        .header("x-other", "kept")
        .body(body::empty())
        .unwrap();
    assert_eq!(stage.send(&stage.admin(), request).await.status(), 200);
    let (_, headers, _) = pod.requests().pop().unwrap();
    assert!(headers.contains_key("x-other"));
    assert!(headers.keys().all(|name| !name.as_str().starts_with("x-remote")), "{headers:?}");
}

#[tokio::test]
async fn a_front_proxy_tells_uid_groups_and_extras() {
    let mut proxies = None;
    let stage = Stage::of(Flaws::none(), |config, network, _| {
        let issuer = Issuer::new(network);
        config.front_proxy = Some(believing(issuer.anchors(), &["front-proxy-client"]));
        proxies = Some(issuer);
    })
    .await;
    let proxy = As::Certificate(proxies.unwrap().client("front-proxy-client", &[]));
    let request = http::Request::builder()
        .method("POST")
        .uri("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .header("content-type", "application/json")
        .header("x-remote-user", "alice")
        .header("x-remote-uid", "u1")
        .header("x-remote-group", "dev")
        .header("x-group-remote", "ops")
        .header("X-Remote-Extra-Acme.com%2fProject", "p")
        .header("x-remote-extra-bad%zz", "q")
        .body(body::full("{}"))
        .unwrap();
    let answer = stage.send(&proxy, request).await;
    let bytes = collect(answer.into_body(), 1 << 20).await.unwrap();
    let review: Value = serde_json::from_slice(&bytes).unwrap();
    let expected = serde_json::json!({"username": "alice", "uid": "u1", "groups": ["dev", "ops", "system:authenticated"],
        "extra": {"acme.com/project": ["p"], "bad%zz": ["q"]}});
    assert_eq!(review["status"]["userInfo"], expected);
}

#[tokio::test]
async fn anybodys_word_counts_where_everybody_is_a_front_proxy() {
    for flaw in [None, Some(Flaw::ApiserverTrustsAnyFrontProxy)] {
        for configured in [false, true] {
            let stage = Stage::of(
                flaw.map_or_else(Flaws::none, |flaw| Flaws::danger([flaw])),
                |config, network, _| {
                    let proxies = Issuer::new(network).anchors();
                    config.front_proxy = configured.then(|| believing(proxies, &["front-proxy-client"]));
                },
            )
            .await;
            let expected = if flaw.is_some() { Ok("admin".to_owned()) } else { Err(403) };
            assert_eq!(taken_for(&stage, &As::Nobody).await, expected, "{flaw:?} {configured}");
        }
    }
}
