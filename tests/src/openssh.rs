//! OpenSSH's programs, run as ordinary processes with a configuration of their own; no user's or
//! system's configuration is read. For tests and the benchmark.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program of OpenSSH, where this computer has it.
pub fn program(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/opt/homebrew/bin"];
    folders.iter().map(|folder| Path::new(folder).join(name)).find(|file| file.exists())
}

/// A running `sshd`; it and its sessions are killed when this is dropped.
pub struct Sshd {
    child: Child,
    said: Arc<Mutex<String>>,
}

/// What every `sshd` here is told: keys and nothing else, forwarding and nothing else.
const SETTINGS: &str = "\
UsePAM no
StrictModes no
PidFile none
LogLevel VERBOSE
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAuthentication yes
PermitRootLogin prohibit-password
AllowTcpForwarding local
AllowStreamLocalForwarding no
AllowAgentForwarding no
X11Forwarding no
PermitTTY no
PermitTunnel no
ForceCommand /bin/false
";

impl Sshd {
    /// Starts one at an address, with the host key `host` and the user's `authorized_keys` of a folder,
    /// and waits until it listens. `more` comes first in its configuration: of
    /// two values `sshd` takes the first.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start(program: &Path, (folder, at): (&Path, SocketAddr), more: &str) -> Self {
        if user() == "root" {
            // Where it separates its privileges; without that folder it does not start.
            let _ = std::fs::create_dir_all("/run/sshd");
        }
        let (host, keys) = (folder.join("host"), folder.join("authorized_keys"));
        let listen = format!("ListenAddress {}:{}\nHostKey {}\n", at.ip(), at.port(), host.display());
        let own = format!("{listen}AuthorizedKeysFile {}\n", keys.display());
        let file = folder.join("sshd_config");
        std::fs::write(&file, format!("{own}{more}\n{SETTINGS}")).expect("the folder can be written");
        let mut child = Command::new(program)
            .args(["-D", "-e", "-f"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sshd starts");
        let messages = child.stderr.take().expect("it is piped");
        let said = Arc::<Mutex<String>>::default();
        let (tell, told) = mpsc::channel();
        let log = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in BufReader::new(messages).lines().map_while(Result::ok) {
                let ready = line.starts_with("Server listening on");
                *log.lock().expect("nobody panics with it") += &(line + "\n");
                if ready {
                    // Nobody waits any more for the second address.
                    let _ = tell.send(());
                }
            }
        });
        let sshd = Self { child, said };
        assert!(told.recv_timeout(PATIENCE).is_ok(), "sshd does not listen: {}", sshd.said());
        sshd
    }

    /// What it wrote so far.
    pub fn said(&self) -> String {
        self.said.lock().expect("nobody panics with it").clone()
    }

    /// Kills it and all its sessions, at once.
    pub fn kill(&mut self) {
        let mut all = vec![self.child.id()];
        let mut next = 0;
        while let Some(process) = all.get(next).copied() {
            all.extend(children(process));
            next += 1;
        }
        for process in all {
            // Some end with their parents.
            let _ = Command::new("kill").args(["-KILL", &process.to_string()]).stderr(Stdio::null()).status();
        }
        let _ = self.child.wait();
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The processes that this one started.
fn children(process: u32) -> Vec<u32> {
    let listed = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output();
    let listed = listed.map(|ran| String::from_utf8_lossy(&ran.stdout).into_owned()).unwrap_or_default();
    let pairs = listed.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    });
    pairs.filter(|(_, parent)| *parent == process).map(|(child, _)| child).collect()
}

/// Who runs this test: the only one whom an `sshd` of theirs lets in.
pub fn user() -> String {
    let asked = Command::new("id").arg("-un").output().expect("id is there");
    String::from_utf8_lossy(&asked.stdout).trim().to_owned()
}
