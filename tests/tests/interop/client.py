"""What the Python client of Kubernetes does with a cluster that `ravelin up` runs.

Called by python.rs with the kubeconfig's path. A line for each step that came out as it must; the
first that does not ends the script with a traceback.
"""

import sys
import threading

from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward, stream, ws_client

NAMESPACE = "ravelin"
SHELL = "shell-node-1"
WEB = "web-node-1"
LOGGER = "logger-node-1"
# Made by the script itself.
COUNTER = "counter"
# Many times what any buffer on the way holds.
MANY_BYTES = 4_000_000


def equal(got, wanted):
    assert got == wanted, f"{got!r} instead of {wanted!r}"


def list_pods(api):
    pods = api.list_namespaced_pod(NAMESPACE, field_selector="status.phase=Running")
    names = {pod.metadata.name for pod in pods.items}
    assert {SHELL, WEB, LOGGER} <= names, names
    nodes = api.list_node(label_selector="kubernetes.io/hostname=node-1")
    equal([node.metadata.name for node in nodes.items], ["node-1"])
    first = api.list_namespaced_pod(NAMESPACE, limit=1)
    rest = api.list_namespaced_pod(NAMESPACE, limit=500, _continue=first.metadata._continue)
    equal(len(first.items) + len(rest.items), len(api.list_namespaced_pod(NAMESPACE).items))


def watch_config_maps(api):
    version = api.list_namespaced_config_map("default").metadata.resource_version
    name = "watched"

    def change():
        body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name), data={"key": "one"})
        api.create_namespaced_config_map("default", body)
        api.patch_namespaced_config_map(name, "default", {"data": {"key": "two"}})
        api.delete_namespaced_config_map(name, "default")

    changing = threading.Thread(target=change)
    changing.start()
    seen = []
    watching = watch.Watch()
    for event in watching.stream(
        api.list_namespaced_config_map, "default", resource_version=version, timeout_seconds=30
    ):
        seen.append((event["type"], event["object"].data["key"]))
        if event["type"] == "DELETED":
            watching.stop()
    changing.join()
    equal(seen, [("ADDED", "one"), ("MODIFIED", "two"), ("DELETED", "two")])


def read_logs(api):
    text = api.read_namespaced_pod_log(LOGGER, NAMESPACE)
    equal(text, "started\n")
    stamped = api.read_namespaced_pod_log(LOGGER, NAMESPACE, timestamps=True, tail_lines=1)
    stamp, _, line = stamped.partition(" ")
    assert stamp.startswith("20") and line == "started\n", stamped
    counting = "for n in one two three; do echo $n; sleep 1; done; sleep 3600"
    container = client.V1Container(
        name="main", image="ravelin.test/shell", command=["sh", "-c", counting]
    )
    pod = client.V1Pod(
        metadata=client.V1ObjectMeta(name=COUNTER), spec=client.V1PodSpec(containers=[container])
    )
    api.create_namespaced_pod(NAMESPACE, pod)
    watching = watch.Watch()
    for event in watching.stream(
        api.list_namespaced_pod,
        NAMESPACE,
        field_selector=f"metadata.name={COUNTER}",
        timeout_seconds=30,
    ):
        if event["object"].status.phase == "Running":
            watching.stop()
    following = watch.Watch()
    seen = []
    for line in following.stream(
        api.read_namespaced_pod_log, COUNTER, NAMESPACE, _request_timeout=30
    ):
        seen.append(line)
        if len(seen) == 3:
            following.stop()
    equal(seen, ["one", "two", "three"])
    api.delete_namespaced_pod(COUNTER, NAMESPACE)
    try:
        api.read_namespaced_pod_log(LOGGER, NAMESPACE, container="none")
    except ApiException as refused:
        equal(refused.status, 400)
    else:
        raise AssertionError("the log of no container")


def run(api, command, stdin=None):
    """Runs a command; its output, its complaints, and its exit code."""
    opened = stream(
        api.connect_get_namespaced_pod_exec,
        SHELL,
        NAMESPACE,
        command=command,
        stdin=stdin is not None,
        stdout=True,
        stderr=True,
        tty=False,
        _preload_content=False,
    )
    if stdin is not None:
        opened.write_stdin(stdin)
        # Only v5 can end it.
        opened.close_channel(ws_client.STDIN_CHANNEL)
    out, errors = "", ""
    while opened.is_open():
        opened.update(timeout=30)
        out += opened.read_stdout() if opened.peek_stdout() else ""
        errors += opened.read_stderr() if opened.peek_stderr() else ""
    return out, errors, opened.returncode


def run_commands(api):
    equal(run(api, ["cat"], stdin="to the end"), ("to the end", "", 0))
    run_commands_of_any_version(api)


def run_commands_of_v4(api):
    offered = ws_client.V5_CHANNEL_PROTOCOL
    ws_client.V5_CHANNEL_PROTOCOL = "none.channel.k8s.io"
    try:
        run_commands_of_any_version(api)
    finally:
        ws_client.V5_CHANNEL_PROTOCOL = offered


def run_commands_of_any_version(api):
    equal(run(api, ["echo", "hello"]), ("hello\n", "", 0))
    equal(run(api, ["sh", "-c", "echo no >&2; exit 7"]), ("", "no\n", 7))
    # A command that takes what it needs ends by itself.
    equal(run(api, ["head", "-n", "1"], stdin="a line\n"), ("a line\n", "", 0))
    out, errors, code = run(api, ["sh", "-c", f"yes | head -c {MANY_BYTES}"])
    equal((len(out), set(out), errors, code), (MANY_BYTES, {"y", "\n"}, "", 0))
    try:
        stream(api.connect_get_namespaced_pod_exec, "none", NAMESPACE, command=["true"], stdout=True)
    except ApiException as refused:
        assert "404" in str(refused), refused
    else:
        raise AssertionError("a command in no pod")


def attach_to_shell(api):
    attached = stream(
        api.connect_get_namespaced_pod_attach,
        SHELL,
        NAMESPACE,
        stdin=True,
        stdout=True,
        stderr=True,
        tty=False,
        _preload_content=False,
    )
    attached.write_stdin("echo attached-$((40 + 2))\n")
    seen = ""
    while "attached-42\n" not in seen:
        assert attached.is_open(), seen
        attached.update(timeout=30)
        seen += attached.read_stdout() if attached.peek_stdout() else ""
    attached.close()


def forward_ports(api):
    forwarding = portforward(
        api.connect_get_namespaced_pod_portforward, WEB, NAMESPACE, ports="8080,9"
    )
    socket = forwarding.socket(8080)
    socket.settimeout(30)
    socket.sendall(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
    answer = b""
    while piece := socket.recv(4096):
        answer += piece
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and b"a ravelin workload" in answer, answer
    equal(forwarding.error(8080), None)
    nobody = forwarding.socket(9)
    nobody.settimeout(30)
    equal(nobody.recv(1), b"")
    assert "refused" in forwarding.error(9), forwarding.error(9)


STEPS = (
    list_pods,
    watch_config_maps,
    read_logs,
    run_commands,
    run_commands_of_v4,
    attach_to_shell,
    forward_ports,
)


def main():
    config.load_kube_config(config_file=sys.argv[1])
    for step in STEPS:
        # Streams replace the request function of their client: each step has its own.
        step(client.CoreV1Api(client.ApiClient()))
        print(step.__name__, flush=True)


main()
