//! `test`, also known as `[`.

use crate::process::Process;
use std::io;

/// How many words an expression may have.
const MAX_WORDS: usize = 1000;

pub(super) async fn test(process: &Process, name: &str, arguments: &[String]) -> io::Result<i32> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let words = match (name, words.split_last()) {
        ("[", Some((&"]", rest))) => rest,
        ("[", _) => return process.complain("[: missing ]").await.map(|_| 2),
        _ => &words[..],
    };
    let holds =
        if words.len() > MAX_WORDS { Err("too many words".to_owned()) } else { either(process, words) };
    match holds {
        Ok(holds) => Ok(i32::from(!holds)),
        Err(text) => process.complain(format!("{name}: {text}")).await.map(|_| 2),
    }
}

fn either(process: &Process, words: &[&str]) -> Result<bool, String> {
    for part in words.split(|word| *word == "-o") {
        let mut all = true;
        for one in part.split(|word| *word == "-a") {
            all &= holds(process, one)?;
        }
        if all {
            return Ok(true);
        }
    }
    Ok(false)
}

fn holds(process: &Process, words: &[&str]) -> Result<bool, String> {
    let meta = |name: &str| process.around.files.meta(&process.path(name));
    let is_device = |name: &str| matches!(name, "/dev/null" | "/dev/zero" | "/dev/random" | "/dev/urandom");
    match *words {
        [] => Ok(false),
        ["!", ref rest @ ..] => holds(process, rest).map(|holds| !holds),
        [word] => Ok(!word.is_empty()),
        ["-n", word] => Ok(!word.is_empty()),
        ["-z", word] => Ok(word.is_empty()),
        ["-d", name] => Ok(meta(name).is_some_and(|meta| meta.is_directory)),
        ["-f", name] => Ok(meta(name).is_some_and(|meta| !meta.is_directory)),
        ["-e" | "-r" | "-w", name] => Ok(is_device(name) || meta(name).is_some()),
        ["-c", name] => Ok(is_device(name)),
        ["-s", name] => Ok(meta(name).is_some_and(|meta| meta.bytes > 0)),
        ["-x", name] => {
            Ok(super::find(process, name).is_ok() || meta(name).is_some_and(|meta| meta.is_directory))
        }
        ["-t", _] => Ok(process.terminal.is_some()),
        ["-L" | "-h" | "-p" | "-S" | "-b", _] => Ok(false),
        [left, "=" | "==", right] => Ok(left == right),
        [left, "!=", right] => Ok(left != right),
        [left, operator, right] => compare(left, operator, right),
        [unknown, ..] => Err(format!("{unknown}: unknown operand")),
    }
}

fn compare(left: &str, operator: &str, right: &str) -> Result<bool, String> {
    let number = |text: &str| text.trim().parse::<i64>().map_err(|_| format!("{text}: bad number"));
    let order = |operator: &str| -> Option<fn(&i64, &i64) -> bool> {
        Some(match operator {
            "-eq" => i64::eq,
            "-ne" => i64::ne,
            "-lt" => i64::lt,
            "-le" => i64::le,
            "-gt" => i64::gt,
            "-ge" => i64::ge,
            _ => return None,
        })
    };
    let order = order(operator).ok_or_else(|| format!("{operator}: unknown operand"))?;
    Ok(order(&number(left)?, &number(right)?))
}
