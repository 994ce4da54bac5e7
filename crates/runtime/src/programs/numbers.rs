//! Programs that make much out of little, and little out of much.

use super::text::{copy, count};
use super::{inputs, open_input};
use crate::process::{Output, Process, Sink};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::io;

const PIECE_BYTES: usize = 32 * 1024;

pub(super) async fn yes(process: &Process, words: &[String]) -> io::Result<i32> {
    let line = if words.is_empty() { "y\n".to_owned() } else { format!("{}\n", words.join(" ")) };
    let piece = line.repeat((PIECE_BYTES / line.len()).max(1));
    loop {
        process.print(&piece).await?;
    }
}

/// `seq [FIRST [STEP]] LAST`, with whole numbers.
pub(super) async fn seq(process: &Process, arguments: &[String]) -> io::Result<i32> {
    let numbers: Option<Vec<i64>> = arguments.iter().map(|text| text.parse().ok()).collect();
    let (first, step, last) = match numbers.as_deref() {
        Some([last]) => (1, 1, *last),
        Some([first, last]) => (*first, 1, *last),
        Some([first, step, last]) if *step != 0 => (*first, *step, *last),
        _ => return process.complain("usage: seq [FIRST [STEP]] LAST").await,
    };
    let mut piece = String::new();
    let mut next = Some(first);
    while let Some(number) = next.filter(|number| if step > 0 { *number <= last } else { *number >= last }) {
        let _ = writeln!(piece, "{number}");
        if piece.len() >= PIECE_BYTES {
            process.print(&piece).await?;
            piece.clear();
        }
        next = number.checked_add(step);
    }
    process.print(&piece).await.map(|()| 0)
}

/// `dd` with `if`, `of`, `bs` and `count`.
pub(super) async fn dd(process: &Process, arguments: &[String]) -> io::Result<i32> {
    let (mut input, mut output) = (process.streams.stdin.clone(), process.streams.stdout.clone());
    let (mut block, mut blocks, mut is_quiet) = (512, None, false);
    for argument in arguments {
        let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
        match (name, count(value)) {
            ("bs", Some(bytes)) if bytes > 0 => block = bytes,
            ("count", Some(number)) => blocks = Some(number),
            ("status", _) => is_quiet = value == "none",
            ("if", _) => match open_input(process, &process.path(value)) {
                Ok(opened) => input = opened,
                Err(error) => return process.complain(format!("dd: can't open '{value}': {error}")).await,
            },
            ("of", _) if process.path(value) == "/dev/null" => output = Output::new(Sink::Nowhere),
            ("of", _) => match process.around.files.open(&process.path(value), false) {
                Ok(file) => output = Output::new(Sink::File(file)),
                Err(error) => return process.complain(format!("dd: can't open '{value}': {error}")).await,
            },
            _ => return process.complain(format!("dd: invalid argument '{argument}'")).await,
        }
    }
    let most = blocks.map_or(u64::MAX, |blocks| blocks.saturating_mul(block));
    let passed = copy(&input, &output, most).await?;
    if !is_quiet {
        let (whole, part) = (passed / block, u64::from(passed % block > 0));
        let report =
            format!("{whole}+{part} records in\n{whole}+{part} records out\n{passed} bytes copied\n");
        process.streams.stderr.write(report.as_bytes()).await?;
    }
    Ok(0)
}

pub(super) async fn sha256sum(process: &Process, names: &[String]) -> io::Result<i32> {
    let (opened, status) = inputs(process, ("sha256sum", names)).await?;
    for (name, input) in opened {
        let mut hash = Sha256::new();
        loop {
            let piece = input.read(PIECE_BYTES).await?;
            if piece.is_empty() {
                break;
            }
            hash.update(&piece);
        }
        let sum = hash.finalize().iter().fold(String::new(), |mut sum, byte| {
            let _ = write!(sum, "{byte:02x}");
            sum
        });
        process.print(format!("{sum}  {name}\n")).await?;
    }
    Ok(status)
}
