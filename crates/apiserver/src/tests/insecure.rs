//! The port without TLS, authentication and authorization.

use super::stage::{API, Stage};
use ravelin_host::{Endpoint, Flaws};
use ravelin_transport::{HttpConnection, body, collect};
use serde_json::{Value, json};
use std::net::SocketAddr;

const PORT: SocketAddr = SocketAddr::new(API, 8080);

async fn ask(stage: &Stage, request: &str, header: (&str, &str)) -> (u16, Value) {
    let (method, uri) = request.split_once(' ').unwrap();
    let connection = stage.caller.connect(&Endpoint::Tcp(PORT)).await.unwrap();
    let mut http = HttpConnection::open(&stage.caller, connection.stream).await.unwrap();
    let request = http::Request::builder()
        .method(method)
        .uri(uri)
        .header(header.0, header.1)
        .body(body::full("{}"))
        .unwrap();
    let answer = http.send(request).await.unwrap();
    let code = answer.status().as_u16();
    let bytes = collect(answer.into_body(), 1 << 20).await.unwrap();
    (code, serde_json::from_slice(&bytes).unwrap_or_default())
}

#[tokio::test]
async fn whoever_reaches_the_insecure_port_may_everything() {
    let stage = Stage::configured(Flaws::none(), |config| {
        config.insecure = Some(PORT);
        config.anonymous = crate::Anonymous::Off;
        config.authorization = Vec::new();
    })
    .await;
    let json = ("content-type", "application/json");
    assert_eq!(ask(&stage, "GET /api/v1/secrets", json).await.0, 200);
    assert_eq!(ask(&stage, "GET /api/v1/secrets", ("authorization", "Bearer bad")).await.0, 200);
    let whoami = "POST /apis/authentication.k8s.io/v1/selfsubjectreviews";
    let (code, review) = ask(&stage, whoami, json).await;
    let user = json!({"username": "system:unsecured", "groups": ["system:masters", "system:authenticated"]});
    assert_eq!((code, &review["status"]["userInfo"]), (201, &user));
    // The secure port beside it is as strict as ever.
    let secure = stage.ask(&super::stage::As::Nobody, "GET /api/v1/secrets", None).await;
    assert_eq!(secure.0, 401);
}

#[tokio::test]
async fn nobody_listens_where_there_is_no_insecure_port() {
    let stage = Stage::new().await;
    assert!(stage.caller.connect(&Endpoint::Tcp(PORT)).await.is_err());
}
