//! Programs that pass text on.

use super::inputs;
use crate::process::{Input, Output, Process, Sink};
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

const PIECE_BYTES: usize = 32 * 1024;

/// `tail` keeps so much of what it may have to show.
const MAX_TAIL_BYTES: u64 = 16 * 1024 * 1024;

/// How often `tail -f` looks.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);

pub(super) async fn cat(process: &Process, names: &[String]) -> io::Result<i32> {
    let names: Vec<String> =
        names.iter().filter(|name| *name == "-" || !name.starts_with('-')).cloned().collect();
    // One after the other: what an early one wrote is out when a later one is missing.
    let mut status = 0;
    let all = if names.is_empty() { vec!["-".to_owned()] } else { names };
    for name in all {
        let (opened, failed) = inputs(process, ("cat", std::slice::from_ref(&name))).await?;
        status |= failed;
        for (_, input) in opened {
            copy(&input, &process.streams.stdout, u64::MAX).await?;
        }
    }
    Ok(status)
}

/// Passes on at most so many bytes; gives how many there were.
pub(super) async fn copy(from: &Input, to: &Output, most: u64) -> io::Result<u64> {
    let mut passed = 0;
    while passed < most {
        let wanted = usize::try_from(most - passed).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let piece = from.read(wanted).await?;
        if piece.is_empty() {
            break;
        }
        to.write(&piece).await?;
        passed += piece.len() as u64;
    }
    Ok(passed)
}

pub(super) async fn echo(process: &Process, words: &[String]) -> io::Result<i32> {
    let options = words.iter().take_while(|word| {
        word.len() > 1 && word.starts_with('-') && word.chars().skip(1).all(|letter| "neE".contains(letter))
    });
    let count = options.clone().count();
    let has = |letter: char| options.clone().any(|word| word.contains(letter));
    let text = words[count..].join(" ");
    let mut text = if has('e') { unescaped(&text) } else { text };
    if !has('n') {
        text.push('\n');
    }
    process.print(text).await.map(|()| 0)
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('a') => out.push('\x07'),
            Some('b') => out.push('\x08'),
            Some('e') => out.push('\x1b'),
            Some('\\') => out.push('\\'),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

/// `printf` with `%s`, `%d`, `%b` and `%%`; the format is used again while arguments are left.
pub(super) async fn printf(process: &Process, arguments: &[String]) -> io::Result<i32> {
    let Some((format, mut values)) = arguments.split_first() else {
        return process.complain("usage: printf FORMAT [ARG]...").await;
    };
    let format = unescaped(format);
    loop {
        let before = values.len();
        let mut out = String::new();
        let mut letters = format.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                out.push(letter);
                continue;
            }
            let mut take = || {
                let (first, rest) = values.split_first()?;
                values = rest;
                Some(first.clone())
            };
            match letters.next() {
                Some('s') => out.push_str(&take().unwrap_or_default()),
                Some('b') => out.push_str(&unescaped(&take().unwrap_or_default())),
                Some('d' | 'i' | 'u') => {
                    let number: i64 = take().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
                    out.push_str(&number.to_string());
                }
                Some('%') | None => out.push('%'),
                Some(other) => {
                    return process.complain(format!("printf: %{other}: invalid format")).await;
                }
            }
        }
        process.print(out).await?;
        if values.is_empty() || values.len() == before {
            return Ok(0);
        }
    }
}

/// How much `head` and `tail` are asked for.
struct Part {
    count: u64,
    is_bytes: bool,
    /// `+N`: from there on, rather than so much.
    is_from: bool,
    follows: bool,
    names: Vec<String>,
}

impl Part {
    fn read(arguments: &[String]) -> Option<Self> {
        let mut part = Self { count: 10, is_bytes: false, is_from: false, follows: false, names: Vec::new() };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let Some(option) = argument.strip_prefix('-').filter(|option| !option.is_empty()) else {
                part.names.push(argument.clone());
                continue;
            };
            let value = match option.chars().next()? {
                'f' | 'F' => {
                    part.follows = true;
                    continue;
                }
                'q' | 'v' => continue,
                '0'..='9' => option,
                letter @ ('n' | 'c') => {
                    part.is_bytes = letter == 'c';
                    match &option[1..] {
                        "" => rest.next()?,
                        attached => attached,
                    }
                }
                _ => return None,
            };
            part.is_from = value.starts_with('+');
            part.count = count(value.trim_start_matches(['+', '-']))?;
        }
        Some(part)
    }
}

/// A number with a unit, as `10k`.
pub(super) fn count(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let unit: u64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "c" => 1,
        "b" => 512,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

pub(super) async fn head(process: &Process, arguments: &[String]) -> io::Result<i32> {
    let Some(part) = Part::read(arguments) else {
        return process.complain("usage: head [-n LINES | -c BYTES] [FILE]...").await;
    };
    let (opened, status) = inputs(process, ("head", &part.names)).await?;
    for (_, input) in opened {
        if part.is_bytes {
            copy(&input, &process.streams.stdout, part.count).await?;
            continue;
        }
        for _ in 0..part.count {
            let Some(line) = input.line().await? else { break };
            process.print(&line).await?;
        }
    }
    Ok(status)
}

pub(super) async fn tail(process: &Process, arguments: &[String]) -> io::Result<i32> {
    let Some(part) = Part::read(arguments) else {
        return process.complain("usage: tail [-f] [-n [+]LINES | -c [+]BYTES] [FILE]...").await;
    };
    let (opened, status) = inputs(process, ("tail", &part.names)).await?;
    for (_, input) in &opened {
        tail_of(process, input, &part).await?;
    }
    if !part.follows {
        return Ok(status);
    }
    match part.names.last().map(|name| process.path(name)) {
        Some(path) if !path.starts_with("/dev/") => follow(process, &path).await,
        _ => std::future::pending().await,
    }
}

async fn tail_of(process: &Process, input: &Input, part: &Part) -> io::Result<()> {
    if part.is_from && part.is_bytes {
        let mut skip = part.count.saturating_sub(1);
        while skip > 0 {
            let skipped = input.read(usize::try_from(skip).unwrap_or(usize::MAX).min(PIECE_BYTES)).await?;
            if skipped.is_empty() {
                return Ok(());
            }
            skip -= skipped.len() as u64;
        }
        return copy(input, &process.streams.stdout, u64::MAX).await.map(|_| ());
    }
    if part.is_from {
        for _ in 1..part.count {
            if input.line().await?.is_none() {
                return Ok(());
            }
        }
        return copy(input, &process.streams.stdout, u64::MAX).await.map(|_| ());
    }
    let mut kept = VecDeque::new();
    let (mut lines, mut bytes) = (0_u64, 0);
    while let Some(line) = if part.is_bytes { piece(input).await? } else { input.line().await? } {
        // Empty lines take room as well.
        let held = |lines: u64, bytes: usize| lines * size_of::<bytes::Bytes>() as u64 + bytes as u64;
        lines += 1;
        bytes += line.len();
        kept.push_back(line);
        let is_more = |lines: u64, bytes: usize, first: usize| {
            let is_enough =
                if part.is_bytes { (bytes - first) as u64 >= part.count } else { lines > part.count };
            is_enough || held(lines, bytes) > MAX_TAIL_BYTES
        };
        while kept.front().is_some_and(|first| is_more(lines, bytes, first.len())) {
            let Some(first) = kept.pop_front() else { break };
            lines -= 1;
            bytes -= first.len();
        }
    }
    let mut extra = match part.is_bytes {
        true => bytes.saturating_sub(usize::try_from(part.count).unwrap_or(usize::MAX)),
        false => 0,
    };
    for line in kept {
        let skipped = extra.min(line.len());
        extra -= skipped;
        process.print(&line[skipped..]).await?;
    }
    Ok(())
}

async fn piece(input: &Input) -> io::Result<Option<bytes::Bytes>> {
    let piece = input.read(PIECE_BYTES).await?;
    Ok(Some(piece).filter(|piece| !piece.is_empty()))
}

/// Shows what is added to a file, for ever.
async fn follow(process: &Process, path: &str) -> io::Result<i32> {
    let files = &process.around.files;
    let mut shown = files.meta(path).map_or(0, |meta| meta.bytes);
    loop {
        tokio::time::sleep(FOLLOW_INTERVAL).await;
        let Some(meta) = files.meta(path).filter(|meta| meta.bytes != shown) else { continue };
        if meta.bytes > shown {
            let content = files.read(path).unwrap_or_default();
            process.print(&content[shown.min(content.len())..]).await?;
        }
        shown = meta.bytes;
    }
}

pub(super) async fn tee(process: &Process, arguments: &[String]) -> io::Result<i32> {
    let at_end = arguments.iter().any(|argument| argument == "-a");
    let (mut outputs, mut status) = (vec![process.streams.stdout.clone()], 0);
    for name in arguments.iter().filter(|name| !name.starts_with('-')) {
        let path = process.path(name);
        if path == "/dev/null" {
            continue;
        }
        match process.around.files.open(&path, at_end) {
            Ok(file) => outputs.push(Output::new(Sink::File(file))),
            Err(error) => status = process.complain(format!("tee: {name}: {error}")).await?,
        }
    }
    while let Some(piece) = piece(&process.streams.stdin).await? {
        for output in &outputs {
            output.write(&piece).await?;
        }
    }
    Ok(status)
}

pub(super) async fn wc(process: &Process, arguments: &[String]) -> io::Result<i32> {
    let (options, names): (Vec<_>, Vec<_>) =
        arguments.iter().cloned().partition(|argument| argument.len() > 1 && argument.starts_with('-'));
    let has = |letter: char| options.iter().any(|option| option.contains(letter));
    let all = options.is_empty();
    let (opened, status) = inputs(process, ("wc", &names)).await?;
    for (name, input) in opened {
        let (mut lines, mut words, mut bytes, mut in_word) = (0_u64, 0_u64, 0_u64, false);
        while let Some(piece) = piece(&input).await? {
            bytes += piece.len() as u64;
            for byte in &piece {
                lines += u64::from(*byte == b'\n');
                let is_blank = byte.is_ascii_whitespace();
                words += u64::from(!is_blank && !in_word);
                in_word = !is_blank;
            }
        }
        let wanted = [(has('l'), lines), (has('w'), words), (has('c'), bytes)];
        let shown: Vec<u64> = wanted.into_iter().filter(|(asked, _)| all || *asked).map(|(_, n)| n).collect();
        let mut line = match shown[..] {
            [one] => one.to_string(),
            _ => shown.iter().map(|number| format!("{number:>9}")).collect::<String>(),
        };
        if name != "-" {
            line = format!("{line} {name}");
        }
        process.print(format!("{line}\n")).await?;
    }
    Ok(status)
}
