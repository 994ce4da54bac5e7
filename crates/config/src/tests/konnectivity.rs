//! Konnectivity: the egress selector's file, the server's and the agents' flags, and what is refused.

use super::{file, read, refusals};
use crate::*;

fn sample(name: &str) -> Vec<SourceFile> {
    let folder = format!("{}/../../tests/samples/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .expect("the sample is there")
        .map(|entry| entry.expect("it can be listed").path())
        .collect();
    names.sort();
    let text = |path: &std::path::PathBuf| std::fs::read_to_string(path).expect("it can be read");
    names
        .iter()
        .map(|path| file(path.file_name().and_then(|name| name.to_str()).expect("a name"), &text(path)))
        .collect()
}

/// The sample with one text replaced by another, in whichever file has it.
fn changed(pairs: &[(&str, &str)]) -> Vec<SourceFile> {
    let mut files = sample("konnectivity");
    for (from, to) in pairs {
        let found = files.iter_mut().find(|file| file.text.contains(from)).expect("some file has it");
        found.text = found.text.replace(from, to);
    }
    files
}

fn konnectivity(config: &ClusterConfig) -> &KonnectivityConfig {
    match &config.apiserver.egress {
        Egress::Konnectivity(konnectivity) => konnectivity,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_documented_set_up_is_read_as_it_is_meant() {
    let config = read(&sample("konnectivity"));
    let KonnectivityConfig { connection, server, agent } = konnectivity(&config);
    let socket = FileName::new("/etc/kubernetes/konnectivity-server/konnectivity-server.socket");
    assert_eq!(connection, &EgressConnection::GrpcUnix { socket: socket.clone() });
    assert_eq!(
        (server.mode, &server.frontend),
        (KonnectivityMode::Grpc, &KonnectivityFrontend::Unix(socket))
    );
    assert_eq!(server.agents.to_string(), "0.0.0.0:8132");
    assert_eq!((server.health.port(), server.admin.to_string()), (8134, "127.0.0.1:8133".to_owned()));
    assert_eq!(server.serving.cert.as_str(), "/etc/kubernetes/pki/apiserver.crt");
    let token = AgentAuthentication::Token {
        namespace: "kube-system".into(),
        service_account: "konnectivity-agent".into(),
        audience: "system:konnectivity-server".into(),
    };
    assert_eq!(server.authentication, token);
    assert_eq!(server.strategies, [ProxyStrategy::Default]);
    assert_eq!((server.keepalive_s, server.backend_dial_timeout_s, server.count), (3600, 0, 1));
    assert_eq!((agent.server_host.as_str(), agent.server_port), ("192.0.2.10", 8132));
    assert_eq!(
        agent.token.as_ref().map(FileName::as_str).map(|name| &name[..24]),
        Some("/var/run/secrets/tokens/")
    );
    assert_eq!((agent.sync_interval_s, agent.sync_interval_cap_s), (1, 10));
    let pod = agent.pod.as_ref().expect("they run in pods");
    assert_eq!((pod.namespace.as_str(), pod.replicas, pod.host_network), ("kube-system", None, false));
    assert_eq!(pod.spec["containers"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        pod.spec["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["audience"],
        "system:konnectivity-server"
    );
    assert_eq!(config.provenance.unknown_effect, []);
    let kinds: Vec<_> =
        config.manifests.iter().map(|m| m.object["kind"].as_str().unwrap_or_default()).collect();
    assert_eq!(kinds, ["ServiceAccount", "ClusterRoleBinding"], "workloads of components are no objects");
}

#[test]
fn without_flags_of_authentication_anybody_is_an_agent() {
    let config = read(&sample("konnectivity-open"));
    let open = konnectivity(&config);
    assert_eq!(open.server.authentication, AgentAuthentication::DangerNone);
    assert_eq!((&open.agent.token, &open.server.kubeconfig), (&None, &None));
    // That is all in which the two samples differ.
    let mut closed = konnectivity(&read(&sample("konnectivity"))).clone();
    closed.server.authentication = AgentAuthentication::DangerNone;
    closed.server.kubeconfig = None;
    closed.agent.token = None;
    let spec = |config: &KonnectivityConfig| {
        config.agent.pod.as_ref().map(|pod| pod.spec["serviceAccountName"].clone())
    };
    assert_eq!(spec(&closed), spec(open));
    closed.agent.pod.clone_from(&open.agent.pod);
    assert_eq!(&closed, open);
}

#[test]
fn certificates_may_prove_who_is_an_agent() {
    let token = "    - --agent-namespace=kube-system\n    - --agent-service-account=konnectivity-agent\n    - --kubeconfig=/etc/kubernetes/konnectivity-server.conf\n    - --authentication-audience=system:konnectivity-server\n";
    let files = changed(&[
        (token, "    - --cluster-ca-cert=/pki/agents.crt\n"),
        (
            "        - --service-account-token-path=/var/run/secrets/tokens/konnectivity-agent-token\n",
            "        - --agent-cert=/pki/agent.crt\n        - --agent-key=/pki/agent.key\n",
        ),
    ]);
    let config = read(&files);
    let found = konnectivity(&config);
    let ca = FileName::new("/pki/agents.crt");
    assert_eq!(found.server.authentication, AgentAuthentication::Certificate { ca });
    assert_eq!(found.agent.client.as_ref().map(|pair| pair.cert.as_str()), Some("/pki/agent.crt"));
}

#[test]
fn agents_say_who_they_are_pod_by_pod() {
    let files = changed(&[(
        "        - --health-server-port=8134\n",
        "        - --health-server-port=8134\n        - --agent-identifiers=ipv4=$(HOST_IP)&host=$(NODE)\n        env:\n        - name: HOST_IP\n          valueFrom: {fieldRef: {fieldPath: status.hostIP}}\n        - name: NODE\n          valueFrom: {fieldRef: {fieldPath: spec.nodeName}}\n",
    )]);
    let config = read(&files);
    assert_eq!(konnectivity(&config).agent.identifiers, "ipv4={status.hostIP}&host={spec.nodeName}");
    assert_eq!(config.provenance.unknown_effect, []);
}

#[test]
fn every_connection_of_an_egress_selector_is_read() {
    let uds = "    proxyProtocol: GRPC\n    transport:\n      uds:\n        udsName: /etc/kubernetes/konnectivity-server/konnectivity-server.socket\n";
    let tls = "{caBundle: /c, clientCert: /x, clientKey: /y}";
    let client = FilePair { cert: FileName::new("/x"), key: FileName::new("/y") };
    let tcp = |tls| EgressConnection::HttpConnectTcp { host: "192.0.2.10".into(), port: 8131, tls };
    for (transport, expected) in [
        ("uds: {udsName: /s}".to_owned(), EgressConnection::HttpConnectUnix { socket: FileName::new("/s") }),
        ("tcp: {url: 'http://192.0.2.10:8131'}".to_owned(), tcp(None)),
        (
            format!("tcp: {{url: 'https://192.0.2.10:8131/', tlsConfig: {tls}}}"),
            tcp(Some(EgressTls { ca_bundle: Some(FileName::new("/c")), client })),
        ),
    ] {
        let text = format!("    proxyProtocol: HTTPConnect\n    transport:\n      {transport}\n");
        let config = read(&changed(&[(uds, &text), ("v1beta1", "v1alpha1")]));
        assert_eq!(konnectivity(&config).connection, expected, "{transport}");
    }
    // The other kinds of connections are on no path.
    let others = format!(
        "{uds}- name: etcd\n  connection: {{proxyProtocol: Direct}}\n- name: master\n  connection: {{proxyProtocol: Direct}}\n"
    );
    let config = read(&changed(&[(uds, &others)]));
    let idle: Vec<_> = config
        .provenance
        .no_effect
        .iter()
        .map(|n| n.key.as_str())
        .filter(|k| k.starts_with("egress"))
        .collect();
    assert_eq!(idle, ["egressSelections.name=controlplane", "egressSelections.name=etcd"]);
}

#[test]
fn a_connection_without_its_other_end_is_not_modelled_and_says_which_file_to_add() {
    for (gone, wanted) in [
        ("konnectivity-server.yaml", "konnectivity-server.yaml"),
        ("konnectivity-agent.yaml", "DaemonSet (konnectivity-agent.yaml)"),
    ] {
        let mut files = sample("konnectivity");
        files.retain(|file| file.name != gone);
        let config = read(&files);
        let Egress::Unmodelled { why } = &config.apiserver.egress else { panic!("{gone}") };
        assert!(why.contains(wanted), "{why}");
        let unknown = &config.provenance.unknown_effect[0];
        assert_eq!(
            (unknown.key.as_str(), &unknown.paths[..]),
            ("--egress-selector-config-file", &["apiserver-to-*".to_owned()][..])
        );
    }
    // And where the selector does not use them, both are there for nothing.
    let flag = "    - --egress-selector-config-file=/etc/kubernetes/konnectivity-server/egress-selector-configuration.yaml\n";
    let mut files = changed(&[(flag, "")]);
    files.retain(|file| {
        !matches!(file.name.as_str(), "egress-selector-configuration.yaml" | "kubeadm-config.yaml")
    });
    let config = read(&files);
    assert_eq!(config.apiserver.egress, Egress::Direct);
    assert!(
        config.provenance.assumed.iter().any(|a| a.0.starts_with("konnectivity-agent is configured, and"))
    );
}

#[test]
fn servers_and_agents_are_known_in_every_form() {
    let server = "--uds-name=/s --server-port=0 --cluster-cert=/c --cluster-key=/k --cluster-ca-cert=/ca";
    let agent = "--proxy-server-host=192.0.2.10 --ca-cert=/ca --agent-cert=/a --agent-key=/b";
    let unit =
        |program: &str, flags: &str| format!("[Service]\nExecStart=/usr/local/bin/{program} {flags}\n");
    let args = |flags: &str| flags.split(' ').map(|flag| format!("{flag:?}")).collect::<Vec<_>>().join(", ");
    let deployment = |image: &str, flags: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d, namespace: clusters-a}}\nspec:\n  replicas: 2\n  template:\n    spec:\n      hostNetwork: true\n      containers:\n      - {{name: c, image: '{image}', args: [{}]}}\n",
            args(flags)
        )
    };
    for (servers, agents, pod) in [
        (unit("konnectivity-server", server), unit("proxy-agent", agent), None),
        (
            format!("  812 ?  Sl 0:01 /var/lib/k0s/bin/konnectivity-server {server}\n"),
            unit("konnectivity-agent", agent),
            None,
        ),
        (
            deployment("registry.k8s.io/kas-network-proxy/proxy-server:v0.30.3", server),
            deployment("quay.io/k0sproject/apiserver-network-proxy-agent:v0.32.1", agent),
            Some((Some(2), true)),
        ),
    ] {
        let mut files = sample("konnectivity");
        files.retain(|file| !file.name.starts_with("konnectivity-"));
        files.extend([file("server", &servers), file("agent", &agents)]);
        let config = read(&files);
        let found = konnectivity(&config);
        assert_eq!(
            found.server.authentication,
            AgentAuthentication::Certificate { ca: FileName::new("/ca") }
        );
        assert_eq!(found.agent.pod.as_ref().map(|pod| (pod.replicas, pod.host_network)), pod, "{servers}");
    }
    // A program of the same name that is somebody else's is an object like any other.
    let other = deployment("example.test/squid:1", "--listen=:3128")
        .replace("args:", "command: ['/proxy-server'], args:");
    assert_eq!(read(&[file("d.yaml", &other)]).manifests.len(), 1);
}

#[test]
fn what_the_programs_refuse_is_refused_with_their_words() {
    let agent = |from: &'static str, to: &'static str| (from, to);
    for (change, expected) in [
        (
            ("--server-port=0", "--server-port=8090"),
            "--server-port: server port should be set to 0 not 8090 for UDS",
        ),
        (
            ("--server-port=0", "--server-port=0\n    - --server-ca-cert=/c"),
            "server ca cert should not be set for UDS",
        ),
        (
            ("--agent-port=8132", "--agent-port=80"),
            "please do not try to use reserved port 80 for the agent port",
        ),
        (
            ("--admin-port=8133\n    - --health", "--admin-port=50000\n    - --health"),
            "ephemeral port 50000 for the admin port",
        ),
        (
            ("    - --cluster-key=/etc/kubernetes/pki/apiserver.key\n", ""),
            "--cluster-cert: is given without --cluster-key",
        ),
        (
            ("    - --agent-namespace=kube-system\n", ""),
            "--agent-namespace cannot be empty when agent authentication is enabled",
        ),
        (
            ("--agent-namespace=kube-system", "--agent-namespace=kube-system\n    - --cluster-ca-cert=/c"),
            "--cluster-ca-cert can not be used when agent authentication is enabled",
        ),
        (("--mode=grpc", "--mode=socks"), "--mode: \"socks\" is not one of its values"),
        (
            ("--mode=grpc", "--mode=grpc\n    - --proxy-strategies=destHost,nearest"),
            "\"nearest\" is not one of its values",
        ),
        (("--mode=grpc", "--mode=grpc\n    - --xfr-channel-size=0"), "0 must be greater than 0"),
        (
            ("--mode=grpc", "--mode=grpc\n    - --enable-contention-profiling"),
            "--enable-profiling must also be set",
        ),
        (
            ("--mode=grpc", "--mode=grpc\n    - --backend-dial-timeout=5s"),
            "does not exist in konnectivity-server v0.34.0",
        ),
        (
            ("--mode=grpc", "--mode=grpc\n    - --agent-bind-addres=0.0.0.0"),
            "did you mean --agent-bind-address?",
        ),
        (
            agent("        - --ca-cert=/var/run/secrets/kubernetes.io/serviceaccount/ca.crt\n", ""),
            "--ca-cert: is missing",
        ),
        (
            agent("--proxy-server-port=8132", "--proxy-server-port=0"),
            "proxy server port 0 must be greater than 0",
        ),
        (
            agent(
                "--health-server-port=8134",
                "--health-server-port=8134\n        - --agent-identifiers=mac=1",
            ),
            "agent address is invalid: unknown address type: mac",
        ),
        (
            agent("--health-server-port=8134", "--health-server-port=8134\n        - --sync-interval=1m"),
            "sync interval 60s must be less than sync interval cap 10s",
        ),
        (("proxyProtocol: GRPC", "proxyProtocol: SOCKS"), "\"SOCKS\" is no protocol"),
        (
            (
                "uds:\n        udsName: /etc/kubernetes/konnectivity-server/konnectivity-server.socket",
                "tcp: {url: 'http://h:1'}",
            ),
            "no Unix socket, which GRPC needs",
        ),
        (("        udsName: /etc", "        usdName: /etc"), "transport.uds.usdName: is no known key"),
        (
            (
                "proxyProtocol: GRPC\n    transport:\n      uds:\n        udsName: /etc/kubernetes/konnectivity-server/konnectivity-server.socket",
                "proxyProtocol: HTTPConnect\n    transport: {tcp: {url: 'http://h:1', tlsConfig: {clientCert: /x, clientKey: /y}}}",
            ),
            "TLSConfig config should not be present when using HTTP",
        ),
        (
            (
                "proxyProtocol: GRPC\n    transport:\n      uds:\n        udsName: /etc/kubernetes/konnectivity-server/konnectivity-server.socket",
                "proxyProtocol: HTTPConnect\n    transport: {tcp: {url: 'https://h:1'}}",
            ),
            "TLSConfig must be present when using HTTPS",
        ),
        (
            (
                "proxyProtocol: GRPC\n    transport:\n      uds:\n        udsName: /etc/kubernetes/konnectivity-server/konnectivity-server.socket",
                "proxyProtocol: HTTPConnect\n    transport: {tcp: {url: 'https://h:1', tlsConfig: {clientCert: /x}}}",
            ),
            "Using TLS requires clientKey",
        ),
        (
            (
                "proxyProtocol: GRPC\n    transport:\n      uds:\n        udsName: /etc/kubernetes/konnectivity-server/konnectivity-server.socket",
                "proxyProtocol: HTTPConnect\n    transport: {tcp: {url: 'ftp://h:1'}}",
            ),
            "supported connection protocols are http:// and https://",
        ),
    ] {
        let refused = refusals(&changed(&[change]));
        assert!(refused.iter().any(|line| line.contains(expected)), "{change:?}: {refused:?}");
        assert!(refused.iter().all(|line| line.contains(".yaml:")), "file and line: {refused:?}");
    }
}

#[test]
fn an_open_frontend_is_possible_only_in_old_versions() {
    let tcp = [
        (
            "--uds-name=/etc/kubernetes/konnectivity-server/konnectivity-server.socket",
            "--server-cert=/s\n    - --server-key=/t",
        ),
        ("--server-port=0", "--server-port=8131"),
        ("--mode=grpc", "--mode=http-connect"),
        (
            "proxyProtocol: GRPC\n    transport:\n      uds:\n        udsName: /etc/kubernetes/konnectivity-server/konnectivity-server.socket",
            "proxyProtocol: HTTPConnect\n    transport: {tcp: {url: 'http://192.0.2.10:8131'}}",
        ),
    ];
    let config = read(&changed(&tcp));
    let frontend = &konnectivity(&config).server.frontend;
    assert!(matches!(frontend, KonnectivityFrontend::Tcp { client_ca: None, .. }), "{frontend:?}");
    let newer = [&tcp[..], &[("proxy-server:v0.34.0", "proxy-server:v0.35.0")]].concat();
    let refused = refusals(&changed(&newer)).join("\n");
    assert!(refused.contains("server ca cert must be set when in TCP mode (uds-name is empty)"), "{refused}");
}
