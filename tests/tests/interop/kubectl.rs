//! The commands of kubectl that only need the API, as people use them: what they print, and what has
//! happened afterwards. Streams into containers have a file of their own.
//!
//! Ordinarily with one kubectl; with `--deep` every one that the machine has.

use super::rig::{Kubectl, Up, kubectls};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

/// How long something may take that happens in the cluster by itself.
const SOON: Duration = Duration::from_secs(20);

/// One cluster, one kubectl.
struct Session<'a> {
    up: &'a Up,
    kubectl: &'a Kubectl,
}

impl Session<'_> {
    fn ran(&self, arguments: &str) -> Output {
        self.up.kubectl_of(self.kubectl, &words(arguments))
    }

    /// What a call prints that succeeds.
    fn says(&self, arguments: &str) -> String {
        self.succeeded(arguments, &self.ran(arguments))
    }

    /// What a call prints that reads this.
    fn reading(&self, arguments: &str, input: &str) -> String {
        let ran = self.up.kubectl_reading(self.kubectl, &words(arguments), input.as_bytes());
        self.succeeded(arguments, &ran)
    }

    fn succeeded(&self, arguments: &str, ran: &Output) -> String {
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "kubectl {} {arguments}: {errors}", self.kubectl.version);
        String::from_utf8(ran.stdout.clone()).expect("output is text")
    }

    /// What a call says that fails.
    fn fails(&self, arguments: &str) -> String {
        let ran = self.ran(arguments);
        assert!(!ran.status.success(), "kubectl {} {arguments} should fail", self.kubectl.version);
        String::from_utf8_lossy(&ran.stderr).into_owned()
    }

    /// Does it ask who its user is by a version of the API that the server has (1.28; 1.27 knows alphas
    /// and betas alone)?
    fn asks_who_it_is(&self) -> bool {
        !self.kubectl.version.starts_with("v1.27.")
    }

    fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.says(&format!("{arguments} -o json"))).expect("output is JSON")
    }

    /// The columns of a table's rows, without its head.
    fn rows(&self, arguments: &str) -> (String, Vec<Vec<String>>) {
        let table = self.says(arguments);
        let mut lines = table.lines();
        let head = lines.next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        (head, lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect())
    }

    /// Asks again until what is printed contains this.
    fn until(&self, arguments: &str, wanted: &str) {
        #[allow(clippy::disallowed_methods, reason = "how long a real program takes is measured here")]
        let began = Instant::now();
        loop {
            let printed = self.says(arguments);
            if printed.contains(wanted) {
                return;
            }
            assert!(began.elapsed() < SOON, "{arguments} never says {wanted:?}: {printed}");
        }
    }
}

/// The words of a command line; `'…'` is one.
fn words(line: &str) -> Vec<&str> {
    let quoted = line.split('\'').enumerate();
    let words = quoted.flat_map(|(index, part)| match index % 2 {
        1 => vec![part],
        _ => part.split_whitespace().collect(),
    });
    words.collect()
}

/// Plays a part with each kubectl, in a cluster of its own.
fn with_each(play: impl Fn(&Session<'_>)) {
    for kubectl in kubectls() {
        let up = Up::start(&["--nodes", "2"]);
        play(&Session { up: &up, kubectl });
    }
}

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: p1, labels: {app: demo}}
spec:
  terminationGracePeriodSeconds: 2
  containers: [{name: c, image: ravelin.test/logger}]
";

const MAP: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: m1}
data: {a: \"1\", b: \"1\"}
";

#[test]
fn kubectl_shows_what_there_is() {
    with_each(|k| {
        let (head, rows) = k.rows("get nodes -o wide");
        assert_eq!(
            head,
            "NAME STATUS ROLES AGE VERSION INTERNAL-IP EXTERNAL-IP OS-IMAGE KERNEL-VERSION CONTAINER-RUNTIME"
        );
        assert_eq!((rows.len(), rows[0][0].as_str(), rows[0][1].as_str()), (2, "node-1", "Ready"));
        assert!(rows[0][5].starts_with("198.18."), "{rows:?}");
        let (head, rows) = k.rows("get pods -A --sort-by=.metadata.name");
        assert_eq!(head, "NAMESPACE NAME READY STATUS RESTARTS AGE");
        assert!(rows.len() > 5 && rows.is_sorted_by_key(|row| row[1].clone()), "{rows:?}");
        let (head, rows) = k.rows("get pods -n ravelin -o wide --field-selector spec.nodeName=node-2");
        assert_eq!(head, "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES");
        assert!(!rows.is_empty() && rows.iter().all(|row| row[6] == "node-2" && row[2] == "Running"));
        let (head, rows) = k.rows("get services -A");
        assert_eq!(head, "NAMESPACE NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE");
        assert!(rows.iter().any(|row| row[1] == "kubernetes" && row[5] == "443/TCP"), "{rows:?}");
        for (kind, wanted) in [
            ("namespaces", "NAME STATUS AGE"),
            ("endpoints", "NAME ENDPOINTS AGE"),
            ("endpointslices", "NAME ADDRESSTYPE PORTS ENDPOINTS AGE"),
            ("configmaps", "NAME DATA AGE"),
            ("serviceaccounts", "NAME SECRETS AGE"),
            ("leases -n kube-node-lease", "NAME HOLDER AGE"),
            ("csr", "NAME AGE SIGNERNAME REQUESTOR REQUESTEDDURATION CONDITION"),
            ("clusterroles", "NAME CREATED AT"),
            ("clusterrolebindings", "NAME ROLE AGE"),
        ] {
            assert_eq!(k.rows(&format!("get {kind}")).0, wanted);
        }
        assert_eq!(k.says("get ns default -o name"), "namespace/default\n");
        assert_eq!(k.says("get node node-1 -o jsonpath={.metadata.name}"), "node-1");
        assert!(k.says("get node node-1 -o yaml").contains("\n  name: node-1\n"));
        assert_eq!(k.fails("get pods nope").trim(), "Error from server (NotFound): pods \"nope\" not found");
        assert!(k.fails("get nosuch").contains("the server doesn't have a resource type \"nosuch\""));
    });
}

#[test]
fn kubectl_learns_what_the_server_is() {
    with_each(|k| {
        // Until 1.27 it shows all that it was told.
        let version = k.says("version");
        assert!(version.contains("Server Version: v") && version.contains("v1."), "{version}");
        assert!(k.says("api-versions").lines().any(|line| line == "rbac.authorization.k8s.io/v1"));
        let (head, rows) = k.rows("api-resources");
        assert_eq!(head, "NAME SHORTNAMES APIVERSION NAMESPACED KIND");
        assert!(rows.contains(&words("pods po v1 true Pod").iter().map(|w| (*w).to_owned()).collect()));
        assert!(k.says("cluster-info").contains("control plane"));
        let explained = k.says("explain pod.spec.containers");
        assert!(explained.contains("<[]Container>") && explained.contains("image"), "{explained}");
        assert!(k.says("explain secret --recursive").contains("resourceVersion"));
        assert!(k.fails("explain pod.nosuch").contains("does not exist"));
        assert!(k.fails("top nodes").contains("Metrics API not available"));
        if k.asks_who_it_is() {
            let who = k.says("auth whoami");
            assert!(who.contains("kubernetes-admin") && who.contains("system:masters"), "{who}");
        }
        assert_eq!(k.says("get --raw /readyz"), "ok");
    });
}

#[test]
fn a_pod_lives_its_life_as_kubectl_sees_it() {
    with_each(|k| {
        assert_eq!(k.reading("create -f -", POD), "pod/p1 created\n");
        assert_eq!(k.says("wait --for=condition=Ready pod/p1 --timeout=20s"), "pod/p1 condition met\n");
        let pod = k.json("get pod p1");
        assert_eq!(pod["status"]["phase"], "Running");
        assert!(pod["status"]["containerStatuses"][0]["state"]["running"].is_object(), "{pod}");
        let described = k.says("describe pod p1");
        for part in
            ["Labels:           app=demo", "Status:           Running", "Image:          ravelin.test/logger"]
        {
            assert!(described.contains(part), "{part}: {described}");
        }
        assert_eq!(k.says("get pods -l app=demo -o name"), "pod/p1\n");
        assert_eq!(k.says("get pods -l app!=demo -o name"), "");
        assert!(k.says("label pod p1 tier=back").contains("labeled"));
        assert!(k.says("annotate pod p1 note=people").contains("annotate"));
        assert_eq!(k.json("get pod p1")["metadata"]["labels"]["tier"], "back");
        assert!(k.fails("scale pod p1 --replicas=2").contains("Error from server (NotFound)"));
        assert!(k.says("delete pod p1").contains("pod \"p1\""));
        assert!(k.fails("get pod p1").contains("not found"));
        assert_eq!(k.says("run r1 --image=ravelin.test/web --port=8080"), "pod/r1 created\n");
        k.says("wait --for=jsonpath={.status.phase}=Running pod/r1 --timeout=20s");
        assert_eq!(k.says("expose pod r1 --port=80 --target-port=8080"), "service/r1 exposed\n");
        let (_, rows) = k.rows("get service r1");
        assert_eq!((rows[0][1].as_str(), rows[0][4].as_str()), ("ClusterIP", "80/TCP"));
        let described = k.says("describe service r1");
        let mut lines = described.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        assert!(lines.any(|words| words == ["Selector:", "run=r1"]), "{described}");
        assert!(k.says("delete pod r1 --wait=false").contains("deleted"));
        k.says("wait --for=delete pod/r1 --timeout=40s");
        k.says("run bad --image=nosuch.example/image");
        k.until("get pod bad", "ImagePull");
        assert!(k.says("delete pod bad --grace-period=0 --force").contains("force deleted"));
    });
}

#[test]
fn objects_are_created_changed_and_deleted() {
    with_each(|k| {
        assert_eq!(k.reading("apply -f -", MAP), "configmap/m1 created\n");
        assert_eq!(k.reading("apply -f -", MAP), "configmap/m1 unchanged\n");
        let changed = MAP.replace("a: \"1\", b", "a: \"2\", c");
        let diff = k.up.kubectl_reading(k.kubectl, &["diff", "-f", "-"], changed.as_bytes());
        assert_eq!(diff.status.code(), Some(1), "there is a difference");
        assert_eq!(k.reading("apply -f -", &changed), "configmap/m1 configured\n");
        assert_eq!(k.json("get configmap m1")["data"], serde_json::json!({"a": "2", "c": "1"}));
        k.says("patch configmap m1 -p {\"data\":{\"z\":\"1\"}}");
        k.says("patch configmap m1 --type=merge -p {\"data\":{\"c\":null}}");
        k.says("patch configmap m1 --type=json -p [{\"op\":\"remove\",\"path\":\"/data/z\"}]");
        assert_eq!(k.says("get configmap m1 -o jsonpath={.data}"), "{\"a\":\"2\"}");
        let mut edit = k.up.command(k.kubectl, &["edit", "configmap", "m1"]);
        let edited = super::rig::finished(
            edit.env("KUBE_EDITOR", "sed -i 's/a: \"2\"/a: \"3\"/'").stdin(Stdio::null()),
            b"",
        );
        assert!(k.succeeded("edit", &edited).contains("edited"));
        assert_eq!(k.says("get configmap m1 -o jsonpath={.data.a}"), "3");
        for (what, made) in [
            ("configmap m2 --from-literal=k=v", "configmap/m2"),
            ("secret generic s1 --from-literal=k=v", "secret/s1"),
            ("serviceaccount a1", "serviceaccount/a1"),
            ("namespace n1", "namespace/n1"),
            ("role r1 --verb=get --resource=pods", "role.rbac.authorization.k8s.io/r1"),
            (
                "rolebinding b1 --role=r1 --serviceaccount=default:a1",
                "rolebinding.rbac.authorization.k8s.io/b1",
            ),
            ("clusterrole r1 --verb=get --resource=nodes", "clusterrole.rbac.authorization.k8s.io/r1"),
            (
                "clusterrolebinding b1 --clusterrole=r1 --user=u",
                "clusterrolebinding.rbac.authorization.k8s.io/b1",
            ),
        ] {
            assert_eq!(k.says(&format!("create {what}")), format!("{made} created\n"));
        }
        assert!(k.fails("create configmap m2").contains("configmaps \"m2\" already exists"));
        assert!(k.says("describe secret s1").contains("k:  1 bytes"));
        assert_eq!(k.rows("get secret s1").1[0][..3], ["s1", "Opaque", "1"]);
        let wrong = MAP.replace("\ndata:", "\nnosuch: 1\ndata:").replace("m1", "m3");
        let refused = k.up.kubectl_reading(k.kubectl, &["create", "-f", "-"], wrong.as_bytes());
        let why = String::from_utf8_lossy(&refused.stderr);
        assert!(why.contains("strict decoding error: unknown field \"nosuch\""), "{why}");
        k.says("delete configmap m1 m2");
        k.says("delete namespace n1");
        assert!(k.fails("get namespace n1").contains("not found"));
        assert_eq!(k.says("delete configmap m1 --ignore-not-found"), "");
    });
}

#[test]
fn kubectl_asks_who_may_do_what() {
    with_each(|k| {
        assert_eq!(k.says("auth can-i delete nodes"), "yes\n");
        let list = k.says("auth can-i --list");
        assert!(list.contains("*.*") && list.contains("[/healthz]"), "{list}");
        k.says("create serviceaccount a1");
        let no = k.ran("auth can-i get pods --as=system:serviceaccount:default:a1");
        assert_eq!((no.status.code(), String::from_utf8_lossy(&no.stdout).trim()), (Some(1), "no"));
        let refused = k.fails("get pods --as=system:serviceaccount:default:a1");
        let why = "User \"system:serviceaccount:default:a1\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"";
        assert!(refused.contains(why), "{refused}");
        k.says("create rolebinding b1 --clusterrole=view --serviceaccount=default:a1");
        assert_eq!(k.says("auth can-i get pods --as=system:serviceaccount:default:a1"), "yes\n");
        let token = k.says("create token a1 --duration=20m");
        assert_eq!(token.trim().split('.').count(), 3, "it is a JWT");
        if !k.asks_who_it_is() {
            return;
        }
        let named = k.says(&format!(
            "auth whoami --kubeconfig=/dev/null --server={} --insecure-skip-tls-verify --token={}",
            k.says("config view --minify -o jsonpath={.clusters[0].cluster.server}"),
            token.trim()
        ));
        assert!(named.contains("system:serviceaccount:default:a1"), "{named}");
    });
}

#[test]
fn nodes_are_cordoned_tainted_and_drained() {
    with_each(|k| {
        assert_eq!(k.says("cordon node-2"), "node/node-2 cordoned\n");
        assert_eq!(k.rows("get node node-2").1[0][1], "Ready,SchedulingDisabled");
        let refused = k.fails("drain node-2");
        assert!(refused.contains("declare no controller"), "{refused}");
        let drained = k.says("drain node-2 --force --ignore-daemonsets --delete-emptydir-data");
        assert!(drained.ends_with("node/node-2 drained\n"), "{drained}");
        assert_eq!(k.says("get pods -A -o name --field-selector spec.nodeName=node-2"), "");
        assert_eq!(k.says("uncordon node-2"), "node/node-2 uncordoned\n");
        assert_eq!(k.says("taint node node-2 a=b:NoSchedule"), "node/node-2 tainted\n");
        let described = k.says("describe node node-2");
        assert!(described.contains("Taints:             a=b:NoSchedule"), "{described}");
        assert_eq!(k.says("taint node node-2 a:NoSchedule-"), "node/node-2 untainted\n");
    });
}

#[test]
fn a_signing_request_is_approved_or_denied() {
    // A request of a P-256 key for the common name jane.
    const REQUEST: &str = include_str!("jane.csr.base64");
    with_each(|k| {
        let request = |name: &str| {
            format!(
                "{{\"apiVersion\": \"certificates.k8s.io/v1\", \"kind\": \"CertificateSigningRequest\",
                \"metadata\": {{\"name\": \"{name}\"}}, \"spec\": {{\"request\": \"{}\",
                \"signerName\": \"kubernetes.io/kube-apiserver-client\", \"usages\": [\"client auth\"]}}}}",
                REQUEST.trim()
            )
        };
        for name in ["good", "bad"] {
            k.reading("create -f -", &request(name));
            assert_eq!(k.rows(&format!("get csr {name}")).1[0][5], "Pending");
        }
        assert!(k.says("certificate approve good").contains("approved"));
        assert!(k.says("certificate deny bad").contains("denied"));
        k.until("get csr good", "Approved,Issued");
        assert_eq!(k.rows("get csr bad").1[0][5], "Denied");
        assert!(k.says("describe csr good").contains("Common Name:    jane"));
    });
}

#[test]
fn a_watch_shows_each_change_in_a_row() {
    with_each(|k| {
        let mut watch = k.up.command(k.kubectl, &["get", "configmaps", "-w", "--no-headers"]);
        let mut watching = watch.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().expect("it starts");
        let mut lines = BufReader::new(watching.stdout.take().expect("it is piped")).lines();
        let mut next = move |name: &str| loop {
            let line = lines.next().expect("the watch goes on").expect("it is text");
            if line.starts_with(name) {
                return line.split_whitespace().nth(1).unwrap_or_default().to_owned();
            }
        };
        next("kube-root-ca.crt");
        k.says("create configmap seen --from-literal=a=1");
        assert_eq!(next("seen"), "1");
        k.says("patch configmap seen -p {\"data\":{\"b\":\"1\"}}");
        assert_eq!(next("seen"), "2");
        k.says("delete configmap seen");
        assert_eq!(next("seen"), "2");
        watching.kill().expect("it runs");
        watching.wait().expect("it was started");
    });
}

#[test]
fn kubectl_is_a_proxy_to_the_api() {
    with_each(|k| {
        let mut proxy = k.up.command(k.kubectl, &["proxy", "--port=0"]);
        let mut running = proxy.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().expect("it starts");
        let greeting = BufReader::new(running.stdout.take().expect("it is piped")).lines().next();
        let greeting = greeting.expect("it says where it listens").expect("it is text");
        let address = greeting.rsplit(' ').next().expect("it names its address").to_owned();
        let asked = format!("--server=http://{address} get namespaces default -o name");
        let answered = k.says(&format!("{asked} --kubeconfig=/dev/null"));
        running.kill().expect("it runs");
        running.wait().expect("it was started");
        assert_eq!(answered, "namespace/default\n");
    });
}
