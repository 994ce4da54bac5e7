//! A pod to try things out in.

use crate::{Builtin, ContainerState, PodView, ProcessIo, Runtime, RuntimeError, Sandbox};
use ravelin_host::HostRef;
use ravelin_host::memory::Network;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) struct Stage {
    pub(crate) runtime: Builtin,
    pub(crate) host: HostRef,
    pub(crate) network: Network,
}

/// What came of a command.
pub(crate) type Outcome = (i32, String, String);

impl Stage {
    /// A pod `u` with one container `c` of an image.
    pub(crate) async fn of(image: &str, with: Value) -> Self {
        let network = Network::new();
        let host = network.host("pod-1", [10, 244, 0, 2]);
        host.disk().write("/var/key", b"another's").unwrap();
        let mut container =
            json!({ "name": "c", "image": image, "env": [{ "name": "COLOUR", "value": "red" }] });
        container.as_object_mut().unwrap().extend(with.as_object().cloned().unwrap_or_default());
        let pod = json!({
            "metadata": { "namespace": "ns", "name": "web", "uid": "u" }, "spec": { "containers": [container] },
        });
        let sandbox = Sandbox {
            pod: PodView::parse(&pod).unwrap(),
            host: host.clone(),
            root: "/pods/u".to_owned(),
            files: BTreeMap::from([("/run/secrets/token".to_owned(), b"its token".to_vec())]),
            env: BTreeMap::from([("KUBERNETES_SERVICE_HOST".to_owned(), "10.96.0.1".to_owned())]),
        };
        let runtime = Builtin::new();
        runtime.run_pod(sandbox).await.unwrap();
        Self { runtime, host, network }
    }

    /// A pod that only runs.
    pub(crate) async fn new() -> Self {
        Self::of("ravelin.test/logger", json!({})).await
    }

    pub(crate) async fn state(&self) -> ContainerState {
        self.runtime.status("u").await.unwrap().containers.remove("c").unwrap()
    }

    /// Runs a command with an input to its end.
    pub(crate) async fn exec(&self, argv: &[&str], input: &[u8]) -> Result<Outcome, RuntimeError> {
        let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
        let (stdin, mut typing) = tokio::io::duplex(1024);
        let (stdout, mut shown) = tokio::io::duplex(1024);
        let (stderr, mut complained) = tokio::io::duplex(1024);
        let io = ProcessIo {
            stdin: Some(Box::new(stdin)),
            stdout: Some(Box::new(stdout)),
            stderr: Some(Box::new(stderr)),
            ..ProcessIo::default()
        };
        let typed = async move {
            // A command may end before it has read everything.
            let _ = typing.write_all(input).await;
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let (exit_code, (), _, _) = tokio::join!(
            self.runtime.exec("u", "c", &argv, io),
            typed,
            shown.read_to_end(&mut out),
            complained.read_to_end(&mut err),
        );
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok((exit_code?, text(out), text(err)))
    }

    /// Runs a script.
    pub(crate) async fn sh(&self, script: &str) -> Outcome {
        self.exec(&["sh", "-c", script], b"").await.unwrap()
    }
}
