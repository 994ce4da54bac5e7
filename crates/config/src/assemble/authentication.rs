//! Who may ask the kube-apiserver without a credential.

use crate::catalogue::paths;
use crate::documents::AnonymousFile;
use crate::model::{AuthorizationMode, Component, KubernetesVersion, Setting, StaticUser};
use crate::sheet::Sheet;

/// Whether one may ask without a credential, and at which paths alone; none is all.
pub(super) struct Anonymous {
    pub enabled: bool,
    pub paths: Vec<String>,
}

impl Anonymous {
    fn everywhere(enabled: bool) -> Self {
        Self { enabled, paths: Vec::new() }
    }
}

/// `AlwaysAllow` turns anonymous requests off, whatever the flag says; a file and the flag exclude each other.
pub(super) fn anonymous(
    version: KubernetesVersion,
    modes: &[AuthorizationMode],
    sheet: &mut Sheet<'_>,
) -> Anonymous {
    let flag = sheet.given("anonymous-auth");
    let wanted = match (&flag, file(version, sheet)) {
        (Some(flag), Some(AnonymousFile { place, .. })) => {
            let problem = format!("cannot be given beside anonymous in {place}");
            sheet.gathered.fail(&flag.place, &flag.key, problem, "one of the two");
            Anonymous::everywhere(false)
        }
        (None, Some(file)) => from_file(file, sheet),
        _ => Anonymous::everywhere(sheet.switch("anonymous-auth")),
    };
    if wanted.enabled && modes.contains(&AuthorizationMode::AlwaysAllow) {
        let source = "pkg/kubeapiserver/options/authentication.go (ApplyAuthorization: not with AlwaysAllow)";
        sheet.default("--anonymous-auth", "false", source);
        return Anonymous { enabled: false, ..wanted };
    }
    wanted
}

/// What an `AuthenticationConfiguration` says, as a setting each.
fn from_file(file: AnonymousFile, sheet: &mut Sheet<'_>) -> Anonymous {
    let AnonymousFile { enabled, place, conditions } = file;
    let setting = |key: &str, value: String, (file, line)| Setting {
        component: Component::Apiserver,
        key: key.into(),
        value,
        file,
        line,
    };
    sheet.provenance.settings.push(setting(
        "anonymous.enabled",
        enabled.to_string(),
        (place.file, place.line),
    ));
    for (path, place) in &conditions {
        let at = (place.file.clone(), place.line);
        sheet.provenance.settings.push(setting("anonymous.conditions", path.clone(), at));
    }
    Anonymous { enabled, paths: conditions.into_iter().map(|(path, _)| path).collect() }
}

/// What an `AuthenticationConfiguration` says of anonymous requests, if the flag names one.
fn file(version: KubernetesVersion, sheet: &mut Sheet<'_>) -> Option<AnonymousFile> {
    let named = sheet.given("authentication-config").filter(|g| !g.text.is_empty());
    let file = sheet.gathered.authentication.clone();
    match (named, file) {
        (None, Some(file)) => {
            let problem = "no --authentication-config names this file: it would not be read";
            sheet.gathered.fail(&file.place, "kind", problem, "--authentication-config of kube-apiserver");
            None
        }
        (Some(named), None) => {
            let why = "names a file that is not in the input";
            sheet.gathered.unknown(Component::Apiserver, &named.key, &named.place, (paths::TO_API, why));
            None
        }
        (Some(named), Some(file)) => {
            let _ = sheet.file("authentication-config");
            super::needs_gate(version, (&named, "StructuredAuthenticationConfiguration", 30), sheet);
            if let Some(anonymous) = &file.anonymous {
                // Its gate is alpha in 1.31 and on from 1.32 (KEP-4633).
                const GATE: &str = "AnonymousAuthConfigurableEndpoints";
                let on = sheet.gate(GATE).unwrap_or(version.minor_number() >= 32);
                if !on {
                    let accepted = format!("{GATE}=true among the feature gates");
                    let problem = format!("requires feature gate {GATE}");
                    sheet.gathered.fail(&anonymous.place, "anonymous", problem, accepted);
                }
            }
            file.anonymous
        }
        (None, None) => None,
    }
}

/// The users of the file that `--token-auth-file` names, if it is in the input: it is known by its own name, as it
/// lies elsewhere here than on the apiserver's disk.
pub(super) fn static_users(sheet: &mut Sheet<'_>) -> Option<Vec<StaticUser>> {
    let base = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let named = sheet.given("token-auth-file").filter(|given| !given.text.is_empty());
    let mut found = None;
    for (place, users) in std::mem::take(&mut sheet.gathered.token_files) {
        match &named {
            Some(named) if base(&named.text) == base(&place.file) => found = Some(users),
            _ => {
                let problem = "no --token-auth-file names this file of tokens: it would not be read";
                sheet.gathered.fail(&place, "", problem, "--token-auth-file of kube-apiserver");
            }
        }
    }
    found
}
