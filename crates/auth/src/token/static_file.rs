//! The file of `--token-auth-file` (`apiserver/pkg/authentication/token/tokenfile/tokenfile.go`).

use crate::UserInfo;
use subtle::ConstantTimeEq;

/// The tokens of a file.
#[derive(Clone, Default)]
pub struct StaticTokens(Vec<(String, UserInfo)>);

impl std::fmt::Debug for StaticTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StaticTokens({} hidden)", self.0.len())
    }
}

/// A token file that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadTokenFile {
    /// A line lacks columns.
    #[error(
        "token file must have at least 3 columns (token, user name, user uid), found {found} in line {line}"
    )]
    TooFewColumns {
        /// Which line, from 1.
        line: usize,
        /// How many columns it has.
        found: usize,
    },
    /// A quote is out of place or never closed.
    #[error("bare or unclosed quote in line {line}")]
    Quote {
        /// Which line, from 1.
        line: usize,
    },
}

impl StaticTokens {
    /// Reads `token,user,uid,"group1,group2"` lines. A line with an empty token is skipped, as
    /// Kubernetes skips it.
    ///
    /// # Errors
    /// Where a line cannot be read.
    pub fn parse(csv: &str) -> Result<Self, BadTokenFile> {
        let mut tokens = Vec::new();
        for (index, line) in csv.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            let line_number = index + 1;
            let columns = columns(line).ok_or(BadTokenFile::Quote { line: line_number })?;
            let [token, user, uid, rest @ ..] = columns.as_slice() else {
                return Err(BadTokenFile::TooFewColumns { line: line_number, found: columns.len() });
            };
            if token.is_empty() {
                continue;
            }
            // Neither trimmed nor filtered: a space belongs to the group's name.
            let groups = rest.first().into_iter().flat_map(|groups| groups.split(',')).map(str::to_owned);
            let user = UserInfo {
                name: user.clone(),
                uid: uid.clone(),
                groups: groups.collect(),
                ..UserInfo::default()
            };
            tokens.push((token.clone(), user));
        }
        Ok(Self(tokens))
    }

    /// The user of a token. Every token is compared in constant time; of two equal ones the last
    /// counts.
    pub fn authenticate(&self, token: &str) -> Option<UserInfo> {
        let mut found = None;
        for (known, user) in &self.0 {
            if bool::from(known.as_bytes().ct_eq(token.as_bytes())) {
                found = Some(user);
            }
        }
        found.cloned()
    }
}

/// For what simulates a missing check.
impl StaticTokens {
    /// The user of the first line. A static token tells nothing of its bearer: where nobody
    /// compares it, one is as good as another.
    pub fn danger_anybody(&self) -> Option<UserInfo> {
        self.0.first().map(|(_, user)| user.clone())
    }
}

/// Splits a line as RFC 4180 does; `None` where a quote is out of place.
fn columns(line: &str) -> Option<Vec<String>> {
    let mut columns = Vec::new();
    let mut rest = line;
    loop {
        let (column, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_column(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        if !line.is_empty() && !rest.starts_with('"') && column.contains('"') {
            return None;
        }
        columns.push(column);
        match behind.strip_prefix(',') {
            Some(next) => rest = next,
            None => return behind.is_empty().then_some(columns),
        }
    }
}

fn quoted_column(mut rest: &str) -> Option<(String, &str)> {
    let mut column = String::new();
    loop {
        let end = rest.find('"')?;
        column.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(behind) => {
                column.push('"');
                rest = behind;
            }
            None => return Some((column, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_file_gives_users_and_groups() {
        let file =
            "t1,alice,1\nt2,bob,2,\"dev,ops, all\"\n\n,nobody,3\nt3,\"c,\"\"d\",4,g,ignored\nt1,carol,5\n";
        let tokens = StaticTokens::parse(file).unwrap();
        assert_eq!(tokens.authenticate("t2").unwrap().groups, ["dev", "ops", " all"]);
        assert_eq!(tokens.authenticate("t3").unwrap().name, "c,\"d");
        assert_eq!(tokens.authenticate("t1").unwrap().name, "carol", "the last of equal tokens counts");
        for unknown in ["", "t", "t22", "T1"] {
            assert_eq!(tokens.authenticate(unknown), None, "{unknown}");
        }
        assert!(!format!("{tokens:?}").contains("t1"), "tokens are hidden");
    }

    #[test]
    fn a_bad_line_refuses_the_whole_file() {
        let refused = |file: &str| StaticTokens::parse(file).unwrap_err();
        assert_eq!(refused("t1,a,1\nt2,b"), BadTokenFile::TooFewColumns { line: 2, found: 2 });
        assert_eq!(refused("t1,a,1,\"g"), BadTokenFile::Quote { line: 1 });
        assert_eq!(refused("t\"1,a,1"), BadTokenFile::Quote { line: 1 });
        assert_eq!(refused("\"t1\"x,a,1"), BadTokenFile::Quote { line: 1 });
    }
}
