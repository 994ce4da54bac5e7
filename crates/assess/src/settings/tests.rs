//! Every row of the table does to the configuration what the files do that say so.

use super::*;
use crate::model::{Evidence, PropertyVerdict, State};
use ravelin_config::SourceFile;
use std::collections::BTreeMap;

/// Configuration files, as keys and values.
#[derive(Clone)]
struct Files {
    version: &'static str,
    flags: BTreeMap<&'static str, Vec<(String, String)>>,
    kubelet_file: Option<BTreeMap<String, String>>,
    /// The paths of `anonymous.conditions` in an AuthenticationConfiguration.
    anonymous: Option<Vec<String>>,
}

impl Files {
    /// Flags alone, all as open as they can be.
    fn open(version: &'static str) -> Self {
        let old = version < "1.20";
        let mut apiserver = "--authorization-mode=AlwaysAllow \
             --service-cluster-ip-range=10.0.0.0/24 --client-ca-file=/ca.crt \
             --service-account-lookup=false --requestheader-client-ca-file=/ca.crt --requestheader-username-headers=X-Remote-User"
            .to_owned();
        apiserver.push_str(if old {
            " --insecure-bind-address=0.0.0.0"
        } else {
            " --service-account-issuer=https://issuer --service-account-signing-key-file=/sa.key --service-account-key-file=/sa.pub"
        });
        let other = "--authorization-always-allow-paths=/healthz,/metrics --kubeconfig=/c.conf --bind-address=0.0.0.0";
        let manager =
            format!("{other} --cluster-signing-cert-file=/ca.crt --cluster-signing-key-file=/ca.key");
        let kubelet = "--kubeconfig=/k.conf";
        let flags = [
            ("kube-apiserver", apiserver.as_str()),
            ("kube-controller-manager", manager.as_str()),
            ("kube-scheduler", other),
            ("kubelet", kubelet),
            ("kube-proxy", "--cluster-cidr=10.244.0.0/16"),
        ];
        let words = |text: &str| -> Vec<(String, String)> {
            let pairs = text.split_whitespace().filter_map(|word| word.split_once('='));
            pairs.map(|(flag, value)| (flag.to_owned(), value.to_owned())).collect()
        };
        let flags = flags.map(|(component, text)| (component, words(text)));
        Self { version, flags: flags.into(), kubelet_file: None, anonymous: None }
    }

    /// The same with a configuration file for the kubelets that is as open.
    fn with_kubelet_file(mut self) -> Self {
        self.set("kubelet", "--config", "/var/lib/kubelet/config.yaml");
        let open = [
            ("authentication.anonymous.enabled", "true"),
            ("authentication.webhook.enabled", "false"),
            ("authorization.mode", "AlwaysAllow"),
            ("readOnlyPort", "10255"),
        ];
        self.kubelet_file = Some(open.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        self
    }

    fn set(&mut self, component: &str, key: &str, value: &str) {
        if key == "anonymous.conditions" {
            self.anonymous = Some(value.split(',').map(str::to_owned).collect());
            return;
        }
        match &mut self.kubelet_file {
            Some(file) if !key.starts_with("--") => _ = file.insert(key.to_owned(), value.to_owned()),
            _ => {
                let flags = self.flags.get_mut(component).expect("all components have flags");
                flags.retain(|(known, _)| known != key);
                flags.push((key.to_owned(), value.to_owned()));
            }
        }
        if key == "--config" {
            self.kubelet_file.get_or_insert_default();
        }
    }

    fn config(&self) -> ClusterConfig {
        let mut files = Vec::new();
        for (component, flags) in &self.flags {
            let words: Vec<String> = flags.iter().map(|(flag, value)| format!("{flag}={value}")).collect();
            let text = format!("[Service]\nExecStart=/usr/bin/{component} {}\n", words.join(" "));
            files.push(SourceFile { name: format!("{component}.service"), text });
        }
        if let Some(keys) = &self.kubelet_file {
            let mut object = serde_json::json!({
                "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            });
            for (key, value) in keys {
                let value = serde_json::from_str(value).unwrap_or_else(|_| value.as_str().into());
                let place = key.split('.').fold(&mut object, |place, key| &mut place[key]);
                *place = value;
            }
            files.push(SourceFile { name: "kubelet.yaml".into(), text: object.to_string() });
        }
        if let Some(paths) = &self.anonymous {
            let conditions: Vec<_> = paths.iter().map(|path| serde_json::json!({"path": path})).collect();
            let object = serde_json::json!({
                "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
                "anonymous": {"enabled": true, "conditions": conditions},
            });
            files.push(SourceFile { name: "authentication.yaml".into(), text: object.to_string() });
        }
        let read = ClusterConfig::read(&files, Some(self.version));
        read.unwrap_or_else(|errors| panic!("refused: {errors:#?}\n{files:#?}"))
    }
}

/// A verdict in which everything is broken, with evidence from every server.
fn everything_broken(path: &str, config: &ClusterConfig) -> Verdict {
    let evidence = |port: u16| Evidence {
        tactic: "t".into(),
        at_ms: 0,
        flow: format!("attacker > server:{port}"),
        text: String::new(),
    };
    let ports = [config.kubelet.port, 10_255, config.apiserver.secure_port];
    let broken =
        PropertyVerdict { evidence: ports.map(evidence).to_vec(), ..PropertyVerdict::new(State::Broken) };
    Verdict {
        path: path.into(),
        attacker: "rogue-node".into(),
        egress: "direct".into(),
        failed_closed: None,
        properties: Property::ALL.map(|property| (property, broken.clone())).into(),
        fix: vec![],
        controls: None,
    }
}

fn every_candidate(config: &ClusterConfig) -> BTreeSet<Change> {
    let paths = ["direct-to-component", "direct-to-apiserver-insecure", "apiserver-to-kubelet/logs"];
    let of_path = |path| candidates(config, &everything_broken(path, config), &Property::ALL);
    paths.into_iter().flat_map(of_path).collect()
}

#[test]
fn every_row_does_what_the_files_do_that_say_so() {
    let mut exercised = BTreeSet::new();
    for files in [
        Files::open("1.18"),
        Files::open("1.18").with_kubelet_file(),
        Files::open("1.34"),
        Files::open("1.34").with_kubelet_file(),
        Files::open("1.37").with_kubelet_file(),
    ] {
        let base = files.config();
        for change in every_candidate(&base) {
            let Change::Row(index) = change else { panic!("no manifest was given") };
            let (mut files, mut changes) = (files.clone(), vec![change.clone()]);
            if changed(&base, &changes) == base {
                // A check of names is nothing without a CA, and who is anonymous nothing where everything
                // is allowed.
                let mode = |row: &Row| {
                    row.component == Component::Apiserver && row.written[0].flag == "--authorization-mode"
                };
                let mode = rows::ROWS.iter().position(mode).expect("it is in the table");
                let needed = [0, mode].map(Change::Row);
                let needed = needed
                    .into_iter()
                    .find(|needed| changed(&base, [needed, &change]) != changed(&base, [needed]));
                changes.splice(..0, needed);
            }
            for setting in changes.iter().flat_map(|change| described(&base, change)) {
                files.set(&setting.component, &setting.key, &setting.to);
            }
            let (mut expected, wanted) = (files.config(), changed(&base, &changes));
            // Where it was read from is another matter than what was read.
            expected.provenance = wanted.provenance.clone();
            let text = |config: &ClusterConfig| serde_json::to_value(config).expect("plain data");
            let (one, two) = (text(&wanted), text(&expected));
            for (part, wanted) in one.as_object().expect("it has parts") {
                assert_eq!(wanted, &two[part], "{part} with {:?}", described(&base, &change));
            }
            exercised.insert(index);
        }
    }
    let missed: Vec<usize> = (0..rows::ROWS.len()).filter(|index| !exercised.contains(index)).collect();
    assert!(missed.is_empty(), "rows that no configuration could use: {missed:?}");
}

#[test]
fn what_is_so_already_is_no_candidate() {
    let base = Files::open("1.34").with_kubelet_file().config();
    let all = every_candidate(&base);
    let closed = changed(&base, &all);
    assert!(all.len() > 12, "{all:?}");
    let left = every_candidate(&closed);
    // A verifier's names are compared from 1.37 on.
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn only_what_the_evidence_names_is_tried() {
    let base = Files::open("1.18").config();
    let mut verdict = everything_broken("apiserver-to-pod/https", &base);
    verdict.attacker = "impostor".into();
    for found in verdict.properties.values_mut() {
        found.evidence.clear();
    }
    assert_eq!(candidates(&base, &verdict, &Property::ALL), [], "nothing of these files verifies a pod");
    verdict.path = "apiserver-to-kubelet/logs".into();
    let keys = |broken: &[Property]| -> BTreeSet<String> {
        let found = candidates(&base, &verdict, broken);
        found.iter().flat_map(|change| described(&base, change)).map(|setting| setting.key).collect()
    };
    let forged = keys(&[Property::ResponseAuthentic]);
    assert!(
        forged.contains("--kubelet-certificate-authority") && !forged.contains("--anonymous-auth"),
        "{forged:?}"
    );
    assert!(keys(&[Property::AccessControlled]).contains("--anonymous-auth"));
}

#[test]
fn a_binding_for_strangers_can_be_left_out() {
    let mut base = Files::open("1.34").with_kubelet_file().config();
    let manifest = |line: usize, subject: serde_json::Value| Manifest {
        object: serde_json::json!({
            "kind": "ClusterRoleBinding", "metadata": {"name": format!("b{line}")}, "subjects": [subject],
        }),
        file: "rbac.yaml".into(),
        line,
    };
    base.manifests = vec![
        manifest(1, serde_json::json!({"kind": "Group", "name": "system:unauthenticated"})),
        manifest(9, serde_json::json!({"kind": "User", "name": "jane"})),
    ];
    let bindings =
        every_candidate(&base).into_iter().filter(|change| matches!(change, Change::WithoutBinding(..)));
    let bindings: Vec<Change> = bindings.collect();
    assert_eq!(bindings, [Change::WithoutBinding("rbac.yaml".into(), 1)]);
    let left = changed(&base, &bindings).manifests;
    assert_eq!(left.iter().map(|manifest| manifest.line).collect::<Vec<_>>(), [9]);
    let told = &described(&base, &bindings[0])[0];
    assert_eq!(
        (told.key.as_str(), told.from.as_deref(), told.to.as_str()),
        ("ClusterRoleBinding", Some("b1"), "")
    );
}
