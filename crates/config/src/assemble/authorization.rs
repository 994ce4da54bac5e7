//! Who the kube-apiserver asks whether a request is allowed.

use crate::catalogue::paths;
use crate::gathered::Origin;
use crate::model::{AuthorizationMode, Component, KubernetesVersion, Setting};
use crate::sheet::Sheet;

pub(super) fn modes(version: KubernetesVersion, sheet: &mut Sheet<'_>) -> Vec<AuthorizationMode> {
    let from_file = file(version, sheet);
    let given =
        sheet.given("authorization-mode").filter(|g| from_file.is_none() || g.origin != Origin::Assumed);
    if let (Some(modes), None) = (&from_file, &given) {
        return modes.clone();
    }
    let mut modes: Vec<AuthorizationMode> = Vec::new();
    for name in sheet.list("authorization-mode") {
        let Some(mode) = AuthorizationMode::ALL.into_iter().find(|m| m.as_str() == name) else { continue };
        match &given {
            Some(given) if modes.contains(&mode) => {
                sheet.gathered.fail(
                    &given.place,
                    &given.key,
                    format!("{name} is given twice"),
                    "each mode once",
                );
            }
            _ => modes.push(mode),
        }
    }
    let needs = [
        (AuthorizationMode::Abac, "authorization-policy-file"),
        (AuthorizationMode::Webhook, "authorization-webhook-config-file"),
    ];
    for (mode, flag) in needs {
        let (has_mode, file) = (modes.contains(&mode), sheet.given(flag));
        match (has_mode, file, &given) {
            (true, None, Some(given)) => sheet.gathered.fail(
                &given.place,
                &given.key,
                format!("{mode} needs --{flag}"),
                format!("--{flag}=FILE"),
            ),
            (false, Some(file), _) if !file.text.is_empty() => {
                sheet.gathered.fail(
                    &file.place,
                    &file.key,
                    format!("is given without the mode {mode}"),
                    format!("--authorization-mode with {mode}"),
                );
            }
            _ => {}
        }
    }
    if let (Some(config), Some(given)) = (sheet.given("authorization-config"), &given) {
        let problem = format!("is given beside --authorization-mode ({})", given.place);
        sheet.gathered.fail(&config.place, &config.key, problem, "one of the two");
    }
    modes
}

/// The modes of the `AuthorizationConfiguration` that `--authorization-config` names, if it names one.
fn file(version: KubernetesVersion, sheet: &mut Sheet<'_>) -> Option<Vec<AuthorizationMode>> {
    // With kubeadm's own flags assumed, the mode that it would have written gives way to the file.
    let named = sheet.given("authorization-config").filter(|g| !g.text.is_empty());
    match (named, sheet.gathered.authorization.clone()) {
        (Some(named), Some(file)) => {
            let _ = sheet.file("authorization-config");
            super::needs_gate(version, (&named, "StructuredAuthorizationConfiguration", 30), sheet);
            sheet.provenance.settings.push(Setting {
                component: Component::Apiserver,
                key: "authorizers".into(),
                value: file.modes.iter().map(|mode| mode.as_str()).collect::<Vec<_>>().join(","),
                file: file.place.file.clone(),
                line: file.place.line,
            });
            Some(file.modes)
        }
        (Some(named), None) => {
            let effect = (paths::AUTHORIZED, "names a file that is not in the input");
            sheet.gathered.unknown(Component::Apiserver, &named.key, &named.place, effect);
            sheet.gathered.assume(format!("{} is not in the input: assumed Node and RBAC", named.text));
            Some(vec![AuthorizationMode::Node, AuthorizationMode::Rbac])
        }
        (None, Some(file)) => {
            let problem = "no --authorization-config names this file: it would not be read";
            sheet.gathered.fail(&file.place, "kind", problem, "--authorization-config of kube-apiserver");
            None
        }
        (None, None) => None,
    }
}
