//! The flaw of CVE-2018-1002105, and nothing that is used without it: a request for an upgrade is
//! written to the backend, and the connections are joined before anybody looked at the answer
//! (`UpgradeAwareHandler.tryUpgrade` of `apimachinery/pkg/util/proxy/upgradeaware.go` up to 1.12).
//! What the client sends next on its own goes to the backend, with the server's credentials, and no
//! request of it is authorized or written down.

use super::dial;
use super::join::{Passed, join};
use super::running::Tale;
use super::splice::{Onward, Way, unreached};
use crate::audit::StreamEnd;
use crate::server::{Asked, Server};
use http::header::HOST;
use ravelin_api::Status;
use ravelin_transport::{Response, danger};
use std::sync::Arc;
use tokio::io::AsyncWriteExt;

/// Passes an upgrade on, and whatever comes after it.
pub(super) async fn begin(
    server: &Arc<Server>,
    (user, mut asked): (&str, Asked),
    (way, onward): (Way, Onward),
) -> Result<Response, Status> {
    let Some(pending) = asked.upgrading.take() else {
        return Err(Status::bad_request("Upgrade request required"));
    };
    let backend = dial::danger_connection(server, &way.target).await;
    let mut backend = backend.map_err(|unanswered| unreached(&unanswered))?;
    let end = StreamEnd::default();
    let tale = Tale::begin(&server.host, (user, &asked.info.path), "nothing that was agreed", end.clone());
    let request = written(&onward);
    let joined = async move {
        let passed = match (backend.write_all(&request).await, pending.stream().await) {
            (Ok(()), Ok(client)) => join(client, backend).await,
            _ => Passed::default(),
        };
        tale.end(&passed);
    };
    server.streams.run(&server.host, Box::pin(joined))?;
    let mut answer = danger::unannounced();
    answer.extensions_mut().insert(end);
    Ok(answer)
}

/// A request's bytes.
fn written(onward: &Onward) -> Vec<u8> {
    let mut bytes = format!("{} {} HTTP/1.1\r\n", onward.method, onward.path).into_bytes();
    if !onward.headers.contains_key(HOST) {
        bytes.extend_from_slice(b"Host: \r\n");
    }
    for (name, value) in &onward.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}
