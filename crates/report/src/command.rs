//! The command that comes to the same report again.

use ravelin_assess::model::Verdict;

/// A command line of this program, as words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeat(Vec<String>);

impl Repeat {
    /// The command of these words: `ravelin`, `simulate`, its files and those options that decide
    /// what happens.
    pub fn new(words: impl IntoIterator<Item = String>) -> Self {
        Self(words.into_iter().collect())
    }

    /// The command, to be copied into a shell.
    pub fn command(&self) -> String {
        self.with(&[])
    }

    /// The command with these words after it.
    pub fn with(&self, more: &[&str]) -> String {
        let words = self.0.iter().map(String::as_str).chain(more.iter().copied());
        words.map(quoted).collect::<Vec<_>>().join(" ")
    }

    /// The command that tells how a verdict came about.
    pub fn explain(&self, verdict: &Verdict) -> String {
        self.with(&["--explain", &verdict.name()])
    }

    /// The command for one path only.
    pub fn path(&self, path: &str) -> String {
        self.with(&["--path", path])
    }
}

/// A word as a POSIX shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_meant() {
        let words = ["ravelin", "simulate", "my files/a.yaml", "it's", "", "--path", "apiserver-to-*"];
        let repeat = Repeat::new(words.map(str::to_owned));
        assert_eq!(
            repeat.command(),
            r"ravelin simulate 'my files/a.yaml' 'it'\''s' '' --path 'apiserver-to-*'"
        );
        assert!(repeat.with(&["--explain", "a/b@ssh"]).ends_with(" --explain a/b@ssh"));
    }
}
