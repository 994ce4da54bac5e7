//! Is a canary in these bytes, in whatever form applications write it?

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Below this many bytes a canary would be found by chance.
const MIN_CANARY_BYTES: usize = 6;

/// Is the canary in these bytes: as it is, percent-encoded, with JSON escapes, in base64 (both
/// alphabets, at any alignment, broken into lines or not) or in hexadecimal (either case)?
///
/// # Panics
/// Where the canary is shorter than 6 bytes: it would be found by chance.
pub fn contains_canary(bytes: &[u8], canary: &str) -> bool {
    assert!(canary.len() >= MIN_CANARY_BYTES, "a canary is long enough not to appear by chance");
    let needles = forms(canary.as_bytes());
    views(bytes).iter().any(|view| {
        needles.iter().any(|needle| contains(view, needle)) || {
            let lower = view.to_ascii_lowercase();
            contains(&lower, hexadecimal(canary.as_bytes()).as_bytes())
        }
    })
}

/// The bytes themselves, and what they say once percent-encoding, JSON string escapes and white
/// space are taken away. A view that changes nothing is left out.
pub fn views(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = vec![bytes.to_vec()];
    let without_space =
        |bytes: &[u8]| bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    for view in [percent_decoded(bytes), json_unescaped(bytes), without_space(bytes)] {
        if !found.contains(&view) {
            found.push(view);
        }
    }
    found
}

/// The needle as it is and in base64. Three bytes make four characters, so a needle has three
/// alignments; characters that a neighbouring byte shares are left out.
fn forms(needle: &[u8]) -> Vec<Vec<u8>> {
    let mut found = vec![needle.to_vec()];
    for before in 0..3_usize {
        let mut shifted = vec![0; before];
        shifted.extend_from_slice(needle);
        let from = (before * 4).div_ceil(3);
        let until = shifted.len() * 4 / 3;
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let encoded = engine.encode(&shifted);
            found.push(encoded.as_bytes()[from..until].to_vec());
        }
    }
    found.sort();
    found.dedup();
    found
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window[0] == needle[0] && window == needle)
}

fn hex_number(digits: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(digits).ok()?;
    text.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(text, 16).ok())?
}

fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        let byte = (first == b'%').then(|| tail.get(..2).and_then(hex_number)).flatten();
        match byte.and_then(|byte| u8::try_from(byte).ok()) {
            Some(byte) => {
                decoded.push(byte);
                rest = &tail[2..];
            }
            None => {
                decoded.push(first);
                rest = tail;
            }
        }
    }
    decoded
}

fn json_unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        let Some((&kind, after)) = tail.split_first().filter(|_| first == b'\\') else {
            decoded.push(first);
            continue;
        };
        match kind {
            b'u' => {
                let code = after.get(..4).and_then(hex_number).and_then(char::from_u32);
                let Some(character) = code else {
                    decoded.push(first);
                    continue;
                };
                decoded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &after[4..];
            }
            b'"' | b'\\' | b'/' => {
                decoded.push(kind);
                rest = after;
            }
            _ => decoded.push(first),
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    const CANARY: &str = "cnry-7f3k9w2m5q8z";

    #[test]
    fn a_canary_is_found_in_every_form() {
        let upper = hexadecimal(CANARY.as_bytes()).to_uppercase();
        let escaped: String = CANARY.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
        let percent: String = CANARY.bytes().map(|b| format!("%{b:02X}")).collect();
        for form in [CANARY.to_owned(), upper, escaped, percent] {
            let text = format!("{{\"x\":\"{form}\"}}");
            assert!(contains_canary(text.as_bytes(), CANARY), "{form}");
        }
        for before in 0..4 {
            for after in 0..4 {
                let around = format!("{}{CANARY}{}", "?".repeat(before), "~".repeat(after));
                assert!(contains_canary(STANDARD.encode(&around).as_bytes(), CANARY), "{around}");
                let lines: Vec<String> =
                    URL_SAFE.encode(&around).chars().map(|character| format!("{character}\r\n")).collect();
                assert!(contains_canary(lines.concat().as_bytes(), CANARY), "{around}");
            }
        }
    }

    #[test]
    fn another_canary_is_not_found() {
        let other = "cnry-7f3k9w2n5q8z";
        for text in [other.to_owned(), STANDARD.encode(other), hexadecimal(other.as_bytes())] {
            assert!(!contains_canary(text.as_bytes(), CANARY));
        }
        assert!(!contains_canary(b"", CANARY));
        assert!(!contains_canary(&CANARY.as_bytes()[..16], CANARY));
    }
}
