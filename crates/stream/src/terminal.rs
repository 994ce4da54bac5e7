//! The size of a terminal.

/// How many characters a terminal shows (`remotecommand.TerminalSize`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TerminalSize {
    /// In a line.
    pub width: u16,
    /// Lines.
    pub height: u16,
}
