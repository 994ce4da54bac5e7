//! Rust source without its comments and literals, so that rules see code only.

use std::iter::Peekable;
use std::str::Chars;

/// The source with every comment and the content of every literal blanked out. Lines stay where
/// they are.
pub fn code_only(source: &str) -> String {
    let mut scanner = Scanner { rest: source.chars().peekable(), out: String::with_capacity(source.len()) };
    scanner.scan();
    scanner.out
}

struct Scanner<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
}

impl Scanner<'_> {
    fn scan(&mut self) {
        while let Some(c) = self.rest.next() {
            match c {
                '/' if self.rest.peek() == Some(&'/') => self.line_comment(),
                '/' if self.rest.peek() == Some(&'*') => self.block_comment(),
                '"' => match self.raw_hashes() {
                    Some(hashes) => self.raw_string(hashes),
                    None => self.quoted('"'),
                },
                '\'' => self.quote(),
                c => self.out.push(c),
            }
        }
    }

    fn blank(&mut self, c: char) {
        self.out.push(if c == '\n' { '\n' } else { ' ' });
    }

    fn line_comment(&mut self) {
        while let Some(c) = self.rest.next_if(|c| *c != '\n') {
            self.blank(c);
        }
    }

    fn block_comment(&mut self) {
        let (mut depth, mut last) = (1, ' ');
        self.rest.next();
        while let Some(c) = self.rest.next() {
            self.blank(c);
            match (last, c) {
                ('*', '/') => depth -= 1,
                ('/', '*') => depth += 1,
                _ => {
                    last = c;
                    continue;
                }
            }
            last = ' ';
            if depth == 0 {
                break;
            }
        }
    }

    /// The number of `#` of the raw string whose quote was just read; `None` where it is no raw one.
    fn raw_hashes(&self) -> Option<usize> {
        let before = self.out.trim_end_matches('#');
        let hashes = self.out.len() - before.len();
        let prefix = before.strip_suffix('r')?;
        let word = prefix.strip_suffix(['b', 'c']).unwrap_or(prefix);
        let part_of_a_name = word.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        (!part_of_a_name).then_some(hashes)
    }

    fn raw_string(&mut self, hashes: usize) {
        self.out.push('"');
        while let Some(c) = self.rest.next() {
            if c == '"' {
                let mut seen = 0;
                while seen < hashes && self.rest.next_if_eq(&'#').is_some() {
                    seen += 1;
                }
                if seen == hashes {
                    self.out.push('"');
                    return;
                }
            }
            self.blank(c);
        }
    }

    fn quoted(&mut self, end: char) {
        self.out.push(end);
        while let Some(c) = self.rest.next() {
            if c == end {
                break;
            }
            self.blank(c);
            if c == '\\'
                && let Some(escaped) = self.rest.next()
            {
                self.blank(escaped);
            }
        }
        self.out.push(end);
    }

    /// A character literal, or the tick of a lifetime or label.
    fn quote(&mut self) {
        let mut ahead = self.rest.clone();
        let (first, second) = (ahead.next(), ahead.next());
        if first == Some('\\') || second == Some('\'') {
            self.quoted('\'');
        } else {
            self.out.push('\'');
        }
    }
}

/// Every place where `path` (such as `std::env`) stands as a path's beginning: not as a part of a
/// longer name or path, but possibly continued with `::`.
pub fn places<'a>(code: &'a str, path: &'a str) -> impl Iterator<Item = usize> + 'a {
    words(code, path).filter(|at| {
        // A path may start with `::`, which then follows no name.
        let owner = code[..*at].trim_end().strip_suffix("::");
        !owner.is_some_and(|owner| owner.ends_with(|c| is_name(c) || c == '>'))
    })
}

/// Every place where `word` stands, not as a part of a longer name.
pub fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let found = code.match_indices(word).map(|(at, _)| at);
    found.filter(|at| !code[..*at].ends_with(is_name) && !code[at + word.len()..].starts_with(is_name))
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The line of a place, counted from 1.
pub fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// Every path that the file's `use` declarations name, in full, with its place.
pub fn imports(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for at in places(code, "use").collect::<Vec<_>>() {
        let rest = &code[at + "use".len()..];
        // `use<'a>` in a return type is no declaration.
        if rest.starts_with(char::is_whitespace)
            && let Some(end) = rest.find(';')
        {
            let tree: String = rest[..end].replace(" as ", "@").split_whitespace().collect();
            for path in expand("", tree.trim_start_matches("::")) {
                found.push((at, path));
            }
        }
    }
    found
}

/// `a::{b, c::{d, e}}` as `a::b`, `a::c::d`, `a::c::e`; renames (written `@`) are left out.
fn expand(prefix: &str, tree: &str) -> Vec<String> {
    let Some(open) = tree.find('{') else {
        let path = format!("{prefix}{}", tree.split('@').next().unwrap_or(tree));
        return vec![path.trim_end_matches("::self").to_owned()];
    };
    let prefix = format!("{prefix}{}", &tree[..open]);
    let inside = tree[open + 1..].strip_suffix('}').unwrap_or(&tree[open + 1..]);
    let (mut depth, mut start, mut paths) = (0_usize, 0, Vec::new());
    for (at, c) in inside.char_indices().chain([(inside.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                if start < at {
                    paths.extend(expand(&prefix, &inside[start..at]));
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_no_code() {
        let source = concat!(
            "a // x\n/* x /* x */ x\n */ b \"x\\\"x\" c r#\"x\"x\"# d br\"x\\\" e ",
            "'x' f '\\'' g 'l: &'static h; for\"x\" i \"x\nx\" j"
        );
        let code = code_only(source);
        assert!(!code.contains('x'), "{code}");
        let kept: String = code.chars().filter(|c| c.is_alphabetic()).collect();
        assert_eq!(kept, "abcrdbrefglstatichforij");
        assert_eq!(code.matches('\n').count(), source.matches('\n').count());
    }

    #[test]
    fn use_trees_are_read_in_full() {
        let code = "use a::b;\npub use ::c::{d, e::{f as g, self}};\nuse std::\n  env;";
        let paths: Vec<String> = imports(code).into_iter().map(|(_, path)| path).collect();
        assert_eq!(paths, ["a::b", "c::d", "c::e::f", "c::e", "std::env"]);
    }

    #[test]
    fn a_path_is_found_only_at_its_own_beginning() {
        let count = |code, path| places(code, path).count();
        assert_eq!(count("std::env::var(x); ::std::env", "std::env"), 2);
        assert_eq!(count("shim::tokio::net::X; mytokio::net; tokio::network", "tokio::net"), 0);
    }
}
