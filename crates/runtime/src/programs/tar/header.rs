//! The blocks before each member of an archive (POSIX.1-2017, pax: ustar interchange format).

/// The size of a block; everything is padded to it.
pub(super) const BLOCK_BYTES: usize = 512;

const NAME_BYTES: usize = 100;
const PREFIX_BYTES: usize = 155;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    /// The name of the next member, as GNU writes a long one.
    LongName,
    /// What the next member is called and how long it is, as pax writes it.
    Extended,
    /// The same for all members.
    Global,
    /// Links, devices and what else cannot be here.
    Other,
}

/// One header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) bytes: u64,
    /// Seconds since 1970.
    pub(super) modified: i64,
}

impl Header {
    /// The blocks of this header: more than one where its name is long.
    pub(super) fn blocks(&self) -> Vec<u8> {
        let name = self.name.as_bytes();
        if let Some((prefix, rest)) = split(name) {
            return self.block(prefix, rest).to_vec();
        }
        let long = Self {
            name: "././@LongLink".to_owned(),
            kind: Kind::LongName,
            bytes: name.len() as u64 + 1,
            modified: 0,
        };
        let mut blocks = long.block(b"", long.name.as_bytes()).to_vec();
        blocks.extend_from_slice(name);
        blocks.resize(blocks.len() + 1 + padding(long.bytes), 0);
        blocks.extend_from_slice(&self.block(b"", &name[..NAME_BYTES]));
        blocks
    }

    fn block(&self, prefix: &[u8], name: &[u8]) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        let (flag, mode) = match self.kind {
            Kind::Directory => (b'5', b"0000755\0"),
            Kind::LongName => (b'L', b"0000644\0"),
            _ => (b'0', b"0000644\0"),
        };
        put(0, name);
        put(100, mode);
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, format!("{:011o}\0", self.bytes).as_bytes());
        put(136, format!("{:011o}\0", self.modified.clamp(0, 0o77_777_777_777)).as_bytes());
        put(148, b"        ");
        put(156, &[flag]);
        put(257, b"ustar\x0000");
        put(265, b"root");
        put(297, b"root");
        put(345, prefix);
        let sum = checksum(&block);
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }

    /// Reads a block; `None` where it is no header.
    pub(super) fn parse(block: &[u8]) -> Option<Self> {
        let field = |at: usize, length: usize| block.get(at..at + length);
        if number(field(148, 8)?)? != u64::from(checksum(block)) {
            return None;
        }
        let name = text(field(0, NAME_BYTES)?);
        let prefix =
            if field(257, 6)? == b"ustar\0" { text(field(345, PREFIX_BYTES)?) } else { String::new() };
        let name = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let kind = match block.get(156)? {
            b'0' | 0 | b'7' if name.ends_with('/') => Kind::Directory,
            b'0' | 0 | b'7' => Kind::File,
            b'5' => Kind::Directory,
            b'L' => Kind::LongName,
            b'x' => Kind::Extended,
            b'g' => Kind::Global,
            _ => Kind::Other,
        };
        let modified = number(field(136, 12)?).and_then(|time| i64::try_from(time).ok()).unwrap_or(0);
        Some(Self { name, kind, bytes: number(field(124, 12)?)?, modified })
    }
}

/// How much follows so many bytes to fill their last block.
pub(super) fn padding(bytes: u64) -> usize {
    let over = usize::try_from(bytes % BLOCK_BYTES as u64).unwrap_or(0);
    (BLOCK_BYTES - over) % BLOCK_BYTES
}

/// A name in the two fields it has, where it fits.
fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= NAME_BYTES {
        return Some((b"", name));
    }
    let least = name.len() - NAME_BYTES - 1;
    let at = (least..name.len().min(PREFIX_BYTES + 1)).find(|at| name[*at] == b'/' && at + 1 < name.len())?;
    Some((&name[..at], &name[at + 1..]))
}

/// The sum of all bytes, with blanks for the sum itself.
fn checksum(block: &[u8]) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..])
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

/// A number in octal digits, or binary as GNU writes large ones.
fn number(field: &[u8]) -> Option<u64> {
    if let [0x80, rest @ ..] = field {
        let (high, low) = rest.split_at(rest.len().checked_sub(8)?);
        let low: [u8; 8] = low.try_into().ok()?;
        return high.iter().all(|byte| *byte == 0).then(|| u64::from_be_bytes(low));
    }
    let digits = field.iter().copied().skip_while(|byte| *byte == b' ');
    let digits: Vec<u8> = digits.take_while(|byte| !matches!(byte, 0 | b' ')).collect();
    let digits = str::from_utf8(&digits).ok()?;
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_they_were_written() {
        let deep = format!("{}/{}", "d".repeat(120), "n".repeat(90));
        for (name, blocks) in
            [("a", 1), ("dir/", 1), (deep.as_str(), 1), (&"n".repeat(100), 1), (&"n".repeat(300), 3)]
        {
            let kind = if name.ends_with('/') { Kind::Directory } else { Kind::File };
            let header = Header { name: name.to_owned(), kind, bytes: 12345, modified: 1_767_225_600 };
            let written = header.blocks();
            assert_eq!(written.len(), blocks * BLOCK_BYTES, "{name}");
            let mut read = Header::parse(&written[written.len() - BLOCK_BYTES..]).unwrap();
            if blocks > 1 {
                let long = Header::parse(&written[..BLOCK_BYTES]).unwrap();
                assert_eq!((long.kind, long.bytes), (Kind::LongName, 301));
                read.name = text(&written[BLOCK_BYTES..BLOCK_BYTES + 301]);
            }
            assert_eq!(read, header);
        }
    }

    #[test]
    fn what_is_no_header_is_none() {
        let mut block = Header { name: "a".to_owned(), kind: Kind::File, bytes: 1, modified: 0 }.blocks();
        block[0] = b'b';
        assert_eq!(Header::parse(&block), None, "its sum is another");
        assert_eq!(Header::parse(&[0; 12]), None);
        assert_eq!(Header::parse(&[255; BLOCK_BYTES]), None);
    }
}
