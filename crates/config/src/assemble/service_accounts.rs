//! Service account tokens: which key signs them, and which keys they are verified by.
//!
//! No file is read, so whether two names are the two halves of one key is told from the names.

use crate::model::{Component, FileName, ServiceAccounts, public_half};
use crate::sheet::Sheet;

/// An hour and 2³² seconds: between them is `--service-account-max-token-expiration`
/// (pkg/kubeapiserver/options/authentication.go).
const MAX_EXPIRATION: std::ops::RangeInclusive<u64> = 3600..=1 << 32;

pub(super) fn assemble(sheet: &mut Sheet<'_>) -> ServiceAccounts {
    let issuers = issuers(sheet);
    let signing_key_file = sheet.file("service-account-signing-key-file");
    if let (Some(given), true) =
        (sheet.given("service-account-signing-key-file"), issuers.is_empty() && signing_key_file.is_some())
    {
        let accepted = "--service-account-issuer=URL";
        sheet.gathered.fail(&given.place, &given.key, "is given without --service-account-issuer", accepted);
    }
    let old =
        sheet.given("api-audiences").is_none() && sheet.given("service-account-api-audiences").is_some();
    let mut api_audiences = sheet.list(if old { "service-account-api-audiences" } else { "api-audiences" });
    if api_audiences.is_empty() {
        api_audiences.extend(issuers.first().cloned());
    }
    let key_files = key_files(sheet);
    ServiceAccounts {
        issuers,
        signed_with: signed_with(&key_files, signing_key_file.as_ref(), sheet),
        key_files,
        signing_key_file,
        jwks_uri: jwks_uri(sheet),
        api_audiences,
        lookup: sheet.switch("service-account-lookup"),
        extend_token_expiration: sheet.switch("service-account-extend-token-expiration"),
        max_token_expiration_s: max_expiration(sheet),
    }
}

fn issuers(sheet: &mut Sheet<'_>) -> Vec<String> {
    let issuers = sheet.list("service-account-issuer");
    let twice = issuers.iter().enumerate().find(|(at, issuer)| issuers[..*at].contains(issuer));
    if let (Some((_, issuer)), Some(given)) = (twice, sheet.given("service-account-issuer")) {
        let problem = format!("{issuer:?} is given twice");
        sheet.gathered.fail(&given.place, &given.key, problem, "each issuer once");
    }
    issuers
}

/// Without any, the key of the serving certificate counts (`completeServiceAccountOptions` and its predecessors).
fn key_files(sheet: &mut Sheet<'_>) -> Vec<FileName> {
    let mut files: Vec<FileName> = Vec::new();
    for name in sheet.list("service-account-key-file") {
        let file = FileName::new(name);
        if !files.contains(&file) {
            files.push(file);
        }
    }
    if files.is_empty()
        && let Some(file) = sheet.file("tls-private-key-file")
    {
        let source = "cmd/kube-apiserver/app/options/completion.go (the serving certificate's key)";
        sheet.default("--service-account-key-file", file.as_str(), source);
        files.push(file);
    }
    files
}

fn jwks_uri(sheet: &mut Sheet<'_>) -> Option<String> {
    let uri = sheet.text("service-account-jwks-uri")?;
    if let (false, Some(given)) = (uri.starts_with("https://"), sheet.given("service-account-jwks-uri")) {
        sheet.gathered.fail(
            &given.place,
            &given.key,
            format!("{uri:?} is no https URL"),
            "https://HOST/PATH",
        );
    }
    Some(uri)
}

fn max_expiration(sheet: &mut Sheet<'_>) -> Option<u64> {
    let seconds = sheet.seconds("service-account-max-token-expiration").filter(|seconds| *seconds > 0)?;
    if let (false, Some(given)) =
        (MAX_EXPIRATION.contains(&seconds), sheet.given("service-account-max-token-expiration"))
    {
        let problem = format!("{} is too short or too long", given.text);
        sheet.gathered.fail(&given.place, &given.key, problem, "1h to 2^32 seconds");
    }
    Some(seconds)
}

/// Which of the keys that verify is the one that signs.
fn signed_with(
    key_files: &[FileName],
    signing: Option<&FileName>,
    sheet: &mut Sheet<'_>,
) -> Option<FileName> {
    let managers = || {
        super::text_of(Component::ControllerManager, "service-account-private-key-file", sheet.gathered)
            .map(FileName::new)
    };
    let Some(signing) = signing.cloned().or_else(managers) else {
        if let Some(first) = key_files.first() {
            sheet.gathered.assume(format!(
                "no file names the key that signs service account tokens: assumed that {first} verifies them"
            ));
        }
        return Some(key_files.first().cloned().unwrap_or_else(|| FileName::new("service account key")));
    };
    let found = public_half(key_files, &signing).cloned();
    if found.as_ref().is_some_and(|found| found.directory() == signing.directory()) {
        return found;
    }
    sheet.gathered.assume(match &found {
        Some(found) => format!("{found} is the public half of {signing}, as their names say"),
        None => format!(
            "{signing} signs service account tokens, and by their names none of the files of --service-account-key-file is its public half: assumed that these tokens are not believed"
        ),
    });
    found
}
