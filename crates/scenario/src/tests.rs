//! Reading files, and running ones that are not as they say.

use super::*;

const SMALL: &str = r#"
title: Somebody asks
reference: {id: none, page: none, affected: all, fixed: none}
story: A story.
hosts: {node-1: a node, attacker: anybody}
cluster:
  nodes: 1
  files:
    kubelet.service: |
      [Service]
      ExecStart=/usr/local/bin/kubelet --kubeconfig=/etc/kubernetes/kubelet.conf
steps:
  - at: 1s
    tell: The attacker asks the kubelet.
    request: {name: pods, as: nobody, from: attacker, to: kubelet node-1, path: /pods}
evidence:
  - {tell: It is answered., fact: answer, is: {request: pods, status: "200"}, attack: yes, control: no}
control:
  change: no anonymous requests
  files:
    kubelet.service: |
      [Service]
      ExecStart=/usr/local/bin/kubelet --kubeconfig=/etc/kubernetes/kubelet.conf --anonymous-auth=false
"#;

fn read(text: &str) -> Result<Scenario, Vec<String>> {
    Scenario::read("small.yaml", text).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn ran(text: &str) -> Outcome {
    let scenario = read(text).unwrap_or_else(|errors| panic!("{errors:?}"));
    run(&[&scenario], 42).remove(0).expect("no bug")
}

#[test]
fn a_mistake_is_told_with_its_line_and_what_would_be_accepted() {
    read(SMALL).expect("the file is right before it is changed");
    let table = [
        ("title: Somebody asks\n", "", "small.yaml:2: title: is missing"),
        ("story:", "plot:", "small.yaml:4: plot: is not known here; accepted: title"),
        (
            "node-1: a node",
            "node-2: a node",
            "small.yaml:5: node-2: is no machine here; accepted: control-plane",
        ),
        ("at: 1s", "at: soon", "small.yaml:13: at: \"soon\" is not understood; accepted: a time"),
        ("as: nobody", "as: root", "small.yaml:15: as: \"root\" is not understood; accepted: nobody"),
        ("to: kubelet node-1", "to: etcd", "small.yaml:15: to: \"etcd\" is not understood"),
        ("request: {name", "asks: {name", "small.yaml:15: asks: is not known here"),
        ("request: pods, status", "request: pod, status", "no request is called \"pod\"; accepted: pods"),
        ("status: \"200\"", "code: 200", "code: answer has no such field; accepted: request, status"),
        ("fact: answer", "fact: reply", "fact: \"reply\" is not understood; accepted: answer, attacker-read"),
        ("control: no}", "control: yes}", "nothing flips"),
        ("  nodes: 1\n", "  nodes: 1\n  rogue-node: yes\n", "needs 2 nodes or more"),
        ("--kubeconfig=/etc/kubernetes/kubelet.conf\nsteps", "--no-such-flag=1\nsteps", "no-such-flag"),
        (" --anonymous-auth=false", " --anonymous-auth=perhaps", "anonymous-auth"),
        ("  change: no", "  kubernetes: \"1.30\"\n  change: no", "must make exactly one change"),
        ("title:", "title: [", "small.yaml:"),
        ("at: 1s", "at: 2h", "accepted: a time"),
        ("at: 1s", "at: 61m", "accepted: a time up to 60m"),
    ];
    for (from, to, expected) in table {
        assert!(SMALL.contains(from), "{from:?}");
        let errors = read(&SMALL.replace(from, to)).expect_err(expected);
        assert!(errors.iter().any(|error| error.contains(expected)), "{expected:?}: {errors:?}");
    }
}

#[test]
fn every_mistake_is_told_at_once() {
    let text =
        SMALL.replace("at: 1s", "at: soon").replace("as: nobody", "as: root").replace("story:", "plot:");
    assert_eq!(read(&text).expect_err("three mistakes").len(), 4, "the missing story is one too");
}

#[test]
fn an_attack_that_does_not_work_and_a_control_that_does_not_help_are_told() {
    let good = ran(SMALL);
    assert!(good.is_as_described());
    // A change that changes nothing.
    let text = SMALL.replace("--anonymous-auth=false", "--anonymous-auth=true --v=2");
    let useless = ran(&text);
    assert!(useless.attack.is_as_described() && !useless.control.is_as_described());
    let text = SMALL.replace("kubelet.conf\nsteps", "kubelet.conf --anonymous-auth=false\nsteps");
    let harmless = ran(&text);
    assert!(!harmless.attack.is_as_described() && harmless.control.is_as_described());
    let scenario = read(&text).expect("well formed");
    assert!(summarised(&scenario, &harmless).contains("NOT reproduced as described"));
}

#[test]
fn a_step_that_cannot_be_done_is_no_success() {
    let text = SMALL.replace("from: attacker", "from: pod no/body");
    let outcome = ran(&text);
    assert!(!outcome.control.is_as_described(), "though nothing was answered, as described");
    assert!(outcome.control.trouble.is_some_and(|why| why.contains("no/body")));
}

#[test]
fn texts_and_secrets_of_answers_are_not_shown() {
    let text = SMALL.replace("tell: It is", "contains: PodList, tell: It is");
    let outcome = ran(&text);
    let scenario = read(&text).expect("well formed");
    assert!(outcome.is_as_described(), "the content was looked at");
    assert!(!explained(&scenario, &outcome).contains("PodList"), "and is not shown");
}

/// What the attacks on record have no use for.
const WORDS: &str = r#"
title: Words
reference: {id: none, page: none, affected: all, fixed: none}
story: Uses what the files on record do not.
cluster:
  nodes: 2
  rogue-node: yes
  kubernetes: "1.18"
  files:
    kube-apiserver.flags: |
      kube-apiserver --insecure-bind-address=0.0.0.0 --insecure-port=8080
      --authorization-mode=Node,RBAC --client-ca-file=/etc/kubernetes/pki/ca.crt
      --enable-bootstrap-token-auth=true --etcd-servers=https://127.0.0.1:2379
      --service-account-key-file=/etc/kubernetes/pki/sa.pub --service-cluster-ip-range=10.96.0.0/12
      --tls-cert-file=/etc/kubernetes/pki/apiserver.crt
      --tls-private-key-file=/etc/kubernetes/pki/apiserver.key
steps:
  - at: 1s
    tell: The rogue node asks for its own Node.
    request: {name: own, as: rogue-node, from: node-2, to: apiserver, path: /api/v1/nodes/node-2}
  - at: 2s
    tell: A pod asks the other node's pod.
    request:
      name: neighbour
      as: nobody
      from: pod tenant/tenant-node-2
      to: pod ravelin/web-node-1 8080
      path: "/?from=${address of pod tenant/tenant-node-2}&node=${address of node-2}"
  - at: 3s
    tell: The attacker asks for a token where nobody is asked who they are.
    request:
      name: token
      as: nobody
      from: attacker
      to: apiserver-insecure
      method: POST
      path: /api/v1/namespaces/ravelin/serviceaccounts/probe/token
      json: {apiVersion: authentication.k8s.io/v1, kind: TokenRequest, spec: {}}
      keep: {taken: /status/token}
  - at: 4s
    tell: It uses it.
    request: {name: used, as: token taken, from: attacker, to: apiserver, path: /api/v1/namespaces/ravelin/configmaps/probe}
evidence:
  - {tell: Own., fact: apiserver-request, is: {user: "system:node:node-2", path: /api/v1/nodes/node-2, status: "200", verb: get}, after: 1s, before: 1.9s, attack: yes, control: yes}
  - {tell: Asked., fact: executed, is: {pod: ravelin/web-node-1}, contains: ["from=${address of pod tenant/tenant-node-2}", "node=198.18.0.2"], attack: yes, control: yes}
  - {tell: Connected., fact: connection, is: {from: tenant/tenant-node-2, to: ravelin/web-node-1, port: "8080"}, attack: yes, control: yes}
  - {tell: Used., fact: answer, is: {request: used, status: "200"}, attack: yes, control: no}
  - {tell: Never., fact: answer, is: {request: token, status: none}, attack: no, control: yes}
control:
  change: without the plain port
  files:
    kube-apiserver.flags: |
      kube-apiserver --insecure-port=0
      --authorization-mode=Node,RBAC --client-ca-file=/etc/kubernetes/pki/ca.crt
      --enable-bootstrap-token-auth=true --etcd-servers=https://127.0.0.1:2379
      --service-account-key-file=/etc/kubernetes/pki/sa.pub --service-cluster-ip-range=10.96.0.0/12
      --tls-cert-file=/etc/kubernetes/pki/apiserver.crt
      --tls-private-key-file=/etc/kubernetes/pki/apiserver.key
"#;

#[test]
fn every_word_does_what_it_says() {
    let outcome = ran(WORDS);
    let scenario = read(WORDS).expect("well formed");
    assert!(outcome.is_as_described(), "{}", explained(&scenario, &outcome));
}

#[test]
fn attacks_on_upgrades_work_by_their_old_behaviour_alone() {
    for (name, flaw) in [
        ("cve-2018-1002105", "apiserver-splices-refused-upgrades"),
        ("cve-2020-8559", "apiserver-passes-redirects-on"),
    ] {
        let text = find(name).expect("it is on record");
        let scenario = read(text).unwrap_or_else(|errors| panic!("{errors:?}"));
        let outcome = run(&[&scenario], 42).remove(0).expect("no bug");
        assert!(outcome.is_as_described(), "{}", summarised(&scenario, &outcome));
        let other = "apiserver-proxies-to-any-address";
        let without = ran(&text.replace(flaw, other));
        assert!(!without.is_as_described(), "{name} works without {flaw}");
    }
}
