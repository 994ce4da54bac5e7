//! Header blocks: name and value pairs, in one zlib context a direction
//! (draft-mbelshe-httpbis-spdy-00, section 2.6.10).

use super::SpdyError;
use super::dictionary::dictionary;
use flate2::{Decompress, FlushDecompress, Status};

/// The most bytes of a header block after inflation. Kubernetes' have fewer than a hundred.
pub const MAX_HEADER_BLOCK_BYTES: usize = 8 * 1024;

/// The most headers of a block.
pub const MAX_HEADERS: usize = 64;

/// Headers in the order in which they came; names are lower case. Several values of one name stand
/// in one, with a NUL between them.
pub type Headers = Vec<(String, String)>;

/// The first bytes of a zlib stream whose reader needs a dictionary (RFC 1950 section 2.2).
const ZLIB_WITH_DICTIONARY: [u8; 2] = [0x78, 0xbb];

/// The longest stored block (RFC 1951 section 3.2.4).
const MAX_STORED_BYTES: usize = 0xffff;

/// Writes the blocks that this end sends as zlib's format, in which nothing is shortened: a context
/// that shortens takes 330 KB for each connection, to save a hundred bytes for each stream; and
/// what is not shortened tells nothing by its length (CRIME).
#[derive(Debug, Default)]
pub struct Deflater {
    begun: bool,
}

impl Deflater {
    /// At a connection's beginning.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next block.
    pub fn deflate(&mut self, headers: &[(&str, &str)]) -> Vec<u8> {
        let mut plain = (headers.len() as u32).to_be_bytes().to_vec();
        for (name, value) in headers {
            for text in [name.to_ascii_lowercase().as_bytes(), value.as_bytes()] {
                plain.extend((text.len() as u32).to_be_bytes());
                plain.extend(text);
            }
        }
        let mut packed = Vec::with_capacity(plain.len() + 32);
        if !std::mem::replace(&mut self.begun, true) {
            packed.extend(ZLIB_WITH_DICTIONARY);
            packed.extend(adler32(dictionary()).to_be_bytes());
        }
        for part in plain.chunks(MAX_STORED_BYTES) {
            store(&mut packed, part);
        }
        // An empty block, as a flush ends with one: readers hand out all that came before it.
        store(&mut packed, &[]);
        packed
    }
}

/// A block as it is, and not the last one; everything before it ended with a whole byte.
fn store(packed: &mut Vec<u8>, part: &[u8]) {
    let length = part.len() as u16;
    packed.push(0);
    packed.extend(length.to_le_bytes());
    packed.extend((!length).to_le_bytes());
    packed.extend(part);
}

/// The checksum that names a dictionary (RFC 1950 section 8.2).
fn adler32(bytes: &[u8]) -> u32 {
    const MODULUS: u32 = 65_521;
    let (low, high) = bytes.iter().fold((1, 0), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % MODULUS;
        (low, (high + low) % MODULUS)
    });
    high << 16 | low
}

/// Inflates the blocks that the peer sends. After an error it is of no use: the peer's context is
/// lost with it.
pub struct Inflater(Decompress);

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inflater(after {} bytes)", self.0.total_in())
    }
}

impl Inflater {
    /// At a connection's beginning.
    pub fn new() -> Self {
        Self(Decompress::new(true))
    }

    /// The headers of the next block.
    ///
    /// # Errors
    /// Where the block is no zlib of this context, is longer than [`MAX_HEADER_BLOCK_BYTES`] after
    /// inflation (found out without inflating more), or holds no well-formed headers.
    pub fn inflate(&mut self, block: &[u8]) -> Result<Headers, SpdyError> {
        let mut plain = vec![0; MAX_HEADER_BLOCK_BYTES + 1];
        let (mut taken, mut given) = (0, 0);
        loop {
            let before = (self.0.total_in(), self.0.total_out());
            let result = self.0.decompress(&block[taken..], &mut plain[given..], FlushDecompress::Sync);
            let progress = (self.0.total_in() - before.0, self.0.total_out() - before.1);
            taken += progress.0 as usize;
            given += progress.1 as usize;
            if given > MAX_HEADER_BLOCK_BYTES {
                return Err(SpdyError::HeadersTooLong);
            }
            match result {
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(dictionary()).map_err(|_| SpdyError::Compression)?;
                }
                Err(_) | Ok(Status::StreamEnd) => return Err(SpdyError::Compression),
                Ok(_) if taken == block.len() => return parse(&plain[..given]),
                Ok(_) if progress == (0, 0) => return Err(SpdyError::Compression),
                Ok(_) => {}
            }
        }
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

fn parse(mut plain: &[u8]) -> Result<Headers, SpdyError> {
    let count = number(&mut plain)?;
    if count > MAX_HEADERS {
        return Err(SpdyError::HeadersTooLong);
    }
    let mut headers = Headers::new();
    for _ in 0..count {
        let name = text(&mut plain)?;
        let value = text(&mut plain)?;
        let doubled = headers.iter().any(|(other, _)| *other == name);
        if name.is_empty() || name.bytes().any(|byte| byte.is_ascii_uppercase()) || doubled {
            return Err(SpdyError::Malformed("headers"));
        }
        headers.push((name, value));
    }
    if plain.is_empty() { Ok(headers) } else { Err(SpdyError::Malformed("headers")) }
}

fn number(plain: &mut &[u8]) -> Result<usize, SpdyError> {
    let (bytes, rest) = plain.split_first_chunk::<4>().ok_or(SpdyError::Malformed("headers"))?;
    *plain = rest;
    Ok(u32::from_be_bytes(*bytes) as usize)
}

fn text(plain: &mut &[u8]) -> Result<String, SpdyError> {
    let length = number(plain)?;
    let (bytes, rest) = plain.split_at_checked(length).ok_or(SpdyError::Malformed("headers"))?;
    *plain = rest;
    String::from_utf8(bytes.to_vec()).map_err(|_| SpdyError::Malformed("headers"))
}
