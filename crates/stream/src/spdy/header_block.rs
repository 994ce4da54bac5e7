//! Header blocks: name and value pairs, compressed with one zlib context a direction
//! (draft-mbelshe-httpbis-spdy-00, section 2.6.10).

use super::SpdyError;
use super::dictionary::dictionary;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// The most bytes of a header block after inflation. Kubernetes' have fewer than a hundred.
pub const MAX_HEADER_BLOCK_BYTES: usize = 8 * 1024;

/// The most headers of a block.
pub const MAX_HEADERS: usize = 64;

/// Headers in the order in which they came; names are lower case. Several values of one name stand
/// in one, with a NUL between them.
pub type Headers = Vec<(String, String)>;

/// Compresses the blocks that this end sends.
pub struct Deflater(Compress);

impl std::fmt::Debug for Deflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Deflater(after {} bytes)", self.0.total_in())
    }
}

impl Deflater {
    /// At a connection's beginning.
    pub fn new() -> Self {
        let mut compress = Compress::new(Compression::fast(), true);
        compress.set_dictionary(dictionary()).expect("a new context takes a dictionary");
        Self(compress)
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
        // Deflate never grows by more than a few bytes a block, plus its flush.
        let mut packed = Vec::with_capacity(plain.len() + plain.len() / 8 + 256);
        let mut taken = 0;
        loop {
            let before = self.0.total_in();
            self.0
                .compress_vec(&plain[taken..], &mut packed, FlushCompress::Sync)
                .expect("a context with its dictionary compresses");
            taken += (self.0.total_in() - before) as usize;
            if taken == plain.len() && packed.len() < packed.capacity() {
                return packed;
            }
            packed.reserve(packed.capacity());
        }
    }
}

impl Default for Deflater {
    fn default() -> Self {
        Self::new()
    }
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
