//! Each way in which a service account token can be bad.

use super::*;
use crate::lookup::Objects;
use crate::names;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const API: &str = "https://kubernetes.default.svc";

fn key(seed: u8) -> Arc<KeyPair> {
    Arc::new(KeyPair::generate(&mut Entropy::from_key([seed; 32])))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn keys_of(name: &str, seed: u8) -> ServiceAccountKeys {
    let key = key(seed);
    ServiceAccountKeys {
        issuers: vec![name.to_owned()],
        lookup: true,
        jwks_uri: None,
        verify: vec![key.public().clone()],
        sign: Some(key),
        audiences: vec![API.to_owned()],
    }
}

fn issuer_of(name: &str, seed: u8) -> ServiceAccountIssuer {
    ServiceAccountIssuer::new(keys_of(name, seed))
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
    let mut of_tomorrow = claims();
    of_tomorrow["iat"] = json!(2_000);
    let refused = verify(&forged(&header, &of_tomorrow), 1_000);
    assert_eq!(refused, Err(ServiceAccountRefused::IssuedInTheFuture));
    let a_moment_later = Timestamp::new(1_660, 1).unwrap();
    let judged = issuer().verify(&token, &[], (a_moment_later, &objects()));
    assert_eq!(judged, Err(ServiceAccountRefused::Expired));
}

#[test]
fn other_keys_issuers_and_algorithms_are_refused() {
    let good = token(&issuer(), &spec(None));
    let (signed, _) = good.rsplit_once('.').unwrap();
    let (_, payload) = signed.split_once('.').unwrap();
    let header = |alg: &str| URL_SAFE_NO_PAD.encode(json!({ "alg": alg }).to_string());
    let jwt = |refused| Err(ServiceAccountRefused::Jwt(refused));
    let ask = |token: &str| verify(token, 1_000).map(|_| ());
    assert_eq!(ask(&token(&issuer_of(API, 2), &spec(None))), jwt(JwtRefused::UnknownKey));
    assert_eq!(ask(&token(&issuer_of("https://other", 1), &spec(None))), Err(ServiceAccountRefused::NotOurs));
    assert_eq!(ask(&format!("{}.{payload}.", header("none"))), jwt(JwtRefused::Algorithm));
    assert_eq!(ask(&forged(&json!({"alg": "RS256"}), &claims())), jwt(JwtRefused::Signature));
    for alg in ["none", "None", "HS256", "es256", "ES384"] {
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
    use ServiceAccountRefused::{BoundObjectGone, OtherAccount, OtherBoundObject};
    let other = |kind, uid: &str| {
        let (uid, claimed) = (uid.to_owned(), "u9".to_owned());
        Some(OtherBoundObject { kind, uid, claimed })
    };
    let pod = |name: &str, uid: &str| Some(Bound::Pod { pod: reference(name, uid), node: None });
    let other_account = TokenSpec { account: reference("bob", "u9"), ..spec(None) };
    let absent_node_beside_pod = Bound::Pod { pod: reference("p", "u2"), node: Some(reference("n9", "u9")) };
    for (spec, refused) in [
        (spec(pod("p", "u2")), None),
        (spec(pod("p", "u9")), other("pod", "u2")),
        (spec(pod("gone", "u2")), Some(BoundObjectGone)),
        (spec(Some(Bound::Secret(reference("s", "u3")))), None),
        (spec(Some(Bound::Secret(reference("s", "u9")))), other("secret", "u3")),
        (spec(Some(Bound::Node(reference("n1", "u4")))), None),
        (spec(Some(Bound::Node(reference("n1", "u9")))), other("node", "u4")),
        (spec(Some(Bound::Node(reference("n9", "u9")))), Some(BoundObjectGone)),
        (spec(Some(absent_node_beside_pod)), None),
        (other_account, Some(OtherAccount { uid: "u1".to_owned(), claimed: "u9".to_owned() })),
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
    let (_, audiences) = verify(&forged(&json!({"alg": "ES256"}), &none), 1_000).unwrap();
    assert_eq!(audiences, [API], "for nobody in particular: for this API");
    let header = json!({"alg": "ES256"});
    assert!(issuer().verify(&forged(&header, &none), &wanted, (at(1_000), &objects())).is_err());
    none["aud"] = json!(7);
    assert_eq!(verify(&forged(&header, &none), 1_000), Err(ServiceAccountRefused::Claims));
    let refused = verify(&token, 1_000).unwrap_err().to_string();
    let says =
        r#"token audiences ["vault"] is invalid for the target audiences ["https://kubernetes.default.svc"]"#;
    assert_eq!(refused, says);
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
    let gone = Bound::Pod { pod: reference("gone", "u2"), node: None };
    let unbound = Leniency { danger_unbound: true, ..none };
    let of_gone = token(&issuer(), &spec(Some(gone)));
    let judge = |token: &str, now: i64, leniency| {
        issuer().judge(token, &[], (at(now), &objects()), leniency).map(|(user, audiences)| {
            assert_eq!(audiences, [API]);
            user.name
        })
    };
    for (token, now, lenient) in [
        (&forged, 1_000, unproven),
        (&for_vault, 1_000, any_audience),
        (&good, 9_000, expired),
        (&of_gone, 1_000, unbound),
    ] {
        for leniency in [none, unproven, any_audience, expired, unbound] {
            let judged = judge(token, now, leniency);
            assert_eq!(judged.is_ok(), leniency == lenient, "{leniency:?}: {judged:?}");
        }
    }
    let of_nobody = TokenSpec { account: reference("bob", "u9"), ..spec(None) };
    let claimed = judge(&token(&issuer_of(API, 2), &of_nobody), 1_000, unproven);
    assert!(matches!(claimed, Err(ServiceAccountRefused::OtherAccount { .. })), "its claims still count");
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

#[test]
fn several_issuers_and_keys_are_believed_and_the_first_issues() {
    let mut both = keys_of(API, 1);
    both.issuers.push("https://old".to_owned());
    both.verify.push(key(2).public().clone());
    let both = ServiceAccountIssuer::new(both);
    let ask = |token: &str| both.verify(token, &[], (at(1_000), &objects())).is_ok();
    for (name, seed, good) in [(API, 1, true), ("https://old", 2, true), (API, 2, true), (API, 3, false)] {
        assert_eq!(ask(&token(&issuer_of(name, seed), &spec(None))), good, "{name} {seed}");
    }
    let issued = jwt::unverified_claims(&token(&both, &spec(None))).unwrap();
    assert_eq!(issued["iss"], API);
    // A token that names one key is judged by no other.
    let of_first = json!({"alg": "ES256", "kid": both.known()[1].id});
    assert!(!ask(&forged(&of_first, &claims())) && ask(&forged(&json!({"alg": "ES256"}), &claims())));
}

/// Made with `openssl dgst -sha256 -sign`.
const RSA_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA0DF8AJjk8eRvvy6Wao1y\n\
Bt+9GreDbb4WKTt+PLwyyILFY1DyoyNsEruDlvQm1eCPDFPqmJBfW6Iha2H3Zbkd\n\
ejJXaEjlws6dbiDyvk/x0t0Jdfqu99YZeBZ/gNXyDClQeOA0t3P3M4MV/rCQ5Acs\n\
ozX1VvT+xqW0JVzUUVhfIErtZc44XFjCBFHWh0g+CWUyoiP9l+ln7v5iDUSmjIic\n\
3R4HfrG+h6+0ULHYNfbPM1+1DqexRV/R9WBkGUdp4qlxlEHCJw9AWJSriUsI9rBG\n\
elGyZVqfFzpMY9MGtlbd5AY+GleGpfjM0aqYnccJaRnx+sQ+lurat8XkP/Hex0xo\n\
2wIDAQAB\n\
-----END PUBLIC KEY-----\n";
const RSA_HEADER: &str =
    "eyJhbGciOiJSUzI1NiIsImtpZCI6IlJiOEV6dG82UXhJdWdWWGdUSmRzd1J2WWtERVdreGN0TDgtSWtTRjFUTjgifQ";
const RSA_CLAIMS: &str = "eyJhdWQiOlsiaHR0cHM6Ly9rdWJlcm5ldGVzLmRlZmF1bHQuc3ZjIl0sImV4cCI6MTYwMCwiaWF0IjoxMDAwLCJpc3\
     MiOiJodHRwczovL2t1YmVybmV0ZXMuZGVmYXVsdC5zdmMiLCJqdGkiOiJqIiwia3ViZXJuZXRlcy5pbyI6eyJuYW1l\
     c3BhY2UiOiJkZWZhdWx0Iiwic2VydmljZWFjY291bnQiOnsibmFtZSI6ImJvYiIsInVpZCI6InUxIn19LCJuYmYiOj\
     EwMDAsInN1YiI6InN5c3RlbTpzZXJ2aWNlYWNjb3VudDpkZWZhdWx0OmJvYiJ9";
const RSA_SIGNATURE: &str = "mC0bOdlqgiz3RVeodRhK_yaUgF2wbO4dLLpkaphpA4ghSBRmG0ZLb8LTm82n6d8m2C29a5xKH4nUgKFKLUoc1N8-k8\
     9m2CBH333NIn236lV6yRGjC5DzvL9Gt-pQNWIhbP-4OOqoJUguOsap_77GzvklldrAkAdtLqpOlf6ysTO9QWqMDNsD\
     Y2RFAvL8NVxUHMV3GGQLlhSSyTuJJc6D4JnWf7qQejD82-Dxy0dnZpt3D2JzZK-xdKSeTIrkRxaEZtmL__eNFIyRS_\
     H_PwmM7o5T0xTNZGWbwEgQbX4pssUJpQ4ANXRhBcpp2zntZliMTHgRVNSiUMznEspLtIE_zg";

#[test]
fn tokens_signed_with_rsa_are_judged_as_well() {
    let mut keys = keys_of(API, 1);
    keys.verify.push(PublicKey::from_pem(RSA_PUBLIC).unwrap());
    let both = ServiceAccountIssuer::new(keys);
    let ask = |token: &str| both.verify(token, &[], (at(1_000), &objects())).map(|(user, _)| user.name);
    let good = format!("{RSA_HEADER}.{RSA_CLAIMS}.{RSA_SIGNATURE}");
    assert_eq!(ask(&good).unwrap(), "system:serviceaccount:default:bob");
    assert_eq!(verify(&good, 1_000).unwrap_err(), JwtRefused::UnknownKey.into(), "no key of that issuer");
    let other_algorithm = URL_SAFE_NO_PAD.encode(json!({"alg": "ES256"}).to_string());
    let relabelled = format!("{other_algorithm}.{RSA_CLAIMS}.{RSA_SIGNATURE}");
    assert_eq!(ask(&relabelled).unwrap_err(), JwtRefused::Signature.into());
    let ours = jwt::unverified_claims(&good).unwrap();
    let forged = format!("{RSA_HEADER}.{}.{RSA_SIGNATURE}", URL_SAFE_NO_PAD.encode(format!("{ours} ")));
    assert_eq!(ask(&forged).unwrap_err(), JwtRefused::Signature.into());
}

#[test]
fn others_find_the_keys_of_our_tokens() {
    let mut keys = keys_of("https://kubernetes.default.svc", 1);
    keys.verify.push(PublicKey::from_pem(RSA_PUBLIC).unwrap());
    let of = |change: &dyn Fn(&mut ServiceAccountKeys)| {
        let mut keys = keys.clone();
        change(&mut keys);
        ServiceAccountIssuer::new(keys)
    };
    let found = of(&|_| {});
    assert_eq!(
        found.discovery("10.0.0.1:6443").unwrap(),
        r#"{"issuer":"https://kubernetes.default.svc","jwks_uri":"https://10.0.0.1:6443/openid/v1/jwks","response_types_supported":["id_token"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["ES256","RS256"]}"#
    );
    let set: Value = serde_json::from_str(&found.key_set().unwrap()).unwrap();
    let [ours, rsa] = [&set["keys"][0], &set["keys"][1]];
    assert_eq!((&ours["kty"], &ours["crv"], &ours["alg"]), (&json!("EC"), &json!("P-256"), &json!("ES256")));
    assert_eq!(ours["kid"], header_of(&token(&found, &spec(None)))["kid"]);
    assert_eq!((&rsa["kty"], &rsa["alg"], &rsa["e"]), (&json!("RSA"), &json!("RS256"), &json!("AQAB")));
    assert_eq!(rsa["kid"], header_of(&format!("{RSA_HEADER}.{RSA_CLAIMS}.x"))["kid"]);
    let elsewhere = of(&|keys| keys.jwks_uri = Some("https://keys.example/jwks".to_owned()));
    assert!(elsewhere.discovery("a:1").unwrap().contains(r#""jwks_uri":"https://keys.example/jwks""#));
    for hidden in [
        of(&|keys| keys.issuers = vec!["kubernetes/serviceaccount".to_owned()]),
        of(&|keys| keys.issuers = vec!["https://a?b".to_owned()]),
        of(&|keys| keys.verify.clear()),
        of(&|keys| keys.jwks_uri = Some("http://keys.example".to_owned())),
    ] {
        assert_eq!((hidden.discovery("a:1"), hidden.key_set()), (None, None));
    }
}

fn header_of(token: &str) -> Value {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice(&header).unwrap()
}

#[test]
fn a_token_in_a_secret_ends_with_its_secret() {
    use ServiceAccountRefused::{AccountGone, ClaimMissing, MarkedInvalid, OtherToken, SecretGone, Subject};
    let claim = |name: &str| format!("kubernetes.io/serviceaccount/{name}");
    let good = json!({
        "iss": "kubernetes/serviceaccount",
        "sub": "system:serviceaccount:default:bob",
        claim("namespace"): "default",
        claim("secret.name"): "s",
        claim("service-account.name"): "bob",
        claim("service-account.uid"): "u1",
    });
    let header = json!({"alg": "ES256"});
    let token = forged(&header, &good);
    let secret = |token: &str| {
        let mut secret = named("default", "s", "u3");
        secret["data"] = json!({"token": base64::engine::general_purpose::STANDARD.encode(token)});
        secret
    };
    let objects = |secret: Option<Value>, account: bool| {
        let mut objects = Objects::default();
        if account {
            objects = objects.with("serviceaccounts", named("default", "bob", "u1"));
        }
        secret.map_or(Objects::default(), |secret| objects.with("secrets", secret))
    };
    let ask = |lookup: bool, token: &str, objects: &Objects| {
        let issuer = ServiceAccountIssuer::new(ServiceAccountKeys { lookup, ..keys_of(API, 1) });
        issuer.verify(token, &[], (at(1_000), objects)).map(|(user, _)| user)
    };
    let user = ask(true, &token, &objects(Some(secret(&token)), true)).unwrap();
    assert_eq!(user, UserInfo::service_account("default", "bob", "u1"), "no credential id");
    let mut deleted = secret(&token);
    deleted["metadata"]["deletionTimestamp"] = json!("1970-01-01T00:16:40Z");
    let mut marked = secret(&token);
    marked["metadata"]["labels"] = json!({"kubernetes.io/legacy-token-invalid-since": "2025-01-01"});
    for (given, refused) in [
        (objects(None, true), SecretGone),
        (objects(Some(deleted), true), SecretGone),
        (objects(Some(secret("other")), true), OtherToken),
        (objects(Some(marked), true), MarkedInvalid),
        (objects(Some(secret(&token)), false), AccountGone { name: "bob".to_owned() }),
    ] {
        assert_eq!(ask(true, &token, &given), Err(refused));
        assert!(ask(false, &token, &given).is_ok(), "nobody looks");
    }
    let mut of_another = good.clone();
    of_another["sub"] = json!("system:serviceaccount:kube-system:admin");
    assert_eq!(ask(false, &forged(&header, &of_another), &objects(None, false)), Err(Subject));
    let mut anonymous = good;
    anonymous.as_object_mut().unwrap().remove(&claim("service-account.uid"));
    let refused = ask(false, &forged(&header, &anonymous), &objects(None, false));
    assert_eq!(refused, Err(ClaimMissing("serviceAccountUID")));
}
