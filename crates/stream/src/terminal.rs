//! The size of a terminal, and how it travels.

use serde_json::Value;

/// The longest size in JSON that is looked at.
const MAX_SIZE_BYTES: usize = 1024;

/// How many characters a terminal shows (`remotecommand.TerminalSize`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TerminalSize {
    /// In a line.
    pub width: u16,
    /// Lines.
    pub height: u16,
}

impl TerminalSize {
    /// As it travels: `{"Width":80,"Height":24}` and a line's end, as Go's encoder writes it.
    pub fn to_json(self) -> String {
        format!("{{\"Width\":{},\"Height\":{}}}\n", self.width, self.height)
    }
}

/// The sizes within a stream of JSON values, which come in any pieces.
#[derive(Debug, Default)]
pub struct Sizes {
    partial: Vec<u8>,
    broken: bool,
}

impl Sizes {
    /// The sizes that are whole with these bytes. After something that is no size there are no more,
    /// as in the kubelet's `handleResizeEvents`.
    pub fn receive(&mut self, bytes: &[u8]) -> Vec<TerminalSize> {
        let mut sizes = Vec::new();
        for byte in bytes {
            if self.broken {
                break;
            }
            self.partial.push(*byte);
            self.broken = self.partial.len() > MAX_SIZE_BYTES;
            // A size is a flat object: it ends with the first brace.
            if *byte == b'}' {
                let text = std::mem::take(&mut self.partial);
                match serde_json::from_slice(&text).ok().as_ref().and_then(size) {
                    Some(size) => sizes.push(size),
                    None => self.broken = true,
                }
            }
        }
        sizes
    }
}

/// Field names in any case, as Go's decoder takes them; what is missing is 0.
fn size(value: &Value) -> Option<TerminalSize> {
    let mut size = TerminalSize { width: 0, height: 0 };
    for (name, value) in value.as_object()? {
        if name.eq_ignore_ascii_case("width") {
            size.width = u16::try_from(value.as_u64()?).ok()?;
        } else if name.eq_ignore_ascii_case("height") {
            size.height = u16::try_from(value.as_u64()?).ok()?;
        }
    }
    Some(size)
}
