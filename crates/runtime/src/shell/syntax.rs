//! What a script consists of.

/// Commands one after the other.
pub(crate) type List = Vec<AndOr>;

/// Pipelines of which each but the first runs or not by how the one before it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AndOr {
    pub(crate) first: Pipeline,
    /// Each after `&&` (true) or `||` (false).
    pub(crate) rest: Vec<(bool, Pipeline)>,
}

/// Commands of which each reads what the one before it writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pipeline {
    /// Is its outcome turned around (`!`)?
    pub(crate) is_negated: bool,
    /// At least one.
    pub(crate) commands: Vec<Command>,
}

/// One command and where its streams are led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) kind: Kind,
    pub(crate) redirections: Vec<Redirection>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `NAME=value … word …`.
    Simple { assignments: Vec<(String, Word)>, words: Vec<Word> },
    /// `{ …; }`.
    Group(List),
    /// `( … )`.
    Subshell(List),
    /// `if …; then …; elif …; else …; fi`.
    If { branches: Vec<(List, List)>, otherwise: Option<List> },
    /// `while …; do …; done`, or `until`.
    While { is_until: bool, condition: List, body: List },
    /// `for NAME in …; do …; done`.
    For { name: String, words: Vec<Word>, body: List },
}

/// Where a stream is led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redirection {
    /// 0, 1 or 2.
    pub(crate) stream: u8,
    pub(crate) to: Target,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// `<`.
    From(Word),
    /// `>`.
    Into(Word),
    /// `>>`.
    AtEnd(Word),
    /// `>&1`: what another stream leads to.
    Same(u8),
    /// `<<<`-like text of a here document.
    Here(Word),
}

/// A word as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) Vec<Part>);

/// A part of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// As it stands; it is not split, and an empty one is a word all the same where it was quoted.
    Text { text: String, is_quoted: bool },
    /// `$NAME`, `${NAME}` or one with a default.
    Variable { name: String, otherwise: Option<Otherwise>, is_quoted: bool },
    /// `$(…)`.
    Output { script: List, is_quoted: bool },
    /// `$((…))`.
    Number { expression: String, is_quoted: bool },
}

/// What a variable stands for where it is unset or empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Otherwise {
    /// `${NAME:-word}`.
    Default(Word),
    /// `${NAME:=word}`.
    Assign(Word),
    /// `${NAME:+word}`, which is used where it is set instead.
    Instead(Word),
    /// `${#NAME}`: how long it is.
    Length,
}

/// Why a script cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SyntaxError {
    /// It ends too early: more may follow.
    #[error("unexpected end of file")]
    Unfinished,
    /// Something stands where it cannot.
    #[error("syntax error: unexpected {0:?}")]
    Unexpected(String),
    /// It is nested too deeply.
    #[error("nested too deeply")]
    TooDeep,
    /// What this shell does not have.
    #[error("{0} is not supported by this shell")]
    Absent(&'static str),
}
