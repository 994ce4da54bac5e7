//! The apiserver's SSH tunnels: `--ssh-user`, `--ssh-keyfile` and Ravelin's own `--ssh-tunnel-config-file`.

use crate::model::{Egress, SshTunnelSettings};
use crate::sheet::Sheet;

/// The flag that names a document of Ravelin's own.
const OWN_FILE: &str = "ssh-tunnel-config-file";

/// The egress of `--ssh-user`, if it is given; `selected` says that an egress selector is too.
pub(super) fn egress(sheet: &mut Sheet<'_>, selected: bool) -> Option<Egress> {
    let settings = settings(sheet);
    let user = sheet.text("ssh-user")?;
    let place = sheet.given("ssh-user").map_or_else(super::nowhere, |given| given.place);
    if selected {
        let problem = "is given beside --egress-selector-config-file";
        sheet.gathered.fail(&place, "--ssh-user", problem, "one of the two");
    }
    for flag in ["kubelet-port", "kubelet-read-only-port"] {
        if let Some(given) = sheet.given(flag).filter(|_| sheet.port(flag).is_none()) {
            let problem = "must enable kubelet port if proxy ssh-tunneling is specified";
            sheet.gathered.fail(&given.place, &given.key, problem, "1 to 65535");
        }
    }
    let Some(key_file) = sheet.file("ssh-keyfile") else {
        let (problem, accepted) = ("is given without --ssh-keyfile", "both --ssh-user and --ssh-keyfile");
        sheet.gathered.fail(&place, "--ssh-user", problem, accepted);
        return Some(Egress::Unmodelled { why: "SSH tunnels without a key".into() });
    };
    Some(Egress::SshTunnels { user, key_file, settings })
}

/// What the document says that the flag names; without both, what Kubernetes' tunneler did. One without the
/// other is an error, as is either without tunnels: what it would protect would run without it.
fn settings(sheet: &mut Sheet<'_>) -> SshTunnelSettings {
    let named = sheet.given(OWN_FILE).filter(|given| !given.text.is_empty());
    let file = sheet.gathered.ssh_tunnels.clone();
    match (&named, &file) {
        (Some(given), None) => {
            let problem = format!("{} is not in the input", given.text);
            sheet.gathered.fail(
                &given.place,
                &given.key,
                problem,
                "an SSHTunnelConfiguration among the files",
            );
        }
        (None, Some(file)) => {
            let problem = "no --ssh-tunnel-config-file names this file: it would not be read";
            let accepted = "--ssh-tunnel-config-file of kube-apiserver";
            sheet.gathered.fail(&file.place, "kind", problem, accepted);
        }
        (Some(given), Some(_)) if sheet.given("ssh-user").is_none() => {
            sheet.gathered.fail(&given.place, &given.key, "is given without --ssh-user", "both");
        }
        _ => {}
    }
    let _ = named.is_some().then(|| sheet.file(OWN_FILE));
    file.map_or_else(SshTunnelSettings::legacy, |file| file.settings)
}
