//! Kubelets that answer as those of the recording did: good ones, and each with one fault.

use async_trait::async_trait;
use http::StatusCode;
use ravelin_apiserver::Store;
use ravelin_host::{Endpoint, HostRef, Task};
use ravelin_pki::{Identity, San};
use ravelin_tests::apiserver::Authorities;
use ravelin_transport::{Handler, PeerInfo, Request, Response, Server, TlsServer, body};
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Name, port and status of each.
const KUBELETS: [(&str, u16, u16); 9] = [
    ("kgood", 10450, 200),
    ("kuntrusted", 10451, 200),
    ("kwronghost", 10452, 200),
    ("knosan", 10453, 200),
    ("kplainhttp", 10456, 200),
    ("krefused", 10458, 200),
    ("ka404", 10459, 404),
    ("ka401", 10460, 401),
    ("ka403", 10461, 403),
];

/// They run as long as this is not dropped.
pub struct Kubelets {
    _tasks: Vec<Task>,
}

impl Kubelets {
    /// Starts them on the apiserver's own computer, as in the recording, with a node and a pod each.
    pub async fn start(host: &HostRef, authorities: &Authorities, store: &Store) -> Self {
        let mut tasks = Vec::new();
        for (name, port, code) in KUBELETS {
            let address = json!([{"type": "InternalIP", "address": LOOPBACK}]);
            place(
                store,
                (name, name),
                json!({"addresses": address,
                "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}),
            );
            if name != "krefused" {
                let listener = host.listen(&Endpoint::tcp(LOOPBACK, port)).await.expect("the port is free");
                let tls = identity(name, authorities);
                let tls = tls.map(|identity| Arc::new(TlsServer::new(identity).with_client_certificates()));
                let handler = Arc::new(Kubelet { port, code });
                tasks.push(Server { host: Arc::clone(host), listener, tls, handler }.run());
            }
        }
        place(store, ("noaddr", "noaddr"), json!({}));
        pod(store, "nonode", json!({"nodeName": "absentnode"}));
        pod(store, "unsched", json!({}));
        Self { _tasks: tasks }
    }
}

fn place(store: &Store, (node, name): (&str, &str), status: serde_json::Value) {
    let node_object =
        json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": node}, "status": status});
    store.seed(node_object).expect("it is a node");
    pod(store, name, json!({"nodeName": node}));
}

fn pod(store: &Store, name: &str, mut spec: serde_json::Value) {
    spec["containers"] = json!([{"name": "c", "image": "i"}]);
    let status = json!({"phase": "Running", "podIP": LOOPBACK, "podIPs": [{"ip": LOOPBACK}]});
    let metadata = json!({"name": name, "namespace": "default"});
    let object =
        json!({"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec, "status": status});
    store.seed(object).expect("it is a pod");
}

/// What each presents; `None`: it speaks no TLS.
fn identity(name: &str, authorities: &Authorities) -> Option<Identity> {
    let here = Authorities::at(LOOPBACK);
    Some(match name {
        "kplainhttp" => return None,
        "kuntrusted" => authorities.server(&authorities.strangers, here),
        "kwronghost" => authorities.server(&authorities.clients, Authorities::at([127, 0, 0, 99])),
        "knosan" => authorities.server(&authorities.clients, Vec::<San>::new()),
        _ => authorities.server(&authorities.clients, here),
    })
}

/// Says what it was asked.
struct Kubelet {
    port: u16,
    code: u16,
}

#[async_trait]
impl Handler for Kubelet {
    async fn handle(&self, request: Request, peer: &PeerInfo) -> Response {
        let (head, _) = request.into_parts();
        let headers = head
            .headers
            .iter()
            .map(|(name, value)| format!("{}: {}", name.as_str(), value.to_str().unwrap_or("(no text)")));
        let headers: Vec<String> = headers.collect();
        let text = match StatusCode::from_u16(self.code).expect("it is a code") {
            StatusCode::OK => json!({
                "port": self.port,
                "line": format!("{} {} HTTP/1.1", head.method, head.uri),
                "headers": headers,
                "certificates": peer.chain.len(),
            })
            .to_string(),
            code => format!("fake kubelet says {code}\n"),
        };
        let mut answer = Response::new(body::full(text));
        *answer.status_mut() = StatusCode::from_u16(self.code).expect("it is a code");
        answer.headers_mut().insert("content-type", http::HeaderValue::from_static("text/plain"));
        answer
    }
}
