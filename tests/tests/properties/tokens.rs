//! No service account token is accepted after its own end, after the end of what it is bound to, or
//! by whom it is not for, beyond the times that Kubernetes documents; and until then it is.
//!
//! The model is a few lines over the objects as they are (`pkg/serviceaccount/claims.go`,
//! <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/>), to the second.

use super::stage::{Ask, Caller, ISSUER, Shown, Stage, account, namespace, play};
use super::{Counts, fails, hold};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use ravelin_api::{object, time};
use ravelin_apiserver::store::{Precondition, Step as Write, StoreError};
use ravelin_apiserver::{Key, TokenLives};
use ravelin_host::{Flaw, Flaws};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const ACCOUNTS: [&str; 2] = ["s1", "s2"];
/// How far clocks may differ (`jwt.DefaultLeeway`), and how long a deleted object may linger.
const LEEWAY: i64 = 60;
/// How long a good token is believed unseen (`pkg/kubeapiserver/authenticator/config.go`).
const CACHED: i64 = 10;
/// What kubelets ask for, and how long that really lives where tokens are extended.
const KUBELETS: (i64, i64) = (3607, 365 * 24 * 3600);

/// What a token can be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Account,
    Pod,
    Secret,
    Node,
}

impl Kind {
    fn key(self, name: &str) -> Key {
        match self {
            Self::Account => Key::namespaced("serviceaccounts", "a", name),
            Self::Pod => Key::namespaced("pods", "a", name),
            Self::Secret => Key::namespaced("secrets", "a", name),
            Self::Node => Key::cluster("nodes", name),
        }
    }

    fn object(self, name: &str) -> Value {
        let named = |kind: &str| json!({"kind": kind, "apiVersion": "v1", "metadata": {"namespace": "a", "name": name}});
        match self {
            Self::Account => account("a", name),
            Self::Pod => {
                let mut pod = named("Pod");
                // Each runs as the account of its name.
                pod["spec"] =
                    json!({"nodeName": "s1", "serviceAccountName": name, "containers": [{"name": "c"}]});
                pod
            }
            Self::Secret => named("Secret"),
            Self::Node => json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": name}}),
        }
    }
}

const KINDS: [Kind; 4] = [Kind::Account, Kind::Pod, Kind::Secret, Kind::Node];

#[derive(Clone, Debug)]
enum Step {
    /// So many seconds pass.
    Passes(i64),
    /// A token is asked for; `None`: it is bound to nothing.
    Issued { account: &'static str, bound: Option<Kind>, elsewhere: bool, seconds: i64 },
    /// An object goes.
    Gone(Kind, &'static str),
    /// An object that is not there comes (again).
    Comes(Kind, &'static str),
    /// An object is marked as deleted, and stays for the time being.
    Marked(Kind, &'static str),
    /// A token is shown.
    Shown(Index, How),
    /// A token's last second, moved by so much, comes; then it is shown.
    AtItsEnd(Index, i64, How),
}

/// To whom a token is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum How {
    /// To the apiserver, for a request.
    Bearer,
    /// In a review for the default audience, said or not.
    Review,
    ReviewForApi,
    /// In a review for another audience.
    ReviewElsewhere,
}

const ELSEWHERE: &str = "elsewhere";

impl How {
    fn audience(self) -> &'static str {
        if self == Self::ReviewElsewhere { ELSEWHERE } else { ISSUER }
    }
}

#[derive(Clone, Debug)]
struct Case {
    is_cached: bool,
    is_extended: bool,
    steps: Vec<Step>,
}

fn any_case() -> impl Strategy<Value = Case> {
    let object = || (select(&KINDS[..]), select(&ACCOUNTS[..]));
    let how = || select(vec![How::Bearer, How::Bearer, How::Review, How::ReviewForApi, How::ReviewElsewhere]);
    let seconds = select(vec![600, 660, 1200, 3600, KUBELETS.0]);
    let bound = select(vec![None, Some(Kind::Pod), Some(Kind::Pod), Some(Kind::Secret), Some(Kind::Node)]);
    let issued = (select(&ACCOUNTS[..]), bound, prop::bool::weighted(0.2), seconds)
        .prop_map(|(account, bound, elsewhere, seconds)| Step::Issued { account, bound, elsewhere, seconds });
    let passes = prop_oneof![4 => 0..12_i64, 2 => 40..80_i64, 1 => 500..700_i64, 1 => 3_500..3_700_i64];
    let step = prop_oneof![
        4 => passes.prop_map(Step::Passes),
        4 => issued,
        2 => object().prop_map(|(kind, name)| Step::Gone(kind, name)),
        3 => object().prop_map(|(kind, name)| Step::Comes(kind, name)),
        2 => object().prop_map(|(kind, name)| Step::Marked(kind, name)),
        8 => (any::<Index>(), how()).prop_map(|(index, how)| Step::Shown(index, how)),
        2 => (any::<Index>(), select(vec![-1, 0, 1, 59, 60, 61]), how())
            .prop_map(|(index, by, how)| Step::AtItsEnd(index, by, how)),
    ];
    (any::<bool>(), any::<bool>(), prop::collection::vec(step, 20..60))
        .prop_map(|(is_cached, is_extended, steps)| Case { is_cached, is_extended, steps })
}

/// What is known of a token.
struct Token {
    text: String,
    audience: &'static str,
    /// The second at which it ends.
    ends: i64,
    /// The account, and what else it ends with: each with its UID.
    objects: Vec<(Kind, &'static str, String)>,
    /// Until when it may be believed unseen, by the audience asked for.
    cached_until: BTreeMap<&'static str, i64>,
}

struct Life<'a> {
    stage: Stage,
    admin: Caller,
    bearer: Caller,
    case: &'a Case,
    counts: &'a Counts,
    now: i64,
    tokens: Vec<Token>,
}

impl Life<'_> {
    async fn step(&mut self, step: &Step) -> Result<(), String> {
        let store = self.stage.store();
        match *step {
            Step::Passes(seconds) => self.move_to(self.now + seconds),
            Step::Issued { account, bound, elsewhere, seconds } => {
                self.issue(account, bound, (elsewhere, seconds)).await?;
            }
            Step::Gone(kind, name) => drop(store.delete(&kind.key(name), &Precondition::default())),
            Step::Comes(kind, name) => {
                if store.get(&kind.key(name)).is_none() {
                    self.stage.given(kind.object(name));
                }
            }
            Step::Marked(kind, name) => {
                let now = time::format(self.stage.at(self.now));
                drop(store.modify::<StoreError>(&kind.key(name), |present| {
                    let mut marked = present.clone();
                    if marked["metadata"]["deletionTimestamp"].is_null() {
                        marked["metadata"]["deletionTimestamp"] = json!(now);
                    }
                    Ok(Write::Store(marked))
                }));
            }
            Step::Shown(index, how) => self.show(index, how).await?,
            Step::AtItsEnd(index, by, how) => {
                if let Some(token) = self.tokens.get(index.index(self.tokens.len().max(1))) {
                    self.move_to((token.ends + by).max(self.now));
                    self.show(index, how).await?;
                }
            }
        }
        Ok(())
    }

    fn move_to(&mut self, second: i64) {
        // Beyond a year nothing more is to be seen, and the callers' certificates end.
        self.now = second.min(2 * KUBELETS.1);
        self.stage.set_clock(self.now);
    }

    async fn issue(
        &mut self,
        name: &'static str,
        bound: Option<Kind>,
        (elsewhere, seconds): (bool, i64),
    ) -> Result<(), String> {
        let mut spec = json!({"expirationSeconds": seconds});
        if elsewhere {
            spec["audiences"] = json!([ELSEWHERE]);
        }
        if let Some(kind) = bound {
            let word = match kind {
                Kind::Pod => "Pod",
                Kind::Secret => "Secret",
                _ => "Node",
            };
            spec["boundObjectRef"] = json!({"kind": word, "apiVersion": "v1", "name": name});
        }
        let ask = Ask::new("POST", format!("/api/v1/namespaces/a/serviceaccounts/{name}/token"));
        let answer = self.admin.ask(&ask.with(&json!({"spec": spec}))).await;
        let uid = |kind: Kind| {
            let found = self.stage.store().get(&kind.key(name));
            found.map(|object| (kind, name, object::uid(&object).to_owned()))
        };
        let wanted: Vec<Kind> = std::iter::once(Kind::Account).chain(bound).collect();
        let objects: Vec<_> = wanted.iter().filter_map(|kind| uid(*kind)).collect();
        if answer.code == 404 && objects.len() < wanted.len() {
            self.counts.count("no such object to bind to");
            return Ok(());
        }
        // An object that is going is no reason to issue or not to: what counts is when it is shown.
        if !answer.is_ok() {
            self.counts.count("not issued");
            return Ok(());
        }
        if objects.len() < wanted.len() {
            return Err(format!("a token bound to nothing that is there: {}", answer.text));
        }
        let extends =
            self.case.is_extended && seconds == KUBELETS.0 && bound == Some(Kind::Pod) && !elsewhere;
        let lives = if extends { KUBELETS.1 } else { seconds };
        let text = object::text(&answer.json(), "status.token").to_owned();
        let audience = if elsewhere { ELSEWHERE } else { ISSUER };
        let ends = self.now + lives;
        self.tokens.push(Token { text, audience, ends, objects, cached_until: BTreeMap::new() });
        Ok(())
    }

    async fn show(&mut self, index: Index, how: How) -> Result<(), String> {
        if self.tokens.is_empty() {
            return Ok(());
        }
        let at = index.index(self.tokens.len());
        let is_accepted = self.is_accepted(at, how).await?;
        let against = self.against(&self.tokens[at], how);
        let now = self.now;
        let token = &mut self.tokens[at];
        let cached = token.cached_until.get(how.audience()).is_some_and(|until| now < *until);
        let what = match (is_accepted, against) {
            (true, None) => "accepted",
            (false, Some(against)) => against,
            (true, Some(_)) if self.case.is_cached && cached => "accepted unseen",
            (true, Some(against)) => {
                return Err(format!("at {now} token {at} is accepted by {how:?}, though {against}"));
            }
            (false, None) => return Err(format!("at {now} token {at} is refused by {how:?}")),
        };
        // What was believed unseen is believed no longer for it.
        if is_accepted && !cached {
            token.cached_until.insert(how.audience(), now + CACHED);
        }
        if what == "accepted" && now > token.ends {
            self.counts.count("accepted within the leeway");
        }
        self.counts.count(what);
        Ok(())
    }

    async fn is_accepted(&mut self, at: usize, how: How) -> Result<bool, String> {
        let token = self.tokens[at].text.clone();
        if how == How::Bearer {
            self.bearer.shown.token = Some(token);
            let answer = self.bearer.get("/api/v1/namespaces/a/configmaps/x").await;
            return match answer.code {
                403 => Ok(true),
                401 => Ok(false),
                code => Err(format!("{code}: {}", answer.text)),
            };
        }
        let mut spec = json!({"token": token});
        match how {
            How::ReviewForApi => spec["audiences"] = json!([ISSUER]),
            How::ReviewElsewhere => spec["audiences"] = json!([ELSEWHERE]),
            How::Bearer | How::Review => {}
        }
        let ask =
            Ask::new("POST", "/apis/authentication.k8s.io/v1/tokenreviews").with(&json!({"spec": spec}));
        let answer = self.admin.ask(&ask).await;
        if !answer.is_ok() {
            return Err(format!("no review: {}", answer.text));
        }
        let answer = answer.json();
        let authenticated = object::flag(&answer, "status.authenticated") == Some(true);
        if authenticated
            && how != How::Review
            && object::texts(&answer, "status.audiences") != [how.audience()]
        {
            return Err(format!("it is for other audiences: {answer}"));
        }
        Ok(authenticated)
    }

    /// What speaks against a token; `None` where it is good.
    fn against(&self, token: &Token, how: How) -> Option<&'static str> {
        if token.audience != how.audience() {
            return Some("it is for others");
        }
        if self.now > token.ends + LEEWAY {
            return Some("it has expired");
        }
        let is_there = |kind: Kind, name: &str, uid: &str| {
            let Some(object) = self.stage.store().get(&kind.key(name)) else { return false };
            let marked = time::parse(object::text(&object, "metadata.deletionTimestamp"));
            let lingers = marked.is_some_and(|at| at < self.stage.at(self.now - LEEWAY));
            object::uid(&object) == uid && !lingers
        };
        let gone = token.objects.iter().find(|(kind, name, uid)| !is_there(*kind, name, uid))?;
        Some(match gone.0 {
            Kind::Account => "its account is gone",
            Kind::Pod => "its pod is gone",
            Kind::Secret => "its secret is gone",
            Kind::Node => "its node is gone",
        })
    }
}

async fn life(case: &Case, counts: &Counts, flaws: Flaws) -> Result<(), String> {
    let stage = Stage::flawed(flaws, |config| {
        config.token_cache = Duration::from_secs(if case.is_cached { 10 } else { 0 });
        config.token_lives = TokenLives { extended: case.is_extended, max_seconds: None };
    })
    .await;
    stage.given(namespace("a"));
    for kind in KINDS {
        for name in ACCOUNTS {
            stage.given(kind.object(name));
        }
    }
    let years = stage.client_between("admin", &["system:masters"], (stage.at(-60), stage.at(3 * KUBELETS.1)));
    let admin = stage.caller(years).await;
    let bearer = stage.caller(Shown::default()).await;
    let mut life = Life { stage, admin, bearer, case, counts, now: 0, tokens: Vec::new() };
    for step in &case.steps {
        life.step(step).await?;
    }
    Ok(())
}

#[test]
fn no_token_is_accepted_beyond_its_end_and_none_is_refused_before() {
    let counts = Counts::default();
    hold((13, 160, 3_000), any_case(), |case| play(2, life(case, &counts, Flaws::none())));
    counts.at_least(&[
        ("accepted", 300),
        ("accepted within the leeway", 20),
        ("accepted unseen", 10),
        ("it is for others", 100),
        ("it has expired", 100),
        ("its account is gone", 50),
        ("its pod is gone", 20),
        ("its secret is gone", 10),
        ("its node is gone", 10),
    ]);
}

#[test]
fn without_its_checks_a_token_is_accepted_beyond_its_end() {
    for flaw in [
        Flaw::ApiserverIgnoresTokenBinding,
        Flaw::ApiserverIgnoresTokenExpiry,
        Flaw::ApiserverIgnoresTokenAudience,
    ] {
        let counts = Counts::default();
        let with = || Flaws::danger([flaw]);
        assert!(fails((13, 60), any_case(), |case| play(2, life(case, &counts, with()))), "{flaw:?}");
    }
}
