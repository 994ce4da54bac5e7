//! Which host keys are taken for a node's: each policy, each of its checks, and the flaw that undoes it.

use super::*;
use jiff::ToSpan;

#[tokio::test(start_paused = true)]
async fn a_wrong_host_key_is_refused_unless_any_will_do() {
    let cluster = Cluster::new(1).await;
    let wrong = HostKeyPolicy::Pinned(BTreeMap::from([("node-1".to_owned(), key(99).public())]));
    for policy in [wrong.clone(), HostKeyPolicy::Pinned(BTreeMap::new())] {
        let tunneler = cluster.tunneler(policy, UnknownNode::DangerRandom);
        let error = tunneler.wait_ready(1, DEADLINE).await.unwrap_err();
        assert!(error.to_string().contains("the host key of node-1 was refused"), "{error}");
        for what in [node(1), pod()] {
            let text = refusal(tunneler.dial(SocketAddr::new(ip(1), 7), &what).await);
            assert!(text.contains("the host key of node-1 was refused"), "{text}");
        }
    }
    let tunneler = cluster.tunneler(HostKeyPolicy::DangerAny, UnknownNode::Fail);
    tunneler.wait_ready(1, DEADLINE).await.unwrap();
    let flawed = cluster.network.flawed_host("flawed", ip(101), Flaws::danger([Flaw::SshTrustsAnyHostKey]));
    let tunneler = cluster.tunneler_on(flawed, wrong, UnknownNode::Fail);
    tunneler.wait_ready(1, DEADLINE).await.unwrap();
}

/// The failure to open node-1's tunnel under a policy; `None` where it opens.
async fn fault(cluster: &Cluster, policy: HostKeyPolicy) -> Option<String> {
    let tunneler = cluster.tunneler(policy, UnknownNode::Fail);
    let failed = tunneler.wait_ready(1, Duration::from_secs(5)).await.err();
    failed.map(|error| error.to_string().split_once("; ").unwrap().1.to_owned())
}

/// A policy is refused for this reason, and undone by the flaw.
async fn refused(cluster: &Cluster, policy: HostKeyPolicy, reason: &str) {
    let text = fault(cluster, policy.clone()).await.expect("it is refused");
    assert!(text.contains(reason), "{text}");
    assert!(text.starts_with("the host key of node-1 was refused: "), "{text}");
    let flawed = cluster.network.flawed_host("flawed", ip(101), Flaws::danger([Flaw::SshTrustsAnyHostKey]));
    let tunneler = cluster.tunneler_on(flawed, policy, UnknownNode::Fail);
    tunneler.wait_ready(1, DEADLINE).await.unwrap();
}

fn known(lines: &str) -> HostKeyPolicy {
    let lines = lines.replace("OWN", &key(11).public().to_openssh());
    let lines = lines.replace("OTHER", &key(99).public().to_openssh());
    HostKeyPolicy::KnownHosts(Arc::new(
        KnownHosts::parse(&lines.replace("CA", &ca().public().to_openssh())).unwrap(),
    ))
}

fn ca() -> SshKey {
    key(70)
}

#[tokio::test(start_paused = true)]
async fn the_known_hosts_decide() {
    let cluster = Cluster::new(1).await;
    for lines in ["node-1 OWN", "10.0.0.1 OWN", "node-* OWN", "node-1 OTHER\nnode-1 OWN"] {
        assert_eq!(fault(&cluster, known(lines)).await, None, "{lines}");
    }
    for (lines, reason) in [
        ("", "is not in the known hosts"),
        ("node-2 OWN", "is not in the known hosts"),
        ("node-1 OTHER", "is not the one in line 1 of the known hosts"),
        ("node-1 OTHER\n10.0.0.1 OWN", "is not the one in line 1 of the known hosts"),
        ("node-1 OWN\n@revoked * OWN", "is revoked in line 2 of the known hosts"),
        ("@cert-authority * CA", "came without a certificate"),
    ] {
        refused(&cluster, known(lines), reason).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_key_is_recorded_and_no_other_is_taken_afterwards() {
    let cluster = Cluster::new(1).await;
    assert_eq!(cluster.nodes.recorded("node-1"), None);
    assert_eq!(fault(&cluster, HostKeyPolicy::TrustOnFirstUse).await, None);
    assert_eq!(cluster.nodes.recorded("node-1"), Some(key(11).public()));
    assert_eq!(fault(&cluster, HostKeyPolicy::TrustOnFirstUse).await, None, "and known again");

    cluster.nodes.0.lock().unwrap().get_mut("node-1").unwrap().recorded = Some(key(99).public());
    let advice = format!(
        "{} is not the one that was recorded at first contact, {}; if the node really has a new key: \
         kubectl annotate node node-1 ravelin.dev/ssh-host-key-",
        key(11).public().fingerprint(),
        key(99).public().fingerprint()
    );
    refused(&cluster, HostKeyPolicy::TrustOnFirstUse, &advice).await;
    assert_eq!(cluster.nodes.recorded("node-1"), Some(key(99).public()), "nothing replaces a record");

    // As the advice says.
    cluster.nodes.0.lock().unwrap().get_mut("node-1").unwrap().recorded = None;
    assert_eq!(fault(&cluster, HostKeyPolicy::TrustOnFirstUse).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_cannot_be_recorded_is_refused() {
    #[derive(Debug)]
    struct Deaf(Nodes);
    #[async_trait]
    impl NodeSource for Deaf {
        async fn nodes(&self) -> Result<BTreeMap<String, ListedNode>, String> {
            self.0.nodes().await
        }
        async fn record(&self, _node: &str, _key: &SshPublicKey) -> Result<SshPublicKey, String> {
            Err("the apiserver does not answer".to_owned())
        }
    }
    let cluster = Cluster::new(1).await;
    let host = cluster.network.host("control-plane", ip(100));
    let config = SshConfig::new("tunnel", key(USER_KEY), HostKeyPolicy::TrustOnFirstUse);
    let tunneler = SshTunneler::follow(host, config, Arc::new(Deaf(cluster.nodes.clone())));
    let error = tunneler.wait_ready(1, DEADLINE).await.unwrap_err().to_string();
    assert!(error.contains("could not be compared with the Node object's record"), "{error}");
    assert!(error.contains("the apiserver does not answer"), "{error}");
}

/// Node 1 with a certificate of the authority for these names, which ends after so many hours.
async fn certified(names: &[&str], hours: i64, authority: &SshKey) -> Cluster {
    let mut cluster = Cluster::new(1).await;
    let host = Arc::clone(&cluster.hosts["node-1"]);
    let claim = SshClaim {
        kind: SshCertificateKind::Host,
        key: key(11).public(),
        key_id: "node-1".to_owned(),
        principals: names.iter().map(|name| (*name).to_owned()).collect(),
        from: host.now() - 1.hours(),
        until: host.now() + hours.hours(),
        sources: Vec::new(),
    };
    let certificate = SshCertificate::issue(authority, &claim, &mut Entropy::from_key([5; 32]));
    cluster.stop(1).await;
    let config = SshNodeConfig {
        listen: SocketAddr::new(ip(1), SSH_PORT),
        host_key: key(11),
        host_certificate: Some(certificate),
        user: "tunnel".to_owned(),
        authorized_keys: vec![key(USER_KEY).public()],
        user_authorities: Vec::new(),
        forwarding: Forwarding::DangerAnywhere,
    };
    cluster.servers.insert("node-1".to_owned(), SshNodeServer::start(host, config).await.unwrap());
    cluster
}

#[tokio::test(start_paused = true)]
async fn an_authority_vouches_for_the_node_that_it_names() {
    let policy = || HostKeyPolicy::CertificateAuthority(vec![key(71).public(), ca().public()]);
    let listed = || known("@cert-authority node-*,10.0.0.* CA");
    for names in [&["node-1"][..], &["10.0.0.1"], &["node-7", "node-1"]] {
        let cluster = certified(names, 1, &ca()).await;
        for policy in [policy(), listed()] {
            assert_eq!(fault(&cluster, policy).await, None, "{names:?}");
        }
        // Who asks for no certificate is shown the plain key.
        assert_eq!(fault(&cluster, pinned(1)).await, None);
        assert_eq!(fault(&cluster, known("node-1 OWN")).await, None);
    }
    for (names, hours, authority, reason) in [
        (&["node-2", "10.0.0.2"][..], 1, ca(), "it does not name node-1 or 10.0.0.1"),
        (&[], 1, ca(), "it does not name node-1 or 10.0.0.1"),
        (&["node-1"], 0, ca(), "it is valid from"),
        (&["node-1"], 1, key(72), "is not trusted"),
    ] {
        let cluster = certified(names, hours, &authority).await;
        for policy in [policy(), listed()] {
            refused(&cluster, policy, reason).await;
        }
    }
    let plain = Cluster::new(1).await;
    refused(&plain, policy(), "came without a certificate").await;
    let cluster = certified(&["node-1"], 1, &ca()).await;
    refused(&cluster, known("@cert-authority * CA\n@revoked * CA"), "is revoked in line 2").await;
    refused(&cluster, known("@cert-authority * CA\n@revoked * OWN"), "is revoked in line 2").await;
}

#[tokio::test(start_paused = true)]
async fn a_users_certificate_logs_in_where_the_key_alone_does_not() {
    let mut cluster = Cluster::new(1).await;
    let host = Arc::clone(&cluster.hosts["node-1"]);
    cluster.stop(1).await;
    let config = SshNodeConfig {
        listen: SocketAddr::new(ip(1), SSH_PORT),
        host_key: key(11),
        host_certificate: None,
        user: "tunnel".to_owned(),
        authorized_keys: Vec::new(),
        user_authorities: vec![ca().public()],
        forwarding: Forwarding::DangerAnywhere,
    };
    let _server = SshNodeServer::start(Arc::clone(&host), config).await.unwrap();
    let claim = SshClaim {
        kind: SshCertificateKind::User,
        key: key(USER_KEY).public(),
        key_id: "tunnels".to_owned(),
        principals: vec!["tunnel".to_owned()],
        // russh's server looks at the computer's own clock as well.
        from: jiff::Timestamp::UNIX_EPOCH,
        until: jiff::Timestamp::MAX,
        sources: Vec::new(),
    };
    let certificate = SshCertificate::issue(&ca(), &claim, &mut Entropy::from_key([5; 32]));
    for (certificate, opens) in [(Some(certificate), true), (None, false)] {
        let near = cluster.network.host("control-plane", ip(100));
        let config = SshConfig { certificate, ..SshConfig::new("tunnel", key(USER_KEY), pinned(1)) };
        let tunneler = SshTunneler::follow(near, config, Arc::new(cluster.nodes.clone()));
        let ready = tunneler.wait_ready(1, Duration::from_secs(5)).await;
        assert_eq!(ready.is_ok(), opens, "{ready:?}");
    }
}
