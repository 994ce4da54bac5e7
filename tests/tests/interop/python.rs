//! The Python client of Kubernetes (the package `kubernetes`) and `ravelin up`: list, watch, logs,
//! exec, attach, port-forward, as `client.py` beside this has them.
//!
//! It is tried with `--deep`, for which `.ci/run` makes the environment that `requirements.txt` names.

use super::rig::{Up, finished};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where `.ci/run` installs the client, in the target folder.
const ENVIRONMENT: &str = "python-client/bin/python3";

/// What `client.py` does, in its order.
const STEPS: [&str; 7] = [
    "list_pods",
    "watch_config_maps",
    "read_logs",
    "run_commands",
    "run_commands_of_v4",
    "attach_to_shell",
    "forward_ports",
];

/// A Python that has the client.
///
/// # Panics
/// Where there is none, under `CI`.
fn python() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is within the target folder");
    let candidates = [target.join(ENVIRONMENT), PathBuf::from("python3")];
    let found = candidates.into_iter().find(|python| {
        let asked = Command::new(python).args(["-c", "import kubernetes"]).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    });
    #[allow(clippy::disallowed_methods, reason = "whether programs may be missing is decided outside")]
    let required = std::env::var_os("CI").is_some();
    assert!(found.is_some() || !required, "the Python client is not there, and this is CI");
    if found.is_none() {
        eprintln!("not tried: no Python here has the package kubernetes");
    }
    found
}

#[test]
fn the_python_client_lists_watches_and_streams() {
    if !crate::is_deep() {
        return;
    }
    let Some(python) = python() else { return };
    let up = Up::start(&["--nodes", "2"]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/client.py");
    let mut command = Command::new(&python);
    command.arg(script).arg(up.kubeconfig()).current_dir(up.folder()).stdin(Stdio::null());
    let ran = finished(&mut command, b"");
    let (done, errors) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "after {done:?}: {errors}\n{}", up.messages());
    assert_eq!(done.lines().collect::<Vec<_>>(), STEPS);
}
