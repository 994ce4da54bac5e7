//! The commands that can be run in a container: as few as it takes to look around.

use crate::{RunOutput, Sandbox};
use bytes::Bytes;

/// A file that is longer than this is not shown.
const MAX_OUTPUT_BYTES: usize = 1024 * 1024;

impl RunOutput {
    fn success(stdout: impl Into<Bytes>) -> Self {
        Self { exit_code: 0, stdout: stdout.into(), stderr: Bytes::new() }
    }

    pub(crate) fn failure(exit_code: i32, stderr: impl Into<Bytes>) -> Self {
        Self { exit_code, stdout: Bytes::new(), stderr: stderr.into() }
    }
}

/// Runs a command in a pod.
pub(crate) fn run(sandbox: &Sandbox, argv: &[String]) -> RunOutput {
    let (program, arguments) = match argv {
        [] => ("", &[][..]),
        [program, arguments @ ..] => (program.as_str(), arguments),
    };
    // Where a program lies in the image does not matter.
    match program.rsplit('/').next().unwrap_or_default() {
        "cat" => cat(sandbox, arguments),
        "echo" => RunOutput::success(format!("{}\n", arguments.join(" "))),
        "hostname" => {
            let pod = &sandbox.pod;
            let name = if pod.host_network { sandbox.host.name() } else { pod.name.as_str() };
            RunOutput::success(format!("{name}\n"))
        }
        "id" => RunOutput::success("uid=0(root) gid=0(root) groups=0(root)\n"),
        _ => RunOutput::failure(127, format!("{program}: not found\n")),
    }
}

fn cat(sandbox: &Sandbox, names: &[String]) -> RunOutput {
    let mut shown = Vec::new();
    for name in names {
        // A container's working directory is its root.
        let path = format!("{}/{}", sandbox.root, name.trim_start_matches('/'));
        match sandbox.host.disk().read(&path) {
            Some(content) if shown.len() + content.len() <= MAX_OUTPUT_BYTES => shown.extend(content),
            Some(_) => return RunOutput::failure(1, format!("cat: {name}: too long\n")),
            None => return RunOutput::failure(1, format!("cat: {name}: No such file or directory\n")),
        }
    }
    RunOutput::success(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PodView;
    use ravelin_host::memory::Network;
    use std::collections::BTreeMap;

    #[test]
    fn commands_see_their_own_pod_and_nothing_else() {
        let host = Network::new().host("node-1", [10, 0, 0, 2]);
        host.disk().write("/pods/p/token", b"its token").unwrap();
        host.disk().write("/var/lib/kubelet/key", b"the node's").unwrap();
        let pod = PodView {
            namespace: "ns".to_owned(),
            name: "p".to_owned(),
            uid: "u".to_owned(),
            service_account: "default".to_owned(),
            host_network: true,
            containers: vec![],
        };
        let (files, env) = (BTreeMap::new(), BTreeMap::new());
        let sandbox = Sandbox { pod, host, root: "/pods/p".to_owned(), files, env };
        let table: [(&str, i32, &str); 8] = [
            ("cat /token", 0, "its token"),
            ("/bin/cat token", 0, "its token"),
            ("cat /var/lib/kubelet/key", 1, ""),
            ("cat /../../var/lib/kubelet/key", 1, ""),
            ("echo a b", 0, "a b\n"),
            ("hostname", 0, "node-1\n"),
            ("id", 0, "uid=0(root) gid=0(root) groups=0(root)\n"),
            ("sh -c id", 127, ""),
        ];
        for (command, exit_code, stdout) in table {
            let argv: Vec<String> = command.split(' ').map(str::to_owned).collect();
            let output = run(&sandbox, &argv);
            assert_eq!((output.exit_code, &output.stdout[..]), (exit_code, stdout.as_bytes()), "{command}");
        }
        assert_eq!(run(&sandbox, &[]).exit_code, 127);
    }
}
