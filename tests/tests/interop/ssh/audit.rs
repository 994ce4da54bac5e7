//! `ssh-audit` (from the Python registry) looks at what our two ends offer.

use super::{Folder, Node, PATIENCE, errors, free_port, this_computer};
use ravelin_host::Endpoint;
use ravelin_tunnel::danger;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Where `.ci/run` installs it, in the target folder.
const ENVIRONMENT: &str = "ssh-audit/bin/ssh-audit";

/// The program.
///
/// # Panics
/// Where it is not there, under `CI`.
fn ssh_audit() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is within the target folder");
    let candidates = [target.join(ENVIRONMENT), PathBuf::from("ssh-audit")];
    let found = candidates.into_iter().find(|program| {
        let asked = Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    });
    #[allow(clippy::disallowed_methods, reason = "whether programs may be missing is decided outside")]
    let required = std::env::var_os("CI").is_some();
    assert!(found.is_some() || !required, "ssh-audit is not there, and this is CI");
    if found.is_none() {
        eprintln!("not tried: ssh-audit is not there");
    }
    found
}

/// Nothing in it is marked as a failure or a warning, and it saw what we offer.
fn is_clean(said: &str) {
    for offered in ["curve25519-sha256", "ssh-ed25519", "aes256-gcm@openssh.com"] {
        assert!(said.contains(offered), "{offered} is not in {said}");
    }
    let bad: Vec<&str> =
        said.lines().filter(|line| line.contains("[fail]") || line.contains("[warn]")).collect();
    assert!(bad.is_empty(), "{bad:#?}\n{said}");
}

#[test]
fn ssh_audit_finds_nothing_in_our_server() {
    let Some(program) = ssh_audit() else { return };
    let node = Node::start("audit", |_, _| {});
    let port = node.port.to_string();
    let mut command = Command::new(program);
    command.args(["--no-colors", "--skip-rate-test", "-p", &port, "127.0.0.1"]).stdin(Stdio::null());
    let ran = super::super::rig::finished(&mut command, b"");
    is_clean(&String::from_utf8_lossy(&ran.stdout));
    assert_eq!(ran.status.code(), Some(0), "{}", errors(&ran));
}

#[test]
fn ssh_audit_finds_nothing_in_our_client() {
    let Some(program) = ssh_audit() else { return };
    let port = free_port();
    let dial = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime can be made").block_on(async move {
            let folder = Folder::new("audited");
            let host = this_computer(&folder);
            let dial = async {
                loop {
                    match host.connect(&Endpoint::tcp(Ipv4Addr::LOCALHOST, port)).await {
                        Ok(connection) => {
                            // The auditor hangs up once it has seen enough.
                            let key = super::new_key();
                            let _ = danger::log_in(&host, connection.stream, "tunnel", &key).await;
                            return;
                        }
                        Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                    }
                }
            };
            tokio::time::timeout(PATIENCE, dial).await.expect("the auditor listens");
        });
    });
    let mut command = Command::new(program);
    command.args(["--no-colors", "-c", "-p", &port.to_string(), "-t", "30"]).stdin(Stdio::null());
    let ran = super::super::rig::finished(&mut command, b"");
    dial.join().expect("it did not panic");
    is_clean(&String::from_utf8_lossy(&ran.stdout));
    assert_eq!(ran.status.code(), Some(0), "{}", errors(&ran));
}
