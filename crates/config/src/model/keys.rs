//! Which names of files are those of one key.

use super::{FileName, ServiceAccounts};

impl ServiceAccounts {
    /// The one of `key_files` that is a private key's public half, as far as their names tell.
    #[must_use]
    pub fn public_half(&self, private: &FileName) -> Option<&FileName> {
        public_half(&self.key_files, private)
    }
}

/// The file among these that is called as the private key, but for the endings of either half: rather of its own
/// directory than of another.
pub(crate) fn public_half<'a>(files: &'a [FileName], private: &FileName) -> Option<&'a FileName> {
    let stem = |file: &FileName| stem_of(file.as_str()).to_owned();
    let base = |file: &FileName| stem(file).rsplit('/').next().unwrap_or_default().to_owned();
    let nearest = files.iter().find(|file| stem(file) == stem(private));
    nearest.or_else(|| files.iter().find(|file| base(file) == base(private)))
}

/// What the names of the two halves of a key have in common.
fn stem_of(path: &str) -> &str {
    const ENDINGS: &[&str] = &[
        ".key", ".pub", ".pem", ".crt", ".cert", ".priv", "-key", "_key", "-pub", "_pub", "-public",
        "-private",
    ];
    let mut stem = path;
    while let Some(shorter) = ENDINGS.iter().find_map(|ending| stem.strip_suffix(ending)) {
        if shorter.is_empty() || shorter.ends_with('/') {
            break;
        }
        stem = shorter;
    }
    stem
}

#[cfg(test)]
mod tests {
    use super::stem_of;

    #[test]
    fn the_two_halves_of_a_key_are_known_by_their_names() {
        for (one, other, same) in [
            ("/pki/sa.key", "/pki/sa.pub", true),
            ("/k/service-account.pem", "/k/service-account-key.pem", true),
            ("/k/sa-public.pem", "/k/sa-private.pem", true),
            ("/k/sa.key", "/k/sa.key", true),
            ("/k/old.pub", "/k/new.key", false),
            ("/k/key.pem", "/k/other.pem", false),
            ("/k/.key", "/k/.pub", false),
        ] {
            assert_eq!(stem_of(one) == stem_of(other), same, "{one} {other}");
        }
    }
}
