//! `ravelin up`: the cluster of some configuration files on real sockets of this computer.

mod kubeconfig;
mod network;
pub(crate) mod stop;

use crate::console::Console;
use crate::files::{self, Refused};
use crate::input;
use crate::outcome::Status;
use crate::processes::{self, RuntimeKind};
use clap::Args;
use kubeconfig::Kubeconfig;
use ravelin_cluster::{Cluster, Demo, Hosts, Layout, Who, Workloads};
use ravelin_config::ClusterConfig;
use ravelin_host::program::Programs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stop::Stop;

/// How long the cluster may take until it is shown as it is.
const LIMIT: Duration = Duration::from_secs(30);
/// How long tasks that still run are waited for at the end.
const ENDING: Duration = Duration::from_millis(500);

/// Run the cluster of these configuration files on this computer, for the real kubectl
///
/// The same cluster as `ravelin simulate` runs, on real sockets: apiserver, controllers, nodes with
/// kubelets and service proxies, and a few pods that can be looked at, all inside this one process.
/// Nothing is installed and nothing isolated: containers are built-in programs, or with --runtime process
/// programs of this computer. With no files it is what kubeadm sets up by default. It stops with Ctrl-C.
///
/// Only the apiserver has a port that others can reach, on 127.0.0.1. Nodes, pods and services keep the
/// addresses that they have in the cluster (198.18.…, 10.244.…, 10.96.…), which exist nowhere else: reach
/// them through the apiserver (kubectl logs, kubectl get --raw …/proxy/).
#[derive(Args, Clone, Debug)]
#[command(after_help = EXIT_STATUS, after_long_help = LONG)]
pub(crate) struct Up {
    /// Configuration files, directories of them, or `-` for standard input
    #[arg(value_name = "FILE|DIR|-")]
    inputs: Vec<PathBuf>,

    /// Where to write the kubeconfig with the credentials of a cluster administrator
    ///
    /// A file that `ravelin up` wrote before is replaced, any other is not. It is removed at the end if
    /// it is still as it was written.
    #[arg(long, value_name = "FILE", default_value = "ravelin.kubeconfig")]
    kubeconfig: PathBuf,

    /// How many nodes the cluster has
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    nodes: u32,

    /// Where the apiserver listens; a free port for port 0
    ///
    /// 127.0.0.1:6443 where nothing is given, or a free port where that one is taken.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,

    /// Let --listen name an address that other computers can reach
    ///
    /// The cluster is for looking at: whoever reaches it and finds a way in runs code in this process.
    #[arg(long)]
    danger_listen_anywhere: bool,

    /// The Kubernetes version, over what the files say, such as 1.33
    #[arg(long, value_name = "VERSION")]
    kubernetes_version: Option<String>,

    /// What runs containers
    ///
    /// With `process` a container is its `command` and `args`, started as a program of this computer in a
    /// folder of its own, below which its volumes' files are; its image is not looked at. NOTHING ISOLATES
    /// IT: it runs as you, reads and writes your files, and reaches your network, whoever wrote the pod.
    /// Its folder is removed with the pod. $RAVELIN_POD_ADDRESS is a loopback address that is its pod's
    /// alone; what it listens on there, or on 127.0.0.1, is reached by port-forward, and what its
    /// `containerPort`s name by services. Pods of built-in images (ravelin.test/…) stay built in.
    #[arg(long, value_enum, value_name = "RUNTIME", default_value_t = RuntimeKind::Builtin)]
    runtime: RuntimeKind,

    /// Let --runtime process run as the superuser, who may do everything
    #[arg(long)]
    danger_processes_as_root: bool,

    /// Also say what the components say of themselves, a line for each event, on standard error
    #[arg(long, short)]
    verbose: bool,
}

const EXIT_STATUS: &str = "\
Exit status:
  0  the cluster ran until it was told to stop
  2  bad input or usage; nothing was run
  3  the cluster could not be started, or a bug";

const LONG: &str = "\
Examples:
  What kubeadm sets up by default, with three nodes:
    ravelin up
    kubectl --kubeconfig ravelin.kubeconfig get nodes,pods -A

  The files of a control-plane node, one node, the next free port:
    ravelin up /etc/kubernetes/manifests --nodes 1 --listen 127.0.0.1:0

  A pod that is a program of this computer:
    ravelin up --runtime process
    kubectl --kubeconfig ravelin.kubeconfig run date --image any --command -- sh -c 'date; sleep 1000'

  What the apiserver asks a kubelet, and a pod behind a service:
    kubectl --kubeconfig ravelin.kubeconfig -n ravelin logs logger-node-1
    kubectl --kubeconfig ravelin.kubeconfig get --raw \\
        /api/v1/namespaces/ravelin/services/http:web:80/proxy/

Exit status:
  0  the cluster ran until it was told to stop
  2  bad input or usage; nothing was run
  3  the cluster could not be started, or a bug";

/// Runs the command, and says what became of it.
pub(crate) fn run(options: &Up, console: &mut Console<'_>) -> Status {
    let began = now();
    let outcome = prepared(options, console).and_then(|(config, layout)| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Refused::failed(format!("no runtime: {error}")))?;
        let running = Running { options, config, layout, began };
        let ended = runtime.block_on(running.run(console));
        runtime.shutdown_timeout(ENDING);
        ended
    });
    files::status(outcome, console)
}

/// What the files describe, checked before anything runs.
fn prepared(options: &Up, console: &mut Console<'_>) -> Result<(ClusterConfig, Layout), Refused> {
    if let Some(listen) = options.listen.filter(|listen| !listen.ip().is_loopback())
        && !options.danger_listen_anywhere
    {
        return Err(Refused::usage(format!(
            "--listen {listen}: other computers can reach this address; accepted: an address in 127.0.0.0/8, or \
             --danger-listen-anywhere beside it"
        )));
    }
    processes::may_run(options.runtime, options.danger_processes_as_root)?;
    let input = input::read(&options.inputs, &mut console.input);
    if !input.ignored.is_empty() {
        let names = input.ignored.join(", ");
        console.say(&ravelin_report::harmless(&format!("ignored, by their names: {names}")));
    }
    if !input.errors.is_empty() {
        return Err(Refused(Status::Usage, input.errors));
    }
    let mut config = ClusterConfig::read(&input.files, options.kubernetes_version.as_deref())
        .map_err(|errors| Refused(Status::Usage, errors.iter().map(ToString::to_string).collect()))?;
    let given = options.listen.map(|listen| listen.ip()).filter(|ip| !ip.is_unspecified());
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    config.network.apiserver_cert_sans.extend(names.into_iter().chain(given.map(|ip| ip.to_string())));
    let layout = Layout::new(&config, options.nodes).map_err(|error| Refused::usage(error.to_string()))?;
    Kubeconfig::may_write(&options.kubeconfig)?;
    Ok((config, layout))
}

struct Running<'a> {
    options: &'a Up,
    config: ClusterConfig,
    layout: Layout,
    began: Instant,
}

impl Running<'_> {
    async fn run(self, console: &mut Console<'_>) -> Result<Status, Refused> {
        let mut stop = Stop::new()?;
        let port = SocketAddr::new(self.layout.control_plane.address, self.config.apiserver.secure_port);
        let network = network::of(self.options.verbose);
        let listen = network::publish(&network, port, self.options.listen)?;
        let mut hosts = Hosts::of(&self.layout, network::hosts(&network, &self.layout));
        let programs = self.programs(console)?;
        hosts.workloads = Workloads {
            programs: programs.as_ref().map(|held| Arc::clone(&held.0) as Arc<dyn Programs>),
            retention: processes::RETENTION,
            events: true,
        };
        let starting = Cluster::start(&self.config, self.layout.clone(), hosts, LIMIT);
        let cluster = tokio::select! {
            biased;
            signal = stop.wait() => {
                console.say(&format!("{signal}: stopped before the cluster was ready"));
                return Ok(Status::Ran);
            }
            cluster = starting => cluster,
        };
        let written = Kubeconfig::write(&self.options.kubeconfig, &cluster, listen)?;
        self.greet(&cluster, listen, console);
        let signal = stop.wait().await;
        drop(cluster);
        console.say(&format!("{signal}: stopped; {}", written.remove()));
        Ok(Status::Ran)
    }

    /// What runs containers that are not built in.
    fn programs(&self, console: &mut Console<'_>) -> Result<Option<Held>, Refused> {
        if self.options.runtime == RuntimeKind::Builtin {
            return Ok(None);
        }
        processes::warn(console);
        Ok(Some(Held(processes::programs(&processes::folder())?)))
    }

    /// Says what is there and how to use it.
    fn greet(&self, cluster: &Cluster, listen: SocketAddr, console: &mut Console<'_>) {
        for trouble in not_ready(cluster) {
            console.say(&ravelin_report::harmless(&format!("not ready: {trouble}")));
        }
        let (ready_ms, nodes) = (self.began.elapsed().as_millis(), self.options.nodes);
        let version = &self.config.version;
        let file = quoted(&self.options.kubeconfig.display().to_string());
        let kubectl = format!("  kubectl --kubeconfig {file}");
        let text = format!(
            "ready in {ready_ms} ms: Kubernetes {version}, {nodes} node(s), apiserver at https://{listen}\n\n\
             {kubectl} get nodes,pods -A\n\
             {kubectl} -n ravelin logs {}\n\
             {kubectl} get --raw /api/v1/namespaces/ravelin/services/http:web:80/proxy/\n\n\
             Ctrl-C stops it.\n",
            Demo::Logger.pod_name(cluster.node_name(0)),
        );
        // That nobody reads it is no failure.
        let _ = console.output.write_all(text.as_bytes());
        let _ = console.output.flush();
    }
}

/// Programs whose files are removed at the end.
struct Held(Arc<ravelin_host::os::Programs>);

impl Drop for Held {
    fn drop(&mut self) {
        // A folder that stays does no harm.
        let _ = self.0.clear();
    }
}

/// What does not work in a cluster whose time to start is up.
fn not_ready(cluster: &Cluster) -> Vec<String> {
    let nodes = 0..cluster.layout().members().len();
    let kinds = |node| Demo::ALL.iter().filter_map(move |demo| cluster.pod(*demo, node).err());
    let pods = nodes.clone().flat_map(kinds);
    let joined = nodes.filter_map(|node| cluster.client(Who::Node(node)).err());
    joined.chain(pods).collect()
}

/// A file name as a shell takes it.
fn quoted(name: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+".contains(letter);
    if !name.is_empty() && name.chars().all(plain) {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', "'\\''"))
    }
}

/// The operating system's clock, for the one figure that is people's time.
fn now() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "nothing below the command line may see this clock")]
    Instant::now()
}
