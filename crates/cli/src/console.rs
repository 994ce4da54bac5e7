//! The process's surroundings: its streams, its environment, its terminal.

use std::io::{IsTerminal, Read, Write};

/// Where input comes from and output goes to.
pub(crate) struct Console<'a> {
    /// Standard input.
    pub(crate) input: Box<dyn Read + 'a>,
    /// Standard output.
    pub(crate) output: Box<dyn Write + 'a>,
    /// Standard error.
    pub(crate) messages: Box<dyn Write + 'a>,
    /// Columns of the terminal that shows standard output.
    pub(crate) width: usize,
    /// May standard output have colour?
    pub(crate) colour: bool,
    /// Is somebody watching standard error?
    pub(crate) watched: bool,
    /// The source that this binary was built from, as `cargo xtask` knows it.
    pub(crate) commit: String,
}

/// Columns where there is no terminal to ask, such as in a log of continuous integration.
const WIDTH_WITHOUT_TERMINAL: usize = 120;

impl Console<'static> {
    /// The real one.
    pub(crate) fn of_this_process() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let columns =
            terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0));
        Self {
            input: Box::new(std::io::stdin()),
            output: Box::new(std::io::stdout()),
            messages: Box::new(std::io::stderr()),
            width: columns.unwrap_or(WIDTH_WITHOUT_TERMINAL),
            // https://no-color.org: set and not empty means none.
            colour: terminal && variable("NO_COLOR").is_none() && variable("TERM").as_deref() != Some("dumb"),
            watched: std::io::stderr().is_terminal(),
            commit: variable("RAVELIN_COMMIT").unwrap_or_else(|| "unknown".to_owned()),
        }
    }
}

impl Console<'_> {
    /// Writes a line to standard error; that nobody reads it is no failure.
    pub(crate) fn say(&mut self, line: &str) {
        let _ = writeln!(self.messages, "{line}");
    }
}

/// An environment variable that is set to something.
fn variable(name: &str) -> Option<String> {
    #[allow(clippy::disallowed_methods, reason = "the command line is where the environment is read")]
    let value = std::env::var(name).ok();
    value.filter(|value| !value.is_empty())
}
