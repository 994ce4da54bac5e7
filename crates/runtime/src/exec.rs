//! A command that is run in a container beside its main process.

use crate::container::{not_started, typing};
use crate::ledger::{Recording, Side};
use crate::process::{Input, Output, Process, Sink, Source, Streams, Surroundings, Terminal};
use crate::programs;
use crate::{BoxedWriter, ProcessIo, RuntimeError, Terminated};
use ravelin_host::HostRef;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc, watch};

/// What a command ends with that was interrupted, and one that was killed.
const INTERRUPTED: i32 = 128 + 2;
const KILLED: i32 = 128 + 9;

/// A command that is about to run.
pub(crate) struct Command {
    pub(crate) around: Arc<Surroundings>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) directory: String,
    pub(crate) argv: Vec<String>,
    pub(crate) recording: Recording,
    /// The end of its container is its own.
    pub(crate) container: watch::Receiver<Option<Terminated>>,
}

/// What is beside a command that has a terminal.
struct Attended {
    terminal: Arc<Terminal>,
    keys: Option<Input>,
    sizes: Option<mpsc::Receiver<ravelin_stream::TerminalSize>>,
}

impl Command {
    /// Runs it to its end.
    ///
    /// # Errors
    /// Where there is no such program.
    pub(crate) async fn run(mut self, io: ProcessIo) -> Result<i32, RuntimeError> {
        let recording = self.recording.clone();
        let (streams, attended) = self.streams(io);
        if attended.is_some() {
            self.env.insert("TERM".to_owned(), "xterm".to_owned());
        }
        let outputs = [streams.stdout.clone(), streams.stderr.clone()];
        let terminal = attended.as_ref().map(|attended| Arc::clone(&attended.terminal));
        let Self { around, env, directory, argv, mut container, .. } = self;
        let process = Process { around, env, directory, streams, terminal, depth: 0, family: Arc::default() };
        let program = argv.first().map_or("", String::as_str);
        if let Err(missing) = programs::find(&process, program) {
            recording.ended(missing.status());
            for output in outputs {
                output.close().await;
            }
            return Err(not_executed(&process.around.host, &not_started(program, missing)));
        }
        let exit_code = tokio::select! {
            biased;
            _ = container.wait_for(Option::is_some) => KILLED,
            exit_code = attend(process, argv, attended) => exit_code,
        };
        for output in outputs {
            output.close().await;
        }
        recording.ended(exit_code);
        Ok(exit_code)
    }

    fn streams(&self, io: ProcessIo) -> (Streams, Option<Attended>) {
        let recorded = |writer: Option<BoxedWriter>, side| {
            Output::new(match writer {
                Some(writer) => Sink::Recorded(Mutex::new(writer), self.recording.clone(), side),
                None => Sink::Unheard(self.recording.clone(), side),
            })
        };
        let keys = io.stdin.map(|reader| Input::new(Source::Recorded(reader, self.recording.clone())));
        let stdout = recorded(io.stdout, Side::Stdout);
        if !io.tty {
            let stdin = keys.unwrap_or_else(|| Input::new(Source::Nothing));
            let stderr = recorded(io.stderr, Side::Stderr);
            return (Streams { stdin, stdout, stderr }, None);
        }
        let screen = Output::new(Sink::Terminal(stdout));
        let (terminal, typed) = Terminal::new(screen.clone());
        let stdin = Input::new(Source::Terminal(typed));
        let attended = Attended { terminal: Arc::new(terminal), keys, sizes: io.resize };
        (Streams { stdin, stdout: screen.clone(), stderr: screen }, Some(attended))
    }
}

/// Runs a command, with its terminal where it has one.
async fn attend(process: Process, argv: Vec<String>, attended: Option<Attended>) -> i32 {
    let Some(Attended { terminal, keys, sizes }) = attended else {
        return programs::run(process, argv).await;
    };
    let handles_interrupts = is_interactive_shell(&argv);
    let interrupted = async {
        if handles_interrupts {
            std::future::pending::<()>().await;
        }
        terminal.interrupted().await;
    };
    tokio::select! {
        biased;
        () = terminal.follow_sizes(sizes) => KILLED,
        () = interrupted => INTERRUPTED,
        () = typing(&terminal, keys.as_ref()) => KILLED,
        exit_code = programs::run(process, argv) => exit_code,
    }
}

fn is_interactive_shell(argv: &[String]) -> bool {
    let (program, arguments) =
        argv.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    matches!(program.rsplit('/').next(), Some("sh" | "ash"))
        && arguments.iter().all(|argument| argument.starts_with('-') && !argument.contains('c'))
}

/// What containerd says of a command that was not started.
pub(crate) fn not_executed(host: &HostRef, why: &str) -> RuntimeError {
    let id = id(host);
    RuntimeError::CommandNotStarted(format!(
        "failed to exec in container: failed to start exec \"{id}\": OCI runtime exec failed: exec failed: \
         unable to start container process: {why}"
    ))
}

/// What containerd calls a command: 64 hexadecimal digits.
fn id(host: &HostRef) -> String {
    let random = host.entropy("exec").bytes::<32>();
    random.iter().fold(String::new(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    })
}
