//! A real kube-apiserver: a controller manager and a kubelet of ours join it.
//!
//! It needs `etcd` and `kube-apiserver`, in the folder that `KUBEBUILDER_ASSETS` names (as for envtest)
//! or on the path. No Debian package has the second, so where they are missing nothing is tried.

use super::components::{Component, Folder, free_port};
use super::rig::{finished, kubectls};
use ravelin_pki::{KeyPair, Subject, Usage};
use serde_json::json;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the apiserver may take until it is ready.
const STARTING: Duration = Duration::from_secs(90);
/// Whoever has this may ask for a node's certificate.
const TOKEN: &str = "joiners-of-this-test";

/// Where a program is, if it is anywhere.
pub(super) fn program(name: &str) -> Option<PathBuf> {
    #[allow(clippy::disallowed_methods, reason = "where programs are is decided outside")]
    let (assets, path) = (std::env::var_os("KUBEBUILDER_ASSETS"), std::env::var_os("PATH"));
    let assets = assets.map(PathBuf::from).into_iter();
    let folders = assets.chain(path.iter().flat_map(std::env::split_paths));
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        eprintln!("not tried: {name} is not there");
    }
    found
}

/// Somebody else's server that runs; it is killed when this is dropped.
pub(super) struct Server(Child);

impl Server {
    pub(super) fn start(folder: &Folder, program: &PathBuf, flags: &str) -> Self {
        let mut command = Command::new(program);
        command.args(flags.split_whitespace()).current_dir(&folder.path);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display())))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Where it has ended already, there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn etcd(folder: &Folder, program: &PathBuf) -> (Server, u16) {
    let (port, peers) = (free_port(), free_port());
    let flags = format!(
        "--data-dir store --listen-client-urls http://127.0.0.1:{port} \
         --advertise-client-urls http://127.0.0.1:{port} --listen-peer-urls http://127.0.0.1:{peers} \
         --initial-advertise-peer-urls http://127.0.0.1:{peers} \
         --initial-cluster default=http://127.0.0.1:{peers}"
    );
    (Server::start(folder, program, &flags), port)
}

fn apiserver(folder: &Folder, program: &PathBuf, (port, etcd): (u16, u16)) -> Server {
    folder.issue("api", (Subject::new("kube-apiserver", &[]), Usage::Server));
    folder.issue("to-kubelets", (Subject::new("to-kubelets", &["system:masters"]), Usage::Client));
    let key = KeyPair::generate(&mut ravelin_entropy::stream(&["service accounts"]));
    folder.write("sa.key", &key.to_pem());
    folder.write("sa.pub", &key.public_pem());
    folder.write("tokens.csv", &format!("{TOKEN},joiner,1,\"system:bootstrappers\"\n"));
    let flags = format!(
        "--etcd-servers=http://127.0.0.1:{etcd} --bind-address=127.0.0.1 --secure-port={port} \
         --advertise-address=192.0.2.10 --endpoint-reconciler-type=none --client-ca-file=ca.crt \
         --tls-cert-file=api.crt --tls-private-key-file=api.key --authorization-mode=Node,RBAC \
         --enable-admission-plugins=NodeRestriction --service-cluster-ip-range=10.96.0.0/16 \
         --service-account-issuer=https://kubernetes.default.svc --service-account-key-file=sa.pub \
         --service-account-signing-key-file=sa.key --token-auth-file=tokens.csv \
         --kubelet-client-certificate=to-kubelets.crt --kubelet-client-key=to-kubelets.key \
         --kubelet-preferred-address-types=InternalIP"
    );
    let server = Server::start(folder, program, &flags);
    #[allow(clippy::disallowed_methods, reason = "how long a real program takes is measured here")]
    let began = Instant::now();
    while !is_ready(folder) {
        assert!(began.elapsed() < STARTING, "kube-apiserver is not ready");
    }
    server
}

fn is_ready(folder: &Folder) -> bool {
    let kubectl = kubectls().first().expect("the machine has a kubectl");
    let mut command = Command::new(&kubectl.program);
    command.args(["get", "--raw", "/readyz"]).current_dir(&folder.path);
    command.env("HOME", &folder.path).env("KUBECONFIG", "admin.conf").stdin(Stdio::null());
    finished(&mut command, b"").status.success()
}

#[test]
fn a_kubelet_and_a_controller_manager_of_ours_join_a_real_apiserver() {
    let programs = (program("etcd"), program("kube-apiserver"));
    let (Some(etcd_program), Some(apiserver_program)) = programs else { return };
    if kubectls().is_empty() {
        return;
    }
    let (folder, port) = (Folder::new("real-apiserver"), free_port());
    folder.issue("admin", (Subject::new("admin", &["system:masters"]), Usage::Client));
    let admin = json!({"client-certificate": "admin.crt", "client-key": "admin.key"});
    folder.kubeconfig("admin.conf", port, admin);
    folder.kubeconfig("boot.conf", port, json!({ "token": TOKEN }));
    let (_etcd, etcd_port) = etcd(&folder, &etcd_program);
    let _apiserver = apiserver(&folder, &apiserver_program, (port, etcd_port));
    for (name, role) in [
        ("join", "system:node-bootstrapper"),
        ("approve", "system:certificates.k8s.io:certificatesigningrequests:nodeclient"),
    ] {
        let role = format!("--clusterrole={role}");
        folder.kubectl(&["create", "clusterrolebinding", name, &role, "--group=system:bootstrappers"], "");
    }
    let (_manager, _kubelet) = (manager(&folder), kubelet(&folder));
    folder.kubectl(&["wait", "--for=condition=Ready", "node/worker-1", "--timeout=60s"], "");
    uses(&folder);
}

fn manager(folder: &Folder) -> Component {
    let flags = format!(
        "controller-manager --kubeconfig admin.conf --root-ca-file ca.crt --allocate-node-cidrs=true \
         --cluster-cidr 10.77.0.0/16 --cluster-signing-cert-file ca.crt --cluster-signing-key-file ca.key \
         --bind-address 127.0.0.1 --secure-port {}",
        free_port()
    );
    Component::start(&folder.path, &flags.split_whitespace().collect::<Vec<_>>())
}

fn kubelet(folder: &Folder) -> Component {
    let options = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "address": "127.0.0.1", "port": free_port(), "rotateCertificates": true,
        "authentication": {"x509": {"clientCAFile": "ca.crt"}},
    });
    folder.write("kubelet.json", &options.to_string());
    let flags = "kubelet --config kubelet.json --bootstrap-kubeconfig boot.conf --kubeconfig kubelet.conf \
                 --root-dir node --hostname-override worker-1 --node-ip 127.0.0.1";
    let mut kubelet = Component::start(&folder.path, &flags.split_whitespace().collect::<Vec<_>>());
    kubelet.says("the node is registered");
    kubelet
}

/// Logs, commands and copies, from a kubectl through the real apiserver to our kubelet.
fn uses(folder: &Folder) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "shell"},
        "spec": {
            "nodeName": "worker-1", "automountServiceAccountToken": false,
            "containers": [{
                "name": "main", "image": "ravelin.test/shell",
                "command": ["sh", "-c", "echo $GREETING; sleep 3600"],
                "env": [{"name": "GREETING", "value": "hello from our kubelet"}],
            }],
        },
    });
    folder.kubectl(&["create", "--validate=false", "-f", "-"], &pod.to_string());
    folder.kubectl(&["wait", "--for=condition=Ready", "pod/shell", "--timeout=60s"], "");
    let said = |arguments: &[&str], input: &str| folder.kubectl(arguments, input).stdout;
    assert_eq!(said(&["logs", "shell"], ""), b"hello from our kubelet\n");
    let much = "0123456789abcdef".repeat(65_536);
    assert_eq!(said(&["exec", "-i", "shell", "--", "cat"], &much), much.as_bytes());
    folder.write("sent.txt", "copied there and back\n");
    folder.kubectl(&["cp", "sent.txt", "shell:/tmp/there.txt"], "");
    folder.kubectl(&["cp", "shell:/tmp/there.txt", "back.txt"], "");
    let back = std::fs::read_to_string(folder.path.join("back.txt")).expect("it was copied");
    assert_eq!(back, "copied there and back\n");
    folder.kubectl(&["delete", "pod", "shell", "--timeout=60s"], "");
}
