//! `ravelin up` and a real kubectl: from the start to the first answer, the tables people see, the way
//! to kubelets and services, and a clean end.

use super::rig::{Ended, Kubectl, Up, finished, kubectls};
use crate::commands::ravelin;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

/// What a cluster may take from its start to the first answer, on a machine that does other things too.
const READY_LIMIT: Duration = Duration::from_secs(20);

fn text(output: &Output) -> String {
    let (out, errors) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{errors}");
    String::from_utf8(out.clone()).expect("output is text")
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&text(output)).expect("output is JSON")
}

#[test]
fn kubectl_sees_a_cluster_that_is_ready() {
    for kubectl in kubectls() {
        #[allow(clippy::disallowed_methods, reason = "how long people wait is what is asked here")]
        let began = Instant::now();
        let up = Up::start(&["--nodes", "2"]);
        let nodes = text(&up.kubectl_of(kubectl, &["get", "nodes"]));
        let took = began.elapsed();
        assert!(took < READY_LIMIT, "{took:?}");
        eprintln!("kubectl {}: the first answer {} ms after the start", kubectl.version, took.as_millis());
        let rows: Vec<Vec<&str>> = nodes.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0], ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]);
        let shown: Vec<&[&str]> = rows[1..].iter().map(|row| &row[..2]).collect();
        assert_eq!(shown, [["node-1", "Ready"], ["node-2", "Ready"]]);
        the_version_is_true(&up, kubectl);
        pods_have_the_clusters_addresses(&up, kubectl);
        kubelets_and_services_are_reached(&up, kubectl);
    }
}

fn the_version_is_true(up: &Up, kubectl: &Kubectl) {
    let version = json(&up.kubectl_of(kubectl, &["get", "--raw", "/version"]));
    let (major, minor) = (version["major"].as_str().unwrap(), version["minor"].as_str().unwrap());
    assert!(up.greeting().contains(&format!("Kubernetes {major}.{minor},")), "{}", up.greeting());
    let tag = version["gitVersion"].as_str().unwrap();
    assert!(tag.starts_with(&format!("v{major}.{minor}.")), "{tag}");
}

fn pods_have_the_clusters_addresses(up: &Up, kubectl: &Kubectl) {
    let pods = json(&up.kubectl_of(kubectl, &["get", "pods", "-A", "-o", "json"]));
    let pods = pods["items"].as_array().expect("it is a list");
    assert!(pods.len() >= 8, "{}", pods.len());
    for pod in pods {
        assert_eq!(pod["status"]["phase"], "Running", "{pod}");
        let address = pod["status"]["podIP"].as_str().expect("it has one");
        assert!(["10.244.", "198.18."].iter().any(|range| address.starts_with(range)), "{address}");
    }
}

fn kubelets_and_services_are_reached(up: &Up, kubectl: &Kubectl) {
    text(&up.kubectl_of(kubectl, &["-n", "ravelin", "logs", "web-node-1"]));
    let wrong = up.kubectl_of(kubectl, &["-n", "ravelin", "logs", "web-node-1", "-c", "other"]);
    assert!(
        String::from_utf8_lossy(&wrong.stderr).contains("container other is not valid for pod web-node-1")
    );
    let service = "/api/v1/namespaces/ravelin/services/http:web:80/proxy/";
    assert!(text(&up.kubectl_of(kubectl, &["get", "--raw", service])).contains("a ravelin workload"));
    let health = up.kubectl_of(kubectl, &["get", "--raw", "/api/v1/nodes/node-2/proxy/healthz"]);
    assert_eq!(text(&health), "ok");
}

#[test]
fn it_ends_cleanly_when_it_is_told_to() {
    for signal in ["INT", "TERM", "HUP"] {
        let up = Up::start(&["--nodes", "1"]);
        let kubeconfig = up.kubeconfig();
        let mode = std::fs::metadata(&kubeconfig).expect("it was written").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let folder = up.folder().to_owned();
        #[allow(clippy::disallowed_methods, reason = "how long people wait is what is asked here")]
        let began = Instant::now();
        let (Ended { status, messages }, took) = (up.stop(signal), began.elapsed());
        assert_eq!(status.code(), Some(0), "{signal}: {messages}");
        assert!(messages.contains("stopped; removed ravelin.kubeconfig"), "{signal}: {messages}");
        assert!(!messages.contains("panicked"), "{messages}");
        assert!(took < Duration::from_secs(5), "{signal}: {took:?}");
        assert!(!kubeconfig.exists() && !folder.exists());
    }
}

#[test]
fn somebody_elses_kubeconfig_is_left_alone() {
    let up = Up::start(&["--nodes", "1"]);
    let kubeconfig = up.kubeconfig();
    let folder = up.folder().join("mine");
    std::fs::create_dir(&folder).unwrap();
    let own = folder.join("config");
    std::fs::write(&own, "apiVersion: v1\nkind: Config\n").unwrap();
    let mut command = ravelin(&["up", "--listen", "127.0.0.1:0", "--kubeconfig"]);
    let refused = finished(command.arg(&own).stdin(Stdio::null()), b"");
    let messages = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{messages}");
    assert!(messages.contains("is not `ravelin up`'s"), "{messages}");
    assert_eq!(std::fs::read_to_string(&own).unwrap(), "apiVersion: v1\nkind: Config\n");
    // One that was changed while the cluster ran is not removed.
    let mut changed = std::fs::read_to_string(&kubeconfig).unwrap();
    changed += "preferences: {}\n";
    std::fs::write(&kubeconfig, changed).unwrap();
    let ended = up.stop("INT");
    assert!(ended.messages.contains("left ravelin.kubeconfig, which was changed"), "{}", ended.messages);
}

#[test]
fn addresses_that_cannot_be_had_are_refused_before_anything_runs() {
    let up = Up::start(&["--nodes", "1"]);
    let greeting = up.greeting().to_owned();
    let taken = greeting.split("https://").nth(1).and_then(|rest| rest.split_whitespace().next());
    let taken = taken.expect("it says where it listens");
    for (listen, why) in [
        (taken, "something else listens there"),
        ("0.0.0.0:0", "other computers can reach this address"),
        ("192.0.2.1:6443", "other computers can reach this address"),
    ] {
        let mut command = ravelin(&["up", "--listen", listen]);
        let refused = finished(command.current_dir(up.folder()).stdin(Stdio::null()), b"");
        let messages = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{messages}");
        assert!(messages.contains(why), "{messages}");
    }
}

#[test]
fn each_version_says_which_it_is() {
    let Some(kubectl) = kubectls().first() else { return };
    for version in ["1.29", "1.33"] {
        let up = Up::start(&["--nodes", "1", "--kubernetes-version", version]);
        let told = json(&up.kubectl_of(kubectl, &["get", "--raw", "/version"]));
        assert_eq!(format!("1.{}", told["minor"].as_str().unwrap()), version);
        let node = json(&up.kubectl_of(kubectl, &["get", "node", "node-1", "-o", "json"]));
        let kubelet = node["status"]["nodeInfo"]["kubeletVersion"].as_str().unwrap();
        assert!(kubelet.starts_with(&format!("v{version}.")), "{kubelet}");
    }
}
