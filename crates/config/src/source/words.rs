//! Lines and words as shells and systemd split them: continuation lines, comments, quotes.

/// One word and the line it begins on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Word {
    pub text: String,
    pub line: usize,
}

/// Logical lines: a backslash at the end joins the next one, comments (also between joined lines) and empty lines are
/// left out. Joined lines keep their newlines, so that words know their lines.
pub(crate) fn joined_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (at, raw) in text.lines().enumerate() {
        let trimmed = raw.trim();
        let comment = trimmed.starts_with('#') || trimmed.starts_with(';');
        if comment || (trimmed.is_empty() && !open) {
            if let (true, Some((_, line))) = (open, lines.last_mut()) {
                line.push('\n');
            }
            continue;
        }
        let body = trimmed.strip_suffix('\\');
        let kept = body.unwrap_or(trimmed);
        match lines.last_mut() {
            Some((_, line)) if open => {
                line.push('\n');
                line.push_str(kept);
            }
            _ => lines.push((at + 1, kept.to_owned())),
        }
        open = body.is_some();
    }
    lines
}

/// Words of a logical line that begins on `first_line`. Quotes group, a backslash takes the next character as it is.
pub(crate) fn split_words(text: &str, first_line: usize) -> Vec<Word> {
    let mut words = Vec::new();
    let mut line = first_line;
    let mut word: Option<Word> = None;
    let mut quote: Option<char> = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if c == '\n' {
            line += 1;
        }
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert(Word { text: String::new(), line });
            }
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            (Some('\''), _) => push(&mut word, c, line),
            (_, '\\') => {
                if let Some(next) = characters.next() {
                    push(&mut word, next, line);
                }
            }
            _ => push(&mut word, c, line),
        }
    }
    words.extend(word);
    words
}

fn push(word: &mut Option<Word>, c: char, line: usize) {
    word.get_or_insert(Word { text: String::new(), line }).text.push(c);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_quotes_do_not_move_lines() {
        let text = "# head\nkubelet \\\n  # inside\n  --a=\"x y\" \\\n  '--b=c d'\n--e\n";
        let words: Vec<_> = joined_lines(text)
            .iter()
            .flat_map(|(line, t)| split_words(t, *line))
            .map(|w| (w.text, w.line))
            .collect();
        let expected = [("kubelet", 2), ("--a=x y", 4), ("--b=c d", 5), ("--e", 6)];
        assert_eq!(words, expected.map(|(t, l)| (t.to_owned(), l)));
    }
}
