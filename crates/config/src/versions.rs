//! Which Kubernetes version the files are for, and whether every option exists in it.

use crate::catalogue::CERT_CN_GATE;
use crate::datum::Datum;
use crate::gathered::{Gathered, Given, Origin, Place};
use crate::model::{Component, KubernetesVersion, NEWEST, OLDEST, PLANNED};

/// Decides the version: the override, else what the files name, else the newest that fits every option.
pub(crate) fn decide(override_: Option<&str>, gathered: &mut Gathered) -> KubernetesVersion {
    let version = match override_.map(|text| (text, KubernetesVersion::parse(text))) {
        Some((_, Ok(version))) => Some(version),
        Some((text, Err(error))) => {
            let accepted = format!("{OLDEST} to {PLANNED}");
            gathered.fail(&Place::new("", 0), "--kubernetes-version", format!("{text:?} {error}"), accepted);
            None
        }
        None => said(gathered),
    };
    let limits = limits(gathered);
    match version {
        Some(version) => {
            for limit in limits.iter().filter(|l| !l.allows(version)) {
                let problem = limit.refusal(version);
                gathered.fail(&limit.place, &limit.key, problem, limit.range());
            }
            version
        }
        None => infer(&limits, gathered),
    }
}

/// The version that the files name. The apiserver's and the cluster's must agree; the others may lag behind.
fn said(gathered: &mut Gathered) -> Option<KubernetesVersion> {
    let of = |c: Component| gathered.versions.iter().find(|v| v.component == c).cloned();
    let order = [
        Component::Apiserver,
        Component::Cluster,
        Component::ControllerManager,
        Component::Scheduler,
        Component::Proxy,
        Component::Kubelet,
    ];
    let found = order.into_iter().find_map(of)?;
    if let (Some(image), Some(cluster)) = (of(Component::Apiserver), of(Component::Cluster))
        && image.version != cluster.version
    {
        let problem = format!("{} here, but {} in {}", cluster.version, image.version, image.place);
        gathered.fail(&cluster.place, &cluster.key, problem, "the same version in both files");
    }
    Some(found.version)
}

/// What one option says about the version.
struct Limit {
    key: String,
    place: Place,
    first: u32,
    last: u32,
    why: &'static str,
}

impl Limit {
    fn allows(&self, version: KubernetesVersion) -> bool {
        (self.first..=self.last).contains(&version.minor_number())
    }

    fn refusal(&self, version: KubernetesVersion) -> String {
        if self.why.is_empty() {
            format!("does not exist in Kubernetes {version}")
        } else {
            format!("{} in Kubernetes {version}", self.why)
        }
    }

    fn range(&self) -> String {
        match (self.first <= OLDEST.minor_number(), self.last >= NEWEST.minor_number()) {
            (true, true) => "any version".to_owned(),
            (true, false) => format!("Kubernetes 1.{} and older", self.last),
            (false, true) => format!("Kubernetes 1.{} and newer", self.first),
            (false, false) => format!("Kubernetes 1.{} to 1.{}", self.first, self.last),
        }
    }
}

fn limits(gathered: &Gathered) -> Vec<Limit> {
    let from_files = |given: &&Given| given.origin != Origin::Assumed && !given.component.is_konnectivity();
    let mut limits: Vec<Limit> = gathered
        .given
        .iter()
        .filter(from_files)
        .map(|g| Limit {
            key: g.key.clone(),
            place: g.place.clone(),
            first: g.known.first,
            last: g.known.last,
            why: "",
        })
        .collect();
    let apiserver = |name: &str| {
        gathered.given.iter().find(|g| g.component == Component::Apiserver && g.known.name == name)
    };
    for name in ["insecure-port", "port"] {
        if let Some(given) = apiserver(name).filter(|g| g.text != "0") {
            let why = "must be 0";
            limits.push(Limit {
                key: given.key.clone(),
                place: given.place.clone(),
                first: 0,
                last: 19,
                why,
            });
        }
    }
    limits.extend(planned_gates(gathered));
    let own = gathered.given.iter().any(|g| g.component == Component::Apiserver && g.origin == Origin::Flag);
    if let (true, Some(place)) = (own, gathered.started.get(&Component::Apiserver)) {
        for name in ["service-account-issuer", "service-account-signing-key-file"] {
            if apiserver(name).is_none() {
                let why = "is missing, and required";
                limits.push(Limit {
                    key: format!("--{name}"),
                    place: place.clone(),
                    first: 0,
                    last: 19,
                    why,
                });
            }
        }
    }
    let file = gathered.kubelet_file.as_ref().map(|place| Limit {
        key: "kind".into(),
        place: place.clone(),
        first: 10,
        last: u32::MAX,
        why: "",
    });
    limits.extend(file);
    limits
}

/// The gates that no version up to the newest has: older ones refuse to start with them.
fn planned_gates(gathered: &Gathered) -> Vec<Limit> {
    let maps = gathered.given.iter().filter(|given| given.known.name == "feature-gates");
    let mut limits = Vec::new();
    for given in maps {
        let Datum::List(gates) = &given.datum else { continue };
        for gate in gates.iter().filter(|gate| gate.starts_with(&format!("{CERT_CN_GATE}="))) {
            limits.push(Limit {
                key: format!("{}={gate}", given.key),
                place: given.place.clone(),
                first: PLANNED.minor_number(),
                last: u32::MAX,
                why: "",
            });
        }
    }
    limits
}

fn infer(limits: &[Limit], gathered: &mut Gathered) -> KubernetesVersion {
    // What is planned only where nothing else has the options.
    let planned = NEWEST.minor_number() + 1..=PLANNED.minor_number();
    let fitting = (OLDEST.minor_number()..=NEWEST.minor_number())
        .rev()
        .chain(planned)
        .map(KubernetesVersion::minor)
        .find(|v| limits.iter().all(|l| l.allows(*v)));
    if let Some(version) = fitting {
        let oldest = limits.iter().min_by_key(|l| l.last).filter(|l| l.last < NEWEST.minor_number());
        let planned = limits.iter().find(|l| l.first > NEWEST.minor_number());
        if let Some(needs) = planned {
            gathered.assume(format!(
                "no file names a Kubernetes version: assumed {version} (the first with {})",
                needs.key
            ));
            return version;
        }
        let because = oldest.map_or_else(
            || "the newest known".to_owned(),
            |l| {
                if l.why.is_empty() {
                    format!("the last with {}", l.key)
                } else {
                    format!("from 1.{} on, {} {}", l.last + 1, l.key, l.why)
                }
            },
        );
        gathered.assume(format!("no file names a Kubernetes version: assumed {version} ({because})"));
        return version;
    }
    let begins = limits.iter().max_by_key(|l| l.first);
    // Two options that never met are the mistake; only where there are none, it is one that is missing.
    let ends = limits.iter().filter(|l| l.why.is_empty()).min_by_key(|l| l.last);
    if let Some(begins) = begins
        && ends.is_none_or(|ends| ends.last >= begins.first)
    {
        for missing in limits.iter().filter(|l| l.last < begins.first) {
            let problem = format!("{} in {} (as {} needs)", missing.why, begins.range(), begins.key);
            gathered.fail(&missing.place, &missing.key, problem, missing.range());
        }
    } else if let (Some(ends), Some(begins)) = (ends, begins) {
        let problem =
            format!("needs {}, but {} ({}) needs {}", begins.range(), ends.key, ends.place, ends.range());
        gathered.fail(&begins.place, &begins.key, problem, "options of one Kubernetes version");
    }
    NEWEST
}
