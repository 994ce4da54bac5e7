//! Each way in which a service account token can be bad.

use super::*;
use crate::lookup::Objects;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const API: &str = "https://kubernetes.default.svc";

fn key(seed: u8) -> Arc<KeyPair> {
    Arc::new(KeyPair::generate(&mut Entropy::from_key([seed; 32])))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn issuer_of(name: &str, seed: u8) -> ServiceAccountIssuer {
    let key = key(seed);
    ServiceAccountIssuer::new(ServiceAccountKeys {
        issuers: vec![name.to_owned()],
        lookup: true,
        jwks_uri: None,
        verify: vec![key.public().clone()],
        sign: Some(key),
        audiences: vec![API.to_owned()],
    })
}

fn issuer() -> ServiceAccountIssuer {
    issuer_of(API, 1)
}

fn reference(name: &str, uid: &str) -> Reference {
    Reference { name: name.to_owned(), uid: uid.to_owned() }
}

fn spec(bound: Option<Bound>) -> TokenSpec {
    TokenSpec {
        namespace: "default".to_owned(),
        account: reference("bob", "u1"),
        audiences: Vec::new(),
        bound,
        seconds: 600,
        warn_after_seconds: None,
    }
}

fn named(namespace: &str, name: &str, uid: &str) -> Value {
    json!({ "metadata": { "namespace": namespace, "name": name, "uid": uid } })
}

fn objects() -> Objects {
    Objects::default()
        .with("serviceaccounts", named("default", "bob", "u1"))
        .with("pods", named("default", "p", "u2"))
        .with("secrets", named("default", "s", "u3"))
        .with("nodes", json!({ "metadata": { "name": "n1", "uid": "u4" } }))
}

fn token(issuer: &ServiceAccountIssuer, spec: &TokenSpec) -> String {
    issuer.issue(spec, at(1_000), &mut Entropy::from_key([9; 32])).unwrap().token
}

fn verify(token: &str, now: i64) -> Result<(UserInfo, Vec<String>), ServiceAccountRefused> {
    issuer().verify(token, &[], (at(now), &objects()))
}

/// A token with a header and claims of one's own, signed by the issuer's key.
fn forged(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(key(1).sign_raw(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn claims() -> Value {
    jwt::unverified_claims(&token(&issuer(), &spec(None))).unwrap()
}

#[test]
fn a_good_token_gives_its_service_account() {
    let node = Some(reference("n1", "u4"));
    let bound = Bound::Pod { pod: reference("p", "u2"), node };
    let token = token(&issuer(), &spec(Some(bound)));
    let (user, audiences) = verify(&token, 1_000).unwrap();
    assert_eq!(user.name, "system:serviceaccount:default:bob");
    assert_eq!((user.uid.as_str(), audiences), ("u1", vec![API.to_owned()]));
    assert_eq!(user.groups, ["system:serviceaccounts", "system:serviceaccounts:default"]);
    assert_eq!(user.extra["authentication.kubernetes.io/pod-name"], ["p"]);
    assert_eq!(user.extra["authentication.kubernetes.io/node-uid"], ["u4"]);
    assert!(user.extra[names::CREDENTIAL_ID][0].starts_with("JTI="));
    let recorded = json!({"namespace": "default", "node": {"name": "n1", "uid": "u4"}, "pod": {"name": "p", "uid": "u2"}, "serviceaccount": {"name": "bob", "uid": "u1"}});
    assert_eq!(jwt::unverified_claims(&token).unwrap()["kubernetes.io"], recorded);
}

#[test]
fn a_token_is_good_only_in_its_time() {
    let token = token(&issuer(), &spec(None));
    for (now, refused) in [
        (939, Some(ServiceAccountRefused::NotYetValid)),
        (940, None),
        (1_660, None),
        (1_661, Some(ServiceAccountRefused::Expired)),
    ] {
        assert_eq!(verify(&token, now).err(), refused, "{now}");
    }
    let mut endless = claims();
    endless.as_object_mut().unwrap().remove("exp");
    let header = json!({"alg": "ES256"});
    assert!(verify(&forged(&header, &endless), 1 << 36).is_ok(), "as recorded: no exp claim is accepted");
    endless["exp"] = json!("never");
    assert_eq!(verify(&forged(&header, &endless), 1_000), Err(ServiceAccountRefused::Claims));
}

#[test]
fn other_keys_issuers_and_algorithms_are_refused() {
    let good = token(&issuer(), &spec(None));
    let (signed, _) = good.rsplit_once('.').unwrap();
    let (_, payload) = signed.split_once('.').unwrap();
    let header = |alg: &str| URL_SAFE_NO_PAD.encode(json!({ "alg": alg }).to_string());
    let jwt = |refused| Err(ServiceAccountRefused::Jwt(refused));
    let ask = |token: &str| verify(token, 1_000).map(|_| ());
    assert_eq!(ask(&token(&issuer_of(API, 2), &spec(None))), jwt(JwtRefused::Signature));
    assert_eq!(ask(&token(&issuer_of("https://other", 1), &spec(None))), Err(ServiceAccountRefused::NotOurs));
    assert_eq!(ask(&format!("{}.{payload}.", header("none"))), jwt(JwtRefused::Algorithm));
    for alg in ["none", "None", "HS256", "RS256", "es256", "ES384"] {
        assert_eq!(ask(&forged(&json!({ "alg": alg }), &claims())), jwt(JwtRefused::Algorithm), "{alg}");
    }
    assert_eq!(ask(&forged(&json!({"alg": "ES256", "crit": ["x"]}), &claims())), jwt(JwtRefused::Algorithm));
    assert_eq!(ask(&format!("{}.{payload}.", header("ES256"))), jwt(JwtRefused::Signature));
    assert_eq!(ask(&format!("{signed}.!")), jwt(JwtRefused::Malformed));
    for garbage in ["", "a.b.c", "x", &format!("{good}.")] {
        assert_eq!(ask(garbage), Err(ServiceAccountRefused::NotOurs), "{garbage}");
    }
}

#[test]
fn a_token_ends_with_what_it_is_bound_to() {
    use ServiceAccountRefused::{AccountGone, BoundObjectGone};
    let pod = |name: &str, uid: &str| Some(Bound::Pod { pod: reference(name, uid), node: None });
    let other_account = TokenSpec { account: reference("bob", "u9"), ..spec(None) };
    let absent_node_beside_pod = Bound::Pod { pod: reference("p", "u2"), node: Some(reference("n9", "u9")) };
    for (spec, refused) in [
        (spec(pod("p", "u2")), None),
        (spec(pod("p", "u9")), Some(BoundObjectGone)),
        (spec(pod("gone", "u2")), Some(BoundObjectGone)),
        (spec(Some(Bound::Secret(reference("s", "u3")))), None),
        (spec(Some(Bound::Secret(reference("s", "u9")))), Some(BoundObjectGone)),
        (spec(Some(Bound::Node(reference("n1", "u4")))), None),
        (spec(Some(Bound::Node(reference("n1", "u9")))), Some(BoundObjectGone)),
        (spec(Some(absent_node_beside_pod)), None),
        (other_account, Some(AccountGone)),
    ] {
        assert_eq!(verify(&token(&issuer(), &spec), 1_000).err(), refused, "{spec:?}");
    }
}

#[test]
fn what_is_being_deleted_keeps_a_token_good_for_a_minute() {
    let token = token(&issuer(), &spec(Some(Bound::Pod { pod: reference("p", "u2"), node: None })));
    let with = |deleted: &str| {
        let mut pod = named("default", "p", "u2");
        pod["metadata"]["deletionTimestamp"] = json!(deleted);
        let objects = Objects::default().with("serviceaccounts", named("default", "bob", "u1"));
        objects.with("pods", pod)
    };
    for (now, deleted, refused) in [
        (1_000, "1970-01-01T00:16:40Z", false),
        (1_060, "1970-01-01T00:16:40Z", false),
        (1_061, "1970-01-01T00:16:40Z", true),
        (1_000, "1970-01-01T01:00:00Z", false),
        (1_000, "soon", true),
    ] {
        let verified = issuer().verify(&token, &[], (at(now), &with(deleted)));
        assert_eq!(verified.err().is_some(), refused, "{now} {deleted}");
    }
}

#[test]
fn a_token_is_good_only_for_its_audience() {
    let vault = TokenSpec { audiences: vec!["vault".to_owned()], ..spec(None) };
    let token = token(&issuer(), &vault);
    assert!(matches!(verify(&token, 1_000), Err(ServiceAccountRefused::Audience { .. })));
    let wanted = ["vault".to_owned(), "x".to_owned()];
    let (_, audiences) = issuer().verify(&token, &wanted, (at(1_000), &objects())).unwrap();
    assert_eq!(audiences, ["vault"]);
    let mut none = claims();
    none.as_object_mut().unwrap().remove("aud");
    let refused = verify(&forged(&json!({"alg": "ES256"}), &none), 1_000);
    assert_eq!(refused, Err(ServiceAccountRefused::Claims));
}

#[test]
fn each_check_can_be_missing_alone() {
    let none = Leniency::none();
    let unproven = Leniency { danger_unproven: true, ..none };
    let any_audience = Leniency { danger_any_audience: true, ..none };
    let expired = Leniency { danger_expired: true, ..none };
    let forged = token(&issuer_of(API, 2), &spec(None));
    let for_vault = token(&issuer(), &TokenSpec { audiences: vec!["vault".to_owned()], ..spec(None) });
    let good = token(&issuer(), &spec(None));
    let judge = |token: &str, now: i64, leniency| {
        issuer().judge(token, &[], (at(now), &objects()), leniency).map(|(user, audiences)| {
            assert_eq!(audiences, [API]);
            user.name
        })
    };
    for (token, now, lenient) in
        [(&forged, 1_000, unproven), (&for_vault, 1_000, any_audience), (&good, 9_000, expired)]
    {
        for leniency in [none, unproven, any_audience, expired] {
            let judged = judge(token, now, leniency);
            assert_eq!(judged.is_ok(), leniency == lenient, "{leniency:?}: {judged:?}");
        }
    }
    let of_nobody = TokenSpec { account: reference("bob", "u9"), ..spec(None) };
    let claimed = judge(&token(&issuer_of(API, 2), &of_nobody), 1_000, unproven);
    assert_eq!(claimed, Err(ServiceAccountRefused::AccountGone), "its claims still count");
}

#[test]
fn a_subject_that_contradicts_the_account_is_refused() {
    let mut other = claims();
    other["sub"] = json!("system:serviceaccount:kube-system:admin");
    let refused = verify(&forged(&json!({"alg": "ES256"}), &other), 1_000);
    assert_eq!(refused, Err(ServiceAccountRefused::Claims));
}

#[test]
fn tokens_repeat_from_their_inputs_and_stay_hidden() {
    let issue = || issuer().issue(&spec(None), at(1_000), &mut Entropy::from_key([9; 32])).unwrap();
    assert_eq!(issue().token, issue().token);
    assert!(!format!("{:?}", issue()).contains(&issue().token));
}
