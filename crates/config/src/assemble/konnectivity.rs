//! What the configurations of konnectivity's server and agent have in common.

use std::net::{IpAddr, Ipv4Addr};

use crate::datum::Datum;
use crate::gathered::{Given, Origin};
use crate::sheet::Sheet;

/// The highest port that the server's validation lets through: above are the ephemeral ones.
const LAST_PORT: u16 = 49_151;
/// Stands for the newest version: an image without a version of its own is taken for it.
const NEWEST: u32 = u32::MAX - 1;

/// A version as the columns of the catalogue have it: 31_001 is v0.31.1. Versions until v0.0.37 count their last
/// number, those of v0.1 theirs above 1000.
pub(crate) fn numbered(tag: &str) -> Option<u32> {
    let bare = tag.strip_prefix('v').unwrap_or(tag);
    let mut parts = bare.split(['.', '-', '+', '_']);
    let mut number = || {
        let part = parts.next()?;
        let digits = !part.is_empty() && part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse::<u32>().ok()).flatten()
    };
    let (major, minor, patch) = (number()?, number()?, number()?);
    (major == 0).then_some(minor * 1000 + patch)
}

fn written(version: u32) -> String {
    format!("v0.{}.{}", version / 1000, version % 1000)
}

/// Refuses the flags that the version of the component's image does not have. Gives that version.
pub(super) fn known_in_its_version(sheet: &mut Sheet<'_>) -> u32 {
    let component = sheet.component;
    let Some((version, place)) = sheet.gathered.konnectivity_versions.get(&component).cloned() else {
        sheet.gathered.assume(format!("no image names the version of {component}: assumed the newest"));
        return NEWEST;
    };
    let given: Vec<Given> =
        sheet.gathered.given.iter().filter(|g| g.component == component).cloned().collect();
    for given in given.iter().filter(|g| !(g.known.first..=g.known.last).contains(&version)) {
        let problem = format!("does not exist in {component} {} ({place})", written(version));
        let accepted = match given.known.first > version {
            true => format!("{component} {} and newer", written(given.known.first)),
            false => format!("{component} {} and older", written(given.known.last)),
        };
        sheet.gathered.fail(&given.place, &given.key, problem, accepted);
    }
    version
}

/// Notes a mistake at a flag, or where the component is started if the flag is not there.
pub(super) fn refuse(flag: &'static str, problem: &str, accepted: &str, sheet: &mut Sheet<'_>) {
    let given = sheet.given(flag).filter(|given| given.origin != Origin::Assumed);
    let place = given.map(|given| given.place);
    let started = sheet.gathered.started.get(&sheet.component).cloned();
    let place = place.or(started).unwrap_or_else(super::nowhere);
    sheet.gathered.fail(&place, &format!("--{flag}"), problem, accepted);
}

/// Whether nothing was noted since then.
pub(super) fn nothing_before(errors: usize, sheet: &Sheet<'_>) -> bool {
    sheet.gathered.errors.len() == errors
}

/// Where a listener is bound: nothing is every address, and `localhost` a name that needs no asking.
pub(super) fn address(flag: &'static str, sheet: &mut Sheet<'_>) -> IpAddr {
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    match sheet.text(flag).as_deref() {
        None => any,
        Some("localhost") => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(text) => text.trim_matches(['[', ']']).parse().unwrap_or_else(|_| {
            refuse(flag, &format!("{text:?} is no address"), "an IP address, or nothing for all", sheet);
            any
        }),
    }
}

/// Ephemeral ports are refused.
pub(super) fn port_in_use(kind: &str, port: u16, sheet: &mut Sheet<'_>) {
    let flag = match kind {
        "server" => "server-port",
        "agent" => "agent-port",
        "health" => "health-port",
        _ => "admin-port",
    };
    if port > LAST_PORT {
        let problem = format!("please do not try to use ephemeral port {port} for the {kind} port");
        refuse(flag, &problem, "1024 to 49151", sheet);
    }
}

/// Sizes must be more than 0, also those that change nothing here.
pub(super) fn more_than_nothing(flags: &[&'static str], sheet: &mut Sheet<'_>) {
    for flag in flags {
        let Some(Datum::Int(size @ ..=0)) = sheet.given(flag).map(|given| given.datum) else { continue };
        refuse(flag, &format!("channel size {size} must be greater than 0"), "1 or more", sheet);
    }
}

/// The label of the servers' leases (`ParseLabels` of pkg/util): pairs of `key=value`, separated by commas.
pub(super) fn label(flags: &[&'static str], sheet: &mut Sheet<'_>) -> String {
    let flag = flags.iter().copied().find(|flag| sheet.given(flag).is_some()).unwrap_or(flags[0]);
    let text = sheet.text(flag).unwrap_or_else(|| "k8s-app=konnectivity-server".to_owned());
    let pair = |pair: &str| pair.split_once('=').is_some_and(|(key, _)| !key.trim().is_empty());
    if !text.split(',').all(pair) {
        refuse(flag, &format!("{text:?} are no labels"), "key=value, separated by commas", sheet);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{numbered, written};

    #[test]
    fn konnectivitys_versions_are_ordered_as_they_were_released() {
        let tags = ["v0.0.9", "v0.0.37", "v0.1.10", "v0.28.0", "v0.31.1", "v0.36.0"];
        let numbers: Vec<u32> = tags.iter().map(|tag| numbered(tag).expect("a version")).collect();
        assert!(numbers.is_sorted() && numbers[4] == 31_001, "{numbers:?}");
        assert!(tags.iter().zip(&numbers).all(|(tag, number)| written(*number) == *tag));
        for other in ["latest", "v1.34.2", "4.17", "sha-12", ""] {
            assert_eq!(numbered(other), None, "{other}");
        }
    }
}
