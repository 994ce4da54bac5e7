//! Signing requests, byte by byte (PKCS#10, RFC 2986; X.690).

use ravelin_pki::KeyPair;

const EXTENSION_REQUEST: &[u32] = &[1, 2, 840, 113549, 1, 9, 14];
const ECDSA_WITH_SHA256: &[u32] = &[1, 2, 840, 10045, 4, 3, 2];
pub const COMMON_NAME: &[u32] = &[2, 5, 4, 3];
pub const ORGANIZATION: &[u32] = &[2, 5, 4, 10];
pub const UNIT: &[u32] = &[2, 5, 4, 11];
pub const BASIC_CONSTRAINTS: &[u32] = &[2, 5, 29, 19];
pub const KEY_USAGE: &[u32] = &[2, 5, 29, 15];
pub const EXTENDED_KEY_USAGE: &[u32] = &[2, 5, 29, 37];
pub const ALTERNATIVE_NAMES: &[u32] = &[2, 5, 29, 17];
pub const NAME_CONSTRAINTS: &[u32] = &[2, 5, 29, 30];

/// A name that is asked for, by the tag of its kind (RFC 5280 section 4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum General {
    Dns(&'static str),
    Ip([u8; 4]),
    Email(&'static str),
    Uri(&'static str),
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut bytes = vec![tag];
    match length {
        0..128 => bytes.push(u8::try_from(length).expect("it is short")),
        _ => {
            let all = length.to_be_bytes();
            let first = all.iter().position(|byte| *byte != 0).expect("it is not 0");
            bytes.push(0x80 | u8::try_from(all.len() - first).expect("it is short"));
            bytes.extend(&all[first..]);
        }
    }
    bytes.extend(content);
    bytes
}

pub fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub fn oid(arcs: &[u32]) -> Vec<u8> {
    let mut content = vec![u8::try_from(arcs[0] * 40 + arcs[1]).expect("the first arcs are small")];
    for arc in &arcs[2..] {
        let mut groups = vec![u8::try_from(arc & 0x7f).expect("seven bits")];
        let mut rest = arc >> 7;
        while rest > 0 {
            groups.push(u8::try_from(rest & 0x7f).expect("seven bits") | 0x80);
            rest >>= 7;
        }
        content.extend(groups.iter().rev());
    }
    tlv(0x06, &content)
}

pub fn boolean(value: bool) -> Vec<u8> {
    tlv(0x01, &[if value { 0xff } else { 0 }])
}

pub fn integer(value: u8) -> Vec<u8> {
    tlv(0x02, &[value])
}

/// A name of these attributes, each of its own.
pub fn name(attributes: &[(&[u32], &str)]) -> Vec<u8> {
    let parts = attributes.iter().map(|(kind, text)| {
        let attribute = sequence(&[oid(kind), tlv(0x0c, text.as_bytes())]);
        tlv(0x31, &attribute)
    });
    sequence(&parts.collect::<Vec<_>>())
}

pub fn extension(kind: &[u32], critical: bool, value: &[u8]) -> Vec<u8> {
    let mut parts = vec![oid(kind)];
    if critical {
        parts.push(boolean(true));
    }
    parts.push(tlv(0x04, value));
    sequence(&parts)
}

pub fn alternative_names(names: &[General]) -> Vec<u8> {
    let names = names.iter().map(|name| match name {
        General::Email(text) => tlv(0x81, text.as_bytes()),
        General::Dns(text) => tlv(0x82, text.as_bytes()),
        General::Uri(text) => tlv(0x86, text.as_bytes()),
        General::Ip(bytes) => tlv(0x87, bytes),
    });
    sequence(&names.collect::<Vec<_>>())
}

/// Key usage, by its first eight bits (RFC 5280 section 4.2.1.3).
pub fn key_usage(bits: u8) -> Vec<u8> {
    let unused = u8::try_from(bits.trailing_zeros().min(7)).expect("it is small");
    tlv(0x03, &[unused, bits])
}

/// The PEM of a request for this name and these extensions; `is_signed`: by its own key.
pub fn request(name: &[u8], extensions: &[Vec<u8>], (key, is_signed): (&KeyPair, bool)) -> String {
    let mut attributes = Vec::new();
    if !extensions.is_empty() {
        let values = tlv(0x31, &sequence(extensions));
        attributes = sequence(&[oid(EXTENSION_REQUEST), values]);
    }
    let info = sequence(&[integer(0), name.to_vec(), key.public().to_spki_der(), tlv(0xa0, &attributes)]);
    let mut signature = vec![0];
    signature.extend(key.sign_der(if is_signed { &info } else { b"something else" }));
    let whole = sequence(&[info, sequence(&[oid(ECDSA_WITH_SHA256)]), tlv(0x03, &signature)]);
    pem(&whole)
}

fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned());
    let lines: Vec<String> = lines.collect();
    format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n", lines.join("\n"))
}
