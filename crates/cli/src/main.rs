//! The `ravelin` binary: reads files, runs, prints.
//!
//! The only place (besides `xtask`) with `anyhow` and environment variables. What is simulated and
//! what it means is decided below, in `assess`.

mod again;
mod args;
mod component;
mod console;
mod files;
mod input;
mod outcome;
mod processes;
mod progress;
mod replay;
mod scenario;
mod seeds;
mod simulate;
mod up;

use args::{Arguments, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(refused) => {
            // Help and version are no errors; clap knows which stream each belongs on.
            let _ = refused.print();
            return if refused.use_stderr() { outcome::Status::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    let console = &mut console::Console::of_this_process();
    let status = match arguments.command {
        Command::Simulate(options) => {
            let engine = |request, progress: &(dyn Fn(ravelin_assess::Progress) + Sync)| {
                ravelin_assess::simulate(request, progress)
            };
            simulate::run(&options, &engine, console)
        }
        Command::Replay(options) => replay::run(&options, console),
        Command::Scenario(options) => scenario::run(&options, console),
        Command::Up(options) => up::run(&options, console),
        Command::Apiserver(options) => component::apiserver(&options, console),
        Command::ControllerManager(options) => component::controller_manager(&options, console),
        Command::Kubelet(options) => component::kubelet(&options, console),
        Command::StartProgram(options) => return processes::start(&options, console),
        Command::Proxy(options) => component::proxy(&options, console),
        Command::TunnelServer(options) => component::tunnel_server(&options, console),
        Command::TunnelAgent(options) => component::tunnel_agent(&options, console),
    };
    status.into()
}
