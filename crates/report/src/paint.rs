//! Colour, line breaks, and text that others wrote made safe to print.

/// How a piece of text stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    Plain,
    Bold,
    Faint,
    Bad,
    Good,
    Doubtful,
}

/// Puts text in colour, or leaves it as it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Painter {
    pub(crate) colour: bool,
}

impl Painter {
    /// The text with the escape sequences (ECMA-48 SGR) of an ink around it.
    pub(crate) fn paint(self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Plain => return text.to_owned(),
            Ink::Bold => "1",
            Ink::Faint => "2",
            Ink::Bad => "1;31",
            Ink::Good => "32",
            Ink::Doubtful => "1;33",
        };
        if self.colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The text on one line, without anything that a terminal would obey: error texts and evidence
/// may quote what a peer sent.
pub fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            c if c.is_control() || is_invisible(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Characters that reorder or hide their neighbours (Unicode bidirectional and zero-width ones).
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Breaks text into lines of at most `width` characters, at spaces where it can; every line after
/// the first starts with `indent` spaces.
pub(crate) fn wrap(text: &str, width: usize, indent: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > indent && column + 1 + length > width {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if !out.is_empty() {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_sent_cannot_steer_the_terminal() {
        assert_eq!(harmless("a\x1b[2Jb\nc\u{202e}d\u{9b}"), "a\\u{1b}[2Jb c\\u{202e}d\\u{9b}");
        assert_eq!(harmless("grüße, 世界"), "grüße, 世界");
    }

    #[test]
    fn long_text_is_broken_between_words() {
        assert_eq!(wrap("one two three four", 9, 2), "one two\n  three\n  four");
        assert_eq!(wrap("unbreakably-long word", 5, 2), "unbreakably-long\n  word");
        assert_eq!(wrap("short", 80, 2), "short");
    }
}
