//! Programs that say where they are and what surrounds them.

use crate::process::Process;
use jiff::tz::TimeZone;
use std::fmt::Write;
use std::io;
use std::time::Duration;

pub(super) async fn run(name: &str, process: &Process, arguments: &[String]) -> io::Result<i32> {
    let around = &process.around;
    let text = match name {
        "hostname" => match arguments.first().map(String::as_str) {
            Some("-i") => {
                let addresses: Vec<String> =
                    around.host.addresses().iter().map(ToString::to_string).collect();
                addresses.join(" ")
            }
            _ => around.hostname().to_owned(),
        },
        "id" => match arguments.first().map(String::as_str) {
            Some("-u" | "-g") => "0".to_owned(),
            Some("-un" | "-gn") => "root".to_owned(),
            _ => "uid=0(root) gid=0(root) groups=0(root)".to_owned(),
        },
        "whoami" => "root".to_owned(),
        "nproc" => "1".to_owned(),
        "uname" => match arguments.first().map(String::as_str) {
            Some("-a") => format!("Linux {} 0.0.0 ravelin Linux", around.hostname()),
            Some("-n") => around.hostname().to_owned(),
            _ => "Linux".to_owned(),
        },
        "uptime" | "date" => return date(process, name, arguments).await,
        "ps" => processes(process),
        "printenv" => return printenv(process, arguments).await,
        "tty" => match &process.terminal {
            Some(_) => "/dev/pts/0".to_owned(),
            None => {
                process.print("not a tty\n").await?;
                return Ok(1);
            }
        },
        "stty" => return stty(process, arguments).await,
        "sleep" => return sleep(process, arguments).await,
        name => return process.complain(format!("{name}: not found")).await.map(|_| 127),
    };
    process.print(format!("{text}\n")).await.map(|()| 0)
}

fn processes(process: &Process) -> String {
    let mut lines = String::from("PID   USER     TIME  COMMAND");
    let _ = write!(lines, "\n    1 root      0:00 {}", process.around.command);
    let _ = write!(lines, "\n    2 root      0:00 ps");
    lines
}

async fn date(process: &Process, name: &str, arguments: &[String]) -> io::Result<i32> {
    let now = process.around.host.now().to_zoned(TimeZone::UTC);
    if name == "uptime" {
        return process.print(format!(" {}\n", now.strftime("%H:%M:%S"))).await.map(|()| 0);
    }
    let format = arguments.iter().find_map(|argument| argument.strip_prefix('+'));
    let is_iso = arguments.iter().any(|argument| argument == "-Is" || argument == "-Iseconds");
    let usual = if is_iso { "%Y-%m-%dT%H:%M:%S+00:00" } else { "%a %b %e %H:%M:%S UTC %Y" };
    match jiff::fmt::strtime::format(format.unwrap_or(usual), &now) {
        Ok(text) => process.print(format!("{text}\n")).await.map(|()| 0),
        Err(_) => process.complain("date: invalid format").await,
    }
}

/// `env [NAME=value]… [COMMAND …]`.
pub(super) async fn env(mut process: Process, arguments: &[String]) -> io::Result<i32> {
    let mut rest = arguments;
    while let Some((first, after)) = rest.split_first() {
        match first.split_once('=') {
            _ if first == "-i" => process.env.clear(),
            Some((name, value)) => {
                process.env.insert(name.to_owned(), value.to_owned());
            }
            None => break,
        }
        rest = after;
    }
    if let Some(program) = rest.first() {
        return match super::find(&process, program) {
            Ok(_) => Ok(super::run(process, rest.to_vec()).await),
            Err(missing) => {
                process.complain(format!("env: can't execute '{program}': {}", missing.text())).await?;
                Ok(missing.status())
            }
        };
    }
    for (name, value) in &process.env {
        process.print(format!("{name}={value}\n")).await?;
    }
    Ok(0)
}

async fn printenv(process: &Process, names: &[String]) -> io::Result<i32> {
    if names.is_empty() {
        for (name, value) in &process.env {
            process.print(format!("{name}={value}\n")).await?;
        }
    }
    let mut status = 0;
    for name in names {
        match process.env.get(name) {
            Some(value) => process.print(format!("{value}\n")).await?,
            None => status = 1,
        }
    }
    Ok(status)
}

async fn stty(process: &Process, arguments: &[String]) -> io::Result<i32> {
    let Some(terminal) = &process.terminal else {
        return process.complain("stty: standard input: Not a tty").await;
    };
    let size = terminal.size();
    match arguments.first().map(String::as_str) {
        Some("size") => process.print(format!("{} {}\n", size.height, size.width)).await.map(|()| 0),
        None | Some("-a") => {
            let text = format!("speed 38400 baud; rows {}; columns {}; line = 0;\n", size.height, size.width);
            process.print(text).await.map(|()| 0)
        }
        Some(other) => process.complain(format!("stty: invalid argument '{other}'")).await,
    }
}

async fn sleep(process: &Process, arguments: &[String]) -> io::Result<i32> {
    if arguments.is_empty() {
        return process.complain("usage: sleep SECONDS").await;
    }
    let mut total = Duration::ZERO;
    for argument in arguments {
        if matches!(argument.as_str(), "inf" | "infinity") {
            return std::future::pending().await;
        }
        let (number, unit) = match argument.chars().last() {
            Some('s') => (&argument[..argument.len() - 1], 1.0),
            Some('m') => (&argument[..argument.len() - 1], 60.0),
            Some('h') => (&argument[..argument.len() - 1], 3600.0),
            Some('d') => (&argument[..argument.len() - 1], 86400.0),
            _ => (argument.as_str(), 1.0),
        };
        let seconds = number.parse::<f64>().ok().map(|number| number * unit);
        let pause = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let Some(pause) = pause else {
            return process.complain(format!("sleep: invalid number '{argument}'")).await;
        };
        total = total.saturating_add(pause);
    }
    // Longer than any timer takes is for ever.
    match tokio::time::Instant::now().checked_add(total).filter(|_| total < Duration::from_secs(1 << 30)) {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
    Ok(0)
}
