//! The way out to kubelets, pods and services.

use super::stage::{As, Backend, Issuer, NODE, Stage, read};
use async_trait::async_trait;
use ravelin_host::{BoxedStream, Endpoint, Flaw, Flaws};
use ravelin_transport::body;
use ravelin_transport::egress::{Destination, Egress, EgressError, HealthCheck};
use ravelin_transport::metrics::{Family, Kind};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

const LOG: &str = "/api/v1/namespaces/default/pods/p1/log";
const POD: [u8; 4] = [10, 1, 0, 1];

#[tokio::test]
async fn a_log_is_fetched_from_the_kubelet_with_the_servers_own_identity() {
    let stage = Stage::new().await;
    stage.given_pod("10.1.0.1");
    let kubelet = Backend::default();
    let _running =
        kubelet.start(stage.network.host("n1", NODE), 10250, Some(stage.issuer.server(NODE))).await;
    let request = format!("GET {LOG}?tailLines=5&limitBytes=100&follow=true&container=c");
    assert_eq!(stage.ask_raw(&stage.admin(), &request, None).await, (200, "genuine".to_owned()));
    let seen = kubelet.requests();
    assert_eq!(seen[0].0, "GET /containerLogs/default/p1/c?follow=true&limitBytes=100&tailLines=5");
    assert_eq!(seen[0].2, 1, "the kubelet saw a client certificate");
    assert_eq!(seen[0].1["host"], "10.0.0.2:10250");
    assert!(!seen[0].1.contains_key("authorization"));
}

#[tokio::test]
async fn an_unverified_kubelet_is_refused_and_sees_no_request() {
    for (flaws, expected) in [(Flaws::none(), 500), (Flaws::danger([Flaw::ApiserverTrustsAnyKubelet]), 200)] {
        let stage = Stage::with(flaws).await;
        stage.given_pod("10.1.0.1");
        let impostor = Issuer::new(&stage.network).server(NODE);
        let kubelet = Backend::default();
        let _running = kubelet.start(stage.network.host("n1", NODE), 10250, Some(impostor)).await;
        let (code, text) = stage.ask_raw(&stage.admin(), &format!("GET {LOG}"), None).await;
        assert_eq!((code, kubelet.requests().len()), (expected, usize::from(expected == 200)));
        if expected == 500 {
            let message = r#"Get \"https://10.0.0.2:10250/containerLogs/default/p1/c\": tls: failed to verify certificate: x509: certificate signed by unknown authority"#;
            assert!(text.contains(message), "{text}");
            let proxied = stage.refused(&stage.admin(), "GET /api/v1/nodes/n1/proxy/pods", None).await;
            let message = "error trying to reach service: tls: failed to verify certificate: x509: certificate signed by unknown authority";
            assert_eq!(proxied, (503, message.to_owned()));
        }
    }
}

#[tokio::test]
async fn a_kubelets_certificate_must_be_for_the_address_that_was_dialled() {
    let stage = Stage::new().await;
    stage.given_pod("10.1.0.1");
    let other = stage.issuer.server([10, 0, 0, 99].into());
    let kubelet = Backend::default();
    let _running = kubelet.start(stage.network.host("n1", NODE), 10250, Some(other)).await;
    let (code, message) = stage.refused(&stage.admin(), "GET /api/v1/nodes/n1/proxy/pods", None).await;
    let expected = "error trying to reach service: tls: failed to verify certificate: x509: certificate is valid for 10.0.0.99, not 10.0.0.2";
    assert_eq!((code, message.as_str()), (503, expected));
}

#[tokio::test]
async fn a_truncated_answer_of_a_backend_is_no_success() {
    let stage = Stage::new().await;
    stage.given_pod("10.1.0.1");
    let broken = Backend { breaks_off: true, ..Backend::default() };
    let _kubelet = broken.start(stage.network.host("n1", NODE), 10250, Some(stage.issuer.server(NODE))).await;
    let _pod = broken.start(stage.network.host("p1", POD), 80, None).await;
    for uri in [LOG, "/api/v1/nodes/n1/proxy/x", "/api/v1/namespaces/default/pods/p1/proxy/x"] {
        let request = http::Request::builder().uri(uri).body(body::empty()).unwrap();
        let (came, whole) = read(stage.send(&stage.admin(), request).await).await;
        assert_eq!((came.as_slice(), whole), (&b"genu"[..], false), "{uri}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_that_says_nothing_is_given_up_on() {
    let stage = Stage::new().await;
    stage.given_pod("10.1.0.1");
    let listener = stage.network.host("n1", NODE).listen(&Endpoint::tcp(NODE, 10250)).await.unwrap();
    let (refused, _held) = tokio::join!(
        async { stage.refused(&stage.admin(), &format!("GET {LOG}"), None).await },
        listener.accept()
    );
    let message =
        r#"Get "https://10.0.0.2:10250/containerLogs/default/p1/c": net/http: TLS handshake timeout"#;
    assert_eq!(refused, (500, message.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_log_that_falls_silent_is_cut_off() {
    let stage = Stage::new().await;
    stage.given_pod("10.1.0.1");
    let silent = Backend { silent: true, ..Backend::default() };
    let _kubelet = silent.start(stage.network.host("n1", NODE), 10250, Some(stage.issuer.server(NODE))).await;
    let request = http::Request::builder().uri(LOG).body(body::empty()).unwrap();
    let begun = Instant::now();
    let (came, whole) = read(stage.send(&stage.admin(), request).await).await;
    assert_eq!((came.as_slice(), whole), (&b"genu"[..], false));
    assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_callers_credential_never_reaches_a_proxied_server() {
    let stage = Stage::new().await;
    stage.given_pod("10.1.0.1");
    stage.given(json!({"kind": "ClusterRoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "bob"},
        "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"}, "subjects": [{"kind": "User", "name": "bob"}]}));
    stage.given(
        json!({"kind": "Service", "apiVersion": "v1", "metadata": {"name": "s", "namespace": "default"},
        "spec": {"ports": [{"port": 1, "name": "web"}]}}),
    );
    stage.given(json!({"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
        "metadata": {"name": "s-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "s"}},
        "ports": [{"name": "web", "port": 80}],
        "endpoints": [{"addresses": ["10.1.0.1"], "targetRef": {"kind": "Pod", "namespace": "default", "name": "p1"}},
            {"addresses": ["10.1.0.66"], "targetRef": {"kind": "Pod", "namespace": "default", "name": "p1"}}]}));
    let backend = Backend::default();
    let _kubelet =
        backend.start(stage.network.host("n1", NODE), 10250, Some(stage.issuer.server(NODE))).await;
    let host = stage.network.host("p1", POD);
    let _http = backend.start(Arc::clone(&host), 80, None).await;
    let _https = backend.start(host, 443, Some(Issuer::new(&stage.network).server(NODE))).await;
    let pods = "/api/v1/namespaces/default/pods";
    let bob = As::Token("stat1c".to_owned());
    for (uri, certificates) in [
        (format!("{pods}/p1/proxy/a/../x?y=1"), 0),
        (format!("{pods}/https:p1:443/proxy/x?y=1"), 0),
        ("/api/v1/namespaces/default/services/s:web/proxy/x?y=1".to_owned(), 0),
        ("/api/v1/namespaces/default/services/s:1/proxy/x?y=1".to_owned(), 0),
        ("/api/v1/nodes/n1/proxy/x?y=1".to_owned(), 1),
        ("/api/v1/nodes/http:n1:10250/proxy/x?y=1".to_owned(), 1),
    ] {
        assert_eq!(
            stage.ask_raw(&bob, &format!("GET {uri}"), None).await,
            (200, "genuine".to_owned()),
            "{uri}"
        );
        let (line, headers, shown) = backend.requests().pop().unwrap();
        assert_eq!((line.as_str(), shown), ("GET /x?y=1", certificates), "{uri}");
        assert!(!headers.contains_key("authorization"), "{uri}");
        assert_eq!(
            (&headers["host"], &headers["x-forwarded-for"]),
            (&"api".parse().unwrap(), &"10.0.0.9".parse().unwrap())
        );
    }
}

/// Whoever may write status and slices decides where the server goes next, and nobody else.
#[tokio::test]
async fn the_server_dials_the_addresses_that_status_says_now() {
    let stage = Stage::new().await;
    stage.given_pod("10.1.0.1");
    stage.given(json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n2"},
        "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.77"}]}}));
    stage.given(
        json!({"kind": "Service", "apiVersion": "v1", "metadata": {"name": "s", "namespace": "default"},
        "spec": {"ports": [{"port": 1, "name": "web"}]}}),
    );
    let elsewhere = [10, 0, 0, 66];
    let identity = stage.issuer.server(elsewhere.into());
    let host = stage.network.host("elsewhere", elsewhere);
    let there = Backend::default();
    let _kubelet = there.start(Arc::clone(&host), 10250, Some(identity)).await;
    let _web = there.start(host, 80, None).await;
    let reference = json!({"kind": "Pod", "namespace": "default", "name": "p1"});
    let slice = json!({"metadata": {"name": "s-1", "labels": {"kubernetes.io/service-name": "s"}},
        "addressType": "IPv4", "ports": [{"name": "web", "port": 80}],
        "endpoints": [{"addresses": ["10.0.0.66"], "targetRef": reference}]});
    let pod_status = json!({"status": {"podIP": "10.0.0.66", "podIPs": [{"ip": "10.0.0.66"}]}});
    let node_status = json!({"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.66"}]}});
    let default = "/api/v1/namespaces/default";
    let changes = [
        ("PATCH /api/v1/nodes/n1/status".to_owned(), node_status, 200),
        (format!("PATCH {default}/pods/p1/status"), pod_status, 200),
        ("POST /apis/discovery.k8s.io/v1/namespaces/default/endpointslices".to_owned(), slice, 201),
    ];
    let others = [
        As::Nobody,
        As::Token("stat1c".to_owned()),
        As::Certificate(stage.issuer.client("system:node:n2", &["system:nodes"])),
    ];
    for (request, change, code) in &changes {
        for other in &others {
            assert_eq!(stage.ask(other, request, Some(change.clone())).await.0, 403, "{request}");
        }
        assert_eq!(stage.ask(&stage.admin(), request, Some(change.clone())).await.0, *code, "{request}");
    }
    for uri in [
        LOG.to_owned(),
        "/api/v1/nodes/n1/proxy/x".to_owned(),
        format!("{default}/pods/p1:80/proxy/x"),
        format!("{default}/services/s:web/proxy/x"),
    ] {
        let answer = stage.ask_raw(&stage.admin(), &format!("GET {uri}"), None).await;
        assert_eq!(answer, (200, "genuine".to_owned()), "{uri}");
    }
    assert_eq!(there.requests().len(), 4);
}

#[tokio::test]
async fn addresses_of_the_server_itself_are_refused_before_any_byte() {
    for address in ["127.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "0.0.0.0"] {
        let stage = Stage::new().await;
        stage.given_pod(address);
        let refused =
            stage.refused(&stage.admin(), "GET /api/v1/namespaces/default/pods/p1:80/proxy/", None).await;
        assert_eq!(refused, (400, "address not allowed".to_owned()), "{address}");
    }
}

#[tokio::test]
async fn bad_requests_for_logs_and_proxies_are_told_in_kubernetes_words() {
    let stage = Stage::new().await;
    let admin = stage.admin();
    stage.given_pod("10.1.0.1");
    stage.given(
        json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "lost", "namespace": "default"},
        "spec": {"nodeName": "absentnode", "containers": [{"name": "c"}]}}),
    );
    let default = "/api/v1/namespaces/default";
    for (request, expected) in [
        (
            format!("GET {LOG}?limitBytes=0"),
            (422, r#"PodLogOptions "p1" is invalid: limitBytes: Invalid value: 0: must be greater than 0"#),
        ),
        (
            format!("GET {LOG}?sinceSeconds=1&sinceTime=2020-01-01T00:00:00Z"),
            (
                422,
                r#"PodLogOptions "p1" is invalid: []: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"#,
            ),
        ),
        (format!("GET {LOG}?limitBytes="), (400, r#"strconv.ParseInt: parsing "": invalid syntax"#)),
        (
            format!("GET {LOG}?tailLines=9223372036854775808"),
            (400, r#"strconv.ParseInt: parsing "9223372036854775808": value out of range"#),
        ),
        (
            format!("GET {LOG}?sinceTime=noon"),
            (400, r#"parsing time "noon" as "2006-01-02T15:04:05Z07:00": cannot parse "noon" as "2006""#),
        ),
        (
            format!("GET {LOG}?stream=bogus"),
            (422, r#"PodLogOptions "p1" is invalid: stream: Forbidden: may not be specified"#),
        ),
        (format!("GET {LOG}?container=zz"), (400, "container zz is not valid for pod p1")),
        (format!("GET {default}/pods/nope/log"), (404, r#"pods "nope" not found"#)),
        (format!("GET {default}/pods/lost/log"), (404, r#"pods "absentnode" not found"#)),
        (format!("DELETE {LOG}"), (405, "the server does not allow this method on the requested resource")),
        (
            format!("GET {LOG}"),
            (
                500,
                r#"Get "https://10.0.0.2:10250/containerLogs/default/p1/c": dial tcp 10.0.0.2:10250: connect: connection refused"#,
            ),
        ),
        ("GET /api/v1/nodes/ftp:n1:1/proxy/x".to_owned(), (400, r#"invalid node request "ftp:n1:1""#)),
        ("GET /api/v1/nodes/n9/proxy/x".to_owned(), (404, r#"nodes "n9" not found"#)),
        (format!("GET {default}/services/nope/proxy/x"), (404, r#"services "nope" not found"#)),
        (format!("GET {default}/pods/p1/exec?command=ls"), (400, "Upgrade request required")),
    ] {
        let (code, message) = stage.refused(&admin, &request, None).await;
        assert_eq!((code, message.as_str()), expected, "{request}");
    }
}

/// A way into the cluster that leads nowhere, and says how it is.
#[derive(Default)]
struct Ailing {
    asked: Mutex<Vec<Destination>>,
}

#[async_trait]
impl Egress for Ailing {
    async fn dial(&self, _to: SocketAddr, what: &Destination) -> Result<BoxedStream, EgressError> {
        self.asked.lock().unwrap().push(what.clone());
        Err(EgressError::Unavailable("no tunnel".to_owned()))
    }

    fn name(&self) -> &str {
        "ailing"
    }

    fn health(&self) -> Vec<HealthCheck> {
        let late = Err("Tunnel sync is taking to long: 611".to_owned());
        vec![HealthCheck { name: "SSH Tunnel Check", outcome: late }]
    }

    fn metrics(&self) -> Vec<Family> {
        vec![Family::single("ssh_tunnel_open_count", Kind::Counter, "Attempts.", 3.0)]
    }
}

#[tokio::test]
async fn the_health_of_the_way_into_the_cluster_is_the_apiservers() {
    let stage = Stage::configured(Flaws::none(), |config| config.egress = Arc::new(Ailing::default())).await;
    let why = "internal server error: Tunnel sync is taking to long: 611\n";
    let without = "[+]ping ok\n[+]log ok\n[+]etcd ok\n[+]SSH Tunnel Check excluded: ok\nlivez check passed\n";
    let report = |root: &str| {
        format!(
            "[+]ping ok\n[+]log ok\n[+]etcd ok\n[-]SSH Tunnel Check failed: reason withheld\n{root} check failed\n"
        )
    };
    for (path, expected) in [
        ("/healthz", (500, report("healthz"))),
        ("/livez", (500, report("livez"))),
        ("/healthz/ping", (200, "ok".to_owned())),
        ("/healthz/SSH%20Tunnel%20Check", (500, why.to_owned())),
        ("/livez/SSH%20Tunnel%20Check", (500, why.to_owned())),
        ("/livez?verbose&exclude=SSH+Tunnel+Check", (200, without.to_owned())),
        ("/healthz/other", (404, "404 page not found\n".to_owned())),
    ] {
        assert_eq!(stage.ask_raw(&stage.admin(), &format!("GET {path}"), None).await, expected, "{path}");
    }
    let (code, text) = stage.ask_raw(&stage.admin(), "GET /metrics", None).await;
    let expected = "# HELP ssh_tunnel_open_count Attempts.\n# TYPE ssh_tunnel_open_count counter\nssh_tunnel_open_count 3\n";
    assert_eq!((code, text.as_str()), (200, expected));
    assert_eq!(stage.ask_raw(&As::Nobody, "GET /metrics", None).await.0, 403, "not for everybody");
}

#[tokio::test]
async fn the_way_into_the_cluster_is_told_the_node_of_a_pod() {
    let ailing = Arc::new(Ailing::default());
    let egress = Arc::clone(&ailing);
    let stage = Stage::configured(Flaws::none(), |config| config.egress = egress).await;
    stage.given_pod("10.1.0.1");
    stage.ask_raw(&stage.admin(), "GET /api/v1/namespaces/default/pods/p1/proxy/x", None).await;
    let pod = Destination::Pod {
        namespace: "default".to_owned(),
        name: "p1".to_owned(),
        node: Some("n1".to_owned()),
    };
    assert_eq!(*ailing.asked.lock().unwrap(), [pod]);
}

/// Two who record a node's host key at once: the second is told that there is one.
#[tokio::test]
async fn of_two_who_annotate_a_node_at_once_one_is_first() {
    let stage = Stage::new().await;
    stage.given_pod("10.1.0.1");
    let node = "/api/v1/nodes/n1";
    let (_, present) = stage.ask_raw(&stage.admin(), &format!("GET {node}"), None).await;
    let present: serde_json::Value = serde_json::from_str(&present).unwrap();
    let record = |key: &str| {
        json!({ "metadata": {
            "uid": present["metadata"]["uid"], "resourceVersion": present["metadata"]["resourceVersion"],
            "annotations": { "ravelin.dev/ssh-host-key": key },
        }})
    };
    let patch = |key: &str| {
        let request = http::Request::builder().method("PATCH").uri(node);
        let request = request.header("content-type", "application/merge-patch+json");
        request.body(body::full(record(key).to_string())).unwrap()
    };
    let admin = stage.admin();
    assert_eq!(stage.send(&admin, patch("first")).await.status(), 200);
    assert_eq!(stage.send(&admin, patch("second")).await.status(), 409);
    let (_, kept) = stage.ask_raw(&admin, &format!("GET {node}"), None).await;
    assert!(kept.contains("first") && !kept.contains("second"), "{kept}");
}
