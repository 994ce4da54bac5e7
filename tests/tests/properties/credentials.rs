//! Bootstrap tokens and client certificates: when they are good, to the second, against plain models.

use super::stage::{Shown, Stage, play};
use super::{Counts, hold};
use proptest::prelude::*;
use proptest::sample::select;
use ravelin_api::time;
use ravelin_pki::{Authority, KeyPair, Profile, Subject, Usage};
use serde_json::{Value, json};
use std::sync::Arc;

/// The Secret of a bootstrap token
/// (<https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/>).
#[derive(Clone, Debug)]
struct Bootstrap {
    /// When it ends, in seconds from the beginning; `Err`: what stands there instead of a time.
    ends: Option<Result<i64, &'static str>>,
    authenticates: Option<&'static str>,
    groups: Option<&'static str>,
    kind: &'static str,
    /// The id within, and the secret.
    within: (&'static str, &'static str),
    is_marked: bool,
    /// What is shown.
    shown: &'static str,
    /// When, in seconds.
    asked: Vec<i64>,
}

const GOOD: (&str, &str) = ("abcdef", "0123456789abcdef");

fn any_bootstrap() -> impl Strategy<Value = Bootstrap> {
    let mostly =
        |good: &'static str, others: Vec<&'static str>| prop_oneof![6 => Just(good), 1 => select(others)];
    let ends = prop_oneof![
        1 => Just(None),
        6 => (0..40_i64).prop_map(|at| Some(Ok(at))),
        1 => select(vec!["tomorrow", "", "2026-01-01"]).prop_map(|text| Some(Err(text))),
    ];
    let authenticates =
        prop_oneof![6 => Just(Some("true")), 1 => select(vec![None, Some("false"), Some("True"), Some("1")])];
    let groups = prop_oneof![
        2 => Just(None),
        4 => Just(Some("system:bootstrappers:a,system:bootstrappers:b-c")),
        1 => select(vec![Some("system:masters"), Some("system:bootstrappers:a,system:nodes"), Some("system:bootstrappers:")]),
    ];
    let kind = mostly("bootstrap.kubernetes.io/token", vec!["Opaque", ""]);
    let id = mostly(GOOD.0, vec!["abcdeg", ""]);
    let secret = mostly(GOOD.1, vec!["0123456789abcdee", ""]);
    let shown = mostly(
        "abcdef.0123456789abcdef",
        vec!["abcdef.0123456789abcdeg", "abcdeg.0123456789abcdef", "abcdef.", "ABCDEF.0123456789abcdef"],
    );
    let asked = prop::collection::vec(0..45_i64, 3..6);
    ((ends, authenticates, groups, kind), (id, secret, prop::bool::weighted(0.1)), shown, asked).prop_map(
        |((ends, authenticates, groups, kind), (id, secret, is_marked), shown, asked)| Bootstrap {
            ends,
            authenticates,
            groups,
            kind,
            within: (id, secret),
            is_marked,
            shown,
            asked,
        },
    )
}

impl Bootstrap {
    fn secret(&self, stage: &Stage) -> Value {
        use base64::Engine;
        let mut data = serde_json::Map::new();
        let mut put = |key: &str, value: &str| {
            data.insert(key.to_owned(), json!(base64::engine::general_purpose::STANDARD.encode(value)));
        };
        put("token-id", self.within.0);
        put("token-secret", self.within.1);
        match self.ends {
            Some(Ok(seconds)) => put("expiration", &time::format(stage.at(seconds))),
            Some(Err(text)) => put("expiration", text),
            None => {}
        }
        if let Some(text) = self.authenticates {
            put("usage-bootstrap-authentication", text);
        }
        if let Some(text) = self.groups {
            put("auth-extra-groups", text);
        }
        json!({"kind": "Secret", "apiVersion": "v1", "type": self.kind, "data": data,
            "metadata": {"namespace": "kube-system", "name": "bootstrap-token-abcdef"}})
    }

    /// The groups that it gives at a time; `None` where it is no good.
    fn gives(&self, now: i64) -> Option<Vec<&'static str>> {
        let is_over = match self.ends {
            None | Some(Err("")) => false,
            Some(Ok(end)) => now >= end,
            Some(Err(_)) => true,
        };
        let is_good = self.shown == "abcdef.0123456789abcdef"
            && self.within == GOOD
            && self.kind == "bootstrap.kubernetes.io/token"
            && self.authenticates == Some("true")
            && !self.is_marked
            && !is_over;
        let extra: Vec<&str> =
            self.groups.unwrap_or_default().split(',').filter(|group| !group.is_empty()).collect();
        let may_give = |group: &&str| {
            group
                .strip_prefix("system:bootstrappers:")
                .is_some_and(|rest| !rest.is_empty() && !rest.ends_with('-'))
        };
        (is_good && extra.iter().all(may_give)).then(|| {
            let mut groups = vec!["system:bootstrappers", "system:authenticated"];
            groups.extend(extra);
            groups.sort_unstable();
            groups
        })
    }
}

async fn bootstrap(case: &Bootstrap, counts: &Counts) -> Result<(), String> {
    let stage = Stage::new(|_| {}).await;
    let stored = stage.given(case.secret(&stage));
    if case.is_marked {
        let key = ravelin_apiserver::Key::namespaced("secrets", "kube-system", "bootstrap-token-abcdef");
        let mut marked = stored.as_ref().clone();
        marked["metadata"]["deletionTimestamp"] = json!(time::format(stage.at(0)));
        stage.store().update(&key, marked).map_err(|error| error.to_string())?;
    }
    let shown = Shown { certificate: None, token: Some(case.shown.to_owned()) };
    let mut caller = stage.caller(shown).await;
    for now in &case.asked {
        stage.set_clock(*now);
        let who = super::stage::Ask::new("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews");
        let answer = caller.ask(&who.with(&json!({}))).await;
        let found = (answer.code != 401).then(|| {
            let review = answer.json();
            let groups = review["status"]["userInfo"]["groups"].as_array().cloned().unwrap_or_default();
            let mut groups: Vec<String> =
                groups.iter().filter_map(|group| group.as_str().map(str::to_owned)).collect();
            groups.sort_unstable();
            (review["status"]["userInfo"]["username"].clone(), groups)
        });
        let expected = case.gives(*now).map(|groups| {
            (json!("system:bootstrap:abcdef"), groups.into_iter().map(str::to_owned).collect())
        });
        if found != expected {
            return Err(format!("at {now}: {found:?}, but it should be {expected:?}: {}", answer.text));
        }
        counts.count(if expected.is_some() { "good" } else { "no good" });
        if let Some(Ok(end)) = case.ends
            && (now - end).abs() <= 1
        {
            counts.count("about its end");
        }
    }
    Ok(())
}

#[test]
fn bootstrap_tokens_are_good_for_what_their_secrets_say() {
    let counts = Counts::default();
    hold((14, 150, 6_000), any_bootstrap(), |case| play(3, bootstrap(case, &counts)));
    counts.at_least(&[("good", 50), ("no good", 150), ("about its end", 10)]);
}

/// A client certificate, and when it is used.
#[derive(Clone, Debug)]
struct Certified {
    between: (i64, i64),
    usages: Vec<Usage>,
    is_of_our_authority: bool,
    groups: Vec<&'static str>,
    asked: Vec<i64>,
}

fn any_certified() -> impl Strategy<Value = Certified> {
    let between = (0..30_i64, 0..30_i64);
    let usages = select(vec![
        vec![Usage::Client],
        vec![Usage::Client],
        vec![Usage::Client, Usage::Server],
        vec![Usage::Server],
        vec![],
    ]);
    let groups = select(vec![vec![], vec!["dev"], vec!["b", "a"]]);
    (between, usages, prop::bool::weighted(0.85), groups, prop::collection::vec(0..60_i64, 4..9)).prop_map(
        |((from, lasts), usages, is_of_our_authority, groups, mut asked)| {
            // On the borders, too.
            asked.extend([from - 1, from, from + lasts, from + lasts + 1]);
            Certified { between: (from, from + lasts), usages, is_of_our_authority, groups, asked }
        },
    )
}

impl Certified {
    /// Is it good at this second? One that names no use may be used for all
    /// (RFC 5280 section 4.2.1.12).
    fn is_good(&self, now: i64) -> bool {
        let (from, until) = self.between;
        let is_for_clients = self.usages.is_empty() || self.usages.contains(&Usage::Client);
        self.is_of_our_authority && is_for_clients && (from..=until).contains(&now)
    }
}

async fn certified(case: &Certified, counts: &Counts) -> Result<(), String> {
    let stage = Stage::new(|_| {}).await;
    let mut entropy = super::stage::chance("certificates");
    let profile = Profile {
        subject: Subject::new("alice", &case.groups),
        sans: Vec::new(),
        usages: case.usages.clone(),
        not_before: stage.at(case.between.0),
        not_after: stage.at(case.between.1),
    };
    let (from, until) = (stage.at(-60), stage.at(1_000_000));
    let other = Authority::new("kubernetes", KeyPair::generate(&mut entropy), from, until, &mut entropy);
    let authority = if case.is_of_our_authority { Arc::clone(&stage.authority) } else { Arc::new(other) };
    let identity = authority.identity(&profile, &mut entropy);
    // One connection for all: that it was opened in time says nothing later.
    let mut caller = stage.caller(Shown { certificate: Some(identity), token: None }).await;
    for now in &case.asked {
        stage.set_clock(*now);
        let answer = caller.get("/api/v1/namespaces/default/pods").await;
        let is_accepted = match answer.code {
            403 if answer.text.contains("\\\"alice\\\"") => true,
            401 => false,
            _ => return Err(format!("at {now}: {} {}", answer.code, answer.text)),
        };
        if is_accepted != case.is_good(*now) {
            return Err(format!("at {now} it is {}accepted", if is_accepted { "" } else { "not " }));
        }
        counts.count(if is_accepted { "good" } else { "no good" });
        if !is_accepted && case.is_good(case.between.0) {
            counts.count("out of its time");
        }
    }
    Ok(())
}

#[test]
fn a_client_certificate_is_judged_at_each_request() {
    let counts = Counts::default();
    hold((15, 100, 4_000), any_certified(), |case| play(4, certified(case, &counts)));
    counts.at_least(&[("good", 100), ("no good", 200), ("out of its time", 100)]);
}
