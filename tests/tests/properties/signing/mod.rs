//! Whatever a signing request asks for, the certificate that comes of it, if one comes, says only
//! what its signer's rules allow
//! (<https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers>).
//!
//! The requests are made up byte by byte, so that they hold what no honest client would write, and
//! an administrator approves them all: what stops them is the apiserver and the signer alone.

mod der;

use super::stage::{Ask, Caller, Stage, play};
use super::{Counts, fails, hold};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use der::General;
use proptest::prelude::*;
use proptest::sample::select;
use ravelin_api::object;
use ravelin_host::{Flaw, Flaws};
use ravelin_pki::KeyPair;
use serde_json::{Value, json};
use std::time::Duration;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::{OID_X509_COMMON_NAME, OID_X509_ORGANIZATION_NAME};
use x509_parser::prelude::{FromDer, X509Certificate};

const CSRS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
/// How long certificates live at most, in seconds (the controllers' setting in this test).
const LONGEST: i64 = 24 * 3600;
/// From so long before they are issued (`pkg/controller/certificates/authority/authority.go`).
const BACKDATED: i64 = 5 * 60;

/// Whose rules apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signer {
    ApiClient,
    KubeletClient,
    KubeletServing,
}

impl Signer {
    fn name(self) -> &'static str {
        match self {
            Self::ApiClient => "kubernetes.io/kube-apiserver-client",
            Self::KubeletClient => "kubernetes.io/kube-apiserver-client-kubelet",
            Self::KubeletServing => "kubernetes.io/kubelet-serving",
        }
    }
}

/// What is out of order in a request.
#[derive(Clone, Debug)]
enum Spoil {
    /// `CA:TRUE`.
    Authority {
        has_length: bool,
    },
    /// Key usage bits: 0x80 is digital signature, 0x04 certificate signing, 0x02 revocation lists.
    KeyUsage(u8),
    /// Extended key usages: 1 server, 2 client, 3 code signing, 0 any.
    Extended(Vec<u8>),
    /// One more name.
    Name(General),
    NameConstraints,
    Unknown {
        critical: bool,
    },
    CommonName(Option<&'static str>),
    SecondCommonName(&'static str),
    Organizations(Vec<&'static str>),
    Unit,
    NotSigned,
    Usages(Vec<&'static str>),
    OtherSigner(&'static str),
    Expires(i64),
}

#[derive(Clone, Debug)]
struct Plan {
    signer: Signer,
    has_encipherment: bool,
    spoils: Vec<Spoil>,
}

fn any_spoil() -> impl Strategy<Value = Spoil> {
    let names = vec![
        General::Dns("kubernetes.default.svc"),
        General::Dns("*"),
        General::Ip([10, 0, 0, 1]),
        General::Email("a@example.com"),
        General::Uri("spiffe://cluster/admin"),
    ];
    let usages = vec![
        vec!["client auth"],
        vec!["server auth"],
        vec!["digital signature", "client auth", "server auth"],
        vec!["digital signature", "client auth", "cert sign"],
        vec!["any"],
        vec!["digital signature", "server auth", "code signing"],
        vec![],
    ];
    prop_oneof![
        2 => any::<bool>().prop_map(|has_length| Spoil::Authority { has_length }),
        1 => select(vec![0x80, 0x84, 0x06, 0xa0, 0x02]).prop_map(Spoil::KeyUsage),
        1 => select(vec![vec![1], vec![2, 1], vec![0], vec![3, 2]]).prop_map(Spoil::Extended),
        2 => select(names).prop_map(Spoil::Name),
        1 => Just(Spoil::NameConstraints),
        1 => any::<bool>().prop_map(|critical| Spoil::Unknown { critical }),
        1 => select(vec![None, Some("admin"), Some("system:node"), Some("")]).prop_map(Spoil::CommonName),
        1 => select(vec!["admin", "system:node:n9"]).prop_map(Spoil::SecondCommonName),
        2 => select(vec![vec![], vec!["system:masters"], vec!["system:nodes", "system:masters"], vec!["system:nodes", "system:nodes"]])
            .prop_map(Spoil::Organizations),
        1 => Just(Spoil::Unit),
        1 => Just(Spoil::NotSigned),
        2 => select(usages).prop_map(Spoil::Usages),
        1 => select(vec!["example.com/mine", "kubernetes.io/legacy-unknown", "kubernetes.io/kube-apiserver", ""]).prop_map(Spoil::OtherSigner),
        1 => select(vec![600, 3600, LONGEST * 365, 60, -1]).prop_map(Spoil::Expires),
    ]
}

fn any_plan() -> impl Strategy<Value = Plan> {
    let signer = select(vec![Signer::ApiClient, Signer::KubeletClient, Signer::KubeletServing]);
    (signer, any::<bool>(), prop::collection::vec(any_spoil(), 0..3))
        .prop_map(|(signer, has_encipherment, spoils)| Plan { signer, has_encipherment, spoils })
}

/// A request as it is made, and what of it counts.
struct Made {
    object: Value,
    key: KeyPair,
    names: Vec<General>,
    common_name: Option<&'static str>,
    organizations: Vec<&'static str>,
    expires: Option<i64>,
}

impl Plan {
    fn make(&self, number: usize) -> Made {
        let mut draft = Draft::good(self.signer);
        if self.has_encipherment {
            draft.usages.push("key encipherment");
        }
        for spoil in &self.spoils {
            draft.spoil(spoil);
        }
        draft.made(number)
    }
}

/// A request before it is written down.
struct Draft {
    signer: &'static str,
    names: Vec<General>,
    common_name: Option<&'static str>,
    second_name: Option<&'static str>,
    organizations: Vec<&'static str>,
    has_unit: bool,
    usages: Vec<&'static str>,
    extensions: Vec<Vec<u8>>,
    is_signed: bool,
    expires: Option<i64>,
}

impl Draft {
    /// One that is signed.
    fn good(signer: Signer) -> Self {
        let is_serving = signer == Signer::KubeletServing;
        let (common_name, organization) = match signer {
            Signer::ApiClient => ("alice", "dev"),
            _ => ("system:node:n1", "system:nodes"),
        };
        let names = vec![General::Dns("n1"), General::Ip([10, 0, 0, 2])];
        Self {
            signer: signer.name(),
            names: if is_serving { names } else { Vec::new() },
            common_name: Some(common_name),
            second_name: None,
            organizations: vec![organization],
            has_unit: false,
            usages: vec!["digital signature", if is_serving { "server auth" } else { "client auth" }],
            extensions: Vec::new(),
            is_signed: true,
            expires: None,
        }
    }

    fn spoil(&mut self, spoil: &Spoil) {
        match spoil {
            Spoil::Authority { has_length } => {
                let mut value = vec![der::boolean(true)];
                value.extend(has_length.then(|| der::integer(3)));
                self.extend(der::BASIC_CONSTRAINTS, true, &der::sequence(&value));
            }
            Spoil::KeyUsage(bits) => self.extend(der::KEY_USAGE, true, &der::key_usage(*bits)),
            Spoil::Extended(kinds) => {
                let oids = kinds.iter().map(|kind| match kind {
                    0 => der::oid(&[2, 5, 29, 37, 0]),
                    kind => der::oid(&[1, 3, 6, 1, 5, 5, 7, 3, u32::from(*kind)]),
                });
                let value = der::sequence(&oids.collect::<Vec<_>>());
                self.extend(der::EXTENDED_KEY_USAGE, false, &value);
            }
            Spoil::Name(name) => self.names.push(name.clone()),
            Spoil::NameConstraints => self.extend(der::NAME_CONSTRAINTS, true, &der::sequence(&[])),
            Spoil::Unknown { critical } => {
                self.extend(&[1, 3, 6, 1, 4, 1, 99999, 1], *critical, &der::integer(1));
            }
            Spoil::CommonName(name) => self.common_name = *name,
            Spoil::SecondCommonName(name) => self.second_name = Some(name),
            Spoil::Organizations(all) => self.organizations.clone_from(all),
            Spoil::Unit => self.has_unit = true,
            Spoil::NotSigned => self.is_signed = false,
            Spoil::Usages(all) => self.usages.clone_from(all),
            Spoil::OtherSigner(name) => self.signer = name,
            Spoil::Expires(seconds) => self.expires = Some(*seconds),
        }
    }

    fn extend(&mut self, kind: &[u32], critical: bool, value: &[u8]) {
        self.extensions.push(der::extension(kind, critical, value));
    }

    fn made(mut self, number: usize) -> Made {
        if !self.names.is_empty() {
            let names = der::alternative_names(&self.names);
            self.extend(der::ALTERNATIVE_NAMES, false, &names);
        }
        let mut attributes: Vec<(&[u32], &str)> =
            self.organizations.iter().map(|organization| (der::ORGANIZATION, *organization)).collect();
        let common_names = self.common_name.iter().chain(&self.second_name);
        attributes.extend(common_names.map(|name| (der::COMMON_NAME, *name)));
        if self.has_unit {
            attributes.push((der::UNIT, "unit"));
        }
        let key = KeyPair::generate(&mut super::stage::chance("requester"));
        let pem = der::request(&der::name(&attributes), &self.extensions, (&key, self.is_signed));
        let mut spec =
            json!({"request": STANDARD.encode(pem), "signerName": self.signer, "usages": self.usages});
        if let Some(seconds) = self.expires {
            spec["expirationSeconds"] = json!(seconds);
        }
        let object = json!({"kind": "CertificateSigningRequest", "apiVersion": "certificates.k8s.io/v1",
            "metadata": {"name": format!("r{number}")}, "spec": spec});
        Made {
            object,
            key,
            names: self.names,
            // Of two the last counts (Go's `pkix.Name.FillFromRDNSequence`).
            common_name: self.second_name.or(self.common_name),
            organizations: self.organizations,
            expires: self.expires,
        }
    }
}

/// Everything in a certificate that the rules of its signer do not allow.
fn complaints(plan: &Plan, made: &Made, certificate: &X509Certificate<'_>, now: i64) -> Vec<String> {
    let mut found = Vec::new();
    let mut complain = |wrong: bool, what: String| found.extend(wrong.then_some(what));
    let is_kubelets = plan.signer != Signer::ApiClient;
    let texts = |kind| -> Vec<String> {
        let attributes =
            certificate.subject().iter_attributes().filter(|attribute| *attribute.attr_type() == kind);
        attributes.filter_map(|attribute| attribute.as_str().ok().map(str::to_owned)).collect()
    };
    let (names, groups) = (texts(OID_X509_COMMON_NAME), texts(OID_X509_ORGANIZATION_NAME));
    let others = certificate.subject().iter_attributes().count() - names.len() - groups.len();
    complain(others > 0 && is_kubelets, format!("{others} other attributes in a node's name"));
    if is_kubelets {
        complain(groups != ["system:nodes"], format!("a node's groups are {groups:?}"));
        complain(
            !names.last().is_some_and(|name| name.starts_with("system:node:")),
            format!("a node is called {names:?}"),
        );
    }
    complain(
        groups.iter().any(|group| group == "system:masters"),
        "a request makes an administrator".to_owned(),
    );
    complain(groups != made.organizations, format!("the groups {groups:?} were not asked for"));
    complain(
        names.last().map(String::as_str).unwrap_or_default() != made.common_name.unwrap_or_default(),
        format!("{names:?} was not asked for"),
    );
    complain(
        certificate.public_key().raw != made.key.public().to_spki_der(),
        "it is of another key".to_owned(),
    );
    let (from, until) =
        (certificate.validity().not_before.timestamp(), certificate.validity().not_after.timestamp());
    let longest = made.expires.map_or(LONGEST, |asked| asked.clamp(600, LONGEST));
    complain(from < now - BACKDATED, format!("it is valid from {} s before", now - from));
    complain(until > now + longest + 60, format!("it is valid for {} s", until - now));
    for extension in certificate.extensions() {
        let (wrong, what) = extension_is_wrong(plan, made, extension.parsed_extension());
        complain(wrong, what);
    }
    let has_purpose = certificate.extended_key_usage().ok().flatten().is_some();
    complain(!has_purpose, "it may be used for anything".to_owned());
    complain(certificate.is_ca(), "it is an authority's".to_owned());
    found
}

fn extension_is_wrong(plan: &Plan, made: &Made, extension: &ParsedExtension<'_>) -> (bool, String) {
    let wrong = match extension {
        ParsedExtension::BasicConstraints(constraints) => {
            constraints.ca || constraints.path_len_constraint.is_some()
        }
        // Digital signature and key encipherment: the first and the third bit.
        ParsedExtension::KeyUsage(usage) => usage.flags & !0b101 != 0,
        ParsedExtension::ExtendedKeyUsage(usage) => {
            let is_server = plan.signer == Signer::KubeletServing;
            let others = usage.any
                || usage.code_signing
                || usage.email_protection
                || usage.time_stamping
                || usage.ocsp_signing
                || !usage.other.is_empty();
            others || usage.server_auth != is_server || usage.client_auth == is_server
        }
        ParsedExtension::SubjectAlternativeName(names) => {
            let allowed = |name: &GeneralName<'_>| {
                let asked = made.names.iter().any(|asked| same_name(name, asked));
                let is_kind = match plan.signer {
                    Signer::ApiClient => true,
                    Signer::KubeletClient => false,
                    Signer::KubeletServing => {
                        matches!(name, GeneralName::DNSName(_) | GeneralName::IPAddress(_))
                    }
                };
                asked && is_kind
            };
            !names.general_names.iter().all(allowed)
        }
        ParsedExtension::AuthorityKeyIdentifier(_) | ParsedExtension::SubjectKeyIdentifier(_) => false,
        _ => true,
    };
    (wrong, format!("{extension:?}"))
}

fn same_name(name: &GeneralName<'_>, asked: &General) -> bool {
    match (name, asked) {
        (GeneralName::DNSName(one), General::Dns(two))
        | (GeneralName::RFC822Name(one), General::Email(two))
        | (GeneralName::URI(one), General::Uri(two)) => one == two,
        (GeneralName::IPAddress(one), General::Ip(two)) => *one == two,
        _ => false,
    }
}

/// Makes, approves, and waits until the signer has had its time.
async fn ask_for_all(admin: &mut Caller, plans: &[Plan], counts: &Counts) -> Vec<Option<Made>> {
    let mut all = Vec::new();
    for (number, plan) in plans.iter().enumerate() {
        let made = plan.make(number);
        let answer = admin.ask(&Ask::new("POST", CSRS).with(&made.object)).await;
        if !answer.is_ok() {
            counts.count("refused by the apiserver");
            all.push(None);
            continue;
        }
        let mut approved = answer.json();
        approved["status"]["conditions"] =
            json!([{"type": "Approved", "status": "True", "reason": "Test", "message": "m"}]);
        let path = format!("{CSRS}/r{number}/approval");
        let answer = admin.ask(&Ask::new("PUT", path).with(&approved)).await;
        assert!(answer.is_ok(), "the administrator may approve: {}", answer.text);
        all.push(Some(made));
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    all
}

async fn sign(plans: &[Plan], counts: &Counts, flaws: Flaws) -> Result<(), String> {
    let stage = Stage::flawed(flaws.clone(), |_| {}).await;
    let _controllers = stage.controllers(flaws, LONGEST, &["csrapproving", "csrcleaner"]);
    let mut admin = stage.caller(stage.admin()).await;
    let now = stage.at(0).as_second();
    let all = ask_for_all(&mut admin, plans, counts).await;
    for (number, (plan, made)) in plans.iter().zip(&all).enumerate() {
        let Some(made) = made else { continue };
        let csr = admin.get(format!("{CSRS}/r{number}")).await.json();
        let pem = STANDARD.decode(object::text(&csr, "status.certificate")).unwrap_or_default();
        if pem.is_empty() {
            counts.count("refused by the signer");
            continue;
        }
        let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).map_err(|error| error.to_string())?;
        let (_, certificate) = X509Certificate::from_der(&pem.contents).map_err(|error| error.to_string())?;
        let is_ours =
            plan.spoils.iter().all(|spoil| !matches!(spoil, Spoil::OtherSigner(_) | Spoil::NotSigned));
        let mut found = complaints(plan, made, &certificate, now);
        found.extend((!is_ours).then(|| "it was signed at all".to_owned()));
        if !found.is_empty() {
            return Err(format!("{plan:?}\n{found:#?}"));
        }
        counts.count("signed");
        counts.count(if plan.spoils.is_empty() {
            "signed as it should be"
        } else {
            "signed without what was too much"
        });
    }
    Ok(())
}

fn any_plans() -> impl Strategy<Value = Vec<Plan>> {
    prop::collection::vec(any_plan(), 20)
}

#[test]
fn a_certificate_says_only_what_its_signers_rules_allow() {
    let counts = Counts::default();
    hold((17, 12, 400), any_plans(), |plans| play(8, sign(plans, &counts, Flaws::none())));
    counts.at_least(&[
        ("signed as it should be", 30),
        ("signed without what was too much", 15),
        ("refused by the signer", 30),
        ("refused by the apiserver", 20),
    ]);
}

#[test]
fn without_its_rules_a_signer_signs_more() {
    let counts = Counts::default();
    let with = || Flaws::danger([Flaw::SignersTrustRequests]);
    assert!(fails((17, 10), any_plans(), |plans| play(8, sign(plans, &counts, with()))));
}
