//! The shape of a source file: its header, its length, and no trace of somebody's machine.

use super::Finding;
use crate::repository::{TextFile, root};

/// The longest a file may be, without its tests.
const MAX_LINES: usize = 600;

/// Module names that say nothing.
const EMPTY_NAMES: [&str; 5] = ["util", "common", "helpers", "misc", "types"];

/// The header, the length and the name of a source file, and tests that nobody runs.
pub fn check(file: &TextFile) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut find =
        |line, rule, text: String| found.push(Finding { file: file.path.clone(), line, rule, text });
    if !file.text.trim_start().starts_with("//!") {
        find(1, "header", "a module begins with `//!`: what it is for and what it leaves to others".into());
    }
    let lines = lines_without_tests(file);
    if lines > MAX_LINES {
        find(0, "length", format!("{lines} lines without tests, at most {MAX_LINES}: a file is one idea"));
    }
    let stem = file.path.rsplit('/').next().and_then(|name| name.strip_suffix(".rs")).unwrap_or_default();
    if EMPTY_NAMES.contains(&stem) {
        find(0, "name", format!("`{stem}` says nothing: name the module for its one idea"));
    }
    for (at, line) in file.text.lines().enumerate() {
        if line.trim_start().starts_with(concat!("#[", "ignore")) {
            find(at + 1, "ignored-test", "a test that nobody runs shows nothing".into());
        }
    }
    found
}

/// Lines before the tests that stand in the same file; files of tests have none that count.
fn lines_without_tests(file: &TextFile) -> usize {
    if file.path.starts_with("tests/") || file.path.ends_with("/tests.rs") || file.path.contains("/tests/") {
        return 0;
    }
    let lines: Vec<&str> = file.text.lines().collect();
    let opens = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {");
    lines.windows(2).position(opens).unwrap_or(lines.len())
}

/// Absolute paths that exist on one machine only: homes, and the folder of this clone.
pub fn machine_paths(file: &TextFile) -> Vec<Finding> {
    let clone = root().display().to_string();
    let homes = [concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/ro", "ot/"), concat!("/wo", "rk/")];
    let mut found = Vec::new();
    for (at, line) in file.text.lines().enumerate() {
        for path in homes.into_iter().chain([clone.as_str()]) {
            // Within a longer path (a URL's, say) it is another thing.
            let own = |(at, _): (usize, &str)| {
                !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}".contains(c))
            };
            if line.match_indices(path).any(own) {
                let text = format!("`{path}` is a path of one machine");
                found.push(Finding { file: file.path.clone(), line: at + 1, rule: "machine-path", text });
                break;
            }
        }
    }
    found
}
