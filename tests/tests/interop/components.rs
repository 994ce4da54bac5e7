//! Single components on real sockets and real files: an apiserver, a controller manager that signs, and a
//! kubelet that joins with a bootstrap kubeconfig, as processes of their own; a kubectl looks at them.

use super::rig::{finished, kubectls};
use crate::commands::ravelin;
use ravelin_pki::{Authority, Identity, KeyPair, Profile, PublicKey, San, Subject, Usage};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long a component may take to say what it should.
const PATIENCE: Duration = Duration::from_secs(60);
/// Whoever has this may ask for a node's certificate.
pub(super) const TOKEN: &str = "joiners-of-this-test";

/// A folder with an authority, removed at the end.
pub(super) struct Folder {
    pub(super) path: PathBuf,
    authority: Authority,
}

impl Folder {
    pub(super) fn new(test: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("the tests' own folder can be written");
        let entropy = &mut ravelin_entropy::stream(&["authority"]);
        let (from, until) = lifetime();
        let authority = Authority::new("kubernetes", KeyPair::generate(entropy), from, until, entropy);
        let folder = Self { path, authority };
        folder.write("ca.crt", &folder.authority.certificate_pem());
        folder.write("ca.key", &folder.authority.key().to_pem());
        folder
    }

    pub(super) fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path.join(name), content).expect("the tests' own folder can be written");
    }

    /// A certificate and its key as `NAME.crt` and `NAME.key`.
    pub(super) fn issue(&self, name: &str, (subject, usage): (Subject, Usage)) -> Identity {
        let (not_before, not_after) = lifetime();
        let sans = if usage == Usage::Server { vec![San::Ip([127, 0, 0, 1].into())] } else { vec![] };
        let profile = Profile { subject, sans, usages: vec![usage], not_before, not_after };
        let identity = self.authority.identity(&profile, &mut ravelin_entropy::stream(&[name]));
        self.write(&format!("{name}.crt"), &identity.chain_pem());
        self.write(&format!("{name}.key"), &identity.key_pem());
        identity
    }

    /// The same for an RSA key, as kubeadm's are.
    pub(super) fn issue_rsa(&self, name: &str, (subject, usage): (Subject, Usage)) {
        let (not_before, not_after) = lifetime();
        let sans = if usage == Usage::Server { vec![San::Ip([127, 0, 0, 1].into())] } else { vec![] };
        let profile = Profile { subject, sans, usages: vec![usage], not_before, not_after };
        let public = PublicKey::from_pem(include_str!("../../../crates/pki/src/tests/rsa.pub"));
        let public = public.expect("it is an RSA key");
        let issued = self.authority.issue(&profile, &public, &mut ravelin_entropy::stream(&[name]));
        self.write(&format!("{name}.crt"), &ravelin_pki::certificates_to_pem(&[issued]));
        self.write(&format!("{name}.key"), include_str!("../../../crates/pki/src/tests/rsa.key"));
    }

    /// A kubeconfig for the apiserver at this port.
    pub(super) fn kubeconfig(&self, name: &str, port: u16, user: serde_json::Value) {
        let server = format!("https://127.0.0.1:{port}");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "one",
            "clusters": [{"name": "one", "cluster": {"server": server, "certificate-authority": "ca.crt"}}],
            "users": [{"name": "one", "user": user}],
            "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        });
        self.write(name, &config.to_string());
    }

    /// What a component's own port answers to whoever has this certificate, or how it refuses.
    fn asked(&self, port: u16, who: &str, path: &str) -> Result<String, String> {
        let kubectl = kubectls().first().expect("the machine has a kubectl");
        let (server, certificate, key) =
            (format!("https://127.0.0.1:{port}"), format!("{who}.crt"), format!("{who}.key"));
        let mut command = Command::new(&kubectl.program);
        command.args([
            "--server",
            &server,
            "--insecure-skip-tls-verify",
            "--client-certificate",
            &certificate,
        ]);
        command.args(["--client-key", &key, "get", "--raw", path]);
        command.current_dir(&self.path).env("HOME", &self.path).env("KUBECONFIG", "/dev/null");
        let ran = finished(command.stdin(Stdio::null()), b"");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if ran.status.success() { Ok(text(&ran.stdout)) } else { Err(text(&ran.stderr)) }
    }

    pub(super) fn kubectl(&self, arguments: &[&str], input: &str) -> Output {
        let kubectl = kubectls().first().expect("the machine has a kubectl");
        let mut command = Command::new(&kubectl.program);
        command
            .args(arguments)
            .current_dir(&self.path)
            .env("HOME", &self.path)
            .env("KUBECONFIG", "admin.conf");
        let ran = finished(command.stdin(Stdio::piped()), input.as_bytes());
        assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
        ran
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays does no harm.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn lifetime() -> (jiff::Timestamp, jiff::Timestamp) {
    #[allow(clippy::disallowed_methods, reason = "real programs judge these certificates by the real clock")]
    let now = jiff::Timestamp::now();
    let day = jiff::SignedDuration::from_hours(24);
    (now - jiff::SignedDuration::from_mins(1), now + day)
}

/// A port that nobody listens on now.
#[allow(clippy::disallowed_types, reason = "the port is for another process")]
pub(super) fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    socket.local_addr().expect("it is bound").port()
}

/// A component that runs; it is killed when this is dropped.
pub(super) struct Component {
    child: Child,
    lines: mpsc::Receiver<String>,
    said: String,
}

impl Component {
    pub(super) fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = ravelin(arguments);
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let messages = child.stderr.take().expect("it is piped");
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(messages).lines().map_while(Result::ok) {
                // Nobody listens any more once it said what it should.
                let _ = tell.send(line);
            }
        });
        Self { child, lines, said: String::new() }
    }

    pub(super) fn says(&mut self, what: &str) {
        while !self.said.contains(what) {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else { panic!("never {what:?}: {}", self.said) };
            self.said += &(line + "\n");
        }
    }

    /// The rest of the line that it says and that begins so.
    pub(super) fn told(&mut self, beginning: &str) -> String {
        self.says(beginning);
        if !self.said.ends_with('\n') {
            self.says("\n");
        }
        let line = self.said.lines().find_map(|line| line.split_once(beginning));
        line.expect("it was said").1.to_owned()
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        // Where it has ended already, there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn apiserver(folder: &Folder, port: u16) -> Component {
    apiserver_with(folder, port, "")
}

/// The same with flags more.
pub(super) fn apiserver_with(folder: &Folder, port: u16, more: &str) -> Component {
    folder.issue_rsa("api", (Subject::new("kube-apiserver", &[]), Usage::Server));
    let key = KeyPair::generate(&mut ravelin_entropy::stream(&["service accounts"]));
    folder.write("sa.key", &key.to_pem());
    folder.write("sa.pub", &key.public_pem());
    folder.write("tokens.csv", &format!("{TOKEN},joiner,1,\"system:bootstrappers\"\n"));
    let flags = format!(
        "apiserver --bind-address 127.0.0.1 --secure-port={port} --advertise-address 192.0.2.10 \
         --client-ca-file ca.crt --tls-cert-file api.crt --tls-private-key-file api.key \
         --authorization-mode Node,RBAC --service-cluster-ip-range 10.96.0.0/12 \
         --service-account-issuer https://kubernetes.default.svc --service-account-key-file sa.pub \
         --service-account-signing-key-file sa.key --token-auth-file tokens.csv --kubernetes-version 1.33 {more}"
    );
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let mut started = Component::start(&folder.path, &flags);
    started.says("apiserver at https://127.0.0.1:");
    started
}

pub(super) fn controller_manager(folder: &Folder, port: u16) -> Component {
    let flags = format!(
        "controller-manager --kubeconfig admin.conf --root-ca-file ca.crt --allocate-node-cidrs=true \
         --cluster-cidr 10.77.0.0/16 --cluster-signing-cert-file ca.crt --cluster-signing-key-file ca.key \
         --bind-address 127.0.0.1 --secure-port {port} --client-ca-file ca.crt \
         --authentication-kubeconfig admin.conf --authorization-kubeconfig admin.conf \
         --kubernetes-version=1.33"
    );
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let mut started = Component::start(&folder.path, &flags);
    started.says("controller manager of the apiserver at 127.0.0.1:");
    started
}

pub(super) fn kubelet(folder: &Folder) -> Component {
    let flags = "kubelet --config kubelet.json --bootstrap-kubeconfig boot.conf --kubeconfig kubelet.conf \
                 --root-dir node --hostname-override Worker-1 --node-ip 127.0.0.1 --kubernetes-version 1.33";
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let mut started = Component::start(&folder.path, &flags);
    started.says("the node is registered");
    started
}

#[test]
fn a_kubelet_joins_an_apiserver_each_a_process_of_its_own() {
    if kubectls().is_empty() {
        return;
    }
    let folder = Folder::new("components");
    let port = free_port();
    folder.issue_rsa("admin", (Subject::new("admin", &["system:masters"]), Usage::Client));
    folder.kubeconfig(
        "admin.conf",
        port,
        json!({"client-certificate": "admin.crt", "client-key": "admin.key"}),
    );
    folder.kubeconfig("boot.conf", port, json!({ "token": TOKEN }));
    let options = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "address": "127.0.0.1", "port": free_port(), "rotateCertificates": true,
        "authentication": {"x509": {"clientCAFile": "ca.crt"}},
    });
    folder.write("kubelet.json", &options.to_string());
    let _apiserver = apiserver(&folder, port);
    for (name, role) in [
        ("join", "system:node-bootstrapper"),
        ("approve", "system:certificates.k8s.io:certificatesigningrequests:nodeclient"),
    ] {
        let role = format!("--clusterrole={role}");
        folder.kubectl(&["create", "clusterrolebinding", name, &role, "--group=system:bootstrappers"], "");
    }
    let manager_port = free_port();
    let _manager = controller_manager(&folder, manager_port);
    folder.issue("passer-by", (Subject::new("passer-by", &[]), Usage::Client));
    for (who, path, answer) in [
        ("passer-by", "/healthz", Some("ok")),
        ("passer-by", "/metrics", None),
        ("admin", "/metrics", Some("leader_election_master_status")),
    ] {
        let told = folder.asked(manager_port, who, path);
        match answer {
            Some(part) => {
                assert!(told.as_ref().is_ok_and(|text| text.contains(part)), "{who} {path}: {told:?}")
            }
            None => {
                assert!(told.as_ref().is_err_and(|text| text.contains("orbidden")), "{who} {path}: {told:?}")
            }
        }
    }
    let joined = kubelet(&folder);
    folder.kubectl(&["wait", "--for=condition=Ready", "node/worker-1", "--timeout=30s"], "");
    let mode = |name: &str| {
        let file =
            std::fs::metadata(folder.path.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        file.permissions().mode() & 0o777
    };
    assert_eq!((mode("kubelet.conf"), mode("node/pki/kubelet-client-current.pem")), (0o600, 0o600));
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
        "spec": {
            "nodeName": "worker-1", "automountServiceAccountToken": false,
            "containers": [{"name": "main", "image": "ravelin.test/web"}],
        },
    });
    folder.kubectl(&["create", "-f", "-"], &pod.to_string());
    folder.kubectl(&["wait", "--for=condition=Ready", "pod/web", "--timeout=30s"], "");
    let address = folder.kubectl(&["get", "pod", "web", "-o", "jsonpath={.status.podIP}"], "");
    let address = String::from_utf8_lossy(&address.stdout).into_owned();
    assert!(address.starts_with("10.77."), "{address}");
    drop(joined);
    // It has an identity of its own by now, and its kubeconfig says where the apiserver is.
    std::fs::remove_file(folder.path.join("boot.conf")).unwrap();
    let _again = kubelet(&folder);
}

#[test]
fn what_a_component_cannot_use_is_said_before_it_runs() {
    let folder = Folder::new("component-errors");
    folder.kubeconfig("none.conf", 1, json!({}));
    folder.kubeconfig("exec.conf", 1, json!({"exec": {"command": "get-token"}}));
    folder.kubeconfig("basic.conf", 1, json!({"username": "me", "password": "x"}));
    folder.write("rsa.key", "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----\n");
    folder.issue("api", (Subject::new("kube-apiserver", &[]), Usage::Server));
    for (flags, why) in [
        ("kubelet --prot 1", "kubelet has no such flag"),
        ("kubelet --v=2", "--kubeconfig is missing"),
        ("kubelet --kubeconfig absent.conf", "there is no such file"),
        ("kubelet --kubeconfig none.conf", "a kubelet needs a client certificate"),
        ("controller-manager --kubeconfig none.conf", "neither a certificate nor a token"),
        (
            "controller-manager --kubeconfig exec.conf",
            "exec: apiVersion: \"\"; accepted: client.authentication",
        ),
        ("controller-manager --kubeconfig basic.conf", "accepted: a client certificate, a token or exec"),
        ("proxy --v=2", "--kubeconfig (clientConnection.kubeconfig) is missing"),
        ("proxy --proxy-modes=ipvs", "kube-proxy has no such flag"),
        (
            "apiserver --service-cluster-ip-range 10.96.0.0/12 --tls-cert-file api.crt --tls-private-key-file rsa.key",
            "accepted: a P-256 (EC) or an RSA private key in PEM",
        ),
        ("apiserver --service-cluster-ip-range 10.96.0.0/12 --client-ca-file absent.crt", "No such file"),
    ] {
        let mut command = ravelin(&flags.split_whitespace().collect::<Vec<_>>());
        let refused = finished(command.current_dir(&folder.path).stdin(Stdio::null()), b"");
        let messages = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{flags}: {messages}");
        assert!(messages.contains(why), "{flags}: {messages}");
    }
}
