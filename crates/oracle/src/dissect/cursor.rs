//! Reading length-prefixed fields off a slice without ever panicking.

/// What is left to read of a slice.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A big-endian number of `bytes` bytes, at most 4.
    pub(super) fn number(&mut self, bytes: usize) -> Option<usize> {
        let taken = self.take(bytes)?;
        Some(taken.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// One byte.
    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    /// A field whose length stands before it in `bytes` bytes.
    pub(super) fn field(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let length = self.number(bytes)?;
        self.take(length)
    }

    /// SSH's `string` (RFC 4251 section 5), as text.
    pub(super) fn text(&mut self) -> Option<String> {
        Some(String::from_utf8_lossy(self.field(4)?).into_owned())
    }
}
