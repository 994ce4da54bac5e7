//! A command in a container, or its main process, and the streams of whoever asked for it
//! (`remotecommand.ServeExec`, `ServeAttach`).

use super::Call;
use ravelin_api::Status;
use ravelin_host::{BoxedStream, HostRef};
use ravelin_runtime::{ProcessIo, Runtime};
use ravelin_transport::streams::{RemoteCommand, RemoteOptions, remote_server_spdy, remote_server_websocket};
use serde_json::Value;
use std::sync::Arc;

/// What is to be run, or joined.
pub(super) struct Run {
    pub(super) call: Call,
    pub(super) uid: String,
    pub(super) container: String,
    pub(super) argv: Vec<String>,
    pub(super) options: RemoteOptions,
}

/// Over SPDY, by the stream protocol that was agreed on.
pub(super) async fn over_spdy(
    (host, runtime): (HostRef, Arc<dyn Runtime>),
    stream: BoxedStream,
    protocol: &str,
    run: Run,
) {
    // A client that does not open its streams is not told so: there is no stream to tell it by.
    if let Ok(command) = remote_server_spdy(&host, stream, protocol, run.options).await {
        serve(runtime.as_ref(), command, run).await;
    }
}

/// Over a WebSocket, by the subprotocol that was agreed on.
pub(super) async fn over_websocket(
    (host, runtime): (HostRef, Arc<dyn Runtime>),
    stream: BoxedStream,
    protocol: String,
    run: Run,
) {
    if let Ok(command) = remote_server_websocket(&host, stream, &protocol, run.options).await {
        serve(runtime.as_ref(), command, run).await;
    }
}

async fn serve(runtime: &dyn Runtime, command: RemoteCommand, run: Run) {
    let RemoteCommand { stdin, stdout, stderr, resize, mut outcome } = command;
    let io = ProcessIo { stdin, stdout, stderr, tty: run.options.tty, resize };
    let (uid, container) = (&run.uid, &run.container);
    let process = async {
        match run.call {
            Call::Exec => {
                let ended = runtime.exec(uid, container, &run.argv, io).await;
                ended.map_err(|error| format!("error executing command in container: {error}"))
            }
            Call::Attach => {
                let ended = runtime.attach(uid, container, io).await;
                ended.map(|()| 0).map_err(|error| format!("error attaching to container: {error}"))
            }
        }
    };
    let ended = tokio::select! {
        biased;
        ended = process => ended,
        // Nobody is there any more: with the future the command ends.
        () = outcome.gone() => return,
    };
    match ended {
        Ok(0) => outcome.success().await,
        Ok(code) => outcome.exited(code).await,
        Err(why) => outcome.failed(&told(&why)).await,
    }
}

/// An internal error, as an error stream has it: without its kind.
fn told(why: &str) -> Value {
    let mut status = Status::internal_error(why).to_value();
    if let Some(members) = status.as_object_mut() {
        members.remove("kind");
        members.remove("apiVersion");
    }
    status
}
