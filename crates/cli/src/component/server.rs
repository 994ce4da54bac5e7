//! `ravelin tunnel-server`, once its flags are read.

use super::access::Access;
use super::cannot_listen;
use super::material::{anchors, identity};
use super::tunnel::{Given, absolute, leases_at, stopped};
use crate::console::Console;
use crate::files::Refused;
use crate::outcome::Status;
use ravelin_client::Client;
use ravelin_cluster::TunnelServerParts;
use ravelin_config::{self as config, KonnectivityFrontend, KonnectivityServer as Options};
use ravelin_host::HostRef;
use ravelin_tunnel::konnectivity::{
    AgentAuthentication, FrontendClients, FrontendListener, KonnectivityServer, ServerLease,
};
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;

/// How long it may take to give the server's lease back.
const RELEASE: Duration = Duration::from_secs(2);
/// The variable that names a server where no flag does.
const ID_VARIABLE: &str = "PROXY_SERVER_ID";

pub(super) async fn run(given: &Given<Options>, console: &mut Console<'_>) -> Result<Status, Refused> {
    let options = &given.options;
    let host = given.computer("tunnel-server");
    let serving = identity(("--cluster-cert", "--cluster-key"), &options.serving)?;
    let authentication = authentication(options, &host).await?;
    if matches!(authentication, AgentAuthentication::DangerNone) {
        console.say(
            "anybody who reaches the agents' port is an agent here (CVE-2026-16242): give --cluster-ca-cert, or the flags of tokens",
        );
    }
    let (id, leases) =
        (id(options, &host), leases_at(options.leases.as_ref(), options.kubeconfig.as_ref(), &host).await?);
    let parts = TunnelServerParts {
        id: id.clone(),
        count: options.count,
        frontend: frontend(options)?,
        serving,
        authentication,
    };
    let frontend = match &parts.frontend {
        FrontendListener::Unix { path } => path.clone(),
        FrontendListener::Tls { listen, .. } | FrontendListener::DangerPlain { listen } => listen.to_string(),
    };
    let config = ravelin_cluster::tunnel_server(options, parts);
    let (agents, health) = (options.agents, options.health);
    let running = KonnectivityServer::start(host.clone(), config).await.map_err(|error| {
        cannot_listen(&format!("{frontend}, {agents}, {health} or {}", options.admin), &error)
    })?;
    console.say(&format!(
        "tunnel server: apiservers at {frontend}, agents at {agents}, health at http://{health}"
    ));
    let lease = leases.map(|at| ServerLease::start(&host, &id, at));
    let signal = stopped().await?;
    drop(running);
    if let Some(lease) = lease {
        // One that cannot be given back ends by itself.
        let _ = timeout(RELEASE, lease.release()).await;
    }
    console.say(&format!("{signal}: stopped"));
    Ok(Status::Ran)
}

fn id(options: &Options, host: &HostRef) -> String {
    #[allow(clippy::disallowed_methods, reason = "the flag's documented other half")]
    let variable = std::env::var(ID_VARIABLE).ok().filter(|id| !id.is_empty());
    options.id.clone().or(variable).unwrap_or_else(|| host.entropy("server id").uuid())
}

async fn authentication(options: &Options, host: &HostRef) -> Result<AgentAuthentication, Refused> {
    Ok(match &options.authentication {
        config::AgentAuthentication::DangerNone => AgentAuthentication::DangerNone,
        config::AgentAuthentication::Certificate { ca } => {
            AgentAuthentication::ClientCertificate(anchors("--cluster-ca-cert", ca.as_str())?)
        }
        config::AgentAuthentication::Token { namespace, service_account, audience } => {
            let file = options.kubeconfig.as_ref().ok_or_else(|| {
                Refused::usage("--kubeconfig is missing: which apiserver is asked whose a token is?")
            })?;
            let access = Access::load("--kubeconfig", Path::new(file.as_str())).await?;
            let client = access.client("--kubeconfig", host).await?;
            AgentAuthentication::ServiceAccountToken {
                namespace: namespace.clone(),
                service_account: service_account.clone(),
                audience: audience.clone(),
                reviewer: Client::new(host.clone(), client),
            }
        }
    })
}

fn frontend(options: &Options) -> Result<FrontendListener, Refused> {
    Ok(match &options.frontend {
        KonnectivityFrontend::Unix(path) => FrontendListener::Unix { path: absolute(path.as_str()) },
        KonnectivityFrontend::Tcp { listen, serving, client_ca } => FrontendListener::Tls {
            listen: *listen,
            identity: identity(("--server-cert", "--server-key"), serving)?,
            clients: match client_ca {
                Some(ca) => FrontendClients::Certificate(anchors("--server-ca-cert", ca.as_str())?),
                None => FrontendClients::DangerAnybody,
            },
        },
    })
}
