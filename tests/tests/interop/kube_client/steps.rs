//! What kube does with a cluster, and what must come of it.

use futures_util::{AsyncBufReadExt, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::api::{
    Api, AttachParams, AttachedProcess, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams,
    WatchEvent, WatchParams,
};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const NAMESPACE: &str = "ravelin";
/// A pod of the tests' own, whose main process is a shell.
const SHELL: &str = "kube-shell";
const WEB: &str = "web-node-1";
const LOGGER: &str = "logger-node-1";
/// Many times what any buffer on the way holds.
const MANY_BYTES: usize = 1_000_000;

/// The steps, in their order.
pub(super) const NAMES: [&str; 6] = ["list", "watch", "logs", "exec", "attach", "port-forward"];

/// Takes all of them; gives the names of those that were taken.
pub(super) async fn all(client: Client) -> Vec<&'static str> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    lists(&client, &pods).await;
    let mut done = vec![NAMES[0]];
    watches(&client, &pods).await;
    done.push(NAMES[1]);
    reads_logs(&pods).await;
    done.push(NAMES[2]);
    runs_commands(&pods).await;
    done.push(NAMES[3]);
    attaches(&pods).await;
    done.push(NAMES[4]);
    forwards_ports(&pods).await;
    done.push(NAMES[5]);
    done
}

async fn lists(client: &Client, pods: &Api<Pod>) {
    let web = pods.list(&ListParams::default().labels("app=web")).await.expect("pods are listed");
    let names: Vec<String> = web.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, ["web-node-1", "web-node-2"]);
    let nodes: Api<Node> = Api::all(client.clone());
    let first = nodes.list(&ListParams::default().limit(1)).await.expect("nodes are listed");
    let token = first.metadata.continue_.clone().expect("there are more");
    let rest = nodes.list(&ListParams::default().continue_token(&token)).await.expect("and so is the rest");
    let names: Vec<String> = first.iter().chain(&rest.items).map(ResourceExt::name_any).collect();
    assert_eq!(names, ["node-1", "node-2"]);
    let refused = pods.get("none").await.expect_err("there is no such pod");
    let kube::Error::Api(status) = refused else { panic!("{refused:?}") };
    assert_eq!((status.code, status.message.as_str()), (404, "pods \"none\" not found"));
}

/// Creates the shell's pod and watches it until it runs; then a ConfigMap from its beginning to its end.
async fn watches(client: &Client, pods: &Api<Pod>) {
    create(pods, SHELL, json!({"image": "ravelin.test/shell", "stdin": true})).await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let now = maps.list(&ListParams::default()).await.expect("they are listed");
    let version = now.metadata.resource_version.expect("a list has one");
    let name = "kube-watched";
    let map = |value: &str| json!({"metadata": {"name": name}, "data": {"key": value}});
    let one: ConfigMap = serde_json::from_value(map("one")).expect("it is a ConfigMap");
    maps.create(&PostParams::default(), &one).await.expect("it is created");
    let two = Patch::Merge(map("two"));
    maps.patch(name, &PatchParams::default(), &two).await.expect("it is patched");
    maps.delete(name, &DeleteParams::default()).await.expect("it is deleted");
    let of_it = WatchParams::default().fields(&format!("metadata.name={name}"));
    let events = maps.watch(&of_it, &version).await.expect("they are watched").take(3);
    let events: Vec<WatchEvent<ConfigMap>> = events.try_collect().await.expect("the watch goes on");
    let value =
        |map: &ConfigMap| map.data.as_ref().and_then(|data| data.get("key")).cloned().unwrap_or_default();
    let told = events.iter().map(|event| match event {
        WatchEvent::Added(map) => ("added", value(map)),
        WatchEvent::Modified(map) => ("modified", value(map)),
        WatchEvent::Deleted(map) => ("deleted", value(map)),
        other => panic!("{other:?}"),
    });
    let told: Vec<(&str, String)> = told.collect();
    let wanted = [("added", "one"), ("modified", "two"), ("deleted", "two")];
    assert_eq!(told, wanted.map(|(what, value)| (what, value.to_owned())));
}

/// Creates a pod with this container, and watches it until it runs.
async fn create(pods: &Api<Pod>, name: &str, mut container: Value) {
    container["name"] = "main".into();
    let spec = json!({"nodeSelector": {"kubernetes.io/hostname": "node-1"}, "containers": [container]});
    let pod = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec}));
    let pod: Pod = pod.expect("it is a pod");
    let created = pods.create(&PostParams::default(), &pod).await.expect("the pod is created");
    let version = created.resource_version().expect("it has one");
    let of_it = WatchParams::default().fields(&format!("metadata.name={name}"));
    let mut events = pods.watch(&of_it, &version).await.expect("pods are watched").boxed();
    loop {
        let event = events.try_next().await.expect("the watch goes on").expect("it has not ended");
        let WatchEvent::Modified(pod) = event else { panic!("{event:?}") };
        assert_eq!(pod.name_any(), name);
        if pod.status.and_then(|status| status.phase).as_deref() == Some("Running") {
            return;
        }
    }
}

async fn reads_logs(pods: &Api<Pod>) {
    let all = pods.logs(LOGGER, &LogParams::default()).await.expect("the log is read");
    assert_eq!(all, "started\n");
    let counting = "for n in one two three; do echo $n; sleep 1; done; sleep 3600";
    let pod = json!({"image": "ravelin.test/shell", "command": ["sh", "-c", counting]});
    create(pods, "kube-counter", pod).await;
    let follow = LogParams { follow: true, ..LogParams::default() };
    let lines = pods.log_stream("kube-counter", &follow).await.expect("the log is followed").lines();
    let lines: Vec<String> = lines.take(3).try_collect().await.expect("it goes on");
    assert_eq!(lines, ["one", "two", "three"]);
}

/// Runs a command: its output, its complaints, its exit code.
async fn run(pods: &Api<Pod>, command: &[&str], stdin: &str) -> (String, String, i32) {
    let how = AttachParams::default().stdin(!stdin.is_empty());
    let mut process = pods.exec(SHELL, command.iter().copied(), &how).await.expect("the command starts");
    if let Some(mut writer) = process.stdin() {
        writer.write_all(stdin.as_bytes()).await.expect("it is read");
        writer.shutdown().await.expect("it ends");
    }
    let (mut out, mut errors) = (String::new(), String::new());
    let (mut stdout, mut stderr) =
        (process.stdout().expect("it has one"), process.stderr().expect("and the other"));
    let (read, also) = tokio::join!(stdout.read_to_string(&mut out), stderr.read_to_string(&mut errors));
    read.and(also).expect("they are text");
    let code = code(&mut process).await;
    process.join().await.expect("the connection ends well");
    (out, errors, code)
}

async fn code(process: &mut AttachedProcess) -> i32 {
    let status = process.take_status().expect("it was not taken").await.expect("the end is told");
    if status.status.as_deref() == Some("Success") {
        return 0;
    }
    let cause = status.details.and_then(|details| details.causes).into_iter().flatten().next();
    let message = cause.and_then(|cause| cause.message).expect("it names a code");
    message.parse().expect("it is a number")
}

async fn runs_commands(pods: &Api<Pod>) {
    let plain = |out: &str| (out.to_owned(), String::new(), 0);
    assert_eq!(run(pods, &["echo", "hello"], "").await, plain("hello\n"));
    // v5 ends standard input; `cat` would not end otherwise.
    assert_eq!(run(pods, &["cat"], "to the end").await, plain("to the end"));
    let failed = run(pods, &["sh", "-c", "echo no >&2; exit 7"], "").await;
    assert_eq!(failed, (String::new(), "no\n".to_owned(), 7));
    let count = MANY_BYTES.to_string();
    let (out, errors, code) = run(pods, &["sh", "-c", &format!("yes | head -c {count}")], "").await;
    assert_eq!((out.len(), errors.as_str(), code), (MANY_BYTES, "", 0));
    assert_eq!(out, "y\n".repeat(MANY_BYTES / 2));
    let refused = pods.exec("none", ["true"], &AttachParams::default()).await.err();
    assert!(matches!(&refused, Some(kube::Error::Api(status)) if status.code == 404), "{refused:?}");
}

async fn attaches(pods: &Api<Pod>) {
    let mut process = pods.attach(SHELL, &AttachParams::default().stdin(true)).await.expect("it is joined");
    let mut stdin = process.stdin().expect("it was asked for");
    stdin.write_all(b"echo attached-$((40 + 2))\n").await.expect("it is read");
    let mut stdout = process.stdout().expect("it was asked for");
    let mut seen = String::new();
    while !seen.contains("attached-42\n") {
        let mut piece = [0; 1024];
        let count = stdout.read(&mut piece).await.expect("it goes on");
        assert!(count > 0, "{seen}");
        seen += &String::from_utf8_lossy(&piece[..count]);
    }
    process.abort();
}

async fn forwards_ports(pods: &Api<Pod>) {
    let mut forwarding = pods.portforward(WEB, &[8080, 9]).await.expect("ports are forwarded");
    let mut web = forwarding.take_stream(8080).expect("it was asked for");
    let request = b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n";
    web.write_all(request).await.expect("it is read");
    let mut answer = String::new();
    web.read_to_string(&mut answer).await.expect("it is text");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("a ravelin workload"), "{answer}");
    let nobody = forwarding.take_error(9).expect("it was asked for").await.expect("nobody listens there");
    assert!(nobody.contains("connection refused"), "{nobody}");
}
