//! Who gets what from the kubelet's endpoint.

use super::stage::{Stage, authority, get, identity};
use crate::{Authorization, Running};
use ravelin_client::{Credential, TokenSource};
use ravelin_host::{Flaw, Flaws};
use ravelin_pki::Usage;

const PODS_REFUSED: &str = "Forbidden (user=reader, verb=get, resource=nodes, subresource(s)=[proxy])\n";

fn token(token: &str) -> Credential {
    Credential::Token(TokenSource::fixed(token))
}

fn foreign() -> Credential {
    Credential::Certificate(identity(&authority(2), "admin", Usage::Client, [10, 0, 0, 9]))
}

async fn started(stage: &Stage, anonymous: bool, authorization: Authorization) -> Running {
    let mut config = stage.config();
    config.authentication.anonymous = anonymous;
    config.authorization = authorization;
    let running = stage.start(config).await;
    // Webhooks need the kubelet's client.
    stage.request("POST /api/v1/nodes").await;
    running
}

#[tokio::test(start_paused = true)]
async fn callers_get_what_their_credential_and_rights_allow() {
    let stage = Stage::new(Flaws::none()).await;
    let running = started(&stage, false, Authorization::Webhook).await;
    let table = [
        (Credential::Anonymous, "/pods", 401, "Unauthorized"),
        (Credential::Anonymous, "/nonexistent", 404, "404 page not found\n"),
        (foreign(), "/pods", 401, "Unauthorized"),
        (token("bad"), "/pods", 401, "Unauthorized"),
        (token("good"), "/containerLogs/default/p/c", 403, PODS_REFUSED),
        (token("good"), "/exec/default/p/c", 403, PODS_REFUSED),
        (stage.certificate("admin"), "/healthz", 200, "ok"),
        (stage.certificate("admin"), "/exec/default/p", 404, "404: Page Not Found"),
        (stage.certificate("admin"), "/containerLogs/default/p/c", 404, "pod \"p\" does not exist"),
        (
            stage.certificate("admin"),
            "/containerLogs/default/p/c?limitBytes=0",
            422,
            "{\"message\": \"Invalid request.\"}",
        ),
    ];
    let rows = table.len();
    for (credential, path, status, text) in table {
        let what = format!("{credential:?} {path}");
        assert_eq!(get(&stage.caller(credential), path).await, (status, text.to_owned()), "{what}");
    }
    assert_eq!(get(&stage.caller(token("good")), "/pods").await.0, 200, "through its `pods` right");
    assert_eq!(running.journal().answered().len(), rows + 1);
}

#[tokio::test(start_paused = true)]
async fn without_debugging_handlers_nobody_reaches_into_containers() {
    let stage = Stage::new(Flaws::none()).await;
    let mut config = stage.config();
    config.debugging_handlers = false;
    config.authorization = Authorization::AlwaysAllow;
    let _running = stage.start(config).await;
    stage.request("POST /api/v1/nodes").await;
    let admin = stage.caller(stage.certificate("admin"));
    for path in ["/containerLogs/default/p/c", "/exec/default/p/c", "/runningpods/", "/logs/x"] {
        assert_eq!(get(&admin, path).await, (405, "Debug endpoints are disabled.\n".to_owned()), "{path}");
    }
    assert_eq!(get(&admin, "/pods").await.0, 200, "the others stay");
    assert_eq!(
        get(&stage.caller(Credential::Anonymous), "/exec/default/p/c").await.0,
        401,
        "who asks comes first"
    );
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_that_serves_nothing_still_joins() {
    let stage = Stage::new(Flaws::none()).await;
    let mut config = stage.config();
    config.enable_server = false;
    let _running = stage.start(config).await;
    stage.request("POST /api/v1/nodes").await;
    let port = ravelin_host::Endpoint::tcp(std::net::IpAddr::from([10, 0, 0, 2]), 10250);
    assert!(stage.node.connect(&port).await.is_err(), "nothing listens");
}

#[tokio::test(start_paused = true)]
async fn a_bad_credential_is_never_anonymous() {
    let stage = Stage::new(Flaws::none()).await;
    let _running = started(&stage, true, Authorization::AlwaysAllow).await;
    assert_eq!(get(&stage.caller(Credential::Anonymous), "/pods").await.0, 200);
    assert_eq!(get(&stage.caller(foreign()), "/pods").await.0, 401);
    assert_eq!(get(&stage.caller(token("bad")), "/pods").await.0, 401);
}

#[tokio::test(start_paused = true)]
async fn each_flaw_opens_just_its_own_check() {
    let stage = Stage::new(Flaws::danger([Flaw::KubeletTrustsAnyClientCertificate])).await;
    let _running = started(&stage, false, Authorization::Webhook).await;
    assert_eq!(get(&stage.caller(foreign()), "/healthz").await.0, 200);
    assert_eq!(get(&stage.caller(Credential::Anonymous), "/healthz").await.0, 401);

    let stage = Stage::new(Flaws::danger([Flaw::KubeletAllowsEveryone])).await;
    let _running = started(&stage, false, Authorization::Webhook).await;
    assert_eq!(get(&stage.caller(Credential::Anonymous), "/healthz").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn an_apiserver_that_does_not_answer_means_no() {
    let stage = Stage::new(Flaws::none()).await;
    let mut config = stage.config();
    config.apiserver.address.set_port(1);
    let _running = stage.start(config).await;
    assert_eq!(get(&stage.caller(token("good")), "/pods").await.0, 401);
    assert_eq!(get(&stage.caller(stage.certificate("admin")), "/pods").await.0, 403);
}
