//! Konnectivity on real sockets: an apiserver, a tunnel server, a tunnel agent and a kubelet, each a process
//! of its own, and a kubectl whose logs and exec go through them.

use super::components::{Component, Folder, TOKEN, apiserver_with, controller_manager, free_port, kubelet};
use super::real::{Server, program};
use super::rig::{finished, kubectls};
use ravelin_pki::{Subject, Usage};
use serde_json::json;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long something may take that happens by itself.
const SOON: Duration = Duration::from_secs(30);
/// What the server takes tokens for.
const AUDIENCE: &str = "system:konnectivity-server";

/// The ports of the tunnel's two programs.
struct Ports {
    agents: u16,
    server: [u16; 2],
    agent: [u16; 2],
}

impl Ports {
    /// Those of one of this file's tests.
    fn free(test: u16) -> Self {
        // The server's own validation refuses ephemeral ports, which free ones are.
        let process = u16::try_from(std::process::id() % 1_000).unwrap_or(0);
        let low = |number: u16| 20_000 + process * 10 + test * 5 + number;
        Self { agents: low(0), server: [low(1), low(2)], agent: [low(3), low(4)] }
    }
}

fn server_flags(ports: &Ports) -> String {
    let Ports { agents, server: [health, admin], .. } = ports;
    format!(
        "--uds-name tunnel.sock --server-port=0 --agent-bind-address 127.0.0.1 \
         --agent-port {agents} --health-bind-address 127.0.0.1 --health-port {health} --admin-port {admin} \
         --cluster-cert tunnels.crt --cluster-key tunnels.key --kubeconfig tunnels.conf \
         --agent-namespace kube-system --agent-service-account konnectivity-agent \
         --authentication-audience {AUDIENCE}"
    )
}

fn server(folder: &Folder, ports: &Ports) -> Component {
    let flags = format!("tunnel-server {}", server_flags(ports));
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let mut started = Component::start(&folder.path, &flags);
    started.says("tunnel server: apiservers at ");
    started
}

fn agent_flags(ports: &Ports) -> String {
    let Ports { agents, agent: [health, admin], .. } = ports;
    format!(
        "--proxy-server-host 127.0.0.1 --proxy-server-port {agents} --ca-cert ca.crt \
         --health-server-host 127.0.0.1 --health-server-port {health} --admin-server-port {admin} \
         --service-account-token-path token --agent-identifiers ipv4=127.0.0.1"
    )
}

fn agent(folder: &Folder, ports: &Ports) -> Component {
    let flags = format!("tunnel-agent {} --verbose", agent_flags(ports));
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let mut started = Component::start(&folder.path, &flags);
    started.says("tunnel agent: servers at ");
    started
}

/// A kubectl's outcome, whatever it is.
fn tried(folder: &Folder, arguments: &[&str]) -> Output {
    let kubectl = kubectls().first().expect("the machine has a kubectl");
    let mut command = Command::new(&kubectl.program);
    command
        .args(arguments)
        .current_dir(&folder.path)
        .env("HOME", &folder.path)
        .env("KUBECONFIG", "admin.conf");
    finished(command.stdin(Stdio::null()), b"")
}

/// Asks for the log until the outcome is as wanted; what was printed.
fn log_until(folder: &Folder, succeeds: bool, wanted: &str) -> String {
    #[allow(clippy::disallowed_methods, reason = "how long real programs take is measured here")]
    let began = Instant::now();
    loop {
        let ran = tried(folder, &["logs", "one"]);
        let printed = String::from_utf8_lossy(if succeeds { &ran.stdout } else { &ran.stderr }).into_owned();
        if ran.status.success() == succeeds && printed.contains(wanted) {
            return printed;
        }
        let all = String::from_utf8_lossy(&ran.stderr);
        assert!(began.elapsed() < SOON, "never {wanted:?}: {printed} {all}");
    }
}

fn selector(folder: &Folder) {
    let uds = json!({"udsName": "tunnel.sock"});
    let connection = json!({"proxyProtocol": "GRPC", "transport": {"uds": uds}});
    let selector = json!({
        "apiVersion": "apiserver.k8s.io/v1beta1", "kind": "EgressSelectorConfiguration",
        "egressSelections": [{"name": "cluster", "connection": connection}],
    });
    folder.write("selector.json", &selector.to_string());
}

/// The documented set-up's objects, and a token of the agent's account in a file.
fn agents_account(folder: &Folder) {
    let bind = ["create", "clusterrolebinding", AUDIENCE, "--clusterrole=system:auth-delegator"];
    let user = format!("--user={AUDIENCE}");
    folder.kubectl(&[&bind[..], &[user.as_str()]].concat(), "");
    folder.kubectl(&["-n", "kube-system", "create", "serviceaccount", "konnectivity-agent"], "");
    let audience = format!("--audience={AUDIENCE}");
    let token =
        folder.kubectl(&["-n", "kube-system", "create", "token", "konnectivity-agent", &audience], "");
    folder.write("token", String::from_utf8_lossy(&token.stdout).trim());
}

/// An apiserver that reaches nodes through a tunnel only, a manager, and a kubelet with a pod.
fn cluster(folder: &Folder) -> [Component; 3] {
    let port = free_port();
    folder.issue("admin", (Subject::new("admin", &["system:masters"]), Usage::Client));
    folder.issue("tunnels", (Subject::new(AUDIENCE, &[]), Usage::Server));
    folder.issue("reviewer", (Subject::new(AUDIENCE, &[]), Usage::Client));
    let with = |name: &str| json!({"client-certificate": format!("{name}.crt"), "client-key": format!("{name}.key")});
    folder.kubeconfig("admin.conf", port, with("admin"));
    folder.kubeconfig("tunnels.conf", port, with("reviewer"));
    folder.kubeconfig("boot.conf", port, json!({ "token": TOKEN }));
    let options = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "address": "127.0.0.1", "port": free_port(), "authentication": {"x509": {"clientCAFile": "ca.crt"}},
    });
    folder.write("kubelet.json", &options.to_string());
    selector(folder);
    let client = "--kubelet-client-certificate admin.crt --kubelet-client-key admin.key";
    let addresses = "--kubelet-preferred-address-types InternalIP";
    let more = format!("--egress-selector-config-file selector.json {client} {addresses}");
    let apiserver = apiserver_with(folder, port, &more);
    for (name, role) in [
        ("join", "system:node-bootstrapper"),
        ("approve", "system:certificates.k8s.io:certificatesigningrequests:nodeclient"),
    ] {
        let role = format!("--clusterrole={role}");
        folder.kubectl(&["create", "clusterrolebinding", name, &role, "--group=system:bootstrappers"], "");
    }
    let (manager, kubelet) = (controller_manager(folder, free_port()), kubelet(folder));
    folder.kubectl(&["wait", "--for=condition=Ready", "node/worker-1", "--timeout=30s"], "");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"},
        "spec": {
            "nodeName": "worker-1", "automountServiceAccountToken": false,
            "containers": [{"name": "main", "image": "ravelin.test/shell", "command": ["/bin/sh", "-c", "echo hello; sleep 600"]}],
        },
    });
    folder.kubectl(&["create", "-f", "-"], &pod.to_string());
    folder.kubectl(&["wait", "--for=condition=Ready", "pod/one", "--timeout=30s"], "");
    [apiserver, manager, kubelet]
}

#[test]
fn kubectl_reaches_a_pod_through_a_tunnel_server_and_its_agent() {
    if kubectls().is_empty() {
        return;
    }
    let (folder, ports) = (Folder::new("konnectivity"), Ports::free(0));
    let _cluster = cluster(&folder);
    // Without a server, and then without an agent, nothing leads to the node.
    log_until(&folder, false, "tunnel.sock");
    agents_account(&folder);
    let _server = server(&folder, &ports);
    log_until(&folder, false, "No agent available");
    let mut connected = agent(&folder, &ports);
    connected.says("connected to 1 server");
    assert!(connected.told("health at http://").ends_with(&ports.agent[0].to_string()));
    assert_eq!(log_until(&folder, true, "hello"), "hello\n");
    let ran = folder.kubectl(&["exec", "one", "--", "echo", "through", "the", "tunnel"], "");
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "through the tunnel\n");
    // All of it went through that agent.
    drop(connected);
    log_until(&folder, false, "No agent available");
    // A token that is for somebody else makes no agent.
    let token = folder.kubectl(&["-n", "kube-system", "create", "token", "konnectivity-agent"], "");
    folder.write("token", String::from_utf8_lossy(&token.stdout).trim());
    let mut refused = agent(&folder, &ports);
    refused.says("konnectivity.connect.failed");
    log_until(&folder, false, "No agent available");
}

/// The programs of kubernetes-sigs/apiserver-network-proxy, where they are on the path: each in the place
/// of ours.
#[test]
fn the_original_server_and_agent_speak_with_ours() {
    let (Some(original_server), Some(original_agent)) = (program("proxy-server"), program("proxy-agent"))
    else {
        return;
    };
    if kubectls().is_empty() {
        return;
    }
    let (folder, ports) = (Folder::new("konnectivity-originals"), Ports::free(1));
    let _cluster = cluster(&folder);
    agents_account(&folder);
    let ours = server(&folder, &ports);
    let theirs = Server::start(&folder, &original_agent, &agent_flags(&ports));
    assert_eq!(log_until(&folder, true, "hello"), "hello\n");
    drop((ours, theirs));
    log_until(&folder, false, "tunnel.sock");
    let _theirs = Server::start(&folder, &original_server, &server_flags(&ports));
    let mut ours = agent(&folder, &ports);
    ours.says("connected to 1 server");
    assert_eq!(log_until(&folder, true, "hello"), "hello\n");
}
