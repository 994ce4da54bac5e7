//! The encoding of protobuf messages: numbers, and bytes with their length.

/// One value as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, in order; `None` where it is broken, and then no more.
pub(super) struct Fields<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: Some(bytes) }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u32, Item<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        if rest.is_empty() {
            return None;
        }
        let Some((field, rest)) = field(rest) else { return Some(None) };
        self.rest = Some(rest);
        Some(Some(field))
    }
}

fn field(bytes: &[u8]) -> Option<((u32, Item<'_>), &[u8])> {
    let (tag, rest) = varint(bytes)?;
    let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0)?;
    let (item, rest) = match tag & 7 {
        0 => {
            let (value, rest) = varint(rest)?;
            (Item::Number(value), rest)
        }
        1 => {
            let (bytes, rest) = rest.split_at_checked(8)?;
            (Item::Bytes(bytes), rest)
        }
        2 => {
            let (length, rest) = varint(rest)?;
            let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            (Item::Bytes(bytes), rest)
        }
        5 => {
            let (bytes, rest) = rest.split_at_checked(4)?;
            (Item::Bytes(bytes), rest)
        }
        // Groups ended with protobuf 2.
        _ => return None,
    };
    Some(((number, item), rest))
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        value |= bits.checked_shl(u32::try_from(index).ok()? * 7)?;
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

/// Numbers without tags between them.
pub(super) fn packed(bytes: &[u8]) -> impl Iterator<Item = Option<u64>> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let left = rest.take().filter(|left| !left.is_empty())?;
        let Some((value, after)) = varint(left) else { return Some(None) };
        rest = Some(after);
        Some(Some(value))
    })
}

/// A message that is being written.
#[derive(Default)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Bytes {
    pub(super) fn number(&mut self, field: u32, value: u64) {
        self.varint(u64::from(field) << 3);
        self.varint(value);
    }

    pub(super) fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn text(&mut self, field: u32, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
}
