//! `ravelin tunnel-agent`, once its flags are read.

use super::cannot_listen;
use super::material::{anchors, identity};
use super::tunnel::{Given, absolute, leases_at, stopped};
use crate::console::Console;
use crate::files::Refused;
use crate::outcome::Status;
use ravelin_cluster::TunnelAgentParts;
use ravelin_config::KonnectivityAgent as Options;
use ravelin_host::HostRef;
use ravelin_pki::ServerTrust;
use ravelin_tunnel::konnectivity::{KonnectivityAgent, LeaseCount};
use std::time::Duration;

/// The variable that names an agent where no flag does.
const ID_VARIABLE: &str = "PROXY_AGENT_ID";
/// How often it is looked whether it is connected.
const LOOK: Duration = Duration::from_millis(200);
/// How long servers are given to hear that it is about to stop.
const DRAINING: Duration = Duration::from_secs(1);

pub(super) async fn run(given: &Given<Options>, console: &mut Console<'_>) -> Result<Status, Refused> {
    let options = &given.options;
    let host = given.computer("tunnel-agent");
    let client = options.client.as_ref();
    let parts = TunnelAgentParts {
        id: id(options, &host),
        identifiers: options.identifiers.clone(),
        trust: ServerTrust::Anchors(anchors("--ca-cert", options.ca.as_str())?),
        identity: client.map(|pair| identity(("--agent-cert", "--agent-key"), pair)).transpose()?,
        token_file: options.token.as_ref().map(|file| absolute(file.as_str())),
    };
    if let Some(file) = parts.token_file.as_ref().filter(|file| !std::path::Path::new(file.as_str()).exists())
    {
        return Err(Refused::usage(format!("--service-account-token-path: {file}: there is no such file")));
    }
    let config = ravelin_cluster::tunnel_agent(options, parts)
        .map_err(|error| Refused::usage(format!("--agent-identifiers: {error}")))?;
    let server = format!("{}:{}", options.server_host, options.server_port);
    let (health, admin) = (options.health, options.admin);
    let leases = leases_at(options.leases.as_ref(), options.kubeconfig.as_ref(), &host).await?;
    let leases = leases.map(|at| LeaseCount { at, larger: options.larger_server_count });
    let running = KonnectivityAgent::counting(host, config, leases)
        .await
        .map_err(|error| cannot_listen(&format!("{health} or {admin}"), &error))?;
    console.say(&format!("tunnel agent: servers at {server}, health at http://{health}"));
    let signal = tokio::select! {
        biased;
        signal = stopped() => signal?,
        () = follow(&running, console) => stopped().await?,
    };
    running.drain();
    tokio::time::sleep(DRAINING).await;
    drop(running);
    console.say(&format!("{signal}: stopped"));
    Ok(Status::Ran)
}

fn id(options: &Options, host: &HostRef) -> String {
    #[allow(clippy::disallowed_methods, reason = "the flag's documented other half")]
    let variable = std::env::var(ID_VARIABLE).ok().filter(|id| !id.is_empty());
    options.id.clone().or(variable).unwrap_or_else(|| host.entropy("agent id").uuid())
}

/// Says when it is connected to more servers, or to fewer.
async fn follow(running: &KonnectivityAgent, console: &mut Console<'_>) {
    let mut known = 0;
    loop {
        let now = running.connected();
        if now != known {
            let servers = if now == 1 { "server" } else { "servers" };
            console.say(&format!("connected to {now} {servers}"));
            known = now;
        }
        tokio::time::sleep(LOOK).await;
    }
}
