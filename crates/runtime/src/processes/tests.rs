//! Containers that are programs, with programs in memory: what they are started with, what becomes of
//! what they write, how they end. Real programs are in the tests of the whole.

use super::*;
use crate::{ContainerState, MAX_LOG_BYTES};
use futures_util::StreamExt;
use ravelin_host::memory::Network;
use ravelin_host::program::{NotStarted, Program, Running, Started};
use ravelin_host::{Disk, HostRef, MemoryDisk};
use serde_json::{Value, json};
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Programs in memory: `echo WORD…`, `cat`, `exit CODE`, `stay` until it is killed, `polite` until it is
/// told to end, `lines COUNT`.
struct Fakes {
    host: HostRef,
    disk: MemoryDisk,
    started: Mutex<Vec<Program>>,
    signals: Arc<Mutex<Vec<String>>>,
    renamed: Mutex<Vec<(String, String)>>,
    removed: Mutex<Vec<String>>,
}

struct Fake {
    name: String,
    end: watch::Sender<Option<i32>>,
    signals: Arc<Mutex<Vec<String>>>,
}

impl Running for Fake {
    fn signal(&self, signal: Signal) {
        if self.end.borrow().is_some() {
            return;
        }
        self.signals.lock().unwrap().push(format!("{} {signal:?}", self.name));
        match signal {
            Signal::Kill => self.end.send_replace(Some(137)),
            Signal::Terminate if self.name == "polite" => self.end.send_replace(Some(0)),
            Signal::Terminate => None,
        };
    }

    fn resize(&self, columns: u16, rows: u16) {
        self.signals.lock().unwrap().push(format!("{} {columns}x{rows}", self.name));
    }

    fn end(&self) -> watch::Receiver<Option<i32>> {
        self.end.subscribe()
    }
}

#[async_trait]
impl Programs for Fakes {
    fn disk(&self) -> &dyn Disk {
        &self.disk
    }

    fn folder(&self, name: &str) -> io::Result<String> {
        match name.contains("..") {
            true => Err(io::ErrorKind::InvalidInput.into()),
            false => Ok(format!("/folder/{name}")),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.renamed.lock().unwrap().push((from.to_owned(), to.to_owned()));
        let content = self.disk.read(from).ok_or(io::ErrorKind::NotFound)?;
        self.disk.write(to, &content)?;
        self.disk.remove(from)
    }

    fn remove_folder(&self, name: &str) -> io::Result<()> {
        self.removed.lock().unwrap().push(name.to_owned());
        Ok(())
    }

    fn start(&self, program: &Program) -> Result<Started, NotStarted> {
        let name = program.argv[0].clone();
        if !["echo", "cat", "exit", "stay", "polite", "lines"].contains(&name.as_str()) {
            return Err(NotStarted::NotInPath);
        }
        self.started.lock().unwrap().push(program.clone());
        let (stdin, typed) = tokio::io::duplex(1024);
        let (stdout, screen) = tokio::io::duplex(1024);
        let end = watch::Sender::new(None);
        let running = Fake { name, end: end.clone(), signals: Arc::clone(&self.signals) };
        let work = work(program.argv.clone(), (typed, screen), end);
        self.host.spawn("program", Box::pin(work)).detach();
        let stdin = program.stdin.then(|| Box::new(stdin) as _);
        Ok(Started { stdin, stdout: Box::new(stdout), stderr: None, running: Box::new(running) })
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<BoxedStream> {
        if to.port() == 81 || !to.ip().to_string().starts_with("127.244.") {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let told = format!("you reached {to}");
        let tell = async move {
            let _ = theirs.write_all(told.as_bytes()).await;
        };
        self.host.spawn("server", Box::pin(tell)).detach();
        Ok(Box::new(ours))
    }
}

async fn work(
    argv: Vec<String>,
    (mut typed, mut screen): (DuplexStream, DuplexStream),
    end: watch::Sender<Option<i32>>,
) {
    let mut code = 0;
    match argv[0].as_str() {
        "echo" => screen.write_all((argv[1..].join(" ") + "\n").as_bytes()).await.unwrap(),
        "cat" => drop(tokio::io::copy(&mut typed, &mut screen).await),
        "exit" => code = argv[1].parse().unwrap(),
        "lines" => {
            let line = "x".repeat(1000) + "\n";
            for _ in 0..argv[1].parse().unwrap() {
                screen.write_all(line.as_bytes()).await.unwrap();
            }
        }
        _ => drop(end.subscribe().wait_for(Option::is_some).await),
    }
    end.send_if_modified(|end| {
        let first = end.is_none();
        end.get_or_insert(code);
        first
    });
}

struct Stage {
    runtime: Processes,
    programs: Arc<Fakes>,
    network: Network,
    host: HostRef,
}

impl Stage {
    fn new() -> Self {
        let network = Network::new();
        let host = network.host("pod-1", [10, 244, 1, 2]);
        let programs = Arc::new(Fakes {
            host: host.clone(),
            disk: MemoryDisk::default(),
            started: Mutex::default(),
            signals: Arc::default(),
            renamed: Mutex::default(),
            removed: Mutex::default(),
        });
        let runtime = Processes::new(Arc::default(), Arc::clone(&programs) as Arc<dyn Programs>);
        Self { runtime, programs, network, host }
    }

    fn sandbox(&self, container: Value) -> Sandbox {
        let mut whole = json!({"name": "c", "image": "busybox", "env": [{"name": "COLOUR", "value": "red"}]});
        whole.as_object_mut().unwrap().extend(container.as_object().cloned().unwrap());
        let pod = json!({
            "metadata": {"namespace": "ns", "name": "web", "uid": "u"}, "spec": {"containers": [whole]},
        });
        Sandbox {
            pod: PodView::parse(&pod).unwrap(),
            host: self.host.clone(),
            root: String::new(),
            files: BTreeMap::from([("/run/secrets/token".to_owned(), b"its token".to_vec())]),
            env: BTreeMap::from([("SERVICE".to_owned(), "10.96.0.1".to_owned())]),
        }
    }

    async fn run(container: Value) -> Self {
        let stage = Self::new();
        stage.runtime.run_pod(stage.sandbox(container)).await.unwrap();
        stage
    }

    async fn state(&self) -> ContainerState {
        self.runtime.status("u").await.unwrap().containers.remove("c").unwrap()
    }

    /// Waits for the main process's end.
    async fn ended(&self) -> i32 {
        let mut changes = self.runtime.changes();
        loop {
            if let ContainerState::Terminated(end) = self.state().await {
                return end.exit_code;
            }
            changes.changed().await.unwrap();
        }
    }

    async fn log(&self, options: LogOptions) -> Result<String, RuntimeError> {
        let mut pieces = self.runtime.logs("u", "c", &options).await?;
        let mut whole = Vec::new();
        while let Some(piece) = pieces.next().await {
            whole.extend_from_slice(&piece.unwrap());
        }
        Ok(String::from_utf8(whole).unwrap())
    }

    fn file(&self, name: &str) -> String {
        String::from_utf8(self.programs.disk.read(name).unwrap_or_default()).unwrap()
    }

    fn signals(&self) -> Vec<String> {
        self.programs.signals.lock().unwrap().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_container_is_its_command_in_a_folder_of_its_own() {
    let command = json!({"command": ["echo"], "args": ["$(COLOUR)", "$$(COLOUR)"], "workingDir": "/app"});
    let stage = Stage::run(command).await;
    assert_eq!(stage.ended().await, 0);
    let program = stage.programs.started.lock().unwrap()[0].clone();
    assert_eq!(program.argv, ["echo", "red", "$(COLOUR)"]);
    assert_eq!(program.directory, "/folder/pods/u/c//app");
    let has = |name: &str| program.env.get(name).map(String::as_str);
    assert_eq!(
        (has("SERVICE"), has("HOSTNAME"), has("HOME")),
        (Some("10.96.0.1"), Some("web"), Some("/folder/pods/u/c"))
    );
    assert_eq!(has("RAVELIN_POD_ADDRESS"), Some("127.244.1.2"));
    assert!(!program.stdin && !program.terminal);
    assert_eq!(stage.file("pods/u/c//run/secrets/token"), "its token");
    assert_eq!(stage.log(LogOptions::default()).await.unwrap(), "red $(COLOUR)\n");
    let line = stage.file("logs/pods/ns_web_u/c/0.log");
    assert!(line.ends_with("Z stdout F red $(COLOUR)\n"), "{line}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_run_says_so_as_containerd_does() {
    let stage = Stage::run(json!({})).await;
    let ContainerState::Waiting { reason, message } = stage.state().await else { panic!() };
    assert_eq!(
        (reason, message.as_str()),
        ("CreateContainerError", "failed to generate spec: no command specified")
    );
    let stage = Stage::run(json!({"command": ["nope"]})).await;
    let ContainerState::Terminated(end) = stage.state().await else { panic!() };
    assert_eq!((end.exit_code, end.reason), (128, "StartError"));
    assert!(
        end.message.ends_with("exec: \"nope\": executable file not found in $PATH: unknown"),
        "{}",
        end.message
    );
    let stage = Stage::run(json!({"command": ["stay"], "workingDir": "../.."})).await;
    assert!(stage.state().await.is_waiting(), "no container gets out of its folder that way");
}

#[tokio::test(start_paused = true)]
async fn a_container_starts_anew_with_its_log_before_it() {
    let stage = Stage::run(json!({"command": ["echo", "hello"]})).await;
    stage.ended().await;
    let previous = LogOptions { previous: true, ..LogOptions::default() };
    assert!(matches!(stage.log(previous.clone()).await, Err(RuntimeError::NoPreviousContainer(_))));
    assert!(stage.runtime.restart("u", "c").await.unwrap().is_running());
    stage.ended().await;
    assert_eq!(stage.log(previous).await.unwrap(), "hello\n");
    assert!(stage.file("logs/pods/ns_web_u/c/1.log").ends_with("F hello\n"));
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_asked_to_end_and_killed_when_it_does_not() {
    for (program, grace, took, code) in [("polite", 30, 0, 0), ("stay", 30, 30, 137)] {
        let stage = Stage::run(json!({"command": [program]})).await;
        let began = tokio::time::Instant::now();
        let grace = Duration::from_secs(grace);
        assert!(!stage.runtime.stop_pod("u", grace).await);
        assert!(!stage.runtime.stop_pod("u", grace).await, "asking again changes nothing");
        assert_eq!(stage.ended().await, code);
        assert!(stage.runtime.stop_pod("u", grace).await);
        assert!(began.elapsed().as_secs().abs_diff(took) <= 1, "{program}: {:?}", began.elapsed());
        assert!(stage.runtime.status("u").await.is_none());
        assert_eq!(*stage.programs.removed.lock().unwrap(), ["pods/u"]);
    }
    let stage = Stage::run(json!({"command": ["stay"]})).await;
    assert!(stage.runtime.stop_pod("u", Duration::ZERO).await);
    assert_eq!(stage.signals(), ["stay Kill"]);
    let stage = Stage::run(json!({"command": ["stay"]})).await;
    let programs = Arc::clone(&stage.programs);
    drop(stage);
    assert_eq!(*programs.signals.lock().unwrap(), ["stay Kill"], "nothing outlives the runtime");
}

#[tokio::test(start_paused = true)]
async fn commands_have_streams_sizes_and_exit_codes() {
    let stage = Stage::run(json!({"command": ["stay"]})).await;
    let (stdin, mut typing) = tokio::io::duplex(64);
    let (stdout, mut shown) = tokio::io::duplex(64);
    let (sizes, resize) = tokio::sync::mpsc::channel(1);
    let io = ProcessIo {
        stdin: Some(Box::new(stdin)),
        stdout: Some(Box::new(stdout)),
        resize: Some(resize),
        ..ProcessIo::default()
    };
    let argv = ["cat".to_owned()];
    let (code, (), text) = tokio::join!(
        stage.runtime.exec("u", "c", &argv, io),
        async {
            sizes.send(ravelin_stream::TerminalSize { width: 80, height: 24 }).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            typing.write_all(b"abc").await.unwrap();
            drop(typing);
        },
        async {
            let mut text = String::new();
            shown.read_to_string(&mut text).await.unwrap();
            text
        },
    );
    assert_eq!((code.unwrap(), text.as_str()), (0, "abc"));
    assert_eq!(stage.signals(), ["cat 80x24"]);
    let failed = stage.runtime.run("u", "c", &["exit".to_owned(), "3".to_owned()]).await.unwrap();
    assert_eq!(failed.exit_code, 3);
    let missing = stage.runtime.run("u", "c", &["nope".to_owned()]).await.unwrap_err().to_string();
    assert!(missing.contains("failed to start exec"), "{missing}");
    assert!(matches!(stage.runtime.run("u", "x", &argv).await, Err(RuntimeError::NoSuchContainer(_))));
}

#[tokio::test(start_paused = true)]
async fn a_command_ends_with_its_container_or_its_caller() {
    let stage = Stage::run(json!({"command": ["polite"]})).await;
    let argv = ["stay".to_owned()];
    let (code, ()) = tokio::join!(stage.runtime.exec("u", "c", &argv, ProcessIo::default()), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stage.runtime.stop_pod("u", Duration::from_secs(9)).await;
    });
    assert_eq!(code.unwrap(), 137);
    let stage = Stage::run(json!({"command": ["stay"]})).await;
    let waited = tokio::time::timeout(
        Duration::from_secs(1),
        stage.runtime.exec("u", "c", &argv, ProcessIo::default()),
    );
    assert!(waited.await.is_err());
    assert!(stage.runtime.status("u").await.unwrap().is_ready(), "the container goes on");
}

#[tokio::test(start_paused = true)]
async fn who_is_attached_sees_and_types() {
    let stage = Stage::run(json!({"command": ["cat"], "stdin": true, "stdinOnce": true})).await;
    let (stdin, mut typing) = tokio::io::duplex(64);
    let (stdout, mut shown) = tokio::io::duplex(64);
    let io =
        ProcessIo { stdin: Some(Box::new(stdin)), stdout: Some(Box::new(stdout)), ..ProcessIo::default() };
    let (attached, text) = tokio::join!(stage.runtime.attach("u", "c", io), async {
        typing.write_all(b"typed\n").await.unwrap();
        drop(typing);
        let mut text = String::new();
        shown.read_to_string(&mut text).await.unwrap();
        text
    });
    attached.unwrap();
    assert_eq!(text, "typed\n");
    assert_eq!(stage.ended().await, 0, "its input ended with who was attached");
}

#[tokio::test(start_paused = true)]
async fn ports_lead_to_the_pods_loopback_address() {
    let stage = Stage::run(json!({"command": ["stay"], "ports": [{"containerPort": 80}]})).await;
    let mut text = String::new();
    let mut stream = stage.runtime.port_forward("u", 8080).await.unwrap();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "you reached 127.244.1.2:8080");
    let refused = stage.runtime.port_forward("u", 81).await.err().unwrap().to_string();
    assert!(
        refused.contains("failed to connect to localhost:81") && refused.contains("refused"),
        "{refused}"
    );
    let client = stage.network.host("client", [10, 244, 0, 9]);
    let mut connection = client.connect(&ravelin_host::Endpoint::tcp([10, 244, 1, 2], 80)).await.unwrap();
    text.clear();
    connection.stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "you reached 127.244.1.2:80");
}

#[tokio::test(start_paused = true)]
async fn log_files_are_rotated_and_the_oldest_removed() {
    let lines = 6 * MAX_LOG_BYTES / 1000;
    let stage = Stage::run(json!({"command": ["lines", lines.to_string()]})).await;
    stage.ended().await;
    let renamed = stage.programs.renamed.lock().unwrap().clone();
    assert_eq!(renamed.len(), 6, "{renamed:?}");
    let sizes: Vec<usize> = renamed.iter().map(|(_, name)| stage.file(name).len()).collect();
    assert_eq!(&sizes[..2], [0, 0], "the oldest are gone");
    assert!(sizes[2..].iter().all(|size| (MAX_LOG_BYTES - 2000..=MAX_LOG_BYTES).contains(size)), "{sizes:?}");
    assert!(!stage.file("logs/pods/ns_web_u/c/0.log").is_empty());
}

#[tokio::test(start_paused = true)]
async fn pods_of_built_in_images_are_built_in() {
    let stage =
        Stage::run(json!({"image": "ravelin.test/shell", "command": ["sh", "-c", "echo built in"]})).await;
    stage.ended().await;
    assert_eq!(stage.log(LogOptions::default()).await.unwrap(), "built in\n");
    assert!(stage.programs.started.lock().unwrap().is_empty());
    assert!(stage.runtime.stop_pod("u", Duration::from_secs(9)).await);
}
