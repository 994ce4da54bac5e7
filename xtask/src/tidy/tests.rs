//! Tidy over the repository, and the proof that each of its rules can fail.

use super::floors::{Package, check};
use super::*;

#[test]
fn the_repository_is_tidy() {
    let found = findings().expect("the repository is readable");
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

/// The rules that a source file breaks.
fn rules(path: &str, body: &str) -> Vec<&'static str> {
    let text = format!("//! A header.\n{body}\n");
    of_file(&TextFile { path: path.to_owned(), text }).iter().map(|finding| finding.rule).collect()
}

#[test]
fn each_forbidden_call_is_caught() {
    for (body, rule) in [
        ("fn f() { std::time::SystemTime::now(); }", "wall-clock"),
        ("use std::time::{Duration, SystemTime};", "wall-clock"),
        ("use std::time::Instant; fn f() { Instant::now(); }", "wall-clock"),
        ("fn f() { std::time::Instant::now(); }", "wall-clock"),
        ("fn f() { Instant::now(); }", "wall-clock"),
        ("use tokio::{io, net::TcpStream};", "sockets"),
        ("fn f() { std::net::TcpListener::bind(a); }", "sockets"),
        ("use std::{env, fs};", "environment"),
        ("fn f() { ::std::env::var(a); }", "environment"),
        ("fn f() { tokio::spawn(a); }", "tasks"),
        ("use tokio::task::spawn_local;", "tasks"),
        ("fn f() { rand::rng(); }", "randomness"),
        ("use rand::rngs::OsRng as Source;", "randomness"),
        ("fn f() { getrandom::fill(a); }", "randomness"),
        ("fn f() { ring::rand::SystemRandom::new(); }", "randomness"),
        ("fn f() { std::thread::sleep(a); }", "sleeping"),
        ("use std::collections::{BTreeMap, HashMap};", "hash-order"),
        ("fn f(a: std::collections::HashSet<u8>) {}", "hash-order"),
        ("use turmoil_net::fixture;", "turmoil"),
        ("fn f() { if ravelin_entropy::is_simulated() {} }", "knows-it-is-simulated"),
        ("use ravelin_host::Flaws; fn f() { Flaws::danger([a]); }", "flaws"),
        ("fn f() { unsafe { g() } }", "unsafe"),
        ("#[test]\n#[ignore]\nfn f() {}", "ignored-test"),
    ] {
        let found = rules("crates/kubelet/src/pods.rs", body);
        assert!(found.contains(&rule), "{body}: {found:?}");
    }
}

#[test]
fn what_is_allowed_is_not_caught() {
    for (path, body) in [
        ("crates/kubelet/src/a.rs", "use tokio::time::{Duration, Instant}; fn f() { Instant::now(); }"),
        (
            "crates/kubelet/src/a.rs",
            "use std::time::Instant; fn f() { tokio::time::Instant::now().into_std(); }",
        ),
        ("crates/kubelet/src/a.rs", "// std::env::var, HashMap\nconst A: &str = \"tokio::spawn\";"),
        (
            "crates/kubelet/src/a.rs",
            "use ring::rand::SecureRandom; const A: &str = env!(\"CARGO_PKG_NAME\");",
        ),
        ("crates/transport/src/a.rs", "use std::time::{Duration, Instant}; fn f(a: Instant) {}"),
        ("crates/kubelet/src/a.rs", "fn f(host: &dyn Host) { host.spawn(\"a\", b); } fn operand() {}"),
        ("crates/sim/src/stream.rs", "use turmoil_net::shim::tokio::net::TcpStream;"),
        ("crates/host/src/os.rs", "use tokio::net::TcpStream; fn f() { std::time::SystemTime::now(); }"),
        ("crates/cli/src/a.rs", "fn f() { std::env::args(); std::time::Instant::now(); }"),
        ("crates/entropy/src/a.rs", "unsafe fn getrandom() {}"),
    ] {
        assert_eq!(rules(path, body), [""; 0], "{path}: {body}");
    }
}

#[test]
fn the_shape_of_a_file_is_checked() {
    let of = |path: &str, text: String| -> Vec<&'static str> {
        of_file(&TextFile { path: path.into(), text }).iter().map(|finding| finding.rule).collect()
    };
    assert_eq!(of("crates/a/src/b.rs", "fn f() {}\n".into()), ["header"]);
    let long = format!("//! Long.\n{}", "// a\n".repeat(600));
    assert_eq!(of("crates/a/src/b.rs", long.clone()), ["length"]);
    assert_eq!(of("crates/a/src/b/tests.rs", long), [""; 0]);
    let tested = format!("//! Tested.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "// a\n".repeat(600));
    assert_eq!(of("crates/a/src/b.rs", tested), [""; 0], "tests do not count");
    assert_eq!(of("crates/a/src/util.rs", "//! A.\n".into()), ["name"]);
}

#[test]
fn a_path_of_one_machine_is_caught_in_any_file() {
    let of = |text: &str| of_file(&TextFile { path: "docs/a.md".into(), text: text.into() }).len();
    let home = concat!("/ho", "me/");
    assert_eq!(of(&format!("see {home}me/ravelin")), 1);
    assert_eq!(of(&format!("`{}/crates`", crate::repository::root().display())), 1);
    assert_eq!(of(&format!("https://example.com{home}page and /var/lib/kubelet")), 0);
}

/// A workspace with every crate of the table, in which one has these dependencies.
fn workspace(name: &str, uses: &[(&str, bool)]) -> Vec<Package> {
    let metadata = metadata().expect("cargo knows the workspace");
    let mut packages = floors::packages(&metadata);
    for package in &mut packages {
        package.uses.clear();
    }
    let uses = uses.iter().map(|(used, only_tests)| ((*used).to_owned(), *only_tests)).collect();
    packages.retain(|package| package.name != name);
    packages.push(Package { name: name.to_owned(), uses });
    packages
}

#[test]
fn each_wrong_dependency_is_caught() {
    for (name, used, rule) in [
        ("ravelin-host", "ravelin-pki", "floors"),
        ("ravelin-kubelet", "ravelin-apiserver", "floors"),
        ("xtask", "ravelin-cli", "floors"),
        ("ravelin-new", "serde", "floors"),
        ("ravelin-adversary", "ravelin-config", "strangers"),
        ("ravelin-kubelet", "ravelin-sim", "strangers"),
        ("ravelin-oracle", "ravelin-host", "strangers"),
        ("ravelin-kubelet", "turmoil-net", "libraries"),
        ("ravelin-client", "rustls", "libraries"),
        ("ravelin-client", "hyper", "libraries"),
        ("ravelin-adversary", "russh", "libraries"),
        ("ravelin-oracle", "russh", "libraries"),
        ("ravelin-assess", "anyhow", "libraries"),
    ] {
        let found = check(&workspace(name, &[(used, false)]));
        assert!(found.iter().any(|finding| finding.rule == rule), "{name} uses {used}: {found:?}");
    }
    assert_eq!(check(&workspace("ravelin-oracle", &[("russh", true), ("serde", false)])), []);
    assert_eq!(check(&workspace("ravelin-cli", &[("ravelin-report", false), ("clap", false)])), []);
}

#[test]
fn strangers_may_not_meet_through_a_third() {
    let mut packages = workspace("ravelin-adversary", &[("ravelin-sim", false)]);
    let sim = packages.iter_mut().find(|package| package.name == "ravelin-sim").expect("it is a package");
    sim.uses.insert(("ravelin-config".to_owned(), false));
    assert!(check(&packages).iter().any(|f| f.rule == "strangers" && f.file.ends_with("ravelin-adversary")));
}

#[test]
fn a_crate_that_has_gone_leaves_no_floor_behind() {
    let mut packages = workspace("ravelin-cli", &[]);
    packages.retain(|package| package.name != "ravelin-proxy");
    assert!(check(&packages).iter().any(|finding| finding.text.starts_with("ravelin-proxy stands")));
}
