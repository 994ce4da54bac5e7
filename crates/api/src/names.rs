//! What names, label keys and label values may look like (`apimachinery/pkg/api/validate/content`), and
//! Kubernetes' words for what is wrong with them.

const MAX_SUBDOMAIN: usize = 253;
const MAX_LABEL: usize = 63;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
/// What is wrong with a name that is no label.
pub const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

fn too_long(text: &str, max: usize) -> Option<String> {
    (text.len() > max).then(|| format!("must be no more than {max} bytes"))
}

/// What is wrong with a name that is to be a segment of a path, or the beginning of one.
pub fn path_segment(name: &str, is_prefix: bool) -> Vec<String> {
    if !is_prefix && matches!(name, "." | "..") {
        return vec![format!("may not be '{name}'")];
    }
    ['/', '%'].into_iter().filter(|c| name.contains(*c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// What is wrong with a subdomain as of RFC 1123. Its parts may be longer than labels.
pub fn subdomain(text: &str) -> Vec<String> {
    let wrong = (!text.split('.').all(is_part)).then(|| SUBDOMAIN.to_owned());
    too_long(text, MAX_SUBDOMAIN).into_iter().chain(wrong).collect()
}

/// What is wrong with a label as of RFC 1123.
pub fn label(text: &str) -> Vec<String> {
    let wrong = match (is_part(text), text.split('.').all(is_part)) {
        (true, _) => None,
        (false, true) => Some("must not contain dots".to_owned()),
        (false, false) => Some(LABEL.to_owned()),
    };
    too_long(text, MAX_LABEL).into_iter().chain(wrong).collect()
}

/// What is wrong with a label as of RFC 1035.
pub fn label_1035(text: &str) -> Vec<String> {
    let good = is_part(text) && text.starts_with(|c: char| c.is_ascii_lowercase());
    let wrong = (!good).then(|| LABEL_1035.to_owned());
    too_long(text, MAX_LABEL).into_iter().chain(wrong).collect()
}

/// What is wrong with the key of a label (`IsLabelKey`).
pub fn qualified(key: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let name = match key.split('/').collect::<Vec<_>>().as_slice() {
        [name] => (*name).to_owned(),
        [prefix, name] => {
            if prefix.is_empty() {
                faults.push("prefix part must be non-empty".to_owned());
            } else {
                faults.extend(subdomain(prefix).into_iter().map(|fault| format!("prefix part {fault}")));
            }
            (*name).to_owned()
        }
        _ => {
            return vec![format!(
                "a valid label key {QUALIFIED} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        faults.push("name part must be non-empty".to_owned());
    }
    faults.extend(too_long(&name, MAX_LABEL).map(|fault| format!("name part {fault}")));
    if name.is_empty() || !is_word(&name) {
        faults.push(format!("name part {QUALIFIED}"));
    }
    faults
}

/// What is wrong with the value of a label (`IsLabelValue`).
pub fn label_value(value: &str) -> Vec<String> {
    let wrong = (!is_word(value)).then(|| LABEL_VALUE.to_owned());
    too_long(value, MAX_LABEL).into_iter().chain(wrong).collect()
}

fn is_word(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let edge = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    text.chars().all(inner) && edge(text.chars().next()) && edge(text.chars().next_back())
}

fn is_part(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// Is it a label as of RFC 1123?
pub fn is_label(text: &str) -> bool {
    text.len() <= MAX_LABEL && is_part(text)
}
