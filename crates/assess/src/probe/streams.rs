//! What the probes of exec, attach and port-forward have in common: how a session's end is judged.

use super::{DEADLINE, error, refused_with};
use crate::stage::Stage;
use ravelin_client::{ClientError, Outcome, PodName};
use ravelin_cluster::DemoPod;
use ravelin_oracle::{Call, Handed};
use serde_json::Value;
use std::io;

/// The directory of the files that hold the response's canaries.
const PLANTED: &str = "/probe";

/// The file that a pod finds the response's canary in.
pub(super) fn planted(id: &str) -> String {
    format!("{PLANTED}/{id}")
}

/// Puts the response's canary where the pod's processes find it.
pub(super) fn plant(pod: &DemoPod, (id, canary): (&str, &str)) -> Result<(), String> {
    let text = format!("{canary} {}\n", pod.name);
    let written = pod.host.disk().write(&planted(id), text.as_bytes());
    written.map_err(|error| format!("the file for {} could not be written: {error}", pod.name))
}

/// A pod's name, as a client of the apiserver says it.
pub(super) fn name_of(pod: &DemoPod) -> PodName<'_> {
    PodName { namespace: &pod.namespace, name: &pod.name }
}

/// Makes one call, the probe's request of this name, and tells what its caller was handed.
pub(super) async fn call(
    stage: &Stage,
    (name, flow): (&str, String),
    session: impl Future<Output = Result<Handed, ClientError>>,
) -> Call {
    let handed = match tokio::time::timeout(DEADLINE, session).await {
        Err(_) | Ok(Err(ClientError::Timeout)) => Handed::Nothing,
        Ok(Err(ClientError::Status(status))) => refused_with(status.code, &status.message),
        Ok(Err(failure)) => error(failure.to_string()),
        Ok(Ok(handed)) => handed,
    };
    Call { at: stage.world.elapsed(), flow, request: name.to_owned(), handed }
}

/// What a caller was handed whose session ended so: what was read, and whether its streams ended in
/// order. Only what ended well and whole is a success.
pub(super) fn handed(outcome: Outcome, read: io::Result<Vec<u8>>) -> Handed {
    match (outcome, read) {
        (Outcome::Success, Ok(body)) => Handed::Success(body),
        (Outcome::Success, Err(_)) => Handed::Partial,
        (Outcome::Exited(code), _) => error(format!("command terminated with exit code {code}")),
        (Outcome::Failed(text), _) => error(message(&text)),
    }
}

/// The message of a Status, or the text itself.
fn message(text: &str) -> String {
    let status: Option<Value> = serde_json::from_str(text).ok();
    status.and_then(|status| status["message"].as_str().map(str::to_owned)).unwrap_or_else(|| text.to_owned())
}

/// Reads a stream to its end. What broke off is an error.
pub(super) async fn whole(stream: Option<ravelin_transport::streams::BoxedReader>) -> io::Result<Vec<u8>> {
    use tokio::io::AsyncReadExt;
    let mut read = Vec::new();
    if let Some(mut stream) = stream {
        stream.read_to_end(&mut read).await?;
    }
    Ok(read)
}
