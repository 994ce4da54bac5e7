//! One component on this computer, with the flags and files of its Kubernetes namesake.

mod access;
mod agent;
mod apiserver;
mod controller_manager;
mod egress;
mod given;
mod kubelet;
mod material;
mod plugin;
mod proxy;
mod server;
mod tunnel;

pub(crate) use tunnel::{TunnelAgent, TunnelServer, tunnel_agent, tunnel_server};

use crate::console::Console;
use crate::files::{self, Refused};
use crate::outcome::Status;
use crate::up::stop::Stop;
use clap::Args;
use given::Given;
use ravelin_config::Component;
use ravelin_host::os::Observer;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

/// How long tasks that still run are waited for at the end.
const ENDING: Duration = Duration::from_millis(500);

macro_rules! about {
    () => {
        "\
Flags are those of its Kubernetes namesake, as `--flag=value` or `--flag value`; what it does not know
is an error. Flags that change nothing here are named once. Two flags are its own:
  --kubernetes-version V  the version whose defaults and behaviours apply, such as 1.33
  --verbose               say what the component says of itself, on standard error

Keys of certificates may be P-256 (EC) or RSA keys; keys that sign certificates or tokens must be P-256
keys, as PKCS#8 or SEC1 PEM: RSA keys cannot do that yet. A kubeconfig's user has a client certificate,
a token, a token file or an exec plugin; a plugin's certificate is used until it ends, its token asked for
again in time.

Exit status:
  0  it ran until it was told to stop
  2  bad input or usage; nothing was run
  3  it could not be started, or a bug"
    };
}

/// Run a kubelet on this computer, as a node of our apiserver or a real one
///
/// It joins with --bootstrap-kubeconfig, or uses the client certificate of --kubeconfig; registers its
/// node, keeps its lease and status, runs the pods that are bound to it, and serves the kubelet's HTTPS
/// endpoint. Addresses are this computer's own; its pods' addresses are known to this process alone.
///
/// Containers are built-in programs, or with --runtime process programs of this computer: their `command`
/// and `args`, run as you, in a folder below --root-dir. Nothing isolates those; as the superuser they also
/// need --danger-processes-as-root. Container logs are then in --root-dir's logs/pods.
#[derive(Args, Clone, Debug)]
#[command(after_help = concat!(
    "\
Example:
  ravelin kubelet --config kubelet.yaml --bootstrap-kubeconfig bootstrap.conf --kubeconfig kubelet.conf \\
      --root-dir ./node --cert-dir ./node/pki --hostname-override worker-1 --node-ip 192.0.2.7

", about!()))]
pub(crate) struct Kubelet {
    /// Flags of the kubelet
    #[arg(value_name = "--FLAG", trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    flags: Vec<String>,
}

/// Run an apiserver on this computer, for real kubelets and kubectls
///
/// Objects are kept in memory: they are gone when it stops.
#[derive(Args, Clone, Debug)]
#[command(after_help = concat!(
    "\
Example:
  ravelin apiserver --secure-port 6443 --client-ca-file ca.crt --tls-cert-file api.crt \\
      --tls-private-key-file api.key --authorization-mode Node,RBAC --service-cluster-ip-range 10.96.0.0/12 \\
      --service-account-issuer https://kubernetes.default.svc --service-account-key-file sa.pub \\
      --service-account-signing-key-file sa.key --enable-bootstrap-token-auth

", about!()))]
pub(crate) struct Apiserver {
    /// Flags of kube-apiserver
    #[arg(value_name = "--FLAG", trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    flags: Vec<String>,
}

/// Run a controller manager on this computer, for our apiserver or a real one
///
/// Approves and signs kubelets' signing requests, keeps endpoints and slices, watches nodes, collects
/// garbage, publishes root certificates, fills namespaces. Its own port asks the apiserver who calls and
/// what they may, with --authentication-kubeconfig and --authorization-kubeconfig.
#[derive(Args, Clone, Debug)]
#[command(after_help = concat!(
    "\
Example:
  ravelin controller-manager --kubeconfig controller-manager.conf --root-ca-file ca.crt \\
      --cluster-signing-cert-file ca.crt --cluster-signing-key-file ca.key --allocate-node-cidrs=true \\
      --cluster-cidr 10.244.0.0/16

", about!()))]
pub(crate) struct ControllerManager {
    /// Flags of kube-controller-manager
    #[arg(value_name = "--FLAG", trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    flags: Vec<String>,
}

/// Run a service proxy on this computer, for our apiserver or a real one
///
/// It follows Services and EndpointSlices, and carries what this computer's programs send to a service to
/// one of its endpoints, by copying: it changes no packet filter and needs no rights. A service is reached
/// at its own address where that is one of this computer's, as node ports are. Cluster addresses become so
/// with `ip route add local 10.96.0.0/12 dev lo` (the services' range); without it each has a socket on
/// 127.0.0.1 that is named when it opens. TCP only. Endpoints see this computer as the client.
#[derive(Args, Clone, Debug)]
#[command(after_help = concat!(
    "\
Example:
  ravelin proxy --kubeconfig kube-proxy.conf --hostname-override worker-1 \\
      --healthz-bind-address 127.0.0.1:10256 --metrics-bind-address 127.0.0.1:10249

", about!()))]
pub(crate) struct Proxy {
    /// Flags of kube-proxy
    #[arg(value_name = "--FLAG", trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    flags: Vec<String>,
}

/// Runs a controller manager until it is told to stop.
pub(crate) fn controller_manager(options: &ControllerManager, console: &mut Console<'_>) -> Status {
    run(Component::ControllerManager, &options.flags, console)
}

/// Runs a kubelet until it is told to stop.
pub(crate) fn kubelet(options: &Kubelet, console: &mut Console<'_>) -> Status {
    run(Component::Kubelet, &options.flags, console)
}

/// Runs a service proxy until it is told to stop.
pub(crate) fn proxy(options: &Proxy, console: &mut Console<'_>) -> Status {
    run(Component::Proxy, &options.flags, console)
}

/// Runs an apiserver until it is told to stop.
pub(crate) fn apiserver(options: &Apiserver, console: &mut Console<'_>) -> Status {
    run(Component::Apiserver, &options.flags, console)
}

fn run(component: Component, flags: &[String], console: &mut Console<'_>) -> Status {
    let outcome = Given::read(component, flags).and_then(|given| {
        for line in &given.remarks {
            console.say(&ravelin_report::harmless(line));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Refused::failed(format!("no runtime: {error}")))?;
        let running = async {
            let stop = Stop::new()?;
            match component {
                Component::Kubelet => kubelet::run(&given, stop, console).await,
                Component::ControllerManager => controller_manager::run(&given, stop, console).await,
                Component::Proxy => proxy::run(&given, stop, console).await,
                _ => apiserver::run(&given, stop, console).await,
            }
        };
        let ended = runtime.block_on(running);
        runtime.shutdown_timeout(ENDING);
        ended
    });
    files::status(outcome, console)
}

/// Who is told what the component says of itself.
fn observer(verbose: bool) -> Option<Observer> {
    let observer: Observer = Arc::new(|host, kind, fields| {
        let fields = fields.iter().map(|(name, value)| format!(" {name}={value:?}"));
        let line = format!("{host}: {kind}{}", fields.collect::<String>());
        // That nobody reads it is no failure.
        let _ = writeln!(io::stderr(), "{}", ravelin_report::harmless(&line));
    });
    verbose.then_some(observer)
}

/// A port that could not be had.
fn cannot_listen(what: &str, error: &io::Error) -> Refused {
    Refused::failed(format!("{what}: {error}; something else may listen there: choose another port"))
}
