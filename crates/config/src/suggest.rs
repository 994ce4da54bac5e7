//! "Did you mean": the closest known name to a misspelt one.

/// The known name that is closest, if it is close enough to be meant: at most a third of the letters differ.
pub(crate) fn closest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (given.chars().count() / 3).clamp(1, 4);
    let known: Vec<&str> = known.into_iter().collect();
    // `client-ca` for `client-ca-file`: a beginning that only one name has.
    let begun: Vec<&str> =
        known.iter().copied().filter(|name| given.len() > 5 && name.starts_with(given)).collect();
    if let [only] = begun.as_slice() {
        return Some(only);
    }
    known
        .into_iter()
        .map(|name| (distance(&given.to_ascii_lowercase(), &name.to_ascii_lowercase()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein distance, in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let next = (row[j + 1] + 1).min(row[j] + 1).min(diagonal + usize::from(ca != *cb));
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn a_near_miss_is_recognised_and_a_far_one_is_not() {
        let known = ["anonymous-auth", "authorization-mode", "client-ca-file"];
        assert_eq!(closest("anonymus-auth", known), Some("anonymous-auth"));
        assert_eq!(closest("client-ca", known), Some("client-ca-file"));
        assert_eq!(closest("zzz", known), None);
    }
}
