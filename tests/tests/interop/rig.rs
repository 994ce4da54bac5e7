//! `ravelin up`, as a person starts it, and real kubectls that talk to it.

use crate::commands::ravelin;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// How long a cluster may take until it says how it is used.
const STARTING: Duration = Duration::from_secs(60);
/// How long one call of kubectl, or the end of a cluster, may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A kubectl of this machine.
#[derive(Clone, Debug)]
pub struct Kubectl {
    /// Its program.
    pub program: PathBuf,
    /// What it says its version is, such as `v1.32.5`.
    pub version: String,
}

/// The kubectls to test with: one, or with `--deep` every one that the machine has. Empty where it has
/// none. A `kubectl` that only chooses among others beside it is one of its own.
///
/// # Panics
/// Where there is none, under `CI`.
pub fn kubectls() -> &'static [Kubectl] {
    static FOUND: LazyLock<Vec<Kubectl>> = LazyLock::new(|| {
        let mut found: Vec<Kubectl> = programs().into_iter().filter_map(asked).collect();
        #[allow(clippy::disallowed_methods, reason = "whether programs may be missing is decided outside")]
        let required = std::env::var_os("CI").is_some();
        assert!(!found.is_empty() || !required, "kubectl is not there, and this is CI");
        if !crate::is_deep() {
            found.truncate(1);
        }
        for kubectl in &found {
            eprintln!("kubectl {}: {}", kubectl.version, kubectl.program.display());
        }
        if found.is_empty() {
            eprintln!("not tried: kubectl is not there");
        }
        found
    });
    &FOUND
}

/// `kubectl`, and those beside it that have a version in their name (`kubectl.1.31`).
fn programs() -> BTreeSet<PathBuf> {
    #[allow(clippy::disallowed_methods, reason = "where programs are is decided outside")]
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("kubectl"));
    let Some(first) = on_path.filter_map(|file| file.canonicalize().ok()).next() else {
        return BTreeSet::new();
    };
    let beside = first.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    let beside = beside.into_iter().flatten().flatten().map(|entry| entry.path());
    let is_versioned = |file: &PathBuf| {
        file.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("kubectl.1."))
    };
    beside.filter(is_versioned).chain([first.clone()]).collect()
}

fn asked(program: PathBuf) -> Option<Kubectl> {
    let mut command = Command::new(&program);
    // Where HOME leads nowhere, it keeps no cache.
    command.args(["version", "--client", "-o", "json"]).env("HOME", "/nonexistent");
    let ran = command.output().ok().filter(|ran| ran.status.success())?;
    let told: serde_json::Value = serde_json::from_slice(&ran.stdout).ok()?;
    let version = told["clientVersion"]["gitVersion"].as_str()?.to_owned();
    Some(Kubectl { program, version })
}

/// A running `ravelin up`; it is killed when this is dropped.
pub struct Up {
    child: Child,
    folder: PathBuf,
    greeting: String,
}

/// What became of a `ravelin up`.
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// All that it wrote to standard error.
    pub messages: String,
}

impl Up {
    /// Starts it with these arguments, in a folder of its own and on a free port, and waits until it
    /// says that it is ready.
    ///
    /// # Panics
    /// Where it does not get ready.
    pub fn start(arguments: &[&str]) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("up-{}-{number}", std::process::id());
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("the tests' own folder can be written");
        let messages = std::fs::File::create(folder.join("messages")).expect("the folder can be written");
        let mut command = ravelin(&["up"]);
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.args(arguments).current_dir(&folder).env("HOME", &folder).env("TMPDIR", &folder);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(messages)
            .spawn()
            .expect("the binary starts");
        let output = child.stdout.take().expect("it is piped");
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody listens any more once it is ready.
                let _ = tell.send(line);
            }
        });
        let mut up = Self { child, folder, greeting: String::new() };
        while !up.greeting.contains("Ctrl-C") {
            let Ok(line) = told.recv_timeout(STARTING) else {
                panic!("it did not get ready: {}\n{}", up.greeting, up.messages());
            };
            up.greeting += &(line + "\n");
        }
        up
    }

    /// What it said when it was ready.
    pub fn greeting(&self) -> &str {
        &self.greeting
    }

    /// What it wrote to standard error so far.
    pub fn messages(&self) -> String {
        std::fs::read_to_string(self.folder.join("messages")).unwrap_or_default()
    }

    /// Its folder, in which kubectl is called too.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("ravelin.kubeconfig")
    }

    /// A call of a kubectl, not started yet.
    pub fn command(&self, kubectl: &Kubectl, arguments: &[&str]) -> Command {
        let mut command = Command::new(&kubectl.program);
        command.args(arguments).current_dir(&self.folder);
        // A cache of its own: what one cluster has says nothing of the next.
        command.env("KUBECONFIG", self.kubeconfig()).env("HOME", &self.folder);
        command
    }

    /// What a call of this kubectl comes to.
    ///
    /// # Panics
    /// Where it does not end in time.
    pub fn kubectl_of(&self, kubectl: &Kubectl, arguments: &[&str]) -> Output {
        finished(self.command(kubectl, arguments).stdin(Stdio::null()), b"")
    }

    /// What a call of this kubectl comes to that reads `input`.
    ///
    /// # Panics
    /// Where it does not end in time.
    pub fn kubectl_reading(&self, kubectl: &Kubectl, arguments: &[&str], input: &[u8]) -> Output {
        finished(self.command(kubectl, arguments).stdin(Stdio::piped()), input)
    }

    /// Sends it a signal, such as `INT`, and waits for its end.
    ///
    /// # Panics
    /// Where it does not end in time.
    pub fn stop(mut self, signal: &str) -> Ended {
        kill(self.child.id(), signal);
        let deadline = watch(self.child.id());
        let status = self.child.wait().expect("it was started");
        drop(deadline);
        Ended { status, messages: self.messages() }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Where it has ended already, there is nothing to kill; a folder that stays does no harm.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Runs a command to its end, within [`PATIENCE`].
///
/// # Panics
/// Where it cannot be started.
pub fn finished(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let _deadline = watch(child.id());
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_vec();
        std::thread::spawn(move || {
            // Who does not read it all says so by its status.
            let _ = stdin.write_all(&input);
        });
    }
    child.wait_with_output().expect("it was started")
}

/// Kills a process that lasts too long, unless what is returned is dropped before.
fn watch(id: u32) -> mpsc::Sender<()> {
    let (done, waited) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if waited.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            kill(id, "KILL");
        }
    });
    done
}

fn kill(id: u32, signal: &str) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &id.to_string()]).status();
    assert!(sent.is_ok_and(|sent| sent.success()), "{signal} could not be sent to {id}");
}
