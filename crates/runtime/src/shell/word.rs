//! Words: quotes, variables, and what else stands for something.

use super::parse::{MAX_DEPTH, is_name, parse_within};
use super::syntax::{Otherwise, Part, SyntaxError, Word};
use std::sync::Arc;

/// A place in a script.
pub(super) struct WordReader {
    text: Arc<[char]>,
    at: usize,
    depth: usize,
}

impl WordReader {
    pub(super) fn new(text: &str, depth: usize) -> Self {
        Self { text: text.chars().collect(), at: 0, depth }
    }

    /// A reader of what is nested here.
    pub(super) fn deeper(&self) -> Result<Self, SyntaxError> {
        let mut inner = Self { text: Arc::clone(&self.text), at: self.at, depth: self.depth };
        inner.enter()?;
        Ok(inner)
    }

    /// Goes on where another reader of the same text is.
    pub(super) fn go_on_after(&mut self, other: &Self) {
        self.at = other.at;
    }

    pub(super) fn enter(&mut self) -> Result<(), SyntaxError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(SyntaxError::TooDeep) } else { Ok(()) }
    }

    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Result<char, SyntaxError> {
        let next = self.peek().ok_or(SyntaxError::Unfinished)?;
        self.at += 1;
        Ok(next)
    }

    pub(super) fn advance(&mut self, count: usize) {
        self.at += count;
    }

    pub(super) fn starts_with(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(index, letter)| self.text.get(self.at + index) == Some(&letter))
    }

    /// Skips blanks, continued lines and a comment.
    pub(super) fn skip_blanks(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\r') => self.at += 1,
                Some('\\') if self.starts_with("\\\n") => self.at += 2,
                Some('#') => {
                    while self.peek().is_some_and(|letter| letter != '\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    /// The word that follows as it stands, without taking it; empty where none does.
    pub(super) fn plain_word(&self) -> String {
        self.text[self.at.min(self.text.len())..].iter().take_while(|letter| !ends_word(**letter)).collect()
    }

    /// Takes `NAME=`, where that follows.
    pub(super) fn assignment(&mut self) -> Option<String> {
        self.skip_blanks();
        let (name, _) =
            self.plain_word().split_once('=').map(|(name, rest)| (name.to_owned(), rest.len()))?;
        if !is_name(&name) {
            return None;
        }
        self.at += name.chars().count() + 1;
        Some(name)
    }

    /// Takes `2>` and the like.
    pub(super) fn redirection(&mut self) -> Option<(u8, &'static str)> {
        let digit = self.peek().and_then(|digit| digit.to_digit(10)).filter(|digit| *digit <= 2);
        let skipped = usize::from(digit.is_some());
        let after = |text: &str| {
            text.chars()
                .enumerate()
                .all(|(index, letter)| self.text.get(self.at + skipped + index) == Some(&letter))
        };
        let operator = ["<<<", "<<", ">>", ">&", ">", "<"].into_iter().find(|operator| after(operator))?;
        self.at += skipped + operator.len();
        let usual = if operator.starts_with('<') { 0 } else { 1 };
        Some((digit.and_then(|digit| u8::try_from(digit).ok()).unwrap_or(usual), operator))
    }

    /// A word up to its end.
    pub(super) fn word(&mut self) -> Result<Word, SyntaxError> {
        self.word_until(ends_word)
    }

    fn word_until(&mut self, ends: fn(char) -> bool) -> Result<Word, SyntaxError> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        while let Some(letter) = self.peek().filter(|letter| !ends(*letter)) {
            if !matches!(letter, '\\' | '\'' | '"' | '$' | '`') {
                plain.push(letter);
                self.at += 1;
                continue;
            }
            if !plain.is_empty() {
                parts.push(Part::Text { text: std::mem::take(&mut plain), is_quoted: false });
            }
            self.at += 1;
            match letter {
                '\\' if self.peek() == Some('\n') => self.at += 1,
                '\\' => {
                    let text = self.peek().unwrap_or('\\').to_string();
                    self.at += 1;
                    parts.push(Part::Text { text, is_quoted: true });
                }
                '\'' => parts.push(Part::Text { text: self.until('\'')?, is_quoted: true }),
                '"' => self.quoted(&mut parts)?,
                '$' => parts.push(self.dollar(false)?),
                _ => return Err(SyntaxError::Absent("a command in backquotes")),
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text { text: plain, is_quoted: false });
        }
        Ok(Word(parts))
    }

    fn until(&mut self, end: char) -> Result<String, SyntaxError> {
        let mut text = String::new();
        loop {
            match self.next()? {
                letter if letter == end => return Ok(text),
                letter => text.push(letter),
            }
        }
    }

    /// What stands between double quotes.
    fn quoted(&mut self, parts: &mut Vec<Part>) -> Result<(), SyntaxError> {
        let mut text = String::new();
        let before = parts.len();
        loop {
            match self.next()? {
                '"' => break,
                '\\' => match self.next()? {
                    '\n' => {}
                    letter @ ('"' | '\\' | '$' | '`') => text.push(letter),
                    letter => text.extend(['\\', letter]),
                },
                '$' => {
                    if !text.is_empty() {
                        parts.push(Part::Text { text: std::mem::take(&mut text), is_quoted: true });
                    }
                    parts.push(self.dollar(true)?);
                }
                '`' => return Err(SyntaxError::Absent("a command in backquotes")),
                letter => text.push(letter),
            }
        }
        if !text.is_empty() || parts.len() == before {
            parts.push(Part::Text { text, is_quoted: true });
        }
        Ok(())
    }

    /// What stands after a dollar.
    fn dollar(&mut self, is_quoted: bool) -> Result<Part, SyntaxError> {
        if self.starts_with("((") {
            self.at += 2;
            return Ok(Part::Number { expression: self.expression()?, is_quoted });
        }
        match self.peek() {
            Some('(') => {
                self.at += 1;
                Ok(Part::Output { script: parse_within(self)?, is_quoted })
            }
            Some('{') => {
                self.at += 1;
                self.braced(is_quoted)
            }
            Some(letter @ ('?' | '$' | '#' | '@' | '*' | '!' | '0'..='9')) => {
                self.at += 1;
                Ok(Part::Variable { name: letter.to_string(), otherwise: None, is_quoted })
            }
            _ => {
                let name = self.name();
                if name.is_empty() {
                    return Ok(Part::Text { text: "$".to_owned(), is_quoted });
                }
                Ok(Part::Variable { name, otherwise: None, is_quoted })
            }
        }
    }

    fn name(&mut self) -> String {
        let rest = &self.text[self.at.min(self.text.len())..];
        let name: String =
            rest.iter().take_while(|letter| letter.is_ascii_alphanumeric() || **letter == '_').collect();
        self.at += name.len();
        name
    }

    fn braced(&mut self, is_quoted: bool) -> Result<Part, SyntaxError> {
        let is_length = self.starts_with("#") && !self.starts_with("#}");
        self.at += usize::from(is_length);
        let name = match self.peek() {
            Some(letter @ ('?' | '$' | '#' | '@' | '*')) => {
                self.at += 1;
                letter.to_string()
            }
            _ => self.name(),
        };
        if name.is_empty() {
            return Err(if self.is_at_end() { SyntaxError::Unfinished } else { bad_substitution() });
        }
        let otherwise = match self.next()? {
            '}' => {
                let otherwise = is_length.then_some(Otherwise::Length);
                return Ok(Part::Variable { name, otherwise, is_quoted });
            }
            ':' => self.next()?,
            operator => operator,
        };
        self.enter()?;
        let word = self.word_until(|letter| letter == '}')?;
        self.leave();
        let otherwise = match otherwise {
            '-' => Otherwise::Default(word),
            '=' => Otherwise::Assign(word),
            '+' => Otherwise::Instead(word),
            _ => return Err(bad_substitution()),
        };
        if self.next()? != '}' {
            return Err(bad_substitution());
        }
        Ok(Part::Variable { name, otherwise: Some(otherwise), is_quoted })
    }

    /// The text of an expression, up to its `))`.
    fn expression(&mut self) -> Result<String, SyntaxError> {
        let (mut text, mut open) = (String::new(), 0);
        loop {
            match self.next()? {
                ')' if open == 0 => {
                    return if self.next()? == ')' { Ok(text) } else { Err(bad_substitution()) };
                }
                letter => {
                    open += i32::from(letter == '(') - i32::from(letter == ')');
                    text.push(letter);
                }
            }
        }
    }
}

fn bad_substitution() -> SyntaxError {
    SyntaxError::Unexpected("bad substitution".to_owned())
}

fn ends_word(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')')
}
