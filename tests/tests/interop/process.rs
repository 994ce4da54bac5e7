//! `ravelin up --runtime process` and a real kubectl: containers are programs of this computer. They need
//! `sh`, `sleep`, `tar`, `sha256sum`, `script` and `python3`.

use super::rig::{Kubectl, Up, finished, kubectls};
use crate::commands::ravelin;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long something may take that happens by itself.
const SOON: Duration = Duration::from_secs(30);

fn is_root() -> bool {
    let ran = Command::new("id").arg("-u").output().expect("id is there");
    ran.stdout == b"0\n"
}

struct Session {
    up: Up,
    kubectl: &'static Kubectl,
}

impl Session {
    /// A cluster of one node, for one kubectl; `None` where the machine has none.
    fn start() -> Option<Self> {
        let kubectl = kubectls().first()?;
        let mut arguments = vec!["--nodes", "1", "--runtime", "process"];
        if is_root() {
            arguments.push("--danger-processes-as-root");
        }
        Some(Self { up: Up::start(&arguments), kubectl })
    }

    fn ran(&self, arguments: &[&str]) -> Output {
        self.up.kubectl_of(self.kubectl, arguments)
    }

    fn says(&self, arguments: &[&str]) -> String {
        succeeded(arguments, &self.ran(arguments))
    }

    fn create(&self, name: &str, script: &str, more: &str) {
        let script = serde_json::to_string(script).unwrap();
        let pod = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 5\n  \
             containers:\n  - {{name: c, image: any, command: [sh, -c, {script}]{more}}}\n"
        );
        let created = self.up.kubectl_reading(self.kubectl, &["create", "-f", "-"], pod.as_bytes());
        succeeded(&["create"], &created);
    }

    /// Asks again until what is printed contains this.
    fn until(&self, arguments: &[&str], wanted: &str) -> String {
        let began = now();
        loop {
            let printed = String::from_utf8_lossy(&self.ran(arguments).stdout).into_owned();
            if printed.contains(wanted) {
                return printed;
            }
            assert!(began.elapsed() < SOON, "{arguments:?} never says {wanted:?}: {printed}");
        }
    }

    /// A running pod and its main process's number, which it prints first.
    fn running(&self, name: &str, script: &str, more: &str) -> String {
        // Kubernetes takes one of two dollars.
        self.create(name, &format!("echo pid $$$$; {script}"), more);
        let log = self.until(&["logs", name], "pid ");
        log.lines().next().and_then(|line| line.strip_prefix("pid ")).expect("it is first").to_owned()
    }
}

fn now() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "how long real programs take is measured here")]
    Instant::now()
}

fn succeeded(arguments: &[&str], ran: &Output) -> String {
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(ran.stdout.clone()).expect("output is text")
}

fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // One that nobody has collected yet is a zombie.
    !stat.is_empty() && !stat.contains(") Z ")
}

fn gone_soon(pid: &str) -> bool {
    let began = now();
    while is_alive(pid) && began.elapsed() < SOON {
        std::thread::yield_now();
    }
    !is_alive(pid)
}

#[test]
fn a_container_is_a_process_with_a_log_and_an_end() {
    let Some(k) = Session::start() else { return };
    let script = "trap 'echo asked to end; exit 0' TERM; echo to stderr >&2; while :; do sleep 0.1; done";
    let pid = k.running("p", script, "");
    assert!(is_alive(&pid));
    k.until(&["logs", "p"], "to stderr");
    assert_eq!(k.says(&["logs", "p", "--tail", "1"]), "to stderr\n");
    let follower = k.up.command(k.kubectl, &["logs", "-f", "p"]).stdout(Stdio::piped()).spawn();
    let mut follower = follower.expect("kubectl starts");
    let (mut shown, mut followed) = (BufReader::new(follower.stdout.take().unwrap()), String::new());
    shown.read_line(&mut followed).unwrap();
    let began = now();
    k.says(&["delete", "pod", "p"]);
    assert!(began.elapsed() < Duration::from_secs(5), "it ends when it is asked to: {:?}", began.elapsed());
    assert!(!is_alive(&pid));
    shown.read_to_string(&mut followed).unwrap();
    follower.wait().expect("it was started");
    assert!(followed.ends_with("asked to end\n"), "{followed}");
    let stubborn = k.running("stubborn", "trap '' TERM; while :; do sleep 0.1; done", "");
    let began = now();
    k.says(&["delete", "pod", "stubborn"]);
    assert!(!is_alive(&stubborn) && began.elapsed() >= Duration::from_secs(4), "{:?}", began.elapsed());
    let left = k.running("left", "exec sleep 1000", "");
    let ended = k.up.stop("INT");
    assert_eq!(ended.status.code(), Some(0), "{}", ended.messages);
    assert!(ended.messages.contains("Nothing isolates them"), "{}", ended.messages);
    assert!(gone_soon(&left), "nothing outlives the cluster");
}

#[test]
fn a_crash_of_the_cluster_takes_its_containers_along() {
    let Some(k) = Session::start() else { return };
    let pid = k.running("p", "exec sleep 1000", "");
    assert!(is_alive(&pid));
    drop(k);
    assert!(gone_soon(&pid));
}

#[test]
fn commands_run_beside_it_with_streams_and_a_terminal() {
    let Some(k) = Session::start() else { return };
    k.running("p", "exec sleep 1000", ", env: [{name: COLOUR, value: red}]");
    assert_eq!(k.says(&["exec", "p", "--", "sh", "-c", "echo $COLOUR $HOSTNAME"]), "red p\n");
    let failed = k.ran(&["exec", "p", "--", "sh", "-c", "echo no >&2; exit 7"]);
    assert_eq!((failed.status.code(), &failed.stderr[..3]), (Some(7), &b"no\n"[..]));
    let missing = k.ran(&["exec", "p", "--", "no-such-program"]);
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(said.contains("exec: \"no-such-program\": executable file not found in $PATH"), "{said}");
    let input: Vec<u8> = (0..10_000_000_u32).map(|byte| (byte % 251) as u8).collect();
    let echoed = k.up.kubectl_reading(k.kubectl, &["exec", "-i", "p", "--", "cat"], &input);
    assert!(echoed.status.success() && echoed.stdout == input, "{} bytes came back", echoed.stdout.len());
    let kubectl = k.kubectl.program.display();
    let line = format!("stty cols 132 rows 43; {kubectl} exec -it p -- sh -c 'tty; stty size; exit 5'");
    let mut command = Command::new("script");
    command
        .args(["-qec", &line, "/dev/null"])
        .env("KUBECONFIG", k.up.kubeconfig())
        .env("HOME", k.up.folder());
    let shown = finished(command.stdin(Stdio::null()), b"");
    let screen = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(screen.contains("/dev/pts/") && screen.contains("43 132"), "{screen}");
    assert_eq!(shown.status.code(), Some(5), "{screen}");
}

#[test]
fn files_are_copied_by_the_real_tar() {
    let Some(k) = Session::start() else { return };
    k.running("p", "exec sleep 1000", "");
    let folder = k.up.folder().join("sent");
    std::fs::create_dir_all(folder.join("below")).unwrap();
    let content: Vec<u8> = (0..1_000_000_u32).map(|byte| (byte % 241) as u8).collect();
    std::fs::write(folder.join("below/file"), &content).unwrap();
    k.says(&["cp", "sent", "p:there"]);
    let sum = k.says(&["exec", "p", "--", "sha256sum", "there/below/file"]);
    assert!(sum.starts_with(&crate::commands::sha256_of(&content)), "{sum}");
    k.says(&["cp", "p:there/below/file", "back"]);
    assert_eq!(std::fs::read(k.up.folder().join("back")).unwrap(), content);
    let root = k.says(&["exec", "p", "--", "pwd"]);
    let token = Path::new(root.trim()).join("var/run/secrets/kubernetes.io/serviceaccount/token");
    assert!(token.exists(), "volumes are below its folder: {}", token.display());
    k.says(&["delete", "pod", "p", "--force", "--grace-period=0"]);
    let began = now();
    while Path::new(root.trim()).exists() {
        assert!(began.elapsed() < SOON, "its folder goes with it");
    }
}

const SERVER: &str = "exec python3 -u -m http.server 8123 --bind $RAVELIN_POD_ADDRESS";

#[test]
fn ports_are_reached_by_forwarding_and_by_the_pods_address() {
    let Some(k) = Session::start() else { return };
    for name in ["one", "two"] {
        k.running(
            name,
            &format!("echo I am {name} > index.html; {SERVER}"),
            ", ports: [{containerPort: 8123}]",
        );
        k.until(&["logs", name], "Serving HTTP");
        let path = format!("/api/v1/namespaces/default/pods/{name}:8123/proxy/");
        assert_eq!(
            k.says(&["get", "--raw", &path]),
            format!("I am {name}\n"),
            "each has an address of its own"
        );
    }
    let mut command = k.up.command(k.kubectl, &["port-forward", "pod/two", ":8123"]);
    let mut forwarding = command.stdout(Stdio::piped()).spawn().expect("kubectl starts");
    // It ends when it says something that nobody reads.
    let (mut line, mut said) = (String::new(), BufReader::new(forwarding.stdout.take().unwrap()));
    said.read_line(&mut line).unwrap();
    let port = line.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(' ').next());
    let port: u16 = port.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("{line}"));
    #[allow(clippy::disallowed_types, reason = "a client of a real port")]
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("I am two\n"), "{answer}");
    forwarding.kill().unwrap();
    forwarding.wait().unwrap();
}

#[test]
fn what_ends_starts_anew_and_describe_tells_of_it() {
    let Some(k) = Session::start() else { return };
    k.create("p", "echo run; exit 3", "");
    k.until(&["get", "pod", "p"], "CrashLoopBackOff");
    let told = k.until(&["describe", "pod", "p"], "Back-off restarting failed container c in pod p_default");
    for part in [
        "Scheduled",
        "Successfully assigned default/p to node-1",
        "Pulled",
        "Created",
        "Started",
        "kubelet",
        "QoS Class:                   BestEffort",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(k.says(&["logs", "--previous", "p"]), "run\n");
    let pod: Value = serde_json::from_str(&k.says(&["get", "pod", "p", "-o", "json"])).unwrap();
    assert_eq!(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 3, "{pod}");
    let events: Value = serde_json::from_str(&k.says(&["get", "events", "-o", "json"])).unwrap();
    let of_pod =
        events["items"].as_array().unwrap().iter().filter(|event| event["involvedObject"]["name"] == "p");
    let started = of_pod.filter(|event| event["reason"] == "Started").collect::<Vec<_>>();
    assert!(
        started.len() == 1 && started[0]["count"].as_u64() >= Some(2),
        "the same event is counted: {started:?}"
    );
    let pod =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: empty}\nspec: {containers: [{name: c, image: any}]}\n";
    succeeded(&["create"], &k.up.kubectl_reading(k.kubectl, &["create", "-f", "-"], pod.as_bytes()));
    k.until(&["get", "pod", "empty"], "CreateContainerError");
}

#[test]
fn the_superuser_has_to_say_so() {
    if !is_root() {
        return;
    }
    for command in
        [&["up", "--runtime", "process"][..], &["kubelet", "--runtime", "process", "--kubeconfig", "x"][..]]
    {
        let refused = finished(ravelin(command).stdin(Stdio::null()), b"");
        let messages = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{messages}");
        // A kubelet's other mistakes may come first.
        assert!(command[0] == "kubelet" || messages.contains("--danger-processes-as-root"), "{messages}");
    }
}
