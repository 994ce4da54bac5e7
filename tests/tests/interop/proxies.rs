//! The service proxy as a process of its own: a client that knows nothing of it reaches a service.

use super::components::{Component, Folder, apiserver, free_port};
use super::rig::kubectls;
use ravelin_host::os::own_address_towards;
use ravelin_pki::{Subject, Usage};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server at an address that endpoints may have: not a loopback one.
#[allow(clippy::disallowed_types, reason = "it is a program that knows nothing of ours")]
fn server(at: IpAddr) -> SocketAddr {
    let listener = std::net::TcpListener::bind((at, 0)).expect("its address can be listened on");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut asked = Vec::new();
            // Whoever goes away gets no answer.
            let _ = stream
                .read_to_end(&mut asked)
                .and_then(|_| stream.write_all(b"heard: ").and(stream.write_all(&asked)));
        }
    });
    address
}

/// What an ordinary program gets at an address, having said something and perhaps ended its half.
#[allow(clippy::disallowed_types, reason = "it is a program that knows nothing of ours")]
fn exchange(at: &str, said: &str, ends_its_half: bool) -> std::io::Result<String> {
    let address: SocketAddr = at.parse().expect("an address");
    let mut stream = std::net::TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(said.as_bytes())?;
    if ends_its_half {
        stream.shutdown(std::net::Shutdown::Write)?;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn ask(at: &str, said: &str) -> std::io::Result<String> {
    exchange(at, said, true)
}

/// The answer of a plain HTTP server.
fn get(port: u16, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    exchange(&format!("127.0.0.1:{port}"), &request, false).expect("it answers")
}

/// A user of a kubeconfig that runs a program for its token.
fn plugin(folder: &Folder) -> serde_json::Value {
    let token = folder.kubectl(&["-n", "kube-system", "create", "token", "kube-proxy"], "");
    let credential = json!({
        "kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1",
        "status": {"token": String::from_utf8_lossy(&token.stdout).trim()},
    });
    folder.write("credential.json", &credential.to_string());
    folder.write("give", "#!/bin/sh\ntest -n \"$KUBERNETES_EXEC_INFO\" && exec cat \"$1\"\n");
    json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
        "command": "sh", "args": ["give", "credential.json"],
    }})
}

#[test]
fn a_service_is_reached_through_a_proxy_that_is_a_process_of_its_own() {
    if kubectls().is_empty() {
        return;
    }
    let somewhere = "192.0.2.1:9".parse().expect("an address");
    let own = own_address_towards(somewhere).expect("this computer has a way out");
    let endpoint = server(own);
    let folder = Folder::new("proxies");
    let (port, healthz, metrics) = (free_port(), free_port(), free_port());
    folder.issue("admin", (Subject::new("admin", &["system:masters"]), Usage::Client));
    let admin = json!({"client-certificate": "admin.crt", "client-key": "admin.key"});
    folder.kubeconfig("admin.conf", port, admin);
    let _apiserver = apiserver(&folder, port);
    folder.kubectl(&["-n", "kube-system", "create", "serviceaccount", "kube-proxy"], "");
    folder.kubectl(
        &[
            "create",
            "clusterrolebinding",
            "proxier",
            "--clusterrole=system:node-proxier",
            "--serviceaccount=kube-system:kube-proxy",
        ],
        "",
    );
    let objects = json!({"kind": "List", "apiVersion": "v1", "items": [
        {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "web", "namespace": "default"},
         "spec": {"type": "NodePort", "ports": [{"port": 80, "protocol": "TCP"}]}},
        {"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "addressType": "IPv4",
         "metadata": {"name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
         "endpoints": [{"addresses": [own.to_string()], "conditions": {"ready": true}}],
         "ports": [{"port": endpoint.port(), "protocol": "TCP", "name": ""}]},
    ]});
    folder.kubectl(&["create", "-f", "-"], &objects.to_string());
    folder.kubeconfig("plugin.conf", port, plugin(&folder));
    let config = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": "plugin.conf"}, "hostnameOverride": "Worker-1",
        "healthzBindAddress": format!("127.0.0.1:{healthz}"),
        "metricsBindAddress": format!("127.0.0.1:{metrics}"),
    });
    folder.write("proxy.json", &config.to_string());
    let flags = ["proxy", "--config", "proxy.json", "--kubernetes-version", "1.33"];
    let mut proxy = Component::start(&folder.path, &flags);
    proxy.says("service proxy of worker-1: apiserver at 127.0.0.1:");
    let text = |output: std::process::Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let of_service = |path: &str| text(folder.kubectl(&["get", "service", "web", "-o", path], ""));
    let cluster = of_service("jsonpath={.spec.clusterIP}");
    let at = proxy.told(&format!("carrying {cluster}:80, here "));
    assert_eq!(ask(&at, "hello").expect("it is carried"), "heard: hello");
    let node_port = format!("127.0.0.1:{}", of_service("jsonpath={.spec.ports[0].nodePort}"));
    let at = proxy.told(&format!("carrying {node_port}"));
    // Where something else had that port, it says where it is instead.
    let at = at.strip_prefix(", here ").map_or(node_port, str::to_owned);
    assert_eq!(ask(&at, "hello").expect("it is carried"), "heard: hello");

    let health = get(healthz, "/healthz");
    assert!(health.starts_with("HTTP/1.1 200") && health.contains("\"nodeEligible\": true"), "{health}");
    assert!(get(metrics, "/proxyMode").ends_with("userspace"));
    assert!(get(metrics, "/metrics").contains("kubeproxy_proxy_healthz_total{code=\"200\"} 1"));
    folder.kubectl(&["delete", "endpointslice", "web-1"], "");
    proxy.says(&format!("no longer carrying {cluster}:80"));
    assert!(ask(&at, "hello").is_err(), "nobody is there");
}
