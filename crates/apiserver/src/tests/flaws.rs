//! Each check that a flaw takes away: it refuses without the flaw, and nothing else is weakened.

use super::stage::{API, As, Backend, Issuer, NODE, Stage};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::ToSpan;
use ravelin_host::{Flaw, Flaws};
use ravelin_pki::Identity;
use ravelin_transport::body;
use serde_json::{Value, json};
use std::net::IpAddr;

const LOG: &str = "GET /api/v1/namespaces/default/pods/p1/log";
const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 66));

fn flaws(flaw: Option<Flaw>) -> Flaws {
    flaw.map_or_else(Flaws::none, |flaw| Flaws::danger([flaw]))
}

/// What the caller of a log is told, with a kubelet at n1's address that presents this.
async fn log_from(stage: &Stage, presented: Identity) -> (u16, String) {
    stage.given_pod("10.1.0.1");
    let kubelet = Backend::default();
    let _running = kubelet.start(stage.network.host("n1", NODE), 10250, Some(presented)).await;
    let answer = stage.ask_raw(&stage.admin(), LOG, None).await;
    assert_eq!(kubelet.requests().len(), usize::from(answer.0 == 200), "{answer:?}");
    answer
}

#[tokio::test]
async fn a_kubelets_address_and_issuer_are_checked_apart() {
    let flaw = Flaw::ApiserverIgnoresKubeletAddress;
    for (flaw, address, foreign, code) in [
        (None, NODE, false, 200),
        (None, ELSEWHERE, false, 500),
        (Some(flaw), ELSEWHERE, false, 200),
        (Some(flaw), NODE, true, 500),
    ] {
        let stage = Stage::with(flaws(flaw)).await;
        let other = Issuer::new(&stage.network);
        let presented = if foreign { other.server(address) } else { stage.issuer.server(address) };
        assert_eq!(log_from(&stage, presented).await.0, code, "{flaw:?} {address}");
    }
}

#[tokio::test]
async fn a_kubelets_certificate_names_its_node_where_that_is_asked_for() {
    let ignores = Some(Flaw::ApiserverIgnoresKubeletNodeName);
    for (asked_for, flaw, node, address, code) in [
        (true, None, "n1", NODE, 200),
        (true, None, "n2", NODE, 500),
        (false, None, "n2", NODE, 200),
        (true, ignores, "n2", NODE, 200),
        (true, ignores, "n1", ELSEWHERE, 500),
        (true, Some(Flaw::ApiserverIgnoresKubeletAddress), "n2", ELSEWHERE, 500),
    ] {
        let stage =
            Stage::configured(flaws(flaw), |config| config.kubelet.cert_cn_validation = asked_for).await;
        let (answered, text) = log_from(&stage, stage.issuer.kubelet(node, address)).await;
        assert_eq!(answered, code, "{asked_for} {flaw:?} {node} {address}: {text}");
        if answered != 200 && (node, flaw) == ("n2", None) {
            let says = r#"certificate has common name \"system:node:n2\", not \"system:node:n1\""#;
            assert!(text.contains(says), "{text}");
        }
    }
}

/// A token of a pod's, for these audiences.
async fn token(stage: &Stage, audiences: Value) -> String {
    let request = json!({"spec": {"audiences": audiences, "expirationSeconds": 600}});
    let path = "POST /api/v1/namespaces/default/serviceaccounts/default/token";
    let (code, issued) = stage.ask(&stage.admin(), path, Some(request)).await;
    assert_eq!(code, 201);
    issued["status"]["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_tokens_signature_audience_and_time_are_checked_apart() {
    let all = [
        Flaw::ApiserverTrustsAnyToken,
        Flaw::ApiserverIgnoresTokenAudience,
        Flaw::ApiserverIgnoresTokenExpiry,
    ];
    for flaw in [None].into_iter().chain(all.map(Some)) {
        let stage = Stage::with(flaws(flaw)).await;
        stage.given(json!({"kind": "ServiceAccount", "apiVersion": "v1",
            "metadata": {"name": "default", "namespace": "default"}}));
        let good = token(&stage, json!([])).await;
        let (signed, _) = good.rsplit_once('.').unwrap();
        let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode([7; 64]));
        let for_vault = token(&stage, json!(["vault"])).await;
        let accepts = async |token: &str| {
            let (code, _) = stage.ask(&As::Token(token.to_owned()), "GET /version", None).await;
            assert!(matches!(code, 200 | 401), "{code}");
            code == 200
        };
        assert!(accepts(&good).await);
        assert_eq!(accepts(&forged).await, flaw == Some(all[0]), "{flaw:?}");
        assert_eq!(accepts("made-up").await, flaw == Some(all[0]), "{flaw:?}");
        assert_eq!(accepts(&for_vault).await, flaw == Some(all[1]), "{flaw:?}");
        stage.network.set_clock(stage.caller.now() + 20.minutes());
        assert_eq!(accepts(&good).await, flaw == Some(all[2]), "{flaw:?}");
    }
}

#[tokio::test]
async fn a_kubelets_redirect_is_followed_nowhere() {
    for flaw in [None, Some(Flaw::ApiserverFollowsRedirects)] {
        let stage = Stage::with(flaws(flaw)).await;
        stage.given_pod("10.1.0.1");
        stage.given(json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n2"},
            "status": {"addresses": [{"type": "InternalIP", "address": ELSEWHERE.to_string()}]}}));
        let location = format!("https://{ELSEWHERE}:10250/runningpods/");
        let rogue = Backend { redirect: Some(location.clone()), ..Backend::default() };
        let _rogue =
            rogue.start(stage.network.host("n1", NODE), 10250, Some(stage.issuer.server(NODE))).await;
        let victim = Backend::default();
        let identity = stage.issuer.server(ELSEWHERE);
        let _victim = victim.start(stage.network.host("n2", ELSEWHERE), 10250, Some(identity)).await;
        let (code, text) = stage.ask_raw(&stage.admin(), LOG, None).await;
        let seen: Vec<_> = victim.requests().into_iter().map(|seen| (seen.0, seen.2)).collect();
        if flaw.is_some() {
            assert_eq!((code, text.as_str()), (200, "genuine"));
            assert_eq!(seen, [("GET /runningpods/".to_owned(), 1)], "with the client certificate");
        } else {
            assert_eq!((code, seen), (500, vec![]));
            assert!(text.contains(&format!(r#"Get \"{location}\": redirects forbidden"#)), "{text}");
        }
    }
}

#[tokio::test]
async fn redirects_that_are_followed_end_and_are_verified() {
    let stage = Stage::with(flaws(Some(Flaw::ApiserverFollowsRedirects))).await;
    stage.given_pod("10.1.0.1");
    let round = Backend { redirect: Some("/again".to_owned()), ..Backend::default() };
    let _round = round.start(stage.network.host("n1", NODE), 10250, Some(stage.issuer.server(NODE))).await;
    let (code, message) = stage.refused(&stage.admin(), LOG, None).await;
    assert_eq!((code, message.as_str()), (500, r#"Get "/again": stopped after 10 redirects"#));
    assert_eq!(round.requests().len(), 11);
    let other = Issuer::new(&stage.network).server(ELSEWHERE);
    let away = Backend { redirect: Some(format!("https://{ELSEWHERE}/x")), ..Backend::default() };
    let stranger = Backend::default();
    let _stranger = stranger.start(stage.network.host("x", ELSEWHERE), 443, Some(other)).await;
    drop(_round);
    tokio::task::yield_now().await;
    let _away = away.start(stage.network.host("n1", NODE), 10250, Some(stage.issuer.server(NODE))).await;
    let (code, message) = stage.refused(&stage.admin(), LOG, None).await;
    assert!(code == 500 && message.contains("signed by unknown authority"), "{message}");
    assert_eq!(stranger.requests().len(), 0);
}

#[tokio::test]
async fn a_request_for_an_upgrade_is_authorized_like_any_other() {
    for (flaw, expected) in [(None, 403), (Some(Flaw::ApiserverSkipsAuthorizationOfUpgrades), 200)] {
        let stage = Stage::with(flaws(flaw)).await;
        let request = |upgrade: bool| {
            let connection = if upgrade { "Upgrade" } else { "keep-alive" };
            http::Request::builder()
                .uri("/api/v1/secrets")
                .header("connection", connection)
                .header("upgrade", "websocket")
                .body(body::empty())
                .unwrap()
        };
        assert_eq!(stage.send(&As::Nobody, request(true)).await.status(), expected, "{flaw:?}");
        assert_eq!(stage.send(&As::Nobody, request(false)).await.status(), 403, "{flaw:?}");
        let forged = As::Token("bad".to_owned());
        assert_eq!(stage.send(&forged, request(true)).await.status(), 401, "{flaw:?}");
    }
}

#[tokio::test]
async fn a_nodes_address_may_not_lead_to_the_server_itself() {
    for (flaw, expected) in [(None, 400), (Some(Flaw::ApiserverProxiesToAnyAddress), 200)] {
        let stage = Stage::with(flaws(flaw)).await;
        let address = "127.0.0.1";
        stage.given(json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n1"},
            "status": {"addresses": [{"type": "InternalIP", "address": address}]}}));
        let local = Backend::default();
        let identity = stage.issuer.server(address.parse().unwrap());
        let _local = local.start(stage.network.host("local", API), 10250, Some(identity)).await;
        for request in ["GET /api/v1/nodes/n1/proxy/x", "GET /api/v1/nodes/https:n1:10250/proxy/x"] {
            assert_eq!(stage.ask_raw(&stage.admin(), request, None).await.0, expected, "{flaw:?} {request}");
        }
        let other_port = stage.ask_raw(&stage.admin(), "GET /api/v1/nodes/n1:9/proxy/x", None).await;
        assert_eq!(other_port.0, 400, "{flaw:?}");
        assert_eq!(local.requests().len(), if flaw.is_some() { 2 } else { 0 });
    }
}

#[tokio::test]
async fn a_node_that_may_everything_may_write_to_other_nodes() {
    for (flaw, expected) in [(None, 403), (Some(Flaw::ApiserverAllowsEveryone), 200)] {
        let stage = Stage::with(flaws(flaw)).await;
        stage.given(json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n2"}}));
        let node = As::Certificate(stage.issuer.client("system:node:n1", &["system:nodes"]));
        let patch = Some(json!({"status": {"phase": "x"}}));
        let (code, _) = stage.ask(&node, "PATCH /api/v1/nodes/n2/status", patch).await;
        assert_eq!(code, expected, "{flaw:?}");
    }
}
