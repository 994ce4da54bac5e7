//! Nothing reaches the store without a permit: where everything is denied, no request changes it or
//! is told anything of it, whoever asks, whatever, and however.
//!
//! That the handlers cannot be called otherwise is the compiler's to check
//! (`ravelin_auth::Permit`); this is the same from outside.

use super::stage::{Ask, Shown, Stage, play};
use super::{Counts, hold};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use ravelin_api::{RESOURCES, Resource, object};
use ravelin_apiserver::AuthorizationMode;
use serde_json::{Value, json};

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];
/// What every object bears, and nobody may be told.
const WORD: &str = "n0b0dy-may-be-told";
const PATHS: [&str; 22] = [
    "/",
    "/api",
    "/api/",
    "/api/v1",
    "/apis",
    "/apis/apps",
    "/apis/rbac.authorization.k8s.io/v1",
    "/version",
    "/healthz",
    "/livez",
    "/readyz?verbose",
    "/healthz/etcd",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/.well-known/openid-configuration",
    "/openid/v1/jwks",
    "/logs/",
    "/debug/pprof/",
    "/ui",
    "//api/v1/namespaces/x/secrets/x",
    "/api//v1/secrets",
];

/// One object of every kind, with the word in it.
fn objects() -> Vec<Value> {
    let stored = RESOURCES.iter().filter(|resource| resource.stored);
    let one = |resource: &Resource| {
        json!({"kind": resource.kind, "apiVersion": resource.api_version(),
            "metadata": {"name": "x", "namespace": if resource.namespaced { "x" } else { "" },
                "annotations": {"word": WORD}, "labels": {"word": WORD}},
            "data": {"word": WORD}, "stringData": {}, "spec": {}, "status": {}, "rules": [], "subjects": []})
    };
    stored.map(one).collect()
}

/// A body that would do something.
fn body(resource: &Resource, name: &str) -> Value {
    json!({"kind": resource.kind, "apiVersion": resource.api_version(),
        "metadata": {"name": name, "namespace": "x", "labels": {"changed": "yes"}},
        "spec": {"containers": [{"name": "c", "image": "i"}], "ports": [{"port": 80}], "user": "x",
            "token": "x", "resourceAttributes": {"verb": "get"}, "namespace": "x"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "x"}, "rules": []})
}

async fn stage(mode: AuthorizationMode) -> Stage {
    let stage = Stage::new(|config| config.authorization = vec![mode]).await;
    for object in objects() {
        stage.given(object);
    }
    stage
}

/// All sorts of people, none of them in `system:masters`.
fn people(stage: &Stage) -> Vec<Shown> {
    vec![
        Shown::default(),
        stage.client("alice", &["dev"]),
        stage.client("system:node:x", &["system:nodes"]),
        stage.client("system:kube-controller-manager", &[]),
        stage.client("system:apiserver", &["kubeadm:cluster-admins"]),
        Shown { certificate: None, token: Some("made.up.token".to_owned()) },
    ]
}

/// Every request that the discovery names, and those for other parts.
fn every_request() -> Vec<Ask> {
    let mut all = Vec::new();
    for method in METHODS {
        all.extend(PATHS.iter().map(|path| Ask::new(method, *path)));
        for resource in RESOURCES {
            let namespace = if resource.namespaced { "x" } else { "" };
            let mut paths =
                vec![resource.path(namespace), resource.path(""), resource.object_path(namespace, "x")];
            let parts = resource.subresources.iter().chain(&["status", "scale", "exec", "proxy"]);
            paths.extend(parts.map(|part| format!("{}/{part}", resource.object_path(namespace, "x"))));
            paths.push(format!("{}?watch=true&timeoutSeconds=1", resource.path(namespace)));
            paths.push(resource.path("").replacen("/v1/", "/v1/watch/", 1));
            all.extend(paths.into_iter().map(|path| with_body(Ask::new(method, path), resource)));
        }
    }
    all
}

fn with_body(mut ask: Ask, resource: &Resource) -> Ask {
    match ask.method.as_str() {
        "POST" => ask.with(&body(resource, "y")),
        "PUT" => ask.with(&body(resource, "x")),
        "PATCH" => {
            ask.media_type = Some("application/merge-patch+json");
            ask.with(&json!({"metadata": {"labels": {"changed": "yes"}}, "status": {"phase": "y"}}))
        }
        _ => ask,
    }
}

#[test]
fn where_all_is_denied_no_request_changes_or_tells_anything() {
    let counts = Counts::default();
    play(5, async {
        let stage = stage(AuthorizationMode::AlwaysDeny).await;
        let before = stage.snapshot();
        let requests = every_request();
        assert!(requests.len() > 1_000, "{}", requests.len());
        for shown in people(&stage) {
            let mut caller = stage.caller(shown).await;
            for ask in &requests {
                let answer = caller.ask(ask).await;
                let what = format!("{} {}", ask.method, ask.path);
                assert!(matches!(answer.code, 401 | 403), "{what}: {} {}", answer.code, answer.text);
                assert!(!answer.text.contains(WORD), "{what}: {}", answer.text);
                counts.count(answer.code.to_string());
            }
            assert_eq!(stage.snapshot(), before);
        }
    });
    counts.at_least(&[("401", 1_000), ("403", 5_000)]);
}

/// The control: the same requests, allowed, change a lot and are told a lot. Otherwise the denial
/// would show nothing.
#[test]
fn the_same_requests_do_change_and_tell_where_all_is_allowed() {
    let counts = Counts::default();
    play(6, async {
        let stage = stage(AuthorizationMode::AlwaysAllow).await;
        let mut caller = stage.caller(stage.client("alice", &[])).await;
        let mut last = stage.store().revision();
        for ask in every_request() {
            // What is deleted would be missed by all that follow; what leads elsewhere ends nowhere.
            let leads_away = ["exec", "proxy", "log"].iter().any(|part| ask.path.ends_with(part));
            if ask.method == "DELETE" || leads_away {
                continue;
            }
            let answer = caller.ask(&ask).await;
            counts.count(format!("{}", answer.code / 100 * 100));
            if answer.text.contains(WORD) {
                counts.count("told");
            }
            let now = stage.store().revision();
            if now != last {
                counts.count("changed");
            }
            last = now;
        }
    });
    counts.at_least(&[("200", 200), ("told", 60), ("changed", 30)]);
}

/// A path that somebody might try.
#[derive(Clone, Debug)]
struct Odd {
    method: &'static str,
    resource: Index,
    segments: Vec<String>,
    spelling: u8,
    query: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    who: Index,
    long: usize,
}

fn any_odd() -> impl Strategy<Value = Odd> {
    let segment = prop_oneof![
        3 => select(vec!["x", "status", "proxy", "log", "watch", "namespaces", "secrets", "pods", "api", "v1", "..", ".", "*"]).prop_map(str::to_owned),
        1 => "[a-zA-Z0-9_~!$&'()+,;=:@-]{0,12}",
        1 => "(%[2-7][0-9A-F]){1,6}",
    ];
    let query = select(vec![
        "",
        "?watch=1",
        "?watch=true&timeoutSeconds=1",
        "?fieldSelector=metadata.name%3Dx",
        "?dryRun=All",
        "?limit=1",
        "?pretty=true",
        "?timeout=1s",
        "?resourceVersion=0",
        "?%zz",
        "?token=x&access_token=x",
    ]);
    let headers = prop::collection::vec(
        select(vec![
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("impersonate-user", "admin"),
            ("impersonate-group", "system:masters"),
            ("x-remote-user", "admin"),
            ("x-remote-group", "system:masters"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-http-method-override", "GET"),
            ("accept", "application/json;as=Table;g=meta.k8s.io;v=v1"),
            ("accept", "application/vnd.kubernetes.protobuf"),
            ("content-type", "application/vnd.kubernetes.protobuf"),
            ("authorization", "Basic YWRtaW46YWRtaW4="),
            ("x-stream-protocol-version", "v4.channel.k8s.io"),
        ]),
        0..4,
    );
    let long = prop_oneof![9 => Just(0), 1 => 1_000..20_000_usize];
    let place = (any::<Index>(), prop::collection::vec(segment, 0..7), 0..6_u8);
    (select(&METHODS[..]), place, query, headers, any::<Index>(), long).prop_map(
        |(method, (resource, segments, spelling), query, headers, who, long)| Odd {
            method,
            resource,
            segments,
            spelling,
            query,
            headers,
            who,
            long,
        },
    )
}

impl Odd {
    fn ask(&self) -> Ask {
        let resource = self.resource.get(RESOURCES);
        let rest = self.segments.join("/");
        let base = match self.spelling {
            0 => String::new(),
            1 => resource.path(""),
            2 => resource.path("x"),
            3 => resource.object_path("x", "x"),
            4 => resource.path("").replacen("/v1/", "/v1/proxy/", 1),
            _ => resource.path("x").replace('/', "//"),
        };
        let long = "a".repeat(self.long);
        let ask = Ask::new(self.method, format!("{base}/{rest}{long}{}", self.query));
        let mut ask = if matches!(self.method, "POST" | "PUT" | "PATCH") {
            ask.with(&body(resource, "y"))
        } else {
            ask
        };
        ask.headers = self.headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        ask
    }
}

#[test]
fn where_all_is_denied_no_odd_request_changes_or_tells_anything() {
    let counts = Counts::default();
    hold((16, 60, 1_500), prop::collection::vec(any_odd(), 40), |requests| {
        play(7, async {
            let stage = stage(AuthorizationMode::AlwaysDeny).await;
            let before = stage.snapshot();
            let mut callers = Vec::new();
            for shown in people(&stage) {
                callers.push(stage.caller(shown).await);
            }
            for odd in requests {
                let ask = odd.ask();
                let who = odd.who.index(callers.len());
                let answer = callers[who].ask(&ask).await;
                let what = format!("{} {} {:?}", ask.method, ask.path, ask.headers);
                // 400: the path or its headers cannot be understood; 431 and 414: they are too long;
                // 500: what the path is about cannot be told (`WithRequestInfo`, before anybody is asked).
                let is_no_path = answer.code == 500 && answer.text.contains("failed to create RequestInfo");
                if !matches!(answer.code, 400 | 401 | 403 | 414 | 431) && !is_no_path {
                    return Err(format!("{what}: {} {}", answer.code, answer.text));
                }
                if answer.text.contains(WORD) || object::kind(&answer.json()).ends_with("List") {
                    return Err(format!("{what}: {}", answer.text));
                }
                counts.count(answer.code.to_string());
            }
            if stage.snapshot() != before {
                return Err("the store has changed".to_owned());
            }
            Ok(())
        })
    });
    counts.at_least(&[("403", 1_000), ("401", 200)]);
}
