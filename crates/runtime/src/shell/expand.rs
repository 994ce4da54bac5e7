//! Words as they were written into words as they are meant.

use super::syntax::{Otherwise, Part, Word};
use super::{Jump, MAX_EXPANSION_BYTES, Shell, arithmetic};
use crate::process::{Streams, pipe};
use futures_util::future::BoxFuture;
use std::borrow::Cow;

/// The words that one word becomes.
#[derive(Default)]
struct Fields {
    done: Vec<String>,
    /// The word that is being put together.
    current: Option<String>,
    bytes: usize,
}

impl Fields {
    fn push(&mut self, text: &str) {
        self.bytes += text.len();
        self.current.get_or_insert_default().push_str(text);
    }

    /// Adds text that is split at blanks.
    fn push_split(&mut self, text: &str) {
        let mut is_first = true;
        for piece in text.split([' ', '\t', '\n']) {
            if !is_first {
                self.done.extend(self.current.take());
            }
            is_first = false;
            if !piece.is_empty() {
                self.push(piece);
            }
        }
    }
}

impl Shell {
    /// Every word of a command, as it is meant.
    pub(super) async fn words(&mut self, words: &[Word], streams: &Streams) -> Result<Vec<String>, Jump> {
        let mut expanded = Vec::new();
        let mut bytes = 0;
        for word in words {
            let fields = self.fields(word, streams).await?;
            bytes += fields.bytes;
            expanded.extend(fields.done.into_iter().chain(fields.current));
            if bytes > MAX_EXPANSION_BYTES {
                return Err(self.too_long(streams).await);
            }
        }
        Ok(expanded)
    }

    /// One word that is not split.
    pub(super) async fn word(&mut self, word: &Word, streams: &Streams) -> Result<String, Jump> {
        let mut text = String::new();
        for part in &word.0 {
            text.push_str(&self.part(part, streams).await?);
            if text.len() > MAX_EXPANSION_BYTES {
                return Err(self.too_long(streams).await);
            }
        }
        Ok(text)
    }

    async fn fields(&mut self, word: &Word, streams: &Streams) -> Result<Fields, Jump> {
        let mut fields = Fields::default();
        for part in &word.0 {
            let text = self.part(part, streams).await?;
            match part {
                Part::Text { .. } => fields.push(&text),
                Part::Variable { name, is_quoted: true, .. } if name == "@" => {
                    for (index, argument) in self.arguments.iter().skip(1).enumerate() {
                        if index > 0 {
                            fields.done.extend(fields.current.take());
                        }
                        fields.push(argument);
                    }
                }
                Part::Variable { is_quoted: true, .. }
                | Part::Output { is_quoted: true, .. }
                | Part::Number { is_quoted: true, .. } => fields.push(&text),
                _ => fields.push_split(&text),
            }
            if fields.bytes > MAX_EXPANSION_BYTES {
                return Err(self.too_long(streams).await);
            }
        }
        Ok(fields)
    }

    async fn part(&mut self, part: &Part, streams: &Streams) -> Result<String, Jump> {
        match part {
            Part::Text { text, .. } => Ok(text.clone()),
            Part::Variable { name, otherwise, .. } => self.value(name, otherwise.as_ref(), streams).await,
            Part::Output { script, .. } => self.output(script, streams).await,
            Part::Number { expression, .. } => {
                let value = |name: &str| self.variable(name).and_then(|text| text.trim().parse().ok());
                match arithmetic::evaluate(expression, &value) {
                    Ok(number) => Ok(number.to_string()),
                    Err(error) => {
                        streams.stderr.write(format!("sh: {error}\n").as_bytes()).await?;
                        Err(Jump::Exit(2))
                    }
                }
            }
        }
    }

    fn value<'a>(
        &'a mut self,
        name: &'a str,
        otherwise: Option<&'a Otherwise>,
        streams: &'a Streams,
    ) -> BoxFuture<'a, Result<String, Jump>> {
        Box::pin(async move {
            let value = self.parameter(name).map(Cow::into_owned);
            let is_there = value.as_ref().is_some_and(|value| !value.is_empty());
            match otherwise {
                Some(Otherwise::Length) => Ok(value.unwrap_or_default().chars().count().to_string()),
                Some(Otherwise::Instead(word)) if is_there => self.word(word, streams).await,
                Some(Otherwise::Instead(_)) => Ok(String::new()),
                Some(Otherwise::Default(word)) if !is_there => self.word(word, streams).await,
                Some(Otherwise::Assign(word)) if !is_there => {
                    let value = self.word(word, streams).await?;
                    self.assign(name, value.clone(), streams).await?;
                    Ok(value)
                }
                _ => Ok(value.unwrap_or_default()),
            }
        })
    }

    fn parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        match name {
            "?" => Some(self.status.to_string().into()),
            // A container's first process has this number.
            "$" => Some("1".into()),
            "#" => Some((self.arguments.len() - 1).to_string().into()),
            "@" | "*" => Some(self.arguments[1..].join(" ").into()),
            _ => match name.parse::<usize>() {
                Ok(number) => self.arguments.get(number).map(|argument| argument.as_str().into()),
                Err(_) => self.variable(name).map(|value| value.as_str().into()),
            },
        }
    }

    /// What a script writes, without the line ends at its end.
    async fn output(&mut self, script: &super::syntax::List, streams: &Streams) -> Result<String, Jump> {
        let mut inner = self.clone();
        let (stdout, read) = pipe();
        let streams = Streams { stdout, ..streams.clone() };
        let running = async move {
            let outcome = inner.list(script, streams).await;
            inner.outcome(outcome)
        };
        let collecting = async {
            let mut collected = Vec::new();
            while let Ok(piece) = read.read(usize::MAX).await {
                if piece.is_empty() || collected.len() > MAX_EXPANSION_BYTES {
                    break;
                }
                collected.extend_from_slice(&piece);
            }
            // Who goes on writing finds nobody who reads.
            drop(read);
            collected
        };
        let (status, collected) = tokio::join!(biased; running, collecting);
        self.status = status.unwrap_or(1);
        Ok(String::from_utf8_lossy(&collected).trim_end_matches('\n').to_owned())
    }

    async fn too_long(&self, streams: &Streams) -> Jump {
        let _ = streams.stderr.write(b"sh: argument list too long\n").await;
        Jump::Exit(2)
    }
}
