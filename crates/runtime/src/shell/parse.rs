//! Text into what a script consists of.

use super::syntax::{AndOr, Command, Kind, List, Pipeline, Redirection, SyntaxError, Target, Word};
use super::word::WordReader;

/// How deeply commands may stand within commands.
pub(super) const MAX_DEPTH: usize = 50;

/// The words that have a meaning of their own where a command begins.
const RESERVED: [&str; 15] =
    ["if", "then", "elif", "else", "fi", "while", "until", "for", "do", "done", "in", "{", "}", "!", "case"];

/// Reads a script.
///
/// # Errors
/// Where it is none; [`SyntaxError::Unfinished`] where more text could make it one.
pub(crate) fn parse(text: &str) -> Result<List, SyntaxError> {
    let mut parser = Parser { reader: WordReader::new(text, 0) };
    let list = parser.list(&[])?;
    match parser.peek_operator() {
        None if parser.reader.is_at_end() => Ok(list),
        _ => Err(parser.unexpected()),
    }
}

/// Reads the script within `$(…)`, up to its parenthesis.
pub(super) fn parse_within(reader: &mut WordReader) -> Result<List, SyntaxError> {
    let inner = reader.deeper()?;
    let mut parser = Parser { reader: inner };
    let list = parser.list(&[])?;
    parser.expect(")")?;
    reader.go_on_after(&parser.reader);
    Ok(list)
}

struct Parser {
    reader: WordReader,
}

/// Operators, longest first.
const OPERATORS: [&str; 9] = ["&&", "||", ";;", ";", "|", "(", ")", "&", "\n"];

impl Parser {
    /// Skips blanks and comments, and gives the operator that follows without taking it.
    fn peek_operator(&mut self) -> Option<&'static str> {
        self.reader.skip_blanks();
        OPERATORS.into_iter().find(|operator| self.reader.starts_with(operator))
    }

    fn take(&mut self, operator: &str) -> bool {
        let found = self.peek_operator() == Some(operator);
        if found {
            self.reader.advance(operator.chars().count());
        }
        found
    }

    fn expect(&mut self, operator: &str) -> Result<(), SyntaxError> {
        if self.take(operator) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&mut self) -> SyntaxError {
        self.reader.skip_blanks();
        if self.reader.is_at_end() {
            return SyntaxError::Unfinished;
        }
        let operator = self.peek_operator().map(str::to_owned);
        SyntaxError::Unexpected(operator.unwrap_or_else(|| self.reader.plain_word()))
    }

    fn skip_newlines(&mut self) {
        while self.take("\n") {}
    }

    /// Does this reserved word follow?
    fn peek_reserved(&mut self, word: &str) -> bool {
        self.reader.skip_blanks();
        self.reader.plain_word() == word
    }

    fn take_reserved(&mut self, word: &str) -> bool {
        let found = self.peek_reserved(word);
        if found {
            self.reader.advance(word.chars().count());
        }
        found
    }

    fn expect_reserved(&mut self, word: &str) -> Result<(), SyntaxError> {
        if self.take_reserved(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Commands up to one of these words, a parenthesis, or the end.
    fn list(&mut self, ends: &[&str]) -> Result<List, SyntaxError> {
        let mut list = Vec::new();
        loop {
            while self.take("\n") || self.take(";") {}
            let operator = self.peek_operator();
            let is_end = ends.iter().any(|end| self.peek_reserved(end));
            if is_end || operator == Some(")") || self.reader.is_at_end() {
                return Ok(list);
            }
            list.push(self.and_or()?);
            match self.peek_operator() {
                Some("&") => return Err(SyntaxError::Absent("running in the background")),
                Some(";" | "\n") => {}
                Some(")") => return Ok(list),
                None if self.reader.is_at_end() => return Ok(list),
                _ => return Err(self.unexpected()),
            }
        }
    }

    /// A list that must not be empty.
    fn some(&mut self, ends: &[&str]) -> Result<List, SyntaxError> {
        let list = self.list(ends)?;
        if list.is_empty() { Err(self.unexpected()) } else { Ok(list) }
    }

    fn and_or(&mut self) -> Result<AndOr, SyntaxError> {
        let mut and_or = AndOr { first: self.pipeline()?, rest: Vec::new() };
        loop {
            let is_and = self.take("&&");
            if !is_and && !self.take("||") {
                return Ok(and_or);
            }
            self.skip_newlines();
            and_or.rest.push((is_and, self.pipeline()?));
        }
    }

    fn pipeline(&mut self) -> Result<Pipeline, SyntaxError> {
        let is_negated = self.take_reserved("!");
        let mut commands = vec![self.command()?];
        while self.peek_operator() == Some("|") {
            self.reader.advance(1);
            self.skip_newlines();
            commands.push(self.command()?);
        }
        Ok(Pipeline { is_negated, commands })
    }

    fn command(&mut self) -> Result<Command, SyntaxError> {
        self.reader.enter()?;
        let kind = self.kind()?;
        let mut command = match kind {
            Some(kind) => Command { kind, redirections: Vec::new() },
            None => self.simple()?,
        };
        while let Some(redirection) = self.redirection()? {
            command.redirections.push(redirection);
        }
        self.reader.leave();
        Ok(command)
    }

    /// A command that holds others.
    fn kind(&mut self) -> Result<Option<Kind>, SyntaxError> {
        if self.take("(") {
            let list = self.some(&[])?;
            self.expect(")")?;
            return Ok(Some(Kind::Subshell(list)));
        }
        self.reader.skip_blanks();
        let word = self.reader.plain_word();
        if !RESERVED.contains(&word.as_str()) {
            return Ok(None);
        }
        match word.as_str() {
            "{" => {
                self.reader.advance(1);
                let list = self.some(&["}"])?;
                self.expect_reserved("}")?;
                Ok(Some(Kind::Group(list)))
            }
            "if" => self.branches().map(Some),
            "while" | "until" => {
                self.reader.advance(5);
                let condition = self.some(&["do"])?;
                let body = self.body()?;
                Ok(Some(Kind::While { is_until: word == "until", condition, body }))
            }
            "for" => self.each().map(Some),
            "case" => Err(SyntaxError::Absent("case")),
            _ => Err(self.unexpected()),
        }
    }

    fn body(&mut self) -> Result<List, SyntaxError> {
        self.expect_reserved("do")?;
        let body = self.some(&["done"])?;
        self.expect_reserved("done")?;
        Ok(body)
    }

    fn branches(&mut self) -> Result<Kind, SyntaxError> {
        self.expect_reserved("if")?;
        let mut branches = Vec::new();
        let mut otherwise = None;
        loop {
            let condition = self.some(&["then"])?;
            self.expect_reserved("then")?;
            branches.push((condition, self.some(&["elif", "else", "fi"])?));
            if self.take_reserved("elif") {
                continue;
            }
            if self.take_reserved("else") {
                otherwise = Some(self.some(&["fi"])?);
            }
            self.expect_reserved("fi")?;
            return Ok(Kind::If { branches, otherwise });
        }
    }

    fn each(&mut self) -> Result<Kind, SyntaxError> {
        self.expect_reserved("for")?;
        self.reader.skip_blanks();
        let name = self.reader.plain_word();
        if !is_name(&name) {
            return Err(self.unexpected());
        }
        self.reader.advance(name.chars().count());
        self.skip_newlines();
        let mut words = Vec::new();
        if self.take_reserved("in") {
            while let Some(word) = self.word()? {
                words.push(word);
            }
        }
        while self.take("\n") || self.take(";") {}
        Ok(Kind::For { name, words, body: self.body()? })
    }

    fn simple(&mut self) -> Result<Command, SyntaxError> {
        let (mut assignments, mut words, mut redirections) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            if let Some(redirection) = self.redirection()? {
                redirections.push(redirection);
                continue;
            }
            if words.is_empty()
                && let Some(name) = self.reader.assignment()
            {
                assignments.push((name, self.reader.word()?));
                continue;
            }
            match self.word()? {
                Some(word) => words.push(word),
                None if words.is_empty() && assignments.is_empty() && redirections.is_empty() => {
                    return Err(self.unexpected());
                }
                None => break,
            }
        }
        Ok(Command { kind: Kind::Simple { assignments, words }, redirections })
    }

    /// The next word, where one follows before an operator.
    fn word(&mut self) -> Result<Option<Word>, SyntaxError> {
        if self.peek_operator().is_some() || self.reader.is_at_end() {
            return Ok(None);
        }
        self.reader.word().map(Some)
    }

    fn redirection(&mut self) -> Result<Option<Redirection>, SyntaxError> {
        self.reader.skip_blanks();
        let Some((stream, operator)) = self.reader.redirection() else { return Ok(None) };
        if operator == "<<" {
            return Err(SyntaxError::Absent("a here document"));
        }
        self.reader.skip_blanks();
        if operator == ">&" {
            let to = self.reader.plain_word();
            let same = to.parse().ok().filter(|stream| *stream <= 2).ok_or_else(|| self.unexpected())?;
            self.reader.advance(to.chars().count());
            return Ok(Some(Redirection { stream, to: Target::Same(same) }));
        }
        let Some(word) = self.word()? else { return Err(self.unexpected()) };
        let to = match operator {
            "<" => Target::From(word),
            ">>" => Target::AtEnd(word),
            "<<<" => Target::Here(word),
            _ => Target::Into(word),
        };
        Ok(Some(Redirection { stream, to }))
    }
}

/// Can a variable be called so?
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}
