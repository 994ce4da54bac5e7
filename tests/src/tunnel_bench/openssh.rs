//! OpenSSH's `ssh -L` to OpenSSH's `sshd`.

use super::far::Far;
use super::free_port;
use crate::openssh::{Sshd, program, user};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long `ssh` may take until it forwards.
const PATIENCE: Duration = Duration::from_secs(30);

/// The two processes, killed when this is dropped.
pub(super) struct OpenSsh {
    client: Child,
    _server: Sshd,
    /// Which port of this end leads to which of the far end.
    ports: BTreeMap<u16, u16>,
}

impl OpenSsh {
    /// `None` where this computer has no OpenSSH.
    pub(super) fn start(folder: &Path, far: &Far) -> Result<Option<Self>> {
        let (Some(sshd), Some(ssh)) = (program("sshd"), program("ssh")) else { return Ok(None) };
        let key = crate::tunnel_bench::ours::new_key();
        let host_key = crate::tunnel_bench::ours::new_key();
        write(folder, "user", &key.to_openssh())?;
        write(folder, "authorized_keys", &(key.public().to_openssh() + "\n"))?;
        write(folder, "host", &host_key.to_openssh())?;
        let at = free_port()?;
        write(
            folder,
            "known_hosts",
            &format!("[127.0.0.1]:{} {}\n", at.port(), host_key.public().to_openssh()),
        )?;
        let server = Sshd::start(&sshd, (folder, at), "");
        let mut ports = BTreeMap::new();
        let mut command = Command::new(ssh);
        command.args(["-F", "none", "-N", "-T", "-p", &at.port().to_string(), "-i"]).arg(folder.join("user"));
        let known = format!("UserKnownHostsFile={}", folder.join("known_hosts").display());
        for option in [
            "BatchMode=yes",
            "IdentityAgent=none",
            "ExitOnForwardFailure=yes",
            "GlobalKnownHostsFile=none",
            // What ours has, too.
            "Ciphers=aes256-gcm@openssh.com",
            "KexAlgorithms=curve25519-sha256",
            known.as_str(),
        ] {
            command.args(["-o", option]);
        }
        for port in [far.source, far.sink, far.echo] {
            let local = free_port()?.port();
            command.args(["-L", &format!("127.0.0.1:{local}:127.0.0.1:{port}")]);
            ports.insert(port, local);
        }
        command.arg(format!("{}@127.0.0.1", user()));
        let client = command.arg("-v").stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut openssh = Self { client, _server: server, ports };
        openssh.wait()?;
        Ok(Some(openssh))
    }

    /// The port of this end that leads there.
    pub(super) fn local(&self, port: u16) -> u16 {
        self.ports.get(&port).copied().unwrap_or(port)
    }

    /// Waits until it says that it forwards.
    fn wait(&mut self) -> Result<()> {
        let messages = self.client.stderr.take().context("it is piped")?;
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(messages).lines().map_while(Result::ok) {
                if line.contains("Entering interactive session") {
                    // Nobody waits for it twice.
                    let _ = tell.send(());
                }
            }
        });
        told.recv_timeout(PATIENCE).context("ssh does not forward")
    }
}

impl Drop for OpenSsh {
    fn drop(&mut self) {
        // Where it has ended already, there is nothing to kill.
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

fn write(folder: &Path, name: &str, content: &str) -> Result<()> {
    let file = folder.join(name);
    std::fs::write(&file, content)?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
    Ok(())
}
