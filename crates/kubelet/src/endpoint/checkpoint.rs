//! A container to be written down as it is (`checkpoint` of `pkg/kubelet/server/server.go`). No runtime
//! here can, and each says so as one without that call does.

use super::answer::Answer;
use crate::state::Shared;
use http::StatusCode;
use ravelin_api::{Query, object};

/// From when on a kubelet has it (`ContainerCheckpoint` is on).
pub(super) const FROM: (u32, u32) = (1, 30);

/// What a runtime that does not know the call answers (gRPC).
const UNIMPLEMENTED: &str =
    "rpc error: code = Unimplemented desc = method CheckpointContainer not implemented";

/// Answers as a kubelet whose runtime cannot.
pub(super) async fn serve(
    shared: &Shared,
    (namespace, name, container): (&str, &str, &str),
    query: &str,
) -> Answer {
    let missing = |text: &str| Answer::text(StatusCode::NOT_FOUND, text.to_owned());
    let Some(pod) = shared.pod(namespace, name) else { return missing("pod does not exist") };
    let lists = ["spec.containers", "spec.initContainers", "spec.ephemeralContainers"];
    if !lists.iter().any(|list| object::list(&pod, list).iter().any(|one| one["name"] == container)) {
        return missing(&format!("container {container} does not exist"));
    }
    let query = Query::parse(query);
    let timeout = query.iter().filter(|(name, _)| *name == "timeout").last();
    if timeout.is_some_and(|(_, text)| text.parse::<i64>().is_err()) {
        return missing("cannot parse value of timeout parameter");
    }
    let state = shared.config.runtime.status(object::uid(&pod)).await;
    let runs =
        state.is_some_and(|state| state.containers.get(container).is_some_and(|one| !one.is_waiting()));
    let why = if runs { UNIMPLEMENTED.to_owned() } else { format!("container {container} not found") };
    let text = format!("checkpointing of {namespace}/{name}/{container} failed ({why})");
    Answer::text(StatusCode::INTERNAL_SERVER_ERROR, text)
}
