//! `ravelin tunnel-server` and `ravelin tunnel-agent`: their flags, and what both have in common.

use super::access::Access;
use super::given::{manifest, split_own};
use super::{agent, server};
use crate::console::Console;
use crate::files::{self, Refused};
use crate::outcome::Status;
use crate::up::stop::Stop;
use clap::Args;
use ravelin_client::Client;
use ravelin_config::{
    Component, ConfigError, FileName, KonnectivityAgent, KonnectivityServer, LeaseSettings, Provenance,
    SourceFile,
};
use ravelin_host::HostRef;
use ravelin_host::os::{Computer, computer};
use ravelin_tunnel::konnectivity::LeasesAt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

macro_rules! about_tunnels {
    () => {
        "\
Flags are those of its Kubernetes namesake (kubernetes-sigs/apiserver-network-proxy), as `--flag=value`
or `--flag value`; what it does not know is an error. Flags that change nothing here are named once.
--verbose is its own: it says what it does, connection by connection, on standard error.

Keys are P-256 (EC) or RSA keys, as PKCS#8, SEC1 or PKCS#1 PEM.

Exit status:
  0  it ran until it was told to stop
  2  bad input or usage; nothing was run
  3  it could not be started, or a bug"
    };
}

/// Run a Konnectivity server on this computer, between an apiserver and the agents of its nodes
///
/// The apiserver finds it by an EgressSelectorConfiguration: over a Unix socket (--uds-name, with
/// --server-port=0), which whoever may open the file may use, or on --server-port with TLS, where
/// --server-ca-cert says whose certificates are let in. Agents connect to --agent-port and show a
/// certificate of --cluster-ca-cert, or a service account's token (--agent-namespace,
/// --agent-service-account, --authentication-audience and --kubeconfig). With neither, anybody who
/// reaches that port is an agent, and gets a share of the apiserver's connections: give one of the two.
///
/// --proxy-strategies says which agent a connection goes through. `default` is any of them; for a
/// node's own agent, give destHost,default, and agents --agent-identifiers=ipv4=ADDRESS.
#[derive(Args, Clone, Debug)]
#[command(after_help = concat!(
    "\
Example:
  ravelin tunnel-server --uds-name /run/konnectivity.sock --server-port 0 --agent-port 8132 \\
      --cluster-cert server.crt --cluster-key server.key --kubeconfig konnectivity-server.conf \\
      --agent-namespace kube-system --agent-service-account konnectivity-agent \\
      --authentication-audience system:konnectivity-server

", about_tunnels!()))]
pub(crate) struct TunnelServer {
    /// Flags of konnectivity-server (proxy-server)
    #[arg(value_name = "--FLAG", trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    flags: Vec<String>,
}

/// Run a Konnectivity agent on this computer, which the apiserver's connections to the nodes go through
///
/// It connects to every server behind --proxy-server-host, verifies it by --ca-cert, proves itself by
/// --agent-cert or by the token in --service-account-token-path (read anew for each connection), and
/// opens the connections that it is asked for from this computer. Told to stop, it first tells its
/// servers, so that no new connection is sent here.
#[derive(Args, Clone, Debug)]
#[command(after_help = concat!(
    "\
Example:
  ravelin tunnel-agent --proxy-server-host 192.0.2.10 --proxy-server-port 8132 --ca-cert ca.crt \\
      --service-account-token-path token --agent-identifiers ipv4=192.0.2.21

", about_tunnels!()))]
pub(crate) struct TunnelAgent {
    /// Flags of konnectivity-agent (proxy-agent)
    #[arg(value_name = "--FLAG", trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    flags: Vec<String>,
}

/// Runs a tunnel server until it is told to stop.
pub(crate) fn tunnel_server(options: &TunnelServer, console: &mut Console<'_>) -> Status {
    let given = Given::read(Component::KonnectivityServer, &options.flags, KonnectivityServer::read);
    let outcome = given.and_then(|given| {
        given.introduce(console);
        running(server::run(&given, console))
    });
    files::status(outcome, console)
}

/// Runs a tunnel agent until it is told to stop.
pub(crate) fn tunnel_agent(options: &TunnelAgent, console: &mut Console<'_>) -> Status {
    let given = Given::read(Component::KonnectivityAgent, &options.flags, KonnectivityAgent::read);
    let outcome = given.and_then(|given| {
        given.introduce(console);
        running(agent::run(&given, console))
    });
    files::status(outcome, console)
}

fn running(component: impl Future<Output = Result<Status, Refused>>) -> Result<Status, Refused> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Refused::failed(format!("no runtime: {error}")))?;
    let ended = runtime.block_on(component);
    runtime.shutdown_timeout(super::ENDING);
    ended
}

/// What one of the two was given.
pub(super) struct Given<T> {
    pub(super) options: T,
    /// Does it say what it does?
    verbose: bool,
    remarks: Vec<String>,
}

/// How one of the two is read from files.
type Read<T> = fn(&[SourceFile]) -> Result<(T, Provenance), Vec<ConfigError>>;

impl<T> Given<T> {
    fn read(component: Component, flags: &[String], read: Read<T>) -> Result<Self, Refused> {
        let (own, theirs) = split_own(component, flags);
        let verbose = own.iter().any(|(name, _)| name == "verbose");
        let (options, provenance) = read(&[manifest(component, &theirs)])
            .map_err(|errors| Refused(Status::Usage, errors.iter().map(ToString::to_string).collect()))?;
        let mut idle: Vec<&str> = provenance.no_effect.iter().map(|found| found.key.as_str()).collect();
        idle.dedup();
        let mut remarks = Vec::new();
        if !idle.is_empty() {
            remarks.push(format!("without effect here: {}", idle.join(", ")));
        }
        let unknown = provenance.unknown_effect.iter();
        remarks.extend(unknown.map(|found| format!("not acted on: {} ({})", found.key, found.why)));
        Ok(Self { options, verbose, remarks })
    }

    fn introduce(&self, console: &mut Console<'_>) {
        for line in &self.remarks {
            console.say(&ravelin_report::harmless(line));
        }
    }

    /// This computer, whose files have the names that they have.
    pub(super) fn computer(&self, name: &str) -> HostRef {
        computer(Computer {
            name: name.to_owned(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            files: "/".into(),
            places: Vec::new(),
            observer: super::observer(self.verbose),
        })
    }
}

/// Where servers are counted by their leases, if they are.
pub(super) async fn leases_at(
    leases: Option<&LeaseSettings>,
    kubeconfig: Option<&FileName>,
    host: &HostRef,
) -> Result<Option<LeasesAt>, Refused> {
    let Some(LeaseSettings { namespace, label }) = leases.cloned() else { return Ok(None) };
    let file = kubeconfig
        .ok_or_else(|| Refused::usage("--kubeconfig is missing: at which apiserver are servers' leases?"))?;
    let access = Access::load("--kubeconfig", Path::new(file.as_str())).await?;
    let client = Client::new(host.clone(), access.client("--kubeconfig", host).await?);
    Ok(Some(LeasesAt { client, namespace, label }))
}

/// Waits for a signal.
pub(super) async fn stopped() -> Result<&'static str, Refused> {
    Ok(Stop::new()?.wait().await)
}

/// A file as it is called from anywhere on this computer.
pub(super) fn absolute(file: &str) -> String {
    std::path::absolute(PathBuf::from(file))
        .map_or_else(|_| file.to_owned(), |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn server(flags: &str) -> Result<Given<KonnectivityServer>, Vec<String>> {
        let read = Given::read(Component::KonnectivityServer, &words(flags), KonnectivityServer::read);
        read.map_err(|refused| refused.1)
    }

    #[test]
    fn a_server_is_given_its_namesakes_flags() {
        let flags =
            "--uds-name /s --server-port=0 --cluster_cert a --cluster-key b --xfr-channel-size=5 --verbose";
        let given = server(flags).unwrap_or_else(|errors| panic!("{errors:?}"));
        assert_eq!(given.options.agents.port(), 8091);
        assert!(given.verbose);
        assert_eq!(given.remarks, ["without effect here: --xfr-channel-size"]);
    }

    #[test]
    fn a_servers_mistakes_are_shown_all_at_once() {
        let errors = server("--uds-name /s --cluster-cert a --agent-portt 1").err().expect("it is refused");
        let all = errors.join("\n");
        for part in [
            "--cluster-cert: is given without --cluster-key",
            "did you mean --agent-port?",
            "not 8090 for UDS",
        ] {
            assert!(all.contains(part), "{part}: {all}");
        }
        let agent =
            Given::read(Component::KonnectivityAgent, &words("--agent-id x"), KonnectivityAgent::read);
        let errors = agent.err().expect("it is refused").1.join("\n");
        assert!(errors.contains("--ca-cert: is missing"), "{errors}");
    }
}
