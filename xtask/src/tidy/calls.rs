//! Invariants 1 and 4: what only the seam may touch, and names that belong to one crate.

use super::Finding;
use super::code::{code_only, imports, line_of, places, words};
use crate::repository::TextFile;

/// A path or name that source code may not use, except where listed.
struct Rule {
    name: &'static str,
    /// Paths as code writes them from their beginning.
    paths: &'static [&'static str],
    /// Names that are forbidden wherever they stand in a path.
    names: &'static [&'static str],
    instead: &'static str,
    /// Where it may be used all the same: a path prefix, and why.
    except: &'static [(&'static str, &'static str)],
}

const RULES: &[Rule] = &[
    Rule {
        name: "wall-clock",
        paths: &["std::time::Instant::now"],
        names: &["SystemTime"],
        instead: "ask Host::now, or tokio::time::Instant for durations",
        except: &[
            ("crates/host/", "it is the seam"),
            ("crates/cli/", "it times the whole run for people"),
            ("xtask/", "it times its steps for people"),
            ("tests/", "it times whole runs and drives real programs"),
        ],
    },
    Rule {
        name: "sockets",
        paths: &["tokio::net", "std::net::TcpStream", "std::net::TcpListener", "std::net::UdpSocket"],
        names: &[],
        instead: "ask Host::connect and Host::listen",
        except: &[("crates/host/", "it is the seam"), ("tests/", "it speaks with real programs")],
    },
    Rule {
        name: "environment",
        paths: &["std::env"],
        names: &[],
        instead: "take it as a parameter; the cli reads the environment",
        except: &[
            ("crates/host/", "it is the seam"),
            ("crates/cli/", "the command line's surroundings are its job"),
            ("xtask/", "it starts programs"),
            ("tests/", "it starts programs"),
        ],
    },
    Rule {
        name: "tasks",
        paths: &[
            "tokio::spawn",
            "tokio::task::spawn",
            "tokio::task::spawn_local",
            "tokio::task::spawn_blocking",
            "std::thread::spawn",
        ],
        names: &[],
        instead: "ask Host::spawn: a crash must end it",
        except: &[
            ("crates/host/", "it is the seam"),
            ("crates/sim/", "it is the seam's other side: it runs the machines' tasks"),
            ("crates/entropy/", "its tests need fresh threads"),
            ("crates/assess/", "one simulation a thread"),
            ("crates/oracle/src/dissect/tests/", "both ends of a recorded session, without any host"),
            ("crates/transport/src/tests/", "fresh threads, to compare what two simulations send"),
            ("crates/tunnel/src/konnectivity/tests", "both ends of a session, and what is around them"),
            ("crates/tunnel/src/ssh/node_server/tests", "both ends of a session"),
            ("crates/tunnel/src/ssh/tests", "both ends of a session, and fresh threads"),
            ("tests/", "it drives real programs and whole runs"),
        ],
    },
    Rule {
        name: "randomness",
        paths: &["rand"],
        names: &["getrandom", "thread_rng", "OsRng", "SysRng", "SystemRandom", "RandomState"],
        instead: "ask Host::entropy, or draw from ravelin_entropy",
        except: &[
            ("crates/entropy/", "it is where randomness comes from"),
            ("tests/tests/determinism/unseeded.rs", "it breaks determinism on purpose"),
        ],
    },
    Rule {
        name: "sleeping",
        paths: &["std::thread::sleep"],
        names: &[],
        instead: "wait for a condition with a deadline on tokio's timers",
        except: &[],
    },
    Rule {
        name: "hash-order",
        paths: &[],
        names: &["HashMap", "HashSet"],
        instead: "use BTreeMap and BTreeSet: their order is the same in every run",
        except: &[],
    },
    Rule {
        name: "turmoil",
        paths: &[],
        names: &["turmoil", "turmoil_net"],
        instead: "only ravelin-sim knows it",
        except: &[("crates/sim/", "it is the simulated network")],
    },
    Rule {
        name: "knows-it-is-simulated",
        paths: &[],
        names: &["is_simulated"],
        instead: "no component can tell whether it is simulated",
        except: &[
            ("crates/entropy/", "it defines it"),
            ("crates/sim/", "it checks that a simulation's thread is seeded"),
        ],
    },
    Rule {
        name: "flaws",
        paths: &["Flaws::danger", "ravelin_host::Flaws::danger"],
        names: &[],
        instead: "no component takes its own protections away: simulations and scenarios do",
        except: &[
            ("crates/host/", "it defines it"),
            ("crates/apiserver/src/tests", "what each flaw lets through"),
            ("crates/assess/src/twins.rs", "twins: what a refusal was worth"),
            ("crates/client/src/tests", "what each flaw lets through"),
            ("crates/kubelet/src/tests", "what each flaw lets through"),
            ("crates/scenario/src/side.rs", "the old behaviour that a scenario is about"),
            ("crates/sim/src/tests", "what each flaw lets through"),
            ("crates/transport/src/tests", "what each flaw lets through"),
            ("crates/tunnel/src/konnectivity/tests", "what each flaw lets through"),
            ("crates/tunnel/src/ssh/tests", "what each flaw lets through"),
            ("tests/", "twins"),
        ],
    },
    Rule {
        name: "unsafe",
        paths: &[],
        names: &["unsafe"],
        instead: "only ravelin-entropy may: it replaces libc's getrandom",
        except: &[("crates/entropy/", "it replaces libc's getrandom")],
    },
];

/// What this file uses and may not.
pub fn check(file: &TextFile) -> Vec<Finding> {
    let code = code_only(&file.text);
    let imports = imports(&code);
    let mut found = Vec::new();
    for rule in RULES {
        if rule.except.iter().any(|(prefix, _)| file.path.starts_with(prefix)) {
            continue;
        }
        let named =
            rule.names.iter().flat_map(|name| words(&code, name).map(|at| (line_of(&code, at), *name)));
        let mut hits: Vec<(usize, &str)> = named.collect();
        for path in rule.paths {
            let inline = places(&code, path).map(|at| (line_of(&code, at), *path));
            let imported = imports.iter().filter(|(_, used)| is_within(used, path));
            hits.extend(inline.chain(imported.map(|(at, _)| (line_of(&code, *at), *path))));
        }
        hits.sort_by_key(|(line, path)| (*line, std::cmp::Reverse(path.len())));
        hits.dedup_by_key(|(line, _)| *line);
        for (line, path) in hits {
            let text = format!("`{path}`: {}", rule.instead);
            found.push(Finding { file: file.path.clone(), line, rule: rule.name, text });
        }
    }
    found.extend(clock_of_unknown_origin(file, &code, &imports));
    found
}

/// Is `used` the path itself or something below it?
fn is_within(used: &str, path: &str) -> bool {
    used.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// `Instant::now` is tokio's (which a simulation pauses) or the operating system's: the file must
/// show which.
fn clock_of_unknown_origin(file: &TextFile, code: &str, imports: &[(usize, String)]) -> Option<Finding> {
    let clock = RULES.iter().find(|rule| rule.name == "wall-clock").expect("it stands in the table");
    if clock.except.iter().any(|(prefix, _)| file.path.starts_with(prefix)) {
        return None;
    }
    let has = |path: &str| imports.iter().any(|(_, used)| used == path);
    let paused = has("tokio::time::Instant") && !has("std::time::Instant");
    let at = places(code, "Instant::now").next().filter(|_| !paused)?;
    let text = format!("`Instant::now` without `use tokio::time::Instant`: {}", clock.instead);
    Some(Finding { file: file.path.clone(), line: line_of(code, at), rule: clock.name, text })
}
