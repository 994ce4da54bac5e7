//! What is wrong with an input: one error a place, all of them at once.

use serde::Serialize;

/// One thing that is wrong, and what would be right. `Display` is one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ConfigError {
    /// The file; empty if it concerns no single file.
    pub file: String,
    /// The line, counted from 1, if there is one.
    pub line: Option<usize>,
    /// The flag or key.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
    /// What would be accepted; empty if the problem says it already.
    pub accepted: String,
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.file.is_empty() {
            f.write_str(&self.file)?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            f.write_str(": ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)?;
        let hint = ["did you mean ", "it is a flag of "].iter().any(|hint| self.accepted.starts_with(hint));
        if hint {
            write!(f, "; {}", self.accepted)?;
        } else if !self.accepted.is_empty() {
            write!(f, "; accepted: {}", self.accepted)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
