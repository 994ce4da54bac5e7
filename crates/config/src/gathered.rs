//! What the files said, before it becomes a [`crate::ClusterConfig`]: every option with its place, and every mistake.

use crate::catalogue::{Effect, GateEffect, Kind, Known, gate_effect};
use crate::datum::{Datum, Misfit, parse};
use crate::error::ConfigError;
use crate::model::{Assumed, Component, KubernetesVersion, Manifest, NoEffect, UnknownEffect};

/// Who says it; later ones win over earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// What kubeadm would have written; no file says it.
    Assumed,
    /// A key of a component's configuration file.
    File,
    /// An argument in a kubeadm file.
    Extra,
    /// A flag.
    Flag,
}

/// A place in the input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub file: String,
    /// Counted from 1.
    pub line: usize,
}

impl Place {
    pub fn new(file: &str, line: usize) -> Self {
        Self { file: file.to_owned(), line }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One option that was given.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub component: Component,
    pub known: Known,
    /// As the file has it: `--client-ca-file` or `authentication.x509.clientCAFile`.
    pub key: String,
    pub text: String,
    pub datum: Datum,
    pub origin: Origin,
    pub place: Place,
}

/// A version that a file names.
#[derive(Clone, Debug)]
pub(crate) struct VersionSaid {
    pub version: KubernetesVersion,
    pub component: Component,
    pub key: String,
    pub place: Place,
}

/// Everything that was read.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub given: Vec<Given>,
    pub versions: Vec<VersionSaid>,
    pub manifests: Vec<Manifest>,
    pub no_effect: Vec<NoEffect>,
    pub unknown: Vec<UnknownEffect>,
    pub assumed: Vec<Assumed>,
    pub errors: Vec<ConfigError>,
    /// Names of the components whose own flags are in the input, with the place of the first.
    pub started: std::collections::BTreeMap<Component, Place>,
    /// Documents whose meaning depends on a flag: found by kind.
    pub kubelet_file: Option<Place>,
    /// How many apiservers are given that differ in their addresses alone; 0 where there is one or none.
    pub apiservers: u32,
    pub proxy_file: Option<Place>,
    pub egress: Option<crate::documents::EgressSelector>,
    pub ssh_tunnels: Option<crate::documents::SshTunnels>,
    /// The pods that konnectivity's agents are, by the place of their container.
    pub agent_pods: Vec<(Place, crate::model::AgentPod)>,
    /// The versions of konnectivity's images, as `assemble::konnectivity` numbers them, and where they stand.
    pub konnectivity_versions: std::collections::BTreeMap<Component, (u32, Place)>,
    pub authentication: Option<crate::documents::Authentication>,
    /// An `AdmissionConfiguration` is there, and configures nothing that matters to a path.
    pub harmless_admission: bool,
    pub authorization: Option<crate::documents::Authorization>,
    pub kubeadm: crate::kubeadm::Kubeadm,
    /// The static users of token files.
    pub token_files: Vec<(Place, Vec<crate::model::StaticUser>)>,
    /// Configuration that stands in ConfigMaps: it counts where no file of its kind is given.
    pub embedded: Vec<crate::documents::Embedded>,
}

impl Gathered {
    /// Notes a mistake.
    pub fn fail(
        &mut self,
        place: &Place,
        key: &str,
        problem: impl Into<String>,
        accepted: impl Into<String>,
    ) {
        self.errors.push(ConfigError {
            file: place.file.clone(),
            line: (place.line > 0).then_some(place.line),
            key: key.to_owned(),
            problem: problem.into(),
            accepted: accepted.into(),
        });
    }

    /// Notes that something was assumed, once.
    pub fn assume(&mut self, sentence: impl Into<String>) {
        let assumed = Assumed(sentence.into());
        if !self.assumed.contains(&assumed) {
            self.assumed.push(assumed);
        }
    }

    /// Notes something whose effect is not known.
    pub fn unknown(&mut self, component: Component, key: &str, place: &Place, effect: (&[&str], &str)) {
        self.unknown.push(UnknownEffect {
            component,
            key: key.to_owned(),
            file: place.file.clone(),
            line: place.line,
            paths: effect.0.iter().map(|&p| p.to_owned()).collect(),
            why: effect.1.to_owned(),
        });
    }

    /// Takes one option: parses its value, and files it by its effect.
    pub fn take(&mut self, component: Component, known: Known, origin: Origin, raw: (String, String, Place)) {
        let (key, text, place) = raw;
        let datum = match parse(known.kind, &text) {
            Ok(datum) => datum,
            Err(Misfit { problem, accepted }) => return self.fail(&place, &key, problem, accepted),
        };
        if known.name == "feature-gates" {
            self.gates(component, &key, &datum, &place);
        }
        match known.effect {
            Effect::Modelled => {}
            Effect::None => self.without_effect(component, &key, &place),
            Effect::Unknown { paths, why, unless } => {
                // What the machine asks of itself crosses no network.
                let local =
                    ["http://127.0.0.1:", "http://localhost:"].iter().any(|url| text.starts_with(url));
                if unless.contains(&text.as_str()) || (known.name == "manifest-url" && local) {
                    self.without_effect(component, &key, &place);
                } else {
                    self.unknown(component, &key, &place, (paths, why));
                }
            }
        }
        self.given.push(Given { component, known, key, text, datum, origin, place });
    }

    /// Notes something that changes nothing.
    pub fn without_effect(&mut self, component: Component, key: &str, place: &Place) {
        self.no_effect.push(NoEffect {
            component,
            key: key.to_owned(),
            file: place.file.clone(),
            line: place.line,
        });
    }

    fn gates(&mut self, component: Component, key: &str, datum: &Datum, place: &Place) {
        let Datum::List(gates) = datum else { return };
        for gate in gates {
            let (name, value) = gate.split_once('=').unwrap_or((gate, ""));
            if let Err(Misfit { problem, accepted }) = parse(Kind::Bool, value) {
                self.fail(place, &format!("{key}={name}"), problem, accepted);
                continue;
            }
            let key = format!("{key}={gate}");
            match gate_effect(name) {
                GateEffect::Modelled => {}
                GateEffect::None => self.without_effect(component, &key, place),
                GateEffect::Unknown(paths) => self.unknown(component, &key, place, (paths, "a feature gate")),
            }
        }
    }
}
