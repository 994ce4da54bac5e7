//! Random secrets whose appearance somewhere proves that the bytes around them did.

use crate::dissect::contains_canary;
use std::fmt;

/// A random secret: in a probe's request, or in the genuine response to it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Canary(String);

impl Canary {
    /// A canary from its text.
    ///
    /// # Panics
    /// Where the text is too short to be found by chance only.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        assert!(text.len() >= 15, "a canary must not occur by chance");
        Self(text)
    }

    /// The secret itself, to be put into a request or response.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Do these bytes hold it, as they are or in a common encoding?
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        contains_canary(bytes, &self.0)
    }
}

impl fmt::Debug for Canary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Canary(hidden)")
    }
}
