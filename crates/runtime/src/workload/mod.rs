//! The built-in workloads, by image.
//!
//! | image | does |
//! |---|---|
//! | `ravelin.test/http` | the probe protocol over HTTP on its first port (8080) |
//! | `ravelin.test/https` | the same over TLS with a certificate of its own making (8443) |
//! | `ravelin.test/web` | both, on its first two ports (8080 and 8443) |
//! | `ravelin.test/logger` | writes a line at its start, and each `TICK_SECONDS` where that is set |
//! | `ravelin.test/shell` | a shell, or whatever command its pod names |
//! | `ravelin.test/forward` | passes every connection to its first port (8443) on to `TARGET` |
//! | `ravelin.test/apiclient` | asks the apiserver for a ConfigMap of its namespace: once, or each `EVERY_SECONDS` where that is set |

mod apiclient;
mod forward;
mod logger;
mod server;

pub use apiclient::InCluster;

use crate::{ContainerState, ContainerView, Ledger, Sandbox};
use ravelin_host::Task;
use std::sync::Arc;

/// A workload that runs; it ends when this is dropped.
#[derive(Default)]
pub(crate) struct Started {
    /// What must run for the container to be alive.
    servers: Vec<Task>,
    /// What may come to an end.
    _others: Vec<Task>,
}

impl Started {
    fn serving(servers: Vec<Task>) -> Self {
        Self { servers, _others: Vec::new() }
    }

    fn working(others: Vec<Task>) -> Self {
        Self { servers: Vec::new(), _others: others }
    }

    /// Is everything running that must? It is not after a crash of the computer.
    pub(crate) fn is_alive(&self) -> bool {
        !self.servers.iter().any(Task::is_finished)
    }
}

const HTTP_PORT: u16 = 8080;
const HTTPS_PORT: u16 = 8443;

/// One container of a pod that is being started.
pub(crate) struct Container<'a> {
    pub(crate) sandbox: &'a Sandbox,
    pub(crate) view: &'a ContainerView,
    pub(crate) ledger: &'a Arc<Ledger>,
}

/// Starts a container's workload; when this returns, its servers listen.
pub(crate) async fn start(
    sandbox: &Sandbox,
    view: &ContainerView,
    ledger: &Arc<Ledger>,
) -> Result<Started, ContainerState> {
    let container = Container { sandbox, view, ledger };
    let port = |index: usize, default| view.ports.get(index).copied().unwrap_or(default);
    let failed = |error: std::io::Error| ContainerState::Waiting {
        reason: "RunContainerError",
        message: error.to_string(),
    };
    match view.image_name() {
        "ravelin.test/http" => {
            let http = server::http(&container, port(0, HTTP_PORT)).await.map_err(failed)?;
            Ok(Started::serving(vec![http]))
        }
        "ravelin.test/https" => {
            let https = server::https(&container, port(0, HTTPS_PORT)).await.map_err(failed)?;
            Ok(Started::serving(vec![https]))
        }
        "ravelin.test/web" => {
            let http = server::http(&container, port(0, HTTP_PORT)).await.map_err(failed)?;
            let https = server::https(&container, port(1, HTTPS_PORT)).await.map_err(failed)?;
            Ok(Started::serving(vec![http, https]))
        }
        "ravelin.test/logger" => Ok(Started::working(logger::start(&container))),
        "ravelin.test/apiclient" => Ok(Started::working(vec![apiclient::start(&container)])),
        "ravelin.test/forward" => {
            let forward = forward::start(&container, port(0, HTTPS_PORT)).await.map_err(failed)?;
            Ok(Started::serving(vec![forward]))
        }
        other => Err(no_such_image(other)),
    }
}

const SHELL: &str = "ravelin.test/shell";

/// The images that there are.
const IMAGES: [&str; 7] = [
    "ravelin.test/http",
    "ravelin.test/https",
    "ravelin.test/web",
    "ravelin.test/logger",
    "ravelin.test/apiclient",
    "ravelin.test/forward",
    SHELL,
];

/// Is there an image of this name?
pub(crate) fn exists(image: &str) -> bool {
    IMAGES.contains(&image)
}

/// Does this image run a shell?
pub(crate) fn is_shell(image: &str) -> bool {
    image == SHELL
}

/// The state of a container whose image is not here.
pub(crate) fn no_such_image(image: &str) -> ContainerState {
    ContainerState::Waiting { reason: "ErrImagePull", message: format!("no such image here: {image:?}") }
}
